/* SPDX-License-Identifier: Apache-2.0
 * minute_chunk: sorted keys of a closed minute, found by one seek; damage is never believed. */
#include "regional/core/minute_chunk.h"

#include "common/base/rng.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define MINUTE 29000000u

struct written {
    uint8_t key[MINUTE_CHUNK_KEY_BYTES];
    struct buf value;
};

static uint8_t *given_keys(uint32_t count, uint64_t seed)
{
    struct rng rng = {seed};
    uint8_t *keys = base_zalloc(count, HASH_CLICK_BYTES);
    for (uint32_t i = 0; i < count * 2; i++)
        bytes_store_u64(keys + i * (size_t)8, rng_next(&rng));
    minute_chunk_sort(keys, count);
    return keys;
}

static enum err read_chunk(const struct written *w, struct minute_chunk *out)
{
    return minute_chunk_read(out, span_of(w->key, sizeof(w->key)), buf_span(&w->value));
}

/* A value that says what it should not, with a checksum that is right. */
static void reseal(struct written *w)
{
    struct span key = span_of(w->key, sizeof(w->key));
    w->value.length -= 8;
    buf_put_u64(&w->value, minute_checksum(key, buf_span(&w->value)));
}

Test(minute_chunk, one_forward_seek_finds_the_only_chunk_that_can_hold_a_key)
{
    enum { CHUNKS = 5, EACH = 300 };
    uint8_t *keys = given_keys(CHUNKS * EACH, 7);
    struct written chunks[CHUNKS] = {0};
    for (uint32_t c = 0; c < CHUNKS; c++)
        minute_chunk_write(&chunks[c].value, chunks[c].key, 3, MINUTE,
                           keys + (size_t)c * EACH * HASH_CLICK_BYTES, EACH);
    struct minute_place place = {3, MINUTE, MINUTE_KEYS};

    for (uint32_t i = 0; i < CHUNKS * EACH * 2; i++) {
        uint8_t wanted[HASH_CLICK_BYTES], seek[MINUTE_CHUNK_KEY_BYTES];
        memcpy(wanted, keys + (size_t)(i / 2) * HASH_CLICK_BYTES, sizeof(wanted));
        bool absent = i % 2 == 1;
        if (absent)
            wanted[HASH_CLICK_BYTES - 1] ^= 1;
        minute_chunk_key(seek, 3, MINUTE, wanted);
        uint32_t found = 0;
        while (found < CHUNKS && memcmp(chunks[found].key, seek, sizeof(seek)) < 0)
            found++;
        if (found == CHUNKS) {
            cr_assert(absent && i == CHUNKS * EACH * 2 - 1, "only beyond the last key");
            continue;
        }
        struct minute_chunk chunk;
        cr_assert(minute_place_holds(&place, span_of(chunks[found].key, sizeof(seek))));
        cr_assert_eq(read_chunk(&chunks[found], &chunk), ERR_OK);
        cr_assert_eq(chunk.count, EACH);
        cr_assert_eq(minute_chunk_has(&chunk, wanted), !absent, "key %u", i);
    }
    for (uint32_t c = 0; c < CHUNKS; c++)
        buf_done(&chunks[c].value);
    free(keys);
}

Test(minute_chunk, keys_of_a_snapshot_sort_by_partition_minute_kind_and_click)
{
    static const uint8_t low[HASH_CLICK_BYTES] = {0}, high[HASH_CLICK_BYTES] = {255, 255};
    uint8_t a[MINUTE_CHUNK_KEY_BYTES], b[MINUTE_CHUNK_KEY_BYTES], head[MINUTE_PREFIX_BYTES];

    minute_chunk_key(a, 1, MINUTE, low);
    minute_chunk_key(b, 1, MINUTE, high);
    cr_assert_lt(memcmp(a, b, sizeof(a)), 0);
    minute_chunk_key(a, 1, MINUTE + 1, low);
    cr_assert_lt(memcmp(b, a, sizeof(a)), 0, "a later minute sorts behind every key of this one");
    minute_chunk_key(b, 2, 0, low);
    cr_assert_lt(memcmp(a, b, sizeof(a)), 0);
    minute_place_write(head, &(struct minute_place){1, MINUTE + 1, MINUTE_HEAD});
    cr_assert_lt(memcmp(head, a, sizeof(head)), 0, "the head comes first");
}

Test(minute_chunk, what_a_seek_found_beyond_the_minute_does_not_belong_to_it)
{
    static const uint8_t click[HASH_CLICK_BYTES] = {9};
    struct minute_place place = {1, MINUTE, MINUTE_KEYS}, read;
    uint8_t key[MINUTE_CHUNK_KEY_BYTES];

    minute_chunk_key(key, 1, MINUTE + 1, click);
    cr_assert_not(minute_place_holds(&place, span_of(key, sizeof(key))));
    minute_chunk_key(key, 2, MINUTE, click);
    cr_assert_not(minute_place_holds(&place, span_of(key, sizeof(key))));
    minute_chunk_key(key, 1, MINUTE, click);
    cr_assert(minute_place_holds(&place, span_of(key, sizeof(key))));
    cr_assert_not(minute_place_holds(&place, span_of(key, MINUTE_PREFIX_BYTES - 1)));
    cr_assert(minute_place_read(&read, span_of(key, sizeof(key))));
    cr_assert(read.partition == 1 && read.minute == MINUTE && read.kind == MINUTE_KEYS);
    cr_assert_not(minute_place_read(&read, span_of(key, MINUTE_PREFIX_BYTES - 1)));
    key[6] = MINUTE_KINDS;
    cr_assert_not(minute_place_read(&read, span_of(key, sizeof(key))), "no kind that we know");
}

