/* SPDX-License-Identifier: Apache-2.0
 * horizon: the tables of all event minutes that the fold still judges: per minute its click keys
 * and its rows. Audience: regional/core, tests. Pure. One thread at a time per object. Source:
 * design 4.4. */
#pragma once

#include "regional/core/ad_names.h"
#include "regional/core/bucket.h"
#include "regional/core/dedupe.h"

struct minute_table {
    uint32_t minute;
    uint32_t row_count, row_capacity;
    struct bucket *rows;
    void *rows_block; /* what was allocated: rows begin at the next cache line */
    uint32_t *slots;  /* ad hash -> row number + 1 */
    uint32_t slot_capacity;
    struct dedupe keys;
    /* Since the last cut. */
    uint32_t *touched; /* row numbers, each once */
    uint32_t touched_count, touched_capacity;
    struct buf clicks; /* effective ones: key, user hash, row number */
    uint32_t click_count;
    /* Since the last partial. */
    bool changed;   /* some row is */
    bool total_due; /* closed and told before, then changed */
    bool total_is_known;
    struct partial_total total; /* if known */
    /* Closed minutes leave memory (horizon_page.h). */
    bool stored; /* the store holds the minute; here is what was read back or came late */
    bool moving; /* a cut that is not durable yet holds the minute as it is now */
    struct partial_total rest;  /* of the rows that only the store holds */
    uint64_t rest_late;         /* likewise */
    uint64_t stored_cut;        /* what cuts up to this one did is in the store's snapshot */
    uint64_t redo_cut;          /* last cut that had something to say of the minute */
    uint64_t redo_ms, fresh_ms; /* stream time of it; of the first after the snapshot */
};

/* Bytes of one record in minute_table.clicks. */
#define HORIZON_CLICK_BYTES (HASH_CLICK_BYTES + 8 + 4)

/* Zero-initialised is empty and valid. */
struct horizon {
    struct minute_table **tables; /* ascending minutes */
    uint32_t count, capacity;
    struct minute_table *recent; /* the last one found: clicks come in runs */
    uint64_t keys, rows;         /* in all tables, in memory */
    uint32_t stored_count;       /* tables that are stored */
    uint32_t stored_last;        /* the highest minute that ever was */
};

void horizon_done(struct horizon *h);
struct minute_table *horizon_find(struct horizon *h, uint32_t minute);
/* Finds or makes. */
struct minute_table *horizon_open(struct horizon *h, uint32_t minute);
/* Number of the first table whose minute is not below. */
uint32_t horizon_first_from(const struct horizon *h, uint32_t minute);

/* The row of an ad, or NULL. */
struct bucket *horizon_row(struct minute_table *t, uint64_t ad_hash);
/* A new row; there must be none (CHECKed). Earlier row pointers of the table are void afterwards.
 */
struct bucket *horizon_add_row(struct horizon *h, struct minute_table *t, uint64_t ad_hash);
/* Memory that the tables hold, sketches and slack included. O(rows). */
uint64_t horizon_bytes(const struct horizon *h);
/* Asks the processor for the place of an ad, and then, when that has come, for its row. */
void horizon_prefetch_slot(const struct minute_table *t, uint64_t ad_hash);
void horizon_prefetch_row(const struct minute_table *t, uint64_t ad_hash);
/* Remembers the row for the next cut's redo value; the minute's total is no longer known. */
void horizon_touch(struct minute_table *t, struct bucket *row);
/* Remembers an effective click for the next cut's redo value. */
void horizon_log_click(struct minute_table *t, const struct bucket *row, const uint8_t *key,
                       uint64_t user_hash);
/* The cut is made: nothing is touched. */
void horizon_cut(struct minute_table *t);

/* Rows, sums and digest of the minute, sketches included; kept until the minute changes. */
const struct partial_total *horizon_total(struct minute_table *t);

/* Frees the tables of minutes below; they must be unchanged since the last partial (CHECKed). */
void horizon_retire(struct horizon *h, struct ad_names *names, uint32_t below);
