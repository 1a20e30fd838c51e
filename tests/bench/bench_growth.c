/* SPDX-License-Identifier: Apache-2.0
 * bench_growth: how the fold's cost grows with ads, users, lateness, duplicates and partitions:
 * segments decoded and folded, a cut every 10,000 clicks, redo values and partials made, nothing
 * stored. Every line is gated on the exact count. Prints one line a point, tab-separated:
 * what, value, ns CPU a click, bytes of redo and state a click, MiB of tables.
 *
 *   bench_growth [--clicks N] [--rounds N] */
#include "bench_clicks.h"
#include "proto/control.h"
#include "proto/subject.h"
#include "regional/core/cut.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define START_MS       1800000000000ULL
#define SEGMENT_CLICKS 2000u
#define CUT_CLICKS     10000u
#define CUTS_A_SECOND  2u
#define REPEAT_AMONG   50000u
#define LATE_MINUTES   60u
#define PARTITIONS_MAX 64u

struct shape {
    uint32_t ads, users, late_permille, repeat_permille, partitions;
};

struct point {
    double ns, bytes, mib;
};

struct bench {
    struct shape shape;
    struct fold *folds[PARTITIONS_MAX];
    struct buf *messages;
    uint64_t *times_ms;
    uint16_t *partition_of; /* of each message */
    uint32_t message_count, message_capacity;
    uint64_t distinct, repeats, numbers[PARTITIONS_MAX];
};

static void put_message(struct bench *b, uint32_t p, const struct click *clicks, uint32_t count,
                        uint64_t now_ms)
{
    if (b->message_count == b->message_capacity) {
        b->message_capacity = b->message_capacity * 2 + 1024;
        b->messages = base_realloc(b->messages, b->message_capacity * sizeof(*b->messages));
        b->times_ms = base_realloc(b->times_ms, b->message_capacity * sizeof(*b->times_ms));
        b->partition_of =
            base_realloc(b->partition_of, b->message_capacity * sizeof(*b->partition_of));
    }
    struct segment_head head = bench_segment_head((uint16_t)p, b->numbers[p], count, now_ms);
    uint32_t at = b->message_count++;
    b->messages[at] = (struct buf){0};
    segment_write(&b->messages[at], &head, clicks, count);
    b->times_ms[at] = now_ms;
    b->partition_of[at] = (uint16_t)p;
    b->numbers[p] += count;
}

/* All messages, beforehand. */
static void make(struct bench *b, uint32_t clicks)
{
    struct bench_clicks source;
    struct click *past = base_zalloc(REPEAT_AMONG, sizeof(*past));
    struct click *made = base_zalloc((size_t)PARTITIONS_MAX * SEGMENT_CLICKS, sizeof(*made));
    uint32_t made_count[PARTITIONS_MAX] = {0};
    bench_clicks_init(&source, 99, b->shape.ads, b->shape.users);
    for (uint32_t i = 0; i < clicks; i++) {
        uint64_t now_ms = START_MS + i / CUT_CLICKS * 1000ULL / CUTS_A_SECOND, time_ms = now_ms;
        struct click c;
        if (i > REPEAT_AMONG && rng_chance(&source.rng, b->shape.repeat_permille)) {
            c = past[rng_below(&source.rng, REPEAT_AMONG)];
            b->repeats++;
        } else {
            if (rng_chance(&source.rng, b->shape.late_permille))
                time_ms -= 60000 * (1 + rng_below(&source.rng, LATE_MINUTES));
            c = bench_clicks_make(&source, i, time_ms);
            past[i % REPEAT_AMONG] = c;
            b->distinct++;
        }
        uint32_t p = hash_partition(hash_ad(c.ad_id), b->shape.partitions);
        made[p * SEGMENT_CLICKS + made_count[p]++] = c;
        if (made_count[p] == SEGMENT_CLICKS) {
            put_message(b, p, &made[p * SEGMENT_CLICKS], SEGMENT_CLICKS, now_ms);
            made_count[p] = 0;
        }
    }
    uint64_t end_ms = START_MS + clicks / CUT_CLICKS * 1000ULL / CUTS_A_SECOND;
    for (uint32_t p = 0; p < b->shape.partitions; p++)
        put_message(b, p, &made[p * SEGMENT_CLICKS], made_count[p], end_ms);
    bench_clicks_done(&source);
    free(past);
    free(made);
}

