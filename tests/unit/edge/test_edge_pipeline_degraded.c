/* SPDX-License-Identifier: Apache-2.0
 * Claims about edge_pipeline_degraded: a spool nearly full lets go without a missing fold, and of
 * nothing else. */
#include "pipeline_given.h"
#include "proto/floor.h"

#include <criterion/criterion.h>

#define SEED      7
#define SILENT_MS 60000u
#define STEP_MS   5000u

enum { FOLD, OTHER_FOLD, ARCHIVER, READERS };
static const char *const names[READERS] = {"us-r1", "us-r2", "us-a1"};

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
                     .readers = {"us-r1", "us-r2", "us-a1"},
                     .reader_count = READERS,
                     .archivers = 1u << ARCHIVER}},
        .region_count = 1,
        .partitions = 1,
        .heartbeat_ms = 1000,
        .window_bytes = 1 << 20,
        .segment_bytes = 1 << 10,
        .reader_silent_ms = SILENT_MS,
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
    pipeline_given_init(&w->g, 1, SEED);
    sim_clock_init(&w->twin, 1700000000000ULL, SEED);
    edge_start(w);
    forward(w);
}

static void commit(struct world *w, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) { /* a batch each: trims take whole batches */
        struct edge_item item = {.home = 0, .partition = 0};
        item.click.ad_id = span_of_text("ad");
        item.click.user_id = span_of_text("user");
        item.click.minute = (uint32_t)(w->g.clock.wall / 60000);
        cr_assert_eq(edge_commit(w->g.pipeline, &item, 1), ERR_OK);
    }
    forward(w);
}

static void says(struct world *w, unsigned reader, uint64_t floor)
{
    struct floor_line line = {.epoch = w->epoch, .partition = 0, .floor = floor};
    struct floor_message m = {.store_id = 1, .region = "us", .edge = "us-e1"};
    struct buf out = {0};
    memcpy(m.reader, names[reader], strlen(names[reader]));
    m.line_count = 1;
    m.lines = &line;
    floor_write(&out, &m);
    struct subject to = subject_floors("us", "us-e1", names[reader]);
    cr_assert_eq(bus_send(w->g.reader_bus, to.text, buf_span(&out)), ERR_OK);
    buf_done(&out);
    forward(w);
    cr_assert_eq(edge_trim(w->g.pipeline), ERR_OK);
    forward(w);
}

/* Time passes; this one goes on talking. READERS: nobody does. */
static void while_only(struct world *w, unsigned reader, uint64_t floor, uint64_t ms)
{
    for (uint64_t passed = 0; passed < ms; passed += STEP_MS) {
        sim_clock_advance(&w->g.clock, STEP_MS);
        if (reader < READERS)
            says(w, reader, floor);
        forward(w);
    }
    cr_assert_eq(edge_trim(w->g.pipeline), ERR_OK);
    forward(w);
}

static struct edge_reader_view reader_view(struct world *w, unsigned reader)
{
    struct edge_reader_view rows[LIMIT_READERS];
    cr_assert_eq(edge_pipeline_readers(w->g.pipeline, 0, rows), READERS);
    cr_assert_str_eq(rows[reader].reader, names[reader]);
    return rows[reader];
}

static uint64_t trimmed(struct world *w)
{
    struct edge_view view;
    edge_pipeline_view(w->g.pipeline, &view);
    return view.trimmed;
}

Test(edge_pipeline_degraded, a_spool_nearly_full_lets_go_without_a_missing_fold)
{
    struct world w;
    world_init(&w);
    commit(&w, 10);
    says(&w, OTHER_FOLD, 2);
    says(&w, ARCHIVER, 8);
    while_only(&w, FOLD, 6, SILENT_MS);
    cr_expect_eq(trimmed(&w), 2, "there is room: the missing one is waited for");

    edge_pipeline_press(w.g.pipeline, true);
    while_only(&w, FOLD, 6, STEP_MS);

    cr_expect_eq(trimmed(&w), 6, "up to the fold that is live");
    cr_expect(reader_view(&w, OTHER_FOLD).passed_over);
    cr_expect_eq(reader_view(&w, OTHER_FOLD).passed, 4);
    cr_expect_not(reader_view(&w, FOLD).passed_over);
    cr_expect_eq(reader_view(&w, FOLD).passed, 0);
    pipeline_given_done(&w.g);
}

Test(edge_pipeline_degraded, never_past_the_archiver)
{
    struct world w;
    world_init(&w);
    commit(&w, 10);
    says(&w, ARCHIVER, 3);
    edge_pipeline_press(w.g.pipeline, true);
    while_only(&w, FOLD, 6, 3 * SILENT_MS);

    cr_expect_eq(trimmed(&w), 3);
    cr_expect_not(reader_view(&w, ARCHIVER).passed_over);
    cr_expect_eq(reader_view(&w, ARCHIVER).passed, 0);
    pipeline_given_done(&w.g);
}

