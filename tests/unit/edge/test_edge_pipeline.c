/* SPDX-License-Identifier: Apache-2.0
 * The edge's driver on made-up ports, against a reader that keeps the number rule by itself. */
#include "pipeline_given.h"
#include "proto/floor.h"
#include "proto/segment.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define PARTITIONS 2
#define CLICKS_MAX 4000
#define EPOCHS_MAX 64

/* One reader of the region's streams: floors by the number rule, every folded click counted. */
struct model_line {
    uint64_t epoch, floor, clock_ms;
    bool gap, fin;
};
struct model {
    uint64_t store_id, position[PARTITIONS];
    struct model_line lines[PARTITIONS][EPOCHS_MAX];
    uint32_t line_count[PARTITIONS];
    uint32_t folded[CLICKS_MAX];      /* times each click (by id) was folded */
    uint64_t accepted_ms[CLICKS_MAX]; /* edge clock of its commit; 0: not acknowledged */
    uint32_t accepted;
};

struct world {
    struct pipeline_given g;
    struct model model;
    uint32_t next_id;
    uint64_t edge_ms; /* the edge's clock never goes back; nor does this, over restarts */
};

static const char *stream_name(uint16_t partition)
{
    static struct subject name;
    name = subject_clicks_stream("us", partition);
    return name.text;
}

static void edge_start(struct world *w)
{
    struct edge_pipeline_options options = {
        .edge = "us-e1",
        .regions = {{.name = "us", .bus = w->g.edge_bus, .readers = {"us-r1"}, .reader_count = 1}},
        .region_count = 1,
        .partitions = PARTITIONS,
        .heartbeat_ms = 1000,
        .window_bytes = 1 << 20,
        .segment_bytes = 128, /* batches are split: the search for a number must step back */
        .kv = w->g.kv,
        .clock = &w->g.clock.port,
    };
    cr_assert_eq(edge_pipeline_new(&options, &w->g.pipeline), ERR_OK);
}

static void world_init(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    pipeline_given_init(&w->g, PARTITIONS, seed);
    w->edge_ms = w->g.clock.wall;
    w->model.store_id = 1;
    edge_start(w);
}

static void world_done(struct world *w)
{
    pipeline_given_done(&w->g);
}

static void edge_crash(struct world *w)
{
    pipeline_given_crash(&w->g);
    edge_start(w);
}

static enum err commit(struct world *w, uint32_t count)
{
    struct edge_item items[64];
    static char ids[64][16];
    uint32_t first = w->next_id;
    uint64_t now = w->edge_ms;
    cr_assert(count <= 64 && first + count <= CLICKS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        int length = snprintf(ids[i], sizeof(ids[i]), "%u", first + i);
        items[i] = (struct edge_item){.home = 0, .partition = (uint16_t)((first + i) % PARTITIONS)};
        items[i].click.ad_id = span_of_text("ad");
        items[i].click.user_id = span_of(ids[i], (size_t)length);
        items[i].click.minute = (uint32_t)(now / 60000);
        memcpy(items[i].click.key, &(uint32_t){first + i}, 4);
    }
    enum err err = edge_commit(w->g.pipeline, items, count);
    w->next_id += count;
    for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
        w->model.accepted_ms[first + i] = now;
        w->model.accepted++;
    }
    return err;
}

static struct model_line *model_line(struct model *m, uint16_t partition, uint64_t epoch)
{
    for (uint32_t i = 0; i < m->line_count[partition]; i++)
        if (m->lines[partition][i].epoch == epoch)
            return &m->lines[partition][i];
    cr_assert_lt(m->line_count[partition], EPOCHS_MAX);
    struct model_line *line = &m->lines[partition][m->line_count[partition]++];
    *line = (struct model_line){.epoch = epoch};
    return line;
}

/* The clock says: every click of this line accepted before it has been folded. Ids are only known
 * per partition, so the claim is checked where the segment's epoch is the only live one. */
static void check_clock(struct world *w, uint16_t partition, const struct segment_head *head)
{
    if (head->epoch != head->newest_epoch || head->older_count > 0)
        return;
    for (uint32_t id = partition; id < w->next_id; id += PARTITIONS)
        cr_assert(w->model.accepted_ms[id] == 0 || w->model.accepted_ms[id] >= head->clock_ms ||
                      w->model.folded[id] == 1,
                  "clock %lu overtook click %u accepted at %lu", head->clock_ms, id,
                  w->model.accepted_ms[id]);
}

