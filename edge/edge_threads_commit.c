/* SPDX-License-Identifier: Apache-2.0
 * edge_threads_commit: the committer: one transaction after the other, each with all that gathered
 * meanwhile. */
#include "edge/edge_threads_parts.h"

#include "common/run/log.h"
#include "edge/core/commit_pace.h"
#include "edge/core/spool_room.h"

#include <stdlib.h>
#include <time.h>

/* -- the queue ----------------------------------------------------------------------------- */

static uint64_t job_bytes(const struct edge_job *job)
{
    return job->request->body.length + job->unpacked.length +
           job->item_count * sizeof(struct edge_item);
}

/* Under queue_lock. */
static void tell_oldest(struct edge_threads *t)
{
    atomic_store_explicit(&t->queue_oldest_ms, t->queue_first != NULL ? t->queue_first->came_ms : 0,
                          memory_order_relaxed);
}

bool edge_threads_is_late(const struct edge_threads *t)
{
    uint64_t oldest_ms = atomic_load_explicit(&t->queue_oldest_ms, memory_order_relaxed);
    return oldest_ms != 0 &&
           commit_pace_is_late(oldest_ms, edge_threads_mono_ms(t),
                               metrics_get(t->metrics, EDGE_QUEUE_CLICKS), t->options.queue_ms);
}

struct edge_job *edge_threads_queue(struct edge_threads *t, struct edge_job *jobs)
{
    struct edge_job *refused = NULL, **refused_end = &refused;
    pthread_mutex_lock(&t->queue_lock);
    for (struct edge_job *job = jobs, *next; job != NULL; job = next) {
        next = job->next;
        job->next = NULL;
        uint64_t clicks = t->queue_clicks + job->item_count;
        uint64_t bytes = t->queue_bytes + job_bytes(job);
        if (t->queue_closed || clicks > QUEUE_CLICKS_MAX || bytes > QUEUE_BYTES_MAX) {
            *refused_end = job;
            refused_end = &job->next;
            continue;
        }
        *t->queue_end = job;
        t->queue_end = &job->next;
        t->queue_clicks = clicks;
        t->queue_bytes = bytes;
    }
    tell_oldest(t);
    metrics_set(t->metrics, EDGE_QUEUE_CLICKS, t->queue_clicks);
    if (t->queue_first != NULL && (!t->pacing || t->queue_clicks >= COMMIT_PACE_CLICKS))
        pthread_cond_signal(&t->queue_filled);
    pthread_mutex_unlock(&t->queue_lock);
    return refused;
}

static struct timespec timespec_of(uint64_t mono_us)
{
    return (struct timespec){.tv_sec = (time_t)(mono_us / 1000000),
                             .tv_nsec = (long)(mono_us % 1000000) * 1000};
}

/* Under queue_lock. A lone click is never held back: the last transaction was long ago. */
static void pace(struct edge_threads *t)
{
    uint64_t now_us, wait_us;
    t->pacing = true;
    while (!t->queue_closed) {
        now_us = uv_hrtime() / 1000;
        wait_us = commit_pace_wait_us(t->begun_us, now_us, t->queue_clicks);
        if (wait_us == 0)
            break;
        struct timespec until = timespec_of(now_us + wait_us);
        (void)pthread_cond_timedwait(&t->queue_filled, &t->queue_lock, &until);
    }
    t->pacing = false;
}

/* Everything that gathered, in order, up to the bounds of one transaction; NULL after a quiet
 * moment. *out_over: the queue was closed and is empty. */
static struct edge_job *take_group(struct edge_threads *t, bool *out_over)
{
    struct timespec until = timespec_of(uv_hrtime() / 1000 + HOUSEKEEP_MS * 1000);
    uint64_t clicks = 0, bytes = 0;

