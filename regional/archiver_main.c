/* SPDX-License-Identifier: Apache-2.0
 * archiver_main: tributary-archiver: connects the archiver to LMDB, JetStream, a folder or S3, and
 * the admin port. */
#include "common/run/bus_nats.h"
#include "common/run/clock_os.h"
#include "common/run/kv_lmdb.h"
#include "common/run/log.h"
#include "common/run/object_digest.h"
#include "common/run/object_folder.h"
#include "common/run/object_s3.h"
#include "common/run/options.h"
#include "common/run/service.h"
#include "common/run/wake.h"
#include "proto/subject.h"
#include "regional/archiver_admin.h"
#include "regional/archiver_options.h"
#include "regional/regional_shell.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KEEP_SECONDS      (7ULL * 24 * 3600)
#define READERS_CHECK_MS  60000u
#define SHOW_MS           100u
#define READ_WINDOW_BYTES (4ULL << 20) /* of each partition, while objects cannot be put */
#define SECRET_BYTES_MAX  4096

struct program {
    struct archiver_options_file *options;
    struct kv_port *kv;
    struct wake *wake;
    struct bus_port *bus;
    struct object_store *store;
    struct archiver *archiver;
    struct archiver_admin *admin;
    struct bus_nats_stream streams[LIMIT_PARTITIONS];
    struct subject names[LIMIT_PARTITIONS], filters[LIMIT_PARTITIONS];
    volatile sig_atomic_t stopping;
};

static struct program program; /* one a process; the signal handler must find it */

static void on_signal(int number)
{
    (void)number;
    program.stopping = program.stopping < 2 ? program.stopping + 1 : 2;
    wake_signal(program.wake);
}

/* The first signal asks for a clean end, with one try to put what waits; the second gives that up.
 */
static bool gives_up(void *context)
{
    (void)context;
    return program.stopping >= 2;
}

static void on_note(void *context, const struct archiver_note *note)
{
    (void)context;
    switch (note->kind) {
    case ARCHIVER_NEW_STORE:
        log_info("new store", log_u64("store_id", note->store_id));
        break;
    case ARCHIVER_LOADED:
        log_info("loaded", log_u64("partition", note->partition), log_u64("seq", note->seq));
        break;
    case ARCHIVER_PROOF_FAILED:
        log_warn("position not proven, reading the stream again from its start",
                 log_u64("partition", note->partition), log_u64("seq", note->seq));
        break;
    case ARCHIVER_CAUGHT_UP:
        log_info("caught up", log_u64("partition", note->partition), log_u64("seq", note->seq));
        break;
    case ARCHIVER_STORE_AWAY:
        log_error("cannot be made durable now: nothing is read until it is",
                  log_u64("partition", note->partition), log_text("what", note->name),
                  log_err(note->err));
        break;
    case ARCHIVER_STORE_BACK:
        log_info("durable again: reading on", log_u64("partition", note->partition));
        break;
    case ARCHIVER_PUT:
        log_debug("archived", log_text("object", note->name), log_u64("clicks", note->clicks),
                  log_u64("bytes", note->bytes));
        break;
    case ARCHIVER_HOLE:
        log_error("numbers that no edge holds any more and that are not archived here",
                  log_u64("partition", note->partition), log_u64("seq", note->seq),
                  log_u64("numbers", note->clicks));
        break;
    }
}

/* A secret as text; NULL for no path. False: logged. */
static bool read_secret(const char *path, struct buf *out)
{
    char *error = NULL;
    if (path == NULL)
        return true;
    if (options_secret(path, SECRET_BYTES_MAX, out, &error) != ERR_OK) {
        log_error("cannot read a secret", log_text("reason", error));
        free(error);
        return false;
    }
    buf_put_u8(out, '\0');
    return true;
}

static void wipe(struct buf *secret)
{
    if (secret->data != NULL)
        explicit_bzero(secret->data, secret->capacity);
    buf_done(secret);
}

static enum err open_bus(const uint16_t *partitions, uint32_t count)
{
    const struct archiver_options_file *o = program.options;
    struct buf password = {0};
    if (!read_secret(o->nats.password_file, &password))
        return ERR_CONFIG;
    for (uint32_t i = 0; i < count; i++) {
        program.names[i] = subject_clicks_stream(o->region, partitions[i]);
        program.filters[i] = subject_clicks_all(o->region, partitions[i]);
        program.streams[i] = (struct bus_nats_stream){.name = program.names[i].text,
                                                      .subjects = program.filters[i].text,
                                                      .replicas = o->nats.stream_replicas,
                                                      .age_max_s = KEEP_SECONDS,
                                                      .bytes_max = o->nats.stream_bytes};
    }
    struct bus_nats_options options = {
        .url = o->nats.url,
        .user = o->nats.user,
        .password = (const char *)password.data,
        .name = o->archiver,
        .domain = o->nats.domain,
        .streams = program.streams,
        .stream_count = count,
        .read_window_bytes = READ_WINDOW_BYTES,
        .notify = wake_signal,
        .notify_context = program.wake,
    };
    enum err err = bus_nats_open(&options, &program.bus);
    wipe(&password);
    return err;
}

static enum err open_s3(const struct archiver_options_s3 *s3)
{
    struct buf access = {0}, secret = {0}, token = {0};
    enum err err = ERR_CONFIG;
    if (read_secret(s3->access_key_file, &access) && read_secret(s3->secret_key_file, &secret) &&
        read_secret(s3->session_token_file, &token)) {
        struct object_s3_options options = {.endpoint = s3->endpoint,
                                            .region = s3->region,
                                            .bucket = s3->bucket,
                                            .prefix = s3->prefix,
                                            .access_key = (const char *)access.data,
                                            .secret_key = (const char *)secret.data,
                                            .session_token = (const char *)token.data,
                                            .path_style = s3->path_style,
                                            .storage_class = s3->storage_class,
                                            .ca_file = s3->ca_file,
                                            .part_bytes = s3->part_bytes,
                                            .timeout_ms = s3->timeout_ms,
                                            .stopping = gives_up};
        err = object_s3_open(&options, &program.store);
    }
    wipe(&access);
    wipe(&secret);
    wipe(&token);
    return err;
}

