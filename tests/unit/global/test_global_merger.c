/* SPDX-License-Identifier: Apache-2.0
 * The merger heals what the bus lost, and says complete only where it is proven. */
#include "merger_given.h"

TestSuite(global_merger, .init = setup, .fini = teardown, .timeout = 60);

Test(global_merger, clicks_of_all_regions_add_up_and_a_closed_minute_is_complete)
{
    const char *ad = given_ad(1, 0);
    given_click(r[0][1], ad, GIVEN_MINUTE, 1, 3, 1);
    given_click(r[1][1], ad, GIVEN_MINUTE, 2, 4, 0);

    cut_all();
    run();
    given_expect(w, ad, GIVEN_MINUTE, 7, false);
    cr_assert_not(given_ask(w, ad, MINUTE_WINDOW_1M, GIVEN_MINUTE, GIVEN_MINUTE + 1)
                      .points[0]
                      .has_unique_users);

    close_minutes(1);
    cut_all();
    run();

    given_expect(w, ad, GIVEN_MINUTE, 7, true);
    struct given_answer a = given_ask(w, ad, MINUTE_WINDOW_1M, GIVEN_MINUTE, GIVEN_MINUTE + 1);
    cr_assert(a.points[0].has_unique_users);
    cr_assert_eq(a.points[0].unique_users, 2);
    given_expect(w, "never-seen", GIVEN_MINUTE, 0, true);
    given_expect(w, ad, GIVEN_MINUTE + 1, 0, false);
    struct merger_view view = given_view(w);
    cr_assert_eq(view.regions[0].counted, 3);
    cr_assert_eq(view.regions[0].duplicate, 1);
    cr_assert_eq(view.regions[1].counted, 4);
    cr_assert_eq(view.regions[0].unexplained, 0);
    cr_assert_eq(view.mismatches, 0);
    cr_assert_eq(view.minutes_wanted, 0);
}

Test(global_merger, a_second_replica_of_the_same_clicks_changes_nothing)
{
    const char *ad = given_ad(0, 0);
    struct given_replica *twin = given_replica(w, 0, 0, "us-r2");
    given_click(r[0][0], ad, GIVEN_MINUTE, 1, 5, 2);
    given_click(twin, ad, GIVEN_MINUTE, 1, 5, 2);
    close_minutes(1);
    twin->closed_before++;
    cut_all();
    run();
    uint64_t pages = given_digest(w->kv, LEAF_TABLE_PAGE);

    given_cut(twin);
    run();

    cr_assert_eq(given_digest(w->kv, LEAF_TABLE_PAGE), pages);
    given_expect(w, ad, GIVEN_MINUTE, 5, true);
    cr_assert_eq(given_view(w).regions[0].counted, 5);
    given_replica_free(twin);
}

Test(global_merger, no_excess_of_one_replica_explains_the_lack_of_another)
{
    given_click(r[0][0], given_ad(0, 0), GIVEN_MINUTE, 1, 5, 0);
    given_click(r[0][1], given_ad(1, 0), GIVEN_MINUTE, 1, 5, 0);
    r[0][0]->folded += 2; /* two that are nowhere */
    r[0][1]->folded -= 3; /* three that were never there */
    cut_all();
    run();

    cr_assert_eq(given_view(w).regions[0].unexplained, 5);
    cr_assert_eq(given_view(w).regions[1].unexplained, 0);
}

Test(global_merger, one_region_that_was_never_heard_keeps_every_minute_open)
{
    const char *ad = given_ad(0, 0);
    given_click(r[0][0], ad, GIVEN_MINUTE, 1, 5, 0);
    close_minutes(1);
    given_cut(r[0][0]);
    given_cut(r[0][1]);
    run();

    given_expect(w, ad, GIVEN_MINUTE, 5, false);
}

