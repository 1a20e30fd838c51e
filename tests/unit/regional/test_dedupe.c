/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/core/dedupe.h"

#include "common/base/rng.h"

#include <criterion/criterion.h>

static void key_of(uint64_t number, uint8_t out[HASH_CLICK_BYTES])
{
    struct rng r = {number};
    for (unsigned i = 0; i < HASH_CLICK_BYTES; i += 8)
        bytes_store_u64(out + i, rng_next(&r));
}

Test(dedupe, an_empty_table_has_nothing)
{
    struct dedupe d = {0};
    uint8_t key[HASH_CLICK_BYTES] = {1};

    cr_assert(!dedupe_has(&d, key));
    dedupe_prefetch(&d, key);
    cr_assert_eq(dedupe_count(&d), 0);
    dedupe_done(&d);
}

Test(dedupe, a_key_is_new_once)
{
    struct dedupe d = {0};
    uint8_t key[HASH_CLICK_BYTES];

    for (uint64_t i = 0; i < 100000; i++) {
        key_of(i, key);
        cr_assert(dedupe_add(&d, key), "key %lu", (unsigned long)i);
    }

    for (uint64_t i = 0; i < 100000; i++) {
        key_of(i, key);
        cr_assert(dedupe_has(&d, key));
        cr_assert(!dedupe_add(&d, key), "key %lu came twice", (unsigned long)i);
    }
    key_of(100000, key);
    cr_assert(!dedupe_has(&d, key));
    cr_assert_eq(dedupe_count(&d), 100000);
    dedupe_done(&d);
}

Test(dedupe, the_key_of_zeros_is_a_key_too)
{
    struct dedupe d = {0};
    uint8_t zeros[HASH_CLICK_BYTES] = {0};

    cr_assert(!dedupe_has(&d, zeros));
    cr_assert(dedupe_add(&d, zeros));
    cr_assert(!dedupe_add(&d, zeros));
    cr_assert(dedupe_has(&d, zeros));
    cr_assert_eq(dedupe_count(&d), 1);
    dedupe_done(&d);
}

Test(dedupe, keys_with_one_home_do_not_hide_each_other)
{
    struct dedupe d = {0};
    uint8_t key[HASH_CLICK_BYTES] = {5};

    for (unsigned i = 0; i < 200; i++) {
        key[15] = (uint8_t)i;
        cr_assert(dedupe_add(&d, key));
    }
    for (unsigned i = 0; i < 200; i++) {
        key[15] = (uint8_t)i;
        cr_assert(!dedupe_add(&d, key));
    }
    key[15] = 200;
    cr_assert(!dedupe_has(&d, key));
    dedupe_done(&d);
}

static uint64_t bytes_held(const struct dedupe *d)
{
    return (d->line_count + 1) * sizeof(struct dedupe_line) - 1;
}

Test(dedupe, the_bytes_told_are_the_bytes_held_and_bounded_a_key)
{
    struct dedupe d = {0};
    uint8_t key[HASH_CLICK_BYTES];
    for (uint64_t i = 1; i <= 200000; i++) {
        key_of(i, key);
        uint64_t before = d.bytes;
        cr_assert(dedupe_add(&d, key));
        if (d.bytes != before)
            cr_assert_eq(d.bytes, bytes_held(&d), "at %lu keys", (unsigned long)i);
        if (i > DEDUPE_SMALL_KEYS)
            cr_assert_leq(d.bytes, i * DEDUPE_KEY_BYTES_MAX, "at %lu keys", (unsigned long)i);
    }
    cr_assert_eq(d.bytes, bytes_held(&d));
    dedupe_done(&d);
    cr_assert_eq(d.bytes, 0);
}
