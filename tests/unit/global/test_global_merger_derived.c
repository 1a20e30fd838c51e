/* SPDX-License-Identifier: Apache-2.0
 * What the merger derives from rows and keeps beside them is at every moment what one would compute
 * from them anew. */
#include "merger_given.h"

#include "global/core/page.h"
#include "global/core/rollup.h"

TestSuite(global_merger_derived, .init = setup, .fini = teardown, .timeout = 60);

/* The key behind `key`; storage holds it. */
static struct span behind(struct span key, uint8_t storage[64])
{
    memmove(storage, key.data, key.length);
    storage[key.length] = 0;
    return span_of(storage, key.length + 1);
}

/* Users of a minute, from its sketches. */
static uint64_t users_of(struct kv_txn *txn, uint64_t ad_hash, uint32_t minute)
{
    struct hll all = {0}, one = {0};
    uint8_t storage[64];
    struct leaf_key start = leaf_key_sketch(ad_hash, minute, 0, 0);
    struct span key = leaf_key_span(&start), value, body;
    uint64_t found_ad;
    uint32_t found;
    for (; kv_seek(txn, LEAF_TABLE_SKETCH, key, &key, &value); key = behind(key, storage)) {
        cr_assert(leaf_sketch_of_key(key, &found_ad, &found));
        if (found_ad != ad_hash || found != minute)
            break;
        cr_assert(leaf_open(value, &body));
        cr_assert_eq(hll_read(&one, body), ERR_OK);
        (void)hll_merge(&all, &one);
    }
    uint64_t users = hll_estimate(&all);
    hll_done(&all);
    hll_done(&one);
    return users;
}

/* Clicks of an ad's hour as its day holds them; UINT64_MAX: none. */
static uint64_t hour_of(struct kv_txn *txn, uint64_t ad_hash, uint32_t hour)
{
    struct leaf_key key = leaf_key_rollup(ad_hash, hour / ROLLUP_HOURS);
    struct rollup day;
    struct span value, body;
    if (!kv_get(txn, LEAF_TABLE_ROLLUP, leaf_key_span(&key), &value))
        return UINT64_MAX;
    cr_assert(leaf_open(value, &body));
    cr_assert_eq(rollup_read(&day, body), ERR_OK);
    return (day.present >> hour % ROLLUP_HOURS & 1) != 0 ? day.hours[hour % ROLLUP_HOURS]
                                                         : UINT64_MAX;
}

/* Hours in all days. */
static unsigned hours_in_all(struct kv_txn *txn)
{
    uint8_t storage[64] = {0};
    struct span key = span_of(storage, 1), value, body;
    struct rollup day;
    unsigned hours = 0;
    for (; kv_seek(txn, LEAF_TABLE_ROLLUP, key, &key, &value); key = behind(key, storage)) {
        cr_assert(leaf_open(value, &body));
        cr_assert_eq(rollup_read(&day, body), ERR_OK);
        hours += (unsigned)__builtin_popcount(day.present);
    }
    return hours;
}

/* Clicks of a partition as its record holds them. */
static uint64_t merged_of(struct kv_txn *txn, uint16_t region, uint16_t partition)
{
    struct leaf_key key = leaf_key_partition(region, partition);
    struct standing_partition held = {.merged = 0};
    struct span value, body;
    cr_assert(kv_get(txn, LEAF_TABLE_PARTITION, leaf_key_span(&key), &value));
    cr_assert(leaf_open(value, &body));
    cr_assert_eq(standing_partition_read(&held, body), ERR_OK);
    return held.merged;
}

