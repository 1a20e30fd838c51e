/* SPDX-License-Identifier: Apache-2.0
 * bench_partials: what crosses the ocean: bytes of partials against the bytes of the clicks' JSON,
 * by ads, interval and sketches. Folds, cuts and messages are the product's own; a plain table
 * gates each line on the exact count.
 *
 *   bench_partials [--check] [--clicks N a minute] [--minutes N] */
#include "bench_clicks.h"
#include "proto/control.h"
#include "proto/subject.h"
#include "regional/core/cut.h"

#include <stdio.h>
#include <stdlib.h>

#define START_MS       1800000000000ULL
#define SEGMENT_CLICKS 2000u
#define USERS          2000000u
#define REPEAT_IN_1000 50u
#define PARTITIONS_MAX 8u

struct shape {
    uint32_t ads, clicks, minutes, interval_ms, partitions;
    bool closes; /* the edge's clock moves, so minutes close and their sketches are told */
};

struct result {
    uint64_t json_bytes, partial_bytes, messages, rows;
    double percent;
};

/* What the partials said: the greatest count of each (ad, minute). */
struct told {
    uint64_t *keys, *counts;
    uint64_t capacity, used;
};

static void told_row(struct told *t, const struct partial_row *row)
{
    uint64_t key = bench_mixed(row->ad_hash ^ bench_mixed(row->minute)) | 1, at = key % t->capacity;
    while (t->keys[at] != 0 && t->keys[at] != key)
        at = (at + 1) % t->capacity;
    if (t->keys[at] == 0) {
        CHECK(++t->used < t->capacity / 4 * 3);
        t->keys[at] = key;
    }
    t->counts[at] = base_max_u64(t->counts[at], row->counted);
}

static void take_messages(struct cut *cut, struct told *told, struct result *out)
{
    for (uint32_t i = 0; i < cut->partials.count; i++) {
        struct partial p = {0};
        CHECK(partial_read(&p, buf_span(&cut->partials.items[i])) == ERR_OK);
        for (uint32_t r = 0; r < p.row_count; r++)
            told_row(told, &p.rows[r]);
        out->messages++;
        out->rows += p.row_count;
        out->partial_bytes += cut->partials.items[i].length;
        partial_done(&p);
    }
    cut_done(cut);
}

struct bench {
    struct shape shape;
    struct fold *folds[PARTITIONS_MAX];
    struct told told;
    struct result result;
    struct bench_clicks clicks;
    struct click *made[PARTITIONS_MAX]; /* for the next segment of each */
    uint32_t made_count[PARTITIONS_MAX];
    uint64_t numbers[PARTITIONS_MAX], expected, click_number;
    struct buf message;
};

static void cut_one(struct bench *b, struct fold *f, uint64_t time_ms)
{
    struct cut cut = {0};
    struct cut_request request = {
        .who = {.replica = "r1", .store_id = 7}, .time_ms = time_ms, .by_stream = true};
    CHECK(cut_make(f, &request, &cut) == ERR_OK);
    take_messages(&cut, &b->told, &b->result);
}

static void step(struct bench *b, uint32_t p, const char *subject, uint64_t time_ms)
{
    struct fold *f = b->folds[p];
    if (fold_wants_cut(f, time_ms))
        cut_one(b, f, time_ms);
    struct fold_message m = {.subject = subject, .time_ms = time_ms, .data = buf_span(&b->message)};
    CHECK(fold_step(f, &m) == ERR_OK);
}

static void send_segment(struct bench *b, uint32_t p, uint64_t now_ms)
{
    uint32_t count = b->made_count[p];
    struct segment_head head =
        bench_segment_head((uint16_t)p, b->numbers[p], count, b->shape.closes ? now_ms : START_MS);
    segment_write(&b->message, &head, b->made[p], count);
    struct subject subject = subject_segment("us", (uint16_t)p, "us-e1");
    step(b, p, subject.text, now_ms);
    b->numbers[p] += count;
    b->made_count[p] = 0;
}

/* The bytes of one click as an SDK sends it: five fields, a click_id, no spaces. */
static uint64_t json_bytes(uint64_t number, const struct click *c)
{
    static const char agent[] = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
                                "(KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";
    char text[768];
    int length = snprintf(text, sizeof(text),
                          "{\"ad_id\":\"%.*s\",\"user_id\":\"u-%016llx\",\"timestamp\":%llu,"
                          "\"ip_address\":\"198.51.%llu.%llu\",\"user_agent\":\"%s\","
                          "\"click_id\":\"%016llx%016llx\"}",
                          (int)c->ad_id.length, (const char *)c->ad_id.data,
                          (unsigned long long)c->user_hash, (unsigned long long)c->timestamp_ms,
                          (unsigned long long)(c->user_hash >> 8 & 255),
                          (unsigned long long)(c->user_hash & 255), agent,
                          (unsigned long long)bench_mixed(number), (unsigned long long)number);
    CHECK(length > 0 && (size_t)length < sizeof(text));
    return (uint64_t)length;
}

static void make_click(struct bench *b, uint64_t now_ms)
{
    uint64_t number = b->click_number++;
    struct click click = bench_clicks_make(&b->clicks, number, now_ms);
    uint32_t p = hash_partition(hash_ad(click.ad_id), b->shape.partitions);
    uint32_t again = rng_chance(&b->clicks.rng, REPEAT_IN_1000) ? 2 : 1;
    b->expected++;
    while (again-- > 0) {
        b->made[p][b->made_count[p]++] = click;
        b->result.json_bytes += json_bytes(number, &click);
        if (b->made_count[p] == SEGMENT_CLICKS)
            send_segment(b, p, now_ms);
    }
}

