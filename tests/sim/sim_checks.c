/* SPDX-License-Identifier: Apache-2.0
 * sim_checks: what must hold at every step, whatever happens. */
#include "common/base/hash.h"
#include "edge/edge_pipeline_parts.h" /* what an edge believes is nowhere else to be seen */
#include "proto/partial.h"
#include "tests/sim/sim_world.h"

#include <stdlib.h>

#define CHECK_EVERY_MS 15000u
#define UNDER_WAY_MS   20000u /* what a plain message takes at most, to a slow machine */

static uint64_t floor_in(const struct fold *f, uint32_t edge, uint64_t epoch)
{
    char name[24];
    (void)snprintf(name, sizeof(name), "edge-%u", edge);
    const struct edge *e = edge_book_find(&f->edges, name);
    const struct line *l = e == NULL ? NULL : edge_book_line(e, epoch);
    return l == NULL ? 0 : l->floor;
}

/* What was said before the crash must be in the store after it. */
void sim_checks_reopened(struct sim_replica *r)
{
    struct sim_world *w = r->process.world;
    struct replica_view view;
    replica_view(r->replica, &view);
    memset(r->watermark_ms, 0, sizeof(r->watermark_ms));
    memset(r->model_seq, 0, sizeof(r->model_seq));
    r->model_proofs = 0;
    if (view.store_id != r->promised_store)
        return;
    for (uint32_t i = 0; i < r->promise_count; i++) {
        const struct sim_promise *p = &r->promises[i];
        uint64_t floor = floor_in(replica_fold(r->replica, p->partition), p->edge, p->epoch);
        if (floor < p->floor)
            sim_violation(w, "durable-floor", "%s told edge-%u floor %llu and holds %llu",
                          r->process.name, p->edge, (unsigned long long)p->floor,
                          (unsigned long long)floor);
    }
    for (uint32_t i = 0; i < w->plan.partitions; i++)
        if (replica_fold(r->replica, i)->cut < r->promised_cut[i])
            sim_violation(w, "durable-partial", "%s published cut %llu and holds %llu",
                          r->process.name, (unsigned long long)r->promised_cut[i],
                          (unsigned long long)replica_fold(r->replica, i)->cut);
}

/* The watermark says: whatever a known edge accepted before it is folded. */
static void check_line(struct sim_replica *r, const struct fold *f,
                       const struct sim_incarnation *inc)
{
    struct sim_world *w = r->process.world;
    char name[24];
    (void)snprintf(name, sizeof(name), "edge-%u", inc->edge);
    const struct edge *edge = edge_book_find(&f->edges, name);
    const struct sim_line *line =
        &inc->lines[r->region * w->plan.partitions + f->options.partition];
    if (edge == NULL || !edge->enrolled || line->count == 0)
        return;
    uint64_t floor = floor_in(f, inc->edge, inc->epoch);
    if (floor > line->count + 1)
        sim_violation(w, "floor", "%s has folded %llu numbers of edge-%u, which gave %u",
                      r->process.name, (unsigned long long)floor, inc->edge, line->count);
    if (edge->missing || edge->given_up || line->lost || inc->written_off || inc->unwaited ||
        floor >= line->count)
        return;
    if (line->attempts[floor].clock_ms < f->watermark_ms)
        sim_violation(w, "watermark", "%s passes %llu, but number %llu of edge-%u is of %llu",
                      r->process.name, (unsigned long long)(f->watermark_ms - SIM_BASE_MS),
                      (unsigned long long)floor, inc->edge,
                      (unsigned long long)(line->attempts[floor].clock_ms - SIM_BASE_MS));
}

void sim_checks_replica(struct sim_replica *r)
{
    struct sim_world *w = r->process.world;
    for (uint32_t i = 0; i < w->plan.partitions; i++) {
        const struct fold *f = replica_fold(r->replica, i);
        if (f->watermark_ms < r->watermark_ms[i])
            sim_violation(w, "watermark-back", "%s: from %llu to %llu", r->process.name,
                          (unsigned long long)r->watermark_ms[i],
                          (unsigned long long)f->watermark_ms);
        uint32_t missing = 0;
        for (uint32_t e = 0; e < f->edges.count; e++)
            missing += f->edges.edges[e].missing;
        if (f->watermark_ms == r->watermark_ms[i] && missing == r->missing[i])
            continue;
        r->missing[i] = missing;
        r->watermark_ms[i] = f->watermark_ms;
        sim_trace_numbers(w, f->watermark_ms, f->cut, f->books.folded);
        for (uint32_t n = 0; n < w->oracle.incarnation_count; n++)
            check_line(r, f, &w->oracle.incarnations[n]);
    }
}

