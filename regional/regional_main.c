/* SPDX-License-Identifier: Apache-2.0
 * regional_main: tributary-regional: connects the replica to LMDB, JetStream and the admin port. */
#include "common/run/bus_nats.h"
#include "common/run/clock_os.h"
#include "common/run/kv_lmdb.h"
#include "common/run/log.h"
#include "common/run/options.h"
#include "common/run/service.h"
#include "common/run/wake.h"
#include "proto/subject.h"
#include "regional/regional_admin.h"
#include "regional/regional_admin_restore.h"
#include "regional/regional_options.h"
#include "regional/regional_shell.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KEEP_SECONDS       (7ULL * 24 * 3600)
#define READERS_CHECK_MS   60000u
#define SHOW_MS            100u
#define PUBLISH_TIMEOUT_MS 2000u

struct region {
    struct regional_options *options;
    struct kv_port *kv;
    struct wake *wake;
    struct bus_port *bus;
    struct replica *replica;
    struct regional_admin *admin;
    struct bus_nats_stream streams[LIMIT_PARTITIONS + 1];
    struct subject names[LIMIT_PARTITIONS + 1], filters[LIMIT_PARTITIONS + 1];
    volatile sig_atomic_t stopping;
};

static struct region region; /* one a process; the signal handler must find it */

static void on_signal(int number)
{
    (void)number;
    region.stopping = 1;
    wake_signal(region.wake);
}

static void on_note(void *context, const struct replica_note *note)
{
    (void)context;
    switch (note->kind) {
    case REPLICA_NEW_STORE:
        log_info("new store", log_u64("store_id", note->store_id));
        break;
    case REPLICA_ADOPTED_STORE:
        log_info("copied store adopted", log_u64("store_id", note->store_id));
        break;
    case REPLICA_LOADED:
        log_info("loaded", log_u64("partition", note->partition), log_u64("seq", note->seq));
        break;
    case REPLICA_PROOF_FAILED:
        log_warn("position not proven, reading the stream again from its start",
                 log_u64("partition", note->partition), log_u64("seq", note->seq));
        break;
    case REPLICA_STOPPED:
        log_error("partition stopped", log_u64("partition", note->partition),
                  log_u64("seq", note->seq), log_err(note->err), log_text("why", note->words));
        break;
    case REPLICA_CAUGHT_UP:
        log_info("caught up", log_u64("partition", note->partition), log_u64("seq", note->seq));
        break;
    case REPLICA_STORE_FULL:
        log_error("store full: nothing is folded until there is room", log_err(note->err));
        break;
    }
}

static uint32_t list_streams(const uint16_t *partitions, uint32_t count)
{
    const struct regional_options *o = region.options;
    for (uint32_t i = 0; i <= count; i++) {
        bool last = i == count;
        region.names[i] = last ? subject_partials_stream(o->region)
                               : subject_clicks_stream(o->region, partitions[i]);
        region.filters[i] =
            last ? subject_partials_all(o->region) : subject_clicks_all(o->region, partitions[i]);
        region.streams[i] = (struct bus_nats_stream){.name = region.names[i].text,
                                                     .subjects = region.filters[i].text,
                                                     .replicas = o->nats.stream_replicas,
                                                     .age_max_s = KEEP_SECONDS,
                                                     .bytes_max = o->nats.stream_bytes};
    }
    return count + 1;
}

static enum err open_bus(const uint16_t *partitions, uint32_t count)
{
    const struct regional_options_nats *nats = &region.options->nats;
    struct buf password = {0};
    char *error = NULL;
    if (nats->password_file != NULL) {
        if (options_secret(nats->password_file, 256, &password, &error) != ERR_OK) {
            log_error("cannot read the password", log_text("reason", error));
            free(error);
            return ERR_CONFIG;
        }
        buf_put_u8(&password, '\0');
    }
    struct bus_nats_options options = {
        .url = nats->url,
        .user = nats->user,
        .password = nats->password_file == NULL ? NULL : (const char *)password.data,
        .name = region.options->replica,
        .domain = nats->domain,
        .streams = region.streams,
        .stream_count = list_streams(partitions, count),
        /* A partial that is sent twice is stored once (its message id), or changes nothing. */
        .publish_timeout_ms = PUBLISH_TIMEOUT_MS,
        .notify = wake_signal,
        .notify_context = region.wake,
    };
    enum err err = bus_nats_open(&options, &region.bus);
    if (password.data != NULL)
        explicit_bzero(password.data, password.capacity);
    buf_done(&password);
    return err;
}

