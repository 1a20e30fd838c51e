/* SPDX-License-Identifier: Apache-2.0
 * The merger holds rows and position together, heals what the bus lost, and says complete only where it is proven. */
#include "globe_given.h"

static struct given_world *w;
/* One replica of each partition of each region. */
static struct given_replica *r[GIVEN_REGIONS][GIVEN_PARTITIONS];

static void setup(void)
{
    w = given_world();
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        for (unsigned p = 0; p < GIVEN_PARTITIONS; p++)
            r[i][p] = given_replica(w, i, p, i == 0 ? "us-r1" : "eu-r1");
}

static void teardown(void)
{
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        for (unsigned p = 0; p < GIVEN_PARTITIONS; p++)
            given_replica_free(r[i][p]);
    given_world_free(w);
}

TestSuite(global_merger, .init = setup, .fini = teardown, .timeout = 60);

static void close_minutes(uint32_t n)
{
    given_pass_ms(w, n * MINUTE_MS);
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        for (unsigned p = 0; p < GIVEN_PARTITIONS; p++)
            r[i][p]->closed_before += n;
}

static void cut_all(void)
{
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        for (unsigned p = 0; p < GIVEN_PARTITIONS; p++)
            given_cut(r[i][p]);
}

static void answer_all(void)
{
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        for (unsigned p = 0; p < GIVEN_PARTITIONS; p++)
            (void)given_answer(r[i][p]);
}

static void run(void)
{
    cr_assert_eq(given_run(w), ERR_OK);
}

