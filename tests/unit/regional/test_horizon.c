/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/core/horizon.h"

#include "common/base/rng.h"

#include <criterion/criterion.h>

Test(horizon, minutes_are_found_in_any_order)
{
    struct horizon h = {0};
    uint32_t minutes[] = {50, 10, 30, 20, 60, 40};

    for (unsigned i = 0; i < countof(minutes); i++)
        cr_assert_eq(horizon_open(&h, minutes[i])->minute, minutes[i]);

    for (uint32_t i = 0; i < h.count; i++)
        cr_assert_eq(h.tables[i]->minute, 10 * (i + 1), "ascending");
    cr_assert_null(horizon_find(&h, 35));
    cr_assert_eq(horizon_first_from(&h, 35), 3);
    horizon_done(&h);
}

Test(horizon, rows_are_found_after_the_table_has_grown)
{
    struct horizon h = {0};
    struct minute_table *t = horizon_open(&h, 1);

    for (uint64_t ad = 1; ad <= 5000; ad++)
        horizon_add_row(&h, t, ad << 32 | 7)->counted = ad;

    for (uint64_t ad = 1; ad <= 5000; ad++)
        cr_assert_eq(horizon_row(t, ad << 32 | 7)->counted, ad);
    cr_assert_null(horizon_row(t, 5001ULL << 32 | 7));
    cr_assert_eq(h.rows, 5000);
    horizon_done(&h);
}

Test(horizon, the_total_is_the_sum_over_rows_in_any_order)
{
    struct horizon h = {0};
    struct minute_table *one = horizon_open(&h, 1), *other = horizon_open(&h, 2);

    for (unsigned i = 0; i < 20; i++) {
        struct bucket *a = horizon_add_row(&h, one, i);
        a->minute = 9; /* so that digests can be equal */
        (void)!bucket_count(a, i * 12345, false);
        struct bucket *b = horizon_add_row(&h, other, 19 - i);
        b->minute = 9;
        (void)!bucket_count(b, (19 - i) * 12345, false);
    }

    const struct partial_total *first = horizon_total(one), *second = horizon_total(other);
    cr_assert_eq(first->counted, 20);
    cr_assert_eq(first->rows, 20);
    cr_assert_eq(first->digest, second->digest);
    horizon_done(&h);
}

Test(horizon, a_touched_minute_forgets_its_total)
{
    struct horizon h = {0};
    struct minute_table *t = horizon_open(&h, 1);
    struct bucket *b = horizon_add_row(&h, t, 5);
    (void)!bucket_count(b, 1, false);
    uint64_t before = horizon_total(t)->digest;

    (void)!bucket_repeat(b);
    horizon_touch(t, b);

    cr_assert_neq(horizon_total(t)->digest, before);
    cr_assert_eq(horizon_total(t)->duplicate, 1);
    horizon_done(&h);
}

Test(horizon, retiring_frees_rows_keys_and_names)
{
    struct horizon h = {0};
    struct ad_names names = {0};
    uint8_t key[HASH_CLICK_BYTES] = {1};
    for (uint32_t minute = 1; minute <= 3; minute++) {
        struct minute_table *t = horizon_open(&h, minute);
        horizon_add_row(&h, t, 5);
        ad_names_hold(&names, 5, span_of_text("five"), minute);
        h.keys += dedupe_add(&t->keys, key);
    }
    ad_names_saved(&names);

    horizon_retire(&h, &names, 3);

    cr_assert_eq(h.count, 1);
    cr_assert_eq(h.tables[0]->minute, 3);
    cr_assert_eq(h.rows, 1);
    cr_assert_eq(h.keys, 1);
    cr_assert_not_null(ad_names_find(&names, 5));
    horizon_retire(&h, &names, 4 + 1440);
    cr_assert_eq(h.count, 0);
    cr_assert_null(ad_names_find(&names, 5));
    horizon_done(&h);
    ad_names_done(&names);
}
