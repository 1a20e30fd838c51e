/* SPDX-License-Identifier: Apache-2.0
 * partial: what one fold replica tells the globe at a cut: changed rows (cumulative), sketches,
 * names, totals.
 * Audience: regional, global, tests. Pure. Drawn in proto/PROTOCOL.md, "Partial".
 * Source: design 2.6, 4.5-4.8.
 *
 * Merging is by field-wise maximum per (region, partition, ad_hash, minute), after ordering by
 * generation: idempotent, commutative, associative. Row digests let the globe prove that it holds
 * what the replica holds. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/limits.h"
#include "proto/partition_map.h"

#define PARTIAL_MAGIC       "TRPT"
#define PARTIAL_VERSION     1
#define PARTIAL_VERSION_MAP 2     /* with a partition map that has grown */
#define PARTIAL_EDGES_MAX   65536 /* edge lines: one for each edge and epoch not yet drained */
#define PARTIAL_FLAG_SLOTS  4     /* invalid-traffic reasons; 0 in use so far */

struct partial_row {
    uint64_t ad_hash;
    uint32_t minute;
    uint32_t generation; /* raised only by an operator's refold of a range */
    uint64_t counted;    /* distinct clicks */
    uint64_t duplicate;  /* repeats that dedupe found */
    uint64_t late;       /* of counted: arrived after the minute's close; outside the digest */
    uint64_t flagged[PARTIAL_FLAG_SLOTS];
    struct span sketch; /* hll bytes; empty: not sent this time */
};

struct partial_name {
    uint64_t ad_hash;
    struct span ad_id;
};

/* Totals of one minute that the watermark has passed; empty minutes too. */
struct partial_total {
    uint32_t minute;
    uint32_t rows;
    uint64_t counted; /* sum over rows */
    uint64_t duplicate;
    uint64_t digest; /* wrapping sum of partial_row_digest, sketches included */
};

/* One line of the books: accepted = floor + in flight; folded = counted + duplicate + carried. */
struct partial_edge {
    char edge[LIMIT_EDGE_NAME_BYTES + 1];
    uint64_t epoch;
    uint64_t floor;    /* numbers folded, FIN included */
    uint64_t accepted; /* as the edge last said */
    bool missing;      /* stops holding the watermark: answers must say complete: false */
};

struct partial {
    char region[LIMIT_REGION_NAME_BYTES + 1];
    char replica[LIMIT_READER_NAME_BYTES + 1];
    uint64_t store_id;
    uint16_t partition;
    struct partition_map map;                     /* as the fold knows it at this cut */
    uint64_t cut;                                 /* number of this cut at this replica, from 1 */
    uint64_t stream_ms;                           /* time of the last message folded */
    uint64_t watermark_ms;                        /* 0: none yet */
    uint64_t folded, counted, duplicate, carried; /* of this partition, since its store began */
    bool whole;             /* answer to a want: holds every row of the minutes in totals[] */
    uint32_t missing_count; /* known edges that are missing, by name */
    uint32_t row_count, name_count, total_count, edge_count;
    struct partial_row *rows;
    struct partial_name *names;
    struct partial_total *totals;
    struct partial_edge *edges;
    struct buf storage; /* read: what spans point into */
    bool owned;         /* read: arrays are malloc'ed; partial_done frees */
};

/* Hash of the fields that must agree: ad, minute, generation, counted, duplicate, flagged, sketch
 * bytes. Not late. Source: design 2.6. */
uint64_t partial_row_digest(const struct partial_row *row);

/* `out` is cleared first. Counts must be within LIMIT_PARTIAL_ROWS (rows, names),
 * LIMIT_PARTIAL_TOTALS and PARTIAL_EDGES_MAX, names valid, sketches <= HLL_BYTES_MAX each and
 * LIMIT_PARTIAL_COLUMN_BYTES together (CHECKed). The caller keeps the message below
 * LIMIT_MESSAGE_BYTES by splitting: rows take up to some 60 bytes, a grown sketch up to 4 KiB
 * (about 3 KiB packed). */
void partial_write(struct buf *out, const struct partial *p);

/* Message id of a written partial: a digest of everything but who speaks (replica, store_id, cut),
 * so that the stream keeps equal partials of two replicas once while its id window lasts: bytes
 * over an ocean saved, nothing relied on. Who asks for whole minutes asks whoever was heard. */
void partial_message_id(struct span message, char out_hex[33]);
/* The same content in another speaker's name: what a copied store's outbox still has to tell. `out`
 * is cleared first. Errors as partial_read's, by the envelope and the names alone. */
enum err WARN_UNUSED partial_resign(struct buf *out, struct span message, const char *replica,
                                    uint64_t store_id);
/* As segment_read: CHECKSUM/MAGIC/TRUNCATED mean damaged, the rest unreadable. On failure *out is
 * empty. */
enum err WARN_UNUSED partial_read(struct partial *out, struct span message);
void partial_done(struct partial *p);
