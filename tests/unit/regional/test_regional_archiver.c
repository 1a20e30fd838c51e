/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/regional/archiver_given.h"

#define STEP 30u

/* One step of a story: the edge sends the next run, now and then an older one again, some runs are
 * lost on the way, and it sends again from a floor at which a gap is reported. False: all is sent.
 */
static bool story_step(struct world *w, struct arch_ear *ear, unsigned s)
{
    uint64_t first = (uint64_t)s * STEP, last = first + STEP;
    if (first >= GIVEN_NUMBERS)
        return false;
    bool lost = s % 6 == 4, ends = last == GIVEN_NUMBERS;
    struct segment_head h = edge_run(w, ear, first, last + ends);
    h.fin = ends;
    if (!lost)
        publish_full(w, &h);
    if (s % 5 == 3 && first - STEP / 2 >= ear->floor) {
        h = edge_run(w, ear, first - STEP / 2, last);
        publish_full(w, &h);
    }
    world_advance(w, 400);
    return true;
}

static void send_again(struct world *w, struct arch_ear *ear, uint64_t end)
{
    for (uint64_t first = ear->floor; ear->gap && first < end; first += STEP) {
        uint64_t last = base_min_u64(first + STEP, end);
        struct segment_head h = edge_run(w, ear, first, last);
        h.fin = last == GIVEN_NUMBERS + 1;
        if (h.fin || last <= GIVEN_NUMBERS)
            publish_full(w, &h);
    }
}

/* After each step: no floor was told of what the archive does not hold. */
static void listen_and_judge(struct world *w, struct arch_node *n, struct arch_ear *ear)
{
    arch_hear(w, ear);
    uint64_t archived = judge_archive(n->store, NULL);
    cr_assert_leq(ear->floor, archived, "told %lu, archived %lu", (unsigned long)ear->floor,
                  (unsigned long)archived);
}

static void run_or_restart(struct world *w, struct arch_node *n, struct arch_ear *ear,
                           unsigned *deaths)
{
    /* A death at a send or a read shows in no error: whoever is dead does not go on. */
    while (arch_run(n) != ERR_OK || n->fuse.blown) {
        listen_and_judge(w, n, ear);
        (*deaths)++;
        arch_crash(n);
        cr_assert_eq(arch_start(w, n), ERR_OK);
    }
    listen_and_judge(w, n, ear);
}

/* The whole story, with heartbeats at its end until everything is archived and told. */
static unsigned tell_story(struct world *w, struct arch_node *n)
{
    struct arch_ear ear = {0};
    unsigned deaths = 0, s = 0;
    for (; story_step(w, &ear, s); s++) {
        run_or_restart(w, n, &ear, &deaths);
        send_again(w, &ear, (s + 1) * (uint64_t)STEP);
    }
    for (unsigned i = 0; i < 60 && !(ear.finished && ear.floor == GIVEN_NUMBERS + 1); i++) {
        struct segment_head h = edge_run(w, &ear, GIVEN_NUMBERS + 1, GIVEN_NUMBERS + 1);
        h.fin = true;
        publish_full(w, &h);
        world_advance(w, 1500);
        run_or_restart(w, n, &ear, &deaths);
        send_again(w, &ear, GIVEN_NUMBERS + 1);
    }
    cr_assert_eq(ear.floor, GIVEN_NUMBERS + 1, "told %lu", (unsigned long)ear.floor);
    cr_assert(ear.finished);
    cr_assert_eq(judge_archive(n->store, NULL), GIVEN_NUMBERS + 1);
    return deaths;
}

Test(regional_archiver, everything_is_archived_once_and_then_the_floors_are_told)
{
    struct world w;
    struct arch_node n;
    unsigned archived[GIVEN_NUMBERS + 1];
    given_world(&w);
    given_arch_node(&w, &n, "us-a1");

    cr_assert_eq(tell_story(&w, &n), 0);

    cr_assert_eq(judge_archive(n.store, archived), GIVEN_NUMBERS + 1);
    for (unsigned i = 0; i <= GIVEN_NUMBERS; i++)
        cr_assert_eq(archived[i], 1, "%u is archived %u times", i, archived[i]);
    struct archiver_view v;
    archiver_view(n.archiver, &v);
    cr_assert(v.counts.clicks == GIVEN_NUMBERS && v.object_clicks == GIVEN_NUMBERS);
    cr_assert(v.counts.skipped == 0 && v.counts.gaps > 0 && v.ready && v.bus_up);
    cr_assert(v.waiting_bytes == 0 && v.objects >= 2 && v.put_failures == 0);
    arch_done(&n);
    world_done(&w);
}

