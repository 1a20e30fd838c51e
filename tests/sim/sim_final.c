/* SPDX-License-Identifier: Apache-2.0
 * sim_final: the calm must lead to one end: everything delivered, everything counted, exactly. */
#include "global/core/completeness.h"
#include "global/core/leaf.h"
#include "tests/sim/sim_world.h"

#include <stdlib.h>

static bool clients_settled(const struct sim_world *w)
{
    return w->again_count == 0;
}

static bool edges_drained(struct sim_world *w, char *why, size_t size)
{
    for (uint32_t i = 0; i < w->edge_count; i++) {
        const struct sim_edge *e = &w->edges[i];
        struct edge_view view;
        if (e->process.retired)
            continue;
        if (e->pipeline == NULL) {
            (void)snprintf(why, size, "%s is down", e->process.name);
            return false;
        }
        edge_pipeline_view(e->pipeline, &view);
        if (!view.drained)
            w->checker = "drains"; /* clicks wait for nobody's clock */
        if (e->retiring || !view.drained || view.older_lines > 0) {
            (void)snprintf(why, size, "%s holds %llu numbers, %llu older lines", e->process.name,
                           (unsigned long long)view.in_flight,
                           (unsigned long long)view.older_lines);
            return false;
        }
    }
    return true;
}

static bool replicas_settled(const struct sim_world *w, char *why, size_t size)
{
    for (uint32_t i = 0; i < w->replica_count; i++) {
        const struct sim_replica *r = &w->replicas[i];
        struct replica_view view = {.ready = false};
        if (r->replica != NULL)
            replica_view(r->replica, &view);
        if (!view.ready || view.outbox > 0) {
            (void)snprintf(why, size, "%s is not ready, or has %llu partials to tell",
                           r->process.name, (unsigned long long)view.outbox);
            return false;
        }
    }
    return true;
}

/* How far the replicas of the region have folded the line. While no stream lost what it had
 * acknowledged, what one has every one will have, and so will it what was promised or acknowledged.
 */
static struct sim_floors floors_of(void *context, const struct sim_incarnation *inc, uint32_t home,
                                   uint32_t partition)
{
    const struct sim_world *w = context;
    const struct sim_line *line = &inc->lines[home * w->plan.partitions + partition];
    struct sim_floors floors = {UINT64_MAX, 0};
    char name[24];
    (void)snprintf(name, sizeof(name), "edge-%u", inc->edge);
    for (uint32_t i = 0; i < w->replica_count; i++) {
        const struct sim_replica *r = &w->replicas[i];
        if (r->region != home || r->replica == NULL)
            continue;
        const struct edge *e = edge_book_find(&replica_fold(r->replica, partition)->edges, name);
        const struct line *l = e == NULL ? NULL : edge_book_line(e, inc->epoch);
        uint64_t floor = l == NULL ? 0 : l->floor;
        floors.some = base_max_u64(floors.some, floor);
        floors.all = base_min_u64(floors.all, floor);
    }
    if (w->servers[home].tail_lost_ms == 0) {
        floors.some = base_max_u64(floors.some, base_max_u64(line->safe, line->acked));
        floors.all = floors.some;
    }
    return floors;
}

/* The ad's partition in that minute, by the map that the region has in the end. */
static uint32_t partition_of(const struct sim_world *w, uint32_t region, uint32_t ad,
                             uint32_t minute)
{
    uint32_t i = 0;
    while (w->replicas[i].region != region)
        i++;
    const struct partition_map *map = &replica_fold(w->replicas[i].replica, 0)->map;
    char name[16];
    (void)snprintf(name, sizeof(name), "ad-%u", ad);
    minute += (uint32_t)(SIM_BASE_MS / 60000) - SIM_MINUTES_BEFORE;
    return hash_partition(hash_ad(span_of_text(name)), partition_map_at(map, minute));
}

/* Excused is who had not heard of the step, not who followed one that never came. */
static bool is_placed(void *context, const struct sim_click *click, uint32_t home,
                      uint32_t partition)
{
    const struct sim_world *w = context;
    char name[16];
    (void)snprintf(name, sizeof(name), "ad-%u", click->ad);
    uint16_t first = hash_partition(hash_ad(span_of_text(name)), sim_plan_first(&w->plan));
    return partition_of(w, home, click->ad, click->minute) == partition || first != partition;
}

/* A partition that the map brought speaks from the first minute at which every edge was heard in
 * it: what lies between the step and that minute stays open, in every region that came so late. */
