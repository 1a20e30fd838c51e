/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/edge_threads.h"

#include "common/run/log.h"
#include "common/run/options.h"
#include "common/run/upkeep.h"
#include "edge/edge_threads_parts.h"

#include <stdio.h>
#include <stdlib.h>

uint64_t edge_threads_mono_ms(const struct edge_threads *t)
{
    return t->options.clock->mono_ms(t->options.clock);
}

struct edge_threads *edge_threads_new(const struct edge_threads_options *options)
{
    struct edge_threads *t = base_zalloc(1, sizeof(*t));
    pthread_condattr_t monotonic;

    CHECK(options->workers >= 1 && options->workers <= 256);
    t->options = *options;
    t->metrics = metrics_new(edge_metric_rows, EDGE_METRIC_COUNT);
    t->peers = peer_gate_new(&options->peers);
    metrics_set(t->metrics, EDGE_CERTIFICATE_END, upkeep_certificate_end_s(options->tls));
    t->workers = base_zalloc(options->workers, sizeof(*t->workers));
    for (uint32_t i = 0; i < options->workers;
         i++) /* others may try to wake them from the first request on */
        CHECK(pthread_mutex_init(&t->workers[i].lock, NULL) == 0);
    size_t lines = (size_t)options->rules.admit.region_count * options->rules.admit.partitions;
    t->accepted_by_line = base_zalloc(lines, sizeof(*t->accepted_by_line));
    t->mark_of_line = base_zalloc(lines, sizeof(struct edge_mark *));
    t->queue_end = &t->queue_first;
    CHECK(pthread_mutex_init(&t->queue_lock, NULL) == 0);
    CHECK(pthread_condattr_init(&monotonic) == 0);
    CHECK(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&t->queue_filled, &monotonic) == 0);
    CHECK(pthread_condattr_destroy(&monotonic) == 0);
    return t;
}

void edge_threads_acked(void *threads)
{
    struct edge_threads *t = threads;
    for (uint32_t i = 0; i < t->options.workers; i++)
        if (atomic_load(&t->workers[i].waiting_count) > 0)
            edge_worker_wake(&t->workers[i]);
}

static void *forward_run(void *threads)
{
    struct edge_threads *t = threads;
    struct edge_view view;

    for (;;) {
        uint32_t idle_ms = 0;
        enum err err = edge_forward(t->pipeline, &idle_ms);
        if (err != ERR_OK)
            t->options.unfit(err, "forward");
        uint64_t until = atomic_load(&t->forward_until_ms);
        if (until != 0) {
            edge_pipeline_view(t->pipeline, &view);
            t->all_forwarded = view.drained;
            if (view.drained || edge_threads_mono_ms(t) >= until)
                return NULL;
            idle_ms = (uint32_t)base_min_u64(idle_ms, 50);
        }
        if (idle_ms > 0)
            (void)wake_wait(t->options.forward_wake, idle_ms);
    }
}

/* All workers share one port, which the kernel may have chosen for the first. */
static enum err start_workers(struct edge_threads *t)
{
    char listen[320], host[256];
    uint16_t port;

    (void)snprintf(listen, sizeof(listen), "%s", t->options.listen);
    for (uint32_t i = 0; i < t->options.workers; i++) {
        enum err err = edge_worker_init(&t->workers[i], t, listen, i == 0);
        if (err != ERR_OK)
            return err;
        if (i == 0) {
            t->port = h2_server_port(t->workers[0].server);
            CHECK(options_address(listen, host, sizeof(host), &port));
            bool v6 = strchr(host, ':') != NULL;
            (void)snprintf(listen, sizeof(listen), v6 ? "[%s]:%u" : "%s:%u", host, t->port);
        }
        CHECK(pthread_create(&t->workers[i].thread, NULL, edge_worker_run, &t->workers[i]) == 0);
        t->started_workers++;
    }
    return ERR_OK;
}

enum err edge_threads_start(struct edge_threads *t, struct edge_pipeline *pipeline)
{
    t->pipeline = pipeline;
    CHECK(pthread_create(&t->committer, NULL, edge_threads_commit_run, t) == 0);
    t->committer_runs = true;
    enum err err = start_workers(t);
    if (err != ERR_OK) {
        (void)edge_threads_stop(t, 0, 0);
        return err;
    }
    CHECK(pthread_create(&t->forwarder, NULL, forward_run, t) == 0);
    t->forwarder_runs = true;
    return ERR_OK;
}

uint16_t edge_threads_port(const struct edge_threads *t)
{
    return t->port;
}

void edge_threads_use_tls(struct edge_threads *t, SSL_CTX *tls)
{
    metrics_set(t->metrics, EDGE_CERTIFICATE_END, upkeep_certificate_end_s(tls));
    for (uint32_t i = 0; i < t->started_workers; i++) {
        struct edge_worker *w = &t->workers[i];
        CHECK(SSL_CTX_up_ref(tls) == 1);
        pthread_mutex_lock(&w->lock);
        SSL_CTX *passed_over = w->next_tls;
        w->next_tls = tls;
        pthread_mutex_unlock(&w->lock);
        SSL_CTX_free(passed_over);
        edge_worker_wake(w);
    }
}

void edge_threads_count_reload(struct edge_threads *t, bool done)
{
    metrics_add(t->metrics, done ? EDGE_RELOADS : EDGE_RELOADS_FAILED, 1);
}

bool edge_threads_stop(struct edge_threads *t, uint32_t drain_ms, uint32_t forward_ms)
{
    /* 1. No new requests; the open ones are answered. */
    atomic_store(&t->drain_ms, drain_ms);
    atomic_store(&t->draining, true);
    for (uint32_t i = 0; i < t->started_workers; i++)
        edge_worker_wake(&t->workers[i]);
    for (uint32_t i = 0; i < t->started_workers; i++)
        CHECK(pthread_join(t->workers[i].thread, NULL) == 0);
    /* 2. No worker is left that could queue: the committer ends with FIN. */
    if (t->committer_runs) {
        pthread_mutex_lock(&t->queue_lock);
        t->queue_closed = true;
        pthread_cond_signal(&t->queue_filled);
        pthread_mutex_unlock(&t->queue_lock);
        CHECK(pthread_join(t->committer, NULL) == 0);
        t->committer_runs = false;
    }
    /* 3. What the spool still holds goes out, FIN last. What does not is sent after the next start.
     */
    if (t->forwarder_runs) {
        atomic_store(&t->forward_until_ms, edge_threads_mono_ms(t) + forward_ms);
        wake_signal(t->options.forward_wake);
        CHECK(pthread_join(t->forwarder, NULL) == 0);
        t->forwarder_runs = false;
    }
    return t->all_forwarded;
}

void edge_threads_free(struct edge_threads *t)
{
    if (t == NULL)
        return;
    CHECK(!t->committer_runs && !t->forwarder_runs && t->queue_first == NULL);
    for (uint32_t i = 0; i < t->options.workers; i++) {
        SSL_CTX_free(t->workers[i].next_tls);
        body_decode_free(t->workers[i].decoder);
        edge_job_pool_done(&t->workers[i].pool);
        CHECK(pthread_mutex_destroy(&t->workers[i].lock) == 0);
    }
    CHECK(pthread_mutex_destroy(&t->queue_lock) == 0);
    CHECK(pthread_cond_destroy(&t->queue_filled) == 0);
    metrics_free(t->metrics);
    peer_gate_free(t->peers);
    free(t->accepted_by_line);
    free(t->mark_of_line);
    free(t->group);
    free(t->workers);
    free(t);
}