static const struct sim_promise *promise_of(const struct sim_replica *r, uint32_t edge,
                                            const struct spool_line *line)
{
    for (uint32_t i = 0; i < r->promise_count; i++) {
        const struct sim_promise *p = &r->promises[i];
        if (p->edge == edge && p->epoch == line->epoch && p->partition == line->partition)
            return p;
    }
    return NULL;
}

/* Whom it passes over: folds alone, while it is nearly full and another fold was heard of late. */
static void check_passed_over(struct sim_edge *e, uint32_t region)
{
    struct sim_world *w = e->process.world;
    struct edge_reader_view rows[LIMIT_READERS];
    uint32_t reader = 0, over = 0, live = 0;
    (void)edge_pipeline_readers(e->pipeline, region, rows);
    for (uint32_t i = 0; i < w->replica_count; i++) {
        const struct sim_replica *r = &w->replicas[i];
        if (r->region != region)
            continue;
        uint64_t told_ms = w->floors_ms[e->process.index][i];
        if (!rows[reader++].passed_over) {
            live += !sim_region_archives(r) && told_ms > 0 &&
                    w->now_ms < told_ms + w->plan.silent_ms + UNDER_WAY_MS;
            continue;
        }
        over++;
        if ((e->passed_over >> i & 1) == 0)
            sim_trace(w, e->process.name, "is nearly full and passes over %s", r->process.name);
        e->passed_over |= 1u << i;
        if (sim_region_archives(r))
            sim_violation(w, "trim", "%s passes over the archiver %s", e->process.name,
                          r->process.name);
    }
    if (w->archiver_count > 0 && rows[reader].passed_over)
        sim_violation(w, "trim", "%s passes over the archiver of region %u", e->process.name,
                      region);
    if (over > 0 && (live == 0 || !e->pressed))
        sim_violation(w, "trim", "%s passes over %u folds, %u are live; nearly full: %d",
                      e->process.name, over, live, e->pressed);
}

/* Nor of anything that is not in objects, where there are any. */
static void check_archived(struct sim_edge *e, const struct edge_line *line)
{
    struct sim_world *w = e->process.world;
    if (w->archiver_count == 0)
        return;
    uint64_t archived = sim_archiver_prefix(&w->archivers[line->home], e->process.index,
                                            line->spool.epoch, line->spool.partition);
    if (line->spool.low > archived)
        sim_violation(w, "trim", "%s let go of numbers below %llu, archived are %llu",
                      e->process.name, (unsigned long long)line->spool.low,
                      (unsigned long long)archived);
}

/* Some fold, and every archiver, has what is let go; and so has every fold never passed over. */
static void check_trim(struct sim_edge *e, const struct edge_line *line)
{
    struct sim_world *w = e->process.world;
    bool some = false;
    for (uint32_t i = 0; i < w->replica_count; i++) {
        const struct sim_replica *r = &w->replicas[i];
        if (r->region != line->home)
            continue;
        const struct sim_promise *said = promise_of(r, e->process.index, &line->spool);
        uint64_t ever = said == NULL ? 0 : said->ever;
        some = some || (!sim_region_archives(r) && line->spool.low <= ever);
        if (line->spool.low > ever && (sim_region_archives(r) || (e->passed_over >> i & 1) == 0))
            sim_violation(w, "trim", "%s let go of numbers below %llu, but %s said %llu",
                          e->process.name, (unsigned long long)line->spool.low, r->process.name,
                          (unsigned long long)ever);
    }
    if (!some)
        sim_violation(w, "trim", "%s let go of numbers below %llu, which no fold has",
                      e->process.name, (unsigned long long)line->spool.low);
}

/* An edge lets go of nothing that some reader never said it has, but past those that it may pass
 * over, and believes of no store more than that store said. */
