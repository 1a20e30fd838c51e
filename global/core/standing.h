/* SPDX-License-Identifier: Apache-2.0
 * standing: what each replica last said of itself, and what follows for its partition and its
 * region. Audience: global core, drivers, tests. Pure. One thread at a time per object.
 *
 * Watermarks are the highest that any replica reached and never go back. Missing edges are those
 * that the freshest replica of each partition names (by the time of its stream). */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/limits.h"
#include "proto/partial.h"

/* Distinct edge names in order. Zero-initialised is empty and valid. */
struct standing_names {
    char (*names)[LIMIT_EDGE_NAME_BYTES + 1];
    uint32_t count, capacity;
};
void standing_names_add(struct standing_names *names, const char *name);
void standing_names_done(struct standing_names *names);

struct standing_replica {
    char replica[LIMIT_READER_NAME_BYTES + 1];
    uint64_t store_id, cut, stream_ms, watermark_ms;
    uint64_t folded, counted, duplicate, carried;
    uint32_t missing_count; /* as said; names may say less */
    struct standing_names missing;
    struct buf edges; /* lines of the books, packed: for the balance */
};

struct standing_partition {
    struct partition_map map; /* the most grown that a partial named */
    uint64_t watermark_ms;
    uint32_t upto;   /* minutes below are announced or wanted; 0: none was announced yet */
    uint64_t merged; /* clicks of all its rows that were ever merged; retired minutes stay in it */
    uint32_t replica_count;
    struct standing_replica replicas[LIMIT_READERS];
};
void standing_partition_done(struct standing_partition *p);

/* Takes the head of a partial. False, and nothing changes, if it is older than what the same store
 * of that replica said before (a repeat). *out_replica: the replica's place (NULL when false). */
bool standing_take(struct standing_partition *p, const struct partial *partial,
                   struct standing_replica **out_replica);

/* The replica whose stream is the furthest, or NULL if none was heard. */
const struct standing_replica *standing_freshest(const struct standing_partition *p);

/* What queries need to know of a region. */
struct standing_card {
    char name[LIMIT_REGION_NAME_BYTES + 1];
    struct partition_map map; /* count 0: never heard */
    uint64_t watermark_ms;    /* minimum over its partitions; 0: some partition has none yet */
    struct standing_names missing;
};
/* Derives the card (but for its name) from `count` partitions, some of which may be NULL. */
void standing_derive(struct standing_card *card, struct standing_partition *const *partitions,
                     uint32_t count);
void standing_card_done(struct standing_card *card);

void standing_card_put(const struct standing_card *card, struct buf *out);
/* Replaces *card; on failure it is left alone. */
enum err WARN_UNUSED standing_card_read(struct standing_card *card, struct span bytes);
void standing_partition_put(const struct standing_partition *p, struct buf *out);
enum err WARN_UNUSED standing_partition_read(struct standing_partition *p, struct span bytes);
void standing_replica_put(const struct standing_replica *r, struct buf *out);
/* Fills all but the name. */
enum err WARN_UNUSED standing_replica_read(struct standing_replica *r, struct span bytes);