static bool is_told(const struct sim_world *w, uint32_t ad, uint32_t minute)
{
    uint32_t wall = minute + (uint32_t)(SIM_BASE_MS / 60000) - SIM_MINUTES_BEFORE;
    if (sim_plan_first(&w->plan) == w->plan.partitions)
        return true;
    for (uint32_t i = 0; i < w->replica_count; i++) {
        uint32_t p = partition_of(w, w->replicas[i].region, ad, minute);
        const struct fold *f = replica_fold(w->replicas[i].replica, p);
        if (p >= sim_plan_first(&w->plan) && wall < f->totals_first)
            return false;
    }
    return true;
}

/* What the folds carried: accepted, and left to the settlement. */
static uint64_t carried(const struct sim_world *w, uint32_t *out_expired_below)
{
    uint64_t sum = 0;
    *out_expired_below = 0;
    for (uint32_t region = 0; region < w->plan.regions; region++) {
        for (uint32_t p = 0; p < w->plan.partitions; p++) {
            uint64_t most = 0;
            for (uint32_t i = 0; i < w->replica_count; i++) {
                const struct sim_replica *r = &w->replicas[i];
                if (r->region != region || r->replica == NULL)
                    continue;
                const struct fold *f = replica_fold(r->replica, p);
                most = base_max_u64(most, f->books.carried);
                *out_expired_below =
                    (uint32_t)base_max_u64(*out_expired_below, fold_expired_below(f));
            }
            sum += most;
        }
    }
    return sum;
}

struct tally {
    uint64_t missing, incomplete;
    uint32_t minute, ad; /* of the last of either */
    uint64_t count, users, users_due;
    const char *wrong; /* checker: more than can be, or a sketch that lies */
};

static uint32_t distinct_users(const struct sim_world *w, uint32_t ad, uint32_t minute)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->oracle.click_count; i++) {
        const struct sim_click *c = &w->oracle.clicks[i];
        bool first = c->ad == ad && c->minute == minute && c->stored > 0;
        for (uint32_t k = 0; first && k < i; k++) {
            const struct sim_click *b = &w->oracle.clicks[k];
            first = b->ad != ad || b->minute != minute || b->stored == 0 || b->user != c->user;
        }
        count += first;
    }
    return count;
}

static void tally_point(const struct sim_world *w, uint32_t ad, uint32_t minute,
                        const struct stats_json_point *p, const struct sim_bounds *bounds,
                        uint32_t expired, struct tally *t)
{
    uint32_t at = ad * SIM_MINUTES + minute;
    uint32_t last = SIM_MINUTES_BEFORE + (uint32_t)(w->calm_ms / 60000);
    /* A minute whose tables are gone can be proven no more: what it lacked then, it lacks for ever.
     */
    bool provable = minute + SIM_BASE_MS / 60000 - SIM_MINUTES_BEFORE >= expired;
    bool bad = p->click_count > bounds->high[at];
    if (bad)
        t->wrong = "too-many";
    if (p->click_count < bounds->low[at]) {
        t->missing += bounds->low[at] - p->click_count;
        if (provable)
            t->wrong = "lost";
        bad = true;
    }
    if (minute >= SIM_MINUTES_BEFORE && minute <= last && provable && !p->complete &&
        is_told(w, ad, minute)) {
        t->incomplete++;
        bad = true;
    }
    if (p->has_unique_users && p->click_count == bounds->low[at] &&
        bounds->low[at] == bounds->high[at] && bounds->low[at] == w->oracle.upper[at] &&
        p->click_count > 0) {
        uint32_t users = distinct_users(w, ad, minute);
        uint64_t slack = 3 + users / 10; /* two users in one register: seldom, and no mistake */
        if (p->unique_users + slack < users || p->unique_users > users + slack) {
            t->wrong = "unique-users";
            t->users = p->unique_users;
            t->users_due = users;
            bad = true;
        }
    }
    if (bad) {
        t->minute = minute;
        t->ad = ad;
        t->count = p->click_count;
    }
}

static bool ask(struct sim_globe *g, uint32_t ad, const struct sim_bounds *bounds, uint32_t expired,
                struct tally *t)
{
    struct sim_world *w = g->process.world;
    struct query q = {.window = MINUTE_WINDOW_1M,
                      .start_minute = SIM_BASE_MS / 60000 - SIM_MINUTES_BEFORE,
                      .points = SIM_MINUTES};
    q.end_minute = q.start_minute + q.points;
    q.ad_id_length = (size_t)snprintf(q.ad_id, sizeof(q.ad_id), "ad-%u", ad);
    struct stats_json_answer answer;
    if (global_reader_stats(g->reader, &q, &answer) != ERR_OK)
        return false;
    for (uint32_t i = 0; i < answer.point_count; i++)
        tally_point(w, ad, i, &answer.points[i], bounds, expired, t);
    return true;
}

