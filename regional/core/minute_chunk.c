/* SPDX-License-Identifier: Apache-2.0
 * minute_chunk: writing, reading and the search; they must agree to the bit. */
#include "regional/core/minute_chunk.h"

#include <stdlib.h>

#define MINUTE_SEED   0x4d494e5554ULL
#define SORT_RUN_KEYS 32u
#define SORT_BITS_MAX 18u

_Static_assert(MINUTE_CHUNK_BYTES_MAX <= 64 * 1024, "a late click reads at most 64 KiB");
_Static_assert(MINUTE_CHUNK_KEYS_MAX >= 4000, "a chunk is not mostly head");

void minute_place_write(uint8_t out[MINUTE_PREFIX_BYTES], const struct minute_place *place)
{
    CHECK(place->kind < MINUTE_KINDS);
    bytes_store_u16(out, place->partition);
    bytes_store_u32(out + 2, place->minute);
    out[6] = (uint8_t)place->kind;
}

bool minute_place_read(struct minute_place *out, struct span key)
{
    if (key.length < MINUTE_PREFIX_BYTES || key.data[6] >= MINUTE_KINDS)
        return false;
    *out = (struct minute_place){.partition = bytes_load_u16(key.data),
                                 .minute = bytes_load_u32(key.data + 2),
                                 .kind = (enum minute_kind)key.data[6]};
    return true;
}

bool minute_place_holds(const struct minute_place *place, struct span key)
{
    uint8_t prefix[MINUTE_PREFIX_BYTES];
    minute_place_write(prefix, place);
    return key.length >= sizeof(prefix) && memcmp(key.data, prefix, sizeof(prefix)) == 0;
}

uint64_t minute_checksum(struct span key, struct span value)
{
    return hash_checksum(value, MINUTE_SEED ^ hash_checksum(key, MINUTE_SEED));
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, HASH_CLICK_BYTES);
}

static bool ascends(const uint8_t *keys, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const uint8_t *key = keys + i * HASH_CLICK_BYTES;
        if (memcmp(key - HASH_CLICK_BYTES, key, HASH_CLICK_BYTES) >= 0)
            return false;
    }
    return true;
}

/* A few keys, or many that begin alike. */
static void sort_run(uint8_t *keys, size_t count)
{
    if (count > SORT_RUN_KEYS) {
        qsort(keys, count, HASH_CLICK_BYTES, by_bytes);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        uint8_t key[HASH_CLICK_BYTES];
        size_t at = i;
        memcpy(key, keys + i * HASH_CLICK_BYTES, sizeof(key));
        for (; at > 0 && by_bytes(keys + (at - 1) * HASH_CLICK_BYTES, key) > 0; at--)
            memcpy(keys + at * HASH_CLICK_BYTES, keys + (at - 1) * HASH_CLICK_BYTES, sizeof(key));
        memcpy(keys + at * HASH_CLICK_BYTES, key, sizeof(key));
    }
}

/* Keys are fair hashes: their first bits part them into short runs. Three times as fast as qsort.
 */
void minute_chunk_sort(uint8_t *keys, size_t count)
{
    unsigned bits = 0;
    while (bits < SORT_BITS_MAX && (count >> bits) > SORT_RUN_KEYS / 4)
        bits++;
    if (bits > 0) {
        const size_t runs = (size_t)1 << bits;
        const unsigned shift = 32 - bits;
        size_t *ends = base_zalloc(runs + 1, sizeof(*ends));
        uint8_t *parted = base_alloc(count * HASH_CLICK_BYTES);
        for (size_t i = 0; i < count; i++)
            ends[(bytes_load_u32(keys + i * HASH_CLICK_BYTES) >> shift) + 1]++;
        for (size_t i = 0; i < runs; i++)
            ends[i + 1] += ends[i];
        for (size_t i = 0; i < count; i++) {
            const uint8_t *key = keys + i * HASH_CLICK_BYTES;
            memcpy(parted + ends[bytes_load_u32(key) >> shift]++ * HASH_CLICK_BYTES, key,
                   HASH_CLICK_BYTES);
        }
        memcpy(keys, parted, count * HASH_CLICK_BYTES);
        for (size_t i = 0, from = 0; i < runs; from = ends[i++])
            sort_run(keys + from * HASH_CLICK_BYTES, ends[i] - from);
        free(parted);
        free(ends);
    } else {
        sort_run(keys, count);
    }
    CHECK(ascends(keys, count));
}

