/* SPDX-License-Identifier: Apache-2.0
 * minute_merge: any split of keys and rows over any moves ends in the same minute. */
#include "regional/core/minute_merge.h"

#include "common/base/rng.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static const struct minute_place keys_place = {2, 29000000, MINUTE_KEYS};
static const struct minute_place rows_place = {2, 29000000, MINUTE_ROWS};

/* A store of one kind of values: sorted, few, in plain arrays. */
struct shelf {
    struct buf keys[600], values[600];
    unsigned count;
};

static int compare(struct span a, struct span b)
{
    size_t shorter = a.length < b.length ? a.length : b.length;
    int order = memcmp(a.data, b.data, shorter);
    return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

static unsigned seek(const struct shelf *s, struct span key)
{
    unsigned at = 0;
    while (at < s->count && compare(buf_span(&s->keys[at]), key) < 0)
        at++;
    return at;
}

static void put(void *context, struct span key, struct span value)
{
    struct shelf *s = context;
    unsigned at = seek(s, key);
    if (at == s->count || compare(buf_span(&s->keys[at]), key) != 0) {
        cr_assert_lt(s->count, countof(s->keys));
        memmove(s->keys + at + 1, s->keys + at, (s->count - at) * sizeof(s->keys[0]));
        memmove(s->values + at + 1, s->values + at, (s->count - at) * sizeof(s->values[0]));
        s->keys[at] = s->values[at] = (struct buf){0};
        s->count++;
    }
    buf_clear(&s->keys[at]);
    buf_put(&s->keys[at], key.data, key.length);
    buf_clear(&s->values[at]);
    buf_put(&s->values[at], value.data, value.length);
}

static void shelf_done(struct shelf *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        buf_done(&s->keys[i]);
        buf_done(&s->values[i]);
    }
    s->count = 0;
}

/* As the driver does. */
static uint32_t move_keys(struct shelf *s, const uint8_t *keys, uint32_t count,
                          const struct minute_sizes *sizes)
{
    const struct minute_sink sink = {put, s};
    uint32_t added = 0;
    for (uint32_t i = 0; i < count;) {
        uint8_t wanted[MINUTE_CHUNK_KEY_BYTES];
        const uint8_t *from = keys + (size_t)i * HASH_CLICK_BYTES;
        minute_chunk_key(wanted, keys_place.partition, keys_place.minute, from);
        unsigned at = seek(s, span_of(wanted, sizeof(wanted)));
        uint32_t upto = count - i;
        struct minute_chunk chunk;
        struct buf value = {0};
        if (at < s->count) {
            buf_put(&value, s->values[at].data, s->values[at].length);
            cr_assert_eq(minute_chunk_read(&chunk, buf_span(&s->keys[at]), buf_span(&value)),
                         ERR_OK);
            upto = minute_merge_keys_upto(from, upto, s->keys[at].data + MINUTE_PREFIX_BYTES);
            cr_assert_geq(upto, 1);
        }
        added +=
            minute_merge_keys(&keys_place, at < s->count ? &chunk : NULL, from, upto, sizes, &sink);
        buf_done(&value);
        i += upto;
    }
    return added;
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, HASH_CLICK_BYTES);
}

Test(minute_merge, keys_of_any_moves_are_found_each_once)
{
    enum { KEYS = 400 };
    static struct shelf s;
    struct rng r = {3};
    for (unsigned trial = 0; trial < 60; trial++) {
        const struct minute_sizes sizes = {1 + (uint32_t)rng_below(&r, 20), 5};
        static uint8_t all[KEYS][HASH_CLICK_BYTES];
        bool held[KEYS] = {0};
        for (unsigned i = 0; i < KEYS; i++) {
            bytes_store_u64(all[i], rng_next(&r));
            bytes_store_u64(all[i] + 8, rng_next(&r));
        }
        qsort(all, KEYS, HASH_CLICK_BYTES, by_bytes);
        uint32_t added = 0, wanted = 0;
        for (unsigned move = 0; move < 6; move++) {
            static uint8_t some[KEYS][HASH_CLICK_BYTES];
            uint32_t count = 0;
            unsigned chance = move == 0 ? 400 : 60;
            for (unsigned i = 0; i < KEYS; i++) {
                if (!rng_chance(&r, chance))
                    continue;
                memcpy(some[count++], all[i], HASH_CLICK_BYTES);
                wanted += !held[i];
                held[i] = true;
            }
            if (count > 0)
                added += move_keys(&s, some[0], count, &sizes);
        }

        cr_assert_eq(added, wanted, "of those that came again none is new");
        uint32_t found = 0;
        for (unsigned i = 0; i < KEYS; i++) {
            uint8_t key[MINUTE_CHUNK_KEY_BYTES];
            struct minute_chunk chunk;
            minute_chunk_key(key, keys_place.partition, keys_place.minute, all[i]);
            unsigned at = seek(&s, span_of(key, sizeof(key)));
            bool has = at < s.count;
            if (has) {
                cr_assert_eq(
                    minute_chunk_read(&chunk, buf_span(&s.keys[at]), buf_span(&s.values[at])),
                    ERR_OK);
                cr_assert_leq(chunk.count, sizes.chunk_keys);
                has = minute_chunk_has(&chunk, all[i]);
            }
            cr_assert_eq(has, held[i]);
            found += has;
        }
        cr_assert_eq(found, wanted);
        shelf_done(&s);
    }
}

