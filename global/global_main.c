/* SPDX-License-Identifier: Apache-2.0
 * global_main: tributary-global: connects the merger and the query service to LMDB, JetStream and
 * TLS. */
#include "common/run/bus_nats.h"
#include "common/run/clock_os.h"
#include "common/run/kv_lmdb.h"
#include "common/run/log.h"
#include "common/run/options.h"
#include "common/run/service.h"
#include "common/run/tls.h"
#include "common/run/upkeep.h"
#include "common/run/wake.h"
#include "global/global_http.h"
#include "global/global_http_admin.h"
#include "global/global_merger.h"
#include "global/global_metrics.h"
#include "global/global_options.h"
#include "global/global_tokens.h"
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

struct globe {
    struct global_options *options;
    struct metrics *metrics;
    struct kv_port *kv;
    SSL_CTX *tls;
    struct wake *wake;
    struct bus_port *buses[LIMIT_REGIONS];
    struct merger *merger;
    struct global_http *http;
    struct global_http_admin *admin;
    struct global_tokens *tokens;
    int read_log;
    _Atomic bool stopping, reload;
};

static struct globe globe; /* one a process; the signal handler must find it */

static void on_signal(int number)
{
    if (number == SIGHUP)
        globe.reload = true;
    else
        globe.stopping = true;
    wake_signal(globe.wake);
}

static void tell_divergence(const struct merger_view *now)
{
    const struct divergence_claim *a = &now->divergence[0], *b = &now->divergence[1];
    log_error("two replicas contradict each other; the larger counts are held",
              log_text("region", now->divergence_region), log_u64("partition", b->partition),
              log_u64("minute", b->total.minute), log_text("replica", a->replica),
              log_u64("counted", a->total.counted), log_u64("digest", a->total.digest),
              log_text("other", b->replica), log_u64("other_counted", b->total.counted),
              log_u64("other_digest", b->total.digest), log_u64("total", now->divergences));
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
    if (now->rows_retired != before->rows_retired)
        log_error("rows of minutes that are kept no longer were refused",
                  log_u64("total", now->rows_retired), log_u64("kept_from", now->kept_from_s));
    if (now->gaps != before->gaps)
        log_warn("messages are gone from a stream", log_u64("total", now->gaps));
    if (now->divergences != before->divergences)
        tell_divergence(now);
    if (now->mismatches != before->mismatches)
        log_info("totals differ, asking for whole minutes", log_u64("total", now->mismatches),
                 log_u64("wanted", now->minutes_wanted));
    if (now->minutes_given_up != before->minutes_given_up)
        log_error("minutes left every horizon before they were complete",
                  log_u64("total", now->minutes_given_up));
    if (now->commit_failures != before->commit_failures)
        log_error("the store refused a transaction", log_u64("total", now->commit_failures));
}

static enum err make_tls(SSL_CTX **out)
{
    const struct global_options *o = globe.options;
    const struct tls_options tls = {.certificate_file = o->tls.certificate_file,
                                    .key_file = o->tls.key_file,
                                    .client_ca_file = o->tls.client_ca_file,
                                    .http1 = *o->http1};
    return tls_server_new(&tls, out);
}

/* The files that may change under way: tokens and certificate. What is wrong changes nothing. */
static void reload(void)
{
    SSL_CTX *tls = NULL;
    bool good = true;
    service_notify_reloading();
    if (globe.tokens != NULL) {
        (void)global_tokens_look(globe.tokens, true);
        good = !global_tokens_are_stale(globe.tokens);
    }
    if (make_tls(&tls) == ERR_OK) {
        global_http_use_tls(globe.http, tls);
        SSL_CTX_free(globe.tls);
        globe.tls = tls;
        metrics_set(globe.metrics, GLOBAL_CERTIFICATE_END, upkeep_certificate_end_s(tls));
    } else {
        log_error("certificate is as before");
        good = false;
    }
    metrics_add(globe.metrics, good ? GLOBAL_RELOADS : GLOBAL_RELOADS_FAILED, 1);
    service_notify("READY=1");
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
        struct merger_view now;
        merger_view(globe.merger, &now);
        global_http_admin_show(globe.admin, &now);
        tell(&before, &now);
        before = now;
        if (err != ERR_OK) {
            log_error("unfit, stopping", log_err(err));
            return EXIT_CODE_UNFIT;
        }
        if (globe.reload) {
            globe.reload = false;
            reload();
        }
        uint64_t now_ms = clock->mono_ms(clock);
        if (now_ms >= look_ms) {
            uint64_t used;
            uint64_t size;
            if (globe.tokens != NULL)
                (void)global_tokens_look(globe.tokens, false);
            kv_lmdb_usage(globe.kv, &used, &size);
            metrics_set(globe.metrics, GLOBAL_STORE_USED, used);
            metrics_set(globe.metrics, GLOBAL_STREAMS_OPEN, global_http_streams(globe.http));
            metrics_set(globe.metrics, GLOBAL_STORE_SIZE, size);
            metrics_set(globe.metrics, GLOBAL_STORE_DISK_FREE,
                        upkeep_disk_free_bytes(globe.options->store.path));
            if (globe.tokens != NULL)
                metrics_set(globe.metrics, GLOBAL_TOKENS_STALE,
                            global_tokens_are_stale(globe.tokens));
            look_ms = now_ms + STORE_LOOK_MS;
        }
        if (now_ms >= readers_ms) {
            kv_lmdb_check_readers(globe.kv);
            readers_ms = now_ms + READERS_CHECK_MS;
        }
        if (idle_ms > 0)
            (void)wake_wait(globe.wake, idle_ms);
    }
    service_notify("STOPPING=1");
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
        .minutes_days = globe.options->retention.minutes_days,
        .hours_days = globe.options->retention.hours_days,
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

