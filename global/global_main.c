/* SPDX-License-Identifier: Apache-2.0
 * global_main: tributary-global: connects the merger and the query service to LMDB, JetStream and
 * TLS. */
#include "common/run/admin_http.h"
#include "common/run/bus_nats.h"
#include "common/run/clock_os.h"
#include "common/run/kv_lmdb.h"
#include "common/run/log.h"
#include "common/run/options.h"
#include "common/run/tls.h"
#include "common/run/wake.h"
#include "global/global_http.h"
#include "global/global_merger.h"
#include "global/global_metrics.h"
#include "global/global_options.h"
#include "proto/subject.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KEEP_SECONDS     (7ULL * 24 * 3600)
#define STORE_LOOK_MS    1000u
#define READERS_CHECK_MS 60000u

/* What the admin thread shows of a region: written by the merger's thread alone. */
struct board_region {
    _Atomic uint64_t watermark_ms, counted, duplicate, carried, folded, missing_edges, position;
    _Atomic bool up, heard;
};

struct globe {
    struct global_options *options;
    struct metrics *metrics;
    struct kv_port *kv;
    SSL_CTX *tls;
    struct wake *wake;
    struct bus_port *buses[LIMIT_REGIONS];
    struct merger *merger;
    struct global_http *http;
    struct admin_http *admin;
    struct board_region board[LIMIT_REGIONS];
    _Atomic bool stopping;
};

static struct globe globe; /* one a process; the signal handler must find it */

static void on_signal(int number)
{
    (void)number;
    globe.stopping = true;
    wake_signal(globe.wake);
}

