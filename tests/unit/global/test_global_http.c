/* SPDX-License-Identifier: Apache-2.0
 * The query service over real TLS, HTTP/2 and LMDB: the promised shape, and a clear answer to every
 * bad query. */
#include "common/run/kv_lmdb.h"
#include "common/run/log.h"
#include "common/run/tls.h"
#include "global/global_http.h"
#include "global/global_metrics.h"
#include "globe_given.h"
#include "tests/unit/run/h2_probe.h"
#include "tests/unit/run/made_certs.h"
#include "tests/unit/run/scratch.h"

#include <jansson.h>

static struct made_certs certs;
static SSL_CTX *tls;
static char *folder;
static struct kv_port *kv;
static struct given_world *w;
static struct metrics *metrics;
static struct global_http *http;
static struct h2_probe *probe;
static const char *ad;

static void merge_some_clicks(void)
{
    struct given_replica *r[GIVEN_REGIONS][GIVEN_PARTITIONS];
    ad = given_ad(0, 0);
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        for (uint16_t p = 0; p < GIVEN_PARTITIONS; p++) {
            r[i][p] = given_replica(w, i, p, i == 0 ? "us-r1" : "eu-r1");
            if (p == 0)
                given_click(r[i][p], ad, GIVEN_MINUTE, i, 2 + i, 1);
            r[i][p]->closed_before++;
            given_cut(r[i][p]);
            given_replica_free(r[i][p]);
        }
    cr_assert_eq(given_run(w), ERR_OK);
}

static void setup(void)
{
    log_init("test", LOG_ERROR);
    made_certs_init(&certs);
    folder = scratch_new();
    struct tls_options tls_options = {.certificate_file = certs.certificate, .key_file = certs.key};
    cr_assert_eq(tls_server_new(&tls_options, &tls), ERR_OK);
    struct kv_lmdb_options store = {.path = scratch_path(folder, "store"),
                                    .map_bytes = 64u << 20,
                                    .tables = leaf_table_names,
                                    .table_count = LEAF_TABLES};
    cr_assert_eq(kv_lmdb_open(&store, &kv), ERR_OK);
    w = given_world();
    merger_free(w->merger);
    sim_kv_free(w->kv);
    w->kv = kv;
    given_start(w);
    merge_some_clicks();
    metrics = metrics_new(global_metric_rows, GLOBAL_METRIC_COUNT);
    struct global_http_options options = {
        .reader = {.regions = {"us", "eu"}, .region_count = 2, .kv = kv, .clock = &w->clock.port},
        .tls = tls,
        .listen = "127.0.0.1:0",
        .workers = 2,
        .metrics = metrics,
    };
    cr_assert_eq(global_http_start(&options, &http), ERR_OK);
    struct h2_probe_options how = {0};
    probe = h2_probe_open(global_http_port(http), &how);
    cr_assert_not_null(probe);
}

static void teardown(void)
{
    h2_probe_close(probe);
    global_http_stop(http);
    metrics_free(metrics);
    merger_free(w->merger);
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        sim_bus_server_free(w->servers[i]);
    free(w);
    kv_lmdb_close(kv);
    SSL_CTX_free(tls);
    scratch_free(folder);
    made_certs_done(&certs);
}

TestSuite(global_http, .init = setup, .fini = teardown, .timeout = 60);

static struct h2_probe_answer *get(const char *path)
{
    return h2_probe_one(probe, "GET", path, NULL, (struct span){0});
}

static const char *stats_path(const char *ad_id, const char *rest)
{
    static char path[512];
    (void)snprintf(path, sizeof(path), "/v1/stats?ad_id=%s&window=1m&start=%llu&end=%llu%s", ad_id,
                   (unsigned long long)GIVEN_MINUTE * 60,
                   (unsigned long long)(GIVEN_MINUTE + 3) * 60, rest);
    return path;
}

static json_t *parsed(struct h2_probe_answer *a)
{
    json_t *root =
        json_loadb((const char *)a->body.data, a->body.length, JSON_REJECT_DUPLICATES, NULL);
    cr_assert_not_null(root, "%s", h2_probe_text(a));
    return root;
}

static void expect_problem(struct h2_probe_answer *a, unsigned status, const char *token,
                           const char *words)
{
    char type[128];
    cr_assert_eq(a->status, status, "%u: %s", a->status, h2_probe_text(a));
    cr_assert(h2_probe_has(a, "content-type: application/problem+json\n"));
    json_t *root = parsed(a);
    (void)snprintf(type, sizeof(type), "urn:tributary:problem:%s", token);
    cr_assert_str_eq(json_string_value(json_object_get(root, "type")), type);
    cr_assert_eq(json_integer_value(json_object_get(root, "status")), status);
    cr_assert_not_null(strstr(json_string_value(json_object_get(root, "detail")), words), "%s",
                       h2_probe_text(a));
    json_decref(root);
}

