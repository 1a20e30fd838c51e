/* SPDX-License-Identifier: Apache-2.0
 * regional_admin: what the replica's thread shows, the admin thread renders. */
#include "regional/regional_admin.h"

#include "common/run/admin_http.h"
#include "common/run/clock_os.h"
#include "common/run/kv_lmdb.h"
#include "common/run/log.h"
#include "common/run/upkeep.h"
#include "regional/regional_metrics.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const struct metric_row regional_metric_rows[REGIONAL_METRIC_COUNT] = {
#define REGIONAL_METRIC_ROW(id, kind, name, unit, help, member)                                    \
    [id] = {REGIONAL_NAME(name), METRIC_##kind, unit, help},
    REGIONAL_METRICS(REGIONAL_METRIC_ROW)
#undef REGIONAL_METRIC_ROW
        [REGIONAL_STORE_USED] = {REGIONAL_NAME("store_used_bytes"), METRIC_GAUGE, "bytes",
                                 "bytes of the store in use"},
    [REGIONAL_STORE_SIZE] = {REGIONAL_NAME("store_size_bytes"), METRIC_GAUGE, "bytes",
                             "most that the store may grow to"},
    [REGIONAL_STORE_DISK_FREE] = {REGIONAL_NAME("store_disk_free_bytes"), METRIC_GAUGE, "bytes",
                                  "that the file system of the store has left for us"},
};

/* One partition, written by the replica's thread alone. */
struct board_part {
    _Atomic uint64_t partition, state, caught_up, seq, cut, watermark_ms, stream_ms, control_floor;
    _Atomic uint64_t folded, counted, duplicate, carried, keys, edges_known, edges_missing;
    _Atomic uint64_t pending, lag_ms;
};

struct regional_admin {
    struct regional_admin_options options;
    struct metrics *metrics;
    struct admin_http *http;
    struct board_part board[LIMIT_PARTITIONS];
    _Atomic uint32_t part_count;
    _Atomic bool ready, bus_up;
};

