/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/want.h"
#include "regional/core/roster.h"
#include "unit/regional/replica_given.h"

static void run_schedule(struct world *w, struct node *n, unsigned lose_every, bool orphan)
{
    for (unsigned s = 0; schedule_step(w, s); s++) {
        if (lose_every > 0 && s % lose_every == 0) {
            if (orphan)
                sim_bus_orphan_publishes(n->bus, 2);
            else
                sim_bus_lose_publishes(n->bus, 2);
        }
        cr_assert_eq(node_run(n), ERR_OK);
    }
    cr_assert_eq(settle(w, n), ERR_OK);
}

Test(regional_replica_send, a_partial_that_was_lost_is_published_again)
{
    struct world w;
    struct node n;
    struct replica_view v;
    given_world(&w);
    given_node(&w, &n, "us-r1");

    run_schedule(&w, &n, 2, false);

    replica_view(n.replica, &v);
    cr_assert_gt(v.partial_retries, 10);
    cr_assert_eq(v.outbox, 0);
    expect_globe_like(&w, fold_of(&n));
    node_done(&n);
    world_done(&w);
}

Test(regional_replica_send, a_partial_stored_without_an_answer_is_harmless)
{
    struct world w;
    struct node n;
    given_world(&w);
    given_node(&w, &n, "us-r1");

    run_schedule(&w, &n, 1, true);

    expect_globe_like(&w, fold_of(&n));
    node_done(&n);
    world_done(&w);
}

Test(regional_replica_send, partials_not_sent_before_a_crash_are_sent_after_it)
{
    struct world w;
    struct node n;
    given_world(&w);
    given_node(&w, &n, "us-r1");
    for (unsigned s = 0; schedule_step(&w, s); s++) {
        sim_bus_lose_publishes(n.bus, 100);
        cr_assert_eq(node_run(&n), ERR_OK);
        if (s % 8 == 5) {
            node_crash(&n);
            cr_assert_eq(node_start(&w, &n), ERR_OK);
        }
    }
    sim_bus_lose_publishes(n.bus, 0);
    node_crash(&n);
    cr_assert_eq(node_start(&w, &n), ERR_OK);

    cr_assert_eq(settle(&w, &n), ERR_OK);

    expect_globe_like(&w, fold_of(&n));
    cr_assert_eq(sim_kv_entries(n.kv, CUT_TABLE_OUTBOX), 0);
    node_done(&n);
    world_done(&w);
}

static void ask(struct world *w, uint32_t minute, const char *replica)
{
    static struct want_message want;
    struct buf message = {0};
    struct subject to = subject_want(GIVEN_REGION, replica);
    want = (struct want_message){.partition = GIVEN_PARTITION,
                                 .minute_count = 1,
                                 .minutes = {minute},
                                 .name_count = 1,
                                 .names = {hash_ad(span_of_text(given_ad(0)))}};
    (void)snprintf(want.region, sizeof(want.region), GIVEN_REGION);
    (void)snprintf(want.replica, sizeof(want.replica), "%s", replica);
    want_write(&message, &want);
    cr_assert_eq(bus_send(w->edge, to.text, buf_span(&message)), ERR_OK);
    buf_done(&message);
}

Test(regional_replica_send, a_want_is_answered_from_what_is_durable)
{
    struct world w;
    struct node n;
    struct globe g;
    given_world(&w);
    given_node(&w, &n, "us-r1");
    run_schedule(&w, &n, 0, false);
    world_advance(&w, 120000);
    publish_run(&w, SCHEDULE_CLICKS, SCHEDULE_CLICKS, schedule_clicks());
    cr_assert_eq(settle(&w, &n), ERR_OK);
    cr_assert_gt(fold_of(&n)->totals_next, GIVEN_MINUTE);

    ask(&w, GIVEN_MINUTE, "us-r1");
    cr_assert_eq(node_run(&n), ERR_OK);
    globe_read(&w, &g);
    cr_assert_eq(g.wholes, 1);
    cr_assert_eq(g.totals_unmet, 0);
    globe_done(&g);

    /* With something uncut the answer waits for the cut. */
    publish_run(&w, SCHEDULE_CLICKS, SCHEDULE_CLICKS, schedule_clicks());
    ask(&w, GIVEN_MINUTE, "us-r1");
    world_drain(&w);
    cr_assert_eq(node_run(&n), ERR_OK);
    cr_assert(fold_of(&n)->uncut);
    globe_read(&w, &g);
    cr_assert_eq(g.wholes, 1);
    globe_done(&g);
    cr_assert_eq(settle(&w, &n), ERR_OK);
    globe_read(&w, &g);
    cr_assert_eq(g.wholes, 2);
    globe_done(&g);

    ask(&w, GIVEN_MINUTE, "us-r2");
    cr_assert_eq(node_run(&n), ERR_OK);
    globe_read(&w, &g);
    cr_assert_eq(g.wholes, 2, "not ours to answer");
    globe_done(&g);
    node_done(&n);
    world_done(&w);
}

Test(regional_replica_send, two_replicas_share_one_tick)
{
    struct world w;
    struct node a, b;
    struct replica_view va, vb;
    given_world(&w);
    given_node(&w, &a, "us-r1");
    given_node(&w, &b, "us-r2");
    publish_run(&w, 0, 10, schedule_clicks());

    for (unsigned i = 0; i < 500; i++) {
        world_advance(&w, 10);
        uint32_t idle_ms;
        cr_assert_eq(replica_step(a.replica, &idle_ms), ERR_OK);
        cr_assert_eq(replica_step(b.replica, &idle_ms), ERR_OK);
    }

    replica_view(a.replica, &va);
    replica_view(b.replica, &vb);
    cr_assert_eq(va.ticks_sent + vb.ticks_sent, 1);
    cr_assert(!fold_of(&a)->uncut && !fold_of(&b)->uncut);
    node_done(&a);
    node_done(&b);
    world_done(&w);
}

Test(regional_replica_send, a_bus_that_is_away_loses_nothing)
{
    struct world w;
    struct node n;
    given_world(&w);
    given_node(&w, &n, "us-r1");
    for (unsigned s = 0; schedule_step(&w, s); s++) {
        if (s % 10 == 4)
            sim_bus_cut(n.bus);
        if (s % 10 == 7)
            sim_bus_heal(n.bus);
        cr_assert_eq(node_run(&n), ERR_OK);
    }

    cr_assert_eq(settle(&w, &n), ERR_OK);

    struct oracle o = {0};
    schedule_oracle(&o);
    expect_like_oracle(fold_of(&n), &o);
    expect_globe_like(&w, fold_of(&n));
    free(o.clicks);
    node_done(&n);
    world_done(&w);
}
