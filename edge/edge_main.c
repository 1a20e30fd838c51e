/* SPDX-License-Identifier: Apache-2.0
 * edge_main: tributary-edge: opens what its configuration names, connects the parts, and ends them
 * in order. */
#include "common/run/admin_http.h"
#include "common/run/bus_nats.h"
#include "common/run/clock_os.h"
#include "common/run/kv_lmdb.h"
#include "common/run/log.h"
#include "common/run/options.h"
#include "common/run/service.h"
#include "common/run/tls.h"
#include "common/run/tls_tickets.h"
#include "edge/edge_options.h"
#include "edge/edge_threads.h"
#include "proto/subject.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define STREAM_AGE_S  (7 * 24 * 3600u)
#define WINDOW_BYTES  (4u * 1024 * 1024)
#define SEGMENT_BYTES (256u * 1024)
#define DRAIN_MS      5000
#define FORWARD_MS    5000
/* Pages of the spool and of the program itself (kv_lmdb). */
#define RESIDENT_BYTES (20u * 1024 * 1024)

static const char help[] =
    "tributary-edge: takes ad clicks over HTTP/2 and TLS, stores them durably, forwards them to "
    "their regions.\n"
    "\n"
    "usage: tributary-edge --config FILE [--check-config]\n"
    "\n"
    "  --config FILE    configuration, YAML\n"
    "  --check-config   check it, with the files that it names, and exit\n"
    "  --help, --version\n"
    "\n"
    "exit codes: 0 clean, 64 usage, 70 stopped because unfit, 75 cannot bind or open now,\n"
    "            78 configuration\n"
    "\n"
    "Clicks go to POST /v1/clicks; GET /v1/home tells the home region. /metrics, /livez and "
    "/readyz are on admin_listen.\n"
    "SIGHUP reads certificate, ticket keys and log level again; what is wrong changes nothing.\n"
    "SIGTERM and SIGINT answer what is open, finish the spool's lines, and exit.\n";

struct edge {
    struct edge_options *options;
    const char *config;
    SSL_CTX *tls;
    int inherited_file; /* -1: none */
    struct kv_port *spool;
    struct wake *forward_wake;
    struct bus_port *buses[LIMIT_REGIONS];
    const struct metrics_histogram *publish_times[LIMIT_REGIONS];
    char region_names[LIMIT_REGIONS][LIMIT_REGION_NAME_BYTES + 1];
    struct edge_threads *threads;
    struct edge_pipeline *pipeline;
    struct admin_http *admin;
};

/* The outcome of an effect is unknown: nothing may be said to anyone. The next start replays. */
static void unfit(enum err err, const char *where)
{
    log_error("unfit: stopping at once", log_err(err), log_text("where", where));
    _exit(EXIT_CODE_UNFIT);
}

/* Each connection is a descriptor; the soft limit of a login shell is a thousand. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* -- admin --------------------------------------------------------------------------------- */

static void on_metrics(void *context, const char *query, struct admin_reply *reply)
{
    struct edge *e = context;
    (void)query;
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    edge_threads_metrics(e->threads, &reply->body);
}

static void on_livez(void *context, const char *query, struct admin_reply *reply)
{
    (void)context;
    (void)query;
    buf_put(&reply->body, "alive\n", 6);
}

static void on_readyz(void *context, const char *query, struct admin_reply *reply)
{
    struct edge *e = context;
    (void)query;
    if (!edge_threads_ready(e->threads, &reply->body))
        reply->status = 503;
}

static const struct admin_route routes[] = {
    {"GET", "/metrics", on_metrics},
    {"GET", "/livez", on_livez},
    {"GET", "/readyz", on_readyz},
};

/* -- opening ------------------------------------------------------------------------------- */

static void spool_usage(void *context, uint64_t *out_used_bytes, uint64_t *out_map_bytes)
{
    struct edge *e = context;
    kv_lmdb_usage(e->spool, out_used_bytes, out_map_bytes);
}

static void spool_housekeep(void *context)
{
    struct edge *e = context;
    kv_lmdb_check_readers(e->spool);
}