/* How one globe stands against the oracle. */
static bool globe_agrees(struct sim_globe *g, const struct sim_bounds *bounds, char *why,
                         size_t size, const char **out_checker)
{
    struct sim_world *w = g->process.world;
    struct tally t = {0};
    uint32_t expired;
    uint64_t allowed = carried(w, &expired);
    struct merger_view view;
    if (g->merger == NULL)
        return false;
    merger_view(g->merger, &view);
    if (w->plan.horizon_minutes == 1440 && view.minutes_wanted + view.names_wanted > 0) {
        *out_checker = "wants";
        (void)snprintf(why, size, "%s still asks for %llu minutes and %llu names", g->process.name,
                       (unsigned long long)view.minutes_wanted,
                       (unsigned long long)view.names_wanted);
        return false;
    }
    for (uint32_t ad = 0; ad < w->plan.ads; ad++)
        if (!ask(g, ad, bounds, expired, &t))
            return false;
    *out_checker = t.wrong != NULL ? t.wrong : t.missing > allowed ? "lost" : "incomplete";
    if (t.wrong == NULL && t.missing <= allowed && t.incomplete == 0)
        return true;
    uint32_t at = t.ad * SIM_MINUTES + t.minute;
    (void)snprintf(why, size,
                   "%s: %s: %llu missing, %llu carried, %llu incomplete; ad-%u minute %u: %llu of "
                   "%u to %u; %llu users of %llu",
                   g->process.name, *out_checker, (unsigned long long)t.missing,
                   (unsigned long long)allowed, (unsigned long long)t.incomplete, t.ad, t.minute,
                   (unsigned long long)t.count, bounds->low[at], bounds->high[at],
                   (unsigned long long)t.users, (unsigned long long)t.users_due);
    return false;
}

/* A lost click that only a replica held which is no more may have reached the globe, or not. */
static void blur(struct sim_world *w)
{
    for (uint32_t i = 0; i < w->oracle.incarnation_count; i++)
        for (uint32_t l = 0; l < w->plan.regions * w->plan.partitions; l++)
            w->oracle.incarnations[i].lines[l].blurred |=
                w->servers[l / w->plan.partitions].replaced;
}

static bool globes_agree(struct sim_world *w, char *why, size_t size, const char **out_checker)
{
    struct sim_bounds bounds;
    blur(w);
    sim_oracle_bounds(&w->oracle, w->plan.ads, floors_of, is_placed, w, &bounds);
    bool agree = true;
    for (uint32_t i = 0; i < w->globe_count && agree; i++)
        agree = globe_agrees(&w->globes[i], &bounds, why, size, out_checker);
    free(bounds.low);
    free(bounds.high);
    return agree;
}

static bool equal_floors(const struct fold *a, const struct fold *b);

/* Every replica of the region stands where this one stands, and none was ever replaced: there is
 * one truth. */
static bool is_one(const struct sim_world *w, const struct sim_replica *r, uint32_t partition)
{
    const struct fold *f = replica_fold(r->replica, partition);
    if (w->servers[r->region].replaced || f->books.carried > 0 || w->plan.horizon_minutes < 1440)
        return false;
    for (uint32_t i = 0; i < w->replica_count; i++)
        if (w->replicas[i].region == r->region &&
            !equal_floors(f, replica_fold(w->replicas[i].replica, partition)))
            return false;
    return true;
}

/* The globe's own sums of a closed minute, sketches included, are the fold's. */
static bool minute_agrees(const struct sim_globe *g, const struct sim_replica *r,
                          uint32_t partition, struct minute_table *t)
{
    struct kv_txn *txn;
    struct span value, body;
    struct completeness_book book;
    struct leaf_key key =
        leaf_key_minute((uint16_t)(r->region + 1), (uint16_t)partition, t->minute);
    CHECK(kv_begin(g->process.kv, false, &txn) == ERR_OK);
    bool agrees = kv_get(txn, LEAF_TABLE_MINUTE, leaf_key_span(&key), &value) &&
                  leaf_open(value, &body) && completeness_read(&book, body) == ERR_OK &&
                  completeness_sums_match(&book.own, horizon_total(t));
    (void)kv_abort(&txn);
    return agrees;
}

