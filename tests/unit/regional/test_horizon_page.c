/* SPDX-License-Identifier: Apache-2.0
 * horizon_page: whatever is in memory and whatever in the store, the minute's total is the same. */
#include "regional/core/horizon_page.h"

#include "common/base/rng.h"

#include <criterion/criterion.h>

#define MINUTE 29000000u

static void count(struct horizon *h, struct minute_table *t, uint64_t ad, uint64_t user,
                  const uint8_t *key)
{
    struct bucket *b = horizon_row(t, ad);
    if (b == NULL)
        b = horizon_add_row(h, t, ad);
    horizon_touch(t, b);
    if (dedupe_add(&t->keys, key)) {
        cr_assert_eq(bucket_count(b, user, user % 3 == 0), ERR_OK);
        horizon_log_click(t, b, key, user);
        h->keys++;
    } else {
        cr_assert_eq(bucket_repeat(b), ERR_OK);
    }
}

static void told(struct minute_table *t)
{
    horizon_cut(t);
    t->changed = false;
    for (uint32_t i = 0; i < t->row_count; i++)
        t->rows[i].changed = false;
}

static struct minute_table *given_minute(struct horizon *h)
{
    struct minute_table *t = horizon_open(h, MINUTE);
    struct rng r = {6};
    for (unsigned i = 0; i < 400; i++) {
        uint8_t key[HASH_CLICK_BYTES] = {(uint8_t)(i % 256), (uint8_t)(i / 300)};
        count(h, t, rng_below(&r, 20), rng_next(&r), key);
    }
    told(t);
    return t;
}

struct row {
    struct minute_row row;
    struct buf sketch;
};

static struct row row_of(struct minute_table *t, uint64_t ad)
{
    const struct bucket *b = horizon_row(t, ad);
    struct row out = {
        .row = {.ad_hash = ad, .counted = b->counted, .duplicate = b->duplicate, .late = b->late}};
    hll_put(&b->users, &out.sketch);
    out.row.sketch = buf_span(&out.sketch);
    return out;
}

static void expect_total(struct minute_table *t, const struct partial_total *wanted)
{
    t->total_is_known = false;
    const struct partial_total *now = horizon_total(t);
    cr_assert(now->minute == wanted->minute && now->rows == wanted->rows &&
              now->counted == wanted->counted && now->duplicate == wanted->duplicate &&
              now->digest == wanted->digest);
}

Test(horizon_page, the_total_stays_while_rows_leave_and_come_back)
{
    struct horizon h = {0};
    struct minute_table *t = given_minute(&h);
    struct row rows[20];
    for (unsigned ad = 0; ad < 20; ad++)
        rows[ad] = row_of(t, ad);
    struct partial_total total = *horizon_total(t);

    horizon_page_out(&h, t);

    expect_total(t, &total);
    cr_assert_eq(h.rows + h.keys, 0);
    cr_assert_eq(h.stored_count, 1);
    cr_assert_eq(h.stored_last, MINUTE);
    for (unsigned ad = 0; ad < 20; ad++) {
        cr_assert(horizon_page_lacks_row(t, ad));
        cr_assert_eq(horizon_page_row(&h, t, &rows[ad].row), ERR_OK);
        cr_assert_not(horizon_page_lacks_row(t, ad));
        expect_total(t, &total);
        buf_done(&rows[ad].sketch);
    }
    cr_assert_eq(t->rest.rows, 0);
    cr_assert_eq(t->rest.digest, 0);
    cr_assert_eq(t->rest_late, 0);
    cr_assert_not(horizon_page_lacks_row(t, 99), "all are here");
    horizon_page_out(&h, t);
    expect_total(t, &total);
    cr_assert_eq(h.stored_count, 1);
    horizon_done(&h);
}

Test(horizon_page, a_key_that_the_store_has_is_a_repeat)
{
    struct horizon h = {0};
    struct minute_table *t = given_minute(&h);
    const uint8_t key[HASH_CLICK_BYTES] = {7};
    cr_assert_not(horizon_page_lacks_key(t, key), "in memory memory knows");

    horizon_page_out(&h, t);

    cr_assert(horizon_page_lacks_key(t, key));
    horizon_page_key(&h, t, key);
    horizon_page_key(&h, t, key);
    cr_assert_not(horizon_page_lacks_key(t, key));
    cr_assert_eq(h.keys, 1);
    cr_assert_not(dedupe_add(&t->keys, key));
    horizon_done(&h);
}

Test(horizon_page, late_clicks_are_counted_as_if_all_were_in_memory)
{
    struct horizon h = {0}, all = {0};
    struct minute_table *t = given_minute(&h), *u = given_minute(&all);
    struct row old = row_of(t, 3);
    horizon_page_out(&h, t);
    const uint8_t key[HASH_CLICK_BYTES] = {1, 2, 3};

    cr_assert_eq(horizon_page_row(&h, t, &old.row), ERR_OK);
    count(&h, t, 3, 12345, key);
    count(&all, u, 3, 12345, key);
    count(&h, t, 77, 5, (const uint8_t[HASH_CLICK_BYTES]){9, 9}); /* an ad that is new */
    count(&all, u, 77, 5, (const uint8_t[HASH_CLICK_BYTES]){9, 9});

    struct partial_total wanted = *horizon_total(u);
    expect_total(t, &wanted);
    told(t);
    horizon_page_out(&h, t);
    expect_total(t, &wanted);
    buf_done(&old.sketch);
    horizon_done(&h);
    horizon_done(&all);
}

Test(horizon_page, a_head_stands_for_the_minute)
{
    struct horizon h = {0};
    const struct minute_head head = {.cut = 9, .late = 2, .total = {MINUTE, 3, 40, 5, 77}};

    struct minute_table *t = horizon_page_head(&h, &head);

    expect_total(t, &head.total);
    cr_assert(t->stored && t->stored_cut == 9 && t->rest_late == 2);
    horizon_done(&h);
}

Test(horizon_page, a_row_that_the_head_does_not_account_for_is_damage)
{
    struct horizon h = {0};
    struct minute_head head = {.late = 2, .total = {MINUTE, 1, 40, 5, 77}};
    struct minute_row rows[] = {{.ad_hash = 1, .counted = 41},
                                {.ad_hash = 1, .duplicate = 6},
                                {.ad_hash = 1, .counted = 3, .late = 3},
                                {.ad_hash = 1, .sketch = span_of_text("?")}};
    struct minute_table *t = horizon_page_head(&h, &head);
    for (unsigned i = 0; i < countof(rows); i++)
        cr_assert_eq(horizon_page_row(&h, t, &rows[i]), ERR_KV_CORRUPT, "row %u", i);
    cr_assert_eq(h.rows, 0);

    cr_assert_eq(horizon_page_row(&h, t, &(struct minute_row){.ad_hash = 1}), ERR_OK);
    cr_assert_eq(horizon_page_row(&h, t, &(struct minute_row){.ad_hash = 2}), ERR_KV_CORRUPT,
                 "more rows than there are");
    horizon_done(&h);
}

Test(horizon_page, retired_minutes_are_stored_no_more)
{
    struct horizon h = {0};
    struct ad_names names = {0};
    horizon_page_out(&h, given_minute(&h));

    horizon_retire(&h, &names, MINUTE + 1);

    cr_assert_eq(h.stored_count, 0);
    cr_assert_eq(h.count, 0);
    horizon_done(&h);
    ad_names_done(&names);
}
