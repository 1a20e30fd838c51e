/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/regional/replica_given.h"

static void expect_schedule(struct world *w, struct node *n)
{
    struct oracle o = {0};
    schedule_oracle(&o);
    expect_like_oracle(fold_of(n), &o);
    expect_globe_like(w, fold_of(n));
    cr_assert_eq(world_hear(w), SCHEDULE_CLICKS);
    free(o.clicks);
}

/* State and tables, without the position. */
static uint64_t fingerprint(struct node *n)
{
    struct buf state = {0};
    struct fold_position nowhere = {0};
    fold_state_write(&state, fold_of(n), &nowhere);
    uint64_t print = hash_checksum(buf_span(&state), 0) + digest_of(fold_of(n));
    buf_done(&state);
    return print;
}

Test(regional_replica_store, a_restart_at_any_point_is_as_no_restart)
{
    struct world w;
    struct node n;
    given_world(&w);
    given_node(&w, &n, "us-r1");
    for (unsigned s = 0; schedule_step(&w, s); s++)
        cr_assert_eq(node_run(&n), ERR_OK);
    cr_assert_eq(settle(&w, &n), ERR_OK);
    uint64_t expected = fingerprint(&n);
    node_done(&n);
    world_done(&w);

    for (unsigned every = 1; every <= 9; every += 2) {
        given_world(&w);
        given_node(&w, &n, "us-r1");
        for (unsigned s = 0; schedule_step(&w, s); s++) {
            cr_assert_eq(node_run(&n), ERR_OK);
            if (s % every == 0) {
                node_crash(&n);
                cr_assert_eq(node_start(&w, &n), ERR_OK);
            }
        }
        cr_assert_eq(node_run(&n), ERR_OK);
        cr_assert_eq(settle(&w, &n), ERR_OK);
        cr_assert_eq(n.notes[REPLICA_NEW_STORE], 1);
        cr_assert_eq(fingerprint(&n), expected, "restarted every %u steps", every);
        expect_schedule(&w, &n);
        node_done(&n);
        world_done(&w);
    }
}

/* Ends by itself, or as by SIGTERM: the state is cut, and the stream sees no difference. */
Test(regional_replica_store, a_clean_stop_keeps_everything)
{
    struct world w;
    struct node n;
    given_world(&w);
    given_node(&w, &n, "us-r1");

    for (unsigned s = 0; schedule_step(&w, s); s++) {
        cr_assert_eq(node_run(&n), ERR_OK);
        if (s % 6 == 2) {
            cr_assert_eq(replica_stop(n.replica), ERR_OK);
            cr_assert_eq(durable_floor(n.kv), (s + 1) * SCHEDULE_STEP);
            node_crash(&n);
            cr_assert_eq(node_start(&w, &n), ERR_OK);
        }
    }
    cr_assert_eq(settle(&w, &n), ERR_OK);

    expect_schedule(&w, &n);
    node_done(&n);
    world_done(&w);
}

/* A commit fails in each place in turn, once with and once without its changes having reached the
 * disk. */
static bool survives_failure(unsigned nth, bool applied)
{
    struct world w;
    struct node n;
    bool failed = false;
    given_world(&w);
    given_node(&w, &n, "us-r1");
    sim_kv_fail_commit(n.kv, nth, ERR_KV_IO, applied);
    for (unsigned s = 0; schedule_step(&w, s); s++) {
        if (node_run(&n) == ERR_OK)
            continue;
        failed = true;
        uint64_t told = world_hear(&w);
        node_crash(&n);
        cr_assert_leq(told, durable_floor(n.kv), "commit %u: told %lu", nth, (unsigned long)told);
        cr_assert_eq(node_start(&w, &n), ERR_OK);
        cr_assert_eq(node_run(&n), ERR_OK);
    }
    if (settle(&w, &n) != ERR_OK) {
        failed = true;
        node_crash(&n);
        cr_assert_eq(node_start(&w, &n), ERR_OK);
        cr_assert_eq(settle(&w, &n), ERR_OK);
    }
    expect_schedule(&w, &n);
    node_done(&n);
    world_done(&w);
    return failed;
}

Test(regional_replica_store, a_crash_at_every_commit_loses_and_doubles_nothing)
{
    unsigned points = 0;
    while (survives_failure(points + 1, false))
        points++;
    cr_assert_gt(points, 40, "only %u commits", points);
    for (unsigned nth = 1; nth <= points; nth++)
        cr_assert(survives_failure(nth, true));
}

