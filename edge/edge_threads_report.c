/* SPDX-License-Identifier: Apache-2.0
 * edge_threads_report: what operators see of an edge: /metrics and /readyz. */
#include "edge/edge_threads_parts.h"

#include <stdio.h>

const struct metric_row edge_metric_rows[] = {
#define EDGE_METRIC_ROW(id, kind, name, unit, help)                                                \
    {"tributary_edge_" name, METRIC_##kind, unit, help},
    EDGE_METRICS(EDGE_METRIC_ROW)
#undef EDGE_METRIC_ROW
};

_Static_assert(countof(edge_metric_rows) == EDGE_METRIC_COUNT, "one row per id");

static const char *region_name(const struct edge_threads *t, uint32_t region)
{
    return t->options.rules.admit.regions[region];
}

static void copy_view(struct edge_threads *t, const struct edge_view *view)
{
    metrics_set(t->metrics, EDGE_NUMBERED, view->accepted);
    metrics_set(t->metrics, EDGE_IN_FLIGHT, view->in_flight);
    metrics_set(t->metrics, EDGE_PUBLISHED, view->published);
    metrics_set(t->metrics, EDGE_SEGMENT_BYTES, view->segment_bytes);
    metrics_set(t->metrics, EDGE_RESENT, view->resent_segments);
    metrics_set(t->metrics, EDGE_TIMEOUTS, view->timeouts);
    metrics_set(t->metrics, EDGE_GAPS, view->gaps);
    metrics_set(t->metrics, EDGE_FLOORS, view->floors_heard);
    metrics_set(t->metrics, EDGE_TRIMMED, view->trimmed);
    metrics_set(t->metrics, EDGE_OLDER_LINES, view->older_lines);
}

static void copy_h2(struct edge_threads *t)
{
    const struct {
        enum edge_metric id;
        const _Atomic uint64_t *counter;
    } rows[] = {
        {EDGE_H2_CONNECTIONS, &t->h2.connections_total},
        {EDGE_H2_OPEN, &t->h2.connections_open},
        {EDGE_H2_REFUSED, &t->h2.connections_refused_total},
        {EDGE_H2_PEER_MANY, &t->h2.peer_too_many_total},
        {EDGE_H2_PEER_FAST, &t->h2.peer_too_fast_total},
        {EDGE_H2_PEER_REQUESTS, &t->h2.peer_requests_refused_total},
        {EDGE_H2_DESCRIPTORS, &t->h2.descriptors_out_total},
        {EDGE_H2_REQUESTS, &t->h2.requests_total},
        {EDGE_H2_RESPONSES, &t->h2.responses_total},
        {EDGE_H2_HANDSHAKES_FAILED, &t->h2.handshake_failures_total},
        {EDGE_TLS_1_2, &t->h2.tls_1_2_total},
        {EDGE_TLS_1_3, &t->h2.tls_1_3_total},
        {EDGE_TLS_RESUMED, &t->h2.tls_resumed_total},
        {EDGE_TLS_FAILED, &t->h2.tls_failed_total},
        {EDGE_TLS_NO_PROTOCOL, &t->h2.tls_no_protocol_total},
        {EDGE_TLS_STALLED, &t->h2.tls_stalled_total},
        {EDGE_TLS_GONE, &t->h2.tls_gone_total},
        {EDGE_H2_PLAIN, &t->h2.plain_http_total},
        {EDGE_H2_ABUSE, &t->h2.abuse_closed_total},
        {EDGE_H2_PROXY_FAILURES, &t->h2.proxy_header_failures_total},
        {EDGE_H2_BY_SERVER, &t->h2.refused_by_server_total},
        {EDGE_H2_STALLED, &t->h2.stalled_total},
        {EDGE_H2_BYTES_IN, &t->h2.bytes_in_total},
        {EDGE_H2_BYTES_OUT, &t->h2.bytes_out_total},
    };
    for (size_t i = 0; i < countof(rows); i++)
        metrics_set(t->metrics, rows[i].id,
                    atomic_load_explicit(rows[i].counter, memory_order_relaxed));
    metrics_set(t->metrics, EDGE_H2_PEERS, peer_gate_known(t->peers));
}

/* The books of the way in: what each line accepted is what its readers must come to (design 2.7).
 */
static void put_books(const struct edge_threads *t, struct buf *out)
{
    static const char name[] = "tributary_edge_line_accepted_total";
    uint32_t partitions = t->options.rules.admit.partitions;

    buf_put_text(out,
                 "# HELP tributary_edge_line_accepted_total clicks numbered by this process, by "
                 "home region and partition\n# TYPE tributary_edge_line_accepted_total counter\n");
    for (uint32_t region = 0; region < t->options.rules.admit.region_count; region++)
        for (uint32_t partition = 0; partition < partitions; partition++) {
            char number[16];
            (void)snprintf(number, sizeof(number), "%u", partition);
            const char *labels[] = {"home", region_name(t, region), "partition", number, NULL};
            metrics_line(
                out, name, labels,
                atomic_load_explicit(&t->accepted_by_line[(size_t)region * partitions + partition],
                                     memory_order_relaxed));
        }
}

static void put_refused_line(struct buf *out, const char *token, uint64_t value)
{
    const char *labels[] = {"error", token, NULL};
    metrics_line(out, "tributary_edge_clicks_refused_by_error_total", labels, value);
}

static void put_refused(const struct edge_threads *t, struct buf *out)
{
    buf_put_text(out,
                 "# HELP tributary_edge_clicks_refused_by_error_total refused clicks, by error\n"
                 "# TYPE tributary_edge_clicks_refused_by_error_total counter\n");
    for (unsigned fault = CLICK_JSON_OK + 1; fault < CLICK_JSON_FAULTS; fault++)
        put_refused_line(out, click_json_fault_token(fault),
                         atomic_load_explicit(&t->refused.scan[fault], memory_order_relaxed));
    for (unsigned fault = ADMIT_SCAN + 1; fault < ADMIT_FAULTS; fault++) {
        struct admit_verdict verdict = {.fault = fault};
        put_refused_line(out, admit_token(&verdict),
                         atomic_load_explicit(&t->refused.admit[fault], memory_order_relaxed));
    }
}

static void put_abuse(const struct edge_threads *t, struct buf *out)
{
    buf_put_text(out,
                 "# HELP tributary_edge_h2_abuse_closed_by_kind_total connections over their abuse "
                 "budget, by what they did too often\n"
                 "# TYPE tributary_edge_h2_abuse_closed_by_kind_total counter\n");
    for (unsigned kind = 0; kind < ABUSE_KINDS; kind++) {
        const char *labels[] = {"kind", abuse_kind_token(kind), NULL};
        metrics_line(out, "tributary_edge_h2_abuse_closed_by_kind_total", labels,
                     atomic_load_explicit(&t->h2.abuse_closed_by_kind[kind], memory_order_relaxed));
    }
}

static void put_protocols(const struct edge_threads *t, struct buf *out)
{
    static const char connections[] = "tributary_edge_connections_by_protocol_total",
                      requests[] = "tributary_edge_requests_by_protocol_total",
                      refused[] = "tributary_edge_http1_refused_total";

    metrics_head(out, connections, "counter", "handshakes that ended well, by what is spoken");
    for (unsigned kind = 0; kind < H2_PROTOCOLS; kind++)
        metrics_line(
            out, connections, (const char *const[]){"protocol", h2_protocol_name(kind), NULL},
            atomic_load_explicit(&t->h2.connections_by_protocol[kind], memory_order_relaxed));
    metrics_head(out, requests, "counter", "whole requests, by what they came by");
    for (unsigned kind = 0; kind < H2_PROTOCOLS; kind++)
        metrics_line(out, requests, (const char *const[]){"protocol", h2_protocol_name(kind), NULL},
                     atomic_load_explicit(&t->h2.requests_by_protocol[kind], memory_order_relaxed));
    metrics_head(out, refused, "counter", "HTTP/1.1 that could not be read, by what was wrong");
    for (unsigned kind = HTTP1_NOT_REFUSED + 1; kind < HTTP1_REFUSALS; kind++)
        metrics_line(
            out, refused, (const char *const[]){"kind", http1_refusal_token(kind), NULL},
            atomic_load_explicit(&t->h2.http1_refused_by_kind[kind], memory_order_relaxed));
}

static void put_times(const struct edge_threads *t, struct buf *out)
{
    static const char *const promises[] = {"none", "spooled", "replicated"};
    static const char answers[] = "tributary_edge_answer_seconds",
                      commits[] = "tributary_edge_commit_seconds";
    _Static_assert(countof(promises) == EDGE_PROMISES, "one name each");

    metrics_head(out, answers, "histogram",
                 "from the end of a request's header fields to its answer, by what it promised");
    for (unsigned i = 0; i < EDGE_PROMISES; i++)
        metrics_histogram_put(out, answers, (const char *const[]){"durability", promises[i], NULL},
                              &t->answer_times[i]);
    metrics_head(out, commits, "histogram", "group commits, with their sync");
    metrics_histogram_put(out, commits, NULL, &t->commit_times);
}

static void put_publish_times(const struct edge_threads *t, struct buf *out)
{
    static const char name[] = "tributary_edge_publish_seconds";
    if (t->options.publish_times == NULL)
        return;
    metrics_head(out, name, "histogram",
                 "from a segment's publish to the word of its region that it is stored");
    for (uint32_t region = 0; region < t->options.rules.admit.region_count; region++)
        metrics_histogram_put(out, name,
                              (const char *const[]){"region", region_name(t, region), NULL},
                              t->options.publish_times[region]);
}

/* Lines of one name stand together, and both numbers of a reader come from one look. */
static void put_floors(const struct edge_threads *t, struct buf *out)
{
    static const char floor_name[] = "tributary_edge_reader_floor",
                      held_name[] = "tributary_edge_reader_held";
    uint32_t partitions = t->options.rules.admit.partitions;
    struct buf held = {0};

    metrics_head(out, floor_name, "gauge",
                 "numbers of the current epoch that the reader has consumed");
    metrics_head(&held, held_name, "gauge",
                 "numbers of all epochs in the spool that the reader has not consumed");
    for (uint32_t line = 0; line < t->options.rules.admit.region_count * partitions; line++) {
        struct edge_floor_view rows[LIMIT_READERS];
        uint32_t region = line / partitions, partition = line % partitions;
        uint32_t count = edge_pipeline_floors(t->pipeline, region, (uint16_t)partition, rows);
        char number[16];
        (void)snprintf(number, sizeof(number), "%u", partition);
        for (uint32_t i = 0; i < count; i++) {
            const char *labels[] = {"home",   region_name(t, region), "partition", number,
                                    "reader", rows[i].reader,         NULL};
            metrics_line(out, floor_name, labels, rows[i].floor);
            metrics_line(&held, held_name, labels, rows[i].held);
        }
    }
    buf_put(out, held.data, held.length);
    buf_done(&held);
}

/* The partition map that is followed, and the alarm that it is not. */
static void put_maps(const struct edge_threads *t, const struct edge_view *view, struct buf *out)
{
    static const char partitions[] = "tributary_edge_partitions";
    static const char beyond[] = "tributary_edge_alarm_map_beyond";
    metrics_head(out, partitions, "gauge", "of the region, as far as this edge follows its map");
    for (uint32_t region = 0; region < t->options.rules.admit.region_count; region++) {
        const char *labels[] = {"region", region_name(t, region), NULL};
        metrics_line(out, partitions, labels, view->partitions[region]);
    }
    metrics_head(
        out, beyond, "gauge",
        "alarm: the region has more partitions than `partitions`; clicks that belong there "
        "are carried");
    for (uint32_t region = 0; region < t->options.rules.admit.region_count; region++) {
        const char *labels[] = {"region", region_name(t, region), NULL};
        metrics_line(out, beyond, labels, view->map_beyond[region] ? 1 : 0);
    }
}

void edge_threads_metrics(struct edge_threads *t, struct buf *out)
{
    struct edge_view view;

    edge_pipeline_view(t->pipeline, &view);
    copy_view(t, &view);
    copy_h2(t);
    metrics_render(t->metrics, out);
    put_books(t, out);
    put_refused(t, out);
    put_abuse(t, out);
    put_protocols(t, out);
    put_times(t, out);
    put_publish_times(t, out);
    put_floors(t, out);
    edge_threads_put_passed(t, out);
    metrics_head(out, "tributary_edge_spool_age_seconds", "gauge",
                 "since the oldest click was stored that some reader has not consumed");
    metrics_line_seconds(out, "tributary_edge_spool_age_seconds", NULL,
                         1000 * edge_pipeline_oldest_ms(t->pipeline));
    put_maps(t, &view, out);
    buf_put_text(out, "# HELP tributary_edge_bus_up is the region's bus connected?\n"
                      "# TYPE tributary_edge_bus_up gauge\n");
    for (uint32_t region = 0; region < t->options.rules.admit.region_count; region++) {
        const char *labels[] = {"region", region_name(t, region), NULL};
        metrics_line(out, "tributary_edge_bus_up", labels, view.bus_up[region] ? 1 : 0);
    }
}

bool edge_threads_ready(struct edge_threads *t, struct buf *out_reason)
{
    struct edge_view view;
    bool ready = false;

    if (atomic_load(&t->draining))
        buf_put_text(out_reason, "not ready: shutting down\n");
    else if (atomic_load(&t->spool_full))
        buf_put_text(out_reason, "not ready: the spool, or its disk, is more than 95 % full\n");
    else
        ready = true;
    if (ready)
        buf_put_text(out_reason, "ready\n");
    /* Availability on the way in: a region that is away is told, but clicks are taken all the same.
     */
    edge_pipeline_view(t->pipeline, &view);
    for (uint32_t region = 0; region < t->options.rules.admit.region_count; region++)
        if (!view.bus_up[region]) {
            buf_put_text(out_reason, "bus of region ");
            buf_put_text(out_reason, region_name(t, region));
            buf_put_text(out_reason, " is away: its clicks wait in the spool\n");
        }
    edge_threads_say_passed(t, out_reason);
    return ready;
}
