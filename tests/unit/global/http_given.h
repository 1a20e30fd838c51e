/* SPDX-License-Identifier: Apache-2.0
 * http_given: a globe that answers over real TLS, HTTP/2 and LMDB, with the clicks of two ads of
 * one partition. Audience: tests/unit/global. */
#pragma once

#include "common/run/kv_lmdb.h"
#include "common/run/log.h"
#include "common/run/tls.h"
#include "global/global_http.h"
#include "global/global_metrics.h"
#include "globe_given.h"
#include "tests/unit/run/h2_probe.h"
#include "tests/unit/run/made_certs.h"
#include "tests/unit/run/scratch.h"

#include <jansson.h>

struct http_given {
    struct made_certs certs;
    SSL_CTX *tls;
    char *folder;
    struct kv_port *kv;
    struct given_world *w;
    struct metrics *metrics;
    struct global_http *http;
    struct h2_probe *probe;
    const char *zoneinfo; /* NULL: the system's */
    const char *ads[2];   /* both of partition 0, names of one length */
};

static inline void http_given_clicks(struct http_given *g)
{
    g->ads[0] = given_ad(0, 0);
    g->ads[1] = given_ad(0, 1);
    for (unsigned n = 2; strlen(g->ads[1]) != strlen(g->ads[0]); n++)
        g->ads[1] = given_ad(0, n);
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        for (uint16_t p = 0; p < GIVEN_PARTITIONS; p++) {
            struct given_replica *r = given_replica(g->w, i, p, i == 0 ? "us-r1" : "eu-r1");
            for (unsigned ad = 0; p == 0 && ad < countof(g->ads); ad++)
                given_click(r, g->ads[ad], GIVEN_MINUTE, i, 2 + i + 10 * ad, 1);
            r->closed_before++;
            given_cut(r);
            given_replica_free(r);
        }
    cr_assert_eq(given_run(g->w), ERR_OK);
}

/* tokens may be NULL. */
static inline void http_given_start(struct http_given *g, struct global_tokens *tokens,
                                    int read_log)
{
    struct global_http_options options = {
        .reader = {.regions = {"us", "eu"},
                   .region_count = 2,
                   .kv = g->kv,
                   .clock = &g->w->clock.port},
        .tls = g->tls,
        .listen = "127.0.0.1:0",
        .workers = 2,
        .metrics = g->metrics,
        .tokens = tokens,
        .read_log = read_log,
        .zoneinfo = g->zoneinfo,
    };
    cr_assert_eq(global_http_start(&options, &g->http), ERR_OK);
    struct h2_probe_options how = {0};
    g->probe = h2_probe_open(global_http_port(g->http), &how);
    cr_assert_not_null(g->probe);
}

static inline void http_given_init(struct http_given *g)
{
    log_init("test", LOG_ERROR);
    made_certs_init(&g->certs);
    g->folder = scratch_new();
    struct tls_options tls_options = {.certificate_file = g->certs.certificate,
                                      .key_file = g->certs.key};
    cr_assert_eq(tls_server_new(&tls_options, &g->tls), ERR_OK);
    struct kv_lmdb_options store = {.path = scratch_path(g->folder, "store"),
                                    .map_bytes = 64u << 20,
                                    .tables = leaf_table_names,
                                    .table_count = LEAF_TABLES};
    cr_assert_eq(kv_lmdb_open(&store, &g->kv), ERR_OK);
    g->w = given_world();
    merger_free(g->w->merger);
    sim_kv_free(g->w->kv);
    g->w->kv = g->kv;
    given_start(g->w);
    http_given_clicks(g);
    g->metrics = metrics_new(global_metric_rows, GLOBAL_METRIC_COUNT);
}

static inline void http_given_done(struct http_given *g)
{
    h2_probe_close(g->probe);
    global_http_stop(g->http);
    metrics_free(g->metrics);
    merger_free(g->w->merger);
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        sim_bus_server_free(g->w->servers[i]);
    free(g->w);
    kv_lmdb_close(g->kv);
    SSL_CTX_free(g->tls);
    scratch_free(g->folder);
    made_certs_done(&g->certs);
}

/* token: NULL for none. */
static inline struct h2_probe_answer *http_given_get(struct http_given *g, const char *token,
                                                     const char *path)
{
    char value[256];
    const char *fields[] = {"authorization", value, NULL};
    (void)snprintf(value, sizeof(value), "Bearer %s", token == NULL ? "" : token);
    return h2_probe_one(g->probe, "GET", path, token == NULL ? NULL : fields, (struct span){0});
}

static inline json_t *http_given_json(struct h2_probe_answer *a)
{
    json_t *root =
        json_loadb((const char *)a->body.data, a->body.length, JSON_REJECT_DUPLICATES, NULL);
    cr_assert_not_null(root, "%s", h2_probe_text(a));
    return root;
}