static enum err make_tls(const struct edge_options *o, SSL_CTX **out)
{
    const struct tls_options options = {.certificate_file = o->tls.certificate_file,
                                        .key_file = o->tls.key_file,
                                        .client_ca_file = o->tls.client_ca_file,
                                        .http1 = *o->http1};
    SSL_CTX *tls = NULL;
    enum err err = tls_server_new(&options, &tls);
    if (err == ERR_OK && o->tls.ticket_keys_file != NULL)
        err = tls_tickets_use(tls, o->tls.ticket_keys_file);
    if (err != ERR_OK) {
        SSL_CTX_free(tls);
        return err;
    }
    *out = tls;
    return ERR_OK;
}

static enum err open_spool(struct edge *e)
{
    const struct kv_lmdb_options options = {.path = e->options->spool.path,
                                            .map_bytes = e->options->spool.bytes,
                                            .tables = edge_table_names,
                                            .table_count = EDGE_TABLES,
                                            .resident_bytes_max = RESIDENT_BYTES};
    return kv_lmdb_open(&options, &e->spool);
}

/* The streams of a region are named by either side that comes first. */
static enum err open_bus(struct edge *e, uint32_t index)
{
    const struct edge_options_region *region = &e->options->regions[index];
    uint32_t partitions = e->options->partitions;
    struct subject *names = base_zalloc(2 * (size_t)partitions, sizeof(*names));
    struct bus_nats_stream *streams = base_zalloc(partitions, sizeof(*streams));

    for (uint32_t p = 0; p < partitions; p++) {
        names[2 * p] = subject_clicks_stream(region->name, (uint16_t)p);
        names[2 * p + 1] = subject_clicks_all(region->name, (uint16_t)p);
        streams[p] = (struct bus_nats_stream){.name = names[2 * p].text,
                                              .subjects = names[2 * p + 1].text,
                                              .replicas = region->stream_replicas,
                                              .age_max_s = STREAM_AGE_S};
    }
    const struct buf *password = &e->options->passwords[index];
    const struct bus_nats_options options = {
        .url = region->nats_url,
        .user = region->user,
        .password = password->length > 0 ? (const char *)password->data : NULL,
        .name = e->options->id,
        .domain = region->domain,
        .streams = streams,
        .stream_count = partitions,
        .publish_timeout_ms = e->options->publish_timeout_ms,
        .notify = wake_signal,
        .notify_context = e->forward_wake,
    };
    enum err err = bus_nats_open(&options, &e->buses[index]);
    free(streams);
    free(names);
    return err;
}

static enum err open_buses(struct edge *e)
{
    for (uint32_t i = 0; i < e->options->regions_count; i++) {
        enum err err = open_bus(e, i);
        if (err != ERR_OK) {
            log_error("bus cannot be opened", log_err(err),
                      log_text("region", e->options->regions[i].name));
            return err;
        }
    }
    return ERR_OK;
}

static struct edge_threads *make_threads(struct edge *e)
{
    struct edge_options *o = e->options;
    for (uint32_t i = 0; i < o->regions_count; i++) {
        (void)snprintf(e->region_names[i], sizeof(e->region_names[i]), "%s", o->regions[i].name);
        e->publish_times[i] = bus_nats_publish_times(e->buses[i]);
    }
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const struct edge_threads_options options = {
        .rules = {.admit = {.secret = o->dedupe_key,
                            .regions = e->region_names,
                            .region_count = o->regions_count,
                            .own_region = o->own_region,
                            .partitions = o->partitions,
                            .horizon_ms = o->horizon_hours * 3600000ULL},
                  .batch_clicks_max = o->limits.batch_clicks,
                  .unpacked = {.bytes_max = o->limits.body_bytes,
                               .ratio_max = o->limits.body_ratio,
                               .ratio_free_bytes = BODY_RATIO_FREE_BYTES},
                  .cors = {.origins = o->cors.origins,
                           .origin_count = o->cors.origins_count,
                           .max_age_s = o->cors.max_age_s}},
        .clock = clock_os(),
        .tls = e->tls,
        .listen = o->listen,
        .inherited_file = e->inherited_file,
        .workers = o->workers > 0 ? o->workers : (uint32_t)(cores > 0 ? cores : 1),
        .connections_max = o->limits.connections,
        .body_bytes_max = o->limits.body_bytes,
        .proxy_networks = o->proxy_networks,
        .proxy_network_count = o->proxies.proxy_protocol_from_count,
        .forwarded_networks = o->forwarded_networks,
        .forwarded_network_count = o->proxies.forwarded_from_count,
        .peers = {.connections = o->limits.peer_connections,
                  .connects_per_s = o->limits.peer_connects_per_s,
                  .connects_burst = o->limits.peer_connects_burst,
                  .requests_per_s = o->limits.peer_requests_per_s,
                  .requests_burst = o->limits.peer_requests_burst},
        .stall_timeout_ms = o->limits.stall_ms,
        .idle_timeout_ms = o->limits.idle_ms,
        .queue_ms = o->limits.queue_ms,
        .replication_budget_ms = *o->replication_budget_ms,
        .durable_wait_ms = o->publish_timeout_ms,
        .forward_wake = e->forward_wake,
        .publish_times = e->publish_times,
        .usage = spool_usage,
        .housekeep = spool_housekeep,
        .spool_context = e,
        .spool_path = o->spool.path,
        .degraded_percent = o->spool.degraded_percent,
        .unfit = unfit,
    };
    return edge_threads_new(&options);
}

