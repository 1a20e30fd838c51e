/* SPDX-License-Identifier: Apache-2.0
 * Claims about edge_pipeline_view: how far each reader is, and how old what is held. */
#include "pipeline_given.h"
#include "proto/floor.h"

#include <criterion/criterion.h>

#define SEED 7

struct world {
    struct pipeline_given g;
    struct sim_clock twin; /* draws the same epochs */
    uint64_t epoch;
};

static void edge_start(struct world *w)
{
    struct edge_pipeline_options options = {
        .edge = "us-e1",
        .regions = {{.name = "us",
                     .bus = w->g.edge_bus,
                     .readers = {"us-r1", "us-r2"},
                     .reader_count = 2}},
        .region_count = 1,
        .partitions = 2,
        .heartbeat_ms = 1000,
        .window_bytes = 1 << 20,
        .segment_bytes = 1 << 10,
        .kv = w->g.kv,
        .clock = &w->g.clock.port,
    };
    w->twin.port.random(&w->twin.port, &w->epoch, sizeof(w->epoch));
    cr_assert_eq(edge_pipeline_new(&options, &w->g.pipeline), ERR_OK);
}

static void forward(struct world *w)
{
    uint32_t idle_ms = 0;
    for (int i = 0; i < 20 && idle_ms == 0; i++)
        cr_assert_eq(edge_forward(w->g.pipeline, &idle_ms), ERR_OK);
}

static void world_init(struct world *w)
{
    pipeline_given_init(&w->g, 2, SEED);
    sim_clock_init(&w->twin, 1700000000000ULL, SEED);
    edge_start(w);
    forward(w);
}

static void world_done(struct world *w)
{
    pipeline_given_done(&w->g);
}

static void edge_crash(struct world *w)
{
    pipeline_given_crash(&w->g);
    edge_start(w);
    forward(w);
}

/* To partition 1. */
static void commit(struct world *w, uint32_t count)
{
    struct edge_item items[16];
    cr_assert(count <= 16);
    for (uint32_t i = 0; i < count; i++) {
        items[i] = (struct edge_item){.home = 0, .partition = 1};
        items[i].click.ad_id = span_of_text("ad");
        items[i].click.user_id = span_of_text("user");
        items[i].click.minute = (uint32_t)(w->g.clock.wall / 60000);
    }
    cr_assert_eq(edge_commit(w->g.pipeline, items, count), ERR_OK);
    forward(w); /* a floor of numbers that the forwarder has not seen would be ignored */
}

static void says(struct world *w, const char *reader, uint64_t floor)
{
    struct floor_line line = {.epoch = w->epoch, .partition = 1, .floor = floor};
    struct floor_message m = {.store_id = 1, .lines = &line, .line_count = 1};
    struct subject subject = subject_floors("us", "us-e1", reader);
    struct buf out = {0};
    memcpy(m.reader, reader, strlen(reader) + 1);
    memcpy(m.region, "us", 3);
    memcpy(m.edge, "us-e1", 6);
    floor_write(&out, &m);
    cr_assert_eq(bus_send(w->g.reader_bus, subject.text, buf_span(&out)), ERR_OK);
    buf_done(&out);
    forward(w);
}

static void expect_floors(struct world *w, uint64_t floor_1, uint64_t held_1, uint64_t floor_2,
                          uint64_t held_2)
{
    struct edge_floor_view rows[LIMIT_READERS];
    cr_assert_eq(edge_pipeline_floors(w->g.pipeline, 0, 1, rows), 2);
    cr_expect_str_eq(rows[0].reader, "us-r1");
    cr_expect_eq(rows[0].floor, floor_1);
    cr_expect_eq(rows[0].held, held_1);
    cr_expect_str_eq(rows[1].reader, "us-r2");
    cr_expect_eq(rows[1].floor, floor_2);
    cr_expect_eq(rows[1].held, held_2);
}

Test(edge_pipeline_view, each_readers_floor_is_shown_and_what_is_held_for_it)
{
    struct world w;
    world_init(&w);
    expect_floors(&w, 0, 0, 0, 0);

    commit(&w, 10);
    expect_floors(&w, 0, 10, 0, 10);
    says(&w, "us-r1", 4);
    expect_floors(&w, 4, 6, 0, 10);
    says(&w, "us-r2", 10);
    expect_floors(&w, 4, 6, 10, 0);

    struct edge_floor_view other[LIMIT_READERS];
    cr_assert_eq(edge_pipeline_floors(w.g.pipeline, 0, 0, other), 2);
    cr_expect(other[0].floor == 0 && other[0].held == 0, "another partition");
    world_done(&w);
}

Test(edge_pipeline_view, the_age_is_that_of_the_oldest_click_that_a_reader_lacks)
{
    struct world w;
    world_init(&w);
    cr_expect_eq(edge_pipeline_oldest_ms(w.g.pipeline), 0);

    commit(&w, 10);
    sim_clock_advance(&w.g.clock, 5000);
    cr_expect_eq(edge_pipeline_oldest_ms(w.g.pipeline), 5000);
    says(&w, "us-r1", 10);
    cr_expect_eq(edge_pipeline_oldest_ms(w.g.pipeline), 5000, "the other has said nothing");
    says(&w, "us-r2", 10);
    cr_expect_eq(edge_pipeline_oldest_ms(w.g.pipeline), 0);
    commit(&w, 3);
    sim_clock_advance(&w.g.clock, 2000);
    cr_expect_eq(edge_pipeline_oldest_ms(w.g.pipeline), 2000);
    world_done(&w);
}

Test(edge_pipeline_view, what_an_earlier_process_left_counts_and_keeps_its_age)
{
    struct world w;
    world_init(&w);
    commit(&w, 10);
    sim_clock_advance(&w.g.clock, 3000);

    edge_crash(&w);
    commit(&w, 2);

    expect_floors(&w, 0, 12, 0, 12);
    cr_expect_eq(edge_pipeline_oldest_ms(w.g.pipeline), 3000);
    says(&w, "us-r1", 2);
    expect_floors(&w, 2, 10, 0, 12);
    world_done(&w);
}