static enum err open_tokens(void)
{
    const struct global_options_auth *auth = globe.options->auth;
    char *error = NULL;
    globe.read_log = -1;
    if (auth == NULL) {
        log_warn("queries need no token: whoever reaches the port may read every ad",
                 log_text("listen", globe.options->listen));
        return ERR_OK;
    }
    if (auth->read_log != NULL) {
        globe.read_log =
            open(auth->read_log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (globe.read_log < 0) {
            log_error("cannot open the log of reads", log_text("path", auth->read_log));
            return ERR_SYSTEM;
        }
    }
    enum err err =
        global_tokens_open(auth->tokens_file, auth->key_file, clock_os(), &globe.tokens, &error);
    if (err != ERR_OK)
        log_error("cannot read the tokens", log_text("reason", error));
    free(error);
    return err;
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
        .streams = globe.options->streams,
        .token_streams = globe.options->token_streams,
        .metrics = globe.metrics,
        .tokens = globe.tokens,
        .read_log = globe.read_log,
        .zoneinfo = globe.options->zoneinfo,
    };
    for (unsigned i = 0; i < globe.options->regions_count; i++)
        options.reader.regions[i] = globe.options->regions[i].name;
    return global_http_start(&options, &globe.http);
}

static enum err open_admin(void)
{
    struct merger_view view;
    struct global_http_admin_options options = {
        .listen = globe.options->admin_listen,
        .metrics = globe.metrics,
        .counters = global_http_counters(globe.http),
        .http = globe.http,
        .clock = clock_os(),
    };
    enum err err = global_http_admin_new(&options, &globe.admin);
    if (err != ERR_OK)
        return err;
    merger_view(globe.merger, &view);
    global_http_admin_show(globe.admin, &view);
    return global_http_admin_start(globe.admin);
}

static void host_of(const char *listen, char *out, size_t size)
{
    const char *colon = strrchr(listen, ':');
    (void)snprintf(out, size, "%.*s", (int)(colon - listen), listen);
}

static enum err write_ports(void)
{
    const struct global_options *o = globe.options;
    char text[600];
    char listen[256];
    char admin[256];
    host_of(o->listen, listen, sizeof(listen));
    host_of(o->admin_listen, admin, sizeof(admin));
    (void)snprintf(text, sizeof(text), "listen=%s:%u\nadmin=%s:%u\n", listen,
                   (unsigned)global_http_port(globe.http), admin,
                   (unsigned)global_http_admin_port(globe.admin));
    return service_write_ports(o->ports_file, text);
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
    if (err == ERR_OK)
        err = open_tokens();
    if (err == ERR_OK)
        err = open_http();
    if (err == ERR_OK)
        err = open_admin();
    if (err == ERR_OK)
        err = write_ports();
    if (err != ERR_OK) {
        log_error("cannot start", log_err(err));
        return err;
    }
    log_info("ready", log_u64("port", global_http_port(globe.http)),
             log_u64("admin_port", global_http_admin_port(globe.admin)),
             log_u64("regions", o->regions_count));
    service_notify("READY=1");
    return ERR_OK;
}

static void stop(void)
{
    global_http_admin_stop(globe.admin);
    global_http_stop(globe.http);
    global_tokens_free(globe.tokens);
    if (globe.read_log > 0)
        (void)close(globe.read_log);
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
    service_catch_signals(on_signal);
    (void)sigemptyset(&action.sa_mask);
    CHECK(sigaction(SIGHUP, &action, NULL) == 0);
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
    service_guard_memory();
    if (argc > 1 && strcmp(argv[1], "token") == 0)
        return global_tokens_command(argc - 1, argv + 1, clock_os());
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
    enum err err = make_tls(&globe.tls);
    globe.wake = wake_new();
    globe.metrics = metrics_new(global_metric_rows, GLOBAL_METRIC_COUNT);
    if (err == ERR_OK && !line.check_only) {
        metrics_set(globe.metrics, GLOBAL_CERTIFICATE_END, upkeep_certificate_end_s(globe.tls));
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
