/* SPDX-License-Identifier: Apache-2.0
 * dedupe: the set of click keys of one event minute: 16-byte keys, four to a cache line.
 * Audience: regional/core, tests. Pure. One thread at a time per object. Source: design 4.4. */
#pragma once

#include "common/base/hash.h"

#define DEDUPE_LINE_KEYS 4u
/* Bytes a key that a table of more than DEDUPE_SMALL_KEYS keys takes at most; 20 when just full. */
#define DEDUPE_KEY_BYTES_MAX 36u
#define DEDUPE_SMALL_KEYS    100u

struct dedupe_line {
    _Alignas(64) uint64_t words[2 * DEDUPE_LINE_KEYS]; /* keys as they are; all zero: free */
};

/* Zero-initialised is empty and valid. Keys come out of a keyed SipHash, so their bytes are a fair
 * hash that no client can steer. */
struct dedupe {
    struct dedupe_line *lines;
    void *block; /* what was allocated: lines begin at the next cache line */
    uint32_t line_count;
    bool zero;      /* the all-zero key is a legal key and cannot lie in a line */
    uint64_t used;  /* keys in the lines */
    uint64_t bytes; /* of memory held */
};

void dedupe_done(struct dedupe *d);

/* Returns true when the key was not there before. Amortised O(1); a full table grows by half, in
 * place where the allocator can. */
bool dedupe_add(struct dedupe *d, const uint8_t key[HASH_CLICK_BYTES]);
bool dedupe_has(const struct dedupe *d, const uint8_t key[HASH_CLICK_BYTES]);
uint64_t dedupe_count(const struct dedupe *d);

/* All keys, in no order that means anything; `out` holds dedupe_count of them. */
void dedupe_copy(const struct dedupe *d, uint8_t *out);

/* Asks the processor for the key's place ahead of dedupe_add. */
void dedupe_prefetch(const struct dedupe *d, const uint8_t key[HASH_CLICK_BYTES]);
