/* SPDX-License-Identifier: Apache-2.0
 * Two edges that hear floors and send again, two replicas that crash, a bus that loses, doubles and
 * delays: whatever happens, what is counted is what was sent. */
#include "unit/regional/replica_given.h"

enum { STORM_EDGES = 2, STORM_CLICKS = 400, STORM_REPLICAS = 2 };

/* An edge in forty lines: keeps everything below the least floor, goes back on a gap or on no
 * answer. */
struct storm_edge {
    char name[8];
    struct bus_port *bus;
    struct given_click clicks[STORM_CLICKS];
    uint64_t accepted, next, low;
    uint64_t floors[STORM_REPLICAS], stores[STORM_REPLICAS];
    uint64_t beat_ms;
};

static void edge_hear(struct storm_edge *e, const struct floor_message *m)
{
    unsigned reader = strcmp(m->reader, "us-r1") == 0 ? 0 : 1;
    for (uint32_t i = 0; i < m->line_count; i++) {
        if (m->lines[i].epoch != 9)
            continue;
        bool fresh = e->stores[reader] != m->store_id;
        cr_assert(m->lines[i].floor <= e->accepted, "a floor beyond what was sent");
        if (fresh || m->lines[i].floor > e->floors[reader])
            e->floors[reader] = m->lines[i].floor;
        e->stores[reader] = m->store_id;
        if (m->lines[i].gap && m->lines[i].floor < e->next)
            e->next = base_max_u64(m->lines[i].floor, e->low);
    }
    uint64_t low = base_min_u64(e->floors[0], e->floors[1]);
    e->low = base_max_u64(e->low, low);
    e->next = base_max_u64(e->next, e->low);
}

static void edge_events(struct storm_edge *e)
{
    struct bus_event event;
    while (bus_poll(e->bus, &event)) {
        struct floor_message m;
        if (event.kind == BUS_NACK)
            e->next = base_min_u64(e->next, base_max_u64(event.token, e->low));
        if (event.kind != BUS_PLAIN)
            continue;
        cr_assert_eq(floor_read(&m, event.data), ERR_OK);
        edge_hear(e, &m);
        floor_done(&m);
    }
}

static void edge_send(struct world *w, struct storm_edge *e, struct rng *r)
{
    bool beat = w->clock.mono >= e->beat_ms;
    for (unsigned i = 0; i < 3 && (beat || e->next < e->accepted); i++, beat = false) {
        uint64_t last = base_min_u64(e->next + 1 + rng_below(r, 20), e->accepted);
        struct segment_head h = given_head(e->name, 9, e->next, last, w->clock.wall);
        struct buf message = {0};
        h.low = e->low;
        h.accepted = e->accepted;
        if (last < e->accepted) /* a clock that does not overtake the backlog */
            h.clock_ms = GIVEN_START_MS;
        given_segment(&message, &h, e->clicks);
        struct subject s = subject_segment(GIVEN_REGION, GIVEN_PARTITION, e->name);
        cr_assert_eq(bus_publish(e->bus, s.text, NULL, buf_span(&message), e->next), ERR_OK);
        buf_done(&message);
        e->next = last;
        e->beat_ms = w->clock.mono + 2000;
    }
}

static void given_storm_edge(struct world *w, struct storm_edge *e, unsigned number, struct rng *r)
{
    struct sim_bus_sins sins = {
        .lose = 60, .orphan = 60, .twice = 60, .delay = 60, .delay_ms = 3000};
    *e = (struct storm_edge){.bus = sim_bus_client(w->server)};
    (void)snprintf(e->name, sizeof(e->name), "us-e%u", number + 1);
    struct subject floors = subject_floors_of_edge(GIVEN_REGION, e->name);
    cr_assert_eq(bus_listen(e->bus, floors.text), ERR_OK);
    sim_bus_sin(e->bus, &sins, rng_next(r));
    for (unsigned i = 0; i < STORM_CLICKS; i++)
        e->clicks[i] = random_click(r, 350, 3);
}

static bool is_calm(struct storm_edge *edges, struct node *nodes)
{
    for (unsigned e = 0; e < STORM_EDGES; e++)
        if (edges[e].low < STORM_CLICKS)
            return false;
    for (unsigned n = 0; n < STORM_REPLICAS; n++)
        if (fold_of(&nodes[n])->uncut)
            return false;
    return true;
}

