/* SPDX-License-Identifier: Apache-2.0
 * dedupe: the set of click keys of one event minute: open addressing over 16-byte keys.
 * Audience: regional/core, tests. Pure. One thread at a time per object. Source: design 4.4. */
#pragma once

#include "common/base/hash.h"

/* Zero-initialised is empty and valid. Keys come out of a keyed SipHash, so their first bytes are a
 * fair hash that no client can steer. */
struct dedupe {
    uint8_t *keys;     /* capacity x HASH_CLICK_BYTES; all zero: a free place */
    uint32_t capacity; /* 0 or a power of two */
    uint32_t used;     /* keys in the table, the all-zero key not among them */
    bool zero;         /* the all-zero key is a legal key and cannot lie in the table */
};

void dedupe_done(struct dedupe *d);

/* Returns true when the key was not there before. Amortised O(1). */
bool dedupe_add(struct dedupe *d, const uint8_t key[HASH_CLICK_BYTES]);
bool dedupe_has(const struct dedupe *d, const uint8_t key[HASH_CLICK_BYTES]);
uint32_t dedupe_count(const struct dedupe *d);

/* Asks the processor for the key's place ahead of dedupe_add. */
void dedupe_prefetch(const struct dedupe *d, const uint8_t key[HASH_CLICK_BYTES]);