    pthread_mutex_lock(&t->queue_lock);
    while (t->queue_first == NULL && !t->queue_closed)
        if (pthread_cond_timedwait(&t->queue_filled, &t->queue_lock, &until) != 0)
            break;
    if (t->queue_first != NULL)
        pace(t);
    struct edge_job *group = t->queue_first, **end = &t->queue_first;
    while (*end != NULL) {
        clicks += (*end)->item_count;
        bytes += job_bytes(*end);
        if (*end != group && (clicks > COMMIT_PACE_GROUP_CLICKS_MAX || bytes > GROUP_BYTES_MAX)) {
            clicks -= (*end)->item_count;
            bytes -= job_bytes(*end);
            break;
        }
        end = &(*end)->next;
    }
    struct edge_job *rest = *end;
    if (group != NULL)
        *end = NULL;
    t->queue_first = rest;
    if (rest == NULL)
        t->queue_end = &t->queue_first;
    tell_oldest(t);
    t->queue_clicks -= clicks;
    t->queue_bytes -= bytes;
    metrics_set(t->metrics, EDGE_QUEUE_CLICKS, t->queue_clicks);
    *out_over = group == NULL && t->queue_closed;
    pthread_mutex_unlock(&t->queue_lock);
    return group;
}

/* -- one transaction ----------------------------------------------------------------------- */

static size_t line_of(const struct edge_threads *t, const struct edge_item *item)
{
    return (size_t)item->home * t->options.rules.admit.partitions + item->partition;
}

/* The highest number of the job on each of its lines: what the quorum must have for "replicated".
 */
static void mark(struct edge_threads *t, struct edge_job *job, const struct edge_item *items)
{
    size_t line_count =
        (size_t)t->options.rules.admit.region_count * t->options.rules.admit.partitions;
    job->marks = &job->only_mark;
    if (job->item_count > 1)
        job->marks = base_alloc(base_min_u64(job->item_count, line_count) * sizeof(*job->marks));

    for (uint32_t i = 0; i < job->item_count; i++) {
        struct edge_mark **slot = &t->mark_of_line[line_of(t, &items[i])];
        if (*slot == NULL) {
            *slot = &job->marks[job->mark_count++];
            **slot = (struct edge_mark){items[i].number, items[i].home, items[i].partition};
        }
        (*slot)->number = base_max_u64((*slot)->number, items[i].number);
    }
    for (uint32_t i = 0; i < job->mark_count; i++)
        t->mark_of_line[(size_t)job->marks[i].home * t->options.rules.admit.partitions +
                        job->marks[i].partition] = NULL;
}

static void book(struct edge_threads *t, const struct edge_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        atomic_fetch_add_explicit(&t->accepted_by_line[line_of(t, &items[i])], 1,
                                  memory_order_relaxed);
    metrics_add(t->metrics, EDGE_CLICKS_ACCEPTED, count);
    metrics_add(t->metrics, EDGE_COMMITS, 1);
}

static struct edge_item *flatten(struct edge_threads *t, const struct edge_job *group,
                                 size_t *out_count)
{
    size_t count = 0;
    for (const struct edge_job *job = group; job != NULL; job = job->next)
        count += job->item_count;
    if (count > t->group_capacity) {
        t->group_capacity = count;
        t->group = base_realloc(t->group, count * sizeof(*t->group));
    }
    struct edge_item *at = t->group;
    for (const struct edge_job *job = group; job != NULL; job = job->next) {
        memcpy(at, job->items, job->item_count * sizeof(*at));
        at += job->item_count;
    }
    *out_count = count;
    return t->group;
}