static void crash_sometimes(struct world *w, struct node *n, struct rng *r)
{
    enum err err = node_run(n);
    if (err == ERR_OK && rng_chance(r, 25))
        err = ERR_KV_IO;
    if (err == ERR_OK && rng_chance(r, 20))
        sim_kv_fail_commit(n->kv, 1, rng_chance(r, 500) ? ERR_KV_IO : ERR_KV_FULL,
                           rng_chance(r, 300));
    if (err == ERR_OK)
        return;
    node_crash(n);
    cr_assert_eq(node_start(w, n), ERR_OK);
}

/* Publishes of the tail that the bus had acknowledged are gone; edges hold them until every floor
 * has passed. */
static void lose_tail(struct world *w, struct node *nodes, struct rng *r)
{
    struct subject stream = subject_clicks_stream(GIVEN_REGION, GIVEN_PARTITION);
    uint64_t last = sim_bus_last_seq(w->server, stream.text);
    if (last == 0)
        return;
    for (unsigned n = 0; n < STORM_REPLICAS; n++)
        sim_bus_cut(nodes[n].bus);
    sim_bus_lose_tail(w->server, stream.text, last - rng_below(r, base_min_u64(last, 12)));
    for (unsigned n = 0; n < STORM_REPLICAS; n++)
        sim_bus_heal(nodes[n].bus);
}

static void storm(uint64_t seed)
{
    struct world w;
    struct node nodes[STORM_REPLICAS];
    static struct storm_edge edges[STORM_EDGES];
    struct rng r = {seed};
    struct oracle o = {0};
    given_world(&w);
    publish_control(&w, 0, CONTROL_ENROL, "us-e1");
    for (unsigned e = 0; e < STORM_EDGES; e++)
        given_storm_edge(&w, &edges[e], e, &r);
    given_node(&w, &nodes[0], "us-r1");
    given_node(&w, &nodes[1], "us-r2");

    for (unsigned t = 0; t < 4000; t++) {
        bool raging = t < 250;
        world_advance(&w, 50 + rng_below(&r, 300));
        for (unsigned e = 0; e < STORM_EDGES; e++) {
            edge_events(&edges[e]);
            edges[e].accepted = base_min_u64(edges[e].accepted + rng_below(&r, 8), STORM_CLICKS);
            edge_send(&w, &edges[e], &r);
        }
        for (unsigned n = 0; n < STORM_REPLICAS; n++) {
            if (raging && rng_chance(&r, 400))
                continue; /* it lags */
            if (raging)
                crash_sometimes(&w, &nodes[n], &r);
            else
                while (node_run(&nodes[n]) != ERR_OK) {
                    node_crash(&nodes[n]);
                    cr_assert_eq(node_start(&w, &nodes[n]), ERR_OK);
                }
        }
        if (raging && rng_chance(&r, 20))
            lose_tail(&w, nodes, &r);
        if (!raging && is_calm(edges, nodes))
            break;
    }
    for (unsigned n = 0; n < STORM_REPLICAS; n++) {
        sim_kv_fail_commit(nodes[n].kv, UINT32_MAX, ERR_KV_IO, false); /* disarms */
        cr_assert_eq(settle(&w, &nodes[n]), ERR_OK);
    }

    for (unsigned e = 0; e < STORM_EDGES; e++)
        for (unsigned i = 0; i < STORM_CLICKS; i++)
            oracle_add(&o, &edges[e].clicks[i]);
    for (unsigned n = 0; n < STORM_REPLICAS; n++) {
        cr_assert_eq(nodes[n].notes[REPLICA_STOPPED], 0, "seed %lu: %s stopped",
                     (unsigned long)seed, nodes[n].name);
        expect_like_oracle(fold_of(&nodes[n]), &o);
        expect_globe_like(&w, fold_of(&nodes[n]));
        node_done(&nodes[n]);
    }
    free(o.clicks);
    world_done(&w);
}

Test(replica_storm, what_is_counted_is_what_was_sent)
{
    for (uint64_t seed = 1; seed <= 60; seed++)
        storm(seed);
}
