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
/* What one transaction takes, at most, beside its clicks (commit_pace). */
#define GROUP_BYTES_MAX (2u * 1024 * 1024)
#define HOUSEKEEP_MS    100
/* Fewer requests than these in a turn are never refused for being late. */
#define LATE_REQUESTS_MIN 256
/* So many requests of one turn, at most, wait for its end before the committer hears of them. */
#define JUDGED_MAX       256
#define READERS_CHECK_MS 60000

/* What an answer promised, for its latency. */
enum edge_promise {
    EDGE_PROMISE_NONE,
    EDGE_PROMISE_SPOOLED,
    EDGE_PROMISE_REPLICATED,
    EDGE_PROMISES
};

struct edge_worker {
    struct edge_threads *threads;
    pthread_t thread;
    uv_loop_t loop;
    uv_timer_t due;
    uv_async_t wake;
    uv_check_t turn_end;
    struct h2_server *server;
    struct edge_http_rules rules; /* with the decoder, the pool and the turns */
    struct partition_turn turns[LIMIT_REGIONS];
    struct body_decode *decoder;
    struct edge_job_pool pool;
    /* loop's thread */
    struct edge_job *judged, **judged_end; /* of this turn; to the committer at its end */
    uint32_t judged_count, turn_requests;
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
    struct peer_gate *peers;
    struct edge_refused refused;
    struct metrics_histogram answer_times[EDGE_PROMISES], commit_times;
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
    _Atomic bool disk_low;          /* the disk has no room for all of spool.bytes */
    bool pressed;                   /* the spool is nearly full */
    uint32_t passed[LIMIT_REGIONS]; /* readers that the log says are passed over, bit by bit */
    pthread_mutex_t queue_lock;
    pthread_cond_t queue_filled;
    struct edge_job *queue_first, **queue_end; /* under queue_lock, with the next four */
    uint64_t queue_clicks, queue_bytes;
    bool queue_closed, pacing;
    uint64_t begun_us;                /* committer: when the last transaction began, monotonic */
    _Atomic uint64_t queue_oldest_ms; /* when the first in the queue came; 0: it is empty */
    /* forwarder */
    pthread_t forwarder;
    bool forwarder_runs;
    _Atomic uint64_t forward_until_ms; /* 0: for ever */
    bool all_forwarded;                /* after the join */
};

extern const struct metric_row edge_metric_rows[];

uint64_t edge_threads_mono_ms(const struct edge_threads *t);

/* edge_threads_commit.c */
/* Jobs by next, oldest first; returns, as such a list, those that find too much waiting already. */
struct edge_job *edge_threads_queue(struct edge_threads *t, struct edge_job *jobs);
/* Does the queue wait so long that new clicks should be refused? Any thread. */
bool edge_threads_is_late(const struct edge_threads *t);
void *edge_threads_commit_run(void *threads);
/* Back to the workers; `jobs` is a list by next. */
void edge_threads_hand_back(struct edge_threads *t, struct edge_job *jobs);

/* edge_threads_degraded.c */
/* How large the spool can be where it lies; committer's thread. */
uint64_t edge_threads_look_at_disk(struct edge_threads *t, uint64_t map_bytes);
/* Tells the pipeline how full the spool is, and the log past whom it goes. */
void edge_threads_press(struct edge_threads *t, uint64_t used_bytes, uint64_t map_bytes);
void edge_threads_put_passed(const struct edge_threads *t, struct buf *out);
void edge_threads_say_passed(const struct edge_threads *t, struct buf *out); /* for /readyz */

/* edge_threads_work.c */
enum err edge_worker_init(struct edge_worker *w, struct edge_threads *t, const char *listen,
                          bool first);
void *edge_worker_run(void *worker);
void edge_worker_wake(struct edge_worker *w);
