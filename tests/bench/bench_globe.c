/* SPDX-License-Identifier: Apache-2.0
 * bench_globe: synthetic partials through the real merger into a real store, and the same rows into
 * SQLite or a file for PostgreSQL.
 *
 *   bench_globe load FOLDER SHAPE | messages FILE SHAPE | csv FILE SHAPE | sqlite FILE SHAPE
 * QUERIES
 *
 * SHAPE: zipf|even|bulk ADS MINUTES FIRST_MINUTE REGIONS SKETCHES
 *   zipf   a million clicks a minute a region by Zipf's law; each minute told twice
 *   even   every ad has clicks in every minute; each minute told once
 *   bulk   as even, an hour of an ad at a time: the fastest way to a large store
 * SKETCHES: so many of the ads have sketches. Prints one line of key=value. */
#include "bench_clicks.h"
#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/hll.h"
#include "common/base/minute.h"
#include "common/run/kv_lmdb.h"
#include "global/global_merger.h"
#include "proto/partial.h"
#include "proto/subject.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PARTITIONS   4u
#define BULK_ADS     1000u
#define ZIPF_CLICKS  1e6
#define EVEN_MOST    20u
#define HOUR_QUERY   60u
#define STORE_BYTES  (16ULL << 30)
#define SKETCH_USERS 1000000u

enum kind { ZIPF, EVEN, BULK };
static const char *const region_names[] = {"us", "eu", "ap"};

static struct shape {
    enum kind kind;
    uint32_t ads, minutes, first_minute, regions, sketches;
} shape;

struct ad {
    char id[16];
    uint64_t hash;
    double clicks; /* of a minute, zipf */
};
static struct ad *ads;
static uint32_t *ads_of[PARTITIONS], ads_in[PARTITIONS];

