/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/regional/replica_given.h"

Test(regional_replica, clicks_come_out_as_counts_and_floors)
{
    struct world w;
    struct node n;
    struct oracle o = {0};
    given_world(&w);
    given_node(&w, &n, "us-r1");

    for (unsigned s = 0; schedule_step(&w, s); s++)
        cr_assert_eq(node_run(&n), ERR_OK);
    cr_assert_eq(settle(&w, &n), ERR_OK);

    schedule_oracle(&o);
    expect_like_oracle(fold_of(&n), &o);
    expect_globe_like(&w, fold_of(&n));
    cr_assert_eq(world_hear(&w), SCHEDULE_CLICKS);
    struct replica_view v;
    replica_view(n.replica, &v);
    cr_assert(v.ready && v.bus_up);
    cr_assert_eq(v.outbox, 0);
    cr_assert_eq(v.books.folded, SCHEDULE_CLICKS);
    cr_assert_geq(v.ticks_sent, 1, "the last second needs a tick");
    cr_assert_leq(v.ticks_sent, 2, "one tick makes one cut");
    free(o.clicks);
    node_done(&n);
    world_done(&w);
}

Test(regional_replica, totals_at_the_globe_are_met)
{
    struct world w;
    struct node n;
    struct globe g;
    given_world(&w);
    given_node(&w, &n, "us-r1");
    for (unsigned s = 0; schedule_step(&w, s); s++)
        cr_assert_eq(node_run(&n), ERR_OK);

    for (unsigned i = 0; i < 8; i++) { /* heartbeats close the minutes */
        world_advance(&w, 20000);
        publish_run(&w, SCHEDULE_CLICKS, SCHEDULE_CLICKS, schedule_clicks());
        cr_assert_eq(node_run(&n), ERR_OK);
    }
    cr_assert_eq(settle(&w, &n), ERR_OK);

    globe_read(&w, &g);
    cr_assert_gt(g.totals_met, 3);
    cr_assert_eq(g.totals_unmet, 0);
    cr_assert_eq(g.watermark_ms, fold_of(&n)->watermark_ms);
    globe_done(&g);
    node_done(&n);
    world_done(&w);
}

Test(regional_replica, floors_never_run_ahead_of_the_commit)
{
    struct world w;
    struct node n;
    given_world(&w);
    given_node(&w, &n, "us-r1");

    for (unsigned s = 0; schedule_step(&w, s); s++) {
        uint32_t idle_ms;
        for (unsigned i = 0; i < 4; i++) {
            cr_assert_eq(replica_step(n.replica, &idle_ms), ERR_OK);
            uint64_t heard = world_hear(&w), durable = durable_floor(n.kv);
            cr_assert_leq(heard, durable, "told %lu, holds %lu", (unsigned long)heard,
                          (unsigned long)durable);
        }
    }
    cr_assert_gt(w.heard_floor, 0);
    node_done(&n);
    world_done(&w);
}

Test(regional_replica, a_gap_is_told_and_healed)
{
    struct world w;
    struct node n;
    const struct given_click *clicks = schedule_clicks();
    given_world(&w);
    given_node(&w, &n, "us-r1");
    publish_run(&w, 0, 10, clicks);
    world_advance(&w, 1000);
    cr_assert_eq(node_run(&n), ERR_OK);
    (void)world_hear(&w);

    publish_run(&w, 20, 30, clicks);
    cr_assert_eq(node_run(&n), ERR_OK);
    (void)world_hear(&w);
    cr_assert_gt(w.gaps_heard, 0, "at once, from what is durable");
    cr_assert_leq(w.heard_floor, 10);
    publish_run(&w, 10, 30, clicks);
    cr_assert_eq(settle(&w, &n), ERR_OK);

    cr_assert_eq(world_hear(&w), 30);
    cr_assert_eq(fold_of(&n)->books.folded, 30);
    node_done(&n);
    world_done(&w);
}