static enum err open_pipeline(struct edge *e)
{
    const struct edge_options *o = e->options;
    struct edge_pipeline_options options = {
        .region_count = o->regions_count,
        .partitions = o->partitions,
        .partitions_first = o->partitions_first,
        .heartbeat_ms = o->heartbeat_ms,
        .publish_timeout_ms = o->publish_timeout_ms,
        .window_bytes = WINDOW_BYTES,
        .segment_bytes = SEGMENT_BYTES,
        .reader_silent_ms = o->spool.reader_silent_s * 1000,
        .kv = e->spool,
        .clock = clock_os(),
        .on_acked = edge_threads_acked,
        .on_acked_context = e->threads,
    };
    (void)snprintf(options.edge, sizeof(options.edge), "%s", o->id);
    for (uint32_t i = 0; i < o->regions_count; i++) {
        edge_options_region_fill(o, i, &options.regions[i]);
        options.regions[i].bus = e->buses[i];
    }
    enum err err = edge_pipeline_new(&options, &e->pipeline);
    if (err == ERR_CONFIG)
        log_error("the spool holds clicks for a region that the configuration does not name",
                  log_text("spool", o->spool.path));
    else if (err != ERR_OK)
        log_error("spool cannot be opened", log_err(err), log_text("spool", o->spool.path));
    return err;
}

static enum err open_admin(struct edge *e)
{
    const struct admin_options options = {.listen = e->options->admin_listen,
                                          .routes = routes,
                                          .route_count = countof(routes),
                                          .context = e};
    return admin_http_start(&options, &e->admin);
}

/* -- telling where we are ------------------------------------------------------------------ */

static void real_address(const char *listen, uint16_t real_port, char *out, size_t size)
{
    char host[256];
    uint16_t port;
    CHECK(options_address(listen, host, sizeof(host), &port));
    (void)snprintf(out, size, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, real_port);
}

static enum err tell_ready(struct edge *e)
{
    char listen[300], admin[300], ports[640];
    real_address(e->options->listen, edge_threads_port(e->threads), listen, sizeof(listen));
    real_address(e->options->admin_listen, admin_http_port(e->admin), admin, sizeof(admin));
    (void)snprintf(ports, sizeof(ports), "listen=%s\nadmin=%s\n", listen, admin);
    if (service_write_ports(e->options->ports_file, ports) != ERR_OK)
        return ERR_SYSTEM;
    log_info("ready", log_text("listen", listen), log_text("admin", admin));
    service_notify("READY=1");
    return ERR_OK;
}

/* -- life ---------------------------------------------------------------------------------- */

static enum err start(struct edge *e)
{
    enum err err = make_tls(e->options, &e->tls);
    if (err == ERR_OK)
        err = service_listener(&e->inherited_file);
    if (err != ERR_OK)
        return err;
    e->forward_wake = wake_new();
    err = open_spool(e);
    if (err == ERR_OK)
        err = open_buses(e);
    if (err != ERR_OK)
        return err;
    e->threads = make_threads(e);
    err = open_pipeline(e);
    if (err == ERR_OK)
        err = edge_threads_start(e->threads, e->pipeline);
    if (err != ERR_OK)
        return err;
    err = open_admin(e);
    if (err == ERR_OK)
        err = tell_ready(e);
    if (err != ERR_OK)
        (void)edge_threads_stop(e->threads, 0, 0);
    return err;
}