/* The process dies at each effect in turn (put, commit, send), once before and once after it took
 * place. */
Test(regional_archiver, a_death_at_any_effect_loses_nothing_and_no_floor_is_told_too_early)
{
    for (unsigned applied = 0; applied < 2; applied++) {
        unsigned points = 0;
        for (unsigned at = 1;; at++) {
            struct world w;
            struct arch_node n;
            given_world(&w);
            given_arch_node(&w, &n, "us-a1");
            n.fuse = (struct sim_fuse){.left = at, .applied_last = applied};
            bool met = tell_story(&w, &n) > 0;
            arch_done(&n);
            world_done(&w);
            if (!met)
                break;
            points++;
        }
        cr_assert_gt(points, 30, "only %u effects", points);
    }
}

Test(regional_archiver, a_put_that_fails_anywhere_is_tried_again)
{
    static const enum err errs[] = {ERR_STORE_AWAY, ERR_STORE_REFUSED};
    for (unsigned e = 0; e < countof(errs); e++) {
        for (unsigned at = 1;; at++) {
            struct world w;
            struct arch_node n;
            given_world(&w);
            given_arch_node(&w, &n, "us-a1");
            sim_store_fail_put(n.store, at, errs[e], at % 2);
            cr_assert_eq(tell_story(&w, &n), 0);
            bool met = n.notes[ARCHIVER_STORE_AWAY] > 0;
            cr_assert_eq(n.notes[ARCHIVER_STORE_AWAY], n.notes[ARCHIVER_STORE_BACK]);
            arch_done(&n);
            world_done(&w);
            if (!met) {
                cr_assert_gt(at, 10);
                break;
            }
        }
    }
}

Test(regional_archiver, while_objects_cannot_be_put_nothing_is_read_and_memory_is_bounded)
{
    struct world w;
    struct arch_node n;
    struct arch_ear ear = {0};
    struct archiver_view v;
    given_world(&w);
    given_arch_node(&w, &n, "us-a1");
    sim_store_down(n.store, ERR_STORE_AWAY);

    for (unsigned s = 0; s < GIVEN_NUMBERS / STEP; s++) {
        struct segment_head h = edge_run(&w, &ear, s * STEP, s * STEP + STEP);
        publish_full(&w, &h);
        world_advance(&w, 400);
        cr_assert_eq(arch_run(&n), ERR_OK);
    }
    archiver_view(n.archiver, &v);
    cr_assert(v.store_away && !v.ready && v.put_failures > 1);
    uint64_t clicks = v.counts.clicks;
    cr_assert_lt(clicks, GIVEN_NUMBERS / 2, "%lu were taken in", (unsigned long)clicks);
    world_advance(&w, 3600 * 1000);
    cr_assert_eq(arch_run(&n), ERR_OK);
    archiver_view(n.archiver, &v);
    cr_assert_eq(v.counts.clicks, clicks);
    arch_hear(&w, &ear);
    cr_assert_eq(ear.messages, 0);

    sim_store_down(n.store, ERR_OK);
    for (unsigned i = 0; i < 40; i++) {
        world_advance(&w, 3000);
        cr_assert_eq(arch_run(&n), ERR_OK);
    }
    listen_and_judge(&w, &n, &ear);
    cr_assert_eq(ear.floor, GIVEN_NUMBERS);
    arch_done(&n);
    world_done(&w);
}

Test(regional_archiver, a_full_store_of_its_own_is_waited_for_and_a_failing_one_ends_it)
{
    struct world w;
    struct arch_node n;
    given_world(&w);
    given_arch_node(&w, &n, "us-a1");
    sim_kv_fail_commit(n.kv, 2, ERR_KV_FULL, false);
    cr_assert_eq(tell_story(&w, &n), 0);
    cr_assert_eq(n.notes[ARCHIVER_STORE_AWAY], 1);
    arch_done(&n);
    world_done(&w);

    for (unsigned at = 1; at <= 4; at++) {
        given_world(&w);
        given_arch_node(&w, &n, "us-a1");
        sim_kv_fail_commit(n.kv, at, ERR_KV_IO, at % 2);
        cr_assert_eq(tell_story(&w, &n), 1);
        arch_done(&n);
        world_done(&w);
    }
}