static void put_head(struct buf *out, const char *name, const char *help, const char *kind)
{
    char line[256];
    int length =
        snprintf(line, sizeof(line), "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
    CHECK(length > 0 && (size_t)length < sizeof(line));
    buf_put_text(out, line);
}

static void put_part(struct regional_admin *a, struct buf *out, const char *name, uint32_t index,
                     uint64_t value)
{
    char partition[8];
    (void)snprintf(partition, sizeof(partition), "%u", (unsigned)a->board[index].partition);
    const char *labels[] = {"region", a->options.region, "partition", partition, NULL};
    metrics_line(out, name, labels, value);
}

static void put_part_ms(struct regional_admin *a, struct buf *out, const char *name, uint32_t index,
                        uint64_t value_ms)
{
    char partition[8];
    (void)snprintf(partition, sizeof(partition), "%u", (unsigned)a->board[index].partition);
    const char *labels[] = {"region", a->options.region, "partition", partition, NULL};
    metrics_line_seconds(out, name, labels, value_ms * 1000);
}

static void put_parts(struct regional_admin *a, struct buf *out, const char *name, const char *help,
                      size_t offset)
{
    put_head(out, name, help, "gauge");
    for (uint32_t i = 0; i < a->part_count; i++) {
        const _Atomic uint64_t *value =
            (const _Atomic uint64_t *)(const void *)((const char *)&a->board[i] + offset);
        put_part(a, out, name, i, *value);
    }
}

static void put_lag(struct regional_admin *a, struct buf *out)
{
    const char *name = REGIONAL_NAME("partition_lag_seconds");
    put_head(out, name, "age of the last message folded while others wait; 0: none waits", "gauge");
    for (uint32_t i = 0; i < a->part_count; i++)
        put_part_ms(a, out, name, i, a->board[i].lag_ms);
    name = REGIONAL_NAME("watermark_lag_seconds");
    uint64_t now_ms = clock_os()->wall_ms(clock_os());
    put_head(out, name, "age of the partition's watermark; absent: none yet", "gauge");
    for (uint32_t i = 0; i < a->part_count; i++) {
        uint64_t watermark_ms = a->board[i].watermark_ms;
        if (watermark_ms > 0)
            put_part(a, out, name, i, now_ms > watermark_ms ? (now_ms - watermark_ms) / 1000 : 0);
    }
}

static void on_metrics(void *context, const char *query, struct admin_reply *reply)
{
    struct regional_admin *a = context;
    (void)query;
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    uint64_t used = 0, size = 0;
    kv_lmdb_usage(a->options.kv, &used, &size);
    metrics_set(a->metrics, REGIONAL_STORE_USED, used);
    metrics_set(a->metrics, REGIONAL_STORE_SIZE, size);
    metrics_set(a->metrics, REGIONAL_STORE_DISK_FREE,
                upkeep_disk_free_bytes(a->options.store_path));
    metrics_render(a->metrics, &reply->body);
    struct buf *out = &reply->body;
#define BOARD(member) offsetof(struct board_part, member)
    put_parts(a, out, REGIONAL_NAME("partition_state"),
              "0 waiting for the bus, 1 proving its position, 2 reading, 3 stopped", BOARD(state));
    put_parts(a, out, REGIONAL_NAME("partition_position"), "sequence number of the last message",
              BOARD(seq));
    put_parts(a, out, REGIONAL_NAME("partition_cut"), "number of the last cut", BOARD(cut));
    put_parts(a, out, REGIONAL_NAME("partition_folded"), "click numbers consumed", BOARD(folded));
    put_parts(a, out, REGIONAL_NAME("partition_counted"), "distinct clicks", BOARD(counted));
    put_parts(a, out, REGIONAL_NAME("partition_duplicate"), "repeats found", BOARD(duplicate));
    put_parts(a, out, REGIONAL_NAME("partition_carried"), "left to the settlement", BOARD(carried));
    put_parts(a, out, REGIONAL_NAME("partition_keys"), "click keys in memory", BOARD(keys));
    put_parts(a, out, REGIONAL_NAME("partition_edges"), "enrolled edges", BOARD(edges_known));
    put_parts(a, out, REGIONAL_NAME("partition_edges_missing"),
              "enrolled edges that the watermark goes on without", BOARD(edges_missing));
    put_parts(a, out, REGIONAL_NAME("partition_lag_messages"),
              "messages of the stream that wait to be folded", BOARD(pending));
    put_parts(a, out, REGIONAL_NAME("partition_control_floor"), "control messages applied",
              BOARD(control_floor));
#undef BOARD
    put_lag(a, out);
}

static void on_livez(void *context, const char *query, struct admin_reply *reply)
{
    (void)context;
    (void)query;
    buf_put_text(&reply->body, "ok\n");
}

/* What keeps a partition from speaking of the present; false: nothing. */
static bool trouble_of(const struct regional_admin *a, const struct board_part *p, char *out,
                       size_t size)
{
    unsigned partition = (unsigned)p->partition;
    if (p->state == REPLICA_PART_STOPPED)
        (void)snprintf(out, size, "partition %u is stopped: copy a peer's store (--restore-from)\n",
                       partition);
    else if (!p->caught_up)
        (void)snprintf(out, size, "partition %u has not caught up yet\n", partition);
    else if (p->lag_ms > a->options.behind_ms)
        (void)snprintf(out, size, "partition %u is behind: %llu messages, %llu ms\n", partition,
                       (unsigned long long)p->pending, (unsigned long long)p->lag_ms);
    else
        return false;
    return true;
}

static void on_readyz(void *context, const char *query, struct admin_reply *reply)
{
    struct regional_admin *a = context;
    (void)query;
    char line[128];
    bool behind = false;
    for (uint32_t i = 0; a->ready && !behind && i < a->part_count; i++)
        behind = trouble_of(a, &a->board[i], line, sizeof(line));
    if (a->ready && !behind) {
        buf_put_text(&reply->body, a->bus_up ? "ok\n" : "ok\nthe bus is not connected now\n");
        return;
    }
    reply->status = 503;
    for (uint32_t i = 0; i < a->part_count; i++) {
        if (trouble_of(a, &a->board[i], line, sizeof(line)))
            buf_put_text(&reply->body, line);
    }
}

/* A file of its own for each copy, without a name: it is gone when the answer is sent. */
static int open_copy(const char *store_path)
{
    char path[4224];
    int length = snprintf(path, sizeof(path), "%s/copy-XXXXXX", store_path);
    if (length < 0 || (size_t)length >= sizeof(path))
        return -1;
    int file = mkostemp(path, O_CLOEXEC);
    if (file >= 0)
        (void)unlink(path);
    return file;
}

/* A store that has not read its streams to the end, itself an old copy perhaps, may lack what no
 * edge holds any more, and its copy would not know it either. Being behind under load is another
 * matter.
 */
static bool may_be_copied(const struct regional_admin *a, const char *query)
{
    return a->ready || (query != NULL && strcmp(query, "unready=1") == 0);
}

static void on_store_copy(void *context, const char *query, struct admin_reply *reply)
{
    struct regional_admin *a = context;
    if (!may_be_copied(a, query)) {
        reply->status = 503;
        buf_put_text(&reply->body,
                     "this replica has not caught up, or is stopped (see /readyz): copy "
                     "another one; ?unready=1 if it is the best that there is\n");
        return;
    }
    int file = open_copy(a->options.store_path);
    enum err err = file < 0 ? ERR_SYSTEM : kv_lmdb_copy(a->options.kv, file);
    if (err == ERR_OK && lseek(file, 0, SEEK_SET) != 0)
        err = ERR_SYSTEM;
    if (err != ERR_OK) {
        log_warn("store copy failed", log_err(err));
        if (file >= 0)
            (void)close(file);
        reply->status = 503;
        buf_put_text(&reply->body, "the store cannot be copied now\n");
        return;
    }
    log_info("store copy handed out", log_text("replica", a->options.replica));
    reply->content_type = "application/octet-stream";
    reply->file = file;
}

enum err regional_admin_start(const struct regional_admin_options *options,
                              struct regional_admin **out)
{
    static const struct admin_route routes[] = {
        {"GET", "/metrics", on_metrics},
        {"GET", "/livez", on_livez},
        {"GET", "/readyz", on_readyz},
        {"GET", "/v1/store-copy", on_store_copy},
    };
    struct regional_admin *a = base_zalloc(1, sizeof(*a));
    a->options = *options;
    a->metrics = metrics_new(regional_metric_rows, REGIONAL_METRIC_COUNT);
    struct admin_options http = {
        .listen = options->listen, .routes = routes, .route_count = countof(routes), .context = a};
    enum err err = admin_http_start(&http, &a->http);
    if (err != ERR_OK) {
        regional_admin_stop(a);
        return err;
    }
    *out = a;
    return ERR_OK;
}

uint16_t regional_admin_port(const struct regional_admin *a)
{
    return admin_http_port(a->http);
}

void regional_admin_stop(struct regional_admin *a)
{
    if (a == NULL)
        return;
    if (a->http != NULL)
        admin_http_stop(a->http);
    metrics_free(a->metrics);
    free(a);
}

static void show_part(struct board_part *to, const struct replica_part_view *from)
{
    to->partition = from->partition;
    to->state = from->state;
    to->caught_up = from->caught_up;
    to->seq = from->seq;
    to->cut = from->cut;
    to->watermark_ms = from->watermark_ms;
    to->stream_ms = from->stream_ms;
    to->control_floor = from->control_floor;
    to->folded = from->books.folded;
    to->counted = from->books.counted;
    to->duplicate = from->books.duplicate;
    to->carried = from->books.carried;
    to->keys = from->keys;
    to->pending = from->pending;
    to->lag_ms = from->lag_ms;
    to->edges_known = from->edges_known;
    to->edges_missing = from->edges_missing;
}

void regional_admin_show(struct regional_admin *a, const struct replica *r)
{
    struct replica_view view;
    replica_view(r, &view);
#define REGIONAL_METRIC_SHOW(id, kind, name, unit, help, member)                                   \
    metrics_set(a->metrics, id, (uint64_t)view.member);
    REGIONAL_METRICS(REGIONAL_METRIC_SHOW)
#undef REGIONAL_METRIC_SHOW
    for (uint32_t i = 0; i < replica_part_count(r); i++) {
        struct replica_part_view part;
        replica_part_view(r, i, &part);
        show_part(&a->board[i], &part);
    }
    a->part_count = replica_part_count(r);
    a->bus_up = view.bus_up;
    a->ready = view.ready;
}