static double cpu_now_ns(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t cut_one(struct fold *f, uint64_t time_ms)
{
    struct cut cut = {0};
    struct cut_request request = {
        .who = {.replica = "r1", .store_id = 7}, .time_ms = time_ms, .by_stream = true};
    uint64_t bytes = 0;
    CHECK(cut_make(f, &request, &cut) == ERR_OK);
    for (uint32_t i = 0; i < cut.put_count; i++)
        bytes += cut.puts[i].value.length;
    cut_done(&cut);
    return bytes;
}

static struct point fold_all(struct bench *b, uint32_t clicks)
{
    struct point out = {0};
    uint32_t uncut[PARTITIONS_MAX] = {0};
    uint64_t counted = 0, duplicate = 0, bytes = 0, held = 0;
    for (uint32_t p = 0; p < b->shape.partitions; p++) {
        struct fold_options options = {.region = "us",
                                       .partition = (uint16_t)p,
                                       .partitions = (uint16_t)b->shape.partitions,
                                       .lateness_ms = 10000,
                                       .horizon_minutes = 1440,
                                       .partial_interval_ms = 5000};
        b->folds[p] = fold_new(&options);
    }
    double begun_ns = cpu_now_ns();
    for (uint32_t i = 0; i < b->message_count; i++) {
        uint32_t p = b->partition_of[i];
        struct subject from = subject_segment("us", (uint16_t)p, "us-e1");
        struct fold_message m = {
            .subject = from.text, .time_ms = b->times_ms[i], .data = buf_span(&b->messages[i])};
        if (uncut[p] >= CUT_CLICKS) {
            bytes += cut_one(b->folds[p], b->times_ms[i]);
            uncut[p] = 0;
        }
        CHECK(fold_step(b->folds[p], &m) == ERR_OK);
        uncut[p] += SEGMENT_CLICKS;
    }
    for (uint32_t p = 0; p < b->shape.partitions; p++)
        bytes += cut_one(b->folds[p], b->times_ms[b->message_count - 1] + 1000);
    out.ns = (cpu_now_ns() - begun_ns) / clicks;
    for (uint32_t p = 0; p < b->shape.partitions; p++) {
        struct fold *f = b->folds[p];
        CHECK(f->books.carried == 0);
        counted += f->books.counted;
        duplicate += f->books.duplicate;
        held += horizon_bytes(&f->horizon) + ad_names_bytes(&f->names);
        fold_free(f);
    }
    if (counted != b->distinct || duplicate != b->repeats) {
        fprintf(stderr, "bench_growth: counted %llu of %llu\n", (unsigned long long)counted,
                (unsigned long long)b->distinct);
        exit(1);
    }
    out.bytes = (double)bytes / clicks;
    out.mib = (double)held / 1048576;
    return out;
}

static void measure(const char *what, uint32_t value, const struct shape *shape, uint32_t clicks,
                    uint32_t rounds)
{
    struct bench b = {.shape = *shape};
    struct point best = {.ns = 1e18};
    make(&b, clicks);
    for (uint32_t i = 0; i < rounds; i++) {
        struct point p = fold_all(&b, clicks);
        if (p.ns < best.ns)
            best = p;
    }
    printf("%s\t%u\t%.1f\t%.1f\t%.1f\n", what, value, best.ns, best.bytes, best.mib);
    (void)fflush(stdout);
    for (uint32_t i = 0; i < b.message_count; i++)
        buf_done(&b.messages[i]);
    free(b.messages);
    free(b.times_ms);
    free(b.partition_of);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *what;
        uint32_t values[6], count;
    } curves[] = {{"ads", {1000, 10000, 100000, 1000000}, 4},
                  {"users", {1000, 10000, 100000, 1000000, 10000000}, 5},
                  {"late, per mille", {0, 10, 100}, 3},
                  {"sent again, per mille", {0, 50, 200, 500}, 4},
                  {"partitions", {1, 4, 16, 64}, 4}};
    uint32_t clicks = 2000000, rounds = 3;
    for (int i = 1; i < argc; i++) {
        if (i + 1 < argc && strcmp(argv[i], "--clicks") == 0)
            clicks = (uint32_t)strtoul(argv[++i], NULL, 10) / CUT_CLICKS * CUT_CLICKS;
        else if (i + 1 < argc && strcmp(argv[i], "--rounds") == 0)
            rounds = (uint32_t)strtoul(argv[++i], NULL, 10);
        else
            return fprintf(stderr, "bench_growth [--clicks N] [--rounds N]\n"), 2;
    }
    for (uint32_t c = 0; c < countof(curves); c++) {
        for (uint32_t i = 0; i < curves[c].count; i++) {
            struct shape shape = {
                .ads = 100000, .users = 2000000, .repeat_permille = 50, .partitions = 1};
            uint32_t *knobs[] = {&shape.ads, &shape.users, &shape.late_permille,
                                 &shape.repeat_permille, &shape.partitions};
            *knobs[c] = curves[c].values[i];
            measure(curves[c].what, curves[c].values[i], &shape, clicks, rounds);
        }
    }
    return 0;
}
