/* SPDX-License-Identifier: Apache-2.0
 * regional_replica_minutes: closed minutes in the store change no count, no partial and no answer.
 */
#include "proto/want.h"
#include "unit/regional/replica_given.h"

enum { STORY_CLICKS = 1500, STORY_STEPS = 130 };

/* Messages, times, crashes and wants; the same in every world. */
struct story {
    struct given_click clicks[STORY_CLICKS];
    unsigned upto[STORY_STEPS], wait_ms[STORY_STEPS];
    bool crash[STORY_STEPS], want[STORY_STEPS];
    unsigned steps, count;
};

static uint32_t minute_now(uint64_t ms)
{
    return GIVEN_MINUTE + (uint32_t)((ms) / MINUTE_MS);
}

static struct given_click story_click(struct rng *r, const struct story *s, uint64_t ms)
{
    if (s->count > 0 && rng_chance(r, 250))
        return s->clicks[rng_below(r, s->count)]; /* a repeat, however old */
    uint32_t late = rng_chance(r, 700)   ? 0
                    : rng_chance(r, 700) ? (uint32_t)rng_below(r, 6)
                                         : (uint32_t)rng_below(r, 70);
    uint32_t minute = minute_now(ms);
    return (struct given_click){.ad = (unsigned)rng_below(r, GIVEN_ADS),
                                .user = (unsigned)rng_below(r, 50),
                                .id = s->count + 1,
                                .minute = late < minute - GIVEN_MINUTE ? minute - late : minute};
}

static void given_story(struct story *s, uint64_t seed, unsigned crashes)
{
    struct rng r = {seed};
    uint64_t ms = 0;
    *s = (struct story){.steps = STORY_STEPS};
    for (unsigned i = 0; i < s->steps; i++) {
        unsigned clicks = (unsigned)rng_below(&r, STORY_CLICKS / STORY_STEPS + 1);
        for (unsigned c = 0; c < clicks; c++) {
            s->clicks[s->count] = story_click(&r, s, ms);
            s->count++;
        }
        s->upto[i] = s->count;
        s->wait_ms[i] = rng_chance(&r, 500) ? 700 : 5000 + (unsigned)rng_below(&r, 60000);
        s->crash[i] = rng_chance(&r, crashes);
        s->want[i] = rng_chance(&r, 100);
        ms += s->wait_ms[i];
    }
}

static void ask_for_all(struct world *w)
{
    static struct want_message want;
    struct buf message = {0};
    struct subject to = subject_want(GIVEN_REGION, "us-r1");
    want = (struct want_message){.partition = GIVEN_PARTITION};
    uint32_t now = minute_now(w->clock.wall - GIVEN_START_MS);
    for (uint32_t i = 0; i < 75; i++)
        want.minutes[want.minute_count++] = now - 72 + i;
    (void)snprintf(want.region, sizeof(want.region), GIVEN_REGION);
    (void)snprintf(want.replica, sizeof(want.replica), "us-r1");
    want_write(&message, &want);
    cr_assert_eq(bus_send(w->edge, to.text, buf_span(&message)), ERR_OK);
    buf_done(&message);
}

static void tell(const struct story *s, struct world *w, struct node *n)
{
    publish_control(w, 0, CONTROL_ENROL, "us-e1");
    for (unsigned i = 0; i < s->steps; i++) {
        publish_run(w, i == 0 ? 0 : s->upto[i - 1], s->upto[i], s->clicks);
        cr_assert_eq(node_run(n), ERR_OK);
        if (s->want[i])
            ask_for_all(w);
        cr_assert_eq(node_run(n), ERR_OK);
        world_advance(w, s->wait_ms[i]);
        cr_assert_eq(node_run(n), ERR_OK);
        if (s->crash[i]) {
            node_crash(n);
            cr_assert_eq(node_start(w, n), ERR_OK);
            cr_assert_eq(node_run(n), ERR_OK);
        }
    }
    cr_assert_eq(settle(w, n), ERR_OK);
}

/* What a message of the stream says. The rows of an answer may come in any order; those of an open
 * minute, where there is no memory, too. */
