/* SPDX-License-Identifier: Apache-2.0
 * The edge follows the region's map: when every fold has told a step, and not before it is stored.
 */
#include "unit/edge/pipeline_given.h"

#include "proto/floor.h"
#include "proto/segment.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>

#define LINES 4
#define FIRST 2
#define STEP  29000000u

TestSuite(edge_pipeline_map, .timeout = 60);

static struct edge_pipeline_options options_of(struct pipeline_given *g, uint32_t lines)
{
    struct edge_pipeline_options o = {.edge = "us-e1",
                                      .region_count = 1,
                                      .partitions = lines,
                                      .partitions_first = FIRST,
                                      .heartbeat_ms = 1000,
                                      .publish_timeout_ms = 1000,
                                      .window_bytes = 1 << 20,
                                      .segment_bytes = 1000,
                                      .kv = g->kv,
                                      .clock = &g->clock.port};
    struct edge_region *r = &o.regions[0];
    (void)snprintf(r->name, sizeof(r->name), "us");
    (void)snprintf(r->readers[0], sizeof(r->readers[0]), "us-r1");
    (void)snprintf(r->readers[1], sizeof(r->readers[1]), "us-r2");
    (void)snprintf(r->readers[2], sizeof(r->readers[2]), "us-a1");
    r->reader_count = 3;
    r->archivers = 1u << 2;
    r->bus = g->edge_bus;
    return o;
}

static void open_edge(struct pipeline_given *g, uint32_t lines)
{
    struct edge_pipeline_options o = options_of(g, lines);
    cr_assert_eq(edge_pipeline_new(&o, &g->pipeline), ERR_OK);
}

static void run(struct pipeline_given *g)
{
    uint32_t idle_ms;
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(edge_forward(g->pipeline, &idle_ms), ERR_OK);
        cr_assert_eq(edge_trim(g->pipeline), ERR_OK);
    }
    g->clock.wall += 1100;
    g->clock.mono += 1100;
    sim_bus_time(g->server, g->clock.wall);
    cr_assert_eq(edge_forward(g->pipeline, &idle_ms), ERR_OK);
}

static void tell(struct pipeline_given *g, const char *reader, uint16_t partitions)
{
    struct floor_line line = {.epoch = 1};
    struct floor_message m = {
        .store_id = 1, .region = "us", .edge = "us-e1", .lines = &line, .line_count = 1};
    struct buf message = {0};
    (void)snprintf(m.reader, sizeof(m.reader), "%s", reader);
    if (partitions > 0) {
        m.map = partition_map_of(FIRST);
        cr_assert_eq(partition_map_grow(&m.map, STEP, partitions), ERR_OK);
    }
    floor_write(&message, &m);
    struct subject to = subject_floors("us", "us-e1", reader);
    cr_assert_eq(bus_send(g->reader_bus, to.text, buf_span(&message)), ERR_OK);
    buf_done(&message);
    run(g);
}

static uint16_t followed(struct pipeline_given *g)
{
    return partition_turn_at(edge_pipeline_turn(g->pipeline, 0), STEP);
}

static uint64_t said_in(struct pipeline_given *g, uint16_t partition)
{
    return sim_bus_last_seq(g->server, subject_clicks_stream("us", partition).text);
}