static double cpu_now_s(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double wall_now_s(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void make_ads(void)
{
    double sum = 0;
    ads = base_zalloc(shape.ads, sizeof(*ads));
    for (uint32_t i = 0; i < shape.ads; i++)
        sum += 1.0 / (i + 1);
    for (unsigned p = 0; p < PARTITIONS; p++)
        ads_of[p] = base_zalloc(shape.ads, sizeof(uint32_t));
    for (uint32_t i = 0; i < shape.ads; i++) {
        (void)snprintf(ads[i].id, sizeof(ads[i].id), "ad-%u", i);
        ads[i].hash = hash_ad(span_of_text(ads[i].id));
        ads[i].clicks = ZIPF_CLICKS / (i + 1) / sum;
        uint16_t p = hash_partition(ads[i].hash, PARTITIONS);
        ads_of[p][ads_in[p]++] = i;
    }
}

/* Clicks of an ad in a minute of a region: the same at every call. */
static uint64_t clicks_of(uint32_t ad, uint32_t minute, uint32_t region)
{
    struct rng rng = {bench_mixed(((uint64_t)minute << 32 | ad) * 4 + region)};
    if (shape.kind != ZIPF)
        return 1 + rng_below(&rng, EVEN_MOST);
    double mean = ads[ad].clicks;
    if (mean > 30) { /* near enough to Poisson: the sum of twelve even draws */
        double even = -6;
        for (unsigned i = 0; i < 12; i++)
            even += (double)(rng_next(&rng) >> 11) * 0x1p-53;
        return (uint64_t)(mean + even * sqrt(mean));
    }
    double product = 1, least = exp(-mean);
    uint64_t drawn = 0;
    while ((product *= (double)(rng_next(&rng) >> 11) * 0x1p-53) > least)
        drawn++;
    return drawn;
}

static void put_sketch(struct buf *out, uint32_t ad, uint32_t minute, uint32_t region,
                       uint64_t clicks)
{
    struct rng rng = {bench_mixed(((uint64_t)region << 60) ^ ((uint64_t)minute << 32 | ad))};
    struct hll users = {0};
    for (uint64_t i = 0; i < clicks && i < 1000; i++)
        (void)hll_add(&users, bench_mixed(rng_below(&rng, SKETCH_USERS)));
    hll_put(&users, out);
    hll_done(&users);
}

/* -- the messages, one after the other ------------------------------------------------------- */

struct writer {
    uint32_t minute, region, partition, block, cut;
    uint64_t number, rows, clicks;
    bool ended;
    struct partial_row *rows_out;
    struct partial_name *names;
    struct partial_total totals[LIMIT_REGIONS][PARTITIONS][60];
    uint64_t sums[LIMIT_REGIONS][PARTITIONS];
    struct buf sketches, message;
    struct subject subject;
};

static void add_row(struct writer *w, struct partial *p, uint32_t ad, uint32_t minute, bool closing)
{
    uint64_t clicks = clicks_of(ad, minute, w->region);
    uint64_t told = closing ? clicks : clicks / 2;
    if (told == 0)
        return;
    struct partial_row row = {.ad_hash = ads[ad].hash, .minute = minute, .counted = told};
    if (closing && ad < shape.sketches) {
        size_t at = w->sketches.length;
        put_sketch(&w->sketches, ad, minute, w->region, clicks);
        row.sketch = span_of(w->sketches.data + at, w->sketches.length - at);
    }
    CHECK(p->row_count < LIMIT_PARTIAL_ROWS);
    w->rows_out[p->row_count++] = row;
    if (!closing)
        return;
    struct partial_total *total = &w->totals[w->region][w->partition][minute % 60];
    total->rows++;
    total->counted += told;
    total->digest += partial_row_digest(&row);
    w->sums[w->region][w->partition] += told;
    w->rows++;
    w->clicks += told;
}

/* To what comes after this message, in the order of time. */
static void step(struct writer *w, uint32_t minutes, bool last_block)
{
    w->block = last_block ? 0 : w->block + 1;
    if (w->block > 0)
        return;
    w->partition = (w->partition + 1) % PARTITIONS;
    if (w->partition > 0)
        return;
    w->region = (w->region + 1) % shape.regions;
    if (w->region > 0)
        return;
    w->cut = shape.kind == ZIPF ? !w->cut : 0;
    if (w->cut == 0)
        w->minute += minutes;
    w->ended = w->minute >= shape.first_minute + shape.minutes;
}

/* Writes the next message into w->message; false at the end. */
static bool next_message(struct writer *w)
{
    if (w->rows_out == NULL) {
        w->rows_out = base_zalloc(LIMIT_PARTIAL_ROWS, sizeof(w->rows_out[0]));
        w->names = base_zalloc(LIMIT_PARTIAL_ROWS, sizeof(w->names[0]));
        w->minute = shape.first_minute;
        buf_reserve(&w->sketches, 48U << 20);
    }
    if (w->ended)
        return false;
    const uint32_t minute = w->minute, region = w->region, partition = w->partition;
    const uint32_t minutes = shape.kind == BULK ? 60 : 1;
    const uint32_t first = shape.kind == BULK ? w->block * BULK_ADS : 0;
    uint32_t end = ads_in[partition];
    if (shape.kind == BULK && end > first + BULK_ADS)
        end = first + BULK_ADS;
    const bool last_block = end == ads_in[partition];
    const bool closing = shape.kind != ZIPF || w->cut == 1;
    struct partial p = {.store_id = 1 + region,
                        .partition = (uint16_t)partition,
                        .partitions = PARTITIONS,
                        .rows = w->rows_out,
                        .names = w->names};
    p.cut = ++w->number;
    p.watermark_ms = minute_start_ms(minute) + (closing ? minutes * MINUTE_MS : 0) + 10000;
    p.stream_ms = p.watermark_ms + 1000;
    (void)snprintf(p.region, sizeof(p.region), "%s", region_names[region]);
    (void)snprintf(p.replica, sizeof(p.replica), "%s-r1", region_names[region]);
    buf_clear(&w->sketches);
    if (first == 0 && closing)
        memset(w->totals[region][partition], 0, sizeof(w->totals[region][partition]));
    for (uint32_t i = first; i < end; i++) {
        const struct ad *ad = &ads[ads_of[partition][i]];
        if (minute == shape.first_minute)
            w->names[p.name_count++] = (struct partial_name){ad->hash, span_of_text(ad->id)};
        for (uint32_t m = minute; m < minute + minutes; m++)
            add_row(w, &p, ads_of[partition][i], m, closing);
    }
    p.totals = &w->totals[region][partition][minute % 60];
    if (closing && last_block)
        p.total_count = minutes;
    for (uint32_t i = 0; i < p.total_count; i++)
        p.totals[i].minute = minute + i;
    p.folded = p.counted = w->sums[region][partition];
    partial_write(&w->message, &p);
    w->subject = subject_partial(p.region, p.partition, p.replica);
    step(w, minutes, last_block);
    return true;
}

/* -- the merger's world ---------------------------------------------------------------------- */

struct stream {
    struct bus_port port;
    struct writer *writer; /* one for all regions: messages in the order of time */
    uint32_t region;
    uint64_t seq;
    unsigned handle;
    bool up, reading;
};
static struct clock_port clock_port;
static double making_s; /* time spent on making messages, not on merging them */
static bool waiting;    /* writer.message holds a message that nobody has taken yet */
static uint32_t waiting_region;

static enum err on_publish(struct bus_port *b, const char *s, const char *i, struct span d,
                           uint64_t t)
{
    (void)b, (void)s, (void)i, (void)d, (void)t;
    return ERR_BUS_DOWN;
}

static enum err on_send(struct bus_port *b, const char *s, struct span d)
{
    (void)b, (void)s, (void)d;
    return ERR_OK;
}

static enum err on_listen(struct bus_port *b, const char *s)
{
    (void)b, (void)s;
    return ERR_OK;
}

static enum err on_read(struct bus_port *b, const char *name, uint64_t after, unsigned handle)
{
    struct stream *s = (struct stream *)b;
    (void)name;
    CHECK(after == 0);
    s->reading = true;
    s->handle = handle;
    return ERR_OK;
}

static enum err on_get(struct bus_port *b, const char *s, uint64_t seq, uint64_t token)
{
    (void)b, (void)s, (void)seq, (void)token;
    return ERR_BUS_DOWN;
}

static bool on_poll(struct bus_port *b, struct bus_event *out)
{
    struct stream *s = (struct stream *)b;
    *out = (struct bus_event){.subject = "", .reply = ""};
    if (!s->up) {
        s->up = true;
        out->kind = BUS_UP;
        return true;
    }
    if (!s->reading)
        return false;
    if (!waiting) {
        double began_s = cpu_now_s();
        waiting_region = s->writer->region;
        waiting = next_message(s->writer);
        making_s += cpu_now_s() - began_s;
    }
    if (!waiting || waiting_region != s->region)
        return false;
    waiting = false;
    out->kind = BUS_MESSAGE;
    out->handle = s->handle;
    out->seq = ++s->seq;
    out->subject = s->writer->subject.text;
    out->data = buf_span(&s->writer->message);
    return true;
}

static uint64_t clock_ms(struct clock_port *clock)
{
    (void)clock;
    return minute_start_ms(shape.first_minute);
}

static void clock_random(struct clock_port *clock, void *out, size_t length)
{
    (void)clock;
    memset(out, 7, length);
}

static int load(const char *folder)
{
    static struct writer writer;
    static struct stream streams[countof(region_names)];
    struct kv_port *kv;
    struct merger *m = NULL;
    clock_port = (struct clock_port){clock_ms, clock_ms, clock_random};
    struct kv_lmdb_options store = {.path = folder,
                                    .map_bytes = STORE_BYTES,
                                    .tables = leaf_table_names,
                                    .table_count = LEAF_TABLES};
    CHECK(kv_lmdb_open(&store, &kv) == ERR_OK);
    struct merger_options options = {.region_count = shape.regions, .kv = kv, .clock = &clock_port};
    for (uint32_t i = 0; i < shape.regions; i++) {
        streams[i] =
            (struct stream){.port = {on_publish, on_send, on_listen, on_read, on_get, on_poll},
                            .writer = &writer,
                            .region = i};
        options.regions[i].bus = &streams[i].port;
        (void)snprintf(options.regions[i].name, sizeof(options.regions[i].name), "%s",
                       region_names[i]);
    }
    CHECK(merger_new(&options, &m) == ERR_OK);
    double cpu_s = cpu_now_s(), wall_s = wall_now_s();
    uint32_t idle_ms = 0;
    while (!writer.ended || waiting)
        CHECK(merger_step(m, &idle_ms) == ERR_OK);
    CHECK(merger_step(m, &idle_ms) == ERR_OK);
    cpu_s = cpu_now_s() - cpu_s - making_s;
    wall_s = wall_now_s() - wall_s - making_s;
    struct merger_view view;
    merger_view(m, &view);
    uint64_t used, map, counted = 0;
    kv_lmdb_usage(kv, &used, &map);
    for (uint32_t i = 0; i < view.region_count; i++)
        counted += view.regions[i].counted;
    merger_free(m);
    kv_lmdb_close(kv);
    (void)printf("rows=%llu taken=%llu clicks=%llu cpu_us_row=%.4f rows_s=%.0f used=%llu "
                 "bytes_row=%.3f commits=%llu mismatches=%llu completed=%llu\n",
                 (unsigned long long)writer.rows, (unsigned long long)view.rows,
                 (unsigned long long)writer.clicks, cpu_s * 1e6 / (double)view.rows,
                 (double)view.rows / wall_s, (unsigned long long)used,
                 (double)used / (double)writer.rows, (unsigned long long)view.commits,
                 (unsigned long long)view.mismatches, (unsigned long long)view.minutes_completed);
    return counted != writer.clicks || view.mismatches != 0 ||
           view.minutes_completed != (uint64_t)shape.minutes * shape.regions * PARTITIONS;
}

/* Each message as: subject, space, length, newline, bytes. */
static int messages(const char *path)
{
    static struct writer writer;
    FILE *out = fopen(path, "wb");
    CHECK(out != NULL);
    while (next_message(&writer)) {
        (void)fprintf(out, "%s %zu\n", writer.subject.text, writer.message.length);
        CHECK(fwrite(writer.message.data, 1, writer.message.length, out) == writer.message.length);
    }
    (void)printf("rows=%llu clicks=%llu\n", (unsigned long long)writer.rows,
                 (unsigned long long)writer.clicks);
    return fclose(out) != 0;
}

typedef void row_fn(void *context, uint32_t ad, uint32_t minute, uint32_t region, uint64_t clicks);

static uint64_t each_row(row_fn *take, void *context)
{
    uint64_t sum = 0;
    for (uint32_t ad = 0; ad < shape.ads; ad++)
        for (uint32_t m = 0; m < shape.minutes; m++)
            for (uint32_t region = 0; region < shape.regions; region++) {
                uint64_t clicks = clicks_of(ad, shape.first_minute + m, region);
                sum += clicks;
                if (clicks > 0)
                    take(context, ad, shape.first_minute + m, region, clicks);
            }
    return sum;
}

static void print_row(void *context, uint32_t ad, uint32_t minute, uint32_t region, uint64_t clicks)
{
    (void)fprintf(context, "%s\t%u\t%s\t%llu\n", ads[ad].id, minute, region_names[region],
                  (unsigned long long)clicks);
}

static int csv(const char *path)
{
    FILE *out = fopen(path, "w");
    CHECK(out != NULL);
    (void)printf("clicks=%llu\n", (unsigned long long)each_row(print_row, out));
    return fclose(out) != 0;
}

/* -- SQLite ---------------------------------------------------------------------------------- */

static void insert_row(void *context, uint32_t ad, uint32_t minute, uint32_t region,
                       uint64_t clicks)
{
    sqlite3_stmt *s = context;
    sqlite3_bind_text(s, 1, ads[ad].id, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 2, minute);
    sqlite3_bind_int64(s, 3, region);
    sqlite3_bind_int64(s, 4, (int64_t)clicks);
    CHECK(sqlite3_step(s) == SQLITE_DONE);
    sqlite3_reset(s);
}

/* CPU of a query, in us; its rows are read, and nothing is done with them but a sum. */
static double ask(sqlite3_stmt *s, uint32_t queries, uint32_t minutes, uint64_t *sum)
{
    struct rng rng = {minutes};
    double began_s = cpu_now_s();
    for (uint32_t i = 0; i < queries; i++) {
        uint32_t from = shape.first_minute;
        if (shape.minutes > minutes)
            from += (uint32_t)rng_below(&rng, shape.minutes / minutes) * minutes;
        sqlite3_bind_text(s, 1, ads[rng_below(&rng, shape.ads)].id, -1, SQLITE_STATIC);
        sqlite3_bind_int64(s, 2, from);
        sqlite3_bind_int64(s, 3, from + minutes);
        while (sqlite3_step(s) == SQLITE_ROW)
            *sum += (uint64_t)sqlite3_column_int64(s, 1);
        sqlite3_reset(s);
    }
    return (cpu_now_s() - began_s) * 1e6 / queries;
}

static sqlite3_stmt *prepared(sqlite3 *db, const char *text)
{
    sqlite3_stmt *s;
    CHECK(sqlite3_prepare_v2(db, text, -1, &s, NULL) == SQLITE_OK);
    return s;
}

static int sqlite(const char *path, uint32_t queries)
{
    sqlite3 *db;
    CHECK(sqlite3_open(path, &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db,
                       "PRAGMA journal_mode=WAL; PRAGMA cache_size=-262144;"
                       "CREATE TABLE IF NOT EXISTS counts(ad TEXT, minute INT, region INT, "
                       "counted INT, PRIMARY KEY(ad, minute, region)) WITHOUT ROWID; BEGIN",
                       NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_stmt *all = prepared(db, "SELECT sum(counted) FROM counts");
    CHECK(sqlite3_step(all) == SQLITE_ROW);
    if (sqlite3_column_int64(all, 0) == 0)
        (void)each_row(insert_row, prepared(db, "INSERT INTO counts VALUES(?,?,?,?)"));
    sqlite3_reset(all);
    CHECK(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
    CHECK(sqlite3_step(all) == SQLITE_ROW);
    sqlite3_stmt *s = prepared(db, "SELECT minute, sum(counted) FROM counts WHERE ad=? AND "
                                   "minute>=? AND minute<? GROUP BY minute");
    uint64_t sum = 0;
    (void)ask(s, queries / 10 + 1, shape.minutes, &sum); /* warm */
    double hour_us = ask(s, queries, HOUR_QUERY, &sum);
    double day_us = ask(s, queries / 4 + 1, shape.minutes, &sum);
    (void)printf("clicks=%lld hour_us=%.2f day_us=%.2f sum=%llu\n",
                 (long long)sqlite3_column_int64(all, 0), hour_us, day_us, (unsigned long long)sum);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const kinds[] = {[ZIPF] = "zipf", [EVEN] = "even", [BULK] = "bulk"};
    uint32_t numbers[6] = {0};
    if (argc < 9)
        return 2;
    for (int i = 0; i < 6 && i + 4 < argc; i++)
        numbers[i] = (uint32_t)strtoul(argv[i + 4], NULL, 10);
    shape = (struct shape){.ads = numbers[0],
                           .minutes = numbers[1],
                           .first_minute = numbers[2],
                           .regions = numbers[3],
                           .sketches = numbers[4]};
    while (shape.kind < countof(kinds) && strcmp(argv[3], kinds[shape.kind]) != 0)
        shape.kind++;
    if (shape.kind == countof(kinds) || shape.ads == 0 || shape.minutes == 0 ||
        shape.regions == 0 || shape.regions > countof(region_names))
        return 2;
    make_ads();
    if (strcmp(argv[1], "load") == 0)
        return load(argv[2]);
    if (strcmp(argv[1], "messages") == 0)
        return messages(argv[2]);
    if (strcmp(argv[1], "csv") == 0)
        return csv(argv[2]);
    return strcmp(argv[1], "sqlite") == 0 ? sqlite(argv[2], numbers[5]) : 2;
}
