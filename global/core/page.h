/* SPDX-License-Identifier: Apache-2.0
 * page: all rows of one ad in one hour, packed: the unit that a query reads.
 * Audience: global core, drivers, tests. Pure. One thread at a time per object.
 *
 * Entries are keyed (region, partition, minute of the hour), sorted, distinct; the packed form is
 * canonical (equal entries give equal bytes). 24 such pages answer a one-day query; 4 to 8 bytes an
 * entry. Beside them stands, for each minute with a sketch, the estimate of the union of all its
 * sketches: a query of minutes reads no sketch. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "proto/partial.h"

#define PAGE_MINUTES 60u

struct page_entry {
    uint16_t region; /* the store's id of the region, not its place in a configuration */
    uint16_t partition;
    uint8_t minute;  /* of the hour, 0..59 */
    bool has_sketch; /* a sketch of this row lies in the sketch table */
    uint32_t generation;
    uint64_t counted, duplicate, late;
    uint64_t flagged[PARTIAL_FLAG_SLOTS];
};

/* A page opened for change. Zero-initialised is empty and valid; page_done frees. */
struct page {
    struct page_entry *entries;
    uint32_t count, capacity;
    uint64_t users[PAGE_MINUTES]; /* of minutes with a sketch; kept by who changes sketches */
};

void page_clear(struct page *p);
void page_done(struct page *p);

/* The entry of that key, made (all zero) where it is absent; *out_made tells. Valid until the next
 * page_at. */
struct page_entry *page_at(struct page *p, uint16_t region, uint16_t partition, uint8_t minute,
                           bool *out_made);

/* Appends the packed form. */
void page_put(const struct page *p, struct buf *out);

/* Replaces *p. ERR_FORMAT or ERR_TRUNCATED for what page_put cannot have written; *p is then empty.
 */
enum err WARN_UNUSED page_read(struct page *p, struct span bytes);

/* Walks a packed page without unpacking it. */
struct page_cursor {
    struct reader bytes;
    uint32_t groups_left, rows_left;
    uint16_t region, partition;
    int last_minute;
    bool bad, ended;
    uint64_t sketched;            /* bit i: minute i of the hour has a sketch, so far */
    uint64_t users[PAGE_MINUTES]; /* of those minutes, once page_next has come to the end */
};
struct page_cursor page_cursor_of(struct span bytes);
/* Next entry in order; false at the end or where the bytes are bad (then c->bad). */
bool page_next(struct page_cursor *c, struct page_entry *out);

/* What a query of counts needs of a page, added up over regions and partitions. */
struct page_sums {
    uint64_t counted[PAGE_MINUTES];
    uint64_t users[PAGE_MINUTES];
    uint64_t seen, sketched; /* bit i: minute i has a row; a sketch */
};

/* The same as a walk by page_next, several times as fast. ERR_FORMAT for what page_put cannot have
 * written; *out is then undefined. */
enum err WARN_UNUSED page_sum(struct span bytes, struct page_sums *out);
