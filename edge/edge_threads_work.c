/* SPDX-License-Identifier: Apache-2.0
 * edge_threads_work: a worker: requests to the committer, its verdicts and the quorum's back into
 * answers. */
#include "edge/edge_threads_parts.h"

#include "common/run/log.h"

#include <stdio.h>
#include <stdlib.h>

/* -- answers ------------------------------------------------------------------------------- */

static void count_answer(struct edge_threads *t, const struct edge_job *job)
{
    static const enum edge_metric counters[] = {
        [EDGE_OUTCOME_ACCEPTED] = EDGE_ANSWERED_ACCEPTED,
        [EDGE_OUTCOME_HOME] = EDGE_ANSWERED_HOME,
        [EDGE_OUTCOME_REFUSED] = EDGE_ANSWERED_REFUSED,
        [EDGE_OUTCOME_UNAVAILABLE] = EDGE_ANSWERED_UNAVAILABLE,
        [EDGE_OUTCOME_PREFLIGHT] = EDGE_ANSWERED_PREFLIGHT,
    };
    CHECK(job->answer.outcome > EDGE_OUTCOME_NONE && job->answer.outcome < countof(counters));
    metrics_add(t->metrics, counters[job->answer.outcome], 1);
    enum edge_promise promise = EDGE_PROMISE_NONE;
    if (job->answer.outcome == EDGE_OUTCOME_ACCEPTED)
        promise = job->answer.durability == EDGE_REPLICATED ? EDGE_PROMISE_REPLICATED
                                                            : EDGE_PROMISE_SPOOLED;
    metrics_histogram_add(&t->answer_times[promise],
                          uv_hrtime() / 1000 - job->request->received_mono_us);
    if (job->request->cancelled)
        metrics_add(t->metrics, EDGE_CANCELLED, 1);
}

/* At most six fields. */
static size_t put_cors(const struct edge_job *job, struct h2_header *out, char *max_age,
                       size_t size)
{
    size_t count = 0;
    if (job->vary_origin)
        out[count++] = (struct h2_header){"vary", "origin"};
    if (job->allow_origin == NULL)
        return count;
    out[count++] = (struct h2_header){"access-control-allow-origin", job->allow_origin};
    if (job->answer.outcome != EDGE_OUTCOME_PREFLIGHT) {
        out[count++] = (struct h2_header){"access-control-expose-headers", "retry-after"};
        return count;
    }
    (void)snprintf(max_age, size, "%u", job->answer.max_age_s);
    out[count++] = (struct h2_header){"access-control-allow-methods", "GET, POST"};
    out[count++] = (struct h2_header){"access-control-allow-headers",
                                      "content-type, content-encoding, idempotency-key, prefer"};
    out[count++] = (struct h2_header){"access-control-max-age", max_age};
    return count;
}

/* Sends job->answer; the job and its request are gone afterwards. */
static void respond(struct edge_worker *w, struct edge_job *job)
{
    const struct edge_answer *a = &job->answer;
    struct h2_header headers[9];
    size_t count = 0;
    char seconds[16], max_age[16];

    count_answer(w->threads, job);
    if (a->content_type != NULL)
        headers[count++] = (struct h2_header){"content-type", a->content_type};
    if (a->retry_after_s > 0) {
        (void)snprintf(seconds, sizeof(seconds), "%u", a->retry_after_s);
        headers[count++] = (struct h2_header){"retry-after", seconds};
    }
    if (a->allow != NULL)
        headers[count++] = (struct h2_header){"allow", a->allow};
    count += put_cors(job, headers + count, max_age, sizeof(max_age));
    CHECK(count <= countof(headers));
    edge_job_release(job); /* it borrows from the request, which ends here */
    h2_respond(job->request, a->status, headers, count, buf_span(&a->body));
    edge_job_free(job);
}

static bool is_replicated(const struct edge_threads *t, const struct edge_job *job)
{
    for (uint32_t i = 0; i < job->mark_count; i++) {
        const struct edge_mark *mark = &job->marks[i];
        if (edge_acked(t->pipeline, mark->home, mark->partition) <= mark->number)
            return false;
    }
    return true;
}

/* True when the waiting is over; job->answer is then set. */
static bool settle(const struct edge_worker *w, struct edge_job *job, uint64_t now_ms)
{
    struct edge_threads *t = w->threads;

    if (is_replicated(t, job)) {
        edge_job_accepted(job, EDGE_REPLICATED);
        metrics_add(t->metrics, EDGE_ANSWERED_REPLICATED, 1);
        return true;
    }
    if (now_ms < job->due_ms && !job->request->cancelled && !w->drained)
        return false;
    if (job->want_replicated) {
        edge_job_not_replicated(job);
        metrics_add(t->metrics, EDGE_NOT_REPLICATED, 1);
    } else {
        edge_job_accepted(job, EDGE_SPOOLED);
        metrics_add(t->metrics, EDGE_ANSWERED_SPOOLED, 1);
    }
    return true;
}

