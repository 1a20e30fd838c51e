/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/core/fold_clicks.h"

#include "unit/regional/region_given.h"

#define CLICKS 64

static const char *two_ads(unsigned i)
{
    return i % 2 == 0 ? "a" : "b";
}

/* A fold whose segment in hand is made of these hot columns. */
static struct fold *fold_with(struct segment_hot *hot, uint32_t clicks, struct span *ads,
                              uint32_t ad_count)
{
    struct fold_options options = {.region = GIVEN_REGION,
                                   .partitions = 1,
                                   .lateness_ms = 10000,
                                   .horizon_minutes = 60,
                                   .partial_interval_ms = 1000};
    struct fold *f = fold_new(&options);
    f->segment.hot = hot;
    f->segment.click_count = clicks;
    f->segment.ads = ads;
    f->segment.ad_count = ad_count;
    return f;
}

static void done(struct fold *f)
{
    f->segment = (struct segment){0}; /* its columns are ours */
    fold_free(f);
}

Test(fold_clicks, clicks_that_alternate_between_minutes_and_ads_find_their_rows)
{
    struct segment_hot hot[CLICKS] = {0};
    struct span ads[2] = {span_of_text(two_ads(0)), span_of_text(two_ads(1))};
    for (uint32_t i = 0; i < CLICKS; i++)
        hot[i] = (struct segment_hot){.key = {(uint8_t)(i + 1)},
                                      .user_hash = i * 0x9E3779B97F4A7C15ULL,
                                      .minute = GIVEN_MINUTE + i / 2 % 2,
                                      .ad = i % 2};
    struct fold *f = fold_with(hot, CLICKS, ads, 2);

    fold_clicks_take(f, 0);
    fold_clicks_take(f, 0);

    cr_assert_eq(f->books.counted, CLICKS);
    cr_assert_eq(f->books.duplicate, CLICKS);
    for (uint32_t i = 0; i < 4; i++) {
        struct minute_table *t = horizon_find(&f->horizon, GIVEN_MINUTE + i / 2);
        struct bucket *row = horizon_row(t, hash_ad(ads[i % 2]));
        cr_assert_eq(row->counted, CLICKS / 4);
        cr_assert_eq(row->duplicate, CLICKS / 4);
    }
    done(f);
}

Test(fold_clicks, skipped_clicks_are_not_taken)
{
    struct segment_hot hot[2] = {{.key = {1}, .minute = 5}, {.key = {2}, .minute = 5}};
    struct span ads[1] = {span_of_text("a")};
    struct fold *f = fold_with(hot, 2, ads, 1);

    fold_clicks_take(f, 2);
    cr_assert_eq(f->books.folded, 0);
    fold_clicks_take(f, 1);

    cr_assert_eq(f->books.folded, 1);
    uint8_t first[HASH_CLICK_BYTES] = {1};
    cr_assert_not(dedupe_has(&f->horizon.tables[0]->keys, first));
    done(f);
}

Test(fold_clicks, an_ad_whose_hash_another_has_is_carried)
{
    struct segment_hot hot[1] = {{.key = {1}, .minute = 5}};
    struct span ads[1] = {span_of_text("a")};
    struct fold *f = fold_with(hot, 1, ads, 1);
    ad_names_hold(&f->names, hash_ad(ads[0]), span_of_text("b"), 5);

    fold_clicks_take(f, 0);

    cr_assert_eq(f->books.carried, 1);
    cr_assert_eq(f->counts.collisions, 1);
    cr_assert_eq(f->horizon.count, 0, "no table for what is carried");
    done(f);
}

Test(fold_clicks, a_full_counter_carries)
{
    struct segment_hot hot[1] = {{.key = {1}, .minute = 5}};
    struct span ads[1] = {span_of_text("a")};
    struct fold *f = fold_with(hot, 1, ads, 1);
    struct minute_table *t = horizon_open(&f->horizon, 5);
    ad_names_hold(&f->names, hash_ad(ads[0]), ads[0], 5);
    horizon_add_row(&f->horizon, t, hash_ad(ads[0]))->counted = UINT64_MAX;

    fold_clicks_take(f, 0);

    cr_assert_eq(f->books.carried, 1);
    cr_assert_eq(f->counts.full, 1);
    done(f);
}

/* XXH3 multiplies the first eight bytes, xored with its own constant, by the next eight: with zero
 * for the former all that share the rest are alike. */
#define ALIKE "\xb8\xfe\x6c\x39\x23\xa4\x4b\xbe"

/* While the first click of an ad is carried, another ad may take the hash. */
Test(fold_clicks, an_ad_whose_first_click_was_carried_is_judged_again)
{
    struct span ads[2] = {span_of_text(ALIKE "first ad, 24 bytes long."),
                          span_of_text(ALIKE "secondad, 24 bytes long.")};
    cr_assert_eq(hash_ad(ads[0]), hash_ad(ads[1]));
    for (uint32_t again = 0; again < 2; again++) {
        struct segment_hot hot[3] = {{.key = {1}, .minute = GIVEN_MINUTE - 100, .ad = 1},
                                     {.key = {2}, .minute = GIVEN_MINUTE, .ad = 0},
                                     {.key = {3}, .minute = GIVEN_MINUTE + again, .ad = 1}};
        struct fold *f = fold_with(hot, 3, ads, 2);
        f->watermark_ms = minute_start_ms(GIVEN_MINUTE);
        fold_clicks_take(f, 0);
        cr_assert(f->books.counted == 1 && f->books.carried == 2);
        cr_assert(f->counts.expired == 1 && f->counts.collisions == 1);
        done(f);
    }
}
