/* SPDX-License-Identifier: Apache-2.0
 * bench_fold [--check]: the fold in memory on one core: fold_step over segments, less what their
 * decoding costs in the same run (the durable path is bench_region's), gated on an exact count. */
#include "bench_clicks.h"
#include "proto/subject.h"
#include "regional/core/fold.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SEGMENT_CLICKS 4000u
#define CUT_CLICKS     12000u
#define MINUTE_CLICKS  1000000u
#define FIRST_MINUTE   29000000u
#define USERS          300000u
#define ROUNDS         3u

/* How the ads of the clicks are drawn. */
struct load {
    const char *name;
    uint32_t ads;
    uint32_t minutes;
    bool zipf;
    bool one_user; /* "without sketches": each row's sketch is one token inside the row */
    uint32_t duplicate_percent;
};

struct made {
    struct buf *messages;
    uint32_t count;
    uint64_t clicks, distinct, duplicate, rows;
};

struct result {
    double fold_ns, decode_ns, key_bytes, row_bytes, name_bytes;
};

static double cpu_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9ULL;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebULL;
    return x ^ x >> 31;
}

static int by_number(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static uint64_t count_distinct(uint64_t *numbers, uint64_t count)
{
    uint64_t distinct = 0;
    qsort(numbers, count, sizeof(*numbers), by_number);
    for (uint64_t i = 0; i < count; i++)
        distinct += i == 0 || numbers[i] != numbers[i - 1];
    return distinct;
}

static struct click click_of(const struct load *load, const struct bench_ads *ads,
                             const char (*names)[16], uint64_t id, uint32_t *out_ad)
{
    uint32_t ad = bench_ads_pick(ads, mix(id + 123)), minute = (uint32_t)(id / MINUTE_CLICKS);
    uint64_t low = mix(id + 77), high = mix(id * 31 + 5);
    struct click c = {.minute = FIRST_MINUTE + minute,
                      .user_hash = load->one_user ? 1 : mix(mix(id + 9) % USERS + 3),
                      .timestamp_ms = (uint64_t)(FIRST_MINUTE + minute) * 60000,
                      .received_ms = (uint64_t)(FIRST_MINUTE + minute) * 60000,
                      .ad_id = span_of_text(names[ad]),
                      .user_id = span_of_text("u"),
                      .ip_address = span_of_text("192.0.2.1"),
                      .user_agent = span_of_text("a")};
    memcpy(c.key, &low, sizeof(low));
    memcpy(c.key + 8, &high, sizeof(high));
    *out_ad = ad;
    return c;
}

static struct made make(const struct load *load)
{
    uint64_t total = (uint64_t)load->minutes * MINUTE_CLICKS;
    struct made m = {.count = (uint32_t)(total / SEGMENT_CLICKS), .clicks = total};
    m.messages = base_zalloc(m.count, sizeof(*m.messages));
    struct bench_ads ads;
    bench_ads_init(&ads, load->ads, load->zipf);
    char(*names)[16] = base_zalloc(load->ads, sizeof(*names));
    for (uint32_t i = 0; i < load->ads; i++)
        (void)snprintf(names[i], sizeof(*names), "ad-%08u", i);
    uint64_t *ids = base_zalloc(total, sizeof(*ids)), *rows = base_zalloc(total, sizeof(*rows));
    struct click *clicks = base_zalloc(SEGMENT_CLICKS, sizeof(*clicks));
    struct rng rng = {7};
    for (uint32_t g = 0; g < m.count; g++) {
        for (uint32_t i = 0; i < SEGMENT_CLICKS; i++) {
            uint64_t at = (uint64_t)g * SEGMENT_CLICKS + i, id = at;
            if (at > 1000 && rng_below(&rng, 100) < load->duplicate_percent)
                id -= 1 + rng_below(&rng, 1000);
            uint32_t ad;
            clicks[i] = click_of(load, &ads, (const char(*)[16])names, id, &ad);
            ids[at] = id;
            rows[at] = id / MINUTE_CLICKS << 32 | ad;
        }
        uint64_t last = (uint64_t)(g + 1) * SEGMENT_CLICKS;
        struct segment_head head = {.edge = "e1",
                                    .region = "us",
                                    .epoch = 1,
                                    .first = last - SEGMENT_CLICKS,
                                    .last = last,
                                    .clock_ms = (uint64_t)FIRST_MINUTE * 60000,
                                    .newest_epoch = 1,
                                    .accepted = last};
        segment_write(&m.messages[g], &head, clicks, SEGMENT_CLICKS);
    }
    m.distinct = count_distinct(ids, total);
    m.duplicate = total - m.distinct;
    m.rows = count_distinct(rows, total);
    free(ids);
    free(rows);
    free(clicks);
    free(names);
    bench_ads_done(&ads);
    return m;
}

static double decode_seconds(const struct made *m)
{
    struct segment s = {0};
    double start = cpu_s();
    for (uint32_t g = 0; g < m->count; g++)
        CHECK(segment_read(&s, buf_span(&m->messages[g])) == ERR_OK);
    double seconds = cpu_s() - start;
    segment_done(&s);
    return seconds;
}

/* What a cut does to the tables, without what it writes. */
static void cut(struct fold *f)
{
    for (uint32_t i = 0; i < f->horizon.count; i++)
        horizon_cut(f->horizon.tables[i]);
}

static double fold_seconds(struct fold *f, const struct made *m)
{
    struct subject subject = subject_segment("us", 0, "e1");
    double start = cpu_s();
    for (uint32_t g = 0; g < m->count; g++) {
        struct fold_message message = {.subject = subject.text,
                                       .time_ms = (uint64_t)FIRST_MINUTE * 60000 + 200,
                                       .data = buf_span(&m->messages[g])};
        CHECK(fold_step(f, &message) == ERR_OK);
        if ((g + 1) * SEGMENT_CLICKS % CUT_CLICKS == 0)
            cut(f);
    }
    double seconds = cpu_s() - start;
    cut(f);
    return seconds;
}

static void gate(const struct fold *f, const struct made *m)
{
    uint64_t counted = 0;
    for (uint32_t i = 0; i < f->horizon.count; i++) {
        const struct minute_table *t = f->horizon.tables[i];
        for (uint32_t r = 0; r < t->row_count; r++)
            counted += t->rows[r].counted;
    }
    if (f->books.counted == m->distinct && f->books.duplicate == m->duplicate &&
        f->books.carried == 0 && counted == m->distinct && f->horizon.rows == m->rows)
        return;
    (void)fprintf(stderr, "bench_fold: the count is not exact: no figure stands\n");
    exit(2);
}

static struct result run(const struct load *load)
{
    struct made m = make(load);
    struct result best = {.fold_ns = INFINITY};
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct fold_options options = {.region = "us",
                                       .partitions = 1,
                                       .lateness_ms = 10000,
                                       .horizon_minutes = 60,
                                       .partial_interval_ms = 5000};
        struct fold *f = fold_new(&options);
        double decode = decode_seconds(&m), seconds = fold_seconds(f, &m);
        gate(f, &m);
        double ns = (seconds - decode) * 1e9 / (double)m.clicks;
        uint64_t key_bytes = 0;
        for (uint32_t i = 0; i < f->horizon.count; i++)
            key_bytes += f->horizon.tables[i]->keys.bytes;
        if (ns < best.fold_ns)
            best = (struct result){.fold_ns = ns,
                                   .decode_ns = decode * 1e9 / (double)m.clicks,
                                   .key_bytes = (double)key_bytes / (double)f->horizon.keys,
                                   .row_bytes = (double)(horizon_bytes(&f->horizon) - key_bytes) /
                                                (double)f->horizon.rows,
                                   .name_bytes =
                                       (double)ad_names_bytes(&f->names) / (double)f->horizon.rows};
        fold_free(f);
    }
    for (uint32_t g = 0; g < m.count; g++)
        buf_done(&m.messages[g]);
    free(m.messages);
    (void)printf("%-28s %6.1f ns a click (%5.2f M/s), decoding %5.1f ns; %4.1f B a key, %5.1f + "
                 "%4.1f B a row and its name\n",
                 load->name, best.fold_ns, 1e3 / best.fold_ns, best.decode_ns, best.key_bytes,
                 best.row_bytes, best.name_bytes);
    (void)fflush(stdout);
    return best;
}

