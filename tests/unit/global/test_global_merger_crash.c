/* SPDX-License-Identifier: Apache-2.0
 * Rows and position are one: after any crash, replay, rollback or reordering the store is the same.
 */
#include "merger_given.h"

TestSuite(global_merger_crash, .init = setup, .fini = teardown, .timeout = 60);

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

static const unsigned settled[] = {LEAF_TABLE_META,    LEAF_TABLE_NAME,   LEAF_TABLE_PAGE,
                                   LEAF_TABLE_SKETCH,  LEAF_TABLE_MINUTE, LEAF_TABLE_COMPLETE,
                                   LEAF_TABLE_WANT,    LEAF_TABLE_REGION, LEAF_TABLE_PARTITION,
                                   LEAF_TABLE_REPLICA, LEAF_TABLE_ROLLUP};

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

Test(global_merger_crash, a_crash_at_any_commit_leaves_rows_and_position_together)
{
    crash_at_every_commit(1);
}

Test(global_merger_crash, a_crash_at_any_commit_of_many_messages_leaves_rows_and_position_together)
{
    crash_at_every_commit(4);
}

/* Runs to the end of the streams while every n-th commit is refused for want of room; a merger that
 * gives up is started again. Returns how many were refused. */
static unsigned run_refusing_every(unsigned n)
{
    unsigned refused = 0;
    bool armed = false;
    for (unsigned turn = 0; turn < 1000; turn++) {
        if (!armed)
            sim_kv_fail_commit(w->kv, n, ERR_KV_FULL, false);
        armed = true;
        uint64_t failures = given_view(w).commit_failures;
        enum err err = given_run(w);
        bool failed = given_view(w).commit_failures != failures;
        if (err == ERR_OK && !failed) {
            sim_kv_fail_commit(w->kv, 0, ERR_OK, false);
            return refused;
        }
        refused += failed;
        armed = !failed;
        if (err != ERR_OK) {
            given_crash(w);
            given_start(w);
        }
        given_pass_ms(w, 1000);
    }
    cr_assert_fail("no end with every %u-th commit refused", n);
    return 0;
}

Test(global_merger_crash, commits_refused_for_want_of_room_change_nothing)
{
    uint64_t expected[countof(settled)];
    uint64_t found[countof(settled)];
    w->bite_messages = 1;
    given_crash(w);
    given_start(w);
    history(7);
    struct kv_port *empty = sim_kv_clone(w->kv);
    uint64_t began = sim_kv_commits(w->kv);
    run();
    digests(expected);
    uint64_t commits = sim_kv_commits(w->kv) - began;

    /* The second commit after a refusal is that of the next bite: below 3 there is no way on. */
    for (unsigned n = 3; n <= commits; n++) {
        given_crash(w);
        sim_kv_free(w->kv);
        w->kv = sim_kv_clone(empty);
        given_start(w);
        cr_assert_geq(run_refusing_every(n), 1);
        digests(found);
        for (unsigned i = 0; i < countof(settled); i++)
            cr_assert_eq(found[i], expected[i], "every %u-th commit: table %s", n,
                         leaf_table_names[settled[i]]);
    }
    sim_kv_free(empty);
}

Test(global_merger_crash, a_full_store_stops_nothing_for_good)
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

Test(global_merger_crash, reading_a_stream_again_changes_nothing)
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

Test(global_merger_crash, a_stream_that_lost_its_tail_is_read_again)
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

Test(global_merger_crash, a_stream_made_anew_is_read_from_its_start)
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

Test(global_merger_crash, a_proven_position_reads_on_behind_it)
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

Test(global_merger_crash, what_is_wanted_is_remembered_over_a_restart)
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

Test(global_merger_crash, a_region_keeps_its_rows_when_the_configuration_lists_it_elsewhere)
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

Test(global_merger_crash, any_order_and_repetition_of_partials_ends_in_the_same_store)
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