static void fold(struct world *w, uint16_t partition, struct span data)
{
    static struct segment s;
    cr_assert_eq(segment_read(&s, data), ERR_OK);
    struct model_line *line = model_line(&w->model, partition, s.head.epoch);
    cr_assert_leq(s.head.low, line->floor, "the edge no longer holds what the reader needs");
    for (uint32_t i = 0; i < s.head.older_count; i++)
        model_line(&w->model, partition, s.head.older[i]);
    if (s.head.first > line->floor) {
        line->gap = true;
        return;
    }
    for (uint64_t number = s.head.first; number < s.head.last; number++) {
        if (number < line->floor)
            continue;
        line->floor = number + 1;
        line->fin = number - s.head.first == s.click_count;
        if (line->fin)
            continue;
        uint32_t id;
        memcpy(&id, s.hot[number - s.head.first].key, 4);
        w->model.folded[id]++;
    }
    if (s.head.first == s.head.last && line->floor == s.head.last)
        line->fin = s.head.fin;
    if (line->floor == s.head.last)
        check_clock(w, partition, &s.head);
}

static void reader_read(struct world *w)
{
    for (uint16_t p = 0; p < PARTITIONS; p++) {
        struct span data;
        uint64_t time_ms;
        if (sim_bus_last_seq(w->g.server, stream_name(p)) < w->model.position[p])
            w->model.position[p] = 0; /* the stream went back: read it again */
        while (sim_bus_message(w->g.server, stream_name(p), w->model.position[p] + 1, &data,
                               &time_ms)) {
            w->model.position[p]++;
            fold(w, p, data);
        }
    }
}

static void reader_floors(struct world *w)
{
    struct floor_line lines[PARTITIONS * EPOCHS_MAX];
    struct floor_message m = {.reader = "us-r1",
                              .store_id = w->model.store_id,
                              .region = "us",
                              .edge = "us-e1",
                              .lines = lines};
    for (uint16_t p = 0; p < PARTITIONS; p++) {
        for (uint32_t i = 0; i < w->model.line_count[p]; i++) {
            struct model_line *line = &w->model.lines[p][i];
            lines[m.line_count++] = (struct floor_line){.epoch = line->epoch,
                                                        .partition = p,
                                                        .gap = line->gap,
                                                        .floor = line->floor,
                                                        .finished = line->fin};
            line->gap = false;
        }
    }
    struct buf out = {0};
    floor_write(&out, &m);
    struct subject subject = subject_floors("us", "us-e1", "us-r1");
    (void)bus_send(w->g.reader_bus, subject.text, buf_span(&out));
    buf_done(&out);
}

static void forward(struct world *w)
{
    uint32_t idle_ms = 0;
    for (int i = 0; i < 20 && idle_ms == 0; i++)
        cr_assert_eq(edge_forward(w->g.pipeline, &idle_ms), ERR_OK);
}

static void tick(struct world *w, uint64_t ms)
{
    sim_clock_advance(&w->g.clock, ms);
    w->edge_ms = base_max_u64(w->edge_ms, w->g.clock.wall);
    sim_bus_time(w->g.server, w->edge_ms);
}

/* No more faults: everything must arrive. */
static void settle(struct world *w)
{
    sim_bus_heal(w->g.edge_bus);
    for (int i = 0; i < 40; i++) {
        tick(w, 1100);
        forward(w);
        reader_read(w);
        reader_floors(w);
        forward(w);
        cr_assert_eq(edge_trim(w->g.pipeline), ERR_OK);
    }
}

static void expect_exact(struct world *w)
{
    for (uint32_t id = 0; id < w->next_id; id++) {
        if (w->model.accepted_ms[id] != 0)
            cr_assert_eq(w->model.folded[id], 1, "click %u folded %u times", id,
                         w->model.folded[id]);
        else
            cr_assert_leq(w->model.folded[id], 1);
    }
}

