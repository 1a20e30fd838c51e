/* SPDX-License-Identifier: Apache-2.0
 * bench_scanner [--check]: CPU time of the click scanner beside simdjson's on-demand parser, same
 * clicks, interleaved rounds, medians. With --check it ends with 1 where a bar is missed.
 *
 * Both check UTF-8, unescape, bound each field and refuse a field sent twice. The peer does less:
 * it does not look for control characters in ids nor for repeated unknown keys, does not fully
 * check values that it skips, and reads no NDJSON here; its parser lives on between the bodies. */
#include "common/base/rng.h"
#include "proto/click_json.h"
#include "tests/bench/bench_scanner_peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS     11
#define BODIES     512
#define BATCH      1000
#define BODY_BYTES 768
#define PASS_NS    40000000.0

struct body {
    char *data;
    size_t length, capacity;
};

struct job {
    const char *name;
    double bar; /* our cost at most so many times the peer's; 0: none */
    const char *agent, *name_part, *title;
    bool batch;
    struct body *bodies;
    size_t body_count, click_count, bytes;
};

enum side { SIDE_OURS, SIDE_LOOP, SIDE_FIND, SIDES };

static uint64_t scan_ours(const struct body *b)
{
    struct click_json *s = click_json_new(span_of(b->data, b->length), CLICK_JSON_DOCUMENT);
    struct click_json_click c;
    uint64_t sum = 0;
    while (click_json_next(s, &c)) {
        CHECK(c.fault == CLICK_JSON_OK);
        sum += c.timestamp + c.ad_id.length + c.user_id.length + c.ip_address.length +
               c.user_agent.length + c.click_id.length;
    }
    CHECK(click_json_body_fault(s, NULL) == CLICK_JSON_OK);
    click_json_free(s);
    return sum;
}

static uint64_t scan(enum side side, const struct body *b)
{
    switch (side) {
    case SIDE_LOOP:
        return peer_loop(b->data, b->length, b->capacity);
    case SIDE_FIND:
        return peer_find(b->data, b->length, b->capacity);
    case SIDE_OURS:
    case SIDES:
        break;
    }
    return scan_ours(b);
}

static size_t put_click(char *out, size_t room, const struct job *job, struct rng *r)
{
    int length = snprintf(
        out, room,
        "{\"ad_id\":\"%s-%06u\",\"user_id\":\"u-%016llx%08x\",\"timestamp\":%llu,"
        "\"ip_address\":\"203.0.%u.%u\",\"user_agent\":\"%s\","
        "\"click_id\":\"%08x-%04x-4%03x-a%03x-%012llx\"%s}",
        job->name_part, (unsigned)rng_below(r, 1000000), (unsigned long long)rng_next(r),
        (unsigned)rng_next(r), (unsigned long long)(1760000000000 + rng_below(r, 100000000)),
        (unsigned)rng_below(r, 256), (unsigned)rng_below(r, 256), job->agent, (unsigned)rng_next(r),
        (unsigned)rng_below(r, 65536), (unsigned)rng_below(r, 4096), (unsigned)rng_below(r, 4096),
        (unsigned long long)rng_below(r, 1ULL << 48), job->title);
    CHECK(length > 0 && (size_t)length < room);
    return (size_t)length;
}

static void make_bodies(struct job *job)
{
    struct rng r = {1};
    size_t clicks = job->batch ? BATCH : 1;
    job->body_count = job->batch ? 1 : BODIES;
    job->bodies = base_zalloc(job->body_count, sizeof(*job->bodies));
    for (size_t i = 0; i < job->body_count; i++) {
        struct body *b = &job->bodies[i];
        b->capacity = clicks * (BODY_BYTES + 2) + peer_padding();
        b->data = base_zalloc(1, b->capacity);
        for (size_t k = 0; k < clicks; k++) {
            if (job->batch)
                b->data[b->length++] = k == 0 ? '[' : ',';
            b->length += put_click(b->data + b->length, BODY_BYTES, job, &r);
        }
        if (job->batch)
            b->data[b->length++] = ']';
        job->click_count += clicks;
        job->bytes += b->length;
        for (enum side side = SIDE_LOOP; side < SIDES; side++)
            CHECK(scan(side, b) == scan(SIDE_OURS, b)); /* the same clicks, or no comparison */
    }
}

