/* SPDX-License-Identifier: Apache-2.0
 * send_window: what of one line was published, acknowledged and consumed, and what to do next.
 * Audience: edge, tests. Pure: time is an argument. Source: design 2.1, 3.5 [rule], 3.7 [rule].
 *
 *   low <= floor of every reader;  low .. next published at least once or trimmed;  next .. end not
 * yet
 *
 * Goes back only on an unanswered publish or on a gap that a reader reports; a slow or dead reader
 * is never flow control. Trims below the minimum over all configured readers; one that was never
 * heard holds everything. Whom a spool nearly full passes over is decided in trim_watch. */
#pragma once

#include "common/base/limits.h"

#include <stddef.h>

#define SEND_WINDOW_FLIGHTS 64
/* After going back on a reader's word, its next reports speak of the time before the repair
 * arrived. */
#define SEND_WINDOW_BACK_MS 2000

struct send_flight {
    uint64_t token;
    uint64_t first, last;
    uint32_t bytes;
    bool full;
    bool answered;
};

struct send_reader {
    bool heard;
    uint64_t store_id;
    uint64_t floor;
    bool finished; /* it knows that the line has ended */
};

struct send_window {
    bool older;     /* of an earlier epoch: only drains */
    uint64_t low;   /* lowest number the spool holds */
    uint64_t next;  /* next number to publish */
    uint64_t end;   /* numbers given */
    uint64_t acked; /* every number below was stored by the quorum once */
    uint32_t reader_count;
    struct send_reader readers[LIMIT_READERS];
    bool went_back;
    uint64_t went_back_ms;
    uint32_t flight_head, flight_count; /* ring, ordered by first */
    struct send_flight flights[SEND_WINDOW_FLIGHTS];
};

void send_window_init(struct send_window *w, uint64_t low, uint64_t end, bool older,
                      uint32_t reader_count);

/* More numbers were given. */
void send_window_grow(struct send_window *w, uint64_t end);

/* May a segment of [next, ...) go out now? A segment that is not full waits while another not full
 * one is under way (Nagle's rule: small when idle, large when busy). pending_full: the waiting
 * clicks would fill one. */
bool send_window_open(const struct send_window *w, bool pending_full);

/* [next, last) was published under `token`; moves next. bytes: its size on the wire. */
void send_window_sent(struct send_window *w, uint64_t token, uint64_t last, uint32_t bytes,
                      bool full);

/* The bus stored that publish. Returns bytes that left the window (0: token unknown, e.g. after
 * going back). */
uint32_t send_window_acked(struct send_window *w, uint64_t token);

/* The publish was refused or not answered: go back to its first number. Later flights are forgotten
 * with it: they would only be gaps. Returns the bytes that left the window. */
uint32_t send_window_failed(struct send_window *w, uint64_t token);

/* A reader's floor (said->heard means nothing here). A floor beyond what was given is ignored,
 * except that on an older line it means all. A new store id replaces the old floor, even downward.
 * Returns true if it made the window go back (*out_bytes then left it). */
bool send_window_floor(struct send_window *w, uint32_t reader, const struct send_reader *said,
                       bool gap, uint64_t now_ms, uint32_t *out_bytes);

/* An older line is over: every reader has consumed all of it and knows that it has ended. */
bool send_window_over(const struct send_window *w);

/* Everything below may be trimmed: the minimum over the readers; 0 while one was never heard.
 * waived: bit i: reader i is passed over (trim_watch). */
uint64_t send_window_trim(const struct send_window *w, uint32_t waived);

/* The spool now holds nothing below `low`. */
void send_window_trimmed(struct send_window *w, uint64_t low);