void minute_chunk_key(uint8_t out[MINUTE_CHUNK_KEY_BYTES], uint16_t partition, uint32_t minute,
                      const uint8_t click[HASH_CLICK_BYTES])
{
    struct minute_place place = {partition, minute, MINUTE_KEYS};
    minute_place_write(out, &place);
    memcpy(out + MINUTE_PREFIX_BYTES, click, HASH_CLICK_BYTES);
}

void minute_chunk_write(struct buf *out, uint8_t out_key[MINUTE_CHUNK_KEY_BYTES],
                        uint16_t partition, uint32_t minute, const uint8_t *keys, uint32_t count)
{
    CHECK(count >= 1 && count <= MINUTE_CHUNK_KEYS_MAX);
    CHECK(ascends(keys, count));
    size_t bytes = (size_t)count * HASH_CLICK_BYTES;
    minute_chunk_key(out_key, partition, minute, keys + bytes - HASH_CLICK_BYTES);
    buf_clear(out);
    buf_put_u8(out, MINUTE_CHUNK_VERSION);
    buf_put_u32(out, count);
    buf_put(out, keys, bytes);
    buf_put_u64(out, minute_checksum(span_of(out_key, MINUTE_CHUNK_KEY_BYTES), buf_span(out)));
    CHECK(out->length <= MINUTE_CHUNK_BYTES_MAX);
}

enum err minute_chunk_read(struct minute_chunk *out, struct span key, struct span value)
{
    struct minute_chunk chunk = {0};
    if (!minute_place_read(&chunk.place, key) || chunk.place.kind != MINUTE_KEYS ||
        key.length != MINUTE_CHUNK_KEY_BYTES || value.length < MINUTE_CHUNK_HEAD_BYTES + 8)
        return ERR_KV_CORRUPT;
    struct span body = span_of(value.data, value.length - 8);
    if (bytes_load_u64(value.data + body.length) != minute_checksum(key, body))
        return ERR_KV_CORRUPT;
    chunk.count = bytes_load_u32(body.data + 1);
    chunk.keys = body.data + MINUTE_CHUNK_HEAD_BYTES;
    if (body.data[0] != MINUTE_CHUNK_VERSION || chunk.count < 1 ||
        chunk.count > MINUTE_CHUNK_KEYS_MAX ||
        body.length != MINUTE_CHUNK_HEAD_BYTES + (size_t)chunk.count * HASH_CLICK_BYTES)
        return ERR_KV_CORRUPT;
    /* A good checksum over unsorted keys would make the search miss, and so count a click twice. */
    const uint8_t *last = chunk.keys + (size_t)(chunk.count - 1) * HASH_CLICK_BYTES;
    if (memcmp(last, key.data + MINUTE_PREFIX_BYTES, HASH_CLICK_BYTES) != 0 ||
        !ascends(chunk.keys, chunk.count))
        return ERR_KV_CORRUPT;
    *out = chunk;
    return ERR_OK;
}

bool minute_chunk_has(const struct minute_chunk *chunk, const uint8_t click[HASH_CLICK_BYTES])
{
    CHECK(chunk->count >= 1);
    /* Beyond the last key the next chunk would have been found: this one says nothing. */
    CHECK(memcmp(click, chunk->keys + (size_t)(chunk->count - 1) * HASH_CLICK_BYTES,
                 HASH_CLICK_BYTES) <= 0);
    uint32_t low = 0, high = chunk->count - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (memcmp(chunk->keys + (size_t)middle * HASH_CLICK_BYTES, click, HASH_CLICK_BYTES) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return memcmp(chunk->keys + (size_t)low * HASH_CLICK_BYTES, click, HASH_CLICK_BYTES) == 0;
}