void sim_checks_edge(struct sim_edge *e)
{
    struct sim_world *w = e->process.world;
    const struct edge_pipeline *p = e->pipeline;
    for (uint32_t i = 0; i < w->plan.regions; i++)
        check_passed_over(e, i);
    for (uint32_t l = 0; l < p->line_count; l++) {
        const struct edge_line *line = p->lines[l];
        uint32_t reader = 0;
        check_trim(e, line);
        check_archived(e, line);
        for (uint32_t i = 0; i < w->replica_count; i++) {
            const struct sim_replica *r = &w->replicas[i];
            if (r->region != line->home)
                continue;
            const struct send_reader *known = &line->window.readers[reader++];
            const struct sim_promise *said = promise_of(r, e->process.index, &line->spool);
            uint64_t floor = said == NULL ? 0 : said->floor;
            if (known->heard && known->store_id == r->promised_store && known->floor > floor)
                sim_violation(w, "store-floor",
                              "%s believes %llu of the store of %s, which said %llu",
                              e->process.name, (unsigned long long)known->floor, r->process.name,
                              (unsigned long long)floor);
        }
    }
}

/* Clicks of the ad that were accepted, by their edge's clock, before their minute ended: who says
 * that the minute is complete has them all. */
static void due_in_minutes(const struct sim_world *w, uint32_t ad, uint32_t *due)
{
    const struct sim_oracle *o = &w->oracle;
    uint8_t *seen = base_zalloc(o->click_count + 1, 1);
    for (uint32_t i = 0; i < o->incarnation_count; i++) {
        const struct sim_incarnation *inc = &o->incarnations[i];
        for (uint32_t l = 0; !inc->written_off && !inc->unwaited && l < o->regions * o->partitions;
             l++) {
            const struct sim_line *line = &inc->lines[l];
            for (uint32_t n = 0; !line->lost && n < line->count; n++) {
                uint32_t at = line->attempts[n].click;
                if (at == UINT32_MAX || seen[at] || o->clicks[at].ad != ad)
                    continue;
                uint64_t end_ms =
                    (SIM_BASE_MS / 60000 - SIM_MINUTES_BEFORE + o->clicks[at].minute + 1ULL) *
                    60000;
                if (line->attempts[n].clock_ms >= end_ms)
                    continue;
                seen[at] = 1;
                due[o->clicks[at].minute]++;
            }
        }
    }
    free(seen);
}

static void check_points(struct sim_globe *g, uint32_t ad, uint32_t first,
                         const struct stats_json_answer *answer, const uint32_t *due, bool carried)
{
    struct sim_world *w = g->process.world;
    for (uint32_t i = 0; i < answer->point_count; i++) {
        const struct stats_json_point *p = &answer->points[i];
        uint32_t minute = first + i, at = ad * SIM_MINUTES + minute;
        if (p->click_count > w->oracle.upper[at])
            sim_violation(w, "upper-bound", "%s: ad-%u minute %u: %llu of %u accepted",
                          g->process.name, ad, minute, (unsigned long long)p->click_count,
                          w->oracle.upper[at]);
        if (p->click_count < g->seen[at])
            sim_violation(w, "count-falls", "%s: ad-%u minute %u: from %u to %llu", g->process.name,
                          ad, minute, g->seen[at], (unsigned long long)p->click_count);
        g->seen[at] = (uint32_t)p->click_count;
        if (p->complete && p->click_count < due[minute] && !carried)
            sim_violation(w, "complete", "%s: ad-%u minute %u is complete with %llu of %u",
                          g->process.name, ad, minute, (unsigned long long)p->click_count,
                          due[minute]);
    }
}

static void check_row(struct sim_globe *g, const struct partial_row *row)
{
    struct sim_world *w = g->process.world;
    struct query q = {.window = MINUTE_WINDOW_1M,
                      .start_minute = row->minute,
                      .end_minute = row->minute + 1,
                      .points = 1};
    for (uint32_t ad = 0; ad < w->plan.ads; ad++) {
        struct stats_json_answer answer;
        q.ad_id_length = (size_t)snprintf(q.ad_id, sizeof(q.ad_id), "ad-%u", ad);
        if (hash_ad(query_ad(&q)) == row->ad_hash &&
            global_reader_stats(g->reader, &q, &answer) == ERR_OK &&
            answer.points[0].click_count < row->counted)
            sim_violation(w, "durable-position",
                          "%s stands behind a partial with %llu of ad-%u and holds %llu",
                          g->process.name, (unsigned long long)row->counted, ad,
                          (unsigned long long)answer.points[0].click_count);
    }
}

static void check_taken(struct sim_globe *g, uint32_t region, uint64_t seq)
{
    static const char *const streams[] = {"PARTIALS_us", "PARTIALS_eu", "PARTIALS_ap"};
    struct sim_world *w = g->process.world;
    struct span data;
    struct partial p;
    uint64_t time_ms;
    if (!sim_bus_message(w->servers[region].bus, streams[region], seq, &data, &time_ms) ||
        partial_read(&p, data) != ERR_OK)
        return;
    for (uint32_t i = 0; i < p.row_count; i++)
        check_row(g, &p.rows[i]);
    partial_done(&p);
}