Test(edge_pipeline, an_accepted_click_arrives_once_and_leaves_the_spool)
{
    struct world w;
    world_init(&w, 1);

    cr_assert_eq(commit(&w, 50), ERR_OK);
    forward(&w);
    reader_read(&w);
    cr_assert_eq(sim_kv_entries(w.g.kv, EDGE_TABLE_BATCH), 2, "held until the reader says so");
    settle(&w);

    expect_exact(&w);
    cr_assert_eq(w.model.accepted, 50);
    cr_assert_eq(sim_kv_entries(w.g.kv, EDGE_TABLE_BATCH), 0);
    cr_assert_eq(edge_acked(w.g.pipeline, 0, 0), 25);
    world_done(&w);
}

Test(edge_pipeline, nothing_is_acknowledged_that_was_not_committed)
{
    struct world w;
    world_init(&w, 1);
    sim_kv_fail_commit(w.g.kv, 1, ERR_KV_IO, false);

    cr_assert_eq(commit(&w, 10), ERR_KV_IO);

    forward(&w);
    reader_read(&w);
    cr_assert_eq(sim_kv_entries(w.g.kv, EDGE_TABLE_BATCH), 0);
    world_done(&w);
}

Test(edge_pipeline, a_full_spool_refuses_and_numbers_stay_dense)
{
    struct world w;
    world_init(&w, 1);
    cr_assert_eq(commit(&w, 10), ERR_OK);

    sim_kv_limit(w.g.kv, 1);
    cr_assert_eq(commit(&w, 10), ERR_KV_FULL);
    sim_kv_limit(w.g.kv, 0);
    cr_assert_eq(commit(&w, 10), ERR_OK);
    settle(&w);

    expect_exact(&w);
    cr_assert_eq(w.model.accepted, 20);
    world_done(&w);
}

Test(edge_pipeline, every_opening_begins_a_new_epoch_and_the_older_ones_drain)
{
    struct world w;
    world_init(&w, 1);
    commit(&w, 10);
    edge_crash(&w);
    commit(&w, 10);
    edge_crash(&w);

    forward(&w);
    reader_read(&w);
    cr_assert_eq(w.model.line_count[0], 3, "two older epochs and the newest one");
    settle(&w);

    expect_exact(&w);
    struct edge_view view;
    edge_pipeline_view(w.g.pipeline, &view);
    cr_assert_eq(view.older_lines, 0);
    cr_assert_eq(sim_kv_entries(w.g.kv, EDGE_TABLE_LINE), PARTITIONS);
    world_done(&w);
}

Test(edge_pipeline, a_spool_restored_from_an_older_copy_loses_and_doubles_nothing)
{
    struct world w;
    world_init(&w, 1);
    commit(&w, 10);
    struct kv_port *backup = sim_kv_clone(w.g.kv);
    forward(&w);
    reader_read(&w);
    commit(&w, 10); /* after the backup; delivered before the disk is lost */
    settle(&w);

    sim_kv_free(w.g.kv);
    w.g.kv = backup;
    edge_crash(&w);
    commit(&w, 10);
    settle(&w);

    expect_exact(&w);
    cr_assert_eq(sim_kv_entries(w.g.kv, EDGE_TABLE_BATCH), 0, "the older epoch has drained");
    world_done(&w);
}

Test(edge_pipeline, a_tail_that_the_bus_acknowledged_and_lost_is_sent_again)
{
    struct world w;
    world_init(&w, 1);
    commit(&w, 10);
    forward(&w);
    forward(&w);
    cr_assert_eq(edge_acked(w.g.pipeline, 0, 0), 5, "the bus has acknowledged");

    sim_bus_recreate(w.g.server, stream_name(0));
    settle(&w);

    expect_exact(&w);
    world_done(&w);
}

Test(edge_pipeline, a_clone_that_runs_beside_its_original_takes_no_number_from_it)
{
    struct world w;
    world_init(&w, 1);
    commit(&w, 10);
    settle(&w);
    /* The clone opens first and says where, as far as it knows, the epoch ended. */
    struct world clone = w;
    clone.g.edge_bus = sim_bus_client(w.g.server);
    clone.g.kv = sim_kv_clone(w.g.kv);
    edge_start(&clone);
    forward(&clone);
    reader_read(&w);

    commit(&w, 10);
    settle(&w);

    expect_exact(&w);
    cr_assert_eq(w.model.accepted, 20);
    edge_pipeline_free(clone.g.pipeline);
    sim_kv_free(clone.g.kv);
    world_done(&w);
}

