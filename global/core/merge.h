/* SPDX-License-Identifier: Apache-2.0
 * merge: how a row that a region sends joins the row we hold: the lattice of design 2.6.
 * Audience: global core, drivers, tests. Pure.
 *
 * A row's value is (generation, fields, sketch). The higher generation replaces the lower one
 * whole; within one generation every counter takes the maximum and sketches unite. So joining is
 * idempotent, commutative and associative, and any order, loss or repetition of partials that ends
 * with the same set ends in the same store. */
#pragma once

#include "common/base/hll.h"
#include "global/core/page.h"
#include "proto/partial.h"

enum merge_rank {
    MERGE_OLDER, /* the row is of a lower generation: nothing of it counts */
    MERGE_EQUAL, /* same generation, or a new entry: joined field by field */
    MERGE_NEWER, /* a higher generation: the stored fields and sketch are gone */
};

/* Joins the counters of `row` into `stored`. `made`: the entry is new and holds nothing yet. Does
 * not touch has_sketch, except that MERGE_NEWER clears it. */
enum merge_rank merge_join(struct page_entry *stored, bool made, const struct partial_row *row);

/* Joins sketches of one generation: `out` (cleared first) gets the canonical union of both byte
 * forms; either may be empty. ERR_FORMAT and the like where `incoming` is no sketch: `out` is then
 * `stored`. scratch: two sketches whose memory is reused from call to call. */
enum err WARN_UNUSED merge_sketch(struct span stored, struct span incoming, struct hll scratch[2],
                                  struct buf *out);

/* The digest that the books use, of an entry as stored. `hour` is the page's. */
uint64_t merge_digest(const struct page_entry *entry, uint64_t ad_hash, uint32_t hour,
                      struct span sketch);
