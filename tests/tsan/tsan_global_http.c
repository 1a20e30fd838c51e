/* SPDX-License-Identifier: Apache-2.0
 * tsan_global_http: a globe under ThreadSanitizer: the merger writes while query workers read and
 * the operator looks, clients leave in the middle, and the service stops under load. Plain main():
 * Criterion does not start under TSan. */
#include "common/base/hash.h"
#include "common/base/minute.h"
#include "common/run/kv_lmdb.h"
#include "common/run/log.h"
#include "common/run/tls.h"
#include "global/global_http.h"
#include "global/global_http_admin.h"
#include "global/global_merger.h"
#include "global/global_metrics.h"
#include "proto/partial.h"
#include "proto/subject.h"
#include "tests/sim/sim_bus.h"
#include "tests/sim/sim_clock.h"
#include "tests/unit/run/h2_probe.h"
#include "tests/unit/run/made_certs.h"

#include <pthread.h>

#define CLIENTS 3
#define ROUNDS  10
#define STREAMS 20
#define CUTS    400
#define MINUTE  28333333u

static struct global_http *http;
static struct global_http_admin *admin;
static _Atomic uint64_t answered, followed;
static _Atomic bool over;

static void *client(void *unused)
{
    char path[160];
    (void)snprintf(path, sizeof(path), "/v1/stats?ad_id=x&window=1m&start=%llu&end=%llu",
                   MINUTE * 60ULL, MINUTE * 60ULL + 600);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct h2_probe *p = h2_probe_open(global_http_port(http), NULL);
        for (unsigned i = 0; i < STREAMS && !p->dead; i++)
            (void)h2_probe_ask(p, "GET", i % 5 == 4 ? "/v1/watermarks" : path, NULL,
                               (struct span){0}, false);
        if (!p->dead)
            h2_probe_send(p);
        if (round % 5 != 4) /* else leaves without waiting */
            (void)h2_probe_until(p, h2_probe_all_closed, NULL);
        for (unsigned i = 0; i < STREAMS; i++)
            answered += p->answers[i].status == 200;
        h2_probe_close(p);
    }
    return unused;
}

static bool has_event(struct h2_probe *p, void *id)
{
    struct h2_probe_answer *a = h2_probe_of(p, *(int32_t *)id);
    return a->closed || strstr(h2_probe_text(a), "\n\n") != NULL; /* refused, or an event */
}

/* Streams on both workers, more than there are seats; some are left for the stop to end. */
static void *follower(void *kept)
{
    struct h2_probe **last = kept;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct h2_probe *p = h2_probe_open(global_http_port(http), NULL);
        int32_t id = 0;
        for (unsigned i = 0; i < 3 && !p->dead; i++)
            id = h2_probe_ask(p, "GET", "/v1/stream?ad_id=x&minutes=5", NULL, (struct span){0},
                              false);
        CHECK(h2_probe_until(p, has_event, &id));
        followed += h2_probe_of(p, id)->status == 200;
        if (round + 1 < ROUNDS)
            h2_probe_close(p);
        else
            *last = p;
    }
    return NULL;
}

static void *observer(void *unused)
{
    while (!over) {
        (void)global_http_streams(http);
        struct buf out = {0};
        global_http_admin_metrics(admin, &out);
        (void)global_http_admin_ready(admin, &out);
        buf_done(&out);
        (void)poll(NULL, 0, 5);
    }
    return unused;
}

/* One row that grows, cut after cut, while everybody looks. */
static void merge(struct merger *m, struct bus_port *replica)
{
    struct buf message = {0};
    struct merger_view view;
    uint32_t idle_ms;
    for (uint64_t cut = 1; cut <= CUTS; cut++) {
        struct partial_row row = {
            .ad_hash = hash_ad(span_of_text("x")), .minute = MINUTE, .counted = cut};
        struct partial p = {.region = "us",
                            .replica = "us-r1",
                            .store_id = 1,
                            .map = {.count = 1, .steps = {{0, 1}}},
                            .cut = cut,
                            .stream_ms = minute_start_ms(MINUTE) + cut,
                            .rows = &row,
                            .row_count = 1};
        partial_write(&message, &p);
        CHECK(bus_publish(replica, subject_partial("us", 0, "us-r1").text, NULL, buf_span(&message),
                          cut) == ERR_OK);
        CHECK(merger_step(m, &idle_ms) == ERR_OK);
        merger_view(m, &view);
        global_http_admin_show(admin, &view);
    }
    buf_done(&message);
    CHECK(view.rows_changed == CUTS);
}