static void close_all(struct edge *e)
{
    if (e->admin != NULL)
        admin_http_stop(e->admin);
    edge_threads_free(e->threads);
    edge_pipeline_free(e->pipeline);
    for (uint32_t i = 0; i < LIMIT_REGIONS; i++)
        if (e->buses[i] != NULL)
            bus_nats_close(e->buses[i]);
    if (e->spool != NULL)
        kv_lmdb_close(e->spool);
    if (e->forward_wake != NULL)
        wake_free(e->forward_wake);
    SSL_CTX_free(e->tls);
    if (e->inherited_file > 0)
        (void)close(e->inherited_file);
    edge_options_free(e->options);
}

static int exit_code_of(enum err err)
{
    switch (err) {
    case ERR_OK:
        return 0;
    case ERR_CONFIG:
        return EXIT_CODE_CONFIG;
    case ERR_KV_CORRUPT:
        return EXIT_CODE_UNFIT;
    default:
        return EXIT_CODE_TEMPORARY;
    }
}

/* What may change under way: the log level and everything about TLS. The rest of the file is
 * checked, and waits for a restart. All of it is good, or nothing changes. */
static bool reload(struct edge *e)
{
    struct edge_options *fresh = NULL;
    SSL_CTX *tls = NULL;
    char *error = NULL;
    enum log_level level = LOG_INFO;

    if (edge_options_load(e->config, &fresh, &error) != ERR_OK) {
        log_error("reload refused", log_text("reason", error));
        free(error);
        return false;
    }
    if (fresh->log_level != NULL)
        (void)log_level_parse(fresh->log_level, &level);
    bool good = make_tls(fresh, &tls) == ERR_OK;
    edge_options_free(fresh);
    if (!good) {
        log_error("reload refused", log_text("reason", "TLS; the old certificate stays"));
        return false;
    }
    edge_threads_use_tls(e->threads, tls);
    SSL_CTX_free(e->tls);
    e->tls = tls;
    log_lowest(level);
    log_info("reloaded");
    return true;
}

static int wait_for_end(struct edge *e, const sigset_t *signals)
{
    for (;;) {
        int number = 0;
        if (sigwait(signals, &number) != 0)
            continue;
        if (number != SIGHUP)
            return number;
        service_notify_reloading();
        edge_threads_count_reload(e->threads, reload(e));
        service_notify("READY=1");
    }
}

static int serve(struct edge *e, const sigset_t *signals)
{
    enum err err = start(e);
    if (err != ERR_OK)
        return exit_code_of(err);

    int signal_number = wait_for_end(e, signals);
    service_notify("STOPPING=1");
    log_info("draining", log_text("signal", signal_number == SIGTERM ? "TERM" : "INT"));
    bool empty = edge_threads_stop(e->threads, DRAIN_MS, FORWARD_MS);
    log_info("stopped", log_text("spool", empty ? "empty" : "kept for the next start"));
    return 0;
}

/* Everything that can be checked without opening the spool or a port. */
static int check(struct edge *e, const char *path)
{
    enum err err = make_tls(e->options, &e->tls);
    if (err == ERR_OK)
        (void)printf("%s: ok\n", path);
    return exit_code_of(err);
}

int main(int argc, char **argv)
{
    struct options_line line;
    struct edge e = {.inherited_file = -1};
    char *error = NULL;
    enum log_level level = LOG_INFO;
    sigset_t signals;
    int code;

    log_init("tributary-edge", level);
    service_guard_memory();
    if (!options_command_line(argc, argv, help, &line, &code))
        return code;
    if (edge_options_load(line.config, &e.options, &error) != ERR_OK) {
        (void)fprintf(stderr, "%s\n", error);
        free(error);
        return EXIT_CODE_CONFIG;
    }
    if (e.options->log_level != NULL)
        (void)log_level_parse(e.options->log_level, &level);
    log_init("tributary-edge", level);

    /* Before any thread starts: all of them inherit the mask, and main alone waits. */
    (void)signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    e.config = line.config;

    code = line.check_only ? check(&e, line.config) : serve(&e, &signals);
    close_all(&e);
    return code;
}