static uint64_t print_of(struct world *w, uint64_t seq, bool any_order)
{
    struct subject stream = subject_partials_stream(GIVEN_REGION);
    struct span data;
    struct partial p;
    uint64_t time_ms;
    cr_assert(sim_bus_message(w->server, stream.text, seq, &data, &time_ms));
    cr_assert_eq(partial_read(&p, data), ERR_OK);
    if (!p.whole && !any_order) {
        partial_done(&p);
        return hash_checksum(data, 0);
    }
    uint64_t print = p.cut * 31 + p.watermark_ms * 37 + p.stream_ms * 41 + p.counted * 43 +
                     p.duplicate * 47 + p.carried * 53 + p.edge_count;
    for (uint32_t i = 0; i < p.row_count; i++)
        print += hash_checksum(p.rows[i].sketch, p.rows[i].ad_hash) +
                 partial_row_digest(&p.rows[i]) + p.rows[i].late;
    for (uint32_t i = 0; i < p.total_count; i++)
        print +=
            hash_checksum(span_of(&p.totals[i].digest, 8), p.totals[i].minute) + p.totals[i].rows;
    for (uint32_t i = 0; i < p.name_count; i++)
        print += hash_checksum(p.names[i].ad_id, p.names[i].ad_hash);
    partial_done(&p);
    return print;
}

static void expect_equal_streams(struct world *a, struct world *b, bool any_order, uint64_t seed)
{
    struct subject stream = subject_partials_stream(GIVEN_REGION);
    uint64_t last = sim_bus_last_seq(a->server, stream.text);
    cr_assert_eq(sim_bus_last_seq(b->server, stream.text), last, "seed %lu", (unsigned long)seed);
    cr_assert_gt(last, 50);
    for (uint64_t seq = 1; seq <= last; seq++)
        cr_assert_eq(print_of(a, seq, any_order), print_of(b, seq, any_order),
                     "seed %lu: message %lu", (unsigned long)seed, (unsigned long)seq);
}

static void expect_equal_folds(struct fold *a, struct fold *b)
{
    struct buf left = {0}, right = {0};
    struct fold_position nowhere = {0};
    fold_state_write(&left, a, &nowhere);
    fold_state_write(&right, b, &nowhere);
    cr_assert(span_equal(buf_span(&left), buf_span(&right)));
    cr_assert_eq(a->horizon.count, b->horizon.count);
    for (uint32_t i = 0; i < a->horizon.count; i++) {
        const struct partial_total *x = horizon_total(a->horizon.tables[i]);
        const struct partial_total *y = horizon_total(b->horizon.tables[i]);
        cr_assert_eq(x->digest, y->digest);
        cr_assert(x->minute == y->minute && x->rows == y->rows && x->counted == y->counted &&
                  x->duplicate == y->duplicate);
    }
    cr_assert_eq(a->names.used, b->names.used);
    buf_done(&left);
    buf_done(&right);
}

static void given_other(struct world *w, struct node *n, uint32_t settle_ms, uint32_t items)
{
    given_world(w);
    *n = (struct node){.kv = sim_kv_new(CUT_TABLES),
                       .settle_ms = settle_ms,
                       .sizes = {items, items == 0 ? 0 : items}};
    (void)snprintf(n->name, sizeof(n->name), "us-r1");
    cr_assert_eq(node_start(w, n), ERR_OK);
}

/* The property: any story with stored minutes tells what it tells without, byte by byte. */
static void expect_no_difference(uint64_t seed, unsigned crashes, uint64_t memory_bytes)
{
    static struct story s;
    static const uint32_t settles[] = {1, 3000, 70000};
    static const uint32_t items[] = {1, 2, 3, 7, 0};
    struct world plain_world, w;
    struct node plain, n;
    struct replica_view v;
    given_story(&s, seed, crashes);
    given_other(&plain_world, &plain, 0, 0);
    tell(&s, &plain_world, &plain);
    cr_assert_eq(fold_of(&plain)->horizon.stored_count, 0);
    given_other(&w, &n, settles[seed % countof(settles)], items[seed % countof(items)]);
    if (memory_bytes > 0) {
        n.memory_bytes = memory_bytes;
        node_crash(&n);
        cr_assert_eq(node_start(&w, &n), ERR_OK);
    }

    tell(&s, &w, &n);

    expect_equal_streams(&plain_world, &w, memory_bytes > 0, seed);
    expect_equal_folds(fold_of(&plain), fold_of(&n));
    replica_view(n.replica, &v);
    cr_assert_gt(v.minutes_stored, 5);
    cr_assert_lt(fold_of(&n)->horizon.keys, fold_of(&plain)->horizon.keys / 2);
    node_done(&plain);
    node_done(&n);
    world_done(&plain_world);
    world_done(&w);
}