static bool books_agree(struct sim_world *w, char *why, size_t size)
{
    for (uint32_t i = 0; i < w->replica_count; i++) {
        for (uint32_t p = 0; p < w->plan.partitions; p++) {
            const struct fold *f = replica_fold(w->replicas[i].replica, p);
            for (uint32_t n = 0; is_one(w, &w->replicas[i], p) && n < f->horizon.count; n++) {
                struct minute_table *t = f->horizon.tables[n];
                for (uint32_t g = 0; t->minute < f->totals_next && g < w->globe_count; g++) {
                    if (minute_agrees(&w->globes[g], &w->replicas[i], p, t))
                        continue;
                    (void)snprintf(why, size, "%s and %s differ in minute %u of partition %u",
                                   w->globes[g].process.name, w->replicas[i].process.name,
                                   t->minute, p);
                    return false;
                }
            }
        }
    }
    return true;
}

bool sim_final_converged(struct sim_world *w, char *out_why, size_t size)
{
    const char *checker = "books-differ";
    (void)snprintf(out_why, size, "clients or operators are not content");
    w->checker = "converges";
    if (!clients_settled(w) || !sim_operators_idle(w) || !edges_drained(w, out_why, size) ||
        !replicas_settled(w, out_why, size))
        return false;
    bool agree = globes_agree(w, out_why, size, &checker);
    if (agree && !books_agree(w, out_why, size)) {
        agree = false;
        checker = "books-differ";
    }
    w->checker = checker;
    return agree;
}

/* folded = counted + duplicate + carried, and folded = what the edges numbered. */
static void check_books(struct sim_world *w, const struct sim_replica *r, uint32_t partition)
{
    const struct fold *f = replica_fold(r->replica, partition);
    uint64_t most = 0;
    for (uint32_t i = 0; i < w->oracle.incarnation_count; i++) {
        const struct sim_incarnation *inc = &w->oracle.incarnations[i];
        const struct sim_line *line = &inc->lines[r->region * w->plan.partitions + partition];
        char name[24];
        (void)snprintf(name, sizeof(name), "edge-%u", inc->edge);
        const struct edge *e = edge_book_find(&f->edges, name);
        const struct line *l = e == NULL ? NULL : edge_book_line(e, inc->epoch);
        most += base_min_u64(l == NULL ? 0 : l->floor, line->count);
        if (inc->written_off)
            return; /* numbers that it trimmed meanwhile may have been skipped */
    }
    if (f->books.folded != most ||
        f->books.folded != f->books.counted + f->books.duplicate + f->books.carried)
        sim_violation(w, "books", "%s partition %u: folded %llu of %llu numbers", r->process.name,
                      partition, (unsigned long long)f->books.folded, (unsigned long long)most);
}

static bool equal_floors(const struct fold *a, const struct fold *b)
{
    if (a->edges.count != b->edges.count || a->books.carried + b->books.carried > 0)
        return false;
    for (uint32_t e = 0; e < a->edges.count; e++) {
        const struct edge *x = &a->edges.edges[e], *y = &b->edges.edges[e];
        if (strcmp(x->name, y->name) != 0 || x->line_count != y->line_count)
            return false;
        for (uint32_t l = 0; l < x->line_count; l++)
            if (x->lines[l].epoch != y->lines[l].epoch || x->lines[l].floor != y->lines[l].floor)
                return false;
    }
    return true;
}

/* Replicas with equal floors have equal digests. */
static void check_digests(struct sim_world *w, const struct sim_replica *one,
                          const struct sim_replica *other, uint32_t partition)
{
    const struct fold *a = replica_fold(one->replica, partition);
    const struct fold *b = replica_fold(other->replica, partition);
    if (!equal_floors(a, b))
        return;
    for (uint32_t i = 0; i < a->horizon.count; i++) {
        struct minute_table *x = a->horizon.tables[i];
        for (uint32_t k = 0; k < b->horizon.count; k++) {
            struct minute_table *y = b->horizon.tables[k];
            if (x->minute == y->minute && horizon_total(x)->digest != horizon_total(y)->digest)
                sim_violation(w, "digests", "%s and %s differ in partition %u, minute %u",
                              one->process.name, other->process.name, partition, x->minute);
        }
    }
}

void sim_final_check(struct sim_world *w)
{
    for (uint32_t i = 0; i < w->archiver_count; i++)
        sim_archiver_final(&w->archivers[i]);
    for (uint32_t i = 0; i < w->replica_count; i++) {
        sim_stored_check(&w->replicas[i]);
        for (uint32_t p = 0; p < w->plan.partitions; p++) {
            check_books(w, &w->replicas[i], p);
            for (uint32_t k = 0; k < i; k++)
                if (w->replicas[k].region == w->replicas[i].region)
                    check_digests(w, &w->replicas[k], &w->replicas[i], p);
        }
    }
}