Test(regional_archiver, a_clean_stop_and_start_archives_nothing_twice)
{
    struct world w;
    struct arch_node n;
    struct arch_ear ear = {0};
    unsigned archived[GIVEN_NUMBERS + 1];
    given_world(&w);
    given_arch_node(&w, &n, "us-a1");
    for (unsigned s = 0; s < GIVEN_NUMBERS / STEP; s++) {
        struct segment_head h = edge_run(&w, &ear, s * STEP, s * STEP + STEP);
        publish_full(&w, &h);
        world_advance(&w, 400);
        cr_assert_eq(arch_run(&n), ERR_OK);
        if (s % 7 == 5) {
            cr_assert_eq(archiver_stop(n.archiver), ERR_OK);
            arch_crash(&n);
            cr_assert_eq(arch_start(&w, &n), ERR_OK);
        }
        arch_hear(&w, &ear);
    }
    cr_assert_eq(archiver_stop(n.archiver), ERR_OK);
    cr_assert_eq(judge_archive(n.store, archived), GIVEN_NUMBERS);
    for (unsigned i = 0; i < GIVEN_NUMBERS; i++)
        cr_assert_eq(archived[i], 1, "%u is archived %u times", i, archived[i]);
    cr_assert_eq(n.notes[ARCHIVER_NEW_STORE], 1);
    arch_done(&n);
    world_done(&w);
}

/* JetStream acknowledged it, and lost it; numbers are used again. */
Test(regional_archiver, a_stream_that_lost_its_tail_is_read_again_and_the_edge_sends_again)
{
    for (unsigned kind = 0; kind < 3; kind++) {
        struct world w;
        struct arch_node n;
        struct arch_ear ear = {0};
        struct subject stream = subject_clicks_stream(GIVEN_REGION, GIVEN_PARTITION);
        given_world(&w);
        given_arch_node(&w, &n, "us-a1");
        for (unsigned s = 0; s < GIVEN_NUMBERS / STEP; s++) {
            struct segment_head h = edge_run(&w, &ear, s * STEP, s * STEP + STEP);
            publish_full(&w, &h);
            world_advance(&w, 400);
            if (s != 8)
                cr_assert_eq(arch_run(&n), ERR_OK);
            if (s == 9) {
                sim_bus_cut(n.bus);
                if (kind == 0)
                    sim_bus_lose_tail(w.server, stream.text, 6);
                else if (kind == 1)
                    sim_bus_recreate(w.server, stream.text);
                else
                    sim_bus_expire(w.server, stream.text, 9);
                sim_bus_heal(n.bus);
            }
            listen_and_judge(&w, &n, &ear);
            send_again(&w, &ear, (s + 1) * STEP);
        }
        for (unsigned i = 0; i < 30; i++) {
            struct segment_head h = edge_run(&w, &ear, GIVEN_NUMBERS, GIVEN_NUMBERS);
            publish_full(&w, &h);
            world_advance(&w, 1500);
            cr_assert_eq(arch_run(&n), ERR_OK);
            listen_and_judge(&w, &n, &ear);
            send_again(&w, &ear, GIVEN_NUMBERS);
        }
        cr_assert_eq(ear.floor, GIVEN_NUMBERS, "kind %u: %lu", kind, (unsigned long)ear.floor);
        if (kind < 2)
            cr_assert_gt(n.notes[ARCHIVER_PROOF_FAILED], 0);
        cr_assert_eq(n.notes[ARCHIVER_HOLE], 0);
        arch_done(&n);
        world_done(&w);
    }
}

Test(regional_archiver, two_archivers_may_write_into_one_archive)
{
    struct world w;
    struct arch_node n, other;
    struct arch_ear ear = {0};
    unsigned archived[GIVEN_NUMBERS + 1];
    given_world(&w);
    given_arch_node(&w, &n, "us-a1");
    given_arch_node(&w, &other, "us-a2");
    struct object_store *own = other.store;
    arch_crash(&other);
    other.store = n.store;
    other.object_bytes = 9000;
    cr_assert_eq(arch_start(&w, &other), ERR_OK);
    for (unsigned s = 0; s < GIVEN_NUMBERS / STEP; s++) {
        struct segment_head h = edge_run(&w, &ear, s * STEP, s * STEP + STEP);
        publish_full(&w, &h);
        world_advance(&w, 400);
        cr_assert_eq(arch_run(&n), ERR_OK);
        cr_assert_eq(arch_run(&other), ERR_OK);
    }
    cr_assert_eq(archiver_stop(n.archiver), ERR_OK);
    cr_assert_eq(archiver_stop(other.archiver), ERR_OK);
    cr_assert_eq(judge_archive(n.store, archived), GIVEN_NUMBERS);
    for (unsigned i = 0; i < GIVEN_NUMBERS; i++)
        cr_assert_geq(archived[i], 1, "equal clicks make equal objects, which are one");
    other.store = own;
    arch_done(&other);
    arch_done(&n);
    world_done(&w);
}

