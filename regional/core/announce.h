/* SPDX-License-Identifier: Apache-2.0
 * announce: what a fold tells the globe: partials of what changed, and whole minutes on request.
 * Audience: regional/core, regional driver, tests. Pure. Source: design 2.6, 4.5 to 4.8. */
#pragma once

#include "regional/core/fold.h"

/* Closed minutes announced for the first time in one partial, at most; the rest follows in the
 * next. */
#define ANNOUNCE_CLOSING_MAX 1440u
/* Minutes of the horizon that are announced again in each partial, in turn. */
#define ANNOUNCE_SLICE 16u
/* Rows, sketches and names of one message, before compression; edges come on top. */
#define ANNOUNCE_BODY_BYTES    (480u * 1024)
#define ANNOUNCE_EDGE_BYTES    (200u * 1024)
#define ANNOUNCE_MESSAGE_BYTES (LIMIT_MESSAGE_BYTES / 4 * 3)

/* Messages of one answer, about; the rest will be asked for again. */
#define ANNOUNCE_ANSWERS_MAX 32u

/* Who speaks. */
struct announce_identity {
    char replica[LIMIT_READER_NAME_BYTES + 1];
    uint64_t store_id;
};

struct announce_messages {
    struct buf *items;
    uint32_t count, capacity;
};

void announce_messages_done(struct announce_messages *m);

/* Is a partial due at a cut before a message with this time? In whole seconds, so that an interval
 * of 1000 ms means every second of the stream. */
bool announce_is_due(const struct fold *f, uint64_t time_ms);

/* Reads the rows of a stored minute that are not in the table, into a horizon of their own. */
struct announce_store {
    enum err (*load)(void *context, const struct minute_table *t, struct horizon *out);
    void *context;
};

/* May the next partial read the store? Only where a minute went there before it was closed. */
bool announce_reads(const struct fold *f);

/* Appends the partial of what changed since the last one, in as many messages as it takes, and
 * marks it as told. f->cut is its cut. Content depends on the stream alone; only identity and cut
 * number are the replica's own (and, where minutes went to the store before they were closed, the
 * order of rows that are told while they are open). `store` may be NULL where announce_reads says
 * no. ERR_KV_*: the fold is unusable; load it again. */
enum err WARN_UNUSED announce_partial(struct fold *f, const struct announce_identity *who,
                                      uint64_t time_ms, const struct announce_store *store,
                                      struct announce_messages *out);

/* What the globe asks for. */
struct announce_wanted {
    const uint32_t *minutes;
    const uint64_t *names;
    uint32_t minute_count, name_count;
};

/* Appends the answer to a want, from the tables as they are and the store beneath them; changes
 * nothing. Minutes that are not closed and told yet, or retired, are left out, as are unknown
 * names. A minute too large for one message travels in several, with its total in the last: the
 * globe adds up the parts. `store` may be NULL where nothing is stored. ERR_KV_*: the answer must
 * not be sent. */
enum err WARN_UNUSED announce_whole(struct fold *f, const struct announce_identity *who,
                                    const struct announce_wanted *wanted,
                                    const struct announce_store *store,
                                    struct announce_messages *out);
