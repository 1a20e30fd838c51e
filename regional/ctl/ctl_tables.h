/* SPDX-License-Identifier: Apache-2.0
 * ctl_tables: a globe's answers as tables for people. Audience: tributaryctl, tests. */
#pragma once

#include "common/base/bytes.h"

enum ctl_table {
    CTL_TABLE_STATS,
    CTL_TABLE_TOP,
    CTL_TABLE_ADS,
    CTL_TABLE_BALANCE,
    CTL_TABLE_WATERMARKS
};

/* Reads the JSON and, unless `quiet`, prints the table. Returns the exit code: 0; 1 where books do
 * not close or a region has no watermark, or edges that it does without; 75: not such an answer. */
int ctl_tables_show(enum ctl_table table, struct span json, bool quiet);

/* The words of a problem document on standard error, and the exit code that its status means. */
int ctl_tables_problem(long status, struct span json);
