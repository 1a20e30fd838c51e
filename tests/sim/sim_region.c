/* SPDX-License-Identifier: Apache-2.0
 * sim_region: fold replicas: their life, what they promised, and how one is rebuilt from its peer.
 */
#include "proto/floor.h"
#include "proto/partial.h"
#include "tests/sim/sim_world.h"

#include <stdlib.h>

static const char *const region_names[SIM_REGIONS] = {"us", "eu", "ap"};

void sim_region_init(struct sim_world *w, uint32_t index)
{
    struct sim_replica *r = &w->replicas[index];
    sim_process_init(w, &r->process, SIM_REPLICA, index);
    r->region = index % w->plan.regions;
    r->rescue_ms = SIM_NEVER;
    r->process.kv = sim_kv_new(CUT_TABLES);
    for (uint32_t p = 0; p < w->plan.partitions; p++)
        r->partitions[p] = (uint16_t)p;
}

static void on_note(void *context, const struct replica_note *note)
{
    struct sim_replica *r = context;
    struct sim_world *w = r->process.world;
    static const char *const words[] = {
        [REPLICA_NEW_STORE] = "makes a new store",
        [REPLICA_ADOPTED_STORE] = "adopts a copied store",
        [REPLICA_LOADED] = "has loaded its state",
        [REPLICA_PROOF_FAILED] = "the stream does not hold our position; it is read from the start",
        [REPLICA_STOPPED] = "stops this partition",
        [REPLICA_CAUGHT_UP] = "has caught up",
        [REPLICA_STORE_FULL] = "its store is full"};
    sim_trace(w, r->process.name, "%s (partition %u, seq %llu)%s%s", words[note->kind],
              note->partition, (unsigned long long)note->seq, note->words == NULL ? "" : ": ",
              note->words == NULL ? "" : note->words);
    if (note->kind == REPLICA_STOPPED && r->rescue_ms == SIM_NEVER)
        r->rescue_ms = w->now_ms + 2000;
}

static bool stores_closed(const struct sim_replica *r)
{
    const struct sim_plan *plan = &r->process.world->plan;
    return plan->closed % 2 == 1 ||
           (plan->closed == 2 && r->process.index / plan->regions % 2 == 0);
}

void sim_region_open(struct sim_replica *r)
{
    struct sim_world *w = r->process.world;
    uint64_t lags[SIM_REGIONS] = {0};
    sim_process_boot(&r->process, 1, &r->region, lags);
    struct replica_options options = {.partitions_total = (uint16_t)w->plan.partitions,
                                      .partitions_first = sim_plan_first(&w->plan),
                                      .partitions = r->partitions,
                                      .partition_count = w->plan.partitions,
                                      .lateness_ms = w->plan.lateness_ms,
                                      .horizon_minutes = w->plan.horizon_minutes,
                                      .partial_interval_ms = w->plan.interval_ms,
                                      .settle_ms = stores_closed(r) ? w->plan.settle_ms : 0,
                                      .memory_bytes = w->plan.closed == 3,
                                      .sizes = {w->plan.value_items, w->plan.value_items},
                                      .kv = r->process.kv,
                                      .bus = r->process.buses[0],
                                      .clock = &r->process.clock.port,
                                      .on_note = on_note,
                                      .on_note_context = r};
    (void)snprintf(options.replica, sizeof(options.replica), "%s", r->process.name);
    (void)snprintf(options.region, sizeof(options.region), "%s", region_names[r->region]);
    bool fired = r->process.nth.fired;
    sim_process_acts(&r->process);
    enum err err = replica_new(&options, &r->replica);
    sim_process_rests(&r->process);
    if (err != ERR_OK) {
        r->process.refused++;
        sim_trace(w, r->process.name, "cannot open its store: %s", err_words(err));
        if (r->process.nth.fired == fired && (err == ERR_KV_CORRUPT || err == ERR_CONFIG))
            sim_violation(w, "opens", "%s cannot open the store that it wrote: %s", r->process.name,
                          err_words(err));
        r->replica = NULL;
        sim_process_down(&r->process, 3000);
        return;
    }
    sim_trace(w, r->process.name, "is up");
    sim_checks_reopened(r);
}

