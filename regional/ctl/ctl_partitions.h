/* SPDX-License-Identifier: Apache-2.0
 * ctl_partitions: tributaryctl partitions show|grow, over the region's bus.
 * Audience: tributaryctl. Once a process. */
#pragma once

extern const char ctl_partitions_help[];

/* argv[0] is "partitions". Returns the exit code. */
int ctl_partitions(int argc, char **argv);
