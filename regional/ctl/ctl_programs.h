/* SPDX-License-Identifier: Apache-2.0
 * ctl_programs: tributaryctl config check and token: the programs beside this one know how.
 * Audience: tributaryctl. */
#pragma once

extern const char ctl_config_help[];

/* argv[0] is "config". Becomes the program that the file is for; else returns the exit code. */
int ctl_config(int argc, char **argv);
/* argv[0] is "token". Becomes tributary-global token ...; else returns the exit code. */
int ctl_token(int argc, char **argv);