void sim_region_crash(struct sim_replica *r)
{
    replica_free(r->replica);
    r->replica = NULL;
    sim_process_kill(&r->process);
    sim_trace(r->process.world, r->process.name, "is down");
}

bool sim_region_archives(const struct sim_replica *r)
{
    const struct sim_plan *p = &r->process.world->plan;
    return r->process.index / p->regions + p->archivers >= p->replicas;
}

static bool is_sound(const struct sim_replica *r)
{
    if (r->rescue_ms != SIM_NEVER || !r->process.up || r->replica == NULL)
        return false;
    /* Nor one that some edge has passed over and that has not read all of it since. */
    const struct sim_world *w = r->process.world;
    for (uint32_t i = 0; i < w->edge_count; i++)
        if ((w->edges[i].passed_over >> r->process.index & 1) != 0 &&
            sim_edge_passed(&w->edges[i], r))
            return false;
    struct replica_view view;
    replica_view(r->replica, &view);
    /* An old backup, or a copy, that has not read its streams yet may lack what no edge holds any
     * more, and not know it: nobody copies such a store (docs/OPERATING.md). */
    return view.parts_stopped == 0 && (view.ready || !r->behind);
}

struct sim_replica *sim_region_peer(struct sim_replica *r)
{
    struct sim_world *w = r->process.world;
    for (uint32_t i = 0; i < w->replica_count; i++)
        if (&w->replicas[i] != r && w->replicas[i].region == r->region && is_sound(&w->replicas[i]))
            return &w->replicas[i];
    return NULL;
}

/* The peer's store as of its last commit, marked as the product's restore marks it. */
void sim_region_rebuild(struct sim_replica *r, uint64_t down_ms)
{
    struct sim_world *w = r->process.world;
    struct sim_replica *peer = sim_region_peer(r);
    CHECK(peer != NULL);
    sim_trace(w, r->process.name, "gets a copy of the store of %s", peer->process.name);
    sim_process_crash_driver(&r->process);
    sim_kv_free(r->process.kv);
    r->process.kv = sim_kv_clone(peer->process.kv);
    sim_kv_limit(r->process.kv, 0);
    if (replica_mark_restored(r->process.kv) != ERR_OK)
        sim_violation(w, "opens", "%s cannot be marked as restored", r->process.name);
    r->rescue_ms = SIM_NEVER;
    r->behind = true;
    w->servers[r->region].replaced = true;
    sim_process_down(&r->process, down_ms);
}

/* An operator looks after a replica that has stopped. */
static bool rescue(struct sim_replica *r)
{
    struct sim_world *w = r->process.world;
    if (w->now_ms < r->rescue_ms)
        return false;
    if (sim_region_peer(r) != NULL) {
        sim_region_rebuild(r, 1000);
        return true;
    }
    bool hope = false; /* is one that is down or slow still to come? */
    for (uint32_t i = 0; i < w->replica_count; i++) {
        const struct sim_replica *other = &w->replicas[i];
        hope |= other != r && other->region == r->region && other->rescue_ms == SIM_NEVER;
    }
    if (!hope)
        sim_violation(w, "rescue", "every replica of region %u has stopped", r->region);
    r->rescue_ms = w->now_ms + 2000;
    return false;
}