Test(regional_replica_store, a_full_store_holds_up_the_stream_and_loses_nothing)
{
    struct world w;
    struct node n;
    given_world(&w);
    given_node(&w, &n, "us-r1");
    for (unsigned s = 0; s < 30; s++) {
        schedule_step(&w, s);
        cr_assert_eq(node_run(&n), ERR_OK);
    }
    uint64_t before = durable_floor(n.kv);

    sim_kv_limit(n.kv, 1);
    for (unsigned s = 30; s < 40; s++) {
        schedule_step(&w, s);
        cr_assert_eq(node_run(&n), ERR_OK, "full is no reason to end");
    }
    cr_assert_eq(durable_floor(n.kv), before);
    cr_assert_leq(world_hear(&w), before);
    cr_assert_geq(n.notes[REPLICA_STORE_FULL], 1);
    sim_kv_limit(n.kv, 0);
    for (unsigned s = 40; schedule_step(&w, s); s++)
        cr_assert_eq(node_run(&n), ERR_OK);
    cr_assert_eq(settle(&w, &n), ERR_OK);

    expect_schedule(&w, &n);
    node_done(&n);
    world_done(&w);
}

/* Found by the storm: a refused transaction that held deletions alone must not hold up the stream
 * for ever. */
Test(regional_replica_store, a_refused_deletion_does_not_hold_up_the_stream)
{
    struct world w;
    struct node n;
    given_world(&w);
    given_node(&w, &n, "us-r1");
    for (unsigned s = 0; s < 20; s++) {
        schedule_step(&w, s);
        cr_assert_eq(node_run(&n), ERR_OK);
    }

    world_advance(&w, 1500);
    cr_assert_eq(node_run(&n), ERR_OK); /* a tick, */
    cr_assert_eq(node_run(&n), ERR_OK); /* the last cut */
    cr_assert(!fold_of(&n)->uncut);
    cr_assert_gt(sim_kv_entries(n.kv, CUT_TABLE_OUTBOX), 0);
    sim_kv_fail_commit(n.kv, 1, ERR_KV_FULL, false);
    world_advance(&w, 5000);
    cr_assert_eq(node_run(&n), ERR_OK);
    cr_assert_eq(n.notes[REPLICA_STORE_FULL], 1);

    for (unsigned s = 20; schedule_step(&w, s); s++)
        cr_assert_eq(node_run(&n), ERR_OK);
    cr_assert_eq(settle(&w, &n), ERR_OK);
    expect_schedule(&w, &n);
    node_done(&n);
    world_done(&w);
}

Test(regional_replica_store, redo_values_go_when_their_minute_is_retired)
{
    struct world w;
    struct node n;
    given_short_horizon(&w, &n);
    cr_assert_gt(sim_kv_entries(n.kv, CUT_TABLE_REDO), 20);

    for (unsigned i = 0; i < 12; i++) {
        world_advance(&w, 60000);
        publish_run(&w, SCHEDULE_CLICKS, SCHEDULE_CLICKS, schedule_clicks());
        cr_assert_eq(node_run(&n), ERR_OK);
    }

    cr_assert_eq(sim_kv_entries(n.kv, CUT_TABLE_REDO), 0);
    cr_assert_eq(fold_of(&n)->horizon.count, 0);
    cr_assert_eq(fold_of(&n)->books.folded, SCHEDULE_CLICKS, "the books stay");
    node_crash(&n);
    cr_assert_eq(node_start(&w, &n), ERR_OK);
    cr_assert_eq(fold_of(&n)->horizon.count, 0);
    node_done(&n);
    world_done(&w);
}

Test(regional_replica_store, a_damaged_store_is_not_used)
{
    struct world w;
    struct node n;
    given_world(&w);
    given_node(&w, &n, "us-r1");
    for (unsigned s = 0; s < 10; s++) {
        schedule_step(&w, s);
        cr_assert_eq(node_run(&n), ERR_OK);
    }
    node_crash(&n);

    for (unsigned table = CUT_TABLE_META; table <= CUT_TABLE_REDO; table++) {
        struct node broken = {.kv = sim_kv_clone(n.kv)};
        struct kv_txn *txn;
        struct span key, value;
        uint8_t zero[1] = {0};
        (void)snprintf(broken.name, sizeof(broken.name), "us-r1");
        cr_assert_eq(kv_begin(broken.kv, true, &txn), ERR_OK);
        cr_assert(kv_seek(txn, table, span_of(zero, 1), &key, &value));
        uint8_t *k = base_alloc(key.length), *v = base_alloc(value.length);
        size_t key_length = key.length, value_length = value.length;
        memcpy(k, key.data, key_length);
        memcpy(v, value.data, value_length);
        v[0] ^= 0x40;
        kv_put(txn, table, span_of(k, key_length), span_of(v, value_length));
        cr_assert_eq(kv_commit(&txn), ERR_OK);
        free(k);
        free(v);

        cr_assert_eq(node_start(&w, &broken), ERR_KV_CORRUPT, "table %u", table);
        node_done(&broken);
    }
    sim_kv_free(n.kv);
    world_done(&w);
}