static void begin(struct bench *b)
{
    bench_clicks_init(&b->clicks, 4711, b->shape.ads, USERS);
    b->told.capacity = 4ULL * base_min_u64(b->shape.clicks, b->shape.ads) * b->shape.minutes + 64;
    b->told.keys = base_zalloc(b->told.capacity, sizeof(uint64_t));
    b->told.counts = base_zalloc(b->told.capacity, sizeof(uint64_t));
    for (uint32_t p = 0; p < b->shape.partitions; p++) {
        struct fold_options options = {.region = "us",
                                       .partition = (uint16_t)p,
                                       .partitions = (uint16_t)b->shape.partitions,
                                       .lateness_ms = 10000,
                                       .horizon_minutes = 1440,
                                       .partial_interval_ms = b->shape.interval_ms};
        b->folds[p] = fold_new(&options);
        b->made[p] = base_zalloc(SEGMENT_CLICKS, sizeof(struct click));
        struct control_message enrol = {.nonce = 1, .kind = CONTROL_ENROL, .edge = "us-e1"};
        control_write(&b->message, &enrol);
        struct subject subject = subject_control("us", (uint16_t)p);
        step(b, p, subject.text, START_MS);
    }
}

static uint64_t end(struct bench *b)
{
    uint64_t counted = 0;
    for (uint64_t i = 0; i < b->told.capacity; i++)
        counted += b->told.counts[i];
    for (uint32_t p = 0; p < b->shape.partitions; p++) {
        fold_free(b->folds[p]);
        free(b->made[p]);
    }
    free(b->told.keys);
    free(b->told.counts);
    bench_clicks_done(&b->clicks);
    buf_done(&b->message);
    return counted;
}

static struct result measure(const struct shape *shape)
{
    struct bench b = {.shape = *shape};
    begin(&b);
    uint64_t span_ms = shape->minutes * 60000ULL;
    uint64_t clicks = (uint64_t)shape->clicks * shape->minutes;
    for (uint64_t i = 0; i < clicks; i++)
        make_click(&b, START_MS + i * span_ms / clicks);
    /* Empty segments until everything is told, and every minute of the run has closed. */
    uint64_t rest_ms = 60000 + 10000 + 2ULL * shape->interval_ms;
    for (uint64_t ms = 0; ms <= rest_ms; ms += 1000) {
        for (uint32_t p = 0; p < shape->partitions; p++)
            send_segment(&b, p, START_MS + span_ms + ms);
    }
    for (uint32_t p = 0; p < shape->partitions; p++) {
        cut_one(&b, b.folds[p], START_MS + span_ms + rest_ms + shape->interval_ms);
        CHECK(b.folds[p]->books.carried == 0);
    }
    uint64_t expected = b.expected, counted = end(&b);
    if (counted != expected) {
        fprintf(stderr, "partials told %llu distinct clicks, sent were %llu\n",
                (unsigned long long)counted, (unsigned long long)expected);
        exit(1);
    }
    b.result.percent = 100.0 * (double)b.result.partial_bytes / (double)b.result.json_bytes;
    return b.result;
}

int main(int argc, char **argv)
{
    static const uint32_t ads[] = {1000, 10000, 100000, 1000000};
    uint32_t clicks = 1000000, minutes = 3;
    bool check = false, missed = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--check") == 0)
            check = true;
        else if (strcmp(argv[i], "--clicks") == 0 && i + 1 < argc)
            clicks = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--minutes") == 0 && i + 1 < argc)
            minutes = (uint32_t)strtoul(argv[++i], NULL, 10);
        else
            return fprintf(stderr, "bench_partials [--check] [--clicks N] [--minutes N]\n"), 2;
    }
    printf(
        "%u clicks a minute, %u minutes, Zipf 1, 5 %% sent twice; names (once a day) included\n\n"
        "| ads | partitions | counts each | sketches | JSON B a click | rows told | messages | B "
        "a row | %% of JSON | bar |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        clicks, minutes);
    for (uint32_t i = 0; i < countof(ads); i++) {
        for (uint32_t kind = 0; kind < 4; kind++) {
            struct shape shape = {.ads = ads[i],
                                  .clicks = clicks,
                                  .minutes = minutes,
                                  .interval_ms = kind == 2 ? 5000 : 10000,
                                  .partitions = kind == 3 ? 8 : 1,
                                  .closes = kind != 0};
            struct result r = measure(&shape);
            double bar = ads[i] != 100000 ? 0 : kind == 0 ? 0.5 : kind == 1 ? 1.0 : 0;
            bool is_missed = bar > 0 && r.percent > bar;
            missed |= is_missed;
            printf("| %u | %u | %u s | %s | %.0f | %llu | %llu | %.1f | %.3f | ", ads[i],
                   shape.partitions, shape.interval_ms / 1000, shape.closes ? "at close" : "none",
                   (double)r.json_bytes / (clicks * 1.0 * minutes) / 1.05,
                   (unsigned long long)r.rows, (unsigned long long)r.messages,
                   (double)r.partial_bytes / (double)r.rows, r.percent);
            if (bar > 0)
                printf("%.1f%s |\n", bar, is_missed ? ", missed" : "");
            else
                printf("|\n");
            (void)fflush(stdout);
        }
    }
    return check && missed;
}