Test(global_merger, a_lost_partial_is_asked_for_and_healed)
{
    const char *ad = given_ad(0, 0);
    given_click(r[0][0], ad, GIVEN_MINUTE, 1, 5, 0);
    sim_bus_lose_publishes(r[0][0]->bus, 1);
    cut_all(); /* the bus loses the only partial with these clicks */
    r[0][0]->rows[0].dirty = false;
    close_minutes(1);
    /* The fold would send the row again with its sketch; here the total alone goes out. */
    r[0][0]->rows[0].used = false;
    struct given_row kept = r[0][0]->rows[0];
    given_cut(r[0][1]);
    given_cut(r[1][0]);
    given_cut(r[1][1]);
    r[0][0]->rows[0] = kept;
    r[0][0]->rows[0].used = true;
    struct partial p = given_head(r[0][0]);
    struct partial_edge edges[2];
    struct partial_total total = given_total(r[0][0], GIVEN_MINUTE);
    given_edges(r[0][0], &p, edges);
    p.totals = &total;
    p.total_count = 1;
    given_publish(r[0][0], &p);
    run();
    given_expect(w, ad, GIVEN_MINUTE, 0, false);
    cr_assert_eq(given_view(w).mismatches, 1);
    cr_assert_eq(given_view(w).minutes_wanted, 1);
    cr_assert_eq(given_view(w).wants_sent, 1);

    cr_assert_eq(given_answer(r[0][0]), 1);
    run();

    given_expect(w, ad, GIVEN_MINUTE, 5, true);
    cr_assert_eq(given_view(w).minutes_wanted, 0);
    /* Its name was lost too, and is asked for; then there is nothing more to ask. */
    given_pass_ms(w, 600000);
    run();
    cr_assert_eq(given_answer(r[0][0]), 1);
    run();
    cr_assert_eq(given_view(w).names_wanted, 0);
    given_pass_ms(w, 600000);
    run();
    cr_assert_eq(given_answer(r[0][0]), 0);
}

Test(global_merger, a_want_that_is_lost_is_sent_again_with_growing_pauses)
{
    const char *ad = given_ad(0, 0);
    given_click(r[0][0], ad, GIVEN_MINUTE, 1, 5, 0);
    close_minutes(1);
    struct partial p = given_head(r[0][0]);
    struct partial_total total = given_total(r[0][0], GIVEN_MINUTE);
    p.totals = &total;
    p.total_count = 1;
    given_publish(r[0][0], &p);
    run();
    unsigned sent_at[400] = {0};
    uint64_t before = given_view(w).wants_sent;
    cr_assert_eq(before, 1);
    for (unsigned s = 1; s < 200; s++) {
        given_pass_ms(w, 1000);
        run();
        sent_at[s] = given_view(w).wants_sent - before;
        before = given_view(w).wants_sent;
    }
    for (unsigned s = 1; s < 200; s++)
        cr_assert_eq(sent_at[s],
                     s == 2 || s == 6 || s == 14 || s == 30 || s == 62 || s == 122 || s == 182,
                     "%u s: %u", s, sent_at[s]);
}

Test(global_merger, a_minute_that_was_never_announced_is_asked_for)
{
    const char *ad = given_ad(0, 0);
    close_minutes(1);
    cut_all();
    run();
    given_click(r[0][0], ad, GIVEN_MINUTE + 1, 1, 5, 0);
    close_minutes(1);
    sim_bus_lose_publishes(r[0][0]->bus, 1);
    cut_all(); /* rows and totals of that minute are lost together */
    close_minutes(2);
    cut_all();
    run();
    given_expect(w, ad, GIVEN_MINUTE + 1, 0, false);

    given_pass_ms(w, 2000);
    run();
    answer_all();
    run();

    given_expect(w, ad, GIVEN_MINUTE + 1, 5, true);
    given_expect(w, ad, GIVEN_MINUTE + 2, 0, true);
    cr_assert_eq(given_view(w).minutes_wanted, 0);
}

Test(global_merger, half_of_a_whole_answer_completes_nothing)
{
    struct given_replica *us = r[0][0];
    for (unsigned i = 0; i < 6; i++)
        given_click(us, given_ad(0, i), GIVEN_MINUTE, i, 1 + i, 0);
    close_minutes(1);
    given_cut(r[0][1]);
    given_cut(r[1][0]);
    given_cut(r[1][1]);
    struct partial p = given_head(us);
    struct partial_total total = given_total(us, GIVEN_MINUTE);
    p.totals = &total;
    p.total_count = 1;
    given_publish(us, &p);
    run();
    us->split = 2;
    sim_bus_lose_publishes(us->bus, 1);

    cr_assert_eq(given_answer(us), 1);
    run();

    cr_assert_eq(given_view(w).minutes_wanted, 1);
    given_expect(w, given_ad(0, 5), GIVEN_MINUTE, 6, false);
    given_pass_ms(w, 2000);
    run();
    cr_assert_eq(given_answer(us), 1);
    run();
    for (unsigned i = 0; i < 6; i++)
        given_expect(w, given_ad(0, i), GIVEN_MINUTE, 1 + i, true);
    cr_assert_eq(given_view(w).minutes_wanted, 0);
}

