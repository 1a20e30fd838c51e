/* SPDX-License-Identifier: Apache-2.0
 * pipeline_given: what an edge's driver stands on in tests: a made-up clock, a region's streams, a
 * store. Audience: tests of edge_pipeline*. */
#pragma once

#include "edge/edge_pipeline.h"
#include "proto/subject.h"
#include "tests/sim/sim_bus.h"
#include "tests/sim/sim_clock.h"
#include "tests/sim/sim_kv.h"

struct pipeline_given {
    struct sim_clock clock;
    struct sim_bus_server *server;
    struct bus_port *edge_bus, *reader_bus;
    struct kv_port *kv;
    struct edge_pipeline *pipeline; /* the test's to open */
};

static inline void pipeline_given_init(struct pipeline_given *g, uint16_t partitions, uint64_t seed)
{
    *g = (struct pipeline_given){.server = sim_bus_server_new()};
    sim_clock_init(&g->clock, 1700000000000ULL, seed);
    sim_bus_time(g->server, g->clock.wall);
    for (uint16_t p = 0; p < partitions; p++) {
        struct subject all = subject_clicks_all("us", p), name = subject_clicks_stream("us", p);
        sim_bus_stream(g->server, name.text, all.text);
    }
    g->edge_bus = sim_bus_client(g->server);
    g->reader_bus = sim_bus_client(g->server);
    g->kv = sim_kv_new(EDGE_TABLES);
}

static inline void pipeline_given_done(struct pipeline_given *g)
{
    edge_pipeline_free(g->pipeline);
    sim_bus_server_free(g->server);
    sim_kv_free(g->kv);
}

/* The process dies: memory and connection are gone, the store stays. */
static inline void pipeline_given_crash(struct pipeline_given *g)
{
    edge_pipeline_free(g->pipeline);
    sim_kv_crash(g->kv);
    sim_bus_client_free(g->edge_bus);
    g->edge_bus = sim_bus_client(g->server);
}