Test(minute_merge, what_is_there_already_is_not_written_again)
{
    static struct shelf s;
    const uint8_t keys[2][HASH_CLICK_BYTES] = {{1}, {2}};
    const struct minute_chunk old = {keys_place, keys[0], 2};
    const struct minute_sink sink = {put, &s};

    uint32_t added = minute_merge_keys(&keys_place, &old, keys[1], 1, &minute_sizes_max, &sink);

    cr_assert_eq(added, 0);
    cr_assert_eq(s.count, 0);
}

/* --- rows --- */

enum { ADS = 120 };

struct ad {
    char id[16];
    uint64_t hash;
};

static int by_hash(const void *a, const void *b)
{
    const struct ad *x = a, *y = b;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static enum err move_rows(struct shelf *s, const struct minute_row *rows, uint32_t count,
                          const struct minute_sizes *sizes)
{
    const struct minute_sink sink = {put, s};
    for (uint32_t i = 0; i < count;) {
        uint8_t wanted[MINUTE_ROWS_KEY_BYTES];
        minute_rows_key(wanted, rows_place.partition, rows_place.minute, rows[i].ad_hash);
        unsigned at = seek(s, span_of(wanted, sizeof(wanted)));
        uint32_t upto = count - i;
        struct buf key = {0}, value = {0};
        if (at < s->count) {
            buf_put(&key, s->keys[at].data, s->keys[at].length);
            buf_put(&value, s->values[at].data, s->values[at].length);
            for (upto = 0; i + upto < count && rows[i + upto].ad_hash <=
                                                   bytes_load_u64(key.data + MINUTE_PREFIX_BYTES);)
                upto++;
        }
        enum err err = minute_merge_rows(&rows_place, buf_span(&key), buf_span(&value), rows + i,
                                         upto, sizes, &sink);
        buf_done(&key);
        buf_done(&value);
        if (err != ERR_OK)
            return err;
        i += upto;
    }
    return ERR_OK;
}

struct got {
    const struct ad *ads;
    uint64_t counted[ADS];
    unsigned rows;
};

static void take(void *context, const struct minute_row *row)
{
    struct got *g = context;
    struct ad wanted = {.hash = row->ad_hash};
    const struct ad *ad = bsearch(&wanted, g->ads, ADS, sizeof(*ad), by_hash);
    cr_assert_not_null(ad);
    cr_assert_eq(g->counted[ad - g->ads], 0, "twice");
    g->counted[ad - g->ads] = row->counted;
    g->rows++;
}

static void given_ads(struct ad ads[ADS])
{
    for (unsigned i = 0; i < ADS; i++) {
        (void)snprintf(ads[i].id, sizeof(ads[i].id), "ad-%u", i);
        ads[i].hash = hash_ad(span_of_text(ads[i].id));
    }
    qsort(ads, ADS, sizeof(*ads), by_hash);
}

Test(minute_merge, the_newest_of_each_row_is_found_once)
{
    static struct shelf s;
    static struct ad ads[ADS];
    struct rng r = {4};
    given_ads(ads);
    for (unsigned trial = 0; trial < 60; trial++) {
        const struct minute_sizes sizes = {5, 1 + (uint32_t)rng_below(&r, 30)};
        uint64_t newest[ADS] = {0};
        for (unsigned move = 1; move <= 6; move++) {
            struct minute_row rows[ADS];
            uint32_t count = 0;
            for (unsigned i = 0; i < ADS; i++) {
                if (!rng_chance(&r, move == 1 ? 500 : 80))
                    continue;
                newest[i] = move * 1000 + i;
                rows[count++] = (struct minute_row){
                    .ad_hash = ads[i].hash, .counted = newest[i], .ad_id = span_of_text(ads[i].id)};
            }
            if (count > 0)
                cr_assert_eq(move_rows(&s, rows, count, &sizes), ERR_OK);
        }

        struct got g = {.ads = ads};
        for (unsigned i = 0; i < s.count; i++) {
            unsigned before = g.rows;
            cr_assert_eq(minute_rows_read(buf_span(&s.keys[i]), buf_span(&s.values[i]), take, &g),
                         ERR_OK);
            cr_assert_leq(g.rows - before, sizes.value_rows);
        }
        cr_assert_eq(memcmp(g.counted, newest, sizeof(newest)), 0);
        shelf_done(&s);
    }
}

Test(minute_merge, rows_too_large_for_one_value_become_several)
{
    static struct shelf s;
    static struct ad ads[ADS];
    static struct minute_row rows[ADS];
    struct hll dense = {0};
    struct buf sketch = {0};
    struct rng r = {5};
    given_ads(ads);
    for (unsigned i = 0; i < 20000; i++)
        (void)hll_add(&dense, rng_next(&r));
    hll_put(&dense, &sketch);
    for (unsigned i = 0; i < ADS; i++)
        rows[i] = (struct minute_row){.ad_hash = ads[i].hash,
                                      .counted = 1,
                                      .ad_id = span_of_text(ads[i].id),
                                      .sketch = buf_span(&sketch)};

    cr_assert_eq(move_rows(&s, rows, ADS, &minute_sizes_max), ERR_OK);

    cr_assert_gt(s.count, 5);
    for (unsigned i = 0; i < s.count; i++)
        cr_assert_leq(s.values[i].length, MINUTE_ROWS_BYTES_MAX);
    s.values[0].data[9] ^= 1;
    cr_assert_eq(move_rows(&s, rows, 1, &minute_sizes_max), ERR_KV_CORRUPT);
    shelf_done(&s);
    hll_done(&dense);
    buf_done(&sketch);
}