Test(global_merger, clicks_of_all_regions_add_up_and_a_closed_minute_is_complete)
{
    const char *ad = given_ad(1, 0);
    given_click(r[0][1], ad, GIVEN_MINUTE, 1, 3, 1);
    given_click(r[1][1], ad, GIVEN_MINUTE, 2, 4, 0);

    cut_all();
    run();
    given_expect(w, ad, GIVEN_MINUTE, 7, false);
    cr_assert_not(given_ask(w, ad, GIVEN_MINUTE, GIVEN_MINUTE + 1).points[0].has_unique_users);

    close_minutes(1);
    cut_all();
    run();

    given_expect(w, ad, GIVEN_MINUTE, 7, true);
    struct given_answer a = given_ask(w, ad, GIVEN_MINUTE, GIVEN_MINUTE + 1);
    cr_assert(a.points[0].has_unique_users);
    cr_assert_eq(a.points[0].unique_users, 2);
    given_expect(w, "never-seen", GIVEN_MINUTE, 0, true);
    given_expect(w, ad, GIVEN_MINUTE + 1, 0, false);
    struct merger_view view = given_view(w);
    cr_assert_eq(view.regions[0].counted, 3);
    cr_assert_eq(view.regions[0].duplicate, 1);
    cr_assert_eq(view.regions[1].counted, 4);
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
        cr_assert_eq(sent_at[s], s == 2 || s == 6 || s == 14 || s == 30 || s == 62 || s == 122 || s == 182,
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
    strcpy(r[0][0]->missing, "us-e2");
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
    struct given_answer a = given_ask(w, ad, GIVEN_MINUTE, GIVEN_MINUTE + 1);
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
    cr_assert_eq(given_ask(w, ad, GIVEN_MINUTE, GIVEN_MINUTE + 1).points[0].unique_users, 1);
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
    strcpy(p.region, "eu"); /* in the stream of us */
    given_publish(r[0][0], &p);
    strcpy(p.region, "us");
    strcpy(p.replica, "us-r9"); /* on the subject of us-r1 */
    given_publish(r[0][0], &p);
    strcpy(p.replica, "us-r1");
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

/* -- crashes and positions ----------------------------------------------------------------- */

/* A little history: several cuts, late clicks, minutes that close. */
static void history(unsigned cuts)
{
    for (unsigned i = 0; i < cuts; i++) {
        for (unsigned region = 0; region < GIVEN_REGIONS; region++)
            for (unsigned p = 0; p < GIVEN_PARTITIONS; p++)
                given_click(r[region][p], given_ad((uint16_t)p, i % 3), GIVEN_MINUTE + i / 2,
                            i * 7 + p, 1 + i, i % 2);
        if (i % 2 == 1)
            close_minutes(1);
        cut_all();
    }
}

static const unsigned settled[] = {LEAF_TABLE_META,     LEAF_TABLE_NAME,   LEAF_TABLE_PAGE,
                                   LEAF_TABLE_SKETCH,   LEAF_TABLE_MINUTE, LEAF_TABLE_COMPLETE,
                                   LEAF_TABLE_WANT,     LEAF_TABLE_REGION, LEAF_TABLE_PARTITION,
                                   LEAF_TABLE_REPLICA};

static void digests(uint64_t out[countof(settled)])
{
    for (unsigned i = 0; i < countof(settled); i++)
        out[i] = given_digest(w->kv, settled[i]);
}

/* Fails the n-th commit, with and without its changes, and starts again, for every n. */
static void crash_at_every_commit(uint32_t bite_messages)
{
    uint64_t expected[countof(settled)];
    uint64_t found[countof(settled)];
    w->bite_messages = bite_messages;
    given_crash(w);
    given_start(w);
    history(7);
    struct kv_port *empty = sim_kv_clone(w->kv);
    uint64_t began = sim_kv_commits(w->kv);
    run();
    digests(expected);
    uint64_t commits = sim_kv_commits(w->kv) - began;
    cr_assert_geq(commits, 28 / bite_messages);

    for (unsigned n = 1; n <= 2 * commits; n++) {
        given_crash(w);
        sim_kv_free(w->kv);
        w->kv = sim_kv_clone(empty);
        given_start(w);
        sim_kv_fail_commit(w->kv, (n + 1) / 2, ERR_KV_IO, n % 2 == 0);
        cr_assert_eq(given_run(w), ERR_KV_IO, "commit %u", n);
        given_crash(w);
        given_start(w);
        run();
        digests(found);
        for (unsigned i = 0; i < countof(settled); i++)
            cr_assert_eq(found[i], expected[i], "commit %u: table %s", n,
                         leaf_table_names[settled[i]]);
        cr_assert_eq(given_view(w).wants_sent, 0); /* nothing had to be healed */
    }
    sim_kv_free(empty);
}

Test(global_merger, a_crash_at_any_commit_leaves_rows_and_position_together)
{
    crash_at_every_commit(1);
}

Test(global_merger, a_crash_at_any_commit_of_many_messages_leaves_rows_and_position_together)
{
    crash_at_every_commit(4);
}

Test(global_merger, a_full_store_stops_nothing_for_good)
{
    const char *ad = given_ad(0, 0);
    given_click(r[0][0], ad, GIVEN_MINUTE, 1, 2, 0);
    close_minutes(1);
    cut_all();
    sim_kv_limit(w->kv, 200);
    uint32_t idle_ms = 0;
    for (unsigned i = 0; i < 20; i++)
        cr_assert_eq(merger_step(w->merger, &idle_ms), ERR_OK);
    cr_assert_gt(idle_ms, 0);
    cr_assert_gt(given_view(w).commit_failures, 0);

    sim_kv_limit(w->kv, 0);
    given_pass_ms(w, 1000);
    run();
    given_pass_ms(w, 1000);
    run();

    given_expect(w, ad, GIVEN_MINUTE, 2, true);
}

Test(global_merger, reading_a_stream_again_changes_nothing)
{
    uint64_t before[countof(settled)];
    uint64_t after[countof(settled)];
    history(8);
    run();
    digests(before);
    struct kv_txn *txn;
    cr_assert_eq(kv_begin(w->kv, true, &txn), ERR_OK);
    for (uint16_t id = 1; id <= GIVEN_REGIONS; id++) {
        struct leaf_key key = leaf_key_position(id);
        kv_del(txn, LEAF_TABLE_META, leaf_key_span(&key));
    }
    cr_assert_eq(kv_commit(&txn), ERR_OK);

    given_crash(w);
    given_start(w);
    run();

    digests(after);
    for (unsigned i = 0; i < countof(settled); i++)
        cr_assert_eq(after[i], before[i], "table %s", leaf_table_names[settled[i]]);
    cr_assert_gt(given_view(w).messages, 0);
    cr_assert_eq(given_view(w).rows_changed, 0);
}

Test(global_merger, a_stream_that_lost_its_tail_is_read_again)
{
    const char *ad = given_ad(0, 0);
    given_click(r[0][0], ad, GIVEN_MINUTE, 1, 2, 0);
    given_cut(r[0][0]);
    given_click(r[0][0], ad, GIVEN_MINUTE, 2, 2, 0);
    given_cut(r[0][0]);
    given_click(r[0][0], ad, GIVEN_MINUTE, 3, 2, 0);
    given_cut(r[0][0]);
    run();
    cr_assert_eq(given_view(w).regions[0].position, 3);
    sim_bus_cut(w->buses[0]);
    sim_bus_lose_tail(w->servers[0], "PARTIALS_us", 1);
    /* The numbers are used again, beyond the old position, by messages that must not be skipped. */
    for (unsigned i = 0; i < 4; i++) {
        given_click(r[0][0], ad, GIVEN_MINUTE, 10 + i, 1, 0);
        given_cut(r[0][0]);
    }
    sim_bus_heal(w->buses[0]);
    run();

    cr_assert_eq(given_view(w).proofs_failed, 1);
    cr_assert_eq(given_view(w).regions[0].position, 5);
    given_expect(w, ad, GIVEN_MINUTE, 10, false);
}

Test(global_merger, a_stream_made_anew_is_read_from_its_start)
{
    const char *ad = given_ad(0, 0);
    given_click(r[0][0], ad, GIVEN_MINUTE, 1, 2, 0);
    given_cut(r[0][0]);
    given_cut(r[0][0]);
    run();
    given_crash(w);
    sim_bus_recreate(w->servers[0], "PARTIALS_us");
    given_click(r[0][0], ad, GIVEN_MINUTE, 2, 1, 0);
    given_cut(r[0][0]);
    given_start(w);
    run();

    cr_assert_eq(given_view(w).proofs_failed, 1);
    cr_assert_eq(given_view(w).regions[0].position, 1);
    given_expect(w, ad, GIVEN_MINUTE, 3, false);
}

Test(global_merger, a_proven_position_reads_on_behind_it)
{
    history(3);
    run();
    uint64_t messages = given_view(w).messages;
    sim_bus_cut(w->buses[0]);
    run();
    cr_assert_not(given_view(w).regions[0].up);
    given_cut(r[0][0]);
    sim_bus_heal(w->buses[0]);
    run();

    cr_assert_eq(given_view(w).messages, messages + 1);
    cr_assert_eq(given_view(w).proofs, 1);
    cr_assert_eq(given_view(w).proofs_failed, 0);
}

Test(global_merger, what_is_wanted_is_remembered_over_a_restart)
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
    (void)given_view(w);
    given_crash(w);
    given_start(w);
    cr_assert_eq(given_view(w).minutes_wanted, 1);
    given_pass_ms(w, 2000);
    run();

    cr_assert_geq(given_answer(r[0][0]), 1);
    run();
    cr_assert_eq(given_view(w).minutes_wanted, 0);
    given_cut(r[0][1]);
    given_cut(r[1][0]);
    given_cut(r[1][1]);
    run();
    given_expect(w, ad, GIVEN_MINUTE, 5, true);
}

Test(global_merger, a_region_keeps_its_rows_when_the_configuration_lists_it_elsewhere)
{
    const char *ad = given_ad(0, 0);
    given_click(r[0][0], ad, GIVEN_MINUTE, 1, 5, 0);
    given_click(r[1][0], ad, GIVEN_MINUTE, 1, 3, 0);
    cut_all();
    run();
    given_crash(w);
    const char *first = w->regions[0];
    w->regions[0] = w->regions[1];
    w->regions[1] = first;
    struct sim_bus_server *server = w->servers[0];
    w->servers[0] = w->servers[1];
    w->servers[1] = server;
    given_start(w);
    run();

    cr_assert_str_eq(given_view(w).regions[1].name, "us");
    cr_assert_eq(given_view(w).regions[1].counted, 5);
    cr_assert_eq(given_view(w).proofs_failed, 0);
    given_expect(w, ad, GIVEN_MINUTE, 8, false);
}

/* -- the lattice, through the whole driver --------------------------------------------------- */

Test(global_merger, any_order_and_repetition_of_partials_ends_in_the_same_store)
{
    static const unsigned lattice[] = {LEAF_TABLE_PAGE, LEAF_TABLE_SKETCH, LEAF_TABLE_NAME};
    history(6);
    run();
    uint64_t expected[countof(lattice)];
    for (unsigned i = 0; i < countof(lattice); i++)
        expected[i] = given_digest(w->kv, lattice[i]);
    uint64_t count = sim_bus_last_seq(w->servers[0], "PARTIALS_us");
    struct rng rng = {42};

    for (unsigned round = 0; round < 20; round++) {
        struct given_world *other = given_world();
        for (unsigned region = 0; region < GIVEN_REGIONS; region++) {
            struct subject stream = subject_partials_stream(w->regions[region]);
            struct bus_port *sender = sim_bus_client(other->servers[region]);
            bool sent[256] = {false};
            uint64_t left = count;
            while (left > 0) {
                uint64_t seq = 1 + rng_below(&rng, count); /* repeats come by themselves */
                struct span data;
                uint64_t time_ms;
                cr_assert(sim_bus_message(w->servers[region], stream.text, seq, &data, &time_ms));
                struct partial p;
                cr_assert_eq(partial_read(&p, data), ERR_OK);
                struct subject to = subject_partial(p.region, p.partition, p.replica);
                partial_done(&p);
                cr_assert_eq(bus_publish(sender, to.text, NULL, data, 1), ERR_OK);
                left -= !sent[seq];
                sent[seq] = true;
            }
        }
        cr_assert_eq(given_run(other), ERR_OK);
        for (unsigned i = 0; i < countof(lattice); i++)
            cr_assert_eq(given_digest(other->kv, lattice[i]), expected[i], "round %u, table %s",
                         round, leaf_table_names[lattice[i]]);
        given_world_free(other);
    }
}
