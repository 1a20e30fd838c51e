/* SPDX-License-Identifier: Apache-2.0
 * minute_merge: what a move makes of a value of the store: click keys join the chunk where they
 * belong, rows replace their older selves; what grows too large becomes several values.
 * Audience: regional/core, regional driver, tests. Pure. Source: decision 0008.
 *
 * The last of the new values has the key of the old one, so nothing is ever deleted: whoever seeks
 * finds either the old minute or the new one. */
#pragma once

#include "regional/core/minute_snapshot.h"

/* How large values may get; smaller in tests. */
struct minute_sizes {
    uint32_t chunk_keys; /* 1 to MINUTE_CHUNK_KEYS_MAX */
    uint32_t value_rows; /* from 1; bytes are bounded besides */
};
extern const struct minute_sizes minute_sizes_max;

/* Where new values go. */
struct minute_sink {
    void (*put)(void *context, struct span key, struct span value);
    void *context;
};

/* How many of the first ascending keys belong to a chunk that ends with `last`. */
uint32_t minute_merge_keys_upto(const uint8_t *keys, uint32_t count,
                                const uint8_t last[HASH_CLICK_BYTES]);
/* Joins ascending keys, none beyond the chunk's last, with a chunk; NULL: with none. Returns how
 * many the chunk did not have; if 0, nothing is written. */
uint32_t minute_merge_keys(const struct minute_place *place, const struct minute_chunk *old,
                           const uint8_t *keys, uint32_t count, const struct minute_sizes *sizes,
                           const struct minute_sink *sink);

/* Joins rows of ascending hashes, none beyond the value's last, with a value; empty: with none.
 * ERR_KV_CORRUPT: as minute_rows_read; nothing was written. */
enum err WARN_UNUSED minute_merge_rows(const struct minute_place *place, struct span old_key,
                                       struct span old_value, const struct minute_row *rows,
                                       uint32_t count, const struct minute_sizes *sizes,
                                       const struct minute_sink *sink);
