/* SPDX-License-Identifier: Apache-2.0
 * global_http: the query service. */
#include "global/global_http.h"

#include "common/run/log.h"
#include "common/run/options.h"
#include "global/global_metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define DRAIN_MS       5000u
#define BODY_BYTES_MAX 4096u /* queries have none */

const struct metric_row global_metric_rows[GLOBAL_METRIC_COUNT] = {
#define GLOBAL_METRIC_ROW(id, kind, name, unit, help) [id] = {name, METRIC_##kind, unit, help},
    GLOBAL_METRICS(GLOBAL_METRIC_ROW)
#undef GLOBAL_METRIC_ROW
};

struct worker {
    struct global_http *http;
    struct global_reader *reader;
    struct h2_server *server;
    uv_loop_t loop;
    uv_async_t stop;
    pthread_t thread;
    bool started;
    struct buf body;
};

struct global_http {
    struct global_http_options options;
    struct h2_counters counters;
    uint16_t port;
    unsigned worker_count;
    struct worker *workers;
};

static void count(struct worker *w, unsigned status)
{
    enum global_metric id = status < 400   ? GLOBAL_QUERIES_OK
                            : status < 500 ? GLOBAL_QUERIES_REFUSED
                                           : GLOBAL_QUERIES_FAILED;
    metrics_add(w->http->options.metrics, id, 1);
}

static void refuse(struct worker *w, struct h2_request *r, unsigned status, const char *token,
                   const char *title, const char *detail)
{
    count(w, status);
    h2_respond_problem(r, status, token, title, detail, status == 503 ? 1 : 0);
}

/* Counts grow all the time and answers may be of one customer: nothing on the way may keep them. */
static const struct h2_header answer_headers[] = {
    {"content-type", "application/json"},
    {"cache-control", "no-store"},
    {"x-content-type-options", "nosniff"},
};

static void answer(struct worker *w, struct h2_request *r)
{
    count(w, 200);
    h2_respond(r, 200, answer_headers, countof(answer_headers), buf_span(&w->body));
}

static void fail(struct worker *w, struct h2_request *r, enum err err)
{
    log_error("query failed", log_err(err));
    refuse(w, r, 503, "store_unavailable", "Store unavailable",
           "The store could not be read; nothing is known about the counts. Try again.");
}

/* False, and the request is answered, where not every point is as good as was asked for. */
static bool is_consistent(struct worker *w, struct h2_request *r, const struct query *q,
                          const struct stats_json_answer *a)
{
    char detail[160];
    if (q->consistency == QUERY_EVENTUAL)
        return true;
    if (q->consistency == QUERY_FINAL) {
        refuse(w, r, 409, "not_settled", "Not settled",
               "No day of this range has been settled yet.");
        return false;
    }
    for (size_t i = 0; i < a->point_count; i++) {
        if (a->points[i].complete)
            continue;
        (void)snprintf(detail, sizeof(detail),
                       "The window of %s that starts at %llu is not complete yet.", a->window,
                       (unsigned long long)a->points[i].timestamp);
        refuse(w, r, 409, "not_complete", "Not complete", detail);
        return false;
    }
    return true;
}

static void on_stats(struct worker *w, struct h2_request *r)
{
    struct query query;
    struct query_fault fault = {.parameter = ""};
    struct stats_json_answer found;
    if (!query_parse(r->query, &query, &fault)) {
        char detail[256];
        (void)snprintf(detail, sizeof(detail), "%s: %s", fault.parameter, fault.rule);
        refuse(w, r, 400, "bad_parameter", "Bad query parameter", detail);
        return;
    }
    enum err err = global_reader_stats(w->reader, &query, &found);
    if (err != ERR_OK) {
        fail(w, r, err);
        return;
    }
    if (!is_consistent(w, r, &query, &found))
        return;
    metrics_add(w->http->options.metrics, GLOBAL_QUERY_POINTS, found.point_count);
    buf_clear(&w->body);
    stats_json_put(&w->body, &found);
    answer(w, r);
}

static void on_watermarks(struct worker *w, struct h2_request *r)
{
    struct stats_json_answer found;
    if (r->query[0] != '\0') {
        refuse(w, r, 400, "bad_parameter", "Bad query parameter",
               "query: /v1/watermarks takes no parameters");
        return;
    }
    enum err err = global_reader_watermarks(w->reader, &found);
    if (err != ERR_OK) {
        fail(w, r, err);
        return;
    }
    buf_clear(&w->body);
    stats_json_put_watermarks(&w->body, &found);
    answer(w, r);
}

