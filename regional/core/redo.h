/* SPDX-License-Identifier: Apache-2.0
 * redo: what one cut did to one minute, as one value; all of them together rebuild the tables after
 * a restart. Audience: regional/core, regional driver, tests. Pure. Source: design 4.4: never a
 * random write per click.
 *
 *   key    partition u16, minute u32, cut u64 (big-endian: sorted by minute, then cut)
 *   value  version u8; day varint; ad count varint; per ad: id block, duplicate and late increments
 * varint; click count varint; per click: ad number varint; user hashes u64 each; keys 16 bytes
 * each; XXH3-64 (seed REDO_SEED) of all before and of the key */
#pragma once

#include "regional/core/fold.h"

#define REDO_VERSION   1
#define REDO_KEY_BYTES 14
#define REDO_SEED      0x5245444fULL

void redo_key(uint8_t out[REDO_KEY_BYTES], uint16_t partition, uint32_t minute, uint64_t cut);
bool redo_key_read(struct span key, uint16_t *out_partition, uint32_t *out_minute,
                   uint64_t *out_cut);

/* Appends the value of what the table holds since the last cut. */
void redo_write(struct buf *out, const struct fold *f, struct minute_table *t, uint64_t cut);

/* The minute has news in this cut. */
void redo_noted(struct minute_table *t, uint64_t cut, uint64_t stream_ms);

/* Calls `take` for each ad that the value speaks of; nothing for a value that redo_apply would
 * ignore. ERR_KV_CORRUPT: as redo_apply, as far as it looks. */
enum err WARN_UNUSED redo_ads(struct fold *f, struct span key, struct span value,
                              void (*take)(void *context, uint32_t minute, uint64_t ad_hash),
                              void *context);

/* Applies one value to the tables; call in order of keys, after the state was loaded. Values of
 * retired minutes, and those that a snapshot holds, are ignored; of a stored minute the rows must
 * have been read back (fold_look_redo). ERR_KV_CORRUPT: not what redo_write has written; the fold
 * is unusable. */
enum err WARN_UNUSED redo_apply(struct fold *f, struct span key, struct span value);

/* After the last redo_apply: which names and sketches are due. */
void redo_done(struct fold *f);