/* -- the end ------------------------------------------------------------------------------- */

static void finish_if_over(struct edge_worker *w)
{
    if (!w->drained || w->jobs > 0 || w->over)
        return;
    w->over = true;
    pthread_mutex_lock(&w->lock);
    w->wakeable = false; /* a wake-up after the close would write into a descriptor of others */
    pthread_mutex_unlock(&w->lock);
    h2_server_free(w->server);
    uv_close((uv_handle_t *)&w->wake, NULL);
    uv_close((uv_handle_t *)&w->due, NULL);
    uv_close((uv_handle_t *)&w->turn_end, NULL);
}

static void on_drained(void *worker)
{
    struct edge_worker *w = worker;
    w->drained = true;
    (void)uv_async_send(&w->wake); /* settles what still waits: no client is left */
}

/* -- turns --------------------------------------------------------------------------------- */

static void on_due(uv_timer_t *due);

static void settle_waiting(struct edge_worker *w)
{
    uint64_t now = edge_threads_mono_ms(w->threads), next_due = UINT64_MAX;
    struct edge_job **at = &w->waiting;

    while (*at != NULL) {
        struct edge_job *job = *at;
        if (settle(w, job, now)) {
            *at = job->next;
            w->jobs--;
            atomic_fetch_sub(&w->waiting_count, 1);
            respond(w, job);
        } else {
            next_due = base_min_u64(next_due, job->due_ms);
            at = &job->next;
        }
    }
    if (next_due == UINT64_MAX) {
        (void)uv_timer_stop(&w->due);
    } else {
        uv_update_time(&w->loop);
        uint64_t in_ms = next_due > now ? next_due - now : 0;
        (void)uv_timer_start(&w->due, on_due, in_ms, 0);
    }
}

static void on_due(uv_timer_t *due)
{
    settle_waiting(container_of(due, struct edge_worker, due));
}

static void take_tls(struct edge_worker *w)
{
    pthread_mutex_lock(&w->lock);
    SSL_CTX *tls = w->next_tls;
    w->next_tls = NULL;
    pthread_mutex_unlock(&w->lock);
    if (tls != NULL && !w->drained)
        h2_server_use_tls(w->server, tls);
    SSL_CTX_free(tls);
}

static struct edge_job *take_done(struct edge_worker *w)
{
    pthread_mutex_lock(&w->lock);
    struct edge_job *newest = w->done;
    w->done = NULL;
    pthread_mutex_unlock(&w->lock);
    return newest;
}

static void take_in(struct edge_worker *w, struct edge_job *job, uint64_t now_ms)
{
    const struct edge_threads_options *o = &w->threads->options;

    edge_job_release(job); /* durable or refused: the text has done its duty */
    if (job->stored != ERR_OK) {
        metrics_add(w->threads->metrics, EDGE_SPOOL_FULL, 1);
        edge_job_spool_full(job);
        w->jobs--;
        respond(w, job);
        return;
    }
    if (job->want_replicated)
        job->due_ms = now_ms + o->durable_wait_ms;
    else
        job->due_ms = job->came_ms + o->replication_budget_ms; /* the commit included */
    job->next = w->waiting;
    w->waiting = job;
    /* Counted before settle_waiting looks at what the region acknowledged: an acknowledgement after
     * that look finds the count and wakes us. */
    atomic_fetch_add(&w->waiting_count, 1);
}

static void on_wake(uv_async_t *wake)
{
    struct edge_worker *w = container_of(wake, struct edge_worker, wake);
    uint64_t now = edge_threads_mono_ms(w->threads);
    struct edge_job *next;

    for (struct edge_job *job = take_done(w); job != NULL; job = next) {
        next = job->next;
        take_in(w, job, now);
    }
    settle_waiting(w);
    take_tls(w);
    if (atomic_load(&w->threads->draining) && !w->draining) {
        w->draining = true;
        h2_server_drain(w->server, atomic_load(&w->threads->drain_ms), on_drained, w);
    }
    finish_if_over(w);
}

/* Do requests come faster than this loop handles them? What was readable when the turn began has
 * waited as long as the turn lasts; the rest of it is refused, which is quick, so that those behind
 * it need not wait for ever. */
static bool turn_is_late(struct edge_worker *w, uint64_t now_ms)
{
    uint32_t queue_ms = w->threads->options.queue_ms;
    return queue_ms > 0 && w->turn_requests > LATE_REQUESTS_MIN &&
           now_ms - base_min_u64(now_ms, uv_now(&w->loop)) > queue_ms;
}

/* A queue that is full shows when a job is put into it. */
static enum edge_gate gate_of(struct edge_worker *w, uint64_t mono_ms)
{
    const struct edge_threads *t = w->threads;
    if (atomic_load_explicit(&t->spool_full, memory_order_relaxed))
        return EDGE_GATE_SPOOL_FULL;
    return turn_is_late(w, mono_ms) || edge_threads_is_late(t) ? EDGE_GATE_OVERLOADED
                                                               : EDGE_GATE_OPEN;
}

