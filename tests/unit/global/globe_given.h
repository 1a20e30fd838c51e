/* SPDX-License-Identifier: Apache-2.0
 * globe_given: a small world for tests of the globe's drivers: buses, a store, a clock, and toy
 * replicas that speak as a region's fold would. Audience: tests. Everything is `static inline`: a
 * test program is one file. */
#pragma once

#include "common/base/hash.h"
#include "common/base/hll.h"
#include "common/base/minute.h"
#include "global/global_merger.h"
#include "global/global_reader.h"
#include "proto/partial.h"
#include "proto/subject.h"
#include "proto/want.h"
#include "tests/sim/sim_bus.h"
#include "tests/sim/sim_clock.h"
#include "tests/sim/sim_kv.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define GIVEN_REGIONS    2
#define GIVEN_PARTITIONS 2
#define GIVEN_ROWS       512
#define GIVEN_NOW_MS     1700000000000ULL
#define GIVEN_MINUTE     ((uint32_t)(GIVEN_NOW_MS / MINUTE_MS))

struct given_world {
    const char *regions[GIVEN_REGIONS];
    struct sim_bus_server *servers[GIVEN_REGIONS];
    struct bus_port *buses[GIVEN_REGIONS]; /* the merger's */
    struct kv_port *kv;
    struct sim_clock clock;
    struct merger *merger;
    uint32_t bite_messages;
    uint32_t minutes_days, hours_days; /* 0: for ever */
};

static inline struct merger_options given_options(struct given_world *w)
{
    struct merger_options options = {
        .region_count = GIVEN_REGIONS,
        .kv = w->kv,
        .clock = &w->clock.port,
        .bite_messages = w->bite_messages,
        .minutes_days = w->minutes_days,
        .hours_days = w->hours_days,
    };
    for (unsigned i = 0; i < GIVEN_REGIONS; i++) {
        (void)snprintf(options.regions[i].name, sizeof(options.regions[i].name), "%s",
                       w->regions[i]);
        options.regions[i].bus = w->buses[i];
    }
    return options;
}

static inline void given_start(struct given_world *w)
{
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        if (w->buses[i] == NULL)
            w->buses[i] = sim_bus_client(w->servers[i]);
    struct merger_options options = given_options(w);
    cr_assert_eq(merger_new(&options, &w->merger), ERR_OK);
}

/* The process dies: what was committed stays, nothing else. The merger's memory is not told. */
static inline void given_crash(struct given_world *w)
{
    merger_free(w->merger);
    w->merger = NULL;
    sim_kv_crash(w->kv);
    for (unsigned i = 0; i < GIVEN_REGIONS; i++) {
        sim_bus_client_free(w->buses[i]);
        w->buses[i] = NULL;
    }
}

static inline struct given_world *given_world(void)
{
    struct given_world *w = base_zalloc(1, sizeof(*w));
    w->regions[0] = "us";
    w->regions[1] = "eu";
    w->bite_messages = 4;
    w->kv = sim_kv_new(LEAF_TABLES);
    sim_clock_init(&w->clock, GIVEN_NOW_MS, 7);
    for (unsigned i = 0; i < GIVEN_REGIONS; i++) {
        w->servers[i] = sim_bus_server_new();
        sim_bus_time(w->servers[i], GIVEN_NOW_MS);
        sim_bus_stream(w->servers[i], subject_partials_stream(w->regions[i]).text,
                       subject_partials_all(w->regions[i]).text);
    }
    given_start(w);
    return w;
}

static inline void given_world_free(struct given_world *w)
{
    merger_free(w->merger);
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        sim_bus_server_free(w->servers[i]);
    sim_kv_free(w->kv);
    free(w);
}

/* Steps until the merger would wait. */
static inline enum err given_run(struct given_world *w)
{
    for (unsigned i = 0; i < 10000; i++) {
        uint32_t idle_ms = 0;
        enum err err = merger_step(w->merger, &idle_ms);
        if (err != ERR_OK || idle_ms > 0)
            return err;
    }
    cr_assert_fail("the merger never comes to rest");
    return ERR_OK;
}

static inline void given_pass_ms(struct given_world *w, uint64_t ms)
{
    sim_clock_advance(&w->clock, ms);
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        sim_bus_time(w->servers[i], w->clock.wall);
}

static inline struct merger_view given_view(const struct given_world *w)
{
    struct merger_view view;
    merger_view(w->merger, &view);
    return view;
}