Test(regional_replica_minutes, a_story_with_stored_minutes_tells_what_it_tells_without)
{
    for (uint64_t seed = 1; seed <= 30; seed++)
        expect_no_difference(seed, 0, 0);
}

Test(regional_replica_minutes, nor_does_a_crash_make_a_difference)
{
    for (uint64_t seed = 100; seed <= 130; seed++)
        expect_no_difference(seed, 80, 0);
}

/* No memory at all: every minute goes to the store behind every partial, open or not, and the fold
 * goes on to the end of the stream all the same. */
Test(regional_replica_minutes, nor_does_a_lack_of_memory)
{
    for (uint64_t seed = 400; seed <= 430; seed++)
        expect_no_difference(seed, seed % 2 == 0 ? 0 : 80, seed % 3 == 0 ? 20000 : 1);
}

static void expect_books(struct node *n, const struct story *s)
{
    const struct fold *f = fold_of(n);
    cr_assert_eq(f->books.folded, s->count);
    cr_assert_eq(f->books.counted + f->books.duplicate + f->books.carried, s->count);
}

/* A commit that moves minutes fails, with and without having reached the disk. */
Test(regional_replica_minutes, a_failed_commit_at_every_place_loses_and_doubles_nothing)
{
    static struct story s;
    struct world w;
    struct node n;
    given_story(&s, 5, 0);
    given_other(&w, &n, 1, 3);
    tell(&s, &w, &n);
    struct fold_books books = fold_of(&n)->books;
    uint64_t digest = digest_of(fold_of(&n)), commits = sim_kv_commits(n.kv);
    node_done(&n);
    world_done(&w);
    cr_assert_gt(commits, 60);

    for (uint64_t nth = 1; nth < commits; nth += 3) {
        given_other(&w, &n, 1, 3);
        sim_kv_fail_commit(n.kv, (unsigned)nth, ERR_KV_IO, nth % 2 == 0);
        publish_control(&w, 0, CONTROL_ENROL, "us-e1");
        for (unsigned i = 0; i < s.steps; i++) {
            publish_run(&w, i == 0 ? 0 : s.upto[i - 1], s.upto[i], s.clicks);
            for (unsigned pass = 0; pass < 2; pass++) {
                if (node_run(&n) != ERR_OK) {
                    node_crash(&n);
                    cr_assert_eq(node_start(&w, &n), ERR_OK);
                    cr_assert_eq(node_run(&n), ERR_OK);
                }
                if (pass == 0)
                    world_advance(&w, s.wait_ms[i]);
            }
        }
        cr_assert_eq(settle(&w, &n), ERR_OK);
        expect_books(&n, &s);
        cr_assert_eq(memcmp(&books, &fold_of(&n)->books, sizeof(books)), 0, "commit %lu",
                     (unsigned long)nth);
        cr_assert_eq(digest_of(fold_of(&n)), digest, "commit %lu", (unsigned long)nth);
        node_done(&n);
        world_done(&w);
    }
}

Test(regional_replica_minutes, what_is_retired_leaves_the_store)
{
    static struct story s;
    struct world w;
    struct node n;
    given_story(&s, 7, 0);
    given_other(&w, &n, 1, 2);
    tell(&s, &w, &n);
    cr_assert_gt(sim_kv_entries(n.kv, CUT_TABLE_MINUTES), 50);

    for (unsigned i = 0; i < 24 * 60; i += 10) { /* names stay up to a day longer */
        world_advance(&w, 600000);
        publish_run(&w, s.count, s.count, s.clicks);
        cr_assert_eq(node_run(&n), ERR_OK);
    }
    cr_assert_eq(settle(&w, &n), ERR_OK);

    cr_assert_eq(fold_of(&n)->horizon.count, 0);
    cr_assert_eq(sim_kv_entries(n.kv, CUT_TABLE_MINUTES), 0);
    cr_assert_eq(sim_kv_entries(n.kv, CUT_TABLE_REDO), 0);
    for (unsigned i = 0; i < 200; i += 10) {
        world_advance(&w, 600000);
        publish_run(&w, s.count, s.count, s.clicks);
        cr_assert_eq(node_run(&n), ERR_OK);
    }
    cr_assert_eq(fold_of(&n)->names.used, 0);
    cr_assert_eq(sim_kv_entries(n.kv, CUT_TABLE_NAMES), 0);
    node_done(&n);
    world_done(&w);
}

