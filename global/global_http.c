/* SPDX-License-Identifier: Apache-2.0
 * global_http: the query service. */
#include "global/global_http_inside.h"

#include "common/run/log.h"
#include "common/run/options.h"
#include "global/global_metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define DRAIN_MS       5000u
#define STREAMS        64u
#define TOKEN_STREAMS  8u
#define BODY_BYTES_MAX 4096u /* queries have none */

const struct metric_row global_metric_rows[GLOBAL_METRIC_COUNT] = {
#define GLOBAL_METRIC_ROW(id, kind, name, unit, help) [id] = {name, METRIC_##kind, unit, help},
    GLOBAL_METRICS(GLOBAL_METRIC_ROW)
#undef GLOBAL_METRIC_ROW
};

static void on_drained(void *context)
{
    struct global_http_worker *w = context;
    h2_server_free(w->server);
    w->server = NULL;
    uv_close((uv_handle_t *)&w->turn, NULL);
}

static void on_renew(uv_async_t *handle)
{
    struct global_http_worker *w = container_of(handle, struct global_http_worker, renew);
    SSL_CTX *tls = atomic_exchange(&w->next_tls, NULL);
    if (tls != NULL && w->server != NULL)
        h2_server_use_tls(w->server, tls);
    SSL_CTX_free(tls);
}

void global_http_use_tls(struct global_http *http, SSL_CTX *tls)
{
    for (unsigned i = 0; i < http->worker_count; i++) {
        CHECK(SSL_CTX_up_ref(tls) == 1);
        SSL_CTX_free(atomic_exchange(&http->workers[i].next_tls, tls)); /* one passed over */
        (void)uv_async_send(&http->workers[i].renew);
    }
}

static void on_stop(uv_async_t *handle)
{
    struct global_http_worker *w = container_of(handle, struct global_http_worker, stop);
    uv_close((uv_handle_t *)handle, NULL);
    uv_close((uv_handle_t *)&w->renew, NULL);
    h2_server_drain(w->server, DRAIN_MS, on_drained, w);
}

static void *run(void *context)
{
    struct global_http_worker *w = context;
    (void)uv_run(&w->loop, UV_RUN_DEFAULT); /* until the server and `stop` are closed */
    return NULL;
}

/* All workers after the first share its port. */
static enum err start_worker(struct global_http *http, struct global_http_worker *w,
                             const char *listen)
{
    w->http = http;
    CHECK(uv_loop_init(&w->loop) == 0);
    CHECK(uv_async_init(&w->loop, &w->stop, on_stop) == 0);
    CHECK(uv_timer_init(&w->loop, &w->turn) == 0);
    CHECK(uv_async_init(&w->loop, &w->renew, on_renew) == 0);
    w->reader = global_reader_new(&http->options.reader);
    w->encode = body_encode_new();
    struct h2_server_options options = {
        .loop = &w->loop,
        .tls = http->options.tls,
        .listen = listen,
        .body_bytes_max = BODY_BYTES_MAX,
        .port_exclusive = http->worker_count == 0,
        .counters = &http->counters,
        .on_request = global_http_on_request,
        .context = w,
    };
    enum err err = h2_server_start(&options, &w->server);
    http->worker_count++;
    if (err != ERR_OK) {
        uv_close((uv_handle_t *)&w->stop, NULL);
        uv_close((uv_handle_t *)&w->turn, NULL);
        uv_close((uv_handle_t *)&w->renew, NULL);
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
    http->seats =
        global_http_seats_new(options->streams == 0 ? STREAMS : options->streams,
                              options->token_streams == 0 ? TOKEN_STREAMS : options->token_streams);
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

unsigned global_http_streams(const struct global_http *http)
{
    return global_http_seats_taken(http->seats);
}

void global_http_stop(struct global_http *http)
{
    if (http == NULL)
        return;
    for (unsigned i = 0; i < http->worker_count; i++)
        if (http->workers[i].started)
            (void)uv_async_send(&http->workers[i].stop);
    for (unsigned i = 0; i < http->worker_count; i++) {
        struct global_http_worker *w = &http->workers[i];
        if (w->started)
            CHECK(pthread_join(w->thread, NULL) == 0);
        CHECK(uv_loop_close(&w->loop) == 0);
        SSL_CTX_free(atomic_exchange(&w->next_tls, NULL));
        global_reader_free(w->reader);
        body_encode_free(w->encode);
        buf_done(&w->body);
        buf_done(&w->packed);
        buf_done(&w->heads);
        buf_done(&w->edges);
    }
    global_http_seats_free(http->seats);
    free(http->workers);
    free(http);
}