/* One replica of one partition, as seen from outside. */
struct given_row {
    bool used, dirty;
    char ad[16];
    uint32_t minute, generation;
    uint64_t counted, duplicate;
    struct hll users;
};

struct given_replica {
    struct given_world *world;
    unsigned region;
    uint16_t partition;
    char name[16];
    struct bus_port *bus;
    uint64_t store_id, cut;
    uint32_t closed_before; /* minutes below are closed; totals were sent for those below
                               `told_before` */
    uint32_t told_before;
    char missing[16]; /* the name of a missing edge, or "" */
    bool nameless;    /* sends no names */
    unsigned split;   /* whole answers in so many rows a message; 0: all in one */
    unsigned wants_heard;
    uint64_t folded, counted, duplicate;
    struct given_row rows[GIVEN_ROWS];
};

static inline struct given_replica *given_replica(struct given_world *w, unsigned region,
                                                  uint16_t partition, const char *name)
{
    struct given_replica *r = base_zalloc(1, sizeof(*r));
    r->world = w;
    r->region = region;
    r->partition = partition;
    (void)snprintf(r->name, sizeof(r->name), "%s", name);
    r->bus = sim_bus_client(w->servers[region]);
    r->store_id = hash_checksum(span_of_text(name), partition + 10 * region);
    r->closed_before = r->told_before = GIVEN_MINUTE;
    cr_assert_eq(bus_listen(r->bus, subject_want(w->regions[region], name).text), ERR_OK);
    return r;
}

static inline void given_replica_free(struct given_replica *r)
{
    for (unsigned i = 0; i < GIVEN_ROWS; i++)
        hll_done(&r->rows[i].users);
    free(r);
}

static inline struct given_row *given_row_of(struct given_replica *r, const char *ad,
                                             uint32_t minute)
{
    unsigned i = 0;
    while (r->rows[i].used && (r->rows[i].minute != minute || strcmp(r->rows[i].ad, ad) != 0))
        cr_assert_lt(++i, GIVEN_ROWS);
    if (!r->rows[i].used) {
        r->rows[i].used = true;
        (void)snprintf(r->rows[i].ad, sizeof(r->rows[i].ad), "%s", ad);
        r->rows[i].minute = minute;
    }
    return &r->rows[i];
}

/* Folds clicks of one user. */
static inline void given_click(struct given_replica *r, const char *ad, uint32_t minute,
                               uint64_t user, unsigned counted, unsigned duplicate)
{
    struct given_row *row = given_row_of(r, ad, minute);
    row->counted += counted;
    row->duplicate += duplicate;
    row->dirty = true;
    r->counted += counted;
    r->duplicate += duplicate;
    r->folded += counted + duplicate;
    char text[24];
    (void)snprintf(text, sizeof(text), "u%llu", (unsigned long long)user);
    (void)hll_add(&row->users, hash_user(span_of_text(text)));
}

static inline struct partial given_head(struct given_replica *r)
{
    struct partial p = {
        .store_id = r->store_id,
        .partition = r->partition,
        .map = {.count = 1, .steps = {{0, GIVEN_PARTITIONS}}},
        .cut = ++r->cut,
        .stream_ms = r->world->clock.wall,
        .watermark_ms = minute_start_ms(r->closed_before) + 10000,
        .folded = r->folded,
        .counted = r->counted,
        .duplicate = r->duplicate,
    };
    (void)snprintf(p.region, sizeof(p.region), "%s", r->world->regions[r->region]);
    (void)snprintf(p.replica, sizeof(p.replica), "%s", r->name);
    return p;
}

static inline void given_edges(const struct given_replica *r, struct partial *p,
                               struct partial_edge edges[2])
{
    edges[0] = (struct partial_edge){.edge = "us-e1", .epoch = 1, .floor = 10, .accepted = 10};
    edges[1] = (struct partial_edge){.edge = "us-e2", .epoch = 2, .floor = 5, .accepted = 7};
    p->edges = edges;
    p->edge_count = 2;
    p->missing_count = 0;
    for (unsigned i = 0; i < 2; i++)
        if (strcmp(edges[i].edge, r->missing) == 0) {
            edges[i].missing = true;
            p->missing_count = 1;
        }
}