/* An operator changes his mind, either way. */
Test(regional_replica_minutes, a_store_is_read_whatever_the_configuration_says)
{
    static struct story s;
    struct world plain_world, w;
    struct node plain, n;
    for (uint64_t seed = 200; seed < 206; seed++) {
        given_story(&s, seed, 100);
        given_other(&plain_world, &plain, 0, 0);
        tell(&s, &plain_world, &plain);
        given_other(&w, &n, 1, 3);

        publish_control(&w, 0, CONTROL_ENROL, "us-e1");
        for (unsigned i = 0; i < s.steps; i++) {
            publish_run(&w, i == 0 ? 0 : s.upto[i - 1], s.upto[i], s.clicks);
            cr_assert_eq(node_run(&n), ERR_OK);
            world_advance(&w, s.wait_ms[i]);
            cr_assert_eq(node_run(&n), ERR_OK);
            if (s.crash[i]) {
                n.settle_ms = n.settle_ms == 0 ? 1 : 0;
                node_crash(&n);
                cr_assert_eq(node_start(&w, &n), ERR_OK);
                cr_assert_eq(node_run(&n), ERR_OK);
            }
        }
        cr_assert_eq(settle(&w, &n), ERR_OK);

        expect_equal_folds(fold_of(&plain), fold_of(&n));
        node_done(&plain);
        node_done(&n);
        world_done(&plain_world);
        world_done(&w);
    }
}

/* The globe holds of every closed minute what the fold says that it holds. */
static void expect_globe_meets(struct world *w, struct fold *f)
{
    struct globe g;
    globe_read(w, &g);
    g.totals_met = g.totals_unmet = 0;
    for (uint32_t i = 0; i < f->horizon.count; i++) {
        const struct minute_table *t = f->horizon.tables[i];
        if (t->minute >= f->totals_next)
            break; /* open: its sketches are not told yet */
        globe_meet(&g, horizon_total(f->horizon.tables[i]));
        cr_assert_eq(g.totals_unmet, 0, "minute %u of %u to %u; stored %d, told below %u",
                     t->minute - GIVEN_MINUTE, f->retired_below - GIVEN_MINUTE,
                     f->horizon.tables[f->horizon.count - 1]->minute - GIVEN_MINUTE, t->stored,
                     f->totals_next - GIVEN_MINUTE);
    }
    globe_done(&g);
}

/* Partials lie in the outbox while their minutes are moved; then the disk is lost, and a peer's
 * copy must tell all of it, nobody asking. */
Test(regional_replica_minutes, a_copied_store_tells_minutes_that_moved_behind_its_outbox)
{
    static struct story s;
    for (uint64_t seed = 300; seed < 310; seed++) {
        struct world w;
        struct node n, copy = {.settle_ms = 1, .sizes = {3, 3}};
        given_story(&s, seed, 0);
        memset(s.want, 0, sizeof(s.want));
        given_other(&w, &n, 1, 3);
        const unsigned lost = s.steps / 3, copied = s.steps / 3 * 2;
        publish_control(&w, 0, CONTROL_ENROL, "us-e1");
        for (unsigned i = 0; i < s.steps; i++) {
            struct node *now = i < copied ? &n : &copy;
            if (i == lost)
                sim_bus_lose_publishes(n.bus, 100000);
            if (i == copied) {
                (void)snprintf(copy.name, sizeof(copy.name), "us-r2");
                copy.kv = sim_kv_clone(n.kv);
                node_crash(&n);
                cr_assert_eq(node_start(&w, &copy), ERR_OK);
            }
            publish_run(&w, i == 0 ? 0 : s.upto[i - 1], s.upto[i], s.clicks);
            cr_assert_eq(node_run(now), ERR_OK);
            world_advance(&w, s.wait_ms[i]);
            cr_assert_eq(node_run(now), ERR_OK);
        }
        cr_assert_eq(settle(&w, &copy), ERR_OK);

        expect_globe_meets(&w, fold_of(&copy));
        sim_kv_free(n.kv);
        node_done(&copy);
        world_done(&w);
    }
}

