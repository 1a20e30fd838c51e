/* SPDX-License-Identifier: Apache-2.0
 * global_http_admin: what tributary-global shows its operator. */
#include "global/global_http_admin.h"

#include "common/run/admin_http.h"
#include "global/global_metrics.h"

#include <stdio.h>
#include <stdlib.h>

/* What is shown of a region: written by the merger's thread, read by the admin thread. */
struct board_region {
    char name[LIMIT_REGION_NAME_BYTES + 1]; /* written before the start only */
    _Atomic uint64_t watermark_ms, counted, duplicate, carried, folded, missing_edges, position;
    _Atomic uint64_t unexplained;
    _Atomic uint64_t merged;
    _Atomic bool up, heard;
};

struct global_http_admin {
    struct global_http_admin_options options;
    struct admin_http *server;
    uint32_t region_count;
    struct board_region regions[LIMIT_REGIONS];
};

/* Gauges of one region each. */
#define BOARD_GAUGES(X)                                                                            \
    X(counted, 1, "counted", "distinct clicks, by the furthest replica of each partition")         \
    X(duplicate, 1, "duplicate", "repeats that the fold found, likewise")                          \
    X(carried, 1, "carried", "clicks left to the settlement, likewise")                            \
    X(folded, 1, "folded", "clicks folded, likewise: counted + duplicate + carried")               \
    X(unexplained, 1, "unexplained",                                                               \
      "alarm: clicks folded, but neither counted, nor duplicate, nor carried; replica by replica") \
    X(merged, 1, "merged",                                                                         \
      "clicks of the rows that are merged: `counted`, once all of them have come")                 \
    X(missing_edges, 1, "missing_edges", "known edges that the watermark went on without")         \
    X(watermark_ms, 1000, "watermark_seconds", "its watermark, Unix seconds; 0: none yet")         \
    X(position, 1, "position", "sequence number up to which its partials are merged")

#define H2_ROWS(X)                                                                                 \
    X(connections_total, "accepted connections")                                                   \
    X(connections_open, "connections open now")                                                    \
    X(connections_refused_total, "connections over the limit")                                     \
    X(requests_total, "whole requests")                                                            \
    X(responses_total, "answers handed to connections")                                            \
    X(handshake_failures_total, "TLS or ALPN failures")                                            \
    X(plain_http_total, "plain HTTP on the TLS port")                                              \
    X(abuse_closed_total, "connections over their abuse budget")                                   \
    X(stalled_total, "connections or requests that stalled")                                       \
    X(bytes_in_total, "ciphertext bytes read")                                                     \
    X(bytes_out_total, "ciphertext bytes written")

static void put_head(struct buf *out, const char *name, const char *help)
{
    buf_put_text(out, "# HELP ");
    buf_put_text(out, name);
    buf_put_text(out, " ");
    buf_put_text(out, help);
    buf_put_text(out, "\n# TYPE ");
    buf_put_text(out, name);
    size_t length = strlen(name);
    bool counts = length > 6 && strcmp(name + length - 6, "_total") == 0;
    buf_put_text(out, counts ? " counter\n" : " gauge\n");
}

static void put_regions(const struct global_http_admin *a, struct buf *out)
{
#define BOARD_PUT(member, divide, stem, help)                                                      \
    put_head(out, "tributary_global_region_" stem, help);                                          \
    for (uint32_t i = 0; i < a->region_count; i++)                                                 \
        metrics_line(out, "tributary_global_region_" stem,                                         \
                     (const char *const[]){"region", a->regions[i].name, NULL},                    \
                     a->regions[i].member / (divide));
    BOARD_GAUGES(BOARD_PUT)
#undef BOARD_PUT
}

static void put_lag(const struct global_http_admin *a, struct buf *out)
{
    const char *name = "tributary_global_watermark_lag_seconds";
    uint64_t now_ms = a->options.clock->wall_ms(a->options.clock);
    put_head(out, name, "age of the region's watermark; absent: none yet");
    for (uint32_t i = 0; i < a->region_count; i++) {
        uint64_t watermark_ms = a->regions[i].watermark_ms;
        if (watermark_ms > 0)
            metrics_line(out, name, (const char *const[]){"region", a->regions[i].name, NULL},
                         now_ms > watermark_ms ? (now_ms - watermark_ms) / 1000 : 0);
    }
}

