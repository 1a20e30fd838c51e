/* SPDX-License-Identifier: Apache-2.0
 * edge_threads_commit: the committer: one transaction after the other, each with all that gathered
 * meanwhile. */
#include "edge/edge_threads_parts.h"

#include "common/run/log.h"

#include <stdlib.h>
#include <time.h>

/* -- the queue ----------------------------------------------------------------------------- */

static uint64_t job_bytes(const struct edge_job *job)
{
    return job->request->body.length + job->unpacked.length +
           job->item_count * sizeof(struct edge_item);
}

bool edge_threads_queue(struct edge_threads *t, struct edge_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&t->queue_lock);
    bool room = !t->queue_closed && t->queue_clicks + job->item_count <= QUEUE_CLICKS_MAX &&
                t->queue_bytes + job_bytes(job) <= QUEUE_BYTES_MAX;
    if (room) {
        *t->queue_end = job;
        t->queue_end = &job->next;
        t->queue_clicks += job->item_count;
        t->queue_bytes += job_bytes(job);
        pthread_cond_signal(&t->queue_filled);
    }
    pthread_mutex_unlock(&t->queue_lock);
    return room;
}

static struct timespec monotonic_after(uint32_t ms)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    at.tv_sec += ms / 1000 + at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    return at;
}

/* Everything that gathered, in order, up to the bounds of one transaction; NULL after a quiet
 * moment. *out_over: the queue was closed and is empty. */
static struct edge_job *take_group(struct edge_threads *t, bool *out_over)
{
    struct timespec until = monotonic_after(HOUSEKEEP_MS);
    uint64_t clicks = 0, bytes = 0;

    pthread_mutex_lock(&t->queue_lock);
    while (t->queue_first == NULL && !t->queue_closed)
        if (pthread_cond_timedwait(&t->queue_filled, &t->queue_lock, &until) != 0)
            break;
    struct edge_job *group = t->queue_first, **end = &t->queue_first;
    while (*end != NULL) {
        clicks += (*end)->item_count;
        bytes += job_bytes(*end);
        if (*end != group && (clicks > GROUP_CLICKS_MAX || bytes > GROUP_BYTES_MAX)) {
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

    enum err err = edge_commit(t->pipeline, items, count);

    metrics_add(t->metrics, EDGE_COMMIT_US, (uv_hrtime() - begun) / 1000);
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
    bool told[256] = {false};
    while (jobs != NULL) {
        struct edge_job *job = jobs;
        struct edge_worker *w = job->owner;
        jobs = job->next;
        pthread_mutex_lock(&w->lock);
        job->next = w->done;
        w->done = job;
        pthread_mutex_unlock(&w->lock);
        told[w - t->workers] = true;
    }
    for (uint32_t i = 0; i < t->options.workers; i++)
        if (told[i])
            edge_worker_wake(&t->workers[i]);
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
    bool full = used > map / 100 * 95;
    if (atomic_exchange(&t->spool_full, full) != full)
        log_warn(full ? "spool nearly full: refusing clicks" : "spool has room: taking clicks",
                 log_u64("used_bytes", used), log_u64("map_bytes", map));
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