Test(global_merger, a_whole_answer_in_several_messages_completes_what_differs_for_good)
{
    /* Another replica knew a click that this one never saw: their totals can never be equal. */
    struct given_replica *us = r[0][0];
    struct given_replica *more = given_replica(w, 0, 0, "us-r2");
    for (unsigned i = 0; i < 5; i++)
        given_click(us, given_ad(0, i), GIVEN_MINUTE, i, 1 + i, 0);
    given_click(more, given_ad(0, 9), GIVEN_MINUTE, 1, 1, 0);
    given_cut(more);
    close_minutes(1);
    cut_all();
    run();
    cr_assert_eq(given_view(w).minutes_wanted, 1);
    us->split = 2;

    cr_assert_eq(given_answer(us), 1);
    run();

    cr_assert_eq(given_view(w).minutes_wanted, 0);
    given_expect(w, given_ad(0, 4), GIVEN_MINUTE, 5, true);
    given_expect(w, given_ad(0, 9), GIVEN_MINUTE, 1, true);
    /* The same totals, announced again in their turn, are known to be met. */
    struct partial p = given_head(us);
    struct partial_total total = given_total(us, GIVEN_MINUTE);
    p.totals = &total;
    p.total_count = 1;
    given_publish(us, &p);
    run();
    cr_assert_eq(given_view(w).mismatches, 1);
    given_replica_free(more);
}

Test(global_merger, while_an_edge_is_missing_no_further_minute_becomes_complete)
{
    const char *ad = given_ad(0, 0);
    close_minutes(1);
    cut_all();
    run();
    given_expect(w, ad, GIVEN_MINUTE, 0, true);
    given_click(r[0][0], ad, GIVEN_MINUTE + 1, 1, 2, 0);
    (void)snprintf(r[0][0]->missing, sizeof(r[0][0]->missing), "%s", "us-e2");
    close_minutes(1);
    cut_all();
    run();

    given_expect(w, ad, GIVEN_MINUTE, 0, true);
    given_expect(w, ad, GIVEN_MINUTE + 1, 2, false);
    given_expect(w, given_ad(1, 0), GIVEN_MINUTE + 1, 0, true); /* the other partition is whole */
    cr_assert_eq(given_view(w).minutes_held, 1);
    cr_assert_eq(given_view(w).regions[0].missing_edges, 1);
    given_pass_ms(w, 120000);
    run();
    cr_assert_eq(given_answer(r[0][0]), 0); /* held: not asked for */

    /* It comes back with clicks of that minute; only then the minute may be complete. */
    given_click(r[0][0], ad, GIVEN_MINUTE + 1, 3, 4, 0);
    r[0][0]->missing[0] = '\0';
    close_minutes(1);
    cut_all();
    run();
    answer_all();
    run();
    given_expect(w, ad, GIVEN_MINUTE + 1, 6, true);
    cr_assert_eq(given_view(w).minutes_held, 0);
    cr_assert_eq(given_view(w).minutes_wanted, 0);
    cr_assert_eq(given_view(w).regions[0].missing_edges, 0);
}

Test(global_merger, totals_of_an_unfinished_minute_are_refused)
{
    struct partial p = given_head(r[0][0]);
    struct partial_total total = {.minute = GIVEN_MINUTE};
    p.totals = &total;
    p.total_count = 1;
    p.watermark_ms = minute_start_ms(GIVEN_MINUTE + 1) - 1;
    given_publish(r[0][0], &p);
    run();

    cr_assert_eq(given_view(w).refused, 1);
    cr_assert_eq(given_view(w).minutes_completed, 0);
}

