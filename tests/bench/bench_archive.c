/* SPDX-License-Identifier: Apache-2.0
 * bench_archive: what the archive of a click costs: bytes against its JSON, and CPU from the bus
 * message to the finished object, digest included. Gated on exact counts.
 *
 *   bench_archive core [--clicks N]      all mixes and codecs, in memory
 *   bench_archive publish URL N          N clicks as tests/load invents them into streams
 * CLICKS_us_0..3 */
#include "bench_clicks.h"
#include "common/base/minute.h"
#include "common/run/bus_nats.h"
#include "common/run/object_digest.h"
#include "proto/subject.h"
#include "regional/core/archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define START_MS       1800000000000ULL
#define ADS            100000u
#define USERS          1000000u
#define AGENTS         400u
#define SEGMENT_CLICKS 2000u
#define PARTITIONS     4u

struct maker {
    struct rng rng;
    struct bench_ads ads, agents;
    uint64_t number;
    char texts[SEGMENT_CLICKS][5][200];
    struct click clicks[SEGMENT_CLICKS];
    bool wild;
    uint32_t ids_in_1000; /* clicks with a click_id */
    uint64_t json_bytes;
};

static const char json_frame[] = "{\"ad_id\":\"\",\"user_id\":\"\",\"timestamp\":1800000000000,"
                                 "\"ip_address\":\"\",\"user_agent\":\"\"}";

