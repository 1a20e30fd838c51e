/* SPDX-License-Identifier: Apache-2.0
 * archiver_admin: what the archiver's thread shows, the admin thread renders. */
#include "regional/archiver_admin.h"

#include "common/run/admin_http.h"
#include "common/run/kv_lmdb.h"
#include "common/run/upkeep.h"
#include "regional/archiver_metrics.h"

#include <stdio.h>
#include <stdlib.h>

const struct metric_row archiver_metric_rows[ARCHIVER_METRIC_COUNT] = {
#define ARCHIVER_METRIC_ROW(id, kind, name, unit, help, member)                                    \
    [id] = {ARCHIVER_NAME(name), METRIC_##kind, unit, help},
    ARCHIVER_METRICS(ARCHIVER_METRIC_ROW)
#undef ARCHIVER_METRIC_ROW
        [ARCHIVER_STORE_USED] = {ARCHIVER_NAME("store_used_bytes"), METRIC_GAUGE, "bytes",
                                 "bytes of the store of positions in use"},
    [ARCHIVER_STORE_SIZE] = {ARCHIVER_NAME("store_size_bytes"), METRIC_GAUGE, "bytes",
                             "most that this store may grow to"},
    [ARCHIVER_STORE_DISK_FREE] = {ARCHIVER_NAME("store_disk_free_bytes"), METRIC_GAUGE, "bytes",
                                  "that its file system has left for us"},
};

/* One partition, written by the archiver's thread alone. */
struct board_part {
    _Atomic uint64_t partition, state, caught_up, seq, cut, waiting_bytes, pending, lag_ms;
};

struct archiver_admin {
    struct archiver_admin_options options;
    struct metrics *metrics;
    struct admin_http *http;
    struct board_part board[LIMIT_PARTITIONS];
    _Atomic uint32_t part_count;
    _Atomic bool ready, away, bus_up;
};

static void put_parts(struct archiver_admin *a, struct buf *out, const char *name, const char *help,
                      size_t offset, bool is_ms)
{
    metrics_head(out, name, "gauge", help);
    for (uint32_t i = 0; i < a->part_count; i++) {
        const _Atomic uint64_t *value =
            (const _Atomic uint64_t *)(const void *)((const char *)&a->board[i] + offset);
        char partition[8];
        (void)snprintf(partition, sizeof(partition), "%u", (unsigned)a->board[i].partition);
        const char *labels[] = {"region", a->options.region, "partition", partition, NULL};
        if (is_ms)
            metrics_line_seconds(out, name, labels, *value * 1000);
        else
            metrics_line(out, name, labels, *value);
    }
}

static void on_metrics(void *context, const char *query, struct admin_reply *reply)
{
    struct archiver_admin *a = context;
    (void)query;
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    uint64_t used = 0, size = 0;
    kv_lmdb_usage(a->options.kv, &used, &size);
    metrics_set(a->metrics, ARCHIVER_STORE_USED, used);
    metrics_set(a->metrics, ARCHIVER_STORE_SIZE, size);
    metrics_set(a->metrics, ARCHIVER_STORE_DISK_FREE,
                upkeep_disk_free_bytes(a->options.store_path));
    metrics_render(a->metrics, &reply->body);
    struct buf *out = &reply->body;
#define BOARD(member) offsetof(struct board_part, member)
    put_parts(a, out, ARCHIVER_NAME("partition_state"),
              "0 waiting for the bus, 1 proving its position, 2 reading", BOARD(state), false);
    put_parts(a, out, ARCHIVER_NAME("partition_position"), "sequence number of the last message",
              BOARD(seq), false);
    put_parts(a, out, ARCHIVER_NAME("partition_cut"), "number of the last cut", BOARD(cut), false);
    put_parts(a, out, ARCHIVER_NAME("partition_waiting_bytes"), "of the object under way",
              BOARD(waiting_bytes), false);
    put_parts(a, out, ARCHIVER_NAME("partition_lag_messages"),
              "messages of the stream that wait to be taken", BOARD(pending), false);
    put_parts(a, out, ARCHIVER_NAME("partition_lag_seconds"),
              "age of the last message taken while others wait; 0: none waits", BOARD(lag_ms),
              true);
#undef BOARD
}

static void on_livez(void *context, const char *query, struct admin_reply *reply)
{
    (void)context;
    (void)query;
    buf_put_text(&reply->body, "ok\n");
}

static void on_readyz(void *context, const char *query, struct admin_reply *reply)
{
    struct archiver_admin *a = context;
    (void)query;
    char line[128];
    if (a->away)
        buf_put_text(&reply->body, "objects cannot be put now; see the log\n");
    for (uint32_t i = 0; i < a->part_count; i++) {
        const struct board_part *p = &a->board[i];
        if (p->caught_up && p->lag_ms <= a->options.behind_ms)
            continue;
        (void)snprintf(line, sizeof(line),
                       p->caught_up ? "partition %u is behind: %llu messages\n"
                                    : "partition %u has not caught up yet: %llu messages\n",
                       (unsigned)p->partition, (unsigned long long)p->pending);
        buf_put_text(&reply->body, line);
    }
    if (reply->body.length > 0 || !a->ready)
        reply->status = 503;
    else
        buf_put_text(&reply->body, a->bus_up ? "ok\n" : "ok\nthe bus is not connected now\n");
}

enum err archiver_admin_start(const struct archiver_admin_options *options,
                              struct archiver_admin **out)
{
    static const struct admin_route routes[] = {
        {"GET", "/metrics", on_metrics},
        {"GET", "/livez", on_livez},
        {"GET", "/readyz", on_readyz},
    };
    struct archiver_admin *a = base_zalloc(1, sizeof(*a));
    a->options = *options;
    a->metrics = metrics_new(archiver_metric_rows, ARCHIVER_METRIC_COUNT);
    struct admin_options http = {
        .listen = options->listen, .routes = routes, .route_count = countof(routes), .context = a};
    enum err err = admin_http_start(&http, &a->http);
    if (err != ERR_OK) {
        archiver_admin_stop(a);
        return err;
    }
    *out = a;
    return ERR_OK;
}

uint16_t archiver_admin_port(const struct archiver_admin *a)
{
    return admin_http_port(a->http);
}

void archiver_admin_stop(struct archiver_admin *a)
{
    if (a == NULL)
        return;
    if (a->http != NULL)
        admin_http_stop(a->http);
    metrics_free(a->metrics);
    free(a);
}

void archiver_admin_show(struct archiver_admin *a, const struct archiver *r)
{
    struct archiver_view view;
    archiver_view(r, &view);
#define ARCHIVER_METRIC_SHOW(id, kind, name, unit, help, member)                                   \
    metrics_set(a->metrics, id, (uint64_t)view.member);
    ARCHIVER_METRICS(ARCHIVER_METRIC_SHOW)
#undef ARCHIVER_METRIC_SHOW
    for (uint32_t i = 0; i < archiver_part_count(r); i++) {
        struct archiver_part_view part;
        struct board_part *to = &a->board[i];
        archiver_part_view(r, i, &part);
        to->partition = part.partition;
        to->state = part.state;
        to->caught_up = part.caught_up;
        to->seq = part.seq;
        to->cut = part.cut;
        to->waiting_bytes = part.waiting_bytes;
        to->pending = part.pending;
        to->lag_ms = part.lag_ms;
    }
    a->part_count = archiver_part_count(r);
    a->bus_up = view.bus_up;
    a->away = view.store_away;
    a->ready = view.ready;
}
