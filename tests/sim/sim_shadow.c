/* SPDX-License-Identifier: Apache-2.0
 * sim_shadow: the number rule once more, apart from the product: a reader takes a run that begins
 * at or below what it has and ends beyond, and nothing else. Whatever a replica has read it must
 * have taken, and no more. */
#include "proto/segment.h"
#include "tests/sim/sim_world.h"

#include <stdlib.h>

/* One message of a CLICKS stream, by its sequence number; tails that are lost are written over. */
struct sim_run {
    uint32_t edge;
    uint64_t epoch, first, last; /* epoch 0: no segment */
};

struct sim_shadow {
    uint64_t count[SIM_REGIONS][SIM_PARTITIONS], capacity[SIM_REGIONS][SIM_PARTITIONS];
    struct sim_run *runs[SIM_REGIONS][SIM_PARTITIONS]; /* index = seq - 1 */
};

void sim_shadow_init(struct sim_world *w)
{
    w->shadow = base_zalloc(1, sizeof(*w->shadow));
}

void sim_shadow_done(struct sim_world *w)
{
    for (uint32_t r = 0; r < SIM_REGIONS; r++)
        for (uint32_t p = 0; p < SIM_PARTITIONS; p++)
            free(w->shadow->runs[r][p]);
    free(w->shadow);
}

void sim_shadow_stored(struct sim_world *w, uint32_t region, uint32_t partition, uint64_t seq,
                       struct span data)
{
    struct sim_shadow *s = w->shadow;
    CHECK(partition < SIM_PARTITIONS && seq >= 1);
    uint64_t *capacity = &s->capacity[region][partition];
    if (seq > *capacity) {
        *capacity = seq * 2 + 64;
        s->runs[region][partition] =
            base_realloc(s->runs[region][partition], *capacity * sizeof(struct sim_run));
    }
    struct sim_run run = {0};
    struct segment_head head;
    unsigned edge;
    if (segment_read_head(&head, data) == ERR_OK && sscanf(head.edge, "edge-%u", &edge) == 1)
        run = (struct sim_run){edge, head.epoch, head.first, head.last};
    s->runs[region][partition][seq - 1] = run;
    s->count[region][partition] = seq;
}

static uint64_t *floor_at(struct sim_replica *r, uint32_t partition, const struct sim_run *run)
{
    for (uint32_t i = 0; i < r->model_count; i++) {
        struct sim_promise *m = &r->models[i];
        if (m->edge == run->edge && m->epoch == run->epoch && m->partition == partition)
            return &m->floor;
    }
    if (r->model_count == r->model_capacity) {
        r->model_capacity = r->model_capacity == 0 ? 32 : r->model_capacity * 2;
        r->models = base_realloc(r->models, r->model_capacity * sizeof(*r->models));
    }
    r->models[r->model_count] = (struct sim_promise){
        .edge = run->edge, .epoch = run->epoch, .partition = (uint16_t)partition};
    return &r->models[r->model_count++].floor;
}

static bool written_off(const struct sim_world *w, const struct sim_run *run)
{
    for (uint32_t i = 0; i < w->oracle.incarnation_count; i++) {
        const struct sim_incarnation *inc = &w->oracle.incarnations[i];
        if (inc->edge == run->edge && (inc->epoch == run->epoch))
            return inc->written_off;
    }
    return false;
}

/* The replica stands somewhere else than where we saw it last: it is taken at its word, and watched
 * from there. */
static void begin_anew(struct sim_replica *r, uint32_t partition, const struct fold *f)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->model_count; i++)
        if (r->models[i].partition != partition)
            r->models[kept++] = r->models[i];
    r->model_count = kept;
    for (uint32_t e = 0; e < f->edges.count; e++) {
        const struct edge *edge = &f->edges.edges[e];
        struct sim_run run = {0};
        for (uint32_t l = 0; sscanf(edge->name, "edge-%u", &run.edge) == 1 && l < edge->line_count;
             l++) {
            run.epoch = edge->lines[l].epoch;
            *floor_at(r, partition, &run) = edge->lines[l].floor;
        }
    }
}

static void compare(struct sim_replica *r, uint32_t partition, const struct fold *f)
{
    for (uint32_t i = 0; i < r->model_count; i++) {
        const struct sim_promise *m = &r->models[i];
        char name[24];
        (void)snprintf(name, sizeof(name), "edge-%u", m->edge);
        const struct edge *edge = edge_book_find(&f->edges, name);
        const struct line *line = edge == NULL ? NULL : edge_book_line(edge, m->epoch);
        uint64_t floor = line == NULL ? 0 : line->floor;
        if (m->partition == partition && floor != m->floor)
            sim_violation(r->process.world, "number-rule",
                          "%s has read up to %llu of edge-%u, and stands at %llu", r->process.name,
                          (unsigned long long)m->floor, m->edge, (unsigned long long)floor);
    }
}

void sim_shadow_check(struct sim_replica *r)
{
    struct sim_world *w = r->process.world;
    struct replica_view all;
    replica_view(r->replica, &all);
    bool again = all.proofs_failed != r->model_proofs;
    r->model_proofs = all.proofs_failed;
    for (uint32_t p = 0; p < w->plan.partitions; p++) {
        struct replica_part_view view;
        replica_part_view(r->replica, p, &view);
        const struct fold *f = replica_fold(r->replica, p);
        uint64_t from = r->model_seq[p];
        r->model_seq[p] = view.seq;
        if (view.seq == from && !again)
            continue;
        if (again || r->model_stale[p] || from == 0 || view.seq < from ||
            view.seq > w->shadow->count[r->region][p]) {
            begin_anew(r, p, f);
            r->model_stale[p] = r->model_stale[p] && view.seq == from;
            continue;
        }
        bool sound = true;
        for (uint64_t seq = from; seq < view.seq; seq++) {
            const struct sim_run *run = &w->shadow->runs[r->region][p][seq];
            if (run->epoch == 0)
                continue;
            uint64_t *floor = floor_at(r, p, run);
            if (run->first <= *floor && run->last > *floor)
                *floor = run->last;
            sound = sound && !written_off(w, run);
        }
        if (sound)
            compare(r, p, f);
        else
            begin_anew(r, p, f);
    }
}