/* --- a peer's copy (design 4.3)
 * --------------------------------------------------------------------------------------- */

Test(regional_replica_store, a_copied_store_gets_an_id_of_its_own_and_tells_what_its_outbox_held)
{
    struct world w;
    struct node n, copy = {0};
    struct replica_view v;
    given_world(&w);
    given_node(&w, &n, "us-r1");
    for (unsigned s = 0; s < 20; s++) {
        schedule_step(&w, s);
        cr_assert_eq(node_run(&n), ERR_OK);
    }
    /* Partials of the peer that never leave it: the bus loses them all, then the peer dies. */
    sim_bus_lose_publishes(n.bus, 100000);
    for (unsigned s = 20; s < 40; s++) {
        schedule_step(&w, s);
        cr_assert_eq(node_run(&n), ERR_OK);
    }
    replica_view(n.replica, &v);
    cr_assert_gt(v.outbox, 5);
    uint64_t peers_id = v.store_id;
    (void)snprintf(copy.name, sizeof(copy.name), "us-r2");
    copy.kv = sim_kv_clone(n.kv);
    node_crash(&n);

    cr_assert_eq(node_start(&w, &copy), ERR_OK);
    replica_view(copy.replica, &v);
    cr_assert_neq(v.store_id, peers_id);
    cr_assert_eq(copy.notes[REPLICA_ADOPTED_STORE], 1);
    cr_assert_eq(sim_kv_entries(copy.kv, CUT_TABLE_OUTBOX), v.outbox);
    cr_assert_gt(v.outbox, 5);
    for (unsigned s = 40; schedule_step(&w, s); s++)
        cr_assert_eq(node_run(&copy), ERR_OK);
    cr_assert_eq(settle(&w, &copy), ERR_OK);

    expect_schedule(&w, &copy);
    cr_assert_eq(w.heard_store_id, v.store_id);
    sim_kv_free(n.kv);
    node_done(&copy);
    world_done(&w);
}

/* The partial that closed the minutes was lost with the peer: the copy tells their sketches and
 * totals itself. */
Test(regional_replica_store, a_copied_store_tells_the_totals_that_its_outbox_held)
{
    struct world w;
    struct node n, copy = {0};
    struct globe g;
    given_world(&w);
    given_node(&w, &n, "us-r1");
    for (unsigned s = 0; schedule_step(&w, s); s++)
        cr_assert_eq(node_run(&n), ERR_OK);
    cr_assert_eq(settle(&w, &n), ERR_OK);
    uint32_t told = fold_of(&n)->totals_next;
    sim_bus_lose_publishes(n.bus, 100000);
    for (unsigned i = 0; i < 3; i++) {
        world_advance(&w, 120000);
        publish_run(&w, SCHEDULE_CLICKS, SCHEDULE_CLICKS, schedule_clicks());
        cr_assert_eq(node_run(&n), ERR_OK);
    }
    cr_assert_gt(fold_of(&n)->totals_next, told + 2);
    (void)snprintf(copy.name, sizeof(copy.name), "us-r2");
    copy.kv = sim_kv_clone(n.kv);
    node_crash(&n);
    cr_assert_eq(node_start(&w, &copy), ERR_OK);
    world_advance(&w, 2000);
    publish_run(&w, SCHEDULE_CLICKS, SCHEDULE_CLICKS, schedule_clicks());
    cr_assert_eq(settle(&w, &copy), ERR_OK);

    globe_read(&w, &g);
    cr_assert_eq(g.totals_unmet, 0);
    cr_assert_gt(g.totals_met, 3);
    globe_done(&g);
    expect_schedule(&w, &copy);
    sim_kv_free(n.kv);
    node_done(&copy);
    world_done(&w);
}

/* Two disks gone one after the other while nothing can be told, and tables that have left the
 * horizon meanwhile: what was told to nobody lives in the outbox alone. */
