/* SPDX-License-Identifier: Apache-2.0
 * bench_region: the durable fold, segments decoded, real LMDB with default sync, one transaction a
 * cut of 10,000 clicks; beside it SQLite (WAL, FULL) and a file for PostgreSQL: the same clicks.
 *
 *   bench_region ours FOLDER CLICKS | stored FOLDER CLICKS | sqlite FILE CLICKS | csv FILE CLICKS
 *
 * Prints one line of key=value. Ends with 1 where a count is not the expected one. */
#include "bench_clicks.h"
#include "common/base/clock.h"
#include "common/base/minute.h"
#include "common/run/kv_lmdb.h"
#include "proto/control.h"
#include "proto/subject.h"
#include "regional/regional_replica.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define CUT_CLICKS     10000u
#define SEGMENT_CLICKS 2500u
#define ADS            100000u
#define USERS          2000000u
#define START_MS       1800000000000ULL
#define REPEAT_IN_1000 50u
/* `stored`: closed minutes leave memory; the clicks run through minutes at 10,000 a second. */
#define STORED_SETTLE_MS 10000u

static struct click *clicks;
static uint32_t click_count;
static uint64_t repeats;
static char (*ad_ids)[16];

static double cpu_now_s(void)
{
    struct rusage u;
    CHECK(getrusage(RUSAGE_SELF, &u) == 0);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double wall_now_s(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Bytes that this process has caused to be written to a device; 0 where the kernel does not say. */
static uint64_t written_bytes(void)
{
    FILE *in = fopen("/proc/self/io", "r");
    char line[128];
    unsigned long long bytes = 0, found;
    while (in != NULL && fgets(line, sizeof(line), in) != NULL)
        if (sscanf(line, "write_bytes: %llu", &found) == 1)
            bytes = found;
    if (in != NULL)
        (void)fclose(in);
    return bytes;
}

/* Ads by Zipf's law with exponent 1; one in twenty clicks is an earlier one sent again. */
static void make_clicks(uint32_t count)
{
    struct rng rng = {42};
    struct bench_ads ads;
    bench_ads_init(&ads, ADS, true);
    ad_ids = base_zalloc(ADS, sizeof(*ad_ids));
    for (uint32_t i = 0; i < ADS; i++)
        (void)snprintf(ad_ids[i], sizeof(ad_ids[i]), "ad-%u", i);
    clicks = base_zalloc(count, sizeof(*clicks));
    click_count = count;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t ms = START_MS + i / CUT_CLICKS * 1000ULL;
        if (i > SEGMENT_CLICKS && rng_chance(&rng, REPEAT_IN_1000)) {
            clicks[i] = clicks[i - 1 - rng_below(&rng, SEGMENT_CLICKS)];
            repeats++;
            continue;
        }
        uint32_t ad = bench_ads_pick(&ads, rng_next(&rng));
        clicks[i] = (struct click){.minute = minute_of_ms(ms),
                                   .user_hash = bench_mixed(rng_below(&rng, USERS)),
                                   .timestamp_ms = ms,
                                   .received_ms = ms,
                                   .ad_id = span_of_text(ad_ids[ad]),
                                   .user_id = span_of_text("user-1234567"),
                                   .ip_address = span_of_text("198.51.100.23"),
                                   .user_agent = span_of_text("Mozilla/5.0 (bench)")};
        bytes_store_u64(clicks[i].key, bench_mixed(i * 2ULL + 1));
        bytes_store_u64(clicks[i].key + 8, bench_mixed(i * 2ULL + 2));
    }
    bench_ads_done(&ads);
}

/* The stream: held in memory, given out a cut's worth at a time, every publish acknowledged. */
struct stream {
    struct bus_port port;
    struct clock_port clock;
    uint64_t now_ms;
    struct buf *messages;
    uint64_t *times_ms;
    struct subject *subjects; /* of the control message and of segments */
    uint32_t count, next, burst;
    bool up, reading;
    uint64_t tokens[1024];
    uint32_t token_first, token_count;
};

static enum err bus_on_publish(struct bus_port *bus, const char *subject, const char *msg_id,
                               struct span data, uint64_t token)
{
    struct stream *s = (struct stream *)bus;
    (void)subject, (void)msg_id, (void)data;
    if (s->token_count == countof(s->tokens))
        return ERR_BUS_BUSY;
    s->tokens[(s->token_first + s->token_count++) % countof(s->tokens)] = token;
    return ERR_OK;
}

static enum err bus_on_send(struct bus_port *bus, const char *subject, struct span data)
{
    (void)bus, (void)subject, (void)data;
    return ERR_OK;
}

static enum err bus_on_listen(struct bus_port *bus, const char *subject)
{
    (void)bus, (void)subject;
    return ERR_OK;
}

static enum err bus_on_read(struct bus_port *bus, const char *stream, uint64_t after_seq,
                            unsigned handle)
{
    (void)stream, (void)handle;
    CHECK(after_seq == 0);
    ((struct stream *)bus)->reading = true;
    return ERR_OK;
}

static enum err bus_on_get(struct bus_port *bus, const char *stream, uint64_t seq, uint64_t token)
{
    (void)bus, (void)stream, (void)seq, (void)token;
    return ERR_BUS_DOWN;
}

static bool bus_on_poll(struct bus_port *bus, struct bus_event *out)
{
    struct stream *s = (struct stream *)bus;
    *out = (struct bus_event){.subject = "", .reply = ""};
    if (!s->up) {
        s->up = true;
        out->kind = BUS_UP;
        return true;
    }
    if (s->token_count > 0) {
        out->kind = BUS_ACK;
        out->token = s->tokens[s->token_first];
        s->token_first = (s->token_first + 1) % countof(s->tokens);
        s->token_count--;
        return true;
    }
    if (!s->reading || s->next == s->count || s->burst == CUT_CLICKS / SEGMENT_CLICKS) {
        s->burst = 0;
        return false;
    }
    s->burst++;
    out->kind = BUS_MESSAGE;
    out->seq = s->next + 1;
    out->time_ms = s->now_ms = s->times_ms[s->next];
    out->subject = s->subjects[s->next > 0].text;
    out->data = buf_span(&s->messages[s->next++]);
    return true;
}

static uint64_t clock_on_ms(struct clock_port *clock)
{
    return ((struct stream *)((char *)clock - offsetof(struct stream, clock)))->now_ms;
}

static void clock_on_random(struct clock_port *clock, void *out, size_t length)
{
    (void)clock;
    memset(out, 7, length);
}

static void make_stream(struct stream *s, struct subject subjects[2])
{
    *s = (struct stream){
        .port = {bus_on_publish, bus_on_send, bus_on_listen, bus_on_read, bus_on_get, bus_on_poll},
        .clock = {clock_on_ms, clock_on_ms, clock_on_random},
        .now_ms = START_MS,
        .subjects = subjects,
        .count = click_count / SEGMENT_CLICKS + 1};
    s->messages = base_zalloc(s->count, sizeof(*s->messages));
    s->times_ms = base_zalloc(s->count, sizeof(*s->times_ms));
    struct control_message enrol = {.nonce = 1, .kind = CONTROL_ENROL, .edge = "us-e1"};
    control_write(&s->messages[0], &enrol);
    s->times_ms[0] = START_MS;
    for (uint32_t i = 1; i < s->count; i++) {
        uint64_t first = (uint64_t)(i - 1) * SEGMENT_CLICKS;
        uint64_t ms = START_MS + first / CUT_CLICKS * 1000 + first % CUT_CLICKS / 16;
        struct segment_head head = bench_segment_head(0, first, SEGMENT_CLICKS, ms);
        segment_write(&s->messages[i], &head, clicks + first, SEGMENT_CLICKS);
        s->times_ms[i] = ms;
    }
    subjects[0] = subject_control("us", 0);
    subjects[1] = subject_segment("us", 0, "us-e1");
}

static int bench_ours(const char *folder, uint32_t settle_ms)
{
    static struct stream s;
    static const uint16_t partitions[] = {0};
    struct subject subjects[2];
    struct kv_port *kv;
    struct replica *r = NULL;
    struct kv_lmdb_options store = {.path = folder,
                                    .map_bytes = 2ULL << 30,
                                    .tables = replica_table_names,
                                    .table_count = CUT_TABLES};
    make_stream(&s, subjects);
    CHECK(kv_lmdb_open(&store, &kv) == ERR_OK);
    struct replica_options options = {.replica = "r1",
                                      .region = "us",
                                      .partitions_total = 1,
                                      .partitions = partitions,
                                      .partition_count = 1,
                                      .lateness_ms = 10000,
                                      .horizon_minutes = 1440,
                                      .partial_interval_ms = 5000,
                                      .settle_ms = settle_ms,
                                      .kv = kv,
                                      .bus = &s.port,
                                      .clock = &s.clock};
    CHECK(replica_new(&options, &r) == ERR_OK);
    uint64_t bytes = written_bytes();
    double cpu_s = cpu_now_s(), wall_s = wall_now_s();
    uint32_t idle_ms = 0;
    while (s.next < s.count)
        CHECK(replica_step(r, &idle_ms) == ERR_OK);
    CHECK(replica_stop(r) == ERR_OK);
    cpu_s = cpu_now_s() - cpu_s;
    wall_s = wall_now_s() - wall_s;
    bytes = written_bytes() - bytes;
    struct replica_view view;
    replica_view(r, &view);
    replica_free(r);
    kv_lmdb_close(kv);

    double load_s = wall_now_s();
    CHECK(kv_lmdb_open(&store, &kv) == ERR_OK);
    options.kv = kv;
    CHECK(replica_new(&options, &r) == ERR_OK);
    load_s = wall_now_s() - load_s;
    struct replica_view again;
    replica_view(r, &again);
    replica_free(r);
    kv_lmdb_close(kv);
    printf("cpu_us=%.4f wall_us=%.4f written=%.1f commits=%llu counted=%llu duplicate=%llu "
           "load_s_per_10M=%.2f keys_in_memory=%llu moved=%llu\n",
           cpu_s * 1e6 / click_count, wall_s * 1e6 / click_count, (double)bytes / click_count,
           (unsigned long long)view.commits, (unsigned long long)view.books.counted,
           (unsigned long long)view.books.duplicate, load_s * 1e7 / click_count,
           (unsigned long long)view.keys, (unsigned long long)view.moves);
    return view.books.counted != click_count - repeats || view.books.duplicate != repeats ||
           again.keys != view.keys || again.rows != view.rows;
}

static void sql(sqlite3 *db, const char *text)
{
    CHECK(sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK);
}

static sqlite3_stmt *prepared(sqlite3 *db, const char *text)
{
    sqlite3_stmt *s;
    CHECK(sqlite3_prepare_v2(db, text, -1, &s, NULL) == SQLITE_OK);
    return s;
}

static int by_row(const void *a, const void *b)
{
    const struct click *x = *(struct click *const *)a, *y = *(struct click *const *)b;
    if (x->minute != y->minute)
        return x->minute < y->minute ? -1 : 1;
    if (x->ad_id.length != y->ad_id.length)
        return x->ad_id.length < y->ad_id.length ? -1 : 1;
    return memcmp(x->ad_id.data, y->ad_id.data, x->ad_id.length);
}

/* One row of a batch: read, add, write back; the sketch is a blob of ours, the cheapest way. */
static void upsert(sqlite3_stmt *get, sqlite3_stmt *put, struct click **run, uint32_t count)
{
    struct hll users = {0};
    struct buf sketch = {0};
    int64_t counted = count;
    sqlite3_bind_int64(get, 1, run[0]->minute);
    sqlite3_bind_text(get, 2, (const char *)run[0]->ad_id.data, (int)run[0]->ad_id.length, NULL);
    if (sqlite3_step(get) == SQLITE_ROW) {
        counted += sqlite3_column_int64(get, 0);
        CHECK(hll_read(&users, span_of(sqlite3_column_blob(get, 1),
                                       (size_t)sqlite3_column_bytes(get, 1))) == ERR_OK);
    }
    sqlite3_reset(get);
    for (uint32_t i = 0; i < count; i++)
        (void)hll_add(&users, run[i]->user_hash);
    hll_put(&users, &sketch);
    sqlite3_bind_int64(put, 1, run[0]->minute);
    sqlite3_bind_text(put, 2, (const char *)run[0]->ad_id.data, (int)run[0]->ad_id.length, NULL);
    sqlite3_bind_int64(put, 3, counted);
    sqlite3_bind_blob(put, 4, sketch.data, (int)sketch.length, NULL);
    CHECK(sqlite3_step(put) == SQLITE_DONE);
    sqlite3_reset(put);
    hll_done(&users);
    buf_done(&sketch);
}

static int bench_sqlite(const char *path)
{
    sqlite3 *db;
    CHECK(sqlite3_open(path, &db) == SQLITE_OK);
    sql(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-262144;"
            "CREATE TABLE seen(key BLOB PRIMARY KEY) WITHOUT ROWID;"
            "CREATE TABLE rows(minute INT, ad TEXT, counted INT, users BLOB,"
            " PRIMARY KEY(minute, ad)) WITHOUT ROWID;");
    sqlite3_stmt *see = prepared(db, "INSERT OR IGNORE INTO seen VALUES(?)");
    sqlite3_stmt *get = prepared(db, "SELECT counted, users FROM rows WHERE minute=? AND ad=?");
    sqlite3_stmt *put = prepared(db, "INSERT OR REPLACE INTO rows VALUES(?,?,?,?)");
    struct click **fresh = base_zalloc(CUT_CLICKS, sizeof(struct click *));
    uint64_t bytes = written_bytes();
    double cpu_s = cpu_now_s();
    for (uint32_t from = 0; from < click_count; from += CUT_CLICKS) {
        uint32_t count = 0;
        sql(db, "BEGIN");
        for (uint32_t i = from; i < from + CUT_CLICKS; i++) {
            sqlite3_bind_blob(see, 1, clicks[i].key, HASH_CLICK_BYTES, NULL);
            CHECK(sqlite3_step(see) == SQLITE_DONE);
            sqlite3_reset(see);
            if (sqlite3_changes(db) > 0)
                fresh[count++] = &clicks[i];
        }
        qsort(fresh, count, sizeof(struct click *), by_row);
        for (uint32_t i = 0, next; i < count; i = next) {
            for (next = i + 1; next < count && by_row(&fresh[i], &fresh[next]) == 0; next++)
                continue;
            upsert(get, put, fresh + i, next - i);
        }
        sql(db, "COMMIT");
    }
    cpu_s = cpu_now_s() - cpu_s;
    bytes = written_bytes() - bytes;
    sqlite3_stmt *sum = prepared(db, "SELECT sum(counted) FROM rows");
    CHECK(sqlite3_step(sum) == SQLITE_ROW);
    uint64_t counted = (uint64_t)sqlite3_column_int64(sum, 0);
    printf("cpu_us=%.4f written=%.1f counted=%llu duplicate=%llu\n", cpu_s * 1e6 / click_count,
           (double)bytes / click_count, (unsigned long long)counted,
           (unsigned long long)(click_count - counted));
    free(fresh);
    return counted != click_count - repeats;
}

/* One COPY block of text for each batch. */
static int write_csv(const char *path)
{
    FILE *out = fopen(path, "w");
    CHECK(out != NULL);
    for (uint32_t i = 0; i < click_count; i++) {
        const struct click *c = &clicks[i];
        fprintf(out, "%016llx%016llx\t%u\t%.*s\t%lld\n", (unsigned long long)bytes_load_u64(c->key),
                (unsigned long long)bytes_load_u64(c->key + 8), c->minute, (int)c->ad_id.length,
                (const char *)c->ad_id.data, (long long)(c->user_hash >> 1));
    }
    CHECK(fclose(out) == 0);
    printf("counted=%llu\n", (unsigned long long)(click_count - repeats));
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    uint32_t count = (uint32_t)strtoul(argv[3], NULL, 10) / CUT_CLICKS * CUT_CLICKS;
    make_clicks(count);
    if (strcmp(argv[1], "ours") == 0)
        return bench_ours(argv[2], 0);
    if (strcmp(argv[1], "stored") == 0)
        return bench_ours(argv[2], STORED_SETTLE_MS);
    if (strcmp(argv[1], "sqlite") == 0)
        return bench_sqlite(argv[2]);
    return strcmp(argv[1], "csv") == 0 ? write_csv(argv[2]) : 2;
}
