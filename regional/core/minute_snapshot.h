/* SPDX-License-Identifier: Apache-2.0
 * minute_snapshot: what a closed event minute is besides its click keys: a head with its total, and
 * its rows, sorted by ad hash, packed. Audience: regional/core, regional driver, tests. Pure.
 * Source: design 4.4, decision 0008.
 *
 *   head   key: partition u16, minute u32, kind u8 (0)
 *          value: version u8; cut u64; keys, rows, counted, duplicate, late varints; digest u64;
 *          XXH3-64 of all before, seeded with the key
 *   rows   key: partition u16, minute u32, kind u8 (2), last ad hash u64
 *          value: version u8; count u32; per row: ad id block, counted, duplicate, late varints,
 *          sketch block; XXH3-64 of all before, seeded with the key
 *
 * Redo values of the minute with a cut up to the head's are held by the snapshot; those of later
 * cuts are late clicks on top of it. */
#pragma once

#include "common/base/hll.h"
#include "proto/partial.h"
#include "regional/core/minute_chunk.h"

#define MINUTE_SNAPSHOT_VERSION 1
#define MINUTE_HEAD_KEY_BYTES   MINUTE_PREFIX_BYTES
#define MINUTE_ROWS_KEY_BYTES   (MINUTE_PREFIX_BYTES + 8)
#define MINUTE_ROWS_BYTES_MAX   MINUTE_CHUNK_BYTES_MAX

struct minute_head {
    uint16_t partition;
    uint64_t cut;  /* what cuts up to this one did to the minute is in the snapshot */
    uint64_t keys; /* click keys, over all chunks */
    uint64_t late; /* of counted */
    struct partial_total total;
};

/* Replaces *out. */
void minute_head_write(struct buf *out, uint8_t out_key[MINUTE_HEAD_KEY_BYTES],
                       const struct minute_head *head);
/* ERR_KV_CORRUPT: not what minute_head_write has written under this key; *out is unchanged. */
enum err WARN_UNUSED minute_head_read(struct minute_head *out, struct span key, struct span value);

/* One row; ad id and sketch (canonical bytes of hll_put) are borrowed. */
struct minute_row {
    uint64_t ad_hash; /* of ad_id; computed by the reader */
    uint64_t counted, duplicate, late;
    struct span ad_id, sketch;
};

/* Gathers rows of strictly ascending hash (CHECKed) until the value is full. Zero-initialised, with
 * partition and minute set, is empty and valid. */
struct minute_rows_writer {
    uint16_t partition;
    uint32_t minute;
    uint32_t count;
    uint64_t last_hash;
    struct buf value;
};

/* False: full; take the value, then add again. */
bool minute_rows_add(struct minute_rows_writer *w, const struct minute_row *row);
/* Seals the value of at least one row (CHECKed): w->value is it until minute_rows_next. */
void minute_rows_seal(struct minute_rows_writer *w, uint8_t out_key[MINUTE_ROWS_KEY_BYTES]);
/* Ready for the next value. */
void minute_rows_next(struct minute_rows_writer *w);
void minute_rows_done(struct minute_rows_writer *w);

/* Where to seek for an ad's row. */
void minute_rows_key(uint8_t out[MINUTE_ROWS_KEY_BYTES], uint16_t partition, uint32_t minute,
                     uint64_t ad_hash);

/* Calls `take` for each row, in order, after the whole value was found good, sketches included.
 * ERR_KV_CORRUPT: not what was written under this key; `take` was not called. */
enum err WARN_UNUSED minute_rows_read(struct span key, struct span value,
                                      void (*take)(void *context, const struct minute_row *row),
                                      void *context);