/* Bytes a key at every size up to 3 million: the worst one. */
static double worst_key_bytes(void)
{
    struct dedupe d = {0};
    double worst = 0;
    for (uint64_t i = 1; i <= 3000000; i++) {
        uint64_t words[2] = {mix(i), mix(i * 3)};
        (void)dedupe_add(&d, (const uint8_t *)words);
        if (i >= 10000)
            worst = fmax(worst, (double)d.bytes / (double)i);
    }
    dedupe_done(&d);
    return worst;
}

static bool bar(const char *what, double value, double least, double most)
{
    bool good = value >= least && value <= most;
    (void)printf("%s  %s: %.2f (bar: %s %.2f)\n", good ? "ok    " : "MISSED", what, value,
                 most == INFINITY ? "at least" : "at most", most == INFINITY ? least : most);
    return good;
}

static double hll_add_ns(void)
{
    struct hll h = {0};
    double start = cpu_s();
    for (uint64_t i = 0; i < 20000000; i++)
        (void)hll_add(&h, i * 0x9E3779B97F4A7C15ULL);
    double ns = (cpu_s() - start) * 1e9 / 2e7;
    hll_done(&h);
    return ns;
}

int main(int argc, char **argv)
{
    bool check = argc > 1 && strcmp(argv[1], "--check") == 0, good = true;
    struct result base = run(&(struct load){"100k ads, Zipf 1", 100000, 3, true, false, 5});
    struct result plain = run(&(struct load){"the same, one user", 100000, 3, true, true, 5});
    struct result uniform = run(&(struct load){"100k ads, uniform", 100000, 3, false, false, 5});
    struct result one = run(&(struct load){"one ad", 1, 3, true, false, 5});
    struct result many = run(&(struct load){"1M ads, Zipf 1", 1000000, 3, true, false, 5});
    good &= bar("M clicks/s, sketches", 1e3 / base.fold_ns, 9, INFINITY);
    good &= bar("M clicks/s, one user", 1e3 / plain.fold_ns, 15, INFINITY);
    good &= bar("bytes a key, the worst of 10k to 3M", worst_key_bytes(), 0, 36);
    good &= bar("bytes an active (ad, minute)", base.row_bytes + base.name_bytes, 0, 150);
    good &= bar("one ad / uniform", uniform.fold_ns / one.fold_ns, 0.8, INFINITY);
    good &= bar("1M ads / 100k ads", base.fold_ns / many.fold_ns, 0.6, INFINITY);
    good &= bar("ns a sketch add", hll_add_ns(), 0, 5);
    return check && !good ? 1 : 0;
}