/* A chunk, a rows value or a head that is not what was written ends the process, before a click is
 * judged by it. */
Test(regional_replica_minutes, a_damaged_minute_is_never_believed)
{
    static struct story s;
    struct world w;
    struct node n;
    given_story(&s, 9, 0);
    given_other(&w, &n, 1, 0);
    tell(&s, &w, &n);
    struct kv_txn *txn;
    struct span key, value;
    uint8_t from[MINUTE_CHUNK_KEY_BYTES] = {0};
    size_t length = 1;
    struct buf damaged = {0};
    cr_assert_eq(kv_begin(n.kv, true, &txn), ERR_OK);
    while (kv_seek(txn, CUT_TABLE_MINUTES, span_of(from, length), &key, &value)) {
        length = key.length;
        memcpy(from, key.data, length);
        buf_clear(&damaged);
        buf_put(&damaged, value.data, value.length);
        damaged.data[damaged.length / 2] ^= 4;
        kv_put(txn, CUT_TABLE_MINUTES, span_of(from, length), buf_span(&damaged));
        from[length - 1]++;
        if (from[length - 1] == 0)
            break;
    }
    cr_assert_eq(kv_commit(&txn), ERR_OK);

    uint32_t minute = fold_of(&n)->horizon.tables[3]->minute;
    struct fold_books before = fold_of(&n)->books;
    struct given_click click = {.ad = 1, .id = 99999, .minute = minute};
    struct given_click *all = base_zalloc(s.count + 1, sizeof(*all));
    all[s.count] = click;
    publish_run(&w, s.count, s.count + 1, all);
    cr_assert_eq(node_run(&n), ERR_KV_CORRUPT);

    cr_assert_eq(memcmp(&before, &fold_of(&n)->books, sizeof(before)), 0);
    node_crash(&n);
    cr_assert_eq(node_start(&w, &n), ERR_KV_CORRUPT, "heads as well");
    free(all);
    buf_done(&damaged);
    node_done(&n);
    world_done(&w);
}

/* Late clicks all over the horizon: the step ends, and goes on with the next one. */
Test(regional_replica_minutes, a_flood_of_late_clicks_is_read_in_bites)
{
    struct world w;
    struct node n;
    struct replica_view v;
    enum { MINUTES = 40, EACH = 60, FIRST = MINUTES * EACH };
    struct given_click *clicks = base_zalloc(2 * FIRST, sizeof(*clicks));
    for (unsigned i = 0; i < 2 * FIRST; i++)
        clicks[i] = (struct given_click){
            .ad = i % GIVEN_ADS, .id = i + 1, .minute = GIVEN_MINUTE + i % FIRST / EACH};
    given_other(&w, &n, 1, 1); /* a chunk a key */
    publish_control(&w, 0, CONTROL_ENROL, "us-e1");
    for (unsigned m = 0; m < MINUTES + 8; m++) {
        unsigned first = m < MINUTES ? m * EACH : FIRST, last = m < MINUTES ? first + EACH : FIRST;
        publish_run(&w, first, last, clicks);
        cr_assert_eq(node_run(&n), ERR_OK);
        world_advance(&w, MINUTE_MS);
        cr_assert_eq(node_run(&n), ERR_OK);
    }
    cr_assert_eq(fold_of(&n)->horizon.keys, 0);

    for (unsigned i = 0; i < FIRST; i += EACH)
        publish_run(&w, FIRST + i, FIRST + i + EACH, clicks);
    cr_assert_eq(node_run(&n), ERR_OK);
    cr_assert_eq(settle(&w, &n), ERR_OK);

    replica_view(n.replica, &v);
    cr_assert_eq(v.books.counted, 2 * FIRST);
    cr_assert_eq(v.counts.late, FIRST);
    cr_assert_geq(v.reads_deferred, 1);
    free(clicks);
    node_done(&n);
    world_done(&w);
}