Test(edge_pipeline_map, a_step_is_followed_when_every_fold_has_told_it)
{
    struct pipeline_given g;
    struct edge_view view;
    pipeline_given_init(&g, LINES, 1);
    open_edge(&g, LINES);
    run(&g);
    cr_assert_eq(followed(&g), FIRST);
    cr_assert(said_in(&g, 1) > 0 && said_in(&g, 2) == 0, "nothing is said of what is to come");
    cr_assert_eq(sim_kv_entries(g.kv, EDGE_TABLE_LINE), FIRST);

    tell(&g, "us-r1", LINES);
    cr_assert_eq(followed(&g), FIRST);
    tell(&g, "us-r2", 0);
    cr_assert_eq(followed(&g), FIRST);
    tell(&g, "us-r2", LINES);
    run(&g);

    cr_assert_eq(followed(&g), LINES, "the archiver need not");
    cr_assert_eq(partition_turn_at(edge_pipeline_turn(g.pipeline, 0), STEP - 1), FIRST);
    cr_assert_eq(sim_kv_entries(g.kv, EDGE_TABLE_LINE), LINES);
    cr_assert(said_in(&g, 2) > 0 && said_in(&g, 3) > 0, "its clock holds the new ones, too");
    edge_pipeline_view(g.pipeline, &view);
    cr_assert(view.partitions[0] == LINES && !view.map_beyond[0]);
    pipeline_given_done(&g);
}

Test(edge_pipeline_map, what_is_followed_outlives_a_crash)
{
    struct pipeline_given g;
    pipeline_given_init(&g, LINES, 2);
    open_edge(&g, LINES);
    run(&g);
    tell(&g, "us-r1", LINES);
    tell(&g, "us-r2", LINES);
    run(&g);
    cr_assert_eq(followed(&g), LINES);
    pipeline_given_crash(&g);

    open_edge(&g, LINES);
    cr_assert_eq(followed(&g), LINES);
    pipeline_given_crash(&g);
    struct edge_pipeline_options fewer = options_of(&g, FIRST), other = options_of(&g, LINES);
    other.partitions_first = FIRST + 1;
    cr_assert_eq(edge_pipeline_new(&fewer, &g.pipeline), ERR_CONFIG, "fewer lines than it follows");
    cr_assert_eq(edge_pipeline_new(&other, &g.pipeline), ERR_CONFIG, "another beginning");
    g.pipeline = NULL;
    pipeline_given_done(&g);
}

Test(edge_pipeline_map, a_step_whose_commit_fails_is_not_followed_until_one_succeeds)
{
    struct pipeline_given g;
    uint32_t idle_ms;
    pipeline_given_init(&g, LINES, 3);
    open_edge(&g, LINES);
    run(&g);
    tell(&g, "us-r1", LINES);
    sim_kv_fail_commit(g.kv, 1, ERR_KV_FULL, false);
    struct floor_line line = {.epoch = 1};
    struct floor_message m = {.reader = "us-r2",
                              .store_id = 1,
                              .region = "us",
                              .edge = "us-e1",
                              .map = partition_map_of(FIRST),
                              .lines = &line,
                              .line_count = 1};
    struct buf message = {0};
    cr_assert_eq(partition_map_grow(&m.map, STEP, LINES), ERR_OK);
    floor_write(&message, &m);
    cr_assert_eq(
        bus_send(g.reader_bus, subject_floors("us", "us-e1", "us-r2").text, buf_span(&message)),
        ERR_OK);
    cr_assert_eq(edge_forward(g.pipeline, &idle_ms), ERR_OK);
    cr_assert_eq(edge_trim(g.pipeline), ERR_KV_FULL);
    cr_assert_eq(followed(&g), FIRST);
    cr_assert_eq(edge_trim(g.pipeline), ERR_OK);
    cr_assert_eq(followed(&g), LINES);
    buf_done(&message);
    pipeline_given_done(&g);
}

Test(edge_pipeline_map, a_region_with_more_partitions_than_lines_is_not_followed_and_seen)
{
    struct pipeline_given g;
    struct edge_view view;
    pipeline_given_init(&g, LINES, 4);
    open_edge(&g, LINES);
    run(&g);
    tell(&g, "us-r1", LINES + 1);
    tell(&g, "us-r2", LINES + 1);
    run(&g);
    cr_assert_eq(followed(&g), FIRST);
    edge_pipeline_view(g.pipeline, &view);
    cr_assert(view.map_beyond[0] && view.partitions[0] == FIRST);
    pipeline_given_done(&g);
}