Test(regional_replica_store, a_copy_of_a_copy_still_tells_minutes_that_were_retired_since)
{
    struct world w;
    struct node n, copy = {0}, second = {0};
    given_world(&w);
    n = (struct node){.kv = sim_kv_new(CUT_TABLES), .name = "us-r1", .horizon_minutes = 3};
    cr_assert_eq(node_start(&w, &n), ERR_OK);
    sim_bus_lose_publishes(n.bus, 100000);
    for (unsigned s = 0; schedule_step(&w, s); s++)
        cr_assert_eq(node_run(&n), ERR_OK);
    for (unsigned i = 0; i < 10; i++) {
        world_advance(&w, 60000);
        publish_run(&w, SCHEDULE_CLICKS, SCHEDULE_CLICKS, schedule_clicks());
        cr_assert_eq(node_run(&n), ERR_OK);
    }
    cr_assert_eq(fold_of(&n)->horizon.count, 0, "all tables are gone");
    copy = (struct node){.kv = sim_kv_clone(n.kv), .name = "us-r2", .horizon_minutes = 3};
    node_crash(&n);
    cr_assert_eq(node_start(&w, &copy), ERR_OK);
    second = (struct node){.kv = sim_kv_clone(copy.kv), .name = "us-r1", .horizon_minutes = 3};
    node_crash(&copy);
    cr_assert_eq(node_start(&w, &second), ERR_OK);
    cr_assert_eq(settle(&w, &second), ERR_OK);

    struct globe g;
    globe_read(&w, &g);
    uint64_t counted = 0;
    for (size_t i = 0; i < g.count; i++)
        counted += g.rows[i].counted;
    globe_done(&g);
    cr_assert_gt(counted, 0);
    cr_assert_eq(counted, fold_of(&second)->books.counted);
    sim_kv_free(n.kv);
    sim_kv_free(copy.kv);
    node_done(&second);
    world_done(&w);
}

static void set_version(struct kv_port *kv, uint8_t version, bool long_heads)
{
    struct kv_txn *txn;
    struct span key, value;
    struct buf changed = {0};
    cr_assert_eq(kv_begin(kv, true, &txn), ERR_OK);
    cr_assert(kv_get(txn, CUT_TABLE_META, span_of_text("store"), &value));
    buf_put(&changed, value.data, value.length);
    changed.data[0] = version;
    kv_put(txn, CUT_TABLE_META, span_of_text("store"), buf_span(&changed));
    uint8_t at[8] = {0};
    while (long_heads && kv_seek(txn, CUT_TABLE_OUTBOX, span_of(at, sizeof(at)), &key, &value)) {
        static const uint8_t since[12] = {0};
        memcpy(at, key.data, sizeof(at));
        buf_clear(&changed);
        buf_put(&changed, value.data, 2);
        buf_put(&changed, since, sizeof(since));
        buf_put(&changed, value.data + 2, value.length - 2);
        kv_put(txn, CUT_TABLE_OUTBOX, span_of(at, sizeof(at)), buf_span(&changed));
        bytes_store_u64(at, bytes_load_u64(at) + 1);
    }
    cr_assert_eq(kv_commit(&txn), ERR_OK);
    buf_done(&changed);
}

Test(regional_replica_store, stores_of_older_versions_are_adopted_and_of_newer_ones_refused)
{
    for (uint8_t version = 0; version <= 4; version++) {
        struct world w;
        struct node n;
        struct replica_view v;
        given_world(&w);
        given_node(&w, &n, "us-r1");
        sim_bus_lose_publishes(n.bus, 100000);
        for (unsigned s = 0; s < 20; s++) {
            schedule_step(&w, s);
            cr_assert_eq(node_run(&n), ERR_OK);
        }
        replica_view(n.replica, &v);
        cr_assert_gt(v.outbox, 3);
        node_crash(&n);
        set_version(n.kv, version, version == 1);
        if (version == 0 || version == 4) {
            cr_assert_eq(node_start(&w, &n), ERR_KV_CORRUPT, "version %u", version);
        } else {
            cr_assert_eq(node_start(&w, &n), ERR_OK, "version %u", version);
            cr_assert_eq(n.notes[REPLICA_ADOPTED_STORE], version < 3);
            for (unsigned s = 20; schedule_step(&w, s); s++)
                cr_assert_eq(node_run(&n), ERR_OK);
            cr_assert_eq(settle(&w, &n), ERR_OK);
            expect_schedule(&w, &n);
        }
        node_done(&n);
        world_done(&w);
    }
}

Test(regional_replica_store,
     a_restored_store_of_the_same_name_gets_a_new_id_too_but_a_restart_does_not)
{
    struct world w;
    struct node n;
    struct replica_view before, after;
    given_world(&w);
    given_node(&w, &n, "us-r1");
    replica_view(n.replica, &before);
    node_crash(&n);

    cr_assert_eq(node_start(&w, &n), ERR_OK);
    replica_view(n.replica, &after);
    cr_assert_eq(after.store_id, before.store_id);
    node_crash(&n);
    cr_assert_eq(replica_mark_restored(n.kv), ERR_OK);
    cr_assert_eq(node_start(&w, &n), ERR_OK);
    replica_view(n.replica, &after);
    cr_assert_neq(after.store_id, before.store_id);
    before = after;
    node_crash(&n);
    cr_assert_eq(node_start(&w, &n), ERR_OK);
    replica_view(n.replica, &after);

    cr_assert_eq(after.store_id, before.store_id, "once");
    node_done(&n);
    world_done(&w);
}
