/* SPDX-License-Identifier: Apache-2.0
 * Keys sort as their meaning; values know when they were harmed. */
#include "global/core/leaf.h"

#include "common/base/rng.h"

#include <criterion/criterion.h>

TestSuite(leaf, .timeout = 30);

static int order(struct leaf_key a, struct leaf_key b)
{
    size_t shorter = a.length < b.length ? a.length : b.length;
    int by_bytes = memcmp(a.data, b.data, shorter);
    return by_bytes != 0 ? by_bytes : (int)a.length - (int)b.length;
}

Test(leaf, a_sealed_value_opens_and_any_flipped_bit_is_seen)
{
    struct buf value = {0};
    buf_put(&value, "hello", 5);
    leaf_seal(&value);
    struct span body;
    cr_assert(leaf_open(buf_span(&value), &body));
    cr_assert(span_equal(body, span_of_text("hello")));

    for (size_t bit = 0; bit < value.length * 8; bit++) {
        value.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        cr_assert_not(leaf_open(buf_span(&value), &body), "bit %zu", bit);
        value.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    for (size_t length = 0; length < value.length; length++)
        cr_assert_not(leaf_open(span_of(value.data, length), &body));
    buf_done(&value);
}

Test(leaf, pages_of_one_ad_sort_by_hour_and_lie_together)
{
    struct rng rng = {1};
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t ad[2] = {rng_below(&rng, 3), rng_below(&rng, 3)};
        uint32_t hour[2] = {(uint32_t)rng_next(&rng), (uint32_t)rng_next(&rng)};
        int found = order(leaf_key_page(ad[0], hour[0]), leaf_key_page(ad[1], hour[1]));
        int wanted =
            ad[0] != ad[1] ? (ad[0] < ad[1] ? -1 : 1) : (hour[0] > hour[1]) - (hour[0] < hour[1]);
        cr_assert_eq((found > 0) - (found < 0), wanted);
    }
}

Test(leaf, minutes_of_one_partition_sort_by_time)
{
    cr_assert_lt(order(leaf_key_minute(1, 2, 255), leaf_key_minute(1, 2, 256)), 0);
    cr_assert_lt(order(leaf_key_minute(1, 2, UINT32_MAX), leaf_key_minute(1, 3, 0)), 0);
    cr_assert_lt(order(leaf_key_minute(1, 1023, UINT32_MAX), leaf_key_minute(2, 0, 0)), 0);
    cr_assert_lt(order(leaf_key_sketch(1, 9, 2, 2), leaf_key_sketch(1, 10, 1, 1)), 0);
    cr_assert_lt(order(leaf_key_want(1, 1, 1, UINT64_MAX), leaf_key_want(1, 1, 2, 0)), 0);
}

Test(leaf, what_went_into_a_key_comes_out_again)
{
    uint64_t ad;
    uint32_t time;
    uint16_t region, partition;
    uint8_t kind;
    char name[LIMIT_READER_NAME_BYTES + 1];

    struct leaf_key key = leaf_key_page(77, 88);
    cr_assert(leaf_page_of_key(leaf_key_span(&key), &ad, &time));
    cr_assert(ad == 77 && time == 88);
    key = leaf_key_sketch(77, 88, 3, 4);
    cr_assert(leaf_sketch_of_key(leaf_key_span(&key), &ad, &time));
    cr_assert(ad == 77 && time == 88);
    key = leaf_key_hour(3, 4, 5);
    cr_assert(leaf_hour_of_key(leaf_key_span(&key), &region, &partition, &time));
    cr_assert(region == 3 && partition == 4 && time == 5);
    key = leaf_key_region(9);
    cr_assert(leaf_region_of_key(leaf_key_span(&key), &region) && region == 9);
    key = leaf_key_partition(9, 8);
    cr_assert(leaf_partition_of_key(leaf_key_span(&key), &region, &partition));
    cr_assert(region == 9 && partition == 8);
    key = leaf_key_replica(1, 2, "us-r1");
    cr_assert(leaf_replica_of_key(leaf_key_span(&key), &region, &partition, name));
    cr_assert_str_eq(name, "us-r1");
    key = leaf_key_want(1, 2, 3, 4);
    cr_assert(leaf_want_of_key(leaf_key_span(&key), &region, &partition, &kind, &ad));
    cr_assert(region == 1 && partition == 2 && kind == 3 && ad == 4);
}

Test(leaf, keys_of_another_shape_are_refused)
{
    uint64_t ad;
    uint32_t time;
    uint16_t region, partition;
    struct leaf_key key = leaf_key_sketch(1, 2, 3, 4);
    cr_assert_not(leaf_page_of_key(leaf_key_span(&key), &ad, &time));
    cr_assert_not(leaf_region_of_key(leaf_key_span(&key), &region));
    key = leaf_key_page(1, 2);
    cr_assert_not(leaf_sketch_of_key(leaf_key_span(&key), &ad, &time));
    cr_assert_not(leaf_hour_of_key(leaf_key_span(&key), &region, &partition, &time));
}

Test(leaf, every_table_has_a_name_of_its_own)
{
    for (unsigned i = 0; i < LEAF_TABLES; i++) {
        cr_assert_not_null(leaf_table_names[i]);
        for (unsigned j = 0; j < i; j++)
            cr_assert_str_neq(leaf_table_names[i], leaf_table_names[j]);
    }
}

Test(leaf, a_key_of_another_shape_is_no_key)
{
    uint8_t bytes[64] = {0};
    char name[LIMIT_READER_NAME_BYTES + 1];
    uint64_t what;
    uint32_t hour;
    uint16_t region, partition;
    uint8_t kind;
    for (size_t length = 0; length < sizeof(bytes); length++) {
        struct span key = span_of(bytes, length);
        cr_assert_eq(leaf_page_of_key(key, &what, &hour), length == 12, "%zu", length);
        cr_assert_eq(leaf_sketch_of_key(key, &what, &hour), length == 16, "%zu", length);
        cr_assert_eq(leaf_hour_of_key(key, &region, &partition, &hour), length == 8, "%zu", length);
        cr_assert_eq(leaf_region_of_key(key, &region), length == 2, "%zu", length);
        cr_assert_eq(leaf_partition_of_key(key, &region, &partition), length == 4, "%zu", length);
        cr_assert_eq(leaf_replica_of_key(key, &region, &partition, name),
                     length >= 5 && length <= 4 + LIMIT_READER_NAME_BYTES, "%zu", length);
        cr_assert_eq(leaf_want_of_key(key, &region, &partition, &kind, &what), length == 13, "%zu",
                     length);
    }
}