static void refuse_method(struct worker *w, struct h2_request *r)
{
    static const struct h2_header headers[] = {
        {"content-type", "application/problem+json"},
        {"allow", "GET, HEAD"},
    };
    count(w, 405);
    buf_clear(&w->body);
    h2_problem_begin(&w->body, 405, "method_not_allowed", "Method not allowed",
                     "This resource answers GET and HEAD.");
    buf_put_u8(&w->body, '}');
    h2_respond(r, 405, headers, countof(headers), buf_span(&w->body));
}

static void on_request(void *context, struct h2_request *r)
{
    struct worker *w = context;
    bool stats = strcmp(r->path, "/v1/stats") == 0;
    if (!stats && strcmp(r->path, "/v1/watermarks") != 0) {
        refuse(w, r, 404, "not_found", "Not found", "Known here are /v1/stats and /v1/watermarks.");
        return;
    }
    if (strcmp(r->method, "GET") != 0 && strcmp(r->method, "HEAD") != 0) {
        refuse_method(w, r);
        return;
    }
    if (stats)
        on_stats(w, r);
    else
        on_watermarks(w, r);
}

static void on_drained(void *context)
{
    struct worker *w = context;
    h2_server_free(w->server);
    w->server = NULL;
}

static void on_stop(uv_async_t *handle)
{
    struct worker *w = container_of(handle, struct worker, stop);
    uv_close((uv_handle_t *)handle, NULL);
    h2_server_drain(w->server, DRAIN_MS, on_drained, w);
}

static void *run(void *context)
{
    struct worker *w = context;
    (void)uv_run(&w->loop, UV_RUN_DEFAULT); /* until the server and `stop` are closed */
    return NULL;
}

/* All workers after the first share its port. */
static enum err start_worker(struct global_http *http, struct worker *w, const char *listen)
{
    w->http = http;
    CHECK(uv_loop_init(&w->loop) == 0);
    CHECK(uv_async_init(&w->loop, &w->stop, on_stop) == 0);
    w->reader = global_reader_new(&http->options.reader);
    struct h2_server_options options = {
        .loop = &w->loop,
        .tls = http->options.tls,
        .listen = listen,
        .body_bytes_max = BODY_BYTES_MAX,
        .port_exclusive = http->worker_count == 0,
        .counters = &http->counters,
        .on_request = on_request,
        .context = w,
    };
    enum err err = h2_server_start(&options, &w->server);
    http->worker_count++;
    if (err != ERR_OK) {
        uv_close((uv_handle_t *)&w->stop, NULL);
        (void)uv_run(&w->loop, UV_RUN_DEFAULT);
        return err;
    }
    CHECK(pthread_create(&w->thread, NULL, run, w) == 0);
    w->started = true;
    return ERR_OK;
}

enum err global_http_start(const struct global_http_options *options, struct global_http **out)
{
    CHECK(options->workers >= 1);
    char host[256];
    char listen[300];
    uint16_t port;
    if (!options_address(options->listen, host, sizeof(host), &port))
        return ERR_CONFIG;
    struct global_http *http = base_zalloc(1, sizeof(*http));
    http->options = *options;
    http->workers = base_zalloc(options->workers, sizeof(http->workers[0]));
    (void)snprintf(listen, sizeof(listen), "%s", options->listen);
    enum err err = ERR_OK;
    for (unsigned i = 0; err == ERR_OK && i < options->workers; i++) {
        err = start_worker(http, &http->workers[i], listen);
        if (err != ERR_OK || i > 0)
            continue;
        http->port = h2_server_port(http->workers[0].server);
        (void)snprintf(listen, sizeof(listen), strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u",
                       host, http->port);
    }
    if (err != ERR_OK) {
        global_http_stop(http);
        return err;
    }
    *out = http;
    return ERR_OK;
}

uint16_t global_http_port(const struct global_http *http)
{
    return http->port;
}

const struct h2_counters *global_http_counters(const struct global_http *http)
{
    return &http->counters;
}

void global_http_stop(struct global_http *http)
{
    if (http == NULL)
        return;
    for (unsigned i = 0; i < http->worker_count; i++)
        if (http->workers[i].started)
            (void)uv_async_send(&http->workers[i].stop);
    for (unsigned i = 0; i < http->worker_count; i++) {
        struct worker *w = &http->workers[i];
        if (w->started)
            CHECK(pthread_join(w->thread, NULL) == 0);
        CHECK(uv_loop_close(&w->loop) == 0);
        global_reader_free(w->reader);
        buf_done(&w->body);
    }
    free(http->workers);
    free(http);
}
