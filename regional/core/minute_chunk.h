/* SPDX-License-Identifier: Apache-2.0
 * minute_chunk: the click keys of one closed event minute, sorted, in chunks of at most 64 KiB: a
 * late click reads one chunk. Audience: regional/core, regional driver, tests. Pure. Source:
 * design 4.4, decision 0008.
 *
 *   key    partition u16, minute u32, kind u8 (1), last click key of the chunk, 16 bytes
 *   value  version u8; count u32; keys of 16 bytes, strictly ascending; XXH3-64 of all before,
 * seeded with the key
 *
 * The key names the chunk's *last* click key, because the kv port seeks forwards only: the first
 * entry at or after (partition, minute, 1, wanted) is the only chunk that can hold the wanted key.
 */
#pragma once

#include "common/base/err.h"
#include "common/base/hash.h"

#define MINUTE_CHUNK_VERSION    1
#define MINUTE_CHUNK_HEAD_BYTES 5u
/* Sixteen pages of LMDB, less its head and the store's own checksum. */
#define MINUTE_CHUNK_BYTES_MAX (16u * 4096 - 24)
#define MINUTE_CHUNK_KEYS_MAX                                                                      \
    ((MINUTE_CHUNK_BYTES_MAX - MINUTE_CHUNK_HEAD_BYTES - 8) / HASH_CLICK_BYTES)

/* What a snapshot of a minute consists of, in the order of their keys. */
enum minute_kind { MINUTE_HEAD, MINUTE_KEYS, MINUTE_ROWS, MINUTE_KINDS };

/* What all keys of a snapshot begin with. */
#define MINUTE_PREFIX_BYTES    7u
#define MINUTE_CHUNK_KEY_BYTES (MINUTE_PREFIX_BYTES + HASH_CLICK_BYTES)

struct minute_place {
    uint16_t partition;
    uint32_t minute;
    enum minute_kind kind;
};

void minute_place_write(uint8_t out[MINUTE_PREFIX_BYTES], const struct minute_place *place);
/* False: too short, or of no kind that we know. Does not look at what follows the prefix. */
bool minute_place_read(struct minute_place *out, struct span key);
/* Is this entry of the same partition, minute and kind? What a seek found may lie beyond. */
bool minute_place_holds(const struct minute_place *place, struct span key);
/* Checksum of a value of the snapshot: a value under another's key is damage, too. */
uint64_t minute_checksum(struct span key, struct span value);

/* Ascending, in place; keys must be distinct (CHECKed). */
void minute_chunk_sort(uint8_t *keys, size_t count);

/* Where to seek for a click key. Also the key of the chunk that ends with it. */
void minute_chunk_key(uint8_t out[MINUTE_CHUNK_KEY_BYTES], uint16_t partition, uint32_t minute,
                      const uint8_t click[HASH_CLICK_BYTES]);

/* Writes one chunk (out is cleared first): 1 to MINUTE_CHUNK_KEYS_MAX strictly ascending keys
 * (CHECKed). */
void minute_chunk_write(struct buf *out, uint8_t out_key[MINUTE_CHUNK_KEY_BYTES],
                        uint16_t partition, uint32_t minute, const uint8_t *keys, uint32_t count);

/* A chunk that was read. Borrows the value. */
struct minute_chunk {
    struct minute_place place;
    const uint8_t *keys;
    uint32_t count;
};

/* ERR_KV_CORRUPT: not what minute_chunk_write has written under this key; *out is unchanged. */
enum err WARN_UNUSED minute_chunk_read(struct minute_chunk *out, struct span key,
                                       struct span value);

/* O(log n). The chunk must be the one that the seek for this very click found. */
bool minute_chunk_has(const struct minute_chunk *chunk, const uint8_t click[HASH_CLICK_BYTES]);