void sim_region_step(struct sim_replica *r)
{
    struct sim_world *w = r->process.world;
    if (rescue(r))
        return;
    uint32_t idle_ms = 1000;
    sim_process_acts(&r->process);
    enum err err = replica_step(r->replica, &idle_ms);
    sim_process_rests(&r->process);
    sim_process_stepped(&r->process, err);
    if (err_class(err) == ERR_CLASS_STOP || r->process.fuse.blown) {
        r->process.endings++;
        sim_trace(w, r->process.name, "ends: %s", err_words(err));
        sim_process_down(&r->process, rng_below(&w->rng, 5000));
        return;
    }
    if (r->behind) {
        struct replica_view view;
        replica_view(r->replica, &view);
        r->behind = !view.ready;
    }
    sim_shadow_check(r);
    sim_checks_replica(r);
    /* It asks to be called every 50 ms; with nothing under way, a slower machine calls later. */
    uint64_t slack_ms = idle_ms == 0 ? 0 : rng_below(&w->rng, 300);
    uint64_t due_ms = w->now_ms + idle_ms + slack_ms;
    due_ms = base_min_u64(due_ms, sim_bus_due_ms(r->process.buses[0]));
    r->process.due_ms = base_max_u64(due_ms, w->now_ms + r->process.slow_ms);
}

static struct sim_replica *named(struct sim_world *w, const char *name)
{
    for (uint32_t i = 0; i < w->replica_count; i++)
        if (strcmp(w->replicas[i].process.name, name) == 0)
            return &w->replicas[i];
    return NULL;
}

static void promise(struct sim_replica *r, uint32_t edge, const struct floor_line *line,
                    bool binding)
{
    for (uint32_t i = 0; i < r->promise_count; i++) {
        struct sim_promise *p = &r->promises[i];
        if (p->edge == edge && p->epoch == line->epoch && p->partition == line->partition) {
            p->floor = base_max_u64(p->floor, binding ? line->floor : 0);
            p->ever = base_max_u64(p->ever, line->floor);
            return;
        }
    }
    if (r->promise_count == r->promise_capacity) {
        r->promise_capacity = r->promise_capacity == 0 ? 32 : r->promise_capacity * 2;
        r->promises = base_realloc(r->promises, r->promise_capacity * sizeof(*r->promises));
    }
    r->promises[r->promise_count++] = (struct sim_promise){
        edge, line->epoch, binding ? line->floor : 0, line->floor, line->partition};
}

void sim_region_forget(struct sim_replica *r)
{
    for (uint32_t i = 0; i < r->promise_count; i++)
        r->promises[i].floor = 0;
}

/* A new store owes nothing that the old one promised. False: what this one says binds nobody. */
static bool is_binding(struct sim_replica *r, uint64_t store_id)
{
    if (store_id == r->older_store)
        return false;
    if (r->promised_store == store_id)
        return true;
    r->promised_store = store_id;
    sim_region_forget(r);
    memset(r->promised_cut, 0, sizeof(r->promised_cut));
    return true;
}

void sim_region_heard_floors(struct sim_world *w, uint32_t region, struct span data)
{
    struct floor_message m;
    if (floor_read(&m, data) != ERR_OK)
        return;
    struct sim_replica *r = named(w, m.reader);
    unsigned edge;
    if (r != NULL && r->region == region && sscanf(m.edge, "edge-%u", &edge) == 1) {
        bool binding = is_binding(r, m.store_id);
        if (edge < w->edge_count)
            w->floors_ms[edge][r->process.index] = w->now_ms;
        for (uint32_t i = 0; i < m.line_count; i++)
            promise(r, edge, &m.lines[i], binding);
    }
    floor_done(&m);
}

void sim_region_heard_partial(struct sim_world *w, uint32_t region, const char *subject,
                              struct span data)
{
    struct partial p;
    (void)subject;
    if (partial_read(&p, data) != ERR_OK)
        return;
    struct sim_replica *r = named(w, p.replica);
    if (r != NULL && r->region == region && p.partition < SIM_PARTITIONS &&
        is_binding(r, p.store_id)) {
        r->promised_cut[p.partition] = base_max_u64(r->promised_cut[p.partition], p.cut);
    }
    partial_done(&p);
}
