/* SPDX-License-Identifier: Apache-2.0
 * minute_move: a closed minute on its way to the store: which are due, and a copy of what the
 * table holds, sorted as the store sorts. Audience: regional/core, regional driver, tests. Pure.
 * Source: design 4.4, decision 0008.
 *
 * When a minute moves is this replica's own affair: rows, totals and partials are the same. */
#pragma once

#include "regional/core/fold.h"
#include "regional/core/minute_snapshot.h"

/* A minute that always has news moves all the same after so many times settle_ms. */
#define MINUTE_MOVE_PATIENCE 10u

struct minute_move {
    struct minute_head head; /* as it will be */
    struct buf keys;         /* ascending; those that the store has already may be among them */
    struct minute_row *rows; /* ascending hashes, as they are now */
    uint32_t row_count;
    struct buf bytes; /* what rows point into */
};

/* May it move at all: told as it is, with something in memory? Open minutes may. */
bool minute_move_may(const struct minute_table *t);
/* Memory that it holds, about. */
uint64_t minute_move_weight(const struct minute_table *t);
/* Is the minute closed and told, unchanged since, with something in memory, and settled? */
bool minute_move_is_due(const struct fold *f, const struct minute_table *t);
/* Copies the table, at cut f->cut; into zeroes. The table stays as it is until the copy is durable.
 */
void minute_move_make(struct minute_move *m, const struct fold *f, struct minute_table *t);
void minute_move_done(struct minute_move *m);
/* It is durable: the table leaves memory, unless something came for it meanwhile. */
void minute_move_commit(struct fold *f, const struct minute_move *m);