static void put_labelled(struct buf *out, const char *name, const char *help, size_t offset,
                         uint64_t divide)
{
    char line[256];
    int length = snprintf(line, sizeof(line), "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
    buf_put(out, line, (size_t)length);
    for (unsigned i = 0; i < globe.options->regions_count; i++) {
        const char *labels[] = {"region", globe.options->regions[i].name, NULL};
        const _Atomic uint64_t *value =
            (const _Atomic uint64_t *)(const void *)((const char *)&globe.board[i] + offset);
        metrics_line(out, name, labels, *value / divide);
    }
}

static void put_lag(struct buf *out)
{
    uint64_t now_ms = clock_os()->wall_ms(clock_os());
    const char *name = "tributary_global_watermark_lag_seconds";
    char line[256];
    int length = snprintf(line, sizeof(line),
                          "# HELP %s age of the region's watermark; absent: none yet\n"
                          "# TYPE %s gauge\n",
                          name, name);
    buf_put(out, line, (size_t)length);
    for (unsigned i = 0; i < globe.options->regions_count; i++) {
        const char *labels[] = {"region", globe.options->regions[i].name, NULL};
        uint64_t watermark_ms = globe.board[i].watermark_ms;
        if (watermark_ms > 0)
            metrics_line(out, name, labels,
                         now_ms > watermark_ms ? (now_ms - watermark_ms) / 1000 : 0);
    }
}

static void on_metrics(void *context, const char *query, struct admin_reply *reply)
{
    (void)context;
    (void)query;
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_render(globe.metrics, &reply->body);
#define BOARD(member) offsetof(struct board_region, member)
    put_labelled(&reply->body, "tributary_global_region_counted",
                 "distinct clicks, by the furthest replica of each partition", BOARD(counted), 1);
    put_labelled(&reply->body, "tributary_global_region_duplicate",
                 "repeats that the fold found, likewise", BOARD(duplicate), 1);
    put_labelled(&reply->body, "tributary_global_region_carried",
                 "clicks left to the settlement, likewise", BOARD(carried), 1);
    put_labelled(&reply->body, "tributary_global_region_folded",
                 "clicks folded, likewise: counted + duplicate + carried", BOARD(folded), 1);
    put_labelled(&reply->body, "tributary_global_region_missing_edges",
                 "known edges that the watermark went on without", BOARD(missing_edges), 1);
    put_labelled(&reply->body, "tributary_global_region_watermark_seconds",
                 "the region's watermark, Unix seconds; 0: none yet", BOARD(watermark_ms), 1000);
    put_labelled(&reply->body, "tributary_global_region_position",
                 "sequence number up to which its partials are merged", BOARD(position), 1);
#undef BOARD
    put_lag(&reply->body);
}

static void put_text(struct buf *out, const char *text)
{
    buf_put(out, text, strlen(text));
}

static void on_livez(void *context, const char *query, struct admin_reply *reply)
{
    (void)context;
    (void)query;
    put_text(&reply->body, "ok\n");
}

/* Ready to answer for the whole world: each region was heard once. */
static void on_readyz(void *context, const char *query, struct admin_reply *reply)
{
    (void)context;
    (void)query;
    for (unsigned i = 0; i < globe.options->regions_count; i++) {
        const char *name = globe.options->regions[i].name;
        if (!globe.board[i].heard) {
            reply->status = 503;
            put_text(&reply->body, "region ");
            put_text(&reply->body, name);
            put_text(&reply->body, " was never heard\n");
        } else if (!globe.board[i].up) {
            put_text(&reply->body, "region ");
            put_text(&reply->body, name);
            put_text(&reply->body, " is not connected now\n");
        }
    }
    if (reply->status == 200)
        put_text(&reply->body, "ok\n");
}

static void show(void)
{
    struct merger_view view;
    merger_view(globe.merger, &view);
    struct metrics *m = globe.metrics;
    metrics_set(m, GLOBAL_MESSAGES, view.messages);
    metrics_set(m, GLOBAL_BYTES, view.bytes);
    metrics_set(m, GLOBAL_COMMITS, view.commits);
    metrics_set(m, GLOBAL_COMMIT_FAILURES, view.commit_failures);
    metrics_set(m, GLOBAL_ROWS, view.rows);
    metrics_set(m, GLOBAL_ROWS_CHANGED, view.rows_changed);
    metrics_set(m, GLOBAL_ROWS_REPEATED, view.rows - view.rows_changed);
    metrics_set(m, GLOBAL_DAMAGED, view.damaged);
    metrics_set(m, GLOBAL_REFUSED, view.refused);
    metrics_set(m, GLOBAL_BAD_SKETCHES, view.bad_sketches);
    metrics_set(m, GLOBAL_COLLISIONS, view.collisions);
    metrics_set(m, GLOBAL_PROOFS, view.proofs);
    metrics_set(m, GLOBAL_PROOFS_FAILED, view.proofs_failed);
    metrics_set(m, GLOBAL_GAPS, view.gaps);
    metrics_set(m, GLOBAL_TOTALS, view.totals);
    metrics_set(m, GLOBAL_MISMATCHES, view.mismatches);
    metrics_set(m, GLOBAL_WANTS, view.wants_sent);
    metrics_set(m, GLOBAL_COMPLETED, view.minutes_completed);
    metrics_set(m, GLOBAL_GIVEN_UP, view.minutes_given_up);
    metrics_set(m, GLOBAL_MINUTES_WANTED, view.minutes_wanted);
    metrics_set(m, GLOBAL_MINUTES_HELD, view.minutes_held);
    metrics_set(m, GLOBAL_NAMES_WANTED, view.names_wanted);
    for (uint32_t i = 0; i < view.region_count; i++) {
        const struct merger_region_view *from = &view.regions[i];
        struct board_region *to = &globe.board[i];
        to->watermark_ms = from->watermark_ms;
        to->counted = from->counted;
        to->duplicate = from->duplicate;
        to->carried = from->carried;
        to->folded = from->folded;
        to->missing_edges = from->missing_edges;
        to->position = from->position;
        to->up = from->up;
        to->heard = from->heard;
    }
}

/* Alarms are told once, by who knows the story: when one of their counters moves. */
static void tell(const struct merger_view *before, const struct merger_view *now)
{
    if (now->damaged != before->damaged)
        log_warn("damaged partials skipped", log_u64("total", now->damaged));
    if (now->refused != before->refused)
        log_warn("contradictory partials refused", log_u64("total", now->refused));
    if (now->collisions != before->collisions)
        log_error("two ad ids share one hash", log_u64("total", now->collisions));
    if (now->proofs_failed != before->proofs_failed)
        log_warn("position not proven, reading the stream again from its start",
                 log_u64("total", now->proofs_failed));
    if (now->gaps != before->gaps)
        log_warn("messages are gone from a stream", log_u64("total", now->gaps));
    if (now->mismatches != before->mismatches)
        log_info("totals differ, asking for whole minutes", log_u64("total", now->mismatches),
                 log_u64("wanted", now->minutes_wanted));
    if (now->minutes_given_up != before->minutes_given_up)
        log_error("minutes left every horizon before they were complete",
                  log_u64("total", now->minutes_given_up));
    if (now->commit_failures != before->commit_failures)
        log_error("the store refused a transaction", log_u64("total", now->commit_failures));
}

/* The merger's loop. Returns the exit code. */
static int merge_until_stopped(void)
{
    struct clock_port *clock = clock_os();
    uint64_t look_ms = 0;
    uint64_t readers_ms = 0;
    struct merger_view before;
    merger_view(globe.merger, &before);
    while (!globe.stopping) {
        uint32_t idle_ms = 0;
        enum err err = merger_step(globe.merger, &idle_ms);
        show();
        struct merger_view now;
        merger_view(globe.merger, &now);
        tell(&before, &now);
        before = now;
        if (err != ERR_OK) {
            log_error("unfit, stopping", log_err(err));
            return EXIT_CODE_UNFIT;
        }
        uint64_t now_ms = clock->mono_ms(clock);
        if (now_ms >= look_ms) {
            uint64_t used;
            uint64_t size;
            kv_lmdb_usage(globe.kv, &used, &size);
            metrics_set(globe.metrics, GLOBAL_STORE_USED, used);
            metrics_set(globe.metrics, GLOBAL_STORE_SIZE, size);
            look_ms = now_ms + STORE_LOOK_MS;
        }
        if (now_ms >= readers_ms) {
            kv_lmdb_check_readers(globe.kv);
            readers_ms = now_ms + READERS_CHECK_MS;
        }
        if (idle_ms > 0)
            (void)wake_wait(globe.wake, idle_ms);
    }
    return 0;
}

static enum err open_bus(unsigned at)
{
    const struct global_options_region *region = &globe.options->regions[at];
    struct subject stream = subject_partials_stream(region->name);
    struct subject subjects = subject_partials_all(region->name);
    struct bus_nats_stream streams[] = {
        {stream.text, subjects.text, region->nats.stream_replicas, KEEP_SECONDS, 0}};
    struct buf password = {0};
    char *error = NULL;
    enum err err = ERR_OK;
    if (region->nats.password_file != NULL) {
        err = options_secret(region->nats.password_file, 256, &password, &error);
        buf_put_u8(&password, '\0');
    }
    if (err != ERR_OK) {
        log_error("cannot read a password", log_text("reason", error));
        free(error);
        buf_done(&password);
        return err;
    }
    struct bus_nats_options options = {
        .url = region->nats.url,
        .user = region->nats.user,
        .password = region->nats.password_file == NULL ? NULL : (const char *)password.data,
        .name = globe.options->id,
        .domain = region->nats.domain,
        .streams = streams,
        .stream_count = countof(streams),
        .notify = wake_signal,
        .notify_context = globe.wake,
    };
    err = bus_nats_open(&options, &globe.buses[at]);
    if (password.data != NULL)
        explicit_bzero(password.data, password.capacity);
    buf_done(&password);
    return err;
}

static enum err open_merger(void)
{
    struct merger_options options = {
        .region_count = globe.options->regions_count,
        .kv = globe.kv,
        .clock = clock_os(),
    };
    for (unsigned i = 0; i < globe.options->regions_count; i++) {
        enum err err = open_bus(i);
        if (err != ERR_OK)
            return err;
        CHECK(strlen(globe.options->regions[i].name) < sizeof(options.regions[i].name));
        memcpy(options.regions[i].name, globe.options->regions[i].name,
               strlen(globe.options->regions[i].name) + 1);
        options.regions[i].bus = globe.buses[i];
    }
    return merger_new(&options, &globe.merger);
}

static enum err open_http(void)
{
    struct global_http_options options = {
        .reader = {.region_count = globe.options->regions_count,
                   .kv = globe.kv,
                   .clock = clock_os()},
        .tls = globe.tls,
        .listen = globe.options->listen,
        .workers = globe.options->workers,
        .metrics = globe.metrics,
    };
    for (unsigned i = 0; i < globe.options->regions_count; i++)
        options.reader.regions[i] = globe.options->regions[i].name;
    return global_http_start(&options, &globe.http);
}

static enum err open_admin(void)
{
    static const struct admin_route routes[] = {
        {"GET", "/metrics", on_metrics},
        {"GET", "/livez", on_livez},
        {"GET", "/readyz", on_readyz},
    };
    struct admin_options options = {
        .listen = globe.options->admin_listen,
        .routes = routes,
        .route_count = countof(routes),
    };
    return admin_http_start(&options, &globe.admin);
}

static void host_of(const char *listen, char *out, size_t size)
{
    const char *colon = strrchr(listen, ':');
    (void)snprintf(out, size, "%.*s", (int)(colon - listen), listen);
}

/* Whole or not there: a reader of the file never sees half of it. */
static enum err write_ports(void)
{
    const struct global_options *o = globe.options;
    char path[4200];
    char listen[256];
    char admin[256];
    if (o->ports_file == NULL)
        return ERR_OK;
    host_of(o->listen, listen, sizeof(listen));
    host_of(o->admin_listen, admin, sizeof(admin));
    (void)snprintf(path, sizeof(path), "%s.new", o->ports_file);
    FILE *file = fopen(path, "we");
    bool written = file != NULL && fprintf(file, "listen=%s:%u\nadmin=%s:%u\n", listen,
                                           (unsigned)global_http_port(globe.http), admin,
                                           (unsigned)admin_http_port(globe.admin)) > 0;
    written = file != NULL && fclose(file) == 0 && written;
    if (written && rename(path, o->ports_file) == 0)
        return ERR_OK;
    log_error("cannot write the ports file", log_text("path", o->ports_file));
    return ERR_SYSTEM;
}

static enum err start(void)
{
    const struct global_options *o = globe.options;
    struct kv_lmdb_options store = {
        .path = o->store.path,
        .map_bytes = o->store.bytes,
        .tables = leaf_table_names,
        .table_count = LEAF_TABLES,
    };
    enum err err = kv_lmdb_open(&store, &globe.kv);
    if (err == ERR_OK)
        err = open_merger();
    if (err == ERR_OK) {
        show();
        err = open_http();
    }
    if (err == ERR_OK)
        err = open_admin();
    if (err == ERR_OK)
        err = write_ports();
    if (err == ERR_OK)
        log_info("ready", log_u64("port", global_http_port(globe.http)),
                 log_u64("admin_port", admin_http_port(globe.admin)),
                 log_u64("regions", o->regions_count));
    else
        log_error("cannot start", log_err(err));
    return err;
}

static void stop(void)
{
    if (globe.admin != NULL)
        admin_http_stop(globe.admin);
    global_http_stop(globe.http);
    merger_free(globe.merger);
    for (unsigned i = 0; i < LIMIT_REGIONS; i++)
        if (globe.buses[i] != NULL)
            bus_nats_close(globe.buses[i]);
    if (globe.kv != NULL)
        kv_lmdb_close(globe.kv);
    if (globe.tls != NULL)
        SSL_CTX_free(globe.tls);
    metrics_free(globe.metrics);
    wake_free(globe.wake);
    global_options_free(globe.options);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigemptyset(&action.sa_mask);
    CHECK(sigaction(SIGTERM, &action, NULL) == 0 && sigaction(SIGINT, &action, NULL) == 0);
    action.sa_handler = SIG_IGN; /* a peer that went away is an error of its socket alone */
    CHECK(sigaction(SIGPIPE, &action, NULL) == 0);
}

static int exit_code_of(enum err err)
{
    if (err == ERR_OK)
        return 0;
    if (err == ERR_CONFIG)
        return EXIT_CODE_CONFIG;
    if (err == ERR_KV_CORRUPT || err == ERR_KV_IO || err == ERR_VERSION)
        return EXIT_CODE_UNFIT;
    return EXIT_CODE_TEMPORARY;
}

int main(int argc, char **argv)
{
    struct options_line line;
    int code = 0;
    char *error = NULL;
    if (!options_command_line(argc, argv, global_options_help, &line, &code))
        return code;
    if (global_options_load(line.config, &globe.options, &error) != ERR_OK) {
        (void)fprintf(stderr, "tributary-global: %s\n", error);
        free(error);
        return EXIT_CODE_CONFIG;
    }
    enum log_level level = LOG_INFO;
    if (globe.options->log_level != NULL)
        CHECK(log_level_parse(globe.options->log_level, &level));
    log_init("tributary-global", level);
    struct tls_options tls = {globe.options->tls.certificate_file, globe.options->tls.key_file,
                              globe.options->tls.client_ca_file};
    enum err err = tls_server_new(&tls, &globe.tls);
    globe.wake = wake_new();
    globe.metrics = metrics_new(global_metric_rows, GLOBAL_METRIC_COUNT);
    if (err == ERR_OK && !line.check_only) {
        catch_signals();
        err = start();
        if (err == ERR_OK)
            code = merge_until_stopped();
        log_info("stopped", log_u64("code", (uint64_t)(err == ERR_OK ? code : exit_code_of(err))));
    } else if (err == ERR_OK) {
        (void)printf("%s: ok\n", line.config);
    }
    stop();
    return err == ERR_OK ? code : exit_code_of(err);
}
