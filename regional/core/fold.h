/* SPDX-License-Identifier: Apache-2.0
 * fold: the state machine of one partition: a deterministic function of the stream's messages
 * (subject, time, bytes) and of nothing else. Who reads the same messages has the same rows.
 * Audience: regional/core, regional driver, tests. Pure. One thread at a time per object.
 * Source: design 2.2, 2.3, 3.6, 4.2 to 4.8. */
#pragma once

#include "proto/control.h"
#include "proto/partition_map.h"
#include "regional/core/edge_book.h"
#include "regional/core/horizon.h"

/* How many applied control messages are remembered, so that their senders can see whose message
 * took a number. */
#define FOLD_APPLIED 16

struct fold_options {
    char region[LIMIT_REGION_NAME_BYTES + 1];
    uint16_t partition;
    uint16_t partitions;          /* of the map that a new fold begins with */
    uint64_t lateness_ms;         /* a minute closes so long after its end, by the watermark */
    uint32_t horizon_minutes;     /* clicks of older minutes are carried */
    uint32_t partial_interval_ms; /* of stream time */
    /* Closed minutes go to the store when nothing was new in them for so long, by stream time; 0:
     * all of the horizon stays in memory. No count depends on it, and no partial. */
    uint32_t settle_ms;
    /* When tables and names take more memory than this, the largest minutes go to the store, open
     * or closed; 0: no bound. Measured after each partial. */
    uint64_t memory_bytes;
};

struct fold_message {
    const char *subject;
    uint64_t time_ms; /* when the stream stored it */
    struct span data;
};

/* Where each folded click went: folded = counted + duplicate + carried, always. FIN is no click. */
struct fold_books {
    uint64_t folded, counted, duplicate, carried;
};

struct fold_applied {
    uint64_t number, nonce;
};

/* What happened since start; not part of the state. */
struct fold_counts {
    uint64_t segments, heartbeats, repeats, gaps, ticks, controls, late;
    /* Alarms. */
    uint64_t damaged;    /* bad checksum: a gap */
    uint64_t unreadable; /* good checksum, unknown content: carried */
    uint64_t refused;    /* not ours, or not from whom it says */
    uint64_t unenrolled; /* segments of edges that no operator enrolled: folded all the same */
    uint64_t collisions; /* clicks carried because two ad ids share a hash */
    uint64_t full;       /* clicks carried because a counter can take no more */
    uint64_t misplaced;  /* clicks carried because their ad is of another partition */
    uint64_t expired;    /* clicks carried because their minute's table is gone */
    uint64_t after_fin;  /* segments with numbers after their line's FIN: folded all the same */
    uint64_t control_gaps, control_refused;
    uint64_t map_refused; /* a step that this partition could not take any more */
};

/* Open to its own room: cut, announce and fold_state read and write it. The first part is the
 * durable state. */
struct fold {
    struct fold_options options;
    uint64_t cut;          /* number of the last cut */
    uint64_t stream_ms;    /* time of the last message */
    uint64_t watermark_ms; /* never goes back */
    uint64_t cut_second;   /* stream second of the last cut */
    bool uncut;            /* something was folded since */
    struct fold_books books;
    struct edge_book edges;
    struct partition_map map;
    uint64_t control_floor;
    struct fold_applied applied[FOLD_APPLIED]; /* [number % FOLD_APPLIED] */
    uint64_t partial_ms;                       /* stream time of the last partial */
    uint64_t partial_cut;                      /* cut of the last partial */
    bool totals_begun;                         /* the watermark was seen once: totals_* are set */
    uint32_t totals_first;                     /* no totals for minutes below were due */
    uint32_t totals_next;   /* totals of [totals_first, totals_next) were announced */
    uint32_t slice_next;    /* next minute to be announced again in turn */
    uint32_t retired_below; /* tables below are freed, their redo values may go */

    /* Tables; durable as redo values. */
    struct horizon horizon;
    struct ad_names names;

    struct fold_counts counts;
    struct segment segment; /* scratch of fold_step */
    struct fold_ad *ads;
    uint32_t ad_capacity;
    struct fold_needs *needs; /* scratch of fold_look */
    const uint8_t *looked;    /* the message that was looked at last */
    bool segment_is_read;     /* by fold_look */
};

struct fold *fold_new(const struct fold_options *options);
void fold_free(struct fold *f);

/* Must a cut be made before the message with this time is folded? True when something is uncut and
 * the stream's second is not that of the last cut. */
bool fold_wants_cut(const struct fold *f, uint64_t time_ms);

/* Folds one message; where minutes are stored, after fold_look (fold_look.h). ERR_BELOW_LOW: this
 * store lacks numbers that the edge no longer holds; nothing was changed, and the fold must stop:
 * only a peer's store has them (design 4.3). Everything else is counted and is ERR_OK. */
enum err WARN_UNUSED fold_step(struct fold *f, const struct fold_message *m);

/* Minutes below are closed; minutes below are carried. */
uint32_t fold_closed_below(const struct fold *f);
uint32_t fold_expired_below(const struct fold *f);

/* The watermark is seen for the first time: totals are due from the minute that is open now, not
 * from the one that is open when the first partial happens to be made. */
void fold_begin_totals(struct fold *f);

/* Does the map, as far as this fold knows it, give its partition any ads at all? */
bool fold_is_mapped(const struct fold *f);

/* UTC day of stream time, for names. */
uint32_t fold_day(const struct fold *f);
