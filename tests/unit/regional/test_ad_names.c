/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/core/ad_names.h"

#include "common/base/hash.h"
#include "common/base/rng.h"

#include <criterion/criterion.h>
#include <stdio.h>

Test(ad_names, a_second_text_with_the_same_hash_shows)
{
    struct ad_names names = {0};

    ad_names_hold(&names, 42, span_of_text("one"), 1);

    const struct ad_name *known = ad_names_find(&names, 42);
    cr_assert_not_null(known);
    cr_assert(!span_equal(ad_names_text(known), span_of_text("two")));
    cr_assert_null(ad_names_find(&names, 43));
    ad_names_done(&names);
}

Test(ad_names, a_name_outlives_its_rows_by_a_day_at_most)
{
    for (uint64_t hash = 0; hash < 5000; hash += 7) {
        struct ad_names names = {0};
        ad_names_hold(&names, hash, span_of_text("one"), 10000);
        ad_names_hold(&names, hash, span_of_text("one"), 9000);
        if (hash % 2 == 0)
            ad_names_saved(&names);

        ad_names_retire(&names, 10000);
        cr_assert_not_null(ad_names_find(&names, hash));
        ad_names_retire(&names, 10000 + 1440);

        cr_assert_null(ad_names_find(&names, hash));
        cr_assert_eq(names.used, 0);
        cr_assert_eq(names.dropped.length, hash % 2 == 0 ? 8 : 0, "its record goes, if it has one");
        cr_assert_eq(names.unsaved_count, 0);
        ad_names_done(&names);
    }
}

Test(ad_names, a_name_is_due_once_a_day)
{
    struct ad_names names = {0};
    struct ad_name *out[4];
    struct ad_name *b = ad_names_hold(&names, 2, span_of_text("b"), 1);
    struct ad_name *a = ad_names_hold(&names, 1, span_of_text("a"), 1);

    ad_names_seen(&names, b, 100);
    ad_names_seen(&names, a, 100);
    ad_names_seen(&names, b, 100);
    cr_assert_eq(names.due, 2);
    ad_names_take_due(&names, out);

    cr_assert_eq(out[0], a, "in order of hash");
    cr_assert_eq(out[1], b);
    ad_names_seen(&names, a, 100);
    cr_assert_eq(names.due, 0);
    ad_names_seen(&names, a, 101);
    cr_assert_eq(names.due, 1);
    ad_names_done(&names);
}

Test(ad_names, random_holds_and_retirements_keep_what_is_held)
{
    enum { ADS = 500 };
    struct ad_names names = {0};
    struct rng r = {1};
    uint32_t last[ADS] = {0}, below = 0;
    char text[16];

    for (unsigned step = 0; step < 20000; step++) {
        unsigned ad = (unsigned)rng_below(&r, ADS);
        (void)snprintf(text, sizeof(text), "ad-%u", ad);
        /* Few homes, so that runs collide. */
        uint64_t hash = (uint64_t)(ad % 7) << 32 | ad;
        uint32_t minute = below + 1 + (uint32_t)rng_below(&r, 2000);
        ad_names_hold(&names, hash, span_of_text(text), minute);
        last[ad] = minute > last[ad] ? minute : last[ad];
        if (step % 40 == 0) {
            below += (uint32_t)rng_below(&r, 200);
            ad_names_saved(&names);
            ad_names_retire(&names, below);
        }
    }

    unsigned held = 0;
    for (unsigned ad = 0; ad < ADS; ad++) {
        const struct ad_name *name = ad_names_find(&names, (uint64_t)(ad % 7) << 32 | ad);
        held += name != NULL;
        cr_assert(name != NULL || last[ad] < below, "ad %u", ad);
        cr_assert(name == NULL || last[ad] + 1440 > below, "ad %u", ad);
    }
    cr_assert_eq(names.used, held);
    ad_names_done(&names);
}

static void expect_same(const struct ad_name *a, const struct ad_name *b)
{
    cr_assert(span_equal(ad_names_text(a), ad_names_text(b)));
    cr_assert_eq(a->day, b->day);
    cr_assert_eq(a->first_cut, b->first_cut);
    cr_assert_eq(a->keep_below, b->keep_below);
}

Test(ad_names, a_record_brings_a_name_back)
{
    struct ad_names names = {0}, read = {0}, later = {0};
    struct buf value = {0};
    uint8_t key[AD_NAMES_KEY_BYTES];
    uint64_t hash = hash_ad(span_of_text("one"));
    struct ad_name *name = ad_names_hold(&names, hash, span_of_text("one"), 5000);
    ad_names_seen(&names, name, 20);
    cr_assert_eq(names.unsaved_count, 1);
    ad_names_key(key, 3, hash);
    ad_names_write(&value, 3, name, 77);
    ad_names_saved(&names);
    cr_assert_eq(name->first_cut, 77);
    cr_assert_eq(names.unsaved_count, 0);
    ad_names_hold(&names, hash, span_of_text("one"), 4000);
    ad_names_seen(&names, name, 20);
    cr_assert_eq(names.unsaved_count, 0, "nothing new");

    cr_assert_eq(ad_names_read(&read, span_of(key, sizeof(key)), buf_span(&value), 5000), ERR_OK);
    expect_same(ad_names_find(&read, hash), name);
    cr_assert_eq(ad_names_read(&later, span_of(key, sizeof(key)), buf_span(&value), 7000), ERR_OK);
    cr_assert_null(ad_names_find(&later, hash), "retired before its record was deleted");
    cr_assert_eq(later.dropped.length, 8);
    cr_assert_eq(ad_names_read(&read, span_of(key, sizeof(key)), buf_span(&value), 5000),
                 ERR_KV_CORRUPT, "a second time");
    ad_names_seen(&names, name, 21);
    cr_assert_eq(names.unsaved_count, 1);
    cr_assert_eq(name->first_cut, 0, "known at the next cut");
    buf_done(&value);
    ad_names_done(&names);
    ad_names_done(&read);
    ad_names_done(&later);
}

Test(ad_names, a_damaged_record_is_refused)
{
    struct ad_names names = {0}, read = {0};
    struct buf value = {0};
    uint8_t key[AD_NAMES_KEY_BYTES];
    uint64_t hash = hash_ad(span_of_text("one"));
    ad_names_key(key, 3, hash);
    ad_names_write(&value, 3, ad_names_hold(&names, hash, span_of_text("one"), 5000), 77);
    for (size_t i = 0; i < value.length; i++) {
        value.data[i] ^= 1;
        cr_assert_eq(ad_names_read(&read, span_of(key, sizeof(key)), buf_span(&value), 0),
                     ERR_KV_CORRUPT);
        value.data[i] ^= 1;
        cr_assert_eq(ad_names_read(&read, span_of(key, sizeof(key)), span_of(value.data, i), 0),
                     ERR_KV_CORRUPT);
    }
    cr_assert_eq(ad_names_read(&read, span_of(key, 9), buf_span(&value), 0), ERR_KV_CORRUPT);
    key[5] ^= 1;
    cr_assert_eq(ad_names_read(&read, span_of(key, sizeof(key)), buf_span(&value), 0),
                 ERR_KV_CORRUPT, "under another's key");
    cr_assert_eq(read.used, 0);
    buf_done(&value);
    ad_names_done(&names);
    ad_names_done(&read);
}
