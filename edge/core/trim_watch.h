/* SPDX-License-Identifier: Apache-2.0
 * trim_watch: for which readers of a region the spool waits before it lets go of numbers.
 * Audience: edge, tests. Pure: time is an argument. Source: design 3.7 [rule].
 *
 * As a rule for all of them, heard or not. A spool nearly full passes over the folds that are
 * missing, but only while at least one fold is live, and never over an archiver:
 *
 *   live      said something less than silent_ms ago
 *   missing   has been silent for silent_ms, all of which its word could have reached us
 *   neither   was not silent for that long since we listen: waited for, but it carries nobody */
#pragma once

#include "common/base/limits.h"

struct trim_reader {
    bool archiver, heard;
    uint64_t heard_ms;
};

struct trim_watch {
    uint32_t silent_ms; /* 0: nobody is ever missing */
    bool up;            /* the region's bus */
    uint64_t since_ms;  /* silence from before counts for nothing: nobody listened */
    uint64_t looked_ms;
    uint32_t reader_count;
    struct trim_reader readers[LIMIT_READERS];
};

/* archivers: bit i: reader i is one. Times are monotonic. */
void trim_watch_init(struct trim_watch *w, uint32_t silent_ms, uint32_t reader_count,
                     uint32_t archivers, uint64_t now_ms);

/* The region's bus came up or went down. */
void trim_watch_link(struct trim_watch *w, bool up, uint64_t now_ms);

/* A reader said something, whatever it was. */
void trim_watch_heard(struct trim_watch *w, uint32_t reader, uint64_t now_ms);

/* The readers that are passed over now, bit by bit; pressed: the spool is nearly full. To be asked
 * often, and when all that was said has been heard: where nobody asked for a quarter of silent_ms,
 * we were away ourselves (a stopped process, a stalled machine), and silence begins anew. */
uint32_t trim_watch_waived(struct trim_watch *w, bool pressed, uint64_t now_ms);

/* Is the spool nearly full? From `percent` of its size on, until it is TRIM_WATCH_LEAVE_PERCENT
 * points below: a mark alone would have the mode come and go with each commit. percent 100: never.
 */
#define TRIM_WATCH_LEAVE_PERCENT 10
bool trim_watch_pressed(bool was, uint64_t used_bytes, uint64_t size_bytes, uint32_t percent);