static double cpu_ns(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* CPU nanoseconds a click. */
static double measure(const struct job *job, enum side side)
{
    static volatile uint64_t sink; /* keeps the work */
    double begin = cpu_ns(), spent;
    size_t passes = 0;
    do {
        for (size_t i = 0; i < job->body_count; i++)
            sink = sink + scan(side, &job->bodies[i]);
        passes++;
        spent = cpu_ns() - begin;
    } while (spent < PASS_NS);
    return spent / (double)(passes * job->click_count);
}

static int by_size(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof(*values), by_size);
    return values[ROUNDS / 2];
}

/* The bar is for the peer's way that sees every key, since a field sent twice must be refused; the
 * ratio to its cheaper way, which does not see that, stands beside it. Medians of the rounds'
 * ratios. */
static bool run(struct job *job)
{
    double ns[SIDES][ROUNDS], to_loop[ROUNDS], to_find[ROUNDS];
    make_bodies(job);
    for (unsigned i = 0; i < ROUNDS; i++) {
        for (enum side side = SIDE_OURS; side < SIDES; side++)
            ns[side][i] = measure(job, side);
        to_loop[i] = ns[SIDE_OURS][i] / ns[SIDE_LOOP][i];
        to_find[i] = ns[SIDE_OURS][i] / ns[SIDE_FIND][i];
    }
    double ratio = median(to_loop);
    bool good = job->bar <= 0 || ratio <= job->bar;
    printf("%-22s %4zu B  ours %6.1f ns  loop %6.1f ns  find %6.1f ns  to loop %.3f  to find %.3f",
           job->name, job->bytes / job->click_count, median(ns[SIDE_OURS]), median(ns[SIDE_LOOP]),
           median(ns[SIDE_FIND]), ratio, median(to_find));
    if (job->bar > 0)
        printf("  bar %.2f %s", job->bar, good ? "held" : "MISSED");
    printf("\n");
    for (size_t i = 0; i < job->body_count; i++)
        free(job->bodies[i].data);
    free(job->bodies);
    return good;
}

int main(int argc, char **argv)
{
    static const char agent[] = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
                                "(KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36";
    static const char wide_agent[] =
        "Mozilla/5.0 (\xd0\x9b\xd0\xb8\xd0\xbd\xd1\x83\xd0\xba\xd1\x81; x64) "
        "\xe5\xba\x83\xe5\x91\x8a\xe3\x83\x96\xe3\x83\xa9\xe3\x82\xa6\xe3\x82\xb6 125 "
        "(caf\xc3\xa9, \xf0\x9f\x98\x80\xf0\x9f\x9a\x80) \xed\x95\x9c\xea\xb5\xad\xec\x96\xb4";
    static const char wide_name[] = "\xd0\xba\xd0\xb0\xd0\xbc\xd0\xbf\xd0\xb0\xd0\xbd\xd0\xb8\xd1"
                                    "\x8f-\xe6\x9d\xb1\xe4\xba\xac";
    static const char wide_title[] =
        ",\"title\":\"\xe5\xa4\x8f\xe3\x81\xae\xe3\x82\xbb\xe3\x83\xbc\xe3\x83\xab \xd0\xbb\xd0\xb5"
        "\xd1\x82\xd0\xbe soldes d'\xc3\xa9t\xc3\xa9\"";
    struct job jobs[] = {
        {.name = "ascii, one", .bar = 1.0, .agent = agent, .name_part = "campaign", .title = ""},
        {.name = "ascii, array of 1000",
         .bar = 1.0,
         .agent = agent,
         .name_part = "campaign",
         .title = "",
         .batch = true},
        {.name = "unicode, one",
         .bar = 1.15,
         .agent = wide_agent,
         .name_part = wide_name,
         .title = wide_title},
        {.name = "unicode, array of 1000",
         .bar = 1.15,
         .agent = wide_agent,
         .name_part = wide_name,
         .title = wide_title,
         .batch = true},
        {.name = "escapes, one",
         .agent = "Mozilla\\/5.0 (\\u0416; \\ud83d\\ude00) \\\"x\\\"",
         .name_part = "caf\\u00e9",
         .title = ""},
    };
    bool check = argc == 2 && strcmp(argv[1], "--check") == 0;
    bool good = true;

    if (argc > 1 && !check) {
        (void)fprintf(stderr, "usage: bench_scanner [--check]\n");
        return 64;
    }
    printf("peer: %s; CPU ns a click, medians of %d interleaved rounds\n", peer_name(), ROUNDS);
    for (size_t i = 0; i < countof(jobs); i++)
        good = run(&jobs[i]) && good;
    return check && !good ? 1 : 0;
}