Test(regional_replica, floors_are_told_again_while_idle_and_after_reconnecting)
{
    struct world w;
    struct node n;
    given_world(&w);
    given_node(&w, &n, "us-r1");
    publish_run(&w, 0, 10, schedule_clicks());
    cr_assert_eq(settle(&w, &n), ERR_OK);
    (void)world_hear(&w);
    unsigned before = w.floors_heard;

    world_advance(&w, 5000);
    cr_assert_eq(node_run(&n), ERR_OK);
    (void)world_hear(&w);
    cr_assert_eq(w.floors_heard, before + 1);
    sim_bus_cut(n.bus);
    cr_assert_eq(node_run(&n), ERR_OK);
    sim_bus_heal(n.bus);
    cr_assert_eq(node_run(&n), ERR_OK);
    (void)world_hear(&w);

    cr_assert_eq(w.floors_heard, before + 2);
    node_done(&n);
    world_done(&w);
}

/* --- position (design 4.2)
 * ----------------------------------------------------------------------------------------- */

static void given_half(struct world *w, struct node *n, unsigned steps)
{
    given_world(w);
    given_node(w, n, "us-r1");
    for (unsigned s = 0; s < steps && schedule_step(w, s); s++)
        cr_assert_eq(node_run(n), ERR_OK);
}

static void expect_schedule(struct world *w, struct node *n)
{
    struct oracle o = {0};
    schedule_oracle(&o);
    expect_like_oracle(fold_of(n), &o);
    expect_globe_like(w, fold_of(n));
    cr_assert_eq(world_hear(w), SCHEDULE_CLICKS);
    free(o.clicks);
}

Test(regional_replica, a_proven_position_is_read_on_from)
{
    struct world w;
    struct node n;
    given_half(&w, &n, 30);
    uint64_t segments = fold_of(&n)->counts.segments;

    sim_bus_cut(n.bus);
    cr_assert_eq(node_run(&n), ERR_OK);
    sim_bus_heal(n.bus);
    cr_assert_eq(node_run(&n), ERR_OK);

    cr_assert_eq(n.notes[REPLICA_PROOF_FAILED], 0);
    cr_assert_leq(fold_of(&n)->counts.repeats, 8, "nothing was read again");
    cr_assert_eq(fold_of(&n)->counts.segments, segments);
    for (unsigned s = 30; schedule_step(&w, s); s++)
        cr_assert_eq(node_run(&n), ERR_OK);
    cr_assert_eq(settle(&w, &n), ERR_OK);
    expect_schedule(&w, &n);
    node_done(&n);
    world_done(&w);
}

/* The bus lost acknowledged messages: the edge sends them again under re-used sequence numbers. */
Test(regional_replica, a_lost_tail_is_noticed_and_nothing_is_lost_or_doubled)
{
    struct world w;
    struct node n;
    struct subject stream = subject_clicks_stream(GIVEN_REGION, GIVEN_PARTITION);
    given_half(&w, &n, 30);
    uint64_t last = sim_bus_last_seq(w.server, stream.text);

    sim_bus_cut(n.bus);
    cr_assert_eq(node_run(&n), ERR_OK);
    sim_bus_lose_tail(w.server, stream.text, last - 8);
    for (uint64_t first = 200; first < 300; first += 10) /* the edge goes back behind every floor */
        publish_run(&w, first, first + 10, schedule_clicks());
    sim_bus_heal(n.bus);
    cr_assert_eq(node_run(&n), ERR_OK);

    cr_assert_eq(n.notes[REPLICA_PROOF_FAILED], 1);
    for (unsigned s = 30; schedule_step(&w, s); s++)
        cr_assert_eq(node_run(&n), ERR_OK);
    cr_assert_eq(settle(&w, &n), ERR_OK);
    expect_schedule(&w, &n);
    node_done(&n);
    world_done(&w);
}

Test(regional_replica, a_stream_made_anew_is_read_from_its_start)
{
    struct world w;
    struct node n;
    struct subject stream = subject_clicks_stream(GIVEN_REGION, GIVEN_PARTITION);
    given_half(&w, &n, 30);

    sim_bus_cut(n.bus);
    cr_assert_eq(node_run(&n), ERR_OK);
    sim_bus_recreate(w.server, stream.text);
    for (unsigned s = 30; s < 55; s++)
        schedule_step(&w, s);
    sim_bus_heal(n.bus);
    for (unsigned s = 55; schedule_step(&w, s); s++)
        cr_assert_eq(node_run(&n), ERR_OK);
    cr_assert_eq(settle(&w, &n), ERR_OK);

    cr_assert_eq(n.notes[REPLICA_PROOF_FAILED], 1);
    expect_schedule(&w, &n);
    node_done(&n);
    world_done(&w);
}

