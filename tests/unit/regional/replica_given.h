/* SPDX-License-Identifier: Apache-2.0
 * replica_given: fold replicas on made-up ports, an edge that publishes, an ear for floors, and a
 * globe that merges by maximum. Audience: tests/unit/regional. */
#pragma once

#include "proto/floor.h"
#include "regional/regional_replica.h"
#include "sim/sim_bus.h"
#include "sim/sim_clock.h"
#include "sim/sim_kv.h"
#include "unit/regional/region_given.h"

struct world {
    struct sim_bus_server *server;
    struct sim_clock clock;
    struct bus_port *edge; /* what edges and operators publish with */
    struct bus_port *ear;  /* hears all floors */
    uint64_t heard_floor;  /* highest of us-e1, epoch 9, since the last check */
    uint64_t heard_store_id;
    unsigned floors_heard, gaps_heard;
};

struct node {
    char name[16];
    struct kv_port *kv;
    struct bus_port *bus;
    struct replica *replica;
    struct replica_note last_note;
    unsigned notes[8];
    uint32_t horizon_minutes;
    uint32_t settle_ms; /* closed minutes go to the store */
    uint64_t memory_bytes;
    struct minute_sizes sizes;
};

MAYBE_UNUSED static void given_world(struct world *w)
{
    *w = (struct world){.server = sim_bus_server_new()};
    sim_clock_init(&w->clock, GIVEN_START_MS, 1);
    sim_bus_time(w->server, GIVEN_START_MS);
    struct subject clicks = subject_clicks_stream(GIVEN_REGION, GIVEN_PARTITION);
    struct subject all = subject_clicks_all(GIVEN_REGION, GIVEN_PARTITION);
    sim_bus_stream(w->server, clicks.text, all.text);
    clicks = subject_partials_stream(GIVEN_REGION);
    all = subject_partials_all(GIVEN_REGION);
    sim_bus_stream(w->server, clicks.text, all.text);
    w->edge = sim_bus_client(w->server);
    w->ear = sim_bus_client(w->server);
    cr_assert_eq(bus_listen(w->ear, "floors.>"), ERR_OK);
}

MAYBE_UNUSED static void world_done(struct world *w)
{
    sim_bus_server_free(w->server);
}

static void node_note(void *context, const struct replica_note *note)
{
    struct node *n = context;
    n->last_note = *note;
    n->notes[note->kind]++;
}

MAYBE_UNUSED static enum err node_start(struct world *w, struct node *n)
{
    static const uint16_t partitions[] = {GIVEN_PARTITION};
    struct replica_options o = {.partitions_total = GIVEN_PARTITIONS,
                                .partitions = partitions,
                                .partition_count = 1,
                                .lateness_ms = 10000,
                                .horizon_minutes = n->horizon_minutes ? n->horizon_minutes : 60,
                                .partial_interval_ms = 1000,
                                .settle_ms = n->settle_ms,
                                .memory_bytes = n->memory_bytes,
                                .sizes = n->sizes,
                                .kv = n->kv,
                                .clock = &w->clock.port,
                                .on_note = node_note,
                                .on_note_context = n};
    n->bus = sim_bus_client(w->server);
    o.bus = n->bus;
    (void)snprintf(o.replica, sizeof(o.replica), "%s", n->name);
    (void)snprintf(o.region, sizeof(o.region), "%s", GIVEN_REGION);
    enum err err = replica_new(&o, &n->replica);
    if (err != ERR_OK)
        n->replica = NULL;
    return err;
}

MAYBE_UNUSED static void given_node(struct world *w, struct node *n, const char *name)
{
    *n = (struct node){.kv = sim_kv_new(CUT_TABLES)};
    (void)snprintf(n->name, sizeof(n->name), "%s", name);
    cr_assert_eq(node_start(w, n), ERR_OK);
}