Test(regional_archiver, a_lost_store_begins_with_what_the_stream_holds_and_says_what_is_a_hole)
{
    struct world w;
    struct arch_node n;
    struct arch_ear ear = {0};
    unsigned archived[GIVEN_NUMBERS + 1];
    struct subject stream = subject_clicks_stream(GIVEN_REGION, GIVEN_PARTITION);
    given_world(&w);
    given_arch_node(&w, &n, "us-a1");
    for (unsigned s = 0; s < GIVEN_NUMBERS / STEP; s++) {
        struct segment_head h = edge_run(&w, &ear, s * STEP, s * STEP + STEP);
        publish_full(&w, &h);
        world_advance(&w, 1000);
        cr_assert_eq(arch_run(&n), ERR_OK);
        arch_hear(&w, &ear);
        if (s == 10) {
            uint64_t first = ear.store_id;
            arch_crash(&n);
            sim_kv_free(n.kv);
            n.kv = sim_kv_new(ARCHIVER_TABLES);
            sim_bus_expire(w.server, stream.text, 4);
            cr_assert_eq(arch_start(&w, &n), ERR_OK);
            world_advance(&w, 1000);
            cr_assert_eq(arch_run(&n), ERR_OK);
            arch_hear(&w, &ear);
            cr_assert_neq(ear.store_id, first);
        }
    }
    cr_assert_eq(archiver_stop(n.archiver), ERR_OK);
    cr_assert_eq(judge_archive(n.store, archived), GIVEN_NUMBERS);
    cr_assert(archived[0] == 1 && archived[5 * STEP] == 2, "an overlap is harmless");
    cr_assert_eq(n.notes[ARCHIVER_NEW_STORE], 2);
    /* And an edge that trimmed without waiting for us is found out. */
    struct segment_head h = edge_run(&w, &ear, GIVEN_NUMBERS + 50, GIVEN_NUMBERS + 50);
    h.low = GIVEN_NUMBERS + 50;
    publish_full(&w, &h);
    cr_assert_eq(arch_run(&n), ERR_OK);
    cr_assert_eq(n.notes[ARCHIVER_HOLE], 1);
    arch_done(&n);
    world_done(&w);
}

Test(regional_archiver, memory_beyond_the_buffer_is_cut_early)
{
    struct world w;
    struct arch_node n = {.object_bytes = 1 << 20, .buffer_bytes = 3000};
    struct arch_ear ear = {0};
    given_world(&w);
    n.kv = sim_kv_new(ARCHIVER_TABLES);
    n.store = sim_store_new();
    (void)snprintf(n.name, sizeof(n.name), "us-a1");
    cr_assert_eq(arch_start(&w, &n), ERR_OK);
    for (unsigned s = 0; s < GIVEN_NUMBERS / STEP; s++) {
        struct segment_head h = edge_run(&w, &ear, s * STEP, s * STEP + STEP);
        publish_full(&w, &h);
    }
    cr_assert_eq(arch_run(&n), ERR_OK);
    cr_assert_eq(judge_archive(n.store, NULL), GIVEN_NUMBERS);
    arch_done(&n);
    world_done(&w);
}

Test(regional_archiver, a_store_of_another_archiver_or_with_damage_is_refused)
{
    struct world w;
    struct arch_node n;
    struct kv_txn *txn;
    given_world(&w);
    given_arch_node(&w, &n, "us-a1");
    arch_crash(&n);
    (void)snprintf(n.name, sizeof(n.name), "us-a2");
    cr_assert_eq(arch_start(&w, &n), ERR_CONFIG);
    (void)snprintf(n.name, sizeof(n.name), "us-a1");
    cr_assert_eq(arch_start(&w, &n), ERR_OK);
    arch_crash(&n);
    cr_assert_eq(kv_begin(n.kv, true, &txn), ERR_OK);
    static const uint8_t key[2] = {0, GIVEN_PARTITION};
    kv_put(txn, ARCHIVER_TABLE_STATE, span_of(key, 2), span_of_text("damage"));
    cr_assert_eq(kv_commit(&txn), ERR_OK);
    cr_assert_eq(arch_start(&w, &n), ERR_KV_CORRUPT);
    cr_assert_eq(kv_begin(n.kv, true, &txn), ERR_OK);
    kv_put(txn, ARCHIVER_TABLE_META, span_of_text("store"), span_of_text("damage"));
    cr_assert_eq(kv_commit(&txn), ERR_OK);
    cr_assert_eq(arch_start(&w, &n), ERR_KV_CORRUPT);
    arch_done(&n);
    world_done(&w);
}