Test(edge_pipeline, fin_ends_each_line_of_a_clean_shutdown)
{
    struct world w;
    world_init(&w, 1);
    commit(&w, 4);
    cr_assert_eq(edge_finish(w.g.pipeline), ERR_OK);
    settle(&w);

    for (uint16_t p = 0; p < PARTITIONS; p++) {
        cr_assert_eq(w.model.line_count[p], 1);
        cr_assert(w.model.lines[p][0].fin);
        cr_assert_eq(w.model.lines[p][0].floor, 3);
    }
    struct edge_view view;
    edge_pipeline_view(w.g.pipeline, &view);
    cr_assert(view.drained);
    world_done(&w);
}

Test(edge_pipeline, a_replaced_reader_store_with_a_lower_floor_stops_the_trim)
{
    struct world w;
    world_init(&w, 1);
    commit(&w, 10);
    forward(&w);
    reader_read(&w);
    reader_floors(&w);

    w.model.store_id = 2;
    for (uint16_t p = 0; p < PARTITIONS; p++)
        w.model.lines[p][0].floor = 0;
    reader_floors(&w);
    forward(&w);
    cr_assert_eq(edge_trim(w.g.pipeline), ERR_OK);

    cr_assert_eq(sim_kv_entries(w.g.kv, EDGE_TABLE_BATCH), 2);
    world_done(&w);
}

static void random_fault(struct world *w, struct rng *rng)
{
    switch (rng_below(rng, 9)) {
    case 0:
        sim_bus_lose_publishes(w->g.edge_bus, (unsigned)rng_below(rng, 4));
        break;
    case 1:
        sim_bus_orphan_publishes(w->g.edge_bus, (unsigned)rng_below(rng, 4));
        break;
    case 2:
        sim_bus_cut(w->g.edge_bus);
        break;
    case 3:
        sim_bus_heal(w->g.edge_bus);
        break;
    case 4: {
        const char *stream = stream_name((uint16_t)rng_below(rng, PARTITIONS));
        uint64_t last = sim_bus_last_seq(w->g.server, stream);
        sim_bus_lose_tail(w->g.server, stream, last - (last > 3 ? rng_below(rng, 3) : 0));
        break;
    }
    case 5:
        edge_crash(w);
        break;
    case 6:
        sim_kv_fail_commit(w->g.kv, 1, ERR_KV_IO, rng_chance(rng, 500));
        if (commit(w, 3) != ERR_OK)
            edge_crash(w);
        break;
    case 7:
        sim_bus_deaf(w->g.edge_bus, rng_chance(rng, 500));
        break;
    default:
        w->g.clock.wall -= rng_chance(rng, 200) ? 30000 : 0;
        break;
    }
}

Test(edge_pipeline, random_faults_lose_and_double_nothing, .timeout = 240)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct world w;
        struct rng rng = {seed};
        world_init(&w, seed);
        for (int step = 0; step < 120; step++) {
            if (rng_chance(&rng, 60))
                random_fault(&w, &rng);
            if (rng_chance(&rng, 500))
                (void)commit(&w, 1 + (uint32_t)rng_below(&rng, 20));
            if (rng_chance(&rng, 700))
                forward(&w);
            if (rng_chance(&rng, 400))
                reader_read(&w);
            if (rng_chance(&rng, 300))
                reader_floors(&w);
            if (rng_chance(&rng, 200))
                cr_assert_eq(edge_trim(w.g.pipeline), ERR_OK);
            tick(&w, rng_below(&rng, 700));
        }
        sim_bus_deaf(w.g.edge_bus, false);
        sim_bus_lose_publishes(w.g.edge_bus, 0);
        sim_bus_orphan_publishes(w.g.edge_bus, 0);
        settle(&w);
        expect_exact(&w);
        cr_assert_eq(sim_kv_entries(w.g.kv, EDGE_TABLE_BATCH), 0, "seed %lu: spool not drained",
                     seed);
        cr_assert_gt(w.model.accepted, 0);
        world_done(&w);
    }
}
