/* SPDX-License-Identifier: Apache-2.0
 * ctl_edge: tributaryctl edge list|enrol|retire|write-off, over the region's bus.
 * Audience: tributaryctl. Once a process. */
#pragma once

extern const char ctl_edge_help[];

/* argv[0] is "edge". Returns the exit code. */
int ctl_edge(int argc, char **argv);