/* The server skips messages and says nothing (as it may after losing a tail): the numbers tell. */
Test(regional_replica, messages_skipped_in_silence_are_a_gap_and_come_again)
{
    struct world w;
    struct node n;
    struct subject stream = subject_clicks_stream(GIVEN_REGION, GIVEN_PARTITION);
    given_half(&w, &n, 30);

    sim_bus_recreate(w.server, stream.text); /* the read goes on behind what comes now */
    for (unsigned s = 30; schedule_step(&w, s); s++)
        cr_assert_eq(node_run(&n), ERR_OK);
    publish_run(&w, SCHEDULE_CLICKS, SCHEDULE_CLICKS, schedule_clicks());
    cr_assert_eq(settle(&w, &n), ERR_OK);
    (void)world_hear(&w);
    cr_assert_gt(w.gaps_heard, 0);
    cr_assert_lt(fold_of(&n)->books.folded, SCHEDULE_CLICKS);
    for (uint64_t first = w.heard_floor; first < SCHEDULE_CLICKS; first += 10)
        publish_run(&w, first, first + 10, schedule_clicks());
    cr_assert_eq(settle(&w, &n), ERR_OK);

    expect_schedule(&w, &n);
    node_done(&n);
    world_done(&w);
}

Test(regional_replica, an_expired_position_reads_what_is_left)
{
    struct world w;
    struct node n;
    struct subject stream = subject_clicks_stream(GIVEN_REGION, GIVEN_PARTITION);
    given_half(&w, &n, 30);
    sim_bus_cut(n.bus);
    cr_assert_eq(node_run(&n), ERR_OK);

    for (unsigned s = 30; s < 35; s++)
        schedule_step(&w, s);
    sim_bus_expire(w.server, stream.text, sim_bus_last_seq(w.server, stream.text) - 2);
    sim_bus_heal(n.bus);
    cr_assert_eq(node_run(&n), ERR_OK);

    cr_assert_eq(n.notes[REPLICA_PROOF_FAILED], 1);
    (void)world_hear(&w);
    cr_assert_gt(w.gaps_heard, 0, "what expired unread is a gap");
    for (uint64_t first = 290; first < 350; first += 10) /* which the edge heals */
        publish_run(&w, first, first + 10, schedule_clicks());
    for (unsigned s = 35; schedule_step(&w, s); s++)
        cr_assert_eq(node_run(&n), ERR_OK);
    cr_assert_eq(settle(&w, &n), ERR_OK);
    expect_schedule(&w, &n);
    node_done(&n);
    world_done(&w);
}

Test(regional_replica, a_jump_of_the_sequence_asks_for_a_proof)
{
    struct world w;
    struct node n;
    struct replica_view before, after;
    struct subject stream = subject_clicks_stream(GIVEN_REGION, GIVEN_PARTITION);
    given_half(&w, &n, 30);
    replica_view(n.replica, &before);

    for (unsigned s = 30; s < 35; s++)
        schedule_step(&w, s);
    sim_bus_expire(w.server, stream.text, sim_bus_last_seq(w.server, stream.text) - 2);
    cr_assert_eq(node_run(&n), ERR_OK);

    replica_view(n.replica, &after);
    cr_assert_eq(after.proofs, before.proofs + 1);
    cr_assert_eq(after.proofs_failed, 1, "it has expired");
    for (uint64_t first = 290; first < 350; first += 10)
        publish_run(&w, first, first + 10, schedule_clicks());
    for (unsigned s = 35; schedule_step(&w, s); s++)
        cr_assert_eq(node_run(&n), ERR_OK);
    cr_assert_eq(settle(&w, &n), ERR_OK);
    expect_schedule(&w, &n);
    node_done(&n);
    world_done(&w);
}

/* --- a fold without state (design 4.3)
 * ------------------------------------------------------------------------------ */

