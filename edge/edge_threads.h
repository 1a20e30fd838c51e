/* SPDX-License-Identifier: Apache-2.0
 * edge_threads: the threads of an edge and how a request goes through them.
 * Audience: edge shell, tests.
 *
 *   worker (one loop, one listening socket) --jobs--> committer --commit--> worker --answer-->
 *                                                         |                   ^
 *                                                         v  wake             | acknowledged
 *                                                     forwarder --segments--> region
 *
 * Group commit: while the committer flushes one transaction, the clicks of all workers gather for
 * the next, which under load begins no sooner than 3 ms after it (commit_pace). Locks:
 * queue (committer and workers), done (one a worker); neither is held while another is taken. */
#pragma once

#include "common/run/h2_server.h"
#include "common/run/metrics.h"
#include "common/run/wake.h"
#include "edge/edge_http.h"

struct edge_threads;

struct edge_threads_options {
    struct edge_http_rules rules;
    struct clock_port *clock;
    SSL_CTX *tls;
    const char *listen;
    int inherited_file; /* > 0: a listening socket that all workers share, instead of `listen` */
    uint32_t workers;
    uint32_t connections_max; /* of all workers */
    size_t body_bytes_max;
    const struct proxy_network *proxy_networks, *forwarded_networks; /* see h2_server_options */
    uint32_t proxy_network_count, forwarded_network_count;
    struct peer_limits peers;                   /* by client address, all workers together */
    uint32_t stall_timeout_ms, idle_timeout_ms; /* 0: as h2_server has them */
    /* New clicks are refused (503) while many more wait for the committer than one transaction
     * takes, the oldest for longer than this, or while a turn of the loop lasts longer. 0: never.
     */
    uint32_t queue_ms;
    uint32_t replication_budget_ms; /* from the request's end on */
    uint32_t durable_wait_ms;       /* for Prefer: durability=replicated */
    struct wake *forward_wake;      /* signalled after each commit, and by the buses */
    const struct metrics_histogram *const *publish_times; /* one a region; NULL: not known */
    /* Bytes of the spool in use, and its size; committer's thread. */
    void (*usage)(void *context, uint64_t *out_used_bytes, uint64_t *out_map_bytes);
    void (*housekeep)(void *context); /* about once a minute; committer's thread; may be NULL */
    void *spool_context;
    const char *spool_path;    /* whose disk is watched; NULL: none */
    uint32_t degraded_percent; /* nearly full: missing folds are passed over; 100: never */
    /* A class STOP error: the outcome of a commit is unknown. Must not return. */
    void (*unfit)(enum err err, const char *where);
};

struct edge_threads *edge_threads_new(const struct edge_threads_options *options);

/* For edge_pipeline_options.on_acked; context is the struct edge_threads. */
void edge_threads_acked(void *threads);

/* ERR_CONFIG, ERR_SYSTEM: cannot listen (logged). The pipeline stays the caller's. */
enum err WARN_UNUSED edge_threads_start(struct edge_threads *t, struct edge_pipeline *pipeline);
uint16_t edge_threads_port(const struct edge_threads *t);
/* New connections of all workers use this context, soon; the caller may free its reference. */
void edge_threads_use_tls(struct edge_threads *t, SSL_CTX *tls);
/* For the metrics: how a reload of the configuration ended. */
void edge_threads_count_reload(struct edge_threads *t, bool done);

/* Ends everything in order: requests (up to drain_ms), commits, FIN, forwarding (up to forward_ms).
 * Returns true if nothing was left in the spool. */
bool edge_threads_stop(struct edge_threads *t, uint32_t drain_ms, uint32_t forward_ms);
void edge_threads_free(struct edge_threads *t);

/* /metrics, /readyz: any thread. */
void edge_threads_metrics(struct edge_threads *t, struct buf *out);
bool edge_threads_ready(struct edge_threads *t, struct buf *out_reason);
