/* SPDX-License-Identifier: Apache-2.0
 * What is kept no longer goes in bites, stays gone, and is never answered with zeros. */
#include "global/core/retire.h"
#include "merger_given.h"

#define DAYS 8u

static void setup_retiring(void)
{
    setup();
    given_crash(w);
    w->minutes_days = DAYS;
    w->hours_days = 2 * DAYS;
    given_start(w);
}

TestSuite(global_merger_retire, .init = setup_retiring, .fini = teardown, .timeout = 60);

/* Fewer days than an operator may ask for: fewer minutes to tell of. */
static void keep_one_day(void)
{
    given_crash(w);
    w->minutes_days = 1;
    w->hours_days = 2;
    given_start(w);
}

/* Replicas tell that the watermark has moved on, and of a day's minutes at most. */
static void tell_hours(uint32_t hours)
{
    static struct partial_total totals[RETIRE_DAY_MINUTES];
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        for (unsigned p = 0; p < GIVEN_PARTITIONS; p++) {
            struct given_replica *from = r[i][p];
            struct partial head = given_head(from);
            from->closed_before += hours * 60;
            head.watermark_ms = minute_start_ms(from->closed_before) + 10000;
            head.totals = totals;
            for (uint32_t m = from->told_before; m < from->closed_before; m++)
                if (head.total_count < countof(totals))
                    totals[head.total_count++] = given_total(from, m);
            from->told_before = from->closed_before;
            given_publish(from, &head);
        }
    run();
}

static void pass_hours(uint32_t hours)
{
    given_pass_ms(w, hours * 60 * MINUTE_MS);
    tell_hours(hours);
}

static bool is_there(enum leaf_table table, struct leaf_key key)
{
    struct kv_txn *txn;
    struct span value;
    cr_assert_eq(kv_begin(w->kv, false, &txn), ERR_OK);
    bool found = kv_get(txn, table, leaf_key_span(&key), &value);
    cr_assert_eq(kv_abort(&txn), ERR_OK);
    return found;
}

static uint32_t kept_from(void)
{
    return (uint32_t)(given_view(w).kept_from_s / 60);
}

Test(global_merger_retire, minutes_go_and_their_hours_stay)
{
    const char *ad = given_ad(0, 0);
    uint32_t hour = GIVEN_MINUTE / 60 * 60;
    given_click(r[0][0], ad, GIVEN_MINUTE, 1, 5, 0);
    given_click(r[1][0], ad, GIVEN_MINUTE + 1, 2, 3, 0);
    close_minutes(2);
    cut_all();
    run();
    cr_assert_eq(kept_from(), hour + 60 - 60 - DAYS * 1440);

    pass_hours(DAYS * 24 - 1);
    given_expect(w, ad, GIVEN_MINUTE, 5, true);
    cr_assert_eq(sim_kv_entries(w->kv, LEAF_TABLE_SKETCH), 2);
    cr_assert(is_there(LEAF_TABLE_MINUTE, leaf_key_minute(1, 0, GIVEN_MINUTE)));
    cr_assert(is_there(LEAF_TABLE_COMPLETE, leaf_key_hour(1, 0, GIVEN_MINUTE / 60)));
    pass_hours(2);

    cr_assert_gt(kept_from(), GIVEN_MINUTE);
    cr_assert_eq(sim_kv_entries(w->kv, LEAF_TABLE_PAGE), 0);
    cr_assert_eq(sim_kv_entries(w->kv, LEAF_TABLE_SKETCH), 0);
    cr_assert_eq(sim_kv_entries(w->kv, LEAF_TABLE_ROLLUP), 1);
    cr_assert_not(is_there(LEAF_TABLE_MINUTE, leaf_key_minute(1, 0, GIVEN_MINUTE)));
    cr_assert(is_there(LEAF_TABLE_COMPLETE, leaf_key_hour(1, 0, GIVEN_MINUTE / 60)));
    struct given_answer minutes =
        given_ask(w, ad, MINUTE_WINDOW_1M, GIVEN_MINUTE, GIVEN_MINUTE + 1);
    cr_assert_eq(minutes.err, ERR_RETIRED);
    cr_assert_eq(minutes.kept_from_s, kept_from() * 60ULL);
    struct given_answer hours = given_ask(w, ad, MINUTE_WINDOW_1H, hour, hour + 60);
    cr_assert_eq(hours.err, ERR_OK, "%s", err_words(hours.err));
    cr_assert_eq(hours.points[0].click_count, 8);
    cr_assert_not(hours.points[0].has_unique_users);
    cr_assert_eq(given_ask(w, ad, MINUTE_WINDOW_1M, kept_from(), kept_from() + 60).err, ERR_OK);

    pass_hours(DAYS * 24 + 24);
    cr_assert_eq(sim_kv_entries(w->kv, LEAF_TABLE_ROLLUP), 0);
    cr_assert_not(is_there(LEAF_TABLE_COMPLETE, leaf_key_hour(1, 0, GIVEN_MINUTE / 60)));
    cr_assert_eq(given_ask(w, ad, MINUTE_WINDOW_1H, hour, hour + 60).err, ERR_RETIRED);
}