static enum err open_replica(void)
{
    static uint16_t partitions[LIMIT_PARTITIONS];
    const struct regional_options *o = region.options;
    uint32_t count = regional_options_partitions(o->partitions, o->partitions_total, partitions);
    CHECK(count > 0);
    enum err err = open_bus(partitions, count);
    if (err != ERR_OK)
        return err;
    struct replica_options options = {
        .partitions_total = o->partitions_total,
        .partitions_first = o->partitions_first,
        .partitions = partitions,
        .partition_count = count,
        .lateness_ms = o->allowed_lateness_ms,
        .horizon_minutes = o->horizon_hours * 60,
        .partial_interval_ms = o->partial_interval_ms,
        .settle_ms = regional_options_settle_ms(o),
        .memory_bytes = (uint64_t)o->memory_mib << 20,
        .kv = region.kv,
        .bus = region.bus,
        .clock = clock_os(),
        .on_note = on_note,
    };
    (void)snprintf(options.replica, sizeof(options.replica), "%s", o->replica);
    (void)snprintf(options.region, sizeof(options.region), "%s", o->region);
    err = replica_new(&options, &region.replica);
    if (err == ERR_CONFIG)
        log_error("the store is of another region or partition, or began with another number of "
                  "partitions (partitions_first)",
                  log_text("path", o->store.path));
    return err;
}

static enum err start(void)
{
    const struct regional_options *o = region.options;
    struct kv_lmdb_options store = {.path = o->store.path,
                                    .map_bytes = o->store.bytes,
                                    .tables = replica_table_names,
                                    .table_count = CUT_TABLES};
    enum err err = kv_lmdb_open(&store, &region.kv);
    if (err == ERR_OK)
        err = open_replica();
    struct regional_admin_options admin = {.listen = o->admin_listen,
                                           .store_path = o->store.path,
                                           .kv = region.kv,
                                           .replica = o->replica,
                                           .region = o->region,
                                           .behind_ms = o->behind_ms};
    if (err == ERR_OK)
        err = regional_admin_start(&admin, &region.admin);
    if (err == ERR_OK)
        regional_admin_show(region.admin, region.replica);
    if (err == ERR_OK)
        err = regional_shell_write_ports(o->ports_file, o->admin_listen,
                                         regional_admin_port(region.admin));
    if (err != ERR_OK) {
        log_error("cannot start", log_err(err));
        return err;
    }
    log_info("ready", log_text("replica", o->replica), log_text("region", o->region),
             log_u64("admin_port", regional_admin_port(region.admin)));
    service_notify("READY=1");
    return ERR_OK;
}

/* The replica's loop. */
static enum err fold_until_stopped(void)
{
    struct clock_port *clock = clock_os();
    uint64_t readers_ms = 0, show_ms = 0;
    while (!region.stopping) {
        uint32_t idle_ms = 0;
        enum err err = replica_step(region.replica, &idle_ms);
        if (err != ERR_OK) {
            log_error("unfit, stopping", log_err(err));
            return err;
        }
        uint64_t now_ms = clock->mono_ms(clock);
        if (now_ms >= show_ms) {
            regional_admin_show(region.admin, region.replica);
            show_ms = now_ms + SHOW_MS;
        }
        if (now_ms >= readers_ms) {
            kv_lmdb_check_readers(region.kv);
            readers_ms = now_ms + READERS_CHECK_MS;
        }
        if (idle_ms > 0)
            (void)wake_wait(region.wake, idle_ms);
    }
    service_notify("STOPPING=1");
    return replica_stop(region.replica);
}

static void stop(void)
{
    regional_admin_stop(region.admin);
    replica_free(region.replica);
    if (region.bus != NULL)
        bus_nats_close(region.bus);
    if (region.kv != NULL)
        kv_lmdb_close(region.kv);
    wake_free(region.wake);
    regional_options_free(region.options);
}

/* Takes "--restore-from URL" out of the arguments, for the common command line does not know it. */
static const char *take_restore(int *argc, char **argv)
{
    for (int i = 1; i + 1 < *argc; i++) {
        if (strcmp(argv[i], "--restore-from") != 0)
            continue;
        const char *url = argv[i + 1];
        for (int j = i; j + 2 <= *argc; j++)
            argv[j] = argv[j + 2];
        *argc -= 2;
        return url;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct options_line line;
    int code = 0;
    char *error = NULL;
    const char *restore = take_restore(&argc, argv);
    service_guard_memory();
    if (!options_command_line(argc, argv, regional_options_help, &line, &code))
        return code;
    if (regional_options_load(line.config, &region.options, &error) != ERR_OK) {
        (void)fprintf(stderr, "tributary-regional: %s\n", error);
        free(error);
        return EXIT_CODE_CONFIG;
    }
    enum log_level level = LOG_INFO;
    if (region.options->log_level != NULL)
        CHECK(log_level_parse(region.options->log_level, &level));
    log_init("tributary-regional", level);
    region.wake = wake_new();
    enum err err = ERR_OK;
    if (line.check_only) {
        (void)printf("%s: ok\n", line.config);
    } else {
        service_catch_signals(on_signal);
        if (restore != NULL)
            err = regional_admin_restore(restore, region.options->store.path,
                                         region.options->store.bytes);
        if (err == ERR_OK)
            err = start();
        if (err == ERR_OK)
            err = fold_until_stopped();
        log_info("stopped", log_err(err));
    }
    stop();
    return regional_shell_exit_code(err);
}