/* As by kill -9: memory and connection are gone. */
MAYBE_UNUSED static void node_crash(struct node *n)
{
    replica_free(n->replica);
    n->replica = NULL;
    sim_bus_client_free(n->bus);
    sim_kv_crash(n->kv);
}

MAYBE_UNUSED static void node_done(struct node *n)
{
    replica_free(n->replica);
    sim_kv_free(n->kv);
}

MAYBE_UNUSED static struct fold *fold_of(struct node *n)
{
    /* Tests look into tables through functions that keep caches. */
    return (struct fold *)(uintptr_t)replica_fold(n->replica, 0);
}

/* Steps until there is nothing to do at this instant. */
MAYBE_UNUSED static enum err node_run(struct node *n)
{
    unsigned idle = 0;
    for (unsigned i = 0; i < 10000 && idle < 3; i++) {
        uint32_t idle_ms = 0;
        enum err err = replica_step(n->replica, &idle_ms);
        if (err != ERR_OK)
            return err;
        idle = idle_ms > 0 ? idle + 1 : 0;
    }
    return ERR_OK;
}

MAYBE_UNUSED static void world_drain(struct world *w)
{
    struct bus_event e;
    while (bus_poll(w->edge, &e)) {
    }
}

MAYBE_UNUSED static void world_advance(struct world *w, uint64_t ms)
{
    sim_clock_advance(&w->clock, ms);
    sim_bus_time(w->server, w->clock.wall);
    world_drain(w);
}

/* Hears all floors; returns the highest of us-e1's epoch 9. */
MAYBE_UNUSED static uint64_t world_hear(struct world *w)
{
    struct bus_event e;
    while (bus_poll(w->ear, &e)) {
        struct floor_message m;
        if (e.kind != BUS_PLAIN)
            continue;
        cr_assert_eq(floor_read(&m, e.data), ERR_OK);
        w->floors_heard++;
        w->heard_store_id = m.store_id;
        for (uint32_t i = 0; i < m.line_count; i++) {
            w->gaps_heard += m.lines[i].gap;
            if (m.lines[i].epoch == 9 && strcmp(m.edge, "us-e1") == 0)
                w->heard_floor = base_max_u64(w->heard_floor, m.lines[i].floor);
        }
        floor_done(&m);
    }
    return w->heard_floor;
}

MAYBE_UNUSED static void publish_head(struct world *w, const struct segment_head *h,
                                      const struct given_click *clicks)
{
    struct buf message = {0};
    given_segment(&message, h, clicks);
    struct subject s = subject_segment(GIVEN_REGION, h->partition, h->edge);
    cr_assert_eq(bus_publish(w->edge, s.text, NULL, buf_span(&message), 1), ERR_OK);
    buf_done(&message);
}

MAYBE_UNUSED static void publish_run(struct world *w, uint64_t first, uint64_t last,
                                     const struct given_click *clicks)
{
    struct segment_head h = given_head("us-e1", 9, first, last, w->clock.wall);
    publish_head(w, &h, clicks);
}

MAYBE_UNUSED static void publish_control(struct world *w, uint64_t number, enum control_kind kind,
                                         const char *edge)
{
    struct control_message c = {.number = number, .nonce = number + 100, .kind = kind};
    (void)snprintf(c.edge, sizeof(c.edge), "%s", edge);
    struct buf message = {0};
    control_write(&message, &c);
    struct subject s = subject_control(GIVEN_REGION, GIVEN_PARTITION);
    cr_assert_eq(bus_publish(w->edge, s.text, NULL, buf_span(&message), 1), ERR_OK);
    buf_done(&message);
}

