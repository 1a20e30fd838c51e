/* SPDX-License-Identifier: Apache-2.0
 * running_edge: a whole edge inside a test: real threads, TLS and spool; the bus and the spool's
 * troubles are the test's. Audience: tests. */
#pragma once

#include "common/run/clock_os.h"
#include "common/run/kv_lmdb.h"
#include "common/run/tls.h"
#include "edge/edge_threads.h"
#include "tests/unit/edge/held_bus.h"
#include "tests/unit/run/made_certs.h"

#include <signal.h>

#define RUNNING_EDGE_SILENT_MS 1000u

struct running_edge {
    struct made_certs certs;
    char spool_path[96];
    SSL_CTX *tls;
    struct kv_port *spool; /* the real one */
    struct kv_port faulty; /* begins as the test says */
    _Atomic int begin_err; /* enum err of the next write transactions */
    _Atomic uint64_t used_bytes;
    struct held_bus bus[2];
    struct wake *wake;
    struct edge_threads *threads;
    struct edge_pipeline *pipeline;
    uint16_t port;
};

static const char running_edge_regions[2][LIMIT_REGION_NAME_BYTES + 1] = {"us", "eu"};
static const uint8_t running_edge_secret[HASH_KEY_BYTES] = {7};

static enum err running_edge_begin(struct kv_port *kv, bool write, struct kv_txn **out)
{
    struct running_edge *e = container_of(kv, struct running_edge, faulty);
    enum err err = (enum err)e->begin_err;
    if (write && err != ERR_OK)
        return err;
    return kv_begin(e->spool, write, out);
}

static void running_edge_usage(void *context, uint64_t *used, uint64_t *map)
{
    struct running_edge *e = context;
    *used = e->used_bytes;
    *map = 1000;
}

static void running_edge_unfit(enum err err, const char *where)
{
    (void)err, (void)where;
    _exit(70);
}

static inline struct running_edge *running_edge_new(uint32_t workers, uint32_t budget_ms,
                                                    uint32_t durable_ms)
{
    struct running_edge *e = base_zalloc(1, sizeof(*e));
    signal(SIGPIPE, SIG_IGN);
    made_certs_init(&e->certs);
    snprintf(e->spool_path, sizeof(e->spool_path), "%s/spool", e->certs.folder);
    const struct tls_options tls = {.certificate_file = e->certs.certificate,
                                    .key_file = e->certs.key};
    CHECK(tls_server_new(&tls, &e->tls) == ERR_OK);
    const struct kv_lmdb_options kv = {.path = e->spool_path,
                                       .map_bytes = 64 * 1024 * 1024,
                                       .tables = edge_table_names,
                                       .table_count = EDGE_TABLES};
    CHECK(kv_lmdb_open(&kv, &e->spool) == ERR_OK);
    e->faulty.begin = running_edge_begin;
    e->wake = wake_new();

    const struct edge_threads_options options = {
        .rules = {.admit = {.secret = running_edge_secret,
                            .regions = running_edge_regions,
                            .region_count = 2,
                            .partitions = 4,
                            .horizon_ms = 24 * 3600000ULL},
                  .batch_clicks_max = LIMIT_BATCH_CLICKS},
        .clock = clock_os(),
        .tls = e->tls,
        .listen = "127.0.0.1:0",
        .workers = workers,
        .connections_max = 1000,
        .body_bytes_max = LIMIT_BODY_BYTES,
        .replication_budget_ms = budget_ms,
        .durable_wait_ms = durable_ms,
        .forward_wake = e->wake,
        .usage = running_edge_usage,
        .spool_context = e,
        .degraded_percent = 90,
        .unfit = running_edge_unfit,
    };
    e->threads = edge_threads_new(&options);
    struct edge_pipeline_options pipeline = {
        .edge = "us-e1",
        .region_count = 2,
        .partitions = 4,
        .heartbeat_ms = 30000,
        .publish_timeout_ms = 60000,
        .window_bytes = 4 << 20,
        .segment_bytes = 256 << 10,
        .reader_silent_ms = RUNNING_EDGE_SILENT_MS,
        .kv = &e->faulty,
        .clock = clock_os(),
        .on_acked = edge_threads_acked,
        .on_acked_context = e->threads,
    };
    for (unsigned i = 0; i < 2; i++) {
        held_bus_init(&e->bus[i], e->wake);
        memcpy(pipeline.regions[i].name, running_edge_regions[i], LIMIT_REGION_NAME_BYTES + 1);
        pipeline.regions[i].bus = &e->bus[i].port;
        pipeline.regions[i].reader_count = 2;
        snprintf(pipeline.regions[i].readers[0], LIMIT_READER_NAME_BYTES, "r1");
        snprintf(pipeline.regions[i].readers[1], LIMIT_READER_NAME_BYTES, "r2");
    }
    CHECK(edge_pipeline_new(&pipeline, &e->pipeline) == ERR_OK);
    CHECK(edge_threads_start(e->threads, e->pipeline) == ERR_OK);
    e->port = edge_threads_port(e->threads);
    return e;
}

/* The region's quorum answers, or does not, from now on. */
static inline void running_edge_hold(struct running_edge *e, bool hold)
{
    for (unsigned i = 0; i < 2; i++)
        e->bus[i].holding = hold;
    wake_signal(e->wake);
}

static inline void running_edge_remove(struct made_certs *certs, const char *spool_path)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "owner.lock"};
    char path[128];
    for (unsigned i = 0; i < countof(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", spool_path, files[i]);
        (void)unlink(path);
    }
    (void)rmdir(spool_path);
    made_certs_done(certs);
}

static inline void running_edge_free(struct running_edge *e)
{
    edge_threads_free(e->threads);
    edge_pipeline_free(e->pipeline);
    for (unsigned i = 0; i < 2; i++)
        held_bus_forget(&e->bus[i]);
    kv_lmdb_close(e->spool);
    wake_free(e->wake);
    SSL_CTX_free(e->tls);
    running_edge_remove(&e->certs, e->spool_path);
    free(e);
}