static enum err open_archiver(void)
{
    static uint16_t partitions[LIMIT_PARTITIONS];
    const struct archiver_options_file *o = program.options;
    uint32_t count = regional_options_partitions(o->partitions, o->partitions_total, partitions);
    CHECK(count > 0);
    enum err err = o->archive.folder != NULL
                       ? object_folder_open(o->archive.folder, false, &program.store)
                       : open_s3(o->archive.s3);
    if (err == ERR_OK)
        err = open_bus(partitions, count);
    if (err != ERR_OK)
        return err;
    struct archiver_options options = {.partitions_total = o->partitions_total,
                                       .partitions = partitions,
                                       .partition_count = count,
                                       .object_bytes = o->archive.object_bytes,
                                       .buffer_bytes = o->archive.buffer_bytes,
                                       .object_age_ms = o->archive.object_age_ms,
                                       .codec = o->codec,
                                       .ip = o->ip,
                                       .sha256 = object_digest,
                                       .kv = program.kv,
                                       .bus = program.bus,
                                       .clock = clock_os(),
                                       .store = program.store,
                                       .on_note = on_note};
    (void)snprintf(options.archiver, sizeof(options.archiver), "%s", o->archiver);
    (void)snprintf(options.region, sizeof(options.region), "%s", o->region);
    err = archiver_new(&options, &program.archiver);
    if (err == ERR_CONFIG)
        log_error("the store is of another archiver, region or partition",
                  log_text("path", o->store.path));
    return err;
}

static enum err start(void)
{
    const struct archiver_options_file *o = program.options;
    struct kv_lmdb_options store = {.path = o->store.path,
                                    .map_bytes = o->store.bytes,
                                    .tables = archiver_table_names,
                                    .table_count = ARCHIVER_TABLES};
    enum err err = kv_lmdb_open(&store, &program.kv);
    if (err == ERR_OK)
        err = open_archiver();
    struct archiver_admin_options admin = {.listen = o->admin_listen,
                                           .store_path = o->store.path,
                                           .kv = program.kv,
                                           .archiver = o->archiver,
                                           .region = o->region,
                                           .behind_ms = o->behind_ms};
    if (err == ERR_OK)
        err = archiver_admin_start(&admin, &program.admin);
    if (err == ERR_OK)
        archiver_admin_show(program.admin, program.archiver);
    if (err == ERR_OK)
        err = regional_shell_write_ports(o->ports_file, o->admin_listen,
                                         archiver_admin_port(program.admin));
    if (err != ERR_OK) {
        log_error("cannot start", log_err(err));
        return err;
    }
    log_info("ready", log_text("archiver", o->archiver), log_text("region", o->region),
             log_u64("admin_port", archiver_admin_port(program.admin)));
    service_notify("READY=1");
    return ERR_OK;
}

/* The archiver's loop. */
static enum err archive_until_stopped(void)
{
    struct clock_port *clock = clock_os();
    uint64_t readers_ms = 0, show_ms = 0;
    while (!program.stopping) {
        uint32_t idle_ms = 0;
        enum err err = archiver_step(program.archiver, &idle_ms);
        if (err != ERR_OK) {
            log_error("unfit, stopping", log_err(err));
            return err;
        }
        uint64_t now_ms = clock->mono_ms(clock);
        if (now_ms >= show_ms) {
            archiver_admin_show(program.admin, program.archiver);
            show_ms = now_ms + SHOW_MS;
        }
        if (now_ms >= readers_ms) {
            kv_lmdb_check_readers(program.kv);
            readers_ms = now_ms + READERS_CHECK_MS;
        }
        if (idle_ms > 0)
            (void)wake_wait(program.wake, idle_ms);
    }
    service_notify("STOPPING=1");
    return archiver_stop(program.archiver);
}

static void stop(void)
{
    archiver_admin_stop(program.admin);
    archiver_free(program.archiver);
    if (program.bus != NULL)
        bus_nats_close(program.bus);
    if (program.options != NULL && program.options->archive.folder != NULL)
        object_folder_close(program.store);
    else
        object_s3_close(program.store);
    if (program.kv != NULL)
        kv_lmdb_close(program.kv);
    wake_free(program.wake);
    archiver_options_free(program.options);
}

int main(int argc, char **argv)
{
    struct options_line line;
    int code = 0;
    char *error = NULL;
    service_guard_memory();
    if (!options_command_line(argc, argv, archiver_options_help, &line, &code))
        return code;
    if (archiver_options_load(line.config, &program.options, &error) != ERR_OK) {
        (void)fprintf(stderr, "tributary-archiver: %s\n", error);
        free(error);
        return EXIT_CODE_CONFIG;
    }
    enum log_level level = LOG_INFO;
    if (program.options->log_level != NULL)
        CHECK(log_level_parse(program.options->log_level, &level));
    log_init("tributary-archiver", level);
    program.wake = wake_new();
    enum err err = ERR_OK;
    if (line.check_only) {
        (void)printf("%s: ok\n", line.config);
    } else {
        service_catch_signals(on_signal);
        err = start();
        if (err == ERR_OK)
            err = archive_until_stopped();
        log_info("stopped", log_err(err));
    }
    stop();
    return regional_shell_exit_code(err);
}