Test(global_merger_retire, a_row_of_a_retired_minute_is_refused_and_told)
{
    const char *ad = given_ad(0, 0);
    uint32_t hour = GIVEN_MINUTE / 60 * 60;
    given_click(r[0][0], ad, GIVEN_MINUTE, 1, 5, 0);
    given_click(r[0][0], ad, GIVEN_MINUTE + 1, 1, 2, 0);
    close_minutes(2);
    cut_all();
    pass_hours(DAYS * 24 + 2);
    /* One of the two minutes again, as if read anew: alone it would make half a page. */
    given_click(r[0][0], ad, GIVEN_MINUTE, 2, 1, 0);
    struct partial p = given_head(r[0][0]);
    struct buf sketches = {0};
    buf_reserve(&sketches, 1024);
    struct partial_row row =
        given_sent(r[0][0], given_row_of(r[0][0], ad, GIVEN_MINUTE), &sketches);
    struct partial_total total = given_total(r[0][0], GIVEN_MINUTE);
    p.rows = &row;
    p.row_count = 1;
    p.totals = &total;
    p.total_count = 1;
    p.whole = true;
    given_publish(r[0][0], &p);
    uint64_t keys = given_view(w).keys_retired;
    run();

    cr_assert_eq(given_view(w).rows_retired, 1);
    cr_assert_eq(given_view(w).keys_retired, keys);
    cr_assert_eq(sim_kv_entries(w->kv, LEAF_TABLE_PAGE), 0);
    cr_assert_not(is_there(LEAF_TABLE_MINUTE, leaf_key_minute(1, 0, GIVEN_MINUTE)));
    cr_assert_eq(given_ask(w, ad, MINUTE_WINDOW_1H, hour, hour + 60).points[0].click_count, 7);

    given_crash(w);
    given_start(w);
    given_publish(r[0][0], &p);
    run();
    cr_assert_eq(given_view(w).rows_retired, 1, "the horizon is durable");
    buf_done(&sketches);
}

Test(global_merger_retire, nothing_goes_while_one_region_is_behind)
{
    const char *ad = given_ad(0, 0);
    given_click(r[0][0], ad, GIVEN_MINUTE, 1, 5, 0);
    close_minutes(1);
    cut_all();
    run();
    uint32_t before = kept_from();
    given_pass_ms(w, 30 * 24 * 60 * MINUTE_MS);
    for (unsigned p = 0; p < GIVEN_PARTITIONS; p++) {
        r[0][p]->closed_before += 30 * 1440;
        r[0][p]->told_before = r[0][p]->closed_before;
        struct partial head = given_head(r[0][p]);
        given_publish(r[0][p], &head);
    }
    run();

    cr_assert_eq(kept_from(), before);
    given_expect(w, ad, GIVEN_MINUTE, 5, true);
}

Test(global_merger_retire, a_clock_that_runs_ahead_in_every_region_retires_nothing)
{
    const char *ad = given_ad(0, 0);
    given_click(r[0][0], ad, GIVEN_MINUTE, 1, 5, 0);
    close_minutes(1);
    cut_all();
    run();
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        for (unsigned p = 0; p < GIVEN_PARTITIONS; p++) {
            struct partial head = given_head(r[i][p]);
            head.watermark_ms += 1000ULL * 1440 * MINUTE_MS;
            given_publish(r[i][p], &head);
        }
    run();

    cr_assert_leq(kept_from(), GIVEN_MINUTE + 60 - DAYS * 1440);
    given_expect(w, ad, GIVEN_MINUTE, 5, true);
}