static double cpu_s(void)
{
    struct rusage u;
    CHECK(getrusage(RUSAGE_SELF, &u) == 0);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

/* A version 4 UUID: nothing to save there but its hyphens. */
static int put_uuid(char *out, size_t size, struct rng *r)
{
    uint64_t a = rng_next(r), b = rng_next(r);
    return snprintf(out, size, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(a >> 32),
                    (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xfff,
                    0x8000 | ((unsigned)(b >> 48) & 0x3fff),
                    (unsigned long long)b & 0xffffffffffffULL);
}

struct lengths {
    int ad, user, ip, agent, id;
};

/* As tests/load invents them: few agents, ids that begin alike. */
static struct lengths put_tame(struct maker *m, char (*t)[200])
{
    static const char *const agents[] = {
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/129.0.0.0 Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
        "Gecko) Version/17.6 Mobile/15E148 Safari/604.1",
        "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/128.0.6613.127 Mobile Safari/537.36",
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"};
    struct rng *r = &m->rng;
    uint64_t ip = rng_next(r);
    return (struct lengths){
        .ad = snprintf(t[0], 200, "ad-%06u", bench_ads_pick(&m->ads, rng_next(r))),
        .user = snprintf(t[1], 200, "u-5f3759df-%u", (unsigned)rng_below(r, 50000)),
        .ip = snprintf(t[2], 200, "198.51.%u.%u", (unsigned)ip & 255, (unsigned)(ip >> 8) & 255),
        .agent = snprintf(t[3], 200, "%s", agents[rng_below(r, countof(agents))]),
        .id = rng_below(r, 1000) < m->ids_in_1000
                  ? snprintf(t[4], 200, "00c0ffee5f3759df-%08llx", (unsigned long long)m->number)
                  : 0};
}

/* Users, addresses and ids of which nothing can be foretold. */
static struct lengths put_wild(struct maker *m, char (*t)[200])
{
    struct rng *r = &m->rng;
    uint32_t ad = bench_ads_pick(&m->ads, rng_next(r));
    uint32_t agent = bench_ads_pick(&m->agents, rng_next(r));
    uint64_t ip = rng_next(r);
    return (struct lengths){
        .ad = snprintf(t[0], 200, "campaign-%u-ad-%u", ad / 50, ad),
        .user = snprintf(t[1], 200, "u_%016llx",
                         (unsigned long long)bench_mixed(rng_below(r, USERS) + 77)),
        .ip =
            snprintf(t[2], 200, "%u.%u.%u.%u", 1 + (unsigned)(ip & 127), (unsigned)(ip >> 8) & 255,
                     (unsigned)(ip >> 16) & 255, (unsigned)(ip >> 24) & 255),
        .agent = snprintf(t[3], 200,
                          "Mozilla/5.0 (%s) AppleWebKit/537.36 (KHTML, like Gecko) "
                          "Chrome/%u.0.%u.%u%s Safari/537.36",
                          agent % 3 == 0 ? "Windows NT 10.0; Win64; x64"
                                         : "Linux; Android 14; SM-S921B Build/UP1A.231005.007",
                          100 + agent % 40, 4000 + agent * 7 % 900, agent % 200,
                          agent % 3 == 0 ? "" : " Mobile"),
        .id = rng_below(r, 1000) < m->ids_in_1000 ? put_uuid(t[4], 200, r) : 0};
}

static void make_click(struct maker *m, uint32_t i, uint64_t time_ms)
{
    char(*t)[200] = m->texts[i];
    struct click *c = &m->clicks[i];
    struct lengths l = m->wild ? put_wild(m, t) : put_tame(m, t);
    *c = (struct click){.minute = minute_of_ms(time_ms),
                        .user_hash = rng_next(&m->rng),
                        .timestamp_ms = time_ms,
                        .received_ms = time_ms + rng_below(&m->rng, 900),
                        .ad_id = span_of(t[0], (size_t)l.ad),
                        .user_id = span_of(t[1], (size_t)l.user),
                        .ip_address = span_of(t[2], (size_t)l.ip),
                        .user_agent = span_of(t[3], (size_t)l.agent),
                        .click_id = span_of(t[4], (size_t)l.id)};
    bytes_store_u64(c->key, bench_mixed(m->number * 2 + 1));
    bytes_store_u64(c->key + 8, bench_mixed(m->number * 2 + 2));
    m->number++;
    m->json_bytes += sizeof(json_frame) - 1 + (size_t)(l.ad + l.user + l.ip + l.agent + l.id) +
                     (l.id > 0 ? sizeof(",\"click_id\":\"\"") - 1 : 0);
}

static void make_segment(struct maker *m, struct buf *out, uint16_t partition, uint64_t first,
                         uint64_t time_ms)
{
    for (uint32_t i = 0; i < SEGMENT_CLICKS; i++)
        make_click(m, i, time_ms + i / 4 + rng_below(&m->rng, 20000));
    struct segment_head h = bench_segment_head(partition, first, SEGMENT_CLICKS, time_ms);
    segment_write(out, &h, m->clicks, SEGMENT_CLICKS);
}

static struct maker *maker_new(bool wild, uint32_t ids_in_1000)
{
    struct maker *m = base_zalloc(1, sizeof(*m));
    m->rng.state = 7;
    m->wild = wild;
    m->ids_in_1000 = ids_in_1000;
    bench_ads_init(&m->ads, ADS, true);
    bench_ads_init(&m->agents, AGENTS, true);
    return m;
}

static void maker_free(struct maker *m)
{
    bench_ads_done(&m->ads);
    bench_ads_done(&m->agents);
    free(m);
}

struct result {
    double ns, json, bytes;
};

static uint64_t take_cut(struct archive *a, struct result *r)
{
    struct archive_cut c;
    uint64_t clicks = 0;
    archive_make_cut(a, 0, START_MS, &c);
    for (uint32_t i = 0; i < c.count; i++) {
        clicks += c.files[i].clicks;
        r->bytes += (double)(c.files[i].data.length + c.files[i].manifest.length);
    }
    archive_committed(a);
    archive_cut_done(&c);
    return clicks;
}

static struct result measure(bool wild, uint32_t ids_in_1000, enum archive_codec codec,
                             uint64_t clicks)
{
    struct maker *m = maker_new(wild, ids_in_1000);
    struct archive_options o = {.who = {.archiver = "us-a1",
                                        .region = "us",
                                        .store_id = 1,
                                        .partitions = PARTITIONS,
                                        .codec = codec,
                                        .sha256 = object_digest},
                                .object_bytes = 16 << 20,
                                .object_age_ms = 60000};
    struct archive *a = archive_new(&o);
    struct subject subject = subject_segment("us", 0, "us-e1");
    struct buf message = {0};
    struct result r = {0};
    uint64_t archived = 0, made = 0;
    for (uint64_t seq = 1; made < clicks; seq++, made += SEGMENT_CLICKS) {
        make_segment(m, &message, 0, made, START_MS + made / 5);
        struct archive_message in = {subject.text, seq, START_MS + made / 5, buf_span(&message)};
        double before = cpu_s();
        archive_step(a, &in, 0);
        if (archive_waiting_bytes(a) >= o.object_bytes)
            archived += take_cut(a, &r);
        r.ns += cpu_s() - before;
    }
    double before = cpu_s();
    archived += take_cut(a, &r);
    r.ns += cpu_s() - before;
    if (archived != made) {
        fprintf(stderr, "%llu clicks archived, %llu made\n", (unsigned long long)archived,
                (unsigned long long)made);
        exit(1);
    }
    r.ns = r.ns * 1e9 / (double)made;
    r.bytes /= (double)made;
    r.json = (double)m->json_bytes / (double)made;
    archive_free(a);
    buf_done(&message);
    maker_free(m);
    return r;
}

static int core(uint64_t clicks)
{
    static const struct {
        const char *words;
        bool wild;
        uint32_t ids_in_1000;
    } mixes[] = {{"as tests/load, 80 % with a click_id", false, 800},
                 {"all at random, no click_id", true, 0},
                 {"all at random, half with a UUID", true, 500}};
    printf("| clicks | codec | JSON B a click | archive B a click | %% of JSON | CPU ns a click |\n"
           "| --- | --- | --- | --- | --- | --- |\n");
    for (uint32_t i = 0; i < countof(mixes); i++) {
        for (unsigned codec = 0; codec < ARCHIVE_CODECS; codec++) {
            struct result r =
                measure(mixes[i].wild, mixes[i].ids_in_1000, (enum archive_codec)codec, clicks);
            printf("| %s | %s | %.0f | %.1f | %.1f | %.0f |\n", mixes[i].words,
                   archive_codec_name((enum archive_codec)codec), r.json, r.bytes,
                   100 * r.bytes / r.json, r.ns);
            (void)fflush(stdout);
        }
    }
    return 0;
}

/* --- publish --- */

static unsigned settle(struct bus_port *bus, unsigned open, unsigned below)
{
    struct bus_event e;
    while (open > below) {
        if (!bus_poll(bus, &e)) {
            struct timespec t = {.tv_nsec = 200000};
            (void)nanosleep(&t, NULL);
            continue;
        }
        CHECK(e.kind != BUS_NACK && e.kind != BUS_DOWN);
        open -= e.kind == BUS_ACK;
    }
    return open;
}

static int publish(const char *url, uint64_t clicks)
{
    struct bus_nats_stream streams[PARTITIONS];
    struct subject names[PARTITIONS], filters[PARTITIONS];
    for (uint16_t p = 0; p < PARTITIONS; p++) {
        names[p] = subject_clicks_stream("us", p);
        filters[p] = subject_clicks_all("us", p);
        streams[p] = (struct bus_nats_stream){.name = names[p].text,
                                              .subjects = filters[p].text,
                                              .replicas = 1,
                                              .age_max_s = 7 * 24 * 3600};
    }
    struct bus_nats_options o = {
        .url = url, .name = "bench", .streams = streams, .stream_count = PARTITIONS};
    struct bus_port *bus = NULL;
    CHECK(bus_nats_open(&o, &bus) == ERR_OK);
    struct bus_event e;
    do {
        struct timespec t = {.tv_nsec = 1000000};
        (void)nanosleep(&t, NULL);
    } while (!bus_poll(bus, &e) || e.kind != BUS_UP);
    struct maker *m = maker_new(false, 800);
    struct buf message = {0};
    unsigned open = 0;
    uint64_t made = 0;
    for (uint64_t i = 0; made < clicks; i++, made += SEGMENT_CLICKS) {
        uint16_t p = i % PARTITIONS;
        make_segment(m, &message, p, i / PARTITIONS * SEGMENT_CLICKS, START_MS + made / 5);
        struct subject s = subject_segment("us", p, "us-e1");
        open = settle(bus, open, 20);
        CHECK(bus_publish(bus, s.text, NULL, buf_span(&message), i) == ERR_OK);
        open++;
    }
    (void)settle(bus, open, 0);
    printf("%llu %.1f\n", (unsigned long long)made, (double)m->json_bytes / (double)made);
    bus_nats_close(bus);
    buf_done(&message);
    maker_free(m);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "publish") == 0)
        return publish(argv[2], strtoull(argv[3], NULL, 10));
    if (argc >= 2 && strcmp(argv[1], "core") == 0)
        return core(argc == 4 && strcmp(argv[2], "--clicks") == 0 ? strtoull(argv[3], NULL, 10)
                                                                  : 2000000);
    return fprintf(stderr, "bench_archive core [--clicks N] | publish URL N\n"), 2;
}
