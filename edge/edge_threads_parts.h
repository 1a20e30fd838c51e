/* SPDX-License-Identifier: Apache-2.0
 * edge_threads_parts: what the threads of the edge share.
 * Audience: edge_threads*.c alone. Who may touch a field is said beside it. */
#pragma once

#include "edge/edge_metrics.h"
#include "edge/edge_threads.h"

#include <pthread.h>

/* What waits for the committer, at most; beyond it new clicks are refused with 503. */
#define QUEUE_CLICKS_MAX 262144
#define QUEUE_BYTES_MAX  (256u * 1024 * 1024)
/* What one transaction takes, at most (but at least one job). */
#define GROUP_CLICKS_MAX 16384
#define GROUP_BYTES_MAX  (8u * 1024 * 1024)
#define HOUSEKEEP_MS     100
#define READERS_CHECK_MS 60000

/* Upper bounds of the latency histogram, in milliseconds; one more bucket for what is slower. */
#define EDGE_LATENCY_BOUNDS                                                                        \
    {                                                                                              \
        1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000                                             \
    }
#define EDGE_LATENCY_BUCKETS 12

struct edge_worker {
    struct edge_threads *threads;
    pthread_t thread;
    uv_loop_t loop;
    uv_timer_t due;
    uv_async_t wake;
    struct h2_server *server;
    struct edge_http_rules rules; /* with the decoder */
    struct body_decode *decoder;
    /* loop's thread */
    struct edge_job *waiting; /* committed; for the quorum or the deadline */
    uint32_t jobs;            /* with the committer, or waiting */
    bool draining, drained, over;
    /* any thread */
    _Atomic uint32_t waiting_count;
    pthread_mutex_t lock;
    struct edge_job *done; /* under lock: from the committer, newest first */
    bool wakeable;         /* under lock: the loop still runs */
    SSL_CTX *next_tls;     /* under lock: to be used from the next wake-up on; else NULL */
};

struct edge_threads {
    struct edge_threads_options options;
    struct edge_pipeline *pipeline;
    struct metrics *metrics;
    struct h2_counters h2;
    struct edge_refused refused;
    _Atomic uint64_t answer_ms[EDGE_LATENCY_BUCKETS], answer_ms_sum;
    _Atomic uint64_t *accepted_by_line; /* home * partitions + partition */
    struct edge_worker *workers;
    uint32_t started_workers; /* the thread that starts and stops */
    _Atomic bool draining, spool_full, forwarding_over;
    _Atomic uint32_t drain_ms;
    uint16_t port;
    /* committer */
    pthread_t committer;
    bool committer_runs;
    struct edge_item *group;
    size_t group_capacity;
    struct edge_mark **mark_of_line; /* of the job being marked; by line */
    uint64_t kept_house_ms, checked_readers_ms;
    pthread_mutex_t queue_lock;
    pthread_cond_t queue_filled;
    struct edge_job *queue_first, **queue_end; /* under queue_lock, with the next four */
    uint64_t queue_clicks, queue_bytes;
    bool queue_closed;
    /* forwarder */
    pthread_t forwarder;
    bool forwarder_runs;
    _Atomic uint64_t forward_until_ms; /* 0: for ever */
    bool all_forwarded;                /* after the join */
};

extern const struct metric_row edge_metric_rows[];

uint64_t edge_threads_mono_ms(const struct edge_threads *t);

/* edge_threads_report.c: from the end of a request's header fields to its answer. */
void edge_threads_count_latency(struct edge_threads *t, uint64_t ms);

/* edge_threads_commit.c */
/* False where too much waits already: nothing was taken. */
bool edge_threads_queue(struct edge_threads *t, struct edge_job *job);
void *edge_threads_commit_run(void *threads);
/* Back to the workers; `jobs` is a list by next. */
void edge_threads_hand_back(struct edge_threads *t, struct edge_job *jobs);

/* edge_threads_work.c */
enum err edge_worker_init(struct edge_worker *w, struct edge_threads *t, const char *listen,
                          bool first);
void *edge_worker_run(void *worker);
void edge_worker_wake(struct edge_worker *w);