/* Many pages; the walk needs several bites. Dies at every commit of it. */
Test(global_merger_retire, a_crash_at_any_commit_of_the_walk_ends_in_the_same_store)
{
    for (uint32_t n = 0; n < GIVEN_ROWS; n++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "many-%u", n);
        uint16_t p = hash_partition(hash_ad(span_of_text(name)), GIVEN_PARTITIONS);
        given_click(r[n % 2][p], name, GIVEN_MINUTE + n % 3, n, 1, 0);
    }
    close_minutes(3);
    cut_all();
    run();
    cr_assert_gt(sim_kv_entries(w->kv, LEAF_TABLE_PAGE), 400);
    struct kv_port *before = sim_kv_clone(w->kv);
    uint64_t began = sim_kv_commits(w->kv);
    pass_hours(DAYS * 24 + 2);
    uint64_t commits = sim_kv_commits(w->kv) - began;
    cr_assert_geq(commits, 4, "in bites");
    uint64_t expected[LEAF_TABLES];
    for (unsigned i = 0; i < LEAF_TABLES; i++)
        expected[i] = given_digest(w->kv, i);
    cr_assert_eq(sim_kv_entries(w->kv, LEAF_TABLE_PAGE), 0);

    for (unsigned n = 1; n <= 2 * commits; n++) {
        given_crash(w);
        sim_kv_free(w->kv);
        w->kv = sim_kv_clone(before);
        given_start(w);
        sim_kv_fail_commit(w->kv, (n + 1) / 2, ERR_KV_IO, n % 2 == 0);
        cr_assert_eq(given_run(w), ERR_KV_IO);
        given_crash(w);
        given_start(w);
        run();
        for (unsigned i = 0; i < LEAF_TABLES; i++)
            cr_assert_eq(given_digest(w->kv, i), expected[i], "commit %u: table %s", n,
                         leaf_table_names[i]);
    }
    sim_kv_free(before);
}

Test(global_merger_retire, a_full_store_is_first_relieved_of_what_is_old)
{
    const char *ad = given_ad(0, 0);
    keep_one_day();
    for (uint32_t m = 0; m < 400; m++) {
        given_click(r[0][0], ad, GIVEN_MINUTE + m, m, 1, 0);
        if (m % 40 != 39)
            continue;
        close_minutes(40);
        cut_all();
        run();
    }
    tell_hours(26);
    for (unsigned i = 0; i < 2; i++) /* the minutes that nobody told of are noted bit by bit */
        tell_hours(0);
    cr_assert_eq(given_view(w).keys_retired, 0, "our own clock has not come there");
    sim_kv_limit(w->kv, sim_kv_bytes(w->kv) + 200);
    given_pass_ms(w, 26 * 60 * MINUTE_MS);
    uint32_t minute = r[0][0]->closed_before;
    for (uint32_t n = 0; n < 30; n++) { /* new rows, for which there is no room yet */
        char name[16];
        (void)snprintf(name, sizeof(name), "new-%u", n);
        uint16_t p = hash_partition(hash_ad(span_of_text(name)), GIVEN_PARTITIONS);
        given_click(r[0][p], name, minute, n, 1, 0);
    }
    cut_all();
    for (unsigned i = 0; i < 8; i++) {
        run();
        given_pass_ms(w, 1000);
    }

    cr_assert_gt(given_view(w).commit_failures, 0);
    cr_assert_gt(given_view(w).keys_retired, 400);
    given_expect(w, "new-3", minute, 1, false);
}

Test(global_merger_retire, a_store_with_a_horizon_does_not_grow)
{
    const char *ads[3] = {given_ad(0, 0), given_ad(0, 1), given_ad(1, 0)};
    uint64_t settled = 0;
    keep_one_day();
    for (uint32_t turn = 0; turn < 20; turn++) { /* six hours each */
        for (unsigned n = 0; n < 3; n++)
            given_click(r[turn % 2][n / 2], ads[n], r[0][0]->closed_before, turn, 2, 0);
        for (unsigned i = 0; i < GIVEN_REGIONS; i++)
            for (unsigned p = 0; p < GIVEN_PARTITIONS; p++)
                r[i][p]->closed_before++;
        cut_all();
        pass_hours(6);
        uint64_t bytes = sim_kv_bytes(w->kv);
        if (turn == 14)
            settled = bytes;
        if (turn > 14)
            cr_assert_leq(bytes, settled + settled / 10);
    }
    cr_assert_gt(given_view(w).keys_retired, 20);
    cr_assert_gt(settled, 0);
}
