/* SPDX-License-Identifier: Apache-2.0
 * log_line: how one line of the log is written, and how often one message may be. Pure.
 * Audience: common/run/log, tests. */
#pragma once

#include "common/run/log.h"

#define LOG_LINE_VALUE_BYTES_MAX 1024 /* longer values are cut, and end in "..." */
#define LOG_LINE_MESSAGES        64   /* messages watched at once */
#define LOG_LINE_PER_SECOND      20   /* lines of one message */

/* Appends ts=... level=... prog=... msg=... and the fields, with a newline. A value is quoted where
 * it holds anything but plain visible characters; control characters, bytes that are not UTF-8, and
 * characters that turn or hide text are written as \xNN, so that no input can forge a line or a
 * field. */
void log_line_put(struct buf *out, uint64_t wall_ms, enum log_level level, const char *program,
                  const char *message, const struct log_field *fields, size_t count);

struct log_line_watched {
    char message[64];    /* a copy, perhaps cut; "": a free place */
    uint64_t window;     /* which second */
    uint32_t lines;      /* in that second */
    uint64_t suppressed; /* not yet told */
};

struct log_line_rate {
    struct log_line_watched watched[LOG_LINE_MESSAGES];
};

/* True if a line with this message may be written now. A message that finds no place is let
 * through. */
bool log_line_admit(struct log_line_rate *r, const char *message, uint64_t mono_ms);
/* Next message with lines suppressed in a second that has ended: it is copied out and its count
 * reset. False: none. */
bool log_line_suppressed(struct log_line_rate *r, uint64_t mono_ms,
                         struct log_line_watched *out_watched);