Test(regional_replica, a_new_store_does_not_start_in_the_middle_of_a_stream)
{
    struct world w;
    struct node n;
    struct subject stream = subject_clicks_stream(GIVEN_REGION, GIVEN_PARTITION);
    given_world(&w);
    for (unsigned s = 0; s < 5; s++)
        schedule_step(&w, s);
    sim_bus_expire(w.server, stream.text, 2);

    given_node(&w, &n, "us-r1");
    cr_assert_eq(node_run(&n), ERR_OK);

    cr_assert_eq(n.notes[REPLICA_STOPPED], 1);
    cr_assert_eq(n.last_note.err, ERR_BELOW_LOW);
    cr_assert_eq(fold_of(&n)->books.folded, 0);
    struct replica_view v;
    replica_view(n.replica, &v);
    cr_assert(!v.ready && v.parts_stopped == 1);
    node_done(&n);
    world_done(&w);
}

Test(regional_replica, a_floor_below_what_the_edge_holds_stops_the_partition)
{
    struct world w;
    struct node n;
    given_world(&w);
    given_node(&w, &n, "us-r1");
    publish_run(&w, 0, 10, schedule_clicks());
    struct segment_head h = given_head("us-e1", 9, 20, 30, w.clock.wall);
    h.low = 15;
    publish_head(&w, &h, schedule_clicks());
    publish_run(&w, 10, 30, schedule_clicks());

    cr_assert_eq(node_run(&n), ERR_OK);
    world_advance(&w, 10000);
    cr_assert_eq(node_run(&n), ERR_OK);

    cr_assert_eq(n.notes[REPLICA_STOPPED], 1);
    cr_assert_eq(fold_of(&n)->books.folded, 10, "it never guesses, and never goes on behind");
    cr_assert_eq(replica_stop(n.replica), ERR_OK);
    cr_assert_eq(durable_floor(n.kv), 10);
    node_done(&n);
    world_done(&w);
}

/* --- two replicas ----------------------------------------------------------------- */

/* Content of all partials of one replica: everything but who speaks and the number of the cut. */
static void gather(struct world *w, const char *replica, struct buf *out)
{
    struct subject stream = subject_partials_stream(GIVEN_REGION);
    for (uint64_t seq = 1; seq <= sim_bus_last_seq(w->server, stream.text); seq++) {
        struct span data;
        uint64_t time_ms;
        struct partial p;
        cr_assert(sim_bus_message(w->server, stream.text, seq, &data, &time_ms));
        cr_assert_eq(partial_read(&p, data), ERR_OK);
        if (strcmp(p.replica, replica) == 0) {
            struct buf again = {0};
            memset(p.replica, 0, sizeof(p.replica));
            memcpy(p.replica, "r", 1);
            p.store_id = 0;
            p.cut = 0;
            partial_write(&again, &p);
            buf_put(out, again.data, again.length);
            buf_done(&again);
        }
        partial_done(&p);
    }
}

Test(regional_replica, two_replicas_say_the_same)
{
    struct world w;
    struct node a, b;
    struct buf first = {0}, second = {0};
    given_world(&w);
    given_node(&w, &a, "us-r1");
    given_node(&w, &b, "us-r2");

    for (unsigned s = 0; schedule_step(&w, s); s++) {
        cr_assert_eq(node_run(&a), ERR_OK);
        if (s % 5 == 0) /* the other one lags, and catches up */
            cr_assert_eq(node_run(&b), ERR_OK);
    }
    for (unsigned i = 0; i < 12; i++) {
        world_advance(&w, 700);
        cr_assert_eq(node_run(&a), ERR_OK);
        cr_assert_eq(node_run(&b), ERR_OK);
    }

    gather(&w, "us-r1", &first);
    gather(&w, "us-r2", &second);
    cr_assert_gt(first.length, 1000);
    /* The message id is a digest of the content: each partial of the second was there already. */
    cr_assert_eq(second.length, 0, "%zu bytes differ", second.length);
    struct replica_view view;
    replica_view(b.replica, &view);
    cr_assert_gt(view.partials, 5);
    cr_assert_eq(digest_of(fold_of(&a)), digest_of(fold_of(&b)));
    buf_done(&first);
    buf_done(&second);
    node_done(&a);
    node_done(&b);
    world_done(&w);
}