/* The floor of us-e1's epoch 9 that a committed state holds; 0 without one. */
MAYBE_UNUSED static uint64_t durable_floor(struct kv_port *kv)
{
    struct kv_txn *txn;
    struct span value;
    uint8_t key[2];
    uint64_t floor = 0;
    cut_state_key(key, GIVEN_PARTITION);
    cr_assert_eq(kv_begin(kv, false, &txn), ERR_OK);
    if (kv_get(txn, CUT_TABLE_STATE, span_of(key, 2), &value)) {
        struct fold *f = given_fold();
        struct fold_position position;
        cr_assert_eq(fold_state_read(f, &position, value), ERR_OK);
        const struct edge *e = edge_book_find(&f->edges, "us-e1");
        const struct line *l = e == NULL ? NULL : edge_book_line(e, 9);
        floor = l == NULL ? 0 : l->floor;
        fold_free(f);
    }
    (void)kv_abort(&txn);
    return floor;
}

/* --- the globe: every partial in the stream, merged by maximum
 * ------------------------------------------------- */

struct globe_row {
    uint64_t ad_hash, counted, duplicate;
    uint32_t minute;
    struct hll users;
};

struct globe {
    struct globe_row *rows;
    size_t count, capacity;
    uint32_t names;
    uint64_t watermark_ms, folded, partials, wholes;
    uint32_t totals_met, totals_unmet;
};

static struct globe_row *globe_row(struct globe *g, uint64_t ad_hash, uint32_t minute)
{
    for (size_t i = 0; i < g->count; i++)
        if (g->rows[i].ad_hash == ad_hash && g->rows[i].minute == minute)
            return &g->rows[i];
    if (g->count == g->capacity) {
        g->capacity = g->capacity == 0 ? 64 : g->capacity * 2;
        g->rows = base_realloc(g->rows, g->capacity * sizeof(*g->rows));
    }
    g->rows[g->count] = (struct globe_row){.ad_hash = ad_hash, .minute = minute};
    return &g->rows[g->count++];
}

static void globe_meet(struct globe *g, const struct partial_total *t)
{
    uint64_t digest = 0;
    uint32_t rows = 0;
    for (size_t i = 0; i < g->count; i++) {
        struct globe_row *row = &g->rows[i];
        if (row->minute != t->minute)
            continue;
        struct buf sketch = {0};
        hll_put(&row->users, &sketch);
        struct partial_row p = {.ad_hash = row->ad_hash,
                                .minute = row->minute,
                                .counted = row->counted,
                                .duplicate = row->duplicate,
                                .sketch = buf_span(&sketch)};
        digest += partial_row_digest(&p);
        rows++;
        buf_done(&sketch);
    }
    if (digest == t->digest && rows == t->rows)
        g->totals_met++;
    else
        g->totals_unmet++;
}

static void globe_merge(struct globe *g, const struct partial *p)
{
    for (uint32_t i = 0; i < p->row_count; i++) {
        struct globe_row *row = globe_row(g, p->rows[i].ad_hash, p->rows[i].minute);
        row->counted = base_max_u64(row->counted, p->rows[i].counted);
        row->duplicate = base_max_u64(row->duplicate, p->rows[i].duplicate);
        struct hll users = {0};
        cr_assert_eq(hll_read(&users, p->rows[i].sketch), ERR_OK);
        (void)hll_merge(&row->users, &users);
        hll_done(&users);
    }
    for (uint32_t i = 0; i < p->total_count; i++)
        globe_meet(g, &p->totals[i]);
    g->names += p->name_count;
    g->watermark_ms = base_max_u64(g->watermark_ms, p->watermark_ms);
    g->folded = base_max_u64(g->folded, p->folded);
    g->partials++;
    g->wholes += p->whole;
}

MAYBE_UNUSED static void globe_read(struct world *w, struct globe *g)
{
    *g = (struct globe){0};
    struct subject stream = subject_partials_stream(GIVEN_REGION);
    for (uint64_t seq = 1; seq <= sim_bus_last_seq(w->server, stream.text); seq++) {
        struct span data;
        uint64_t time_ms;
        struct partial p;
        cr_assert(sim_bus_message(w->server, stream.text, seq, &data, &time_ms));
        cr_assert_eq(partial_read(&p, data), ERR_OK);
        globe_merge(g, &p);
        partial_done(&p);
    }
}