Test(edge_pipeline_degraded, an_archiver_never_heard_holds_everything)
{
    struct world w;
    world_init(&w);
    commit(&w, 10);
    edge_pipeline_press(w.g.pipeline, true);
    while_only(&w, FOLD, 6, 3 * SILENT_MS);

    cr_expect_eq(trimmed(&w), 0);
    pipeline_given_done(&w.g);
}

Test(edge_pipeline_degraded, never_past_the_last_live_fold)
{
    struct world w;
    world_init(&w);
    commit(&w, 10);
    says(&w, ARCHIVER, 10);
    says(&w, FOLD, 6);
    says(&w, OTHER_FOLD, 2);
    edge_pipeline_press(w.g.pipeline, true);
    while_only(&w, ARCHIVER, 10, 3 * SILENT_MS);

    cr_expect_eq(trimmed(&w), 2);
    cr_expect_not(reader_view(&w, FOLD).passed_over);
    cr_expect_not(reader_view(&w, OTHER_FOLD).passed_over);
    pipeline_given_done(&w.g);
}

Test(edge_pipeline_degraded, who_comes_back_is_waited_for_again_at_once)
{
    struct world w;
    world_init(&w);
    commit(&w, 10);
    says(&w, ARCHIVER, 10);
    edge_pipeline_press(w.g.pipeline, true);
    while_only(&w, FOLD, 4, SILENT_MS);
    cr_assert_eq(trimmed(&w), 4);

    says(&w, OTHER_FOLD, 5);
    says(&w, FOLD, 9);

    cr_expect_eq(trimmed(&w), 5);
    cr_expect_not(reader_view(&w, OTHER_FOLD).passed_over);
    cr_expect_eq(reader_view(&w, OTHER_FOLD).passed, 4, "what it once lacked stays counted");
    pipeline_given_done(&w.g);
}

Test(edge_pipeline_degraded, what_it_says_when_it_comes_back_lets_go_of_nothing_beyond_it)
{
    struct world w;
    world_init(&w);
    commit(&w, 10);
    says(&w, ARCHIVER, 10);
    edge_pipeline_press(w.g.pipeline, true);
    while_only(&w, FOLD, 4, SILENT_MS);
    says(&w, FOLD, 4);

    says(&w, OTHER_FOLD, 1);
    says(&w, FOLD, 9);

    cr_expect_eq(trimmed(&w), 4, "it reads on from the stream, and holds what comes after");
    pipeline_given_done(&w.g);
}

Test(edge_pipeline_degraded, with_room_again_the_missing_one_is_waited_for_again)
{
    struct world w;
    world_init(&w);
    commit(&w, 10);
    says(&w, ARCHIVER, 10);
    edge_pipeline_press(w.g.pipeline, true);
    while_only(&w, FOLD, 4, SILENT_MS);
    cr_assert_eq(trimmed(&w), 4);

    edge_pipeline_press(w.g.pipeline, false);
    while_only(&w, FOLD, 9, STEP_MS);

    cr_expect_eq(trimmed(&w), 4);
    cr_expect_not(reader_view(&w, OTHER_FOLD).passed_over);
    pipeline_given_done(&w.g);
}

Test(edge_pipeline_degraded, while_the_region_is_away_nobody_is_missing)
{
    struct world w;
    world_init(&w);
    commit(&w, 10);
    says(&w, ARCHIVER, 10);
    says(&w, OTHER_FOLD, 2);
    while_only(&w, FOLD, 6, SILENT_MS - STEP_MS);
    edge_pipeline_press(w.g.pipeline, true);
    sim_bus_cut(w.g.edge_bus);
    while_only(&w, READERS, 0, STEP_MS);
    cr_expect_eq(trimmed(&w), 2, "the bus is down");

    sim_bus_heal(w.g.edge_bus);
    forward(&w);
    while_only(&w, FOLD, 6, SILENT_MS - STEP_MS);
    cr_expect_eq(trimmed(&w), 2, "up again: time enough for a word");
    while_only(&w, FOLD, 6, STEP_MS);
    cr_expect_eq(trimmed(&w), 6);
    pipeline_given_done(&w.g);
}

Test(edge_pipeline_degraded, an_edge_that_stood_still_calls_nobody_missing)
{
    struct world w;
    world_init(&w);
    commit(&w, 10);
    says(&w, ARCHIVER, 10);
    says(&w, OTHER_FOLD, 2);
    edge_pipeline_press(w.g.pipeline, true);
    sim_clock_advance(&w.g.clock, 10 * SILENT_MS);

    says(&w, FOLD, 6);

    cr_expect_eq(trimmed(&w), 2);
    pipeline_given_done(&w.g);
}