Test(global_http, an_answer_has_the_promised_shape)
{
    char wanted[1024];
    unsigned long long start = (unsigned long long)GIVEN_MINUTE * 60;
    (void)snprintf(wanted, sizeof(wanted),
                   "{\"ad_id\":\"%s\",\"window\":\"1m\",\"data\":["
                   "{\"timestamp\":%llu,\"click_count\":5,\"unique_users\":2,"
                   "\"unique_users_error\":0.0163,\"complete\":true,"
                   "\"final\":false},"
                   "{\"timestamp\":%llu,\"click_count\":0,\"unique_users\":null,"
                   "\"unique_users_error\":null,\"complete\":false,\"final\":false},"
                   "{\"timestamp\":%llu,\"click_count\":0,\"unique_users\":null,"
                   "\"unique_users_error\":null,\"complete\":false,\"final\":false}],"
                   "\"as_of\":%llu,\"watermarks\":{\"us\":%llu,\"eu\":%llu},\"missing_edges\":[]}",
                   ad, start, start + 60, start + 120, GIVEN_NOW_MS / 1000, start + 70, start + 70);

    struct h2_probe_answer *a = get(stats_path(ad, ""));

    cr_assert_eq(a->status, 200);
    cr_assert(h2_probe_has(a, "content-type: application/json\n"));
    cr_assert(h2_probe_has(a, "cache-control: private, no-cache\n"));
    cr_assert_str_eq(h2_probe_text(a), wanted);
    json_decref(parsed(a));
    cr_assert_eq(metrics_get(metrics, GLOBAL_QUERIES_OK), 1);
    cr_assert_eq(metrics_get(metrics, GLOBAL_QUERY_POINTS), 3);
}

Test(global_http, an_unknown_ad_gets_zeros)
{
    struct h2_probe_answer *a = get(stats_path("never%20seen", ""));
    cr_assert_eq(a->status, 200);
    json_t *root = parsed(a);
    json_t *data = json_object_get(root, "data");
    cr_assert_eq(json_array_size(data), 3);
    for (size_t i = 0; i < 3; i++) {
        json_t *count = json_object_get(json_array_get(data, i), "click_count");
        cr_assert(json_is_integer(count) && json_integer_value(count) == 0);
    }
    cr_assert_str_eq(json_string_value(json_object_get(root, "ad_id")), "never seen");
    json_decref(root);
}

Test(global_http, head_is_get_without_the_body)
{
    struct h2_probe_answer *a =
        h2_probe_one(probe, "HEAD", stats_path(ad, ""), NULL, (struct span){0});
    cr_assert_eq(a->status, 200);
    cr_assert_eq(a->body.length, 0);
    cr_assert(h2_probe_has(a, "content-type: application/json\n"));
}

Test(global_http, watermarks_stand_alone)
{
    struct h2_probe_answer *a = get("/v1/watermarks");
    cr_assert_eq(a->status, 200);
    json_t *root = parsed(a);
    json_t *watermarks = json_object_get(root, "watermarks");
    cr_assert_eq(json_integer_value(json_object_get(watermarks, "us")), GIVEN_MINUTE * 60 + 70);
    json_decref(root);
    expect_problem(get("/v1/watermarks?x=1"), 400, "bad_parameter", "no parameters");
}

Test(global_http, consistency_is_kept_or_refused)
{
    char path[256];
    (void)snprintf(
        path, sizeof(path), "/v1/stats?ad_id=%s&window=1m&start=%llu&end=%llu&consistency=complete",
        ad, (unsigned long long)GIVEN_MINUTE * 60, (unsigned long long)(GIVEN_MINUTE + 1) * 60);
    cr_assert_eq(get(path)->status, 200);
    char open_window[32];
    (void)snprintf(open_window, sizeof(open_window), "starts at %llu ",
                   (unsigned long long)(GIVEN_MINUTE + 1) * 60);
    expect_problem(get(stats_path(ad, "&consistency=complete")), 409, "not_complete", open_window);
    expect_problem(get(stats_path(ad, "&consistency=final")), 409, "not_settled", "settled");
}