Test(global_merger, late_clicks_count_and_do_not_open_a_complete_minute)
{
    const char *ad = given_ad(0, 0);
    given_click(r[0][0], ad, GIVEN_MINUTE, 1, 2, 0);
    close_minutes(1);
    cut_all();
    run();
    given_click(r[0][0], ad, GIVEN_MINUTE, 9, 1, 0);
    given_cut(r[0][0]);
    run();

    given_expect(w, ad, GIVEN_MINUTE, 3, true);
    struct given_answer a = given_ask(w, ad, MINUTE_WINDOW_1M, GIVEN_MINUTE, GIVEN_MINUTE + 1);
    cr_assert_eq(a.points[0].unique_users, 2);
    cr_assert_eq(given_view(w).mismatches, 0);
}

Test(global_merger, a_higher_generation_mends_an_overcount_in_any_order)
{
    const char *ad = given_ad(0, 0);
    given_click(r[0][0], ad, GIVEN_MINUTE, 1, 50, 0);
    given_click(r[0][0], ad, GIVEN_MINUTE, 2, 50, 0);
    close_minutes(1);
    cut_all();
    run();
    given_expect(w, ad, GIVEN_MINUTE, 100, true);

    struct given_row *row = given_row_of(r[0][0], ad, GIVEN_MINUTE);
    hll_clear(&row->users);
    row->generation = 1;
    row->counted = 0;
    given_click(r[0][0], ad, GIVEN_MINUTE, 3, 7, 0);
    given_cut(r[0][0]);
    run();

    given_expect(w, ad, GIVEN_MINUTE, 7, true);
    cr_assert_eq(
        given_ask(w, ad, MINUTE_WINDOW_1M, GIVEN_MINUTE, GIVEN_MINUTE + 1).points[0].unique_users,
        1);
    cr_assert_eq(given_view(w).mismatches, 0);
}

Test(global_merger, a_row_without_a_name_has_its_name_asked_for)
{
    const char *ad = given_ad(0, 0);
    r[0][0]->nameless = true;
    given_click(r[0][0], ad, GIVEN_MINUTE, 1, 2, 0);
    given_cut(r[0][0]);
    run();
    cr_assert_eq(given_view(w).names_wanted, 1);
    given_expect(w, ad, GIVEN_MINUTE, 2, false);

    given_pass_ms(w, 2000);
    run();
    cr_assert_eq(given_answer(r[0][0]), 1);
    run();

    cr_assert_eq(given_view(w).names_wanted, 0);
    cr_assert_eq(sim_kv_entries(w->kv, LEAF_TABLE_NAME), 1);
}

Test(global_merger, a_name_that_is_not_of_its_hash_is_refused)
{
    struct partial p = given_head(r[0][0]);
    struct partial_name name = {hash_ad(span_of_text("one")), span_of_text("two")};
    p.names = &name;
    p.name_count = 1;
    given_publish(r[0][0], &p);
    run();

    cr_assert_eq(given_view(w).refused, 1);
    cr_assert_eq(sim_kv_entries(w->kv, LEAF_TABLE_NAME), 0);
}

Test(global_merger, a_replica_speaks_only_for_itself)
{
    struct partial p = given_head(r[0][0]);
    struct partial_row row = {
        .ad_hash = hash_ad(span_of_text("x")), .minute = GIVEN_MINUTE, .counted = 1};
    p.rows = &row;
    p.row_count = 1;
    (void)snprintf(p.region, sizeof(p.region), "%s", "eu"); /* in the stream of us */
    given_publish(r[0][0], &p);
    (void)snprintf(p.region, sizeof(p.region), "%s", "us");
    (void)snprintf(p.replica, sizeof(p.replica), "%s", "us-r9"); /* on the subject of us-r1 */
    given_publish(r[0][0], &p);
    (void)snprintf(p.replica, sizeof(p.replica), "%s", "us-r1");
    p.partition = 1; /* on the subject of partition 0 */
    given_publish(r[0][0], &p);
    run();

    cr_assert_eq(given_view(w).refused, 3);
    cr_assert_eq(sim_kv_entries(w->kv, LEAF_TABLE_PAGE), 0);
    cr_assert_eq(given_view(w).regions[0].position, 3);
}