/* Returns how many pages there are. */
static unsigned expect_derived(void)
{
    struct kv_txn *txn;
    struct page page = {0};
    uint8_t storage[64] = {0};
    struct span key = span_of(storage, 1), value, body;
    unsigned pages = 0;
    uint64_t merged[GIVEN_REGIONS + 1][GIVEN_PARTITIONS] = {{0}};
    cr_assert_eq(kv_begin(w->kv, false, &txn), ERR_OK);
    for (; kv_seek(txn, LEAF_TABLE_PAGE, key, &key, &value); key = behind(key, storage)) {
        uint64_t ad_hash;
        uint32_t hour;
        pages++;
        cr_assert(leaf_page_of_key(key, &ad_hash, &hour));
        cr_assert(leaf_open(value, &body));
        cr_assert_eq(page_read(&page, body), ERR_OK);
        uint64_t clicks = 0;
        for (uint32_t i = 0; i < page.count; i++)
            clicks += page.entries[i].counted;
        cr_assert_eq(hour_of(txn, ad_hash, hour), clicks);
        for (uint32_t i = 0; i < page.count; i++) {
            const struct page_entry *e = &page.entries[i];
            merged[e->region][e->partition] += e->counted;
            if (e->has_sketch)
                cr_assert_eq(page.users[e->minute],
                             users_of(txn, ad_hash, hour * PAGE_MINUTES + e->minute));
        }
    }
    cr_assert_eq(hours_in_all(txn), pages, "hours without a page");
    for (uint16_t region = 1; region <= GIVEN_REGIONS; region++)
        for (uint16_t p = 0; p < GIVEN_PARTITIONS; p++)
            cr_assert_eq(merged_of(txn, region, p), merged[region][p]);
    page_done(&page);
    cr_assert_eq(kv_abort(&txn), ERR_OK);
    return pages;
}

/* An operator's refold: the row anew, with fewer clicks and without users. */
static void refold(struct given_replica *replica, struct rng *rng)
{
    unsigned used = 0;
    while (used < GIVEN_ROWS && replica->rows[used].used)
        used++;
    if (used == 0)
        return;
    struct given_row *row = &replica->rows[rng_below(rng, used)];
    row->generation++;
    row->counted = 1 + rng_below(rng, 3);
    row->dirty = true;
    hll_clear(&row->users);
}

Test(global_merger_derived, any_history_leaves_what_one_would_derive_anew)
{
    struct rng rng = {5};
    const char *names[4] = {given_ad(0, 0), given_ad(0, 1), given_ad(1, 0), given_ad(1, 1)};
    for (unsigned turn = 0; turn < 120; turn++) {
        for (unsigned n = 0; n < 6; n++) {
            unsigned region = (unsigned)rng_below(&rng, GIVEN_REGIONS);
            unsigned ad = (unsigned)rng_below(&rng, countof(names));
            uint32_t minute = GIVEN_MINUTE + (uint32_t)rng_below(&rng, 1 + turn);
            given_click(r[region][ad / 2], names[ad], minute, rng_below(&rng, 500),
                        1 + (unsigned)rng_below(&rng, 3), 0);
        }
        if (rng_chance(&rng, 50))
            refold(r[rng_below(&rng, 2)][rng_below(&rng, 2)], &rng);
        if (rng_chance(&rng, 500))
            close_minutes(1 + (uint32_t)rng_below(&rng, 2));
        cut_all();
        run();
        if (turn % 8 == 0)
            (void)expect_derived();
    }
    cr_assert_geq(expect_derived(), 8);
    for (unsigned ad = 0; ad < countof(names); ad++) {
        uint32_t start = GIVEN_MINUTE / 60 * 60, end = (GIVEN_MINUTE + 240) / 60 * 60;
        struct given_answer minutes = given_ask(w, names[ad], MINUTE_WINDOW_1M, start, end);
        struct given_answer hours = given_ask(w, names[ad], MINUTE_WINDOW_1H, start, end);
        for (uint32_t i = 0; i < hours.count; i++) {
            uint64_t clicks = 0;
            for (uint32_t m = 0; m < 60; m++)
                clicks += minutes.points[60 * i + m].click_count;
            cr_assert_eq(hours.points[i].click_count, clicks);
        }
    }
    cr_assert_gt(given_view(w).rows_changed, 100);
}