Test(global_http, every_bad_query_is_told_what_is_wrong)
{
    static const struct {
        const char *query, *words;
    } bad[] = {
        {"", "ad_id: is required"},
        {"?window=1m&start=0&end=60", "ad_id: is required"},
        {"?ad_id=&window=1m&start=0&end=60", "ad_id: must not be empty"},
        {"?ad_id=%FF&window=1m&start=0&end=60", "ad_id: must be valid UTF-8"},
        {"?ad_id=%4&window=1m&start=0&end=60", "ad_id: '%' must be followed"},
        {"?ad_id=x&window=2m&start=0&end=60", "window: must be one of 1m, 5m, 1h, 1d"},
        {"?ad_id=x&window=1m&start=120&end=60", "end: must be after start"},
        {"?ad_id=x&window=1m&start=60&end=60", "end: must be after start"},
        {"?ad_id=x&window=5m&start=60&end=300", "start: must be aligned to the window 5m"},
        {"?ad_id=x&window=5m&start=300&end=660", "end: must be aligned to the window 5m"},
        {"?ad_id=x&window=1m&start=0&end=604860", "end: the range must hold at most 10080 windows"},
        {"?ad_id=x&window=1m&start=1.5&end=60", "start: must be a whole number"},
        {"?ad_id=x&window=1m&start=-60&end=60", "start: must be a whole number"},
        {"?ad_id=x&window=1m&start=0&end=1700000000000", "end: must be Unix seconds (not milli"},
        {"?ad_id=x&window=1m&start=0&end=60&end=60", "end: must be given once"},
        {"?ad_id=x&window=1m&start=0&end=60&prefix=5", "prefix: unknown parameter"},
        {"?ad_id=x&window=1m&start=0&end=60&consistency=yes", "consistency: must be one of"},
    };
    char path[256];
    for (unsigned i = 0; i < countof(bad); i++) {
        (void)snprintf(path, sizeof(path), "/v1/stats%s", bad[i].query);
        expect_problem(get(path), 400, "bad_parameter", bad[i].words);
    }
    cr_assert_eq(metrics_get(metrics, GLOBAL_QUERIES_REFUSED), countof(bad));
    cr_assert_eq(metrics_get(metrics, GLOBAL_QUERIES_OK), 0);
}

Test(global_http, wrong_paths_and_methods_are_named)
{
    expect_problem(get("/page"), 404, "not_found", "/v1/stats");
    expect_problem(get("/v1/stats/"), 404, "not_found", "/v1/stats");
    expect_problem(get("/v1/clicks"), 404, "not_found", "/v1/stats");
    struct h2_probe_answer *a = h2_probe_one(probe, "POST", "/v1/stats", NULL, span_of_text("{}"));
    expect_problem(a, 405, "method_not_allowed", "GET and HEAD");
    cr_assert(h2_probe_has(a, "allow: GET, HEAD\n"));
    a = h2_probe_one(probe, "DELETE", "/v1/watermarks", NULL, (struct span){0});
    expect_problem(a, 405, "method_not_allowed", "GET and HEAD");
}

Test(global_http, queries_see_new_clicks_while_they_are_merged)
{
    struct given_replica *us = given_replica(w, 0, 0, "us-r2");
    struct h2_probe_options how = {0};
    struct h2_probe *others[4];
    for (unsigned i = 0; i < countof(others); i++)
        others[i] = h2_probe_open(global_http_port(http), &how);
    uint64_t last = 0;
    for (unsigned round = 0; round < 30; round++) {
        given_click(us, ad, GIVEN_MINUTE + 1, round, 1, 0);
        given_cut(us);
        for (unsigned i = 0; i < countof(others); i++)
            (void)h2_probe_ask(others[i], "GET", stats_path(ad, ""), NULL, (struct span){0}, false);
        for (unsigned i = 0; i < countof(others); i++)
            h2_probe_send(others[i]);
        cr_assert_eq(given_run(w), ERR_OK);
        for (unsigned i = 0; i < countof(others); i++)
            cr_assert(h2_probe_until(others[i], h2_probe_all_closed, NULL));
        struct h2_probe_answer *a = get(stats_path(ad, ""));
        json_t *root = parsed(a);
        json_t *point = json_array_get(json_object_get(root, "data"), 1);
        uint64_t count = json_integer_value(json_object_get(point, "click_count"));
        cr_assert_eq(count, round + 1);
        cr_assert_geq(count, last);
        last = count;
        json_decref(root);
    }
    for (unsigned i = 0; i < countof(others); i++)
        h2_probe_close(others[i]);
    given_replica_free(us);
}