MAYBE_UNUSED static void globe_done(struct globe *g)
{
    for (size_t i = 0; i < g->count; i++)
        hll_done(&g->rows[i].users);
    free(g->rows);
}

/* The globe holds what a fold holds, row by row. */
MAYBE_UNUSED static void expect_globe_like(struct world *w, struct fold *f)
{
    struct globe g;
    globe_read(w, &g);
    cr_assert_eq(g.count, f->horizon.rows, "%zu rows at the globe, not %lu", g.count,
                 (unsigned long)f->horizon.rows);
    for (uint32_t i = 0; i < f->horizon.count; i++) {
        struct minute_table *t = f->horizon.tables[i];
        for (uint32_t r = 0; r < t->row_count; r++) {
            struct globe_row *row = globe_row(&g, t->rows[r].ad_hash, t->minute);
            cr_assert_eq(row->counted, t->rows[r].counted, "minute %u: the globe has %lu, not %lu",
                         t->minute - GIVEN_MINUTE, (unsigned long)row->counted,
                         (unsigned long)t->rows[r].counted);
            cr_assert_eq(row->duplicate, t->rows[r].duplicate);
        }
    }
    globe_done(&g);
}

/* --- a schedule: the same messages at the same times in every world
 * --------------------------------------------- */

enum { SCHEDULE_CLICKS = 600, SCHEDULE_STEP = 10, SCHEDULE_MS = 700 };

MAYBE_UNUSED static const struct given_click *schedule_clicks(void)
{
    static struct given_click clicks[SCHEDULE_CLICKS];
    static bool made;
    struct rng r = {11};
    for (unsigned i = 0; !made && i < SCHEDULE_CLICKS; i++) {
        clicks[i] = random_click(&r, 480, 3);
        clicks[i].minute =
            GIVEN_MINUTE + i * SCHEDULE_MS / SCHEDULE_STEP / 60000 + clicks[i].id % 2;
        clicks[i].id += clicks[i].minute * 1000; /* the id fixes the minute */
    }
    made = true;
    return clicks;
}

/* Publishes step s of the schedule and moves time on; false when it is over. Runs of 10, now and
 * then a repeat. */
MAYBE_UNUSED static bool schedule_step(struct world *w, unsigned s)
{
    uint64_t first = (uint64_t)s * SCHEDULE_STEP;
    if (s == 0)
        publish_control(w, 0, CONTROL_ENROL, "us-e1");
    if (first >= SCHEDULE_CLICKS)
        return false;
    publish_run(w, first, first + SCHEDULE_STEP, schedule_clicks());
    if (s % 7 == 3)
        publish_run(w, first - SCHEDULE_STEP, first + SCHEDULE_STEP / 2, schedule_clicks());
    world_advance(w, SCHEDULE_MS);
    return true;
}

MAYBE_UNUSED static void schedule_oracle(struct oracle *o)
{
    for (unsigned i = 0; i < SCHEDULE_CLICKS; i++)
        oracle_add(o, &schedule_clicks()[i]);
}

/* Lets silence fall until every partial is out. */
MAYBE_UNUSED static enum err settle(struct world *w, struct node *n)
{
    for (unsigned i = 0; i < 12; i++) {
        world_advance(w, 700);
        enum err err = node_run(n);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

/* A replica with a horizon of two minutes that has folded the whole schedule. */
MAYBE_UNUSED static void given_short_horizon(struct world *w, struct node *n)
{
    *n = (struct node){.horizon_minutes = 2};
    given_world(w);
    n->kv = sim_kv_new(CUT_TABLES);
    (void)snprintf(n->name, sizeof(n->name), "us-r1");
    cr_assert_eq(node_start(w, n), ERR_OK);
    for (unsigned s = 0; schedule_step(w, s); s++)
        cr_assert_eq(node_run(n), ERR_OK);
}