/* Order of effects: commit, then tell (design 2.1). */
static void commit_group(struct edge_threads *t, struct edge_job *group)
{
    size_t count;
    struct edge_item *items = flatten(t, group, &count);
    uint64_t begun = uv_hrtime();
    t->begun_us = begun / 1000;

    enum err err = edge_commit(t->pipeline, items, count);

    metrics_histogram_add(&t->commit_times, (uv_hrtime() - begun) / 1000);
    if (err != ERR_OK && err_class(err) != ERR_CLASS_RETRY)
        t->options.unfit(err, "commit"); /* outcome unknown: nobody may be told anything */
    if (err == ERR_OK) {
        book(t, items, count);
        wake_signal(t->options.forward_wake);
    } else {
        metrics_add(t->metrics, EDGE_COMMITS_FULL, 1);
        log_warn("clicks refused", log_err(err), log_u64("clicks", count));
    }
    const struct edge_item *at = items;
    for (struct edge_job *job = group; job != NULL; job = job->next) {
        job->stored = err;
        if (err == ERR_OK)
            mark(t, job, at);
        at += job->item_count;
    }
    edge_threads_hand_back(t, group);
}

void edge_threads_hand_back(struct edge_threads *t, struct edge_job *jobs)
{
    /* Per worker first, so that each lock is taken once, however many the jobs. */
    struct edge_job *newest[256] = {NULL}, *oldest[256] = {NULL};
    while (jobs != NULL) {
        struct edge_job *job = jobs;
        const struct edge_worker *w = job->owner;
        size_t index = (size_t)(w - t->workers);
        jobs = job->next;
        if (newest[index] == NULL)
            oldest[index] = job;
        job->next = newest[index];
        newest[index] = job;
    }
    for (uint32_t i = 0; i < t->options.workers; i++) {
        struct edge_worker *w = &t->workers[i];
        if (newest[i] == NULL)
            continue;
        CHECK(oldest[i] != NULL);
        pthread_mutex_lock(&w->lock);
        oldest[i]->next = w->done;
        w->done = newest[i];
        pthread_mutex_unlock(&w->lock);
        edge_worker_wake(w);
    }
}

/* -- between transactions ------------------------------------------------------------------ */

/* The spool's use decides whether new clicks are taken at all: deletes need pages too (95 %). */
static void keep_house(struct edge_threads *t, bool quiet)
{
    uint64_t now = edge_threads_mono_ms(t);
    uint64_t used = 0, map = 0;

    if (now - t->kept_house_ms < HOUSEKEEP_MS)
        return;
    t->kept_house_ms = now;
    if (quiet || atomic_load(&t->spool_full)) { /* else commits trim on their way */
        enum err err = edge_trim(t->pipeline);
        if (err != ERR_OK && err_class(err) != ERR_CLASS_RETRY)
            t->options.unfit(err, "trim");
    }
    t->options.usage(t->options.spool_context, &used, &map);
    metrics_set(t->metrics, EDGE_SPOOL_USED, used);
    metrics_set(t->metrics, EDGE_SPOOL_MAP, map);
    uint64_t room = edge_threads_look_at_disk(t, map);
    edge_threads_press(t, used, room);
    bool full = spool_room_is_full(used, room);
    if (atomic_exchange(&t->spool_full, full) != full)
        log_warn(full ? "spool nearly full: refusing clicks" : "spool has room: taking clicks",
                 log_u64("used_bytes", used), log_u64("room_bytes", room));
    if (t->options.housekeep != NULL && now - t->checked_readers_ms >= READERS_CHECK_MS) {
        t->checked_readers_ms = now;
        t->options.housekeep(t->options.spool_context);
    }
}

void *edge_threads_commit_run(void *threads)
{
    struct edge_threads *t = threads;
    bool over = false;

    while (!over) {
        struct edge_job *group = take_group(t, &over);
        if (group != NULL)
            commit_group(t, group);
        keep_house(t, group == NULL);
    }
    /* The queue is closed and empty: no click can come any more. FIN takes a number like one. */
    enum err err = edge_finish(t->pipeline);
    if (err != ERR_OK && err_class(err) != ERR_CLASS_RETRY)
        t->options.unfit(err, "finish");
    if (err != ERR_OK)
        log_warn("lines not finished; the next start will", log_err(err));
    wake_signal(t->options.forward_wake);
    return NULL;
}