/* Clients, followers and the operator at once, while the merger works. kept: streams that go on. */
static void everybody(struct merger *m, struct bus_port *replica, struct h2_probe *kept[2])
{
    pthread_t clients[CLIENTS], watcher, followers[2];
    CHECK(pthread_create(&watcher, NULL, observer, NULL) == 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        CHECK(pthread_create(&clients[i], NULL, client, NULL) == 0);
    for (unsigned i = 0; i < 2; i++)
        CHECK(pthread_create(&followers[i], NULL, follower, &kept[i]) == 0);
    merge(m, replica);
    for (unsigned i = 0; i < 2; i++)
        CHECK(pthread_join(followers[i], NULL) == 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        CHECK(pthread_join(clients[i], NULL) == 0);
    over = true;
    CHECK(pthread_join(watcher, NULL) == 0);
    CHECK(followed > 0);
    CHECK(answered >= CLIENTS * STREAMS * (ROUNDS - ROUNDS / 5));
}

int main(void)
{
    struct made_certs certs = {0};
    struct tls_options tls_options;
    SSL_CTX *tls;
    struct kv_port *kv;
    struct sim_clock clock;
    struct merger *m;
    char store[128];
    struct h2_probe *kept[2];

    log_init("tsan", LOG_ERROR);
    made_certs_init(&certs);
    tls_options =
        (struct tls_options){.certificate_file = certs.certificate, .key_file = certs.key};
    CHECK(tls_server_new(&tls_options, &tls) == ERR_OK);
    (void)snprintf(store, sizeof(store), "%s/store", certs.folder);
    CHECK(kv_lmdb_open(&(struct kv_lmdb_options){.path = store,
                                                 .map_bytes = 64u << 20,
                                                 .tables = leaf_table_names,
                                                 .table_count = LEAF_TABLES},
                       &kv) == ERR_OK);
    sim_clock_init(&clock, minute_start_ms(MINUTE), 1);
    struct sim_bus_server *server = sim_bus_server_new();
    sim_bus_stream(server, "PARTIALS_us", "partials.us.>");
    struct merger_options options = {.region_count = 1, .kv = kv, .clock = &clock.port};
    (void)snprintf(options.regions[0].name, sizeof(options.regions[0].name), "us");
    options.regions[0].bus = sim_bus_client(server);
    CHECK(merger_new(&options, &m) == ERR_OK);
    struct metrics *metrics = metrics_new(global_metric_rows, GLOBAL_METRIC_COUNT);
    CHECK(global_http_start(
              &(struct global_http_options){
                  .reader = {.regions = {"us"}, .region_count = 1, .kv = kv, .clock = &clock.port},
                  .tls = tls,
                  .listen = "127.0.0.1:0",
                  .workers = 2,
                  .streams = 7,
                  .metrics = metrics},
              &http) == ERR_OK);
    CHECK(global_http_admin_new(
              &(struct global_http_admin_options){.listen = "127.0.0.1:0",
                                                  .metrics = metrics,
                                                  .counters = global_http_counters(http),
                                                  .clock = &clock.port},
              &admin) == ERR_OK);
    struct merger_view view;
    merger_view(m, &view);
    global_http_admin_show(admin, &view);
    CHECK(global_http_admin_start(admin) == ERR_OK);

    everybody(m, sim_bus_client(server), kept);

    global_http_admin_stop(admin);
    global_http_stop(http);
    h2_probe_close(kept[0]);
    h2_probe_close(kept[1]);
    merger_free(m);
    sim_bus_server_free(server);
    metrics_free(metrics);
    kv_lmdb_close(kv);
    SSL_CTX_free(tls);
    made_certs_done(&certs);
    (void)printf("answered %llu\n", (unsigned long long)answered);
    return 0;
}