Test(global_merger, a_damaged_message_is_skipped_and_its_clicks_are_healed)
{
    const char *ad = given_ad(0, 0);
    struct subject subject = subject_partial("us", 0, "us-r1");
    cr_assert_eq(bus_publish(r[0][0]->bus, subject.text, NULL, span_of_text("TRPTgarbage"), 1),
                 ERR_OK);
    given_click(r[0][0], ad, GIVEN_MINUTE, 1, 2, 0);
    close_minutes(1);
    cut_all();
    run();

    cr_assert_eq(given_view(w).damaged, 1);
    given_expect(w, ad, GIVEN_MINUTE, 2, true);
}

Test(global_merger, a_watermark_that_leaps_asks_for_a_horizon_at_most)
{
    close_minutes(1);
    cut_all();
    run();
    struct partial p = given_head(r[0][0]);
    for (unsigned i = 0; i < 10; i++) { /* a clock that was never right: ten years on */
        p.watermark_ms = minute_start_ms(GIVEN_MINUTE) + 10ULL * 365 * 86400 * 1000;
        p.cut++;
        given_publish(r[0][0], &p);
    }
    run();

    cr_assert_leq(given_view(w).minutes_wanted, LIMIT_HORIZON_MINUTES);
    cr_assert_gt(given_view(w).minutes_wanted, LIMIT_HORIZON_MINUTES - 20);
}

Test(global_merger, a_minute_that_left_the_horizon_is_given_up_and_stays_open)
{
    const char *ad = given_ad(0, 0);
    given_click(r[0][0], ad, GIVEN_MINUTE, 1, 5, 0);
    close_minutes(1);
    struct partial p = given_head(r[0][0]);
    struct partial_total total = given_total(r[0][0], GIVEN_MINUTE);
    p.totals = &total;
    p.total_count = 1;
    given_publish(r[0][0], &p);
    run();
    cr_assert_eq(given_view(w).minutes_wanted, 1);
    uint32_t last = GIVEN_MINUTE + LIMIT_HORIZON_MINUTES + 3;
    p.watermark_ms = minute_start_ms(last);
    p.cut++;
    total = (struct partial_total){.minute = last - 1};
    given_publish(r[0][0], &p);
    run();

    cr_assert_eq(given_view(w).minutes_given_up, 1);
    given_expect(w, ad, GIVEN_MINUTE, 0, false);
}

Test(global_merger, a_replica_that_lags_with_late_clicks_is_not_asked_at_once)
{
    const char *ad = given_ad(0, 0);
    given_click(r[0][0], ad, GIVEN_MINUTE, 1, 2, 0);
    close_minutes(1);
    cut_all();
    run();
    uint64_t asked = given_view(w).wants_sent;
    struct partial p = given_head(r[0][0]);
    struct partial_total total = given_total(r[0][0], GIVEN_MINUTE);
    total.counted--; /* what a slower replica would say of a state that was never seen here */
    p.totals = &total;
    p.total_count = 1;
    given_publish(r[0][0], &p);
    run();
    given_pass_ms(w, 30000);
    run();
    cr_assert_eq(given_view(w).mismatches, 1);
    cr_assert_eq(given_view(w).wants_sent, asked);

    given_pass_ms(w, 30000);
    run();
    cr_assert_eq(given_view(w).wants_sent, asked + 1);
    cr_assert_eq(given_answer(r[0][0]), 1);
    run();
    cr_assert_eq(given_view(w).minutes_wanted, 0);
}

Test(global_merger, an_edge_that_returns_with_nothing_new_lets_the_minutes_be_asked_for)
{
    const char *ad = given_ad(0, 0);
    close_minutes(1);
    cut_all();
    run();
    given_click(r[0][0], ad, GIVEN_MINUTE + 1, 1, 2, 0);
    (void)snprintf(r[0][0]->missing, sizeof(r[0][0]->missing), "us-e2");
    close_minutes(1);
    cut_all();
    run();
    given_expect(w, ad, GIVEN_MINUTE + 1, 2, false);

    r[0][0]->missing[0] = '\0';
    given_cut(r[0][0]); /* no clicks, no totals: only the edge is back */
    run();
    cr_assert_eq(given_view(w).minutes_held, 0);
    cr_assert_eq(given_answer(r[0][0]), 1);
    run();

    given_expect(w, ad, GIVEN_MINUTE + 1, 2, true);
    cr_assert_eq(given_view(w).minutes_wanted, 0);
}