/* The requests of one turn go to the committer together: one lock and one signal for all. */
static void hand_over(struct edge_worker *w)
{
    struct edge_job *next;

    if (w->judged == NULL)
        return;
    struct edge_job *refused = edge_threads_queue(w->threads, w->judged);
    w->judged = NULL;
    w->judged_end = &w->judged;
    w->judged_count = 0;
    for (struct edge_job *job = refused; job != NULL; job = next) {
        next = job->next;
        w->jobs--;
        metrics_add(w->threads->metrics, EDGE_OVERLOADED, 1);
        edge_job_overloaded(job);
        respond(w, job);
    }
}

/* After the poll, where requests come from; answers given here leave before the next one. */
static void on_turn_end(uv_check_t *turn_end)
{
    struct edge_worker *w = container_of(turn_end, struct edge_worker, turn_end);
    hand_over(w);
    w->turn_requests = 0;
}

static void on_request(void *context, struct h2_request *request)
{
    struct edge_worker *w = context;
    struct edge_threads *t = w->threads;
    uint64_t now_ms = t->options.clock->wall_ms(t->options.clock);
    for (uint32_t i = 0; w->turn_requests == 0 && i < w->rules.admit.region_count; i++)
        w->turns[i] = edge_pipeline_turn(t->pipeline, i);
    w->turn_requests++;
    enum edge_gate gate = gate_of(w, request->received_mono_us / 1000);
    struct edge_job *job = edge_job_new(&w->rules, &t->refused, request, gate, now_ms);

    metrics_add(t->metrics, EDGE_BODY_BYTES, request->body.length);
    if (job->refused_count > 0)
        metrics_add(t->metrics, EDGE_CLICKS_REFUSED, job->refused_count);
    if (job->answer.outcome != EDGE_OUTCOME_NONE) {
        if (job->answer.outcome == EDGE_OUTCOME_UNAVAILABLE) /* the gate's doing */
            metrics_add(t->metrics,
                        gate == EDGE_GATE_SPOOL_FULL ? EDGE_SPOOL_FULL : EDGE_OVERLOADED, 1);
        respond(w, job);
        return;
    }
    job->owner = w;
    job->came_ms = base_min_u64(uv_now(&w->loop), edge_threads_mono_ms(t));
    w->jobs++;
    job->next = NULL;
    *w->judged_end = job;
    w->judged_end = &job->next;
    if (++w->judged_count == JUDGED_MAX)
        hand_over(w);
}

void edge_worker_wake(struct edge_worker *w)
{
    pthread_mutex_lock(&w->lock);
    if (w->wakeable)
        (void)uv_async_send(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

/* -- the beginning ------------------------------------------------------------------------- */

enum err edge_worker_init(struct edge_worker *w, struct edge_threads *t, const char *listen,
                          bool first)
{
    const struct edge_threads_options *o = &t->options;
    struct h2_server_options options = {
        .loop = &w->loop,
        .tls = o->tls,
        .listen = listen,
        .inherited_file = o->inherited_file,
        .body_bytes_max = o->body_bytes_max,
        .connections_max = (o->connections_max + o->workers - 1) / o->workers,
        .port_exclusive = first,
        .proxy_networks = o->proxy_networks,
        .proxy_network_count = o->proxy_network_count,
        .forwarded_networks = o->forwarded_networks,
        .forwarded_network_count = o->forwarded_network_count,
        .peers = t->peers,
        .stall_timeout_ms = o->stall_timeout_ms,
        .idle_timeout_ms = o->idle_timeout_ms,
        .counters = &t->h2,
        .on_request = on_request,
        .context = w,
    };

    w->threads = t;
    w->rules = o->rules;
    w->rules.pool = &w->pool;
    w->rules.admit.turns = w->turns;
    w->judged_end = &w->judged;
    if (w->rules.unpacked.bytes_max > 0)
        w->rules.decoder = w->decoder = body_decode_new();
    CHECK(uv_loop_init(&w->loop) == 0);
    enum err err = h2_server_start(&options, &w->server);
    if (err != ERR_OK) {
        CHECK(uv_loop_close(&w->loop) == 0);
        return err;
    }
    CHECK(uv_async_init(&w->loop, &w->wake, on_wake) == 0);
    CHECK(uv_timer_init(&w->loop, &w->due) == 0);
    CHECK(uv_check_init(&w->loop, &w->turn_end) == 0);
    CHECK(uv_check_start(&w->turn_end, on_turn_end) == 0);
    pthread_mutex_lock(&w->lock);
    w->wakeable = true;
    pthread_mutex_unlock(&w->lock);
    return ERR_OK;
}

void *edge_worker_run(void *worker)
{
    struct edge_worker *w = worker;
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&w->loop) == 0);
    return NULL;
}
