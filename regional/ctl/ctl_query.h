/* SPDX-License-Identifier: Apache-2.0
 * ctl_query: tributaryctl stats|top|ads|balance|watermarks: questions to a globe.
 * Audience: tributaryctl. */
#pragma once

#include "common/base/clock.h"

/* argv[0] is the command. Returns the exit code; -1: it is none of these. */
int ctl_query(int argc, char **argv, struct clock_port *clock);
/* NULL: not one of these. */
const char *ctl_query_help(const char *command);