Test(minute_chunk, the_largest_chunk_fits_64_KiB_and_the_smallest_is_one_key)
{
    uint8_t *keys = given_keys(MINUTE_CHUNK_KEYS_MAX, 1);
    struct written w = {0};
    struct minute_chunk chunk;

    minute_chunk_write(&w.value, w.key, 0, MINUTE, keys, MINUTE_CHUNK_KEYS_MAX);
    cr_assert_leq(w.value.length, 64 * 1024);
    cr_assert_eq(read_chunk(&w, &chunk), ERR_OK);
    cr_assert_eq(chunk.count, MINUTE_CHUNK_KEYS_MAX);
    minute_chunk_write(&w.value, w.key, 0, MINUTE, keys, 1);
    cr_assert_eq(read_chunk(&w, &chunk), ERR_OK);
    cr_assert(minute_chunk_has(&chunk, keys));
    keys[0] = 0;
    minute_chunk_sort(keys, 1);
    cr_assert_not(minute_chunk_has(&chunk, (uint8_t[HASH_CLICK_BYTES]){0}));
    buf_done(&w.value);
    free(keys);
}

Test(minute_chunk, every_cut_and_every_flipped_bit_is_found)
{
    uint8_t *keys = given_keys(12, 5);
    struct written w = {0};
    minute_chunk_write(&w.value, w.key, 7, MINUTE, keys, 12);
    struct minute_chunk chunk = {.count = 99};
    size_t length = w.value.length;

    for (w.value.length = 0; w.value.length < length; w.value.length++)
        cr_assert_eq(read_chunk(&w, &chunk), ERR_KV_CORRUPT);
    for (size_t bit = 0; bit < length * 8; bit++) {
        w.value.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(read_chunk(&w, &chunk), ERR_KV_CORRUPT);
        w.value.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t bit = 0; bit < sizeof(w.key) * 8; bit++) {
        w.key[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(read_chunk(&w, &chunk), ERR_KV_CORRUPT, "under another's key");
        w.key[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_assert_eq(chunk.count, 99, "untouched on failure");
    cr_assert_eq(minute_chunk_read(&chunk, span_of(w.key, sizeof(w.key) - 1), buf_span(&w.value)),
                 ERR_KV_CORRUPT);
    cr_assert_eq(read_chunk(&w, &chunk), ERR_OK);
    buf_done(&w.value);
    free(keys);
}

Test(minute_chunk, a_good_checksum_over_bad_content_is_not_believed)
{
    uint8_t *keys = given_keys(4, 5);
    struct written w = {0};
    struct minute_chunk chunk;
    static const uint32_t counts[] = {0, 3, 5, MINUTE_CHUNK_KEYS_MAX + 1, UINT32_MAX};

    for (size_t i = 0; i < countof(counts); i++) {
        minute_chunk_write(&w.value, w.key, 7, MINUTE, keys, 4);
        bytes_store_u32(w.value.data + 1, counts[i]);
        reseal(&w);
        cr_assert_eq(read_chunk(&w, &chunk), ERR_KV_CORRUPT, "count %u", counts[i]);
    }
    minute_chunk_write(&w.value, w.key, 7, MINUTE, keys, 4);
    w.value.data[0]++;
    reseal(&w);
    cr_assert_eq(read_chunk(&w, &chunk), ERR_KV_CORRUPT, "of a later version");
    minute_chunk_write(&w.value, w.key, 7, MINUTE, keys, 4);
    memset(w.value.data + MINUTE_CHUNK_HEAD_BYTES, 0xff, HASH_CLICK_BYTES);
    reseal(&w);
    cr_assert_eq(read_chunk(&w, &chunk), ERR_KV_CORRUPT, "unsorted");
    minute_chunk_write(&w.value, w.key, 7, MINUTE, keys, 4);
    w.key[MINUTE_CHUNK_KEY_BYTES - 1]++;
    reseal(&w);
    cr_assert_eq(read_chunk(&w, &chunk), ERR_KV_CORRUPT, "the key is not its last one");
    buf_done(&w.value);
    free(keys);
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, HASH_CLICK_BYTES);
}

Test(minute_chunk, keys_of_any_number_and_likeness_are_sorted)
{
    struct rng rng = {12};
    const uint32_t counts[] = {0, 1, 2, 31, 33, 100, 1000, 60000};
    for (unsigned c = 0; c < countof(counts); c++) {
        for (unsigned alike = 0; alike <= 12; alike += 4) {
            size_t bytes = (size_t)counts[c] * HASH_CLICK_BYTES;
            uint8_t *keys = base_zalloc(counts[c] + 1, HASH_CLICK_BYTES);
            uint8_t *wanted = base_zalloc(counts[c] + 1, HASH_CLICK_BYTES);
            for (uint32_t i = 0; i < counts[c]; i++) {
                uint8_t *key = keys + (size_t)i * HASH_CLICK_BYTES;
                bytes_store_u64(key, rng_next(&rng));
                bytes_store_u32(key + 8, (uint32_t)rng_next(&rng));
                bytes_store_u32(key + 12, i); /* distinct */
                memset(key, 0x5a, alike);
            }
            memcpy(wanted, keys, bytes);
            qsort(wanted, counts[c], HASH_CLICK_BYTES, by_bytes);

            minute_chunk_sort(keys, counts[c]);

            cr_assert_eq(memcmp(keys, wanted, bytes), 0, "%u keys, %u alike", counts[c], alike);
            free(keys);
            free(wanted);
        }
    }
}
