/* SPDX-License-Identifier: Apache-2.0
 * ctl_base: what the commands of tributaryctl share: words on standard error, exit codes, text that
 * is safe on a terminal. Audience: tributaryctl, tests. */
#pragma once

#include "common/base/base.h"

#include <stddef.h>

/* Beside those of options.h. */
enum {
    CTL_EXIT_NO = 1,           /* answered, and the answer is no: not complete, not explained */
    CTL_EXIT_NOT_ALLOWED = 77, /* no token, or one that does not open this */
};

/* "tributaryctl: <words><detail>" on standard error; returns the code. */
int ctl_fail(int code, const char *words, const char *detail);

/* Prints text that others made up: control characters as \xNN, so that no ad id can drive the
 * operator's terminal. */
void ctl_print_safely(const char *text, size_t length);

/* "2026-11-24 15:41:00" in UTC, or "-" for a time before 1970 or beyond what a calendar has. */
#define CTL_TIME_BYTES 32
void ctl_time_text(int64_t seconds, char out[CTL_TIME_BYTES]);

/* "60" -> 60; false: not a whole number from 1 to `most`. */
bool ctl_parse_count(const char *text, uint64_t most, uint64_t *out);