static bool any_carried(const struct sim_globe *g)
{
    struct merger_view view;
    merger_view(g->merger, &view);
    for (uint32_t i = 0; i < view.region_count; i++)
        if (view.regions[i].carried > 0)
            return true;
    return false;
}

/* Replicas of one stream tell one story, unless the stream has lost what one of them had read, or
 * its time has stepped. */
static void check_divergence(struct sim_world *w, const struct sim_globe *g,
                             const struct merger_view *view)
{
    static const uint64_t apart = 1ULL << SIM_FAULT_SERVER_DOWN | 1ULL << SIM_FAULT_TAIL_LOST |
                                  1ULL << SIM_FAULT_STREAM_MADE_ANEW |
                                  1ULL << SIM_FAULT_STREAM_EXPIRES | 1ULL << SIM_FAULT_SERVER_CLOCK;
    for (uint32_t i = 0; i < w->plan.fault_count; i++)
        if (apart >> w->plan.faults[i].kind & 1)
            return;
    if (view->divergences > 0)
        sim_violation(w, "divergence", "%s: %s and %s, minute %u", g->process.name,
                      view->divergence[0].replica, view->divergence[1].replica,
                      view->divergence[1].total.minute);
}

void sim_checks_globe(struct sim_globe *g)
{
    struct sim_world *w = g->process.world;
    uint32_t ad = (uint32_t)rng_below(&w->rng, w->plan.ads);
    uint32_t now = SIM_MINUTES_BEFORE + (uint32_t)(w->now_ms / 60000);
    bool recent = rng_chance(&w->rng, 700);
    uint32_t first = recent ? now - 20 : 0;
    struct query q = {.window = MINUTE_WINDOW_1M,
                      .start_minute = SIM_BASE_MS / 60000 - SIM_MINUTES_BEFORE + first,
                      .points = recent ? 26 : SIM_MINUTES};
    q.end_minute = q.start_minute + q.points;
    q.ad_id_length = (size_t)snprintf(q.ad_id, sizeof(q.ad_id), "ad-%u", ad);
    struct stats_json_answer answer;
    bool fired = g->process.nth.fired;
    sim_process_acts(&g->process);
    enum err err = global_reader_stats(g->reader, &q, &answer);
    sim_process_rests(&g->process);
    if (err != ERR_OK && g->process.nth.fired && !fired) {
        g->process.unanswered++; /* nothing is known: never that there are no clicks */
        return;
    }
    if (err != ERR_OK) {
        sim_violation(w, "query", "%s: %s", g->process.name, err_words(err));
        return;
    }
    uint32_t *due = base_zalloc(SIM_MINUTES, sizeof(*due));
    due_in_minutes(w, ad, due);
    check_points(g, ad, first, &answer, due, any_carried(g));
    free(due);
    struct merger_view view;
    merger_view(g->merger, &view);
    for (uint32_t i = 0; i < view.region_count; i++) {
        if (view.regions[i].watermark_ms < g->watermark_ms[i])
            sim_violation(w, "watermark-back", "%s: region %u", g->process.name, i);
        g->watermark_ms[i] = view.regions[i].watermark_ms;
    }
    check_divergence(w, g, &view);
    sim_trace_numbers(w, view.messages, view.rows_changed, view.minutes_completed);
}

/* What a position leaves behind must be in the store: both came with one commit. */
void sim_checks_globe_reopened(struct sim_globe *g)
{
    struct sim_world *w = g->process.world;
    struct merger_view view;
    merger_view(g->merger, &view);
    for (uint32_t i = 0; i < view.region_count; i++) {
        uint64_t upto = view.regions[i].position;
        for (uint64_t seq = upto > 20 ? upto - 20 : 1; !w->servers[i].partials_lost && seq <= upto;
             seq++)
            check_taken(g, i, seq);
    }
}

void sim_checks_regularly(struct sim_world *w)
{
    if (w->now_ms < w->check_ms)
        return;
    w->check_ms = w->now_ms + CHECK_EVERY_MS;
    struct sim_globe *g = &w->globes[rng_below(&w->rng, w->globe_count)];
    if (g->process.up && g->merger != NULL)
        sim_checks_globe(g);
}
