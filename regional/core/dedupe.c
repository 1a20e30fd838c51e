/* SPDX-License-Identifier: Apache-2.0
 * dedupe: linear probing, at most 5/8 full. */
#include "regional/core/dedupe.h"

#include <stdlib.h>

#define FIRST_CAPACITY 64u

static const uint8_t no_key[HASH_CLICK_BYTES];

static bool is_free(const uint8_t *place)
{
    return memcmp(place, no_key, HASH_CLICK_BYTES) == 0;
}

static uint32_t home_of(const uint8_t *key, uint32_t capacity)
{
    uint64_t bits;
    memcpy(&bits, key, sizeof(bits));
    return (uint32_t)bits & (capacity - 1);
}

/* The place that holds the key, or the free one where it belongs. */
static uint8_t *place_of(uint8_t *keys, uint32_t capacity, const uint8_t *key)
{
    uint32_t at = home_of(key, capacity);
    for (;;) {
        uint8_t *place = keys + (size_t)at * HASH_CLICK_BYTES;
        if (is_free(place) || memcmp(place, key, HASH_CLICK_BYTES) == 0)
            return place;
        at = (at + 1) & (capacity - 1);
    }
}

static void grow(struct dedupe *d)
{
    CHECK(d->capacity <= UINT32_MAX / 4);
    uint32_t capacity = d->capacity == 0 ? FIRST_CAPACITY : d->capacity * 2;
    uint8_t *keys = base_zalloc(capacity, HASH_CLICK_BYTES);
    for (uint32_t i = 0; i < d->capacity; i++) {
        const uint8_t *key = d->keys + (size_t)i * HASH_CLICK_BYTES;
        if (!is_free(key))
            memcpy(place_of(keys, capacity, key), key, HASH_CLICK_BYTES);
    }
    free(d->keys);
    d->keys = keys;
    d->capacity = capacity;
}

void dedupe_done(struct dedupe *d)
{
    free(d->keys);
    *d = (struct dedupe){0};
}

bool dedupe_add(struct dedupe *d, const uint8_t key[HASH_CLICK_BYTES])
{
    if (is_free(key)) {
        bool added = !d->zero;
        d->zero = true;
        return added;
    }
    if ((uint64_t)d->used * 8 >= (uint64_t)d->capacity * 5)
        grow(d);
    uint8_t *place = place_of(d->keys, d->capacity, key);
    if (!is_free(place))
        return false;
    memcpy(place, key, HASH_CLICK_BYTES);
    d->used++;
    CHECK(d->used < d->capacity);
    return true;
}

bool dedupe_has(const struct dedupe *d, const uint8_t key[HASH_CLICK_BYTES])
{
    if (is_free(key))
        return d->zero;
    return d->capacity > 0 && !is_free(place_of(d->keys, d->capacity, key));
}

uint32_t dedupe_count(const struct dedupe *d)
{
    return d->used + (d->zero ? 1 : 0);
}

void dedupe_prefetch(const struct dedupe *d, const uint8_t key[HASH_CLICK_BYTES])
{
    if (d->capacity > 0)
        __builtin_prefetch(d->keys + (size_t)home_of(key, d->capacity) * HASH_CLICK_BYTES);
}
