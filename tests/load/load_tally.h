/* SPDX-License-Identifier: Apache-2.0
 * load_tally: counts of one sending run, its latencies, and how they are told. */
#pragma once

#include "load_base.h"

struct load_tally {
    uint64_t started_us, ended_us;
    uint64_t requests, attempts;        /* bodies; times that one left */
    uint64_t sent, distinct, accepted;  /* clicks: left, differing, of these certain */
    uint64_t repeated, refused;         /* clicks: repeated on purpose; refused for good */
    uint64_t unknown, postponed, reset; /* attempts: unknown, 429/503, broken connections */
    uint64_t replicated, spooled;       /* clicks by the durability of their first 202 */
    uint64_t json_bytes;                /* of the distinct clicks */
    uint64_t unresolved;                /* clicks, at the end */
    struct load_latency {
        uint64_t wall_ms, us;
    } * latencies;
    size_t latency_count, latency_room;
};

void load_tally_latency(struct load_tally *t, uint64_t wall_ms, uint64_t us);
/* One line of progress to standard error; call once a second. */
void load_tally_progress(struct load_tally *t, uint64_t now_us, uint64_t open);
/* The end: JSON or text to standard output; latencies, one a line, to `latencies_file` unless NULL.
 */
void load_tally_report(struct load_tally *t, bool json, const char *latencies_file);
void load_tally_done(struct load_tally *t);