static void put_counters(const struct h2_counters *c, struct buf *out)
{
#define H2_PUT(member, help)                                                                       \
    put_head(out, "tributary_global_h2_" #member, help);                                           \
    metrics_line(out, "tributary_global_h2_" #member, (const char *const[]){NULL}, c->member);
    H2_ROWS(H2_PUT)
#undef H2_PUT
    const char *requests = "tributary_global_requests_by_protocol_total",
               *refused = "tributary_global_http1_refused_total";
    put_head(out, requests, "whole requests, by what they came by");
    for (unsigned kind = 0; kind < H2_PROTOCOLS; kind++)
        metrics_line(out, requests, (const char *const[]){"protocol", h2_protocol_name(kind), NULL},
                     c->requests_by_protocol[kind]);
    put_head(out, refused, "HTTP/1.1 that could not be read, by what was wrong");
    for (unsigned kind = HTTP1_NOT_REFUSED + 1; kind < HTTP1_REFUSALS; kind++)
        metrics_line(out, refused, (const char *const[]){"kind", http1_refusal_token(kind), NULL},
                     c->http1_refused_by_kind[kind]);
}

void global_http_admin_metrics(struct global_http_admin *a, struct buf *out)
{
    metrics_render(a->options.metrics, out);
    put_regions(a, out);
    put_lag(a, out);
    if (a->options.counters != NULL)
        put_counters(a->options.counters, out);
    if (a->options.http != NULL)
        global_http_put_times(a->options.http, out);
}

bool global_http_admin_ready(struct global_http_admin *a, struct buf *out)
{
    bool ready = true;
    for (uint32_t i = 0; i < a->region_count; i++) {
        const struct board_region *region = &a->regions[i];
        if (region->heard && region->up)
            continue;
        /* Cut off is told, but what was heard of it can still be asked for. */
        ready = ready && region->heard;
        buf_put_text(out, "region ");
        buf_put_text(out, region->name);
        buf_put_text(out, region->heard ? " is not connected now\n" : " was never heard\n");
    }
    if (out->length == 0)
        buf_put_text(out, "ok\n");
    return ready;
}

static void on_metrics(void *context, const char *query, struct admin_reply *reply)
{
    (void)query;
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    global_http_admin_metrics(context, &reply->body);
}

static void on_livez(void *context, const char *query, struct admin_reply *reply)
{
    (void)context;
    (void)query;
    buf_put_text(&reply->body, "ok\n");
}

static void on_readyz(void *context, const char *query, struct admin_reply *reply)
{
    (void)query;
    if (!global_http_admin_ready(context, &reply->body))
        reply->status = 503;
}

enum err global_http_admin_new(const struct global_http_admin_options *options,
                               struct global_http_admin **out)
{
    CHECK(options->metrics->count == GLOBAL_METRIC_COUNT);
    struct global_http_admin *a = base_zalloc(1, sizeof(*a));
    a->options = *options;
    *out = a;
    return ERR_OK;
}

static void show_regions(struct global_http_admin *a, const struct merger_view *view)
{
    for (uint32_t i = 0; i < view->region_count; i++) {
        const struct merger_region_view *from = &view->regions[i];
        struct board_region *to = &a->regions[i];
        if (a->server == NULL)
            memcpy(to->name, from->name, sizeof(to->name));
        to->watermark_ms = from->watermark_ms;
        to->counted = from->counted;
        to->duplicate = from->duplicate;
        to->carried = from->carried;
        to->folded = from->folded;
        to->unexplained = from->unexplained;
        to->merged = from->merged;
        to->missing_edges = from->missing_edges;
        to->position = from->position;
        to->up = from->up;
        to->heard = from->heard;
    }
    if (a->server == NULL)
        a->region_count = view->region_count;
}

void global_http_admin_show(struct global_http_admin *a, const struct merger_view *view)
{
    struct metrics *m = a->options.metrics;
    metrics_set(m, GLOBAL_MESSAGES, view->messages);
    metrics_set(m, GLOBAL_BYTES, view->bytes);
    metrics_set(m, GLOBAL_COMMITS, view->commits);
    metrics_set(m, GLOBAL_COMMIT_FAILURES, view->commit_failures);
    metrics_set(m, GLOBAL_ROWS, view->rows);
    metrics_set(m, GLOBAL_ROWS_CHANGED, view->rows_changed);
    metrics_set(m, GLOBAL_ROWS_REPEATED, view->rows - view->rows_changed);
    metrics_set(m, GLOBAL_ROWS_RETIRED, view->rows_retired);
    metrics_set(m, GLOBAL_KEYS_RETIRED, view->keys_retired);
    metrics_set(m, GLOBAL_KEPT_FROM, view->kept_from_s);
    metrics_set(m, GLOBAL_DAMAGED, view->damaged);
    metrics_set(m, GLOBAL_REFUSED, view->refused);
    metrics_set(m, GLOBAL_BAD_SKETCHES, view->bad_sketches);
    metrics_set(m, GLOBAL_COLLISIONS, view->collisions);
    metrics_set(m, GLOBAL_PROOFS, view->proofs);
    metrics_set(m, GLOBAL_PROOFS_FAILED, view->proofs_failed);
    metrics_set(m, GLOBAL_GAPS, view->gaps);
    metrics_set(m, GLOBAL_TOTALS, view->totals);
    metrics_set(m, GLOBAL_MISMATCHES, view->mismatches);
    metrics_set(m, GLOBAL_TOTALS_EQUAL, view->totals_equal);
    metrics_set(m, GLOBAL_DIVERGENCES, view->divergences);
    metrics_set(m, GLOBAL_WANTS, view->wants_sent);
    metrics_set(m, GLOBAL_COMPLETED, view->minutes_completed);
    metrics_set(m, GLOBAL_GIVEN_UP, view->minutes_given_up);
    metrics_set(m, GLOBAL_MINUTES_WANTED, view->minutes_wanted);
    metrics_set(m, GLOBAL_MINUTES_HELD, view->minutes_held);
    metrics_set(m, GLOBAL_NAMES_WANTED, view->names_wanted);
    show_regions(a, view);
}

enum err global_http_admin_start(struct global_http_admin *a)
{
    static const struct admin_route routes[] = {
        {"GET", "/metrics", on_metrics},
        {"GET", "/livez", on_livez},
        {"GET", "/readyz", on_readyz},
    };
    struct admin_options options = {
        .listen = a->options.listen,
        .routes = routes,
        .route_count = countof(routes),
        .context = a,
    };
    CHECK(a->region_count > 0);
    return admin_http_start(&options, &a->server);
}

uint16_t global_http_admin_port(const struct global_http_admin *a)
{
    return admin_http_port(a->server);
}

void global_http_admin_stop(struct global_http_admin *a)
{
    if (a == NULL)
        return;
    if (a->server != NULL)
        admin_http_stop(a->server);
    free(a);
}