/* The row as it is sent; the sketch only of closed minutes. Spans live in `sketches`. */
static inline struct partial_row given_sent(const struct given_replica *r,
                                            const struct given_row *row, struct buf *sketches)
{
    struct partial_row sent = {.ad_hash = hash_ad(span_of_text(row->ad)),
                               .minute = row->minute,
                               .generation = row->generation,
                               .counted = row->counted,
                               .duplicate = row->duplicate};
    if (row->minute < r->closed_before) {
        size_t at = sketches->length;
        buf_reserve(sketches, HLL_BYTES_MAX);
        hll_put(&row->users, sketches);
        sent.sketch = span_of(sketches->data + at, sketches->length - at);
    }
    return sent;
}

static inline struct partial_total given_total(const struct given_replica *r, uint32_t minute)
{
    struct partial_total total = {.minute = minute};
    struct buf sketches = {0};
    for (unsigned i = 0; i < GIVEN_ROWS && r->rows[i].used; i++) {
        if (r->rows[i].minute != minute)
            continue;
        buf_clear(&sketches);
        struct partial_row sent = given_sent(r, &r->rows[i], &sketches);
        total.rows++;
        total.counted += sent.counted;
        total.duplicate += sent.duplicate;
        total.digest += partial_row_digest(&sent);
    }
    buf_done(&sketches);
    return total;
}

static inline void given_publish(struct given_replica *r, const struct partial *p)
{
    struct buf message = {0};
    partial_write(&message, p);
    struct subject subject = subject_partial(r->world->regions[r->region], r->partition, r->name);
    cr_assert_eq(bus_publish(r->bus, subject.text, NULL, buf_span(&message), 1), ERR_OK);
    buf_done(&message);
}

/* A cut: changed rows, and totals of minutes that closed since. */
static inline void given_cut(struct given_replica *r)
{
    struct partial p = given_head(r);
    struct partial_row rows[GIVEN_ROWS];
    struct partial_name names[GIVEN_ROWS];
    struct partial_total totals[64];
    struct partial_edge edges[2];
    struct buf sketches = {0};
    buf_reserve(&sketches, GIVEN_ROWS * 160);
    given_edges(r, &p, edges);
    bool again[64] = {false};
    for (unsigned i = 0; i < GIVEN_ROWS && r->rows[i].used; i++) {
        struct given_row *row = &r->rows[i];
        bool closing = row->minute >= r->told_before && row->minute < r->closed_before;
        if (row->dirty && row->minute < r->told_before)
            again[row->minute % 64] = true;
        if (!row->dirty && !closing)
            continue;
        row->dirty = false;
        rows[p.row_count++] = given_sent(r, row, &sketches);
        if (!r->nameless)
            names[p.name_count++] =
                (struct partial_name){hash_ad(span_of_text(row->ad)), span_of_text(row->ad)};
    }
    for (uint32_t m = r->told_before > 40 ? r->told_before - 40 : 0; m < r->closed_before; m++)
        if (m >= r->told_before || again[m % 64])
            totals[p.total_count++] = given_total(r, m);
    r->told_before = r->closed_before;
    p.rows = rows;
    p.names = names;
    p.totals = totals;
    given_publish(r, &p);
    buf_done(&sketches);
}

static inline void given_whole_minute(struct given_replica *r, uint32_t minute)
{
    struct partial_row rows[GIVEN_ROWS];
    struct partial_edge edges[2];
    struct buf sketches = {0};
    buf_reserve(&sketches, GIVEN_ROWS * 160);
    struct partial_total total = given_total(r, minute);
    struct partial p = given_head(r);
    p.whole = true;
    p.rows = rows;
    for (unsigned i = 0; i < GIVEN_ROWS && r->rows[i].used; i++) {
        if (r->rows[i].minute != minute)
            continue;
        rows[p.row_count++] = given_sent(r, &r->rows[i], &sketches);
        if (r->split > 0 && p.row_count == r->split) {
            given_publish(r, &p);
            p.row_count = 0;
        }
    }
    p.totals = &total;
    p.total_count = 1;
    given_edges(r, &p, edges);
    given_publish(r, &p);
    buf_done(&sketches);
}

static inline void given_names(struct given_replica *r, const struct want_message *want)
{
    struct partial p = given_head(r);
    struct partial_name names[GIVEN_ROWS];
    struct partial_edge edges[2];
    for (unsigned i = 0; i < GIVEN_ROWS && r->rows[i].used; i++)
        for (uint32_t j = 0; j < want->name_count; j++)
            if (hash_ad(span_of_text(r->rows[i].ad)) == want->names[j])
                names[p.name_count++] =
                    (struct partial_name){want->names[j], span_of_text(r->rows[i].ad)};
    p.names = names;
    given_edges(r, &p, edges);
    given_publish(r, &p);
}

/* Answers every want that has come. Returns how many there were. */
static inline unsigned given_answer(struct given_replica *r)
{
    static struct want_message want;
    struct bus_event event;
    unsigned heard = 0;
    while (bus_poll(r->bus, &event)) {
        if (event.kind != BUS_PLAIN)
            continue;
        cr_assert_eq(want_read(&want, event.data), ERR_OK);
        cr_assert_str_eq(want.replica, r->name);
        if (want.partition != r->partition)
            continue;
        heard++;
        for (uint32_t i = 0; i < want.minute_count; i++)
            if (want.minutes[i] < r->closed_before)
                given_whole_minute(r, want.minutes[i]);
        if (want.name_count > 0)
            given_names(r, &want);
    }
    r->wants_heard += heard;
    return heard;
}

/* A query of points of that window. */
struct given_answer {
    struct stats_json_point points[512];
    size_t count;
    enum err err; /* but for ERR_OK: no points */
    uint64_t kept_from_s;
};

static inline struct given_answer given_ask(struct given_world *w, const char *ad,
                                            enum minute_window window, uint32_t start, uint32_t end)
{
    struct global_reader_options options = {
        .regions = {w->regions[0], w->regions[1]},
        .region_count = GIVEN_REGIONS,
        .kv = w->kv,
        .clock = &w->clock.port,
    };
    struct query q = {.window = window,
                      .start_minute = start,
                      .end_minute = end,
                      .points = (end - start) / minute_window_minutes(window)};
    (void)snprintf(q.ad_id, sizeof(q.ad_id), "%s", ad);
    q.ad_id_length = strlen(ad);
    struct global_reader *reader = global_reader_new(&options);
    struct stats_json_answer found;
    struct given_answer answer = {.count = q.points};
    cr_assert_leq(answer.count, countof(answer.points));
    answer.err = global_reader_stats(reader, &q, &found);
    answer.kept_from_s = global_reader_kept_from_s(reader);
    if (answer.err == ERR_OK) {
        cr_assert_eq(found.point_count, answer.count);
        memcpy(answer.points, found.points, answer.count * sizeof(answer.points[0]));
    }
    global_reader_free(reader);
    return answer;
}

static inline void given_expect(struct given_world *w, const char *ad, uint32_t minute,
                                uint64_t count, bool complete)
{
    struct given_answer a = given_ask(w, ad, MINUTE_WINDOW_1M, minute, minute + 1);
    cr_assert_eq(a.err, ERR_OK);
    cr_assert_eq(a.points[0].click_count, count, "%s in %u: %llu clicks, not %llu", ad, minute,
                 (unsigned long long)a.points[0].click_count, (unsigned long long)count);
    cr_assert_eq(a.points[0].complete, complete, "%s in %u: complete %d, not %d", ad, minute,
                 a.points[0].complete, complete);
}

/* An ad of that partition: names are tried until one fits. */
static inline const char *given_ad(uint16_t partition, unsigned nth)
{
    static char names[16][16];
    static unsigned next;
    char *name = names[next++ % 16];
    for (unsigned i = 0;; i++) {
        (void)snprintf(name, 16, "ad-%u", i);
        if (hash_partition(hash_ad(span_of_text(name)), GIVEN_PARTITIONS) == partition &&
            nth-- == 0)
            return name;
    }
}

/* Digest of a table's keys and values in order. */
static inline uint64_t given_digest(struct kv_port *kv, unsigned table)
{
    struct kv_txn *txn;
    struct buf all = {0};
    uint8_t at[512] = {0};
    struct span key = span_of(at, 1);
    struct span value;
    cr_assert_eq(kv_begin(kv, false, &txn), ERR_OK);
    while (kv_seek(txn, table, key, &key, &value)) {
        buf_put_block(&all, key);
        buf_put_block(&all, value);
        memmove(at, key.data, key.length);
        at[key.length] = 0;
        key = span_of(at, key.length + 1);
    }
    cr_assert_eq(kv_abort(&txn), ERR_OK);
    uint64_t digest = hash_checksum(buf_span(&all), 0);
    buf_done(&all);
    return digest;
}
