/* SPDX-License-Identifier: Apache-2.0
 * sim_process: what an edge, a replica and a globe have in common: clock, links, birth and death.
 */
#include "tests/sim/sim_world.h"

void sim_process_init(struct sim_world *w, struct sim_process *p, enum sim_process_kind kind,
                      uint32_t index)
{
    static const char *const names[] = {"edge", "replica", "globe", "archiver"};
    p->world = w;
    p->kind = kind;
    p->index = index;
    p->due_ms = p->start_ms = SIM_NEVER;
    (void)snprintf(p->name, sizeof(p->name), "%s-%u", names[kind], index);
    sim_clock_init(&p->clock, SIM_BASE_MS, rng_next(&w->rng));
    w->processes[w->process_count++] = p;
}

void sim_process_time(struct sim_process *p)
{
    uint64_t now_ms = p->world->now_ms;
    int64_t since = (int64_t)(now_ms - p->drift_from_ms);
    int64_t drift = since * p->drift_ppm / 1000000;
    p->clock.wall = (uint64_t)((int64_t)(SIM_BASE_MS + now_ms) + p->skew_ms + drift);
    p->clock.mono = p->mono_base_ms + now_ms;
}

void sim_process_wake(struct sim_process *p, uint64_t due_ms)
{
    if (p->up)
        p->due_ms = base_min_u64(p->due_ms, due_ms + p->slow_ms);
}

static void ready(void *context, uint64_t due_ms)
{
    sim_process_wake(context, due_ms);
}

void sim_process_link(struct sim_process *p, uint32_t at)
{
    if (!p->up)
        return;
    struct sim_world *w = p->world;
    struct bus_port *bus = p->buses[at];
    bool calm = w->phase == SIM_CALM;
    const struct sim_bus_sins none = {0};
    sim_bus_deaf(bus, p->deaf[at] && !calm);
    sim_bus_mute(bus, p->mute_out[at] && !calm, p->mute_in[at] && !calm);
    sim_bus_sin(bus, calm ? &none : &p->sins[at], rng_next(&w->rng));
    if (p->cut[at] || w->servers[p->servers[at]].down)
        sim_bus_cut(bus);
    else
        sim_bus_heal(bus);
}

void sim_process_boot(struct sim_process *p, uint32_t bus_count, const uint32_t *servers,
                      uint64_t lag_ms[SIM_REGIONS])
{
    struct sim_world *w = p->world;
    CHECK(!p->up && bus_count <= SIM_REGIONS);
    p->up = true;
    p->fuse = (struct sim_fuse){0};
    p->mono_base_ms = 1 + rng_below(&w->rng, 100000000);
    p->bus_count = bus_count;
    p->start_ms = SIM_NEVER;
    p->due_ms = w->now_ms;
    sim_kv_fuse(p->kv, &p->fuse);
    sim_kv_nth(p->kv, &p->nth);
    for (uint32_t i = 0; i < bus_count; i++) {
        p->servers[i] = servers[i];
        p->buses[i] = sim_bus_client(w->servers[servers[i]].bus);
        sim_bus_lag(p->buses[i], lag_ms[i]);
        sim_bus_timeout(p->buses[i], w->plan.timeout_ms);
        sim_bus_fuse(p->buses[i], &p->fuse);
        sim_bus_nth(p->buses[i], &p->nth);
        sim_bus_ready(p->buses[i], ready, p);
        sim_process_link(p, i);
    }
    sim_process_time(p);
}

void sim_process_kill(struct sim_process *p)
{
    for (uint32_t i = 0; i < p->bus_count; i++)
        sim_bus_client_free(p->buses[i]);
    p->bus_count = 0;
    sim_kv_crash(p->kv);
    sim_kv_fuse(p->kv, NULL);
    sim_kv_nth(p->kv, NULL);
    sim_process_rests(p);
    p->up = false;
    p->due_ms = SIM_NEVER;
}

void sim_process_crash_driver(struct sim_process *p)
{
    struct sim_world *w = p->world;
    if (!p->up)
        return;
    switch (p->kind) {
    case SIM_EDGE:
        sim_edge_crash(&w->edges[p->index]);
        break;
    case SIM_REPLICA:
        sim_region_crash(&w->replicas[p->index]);
        break;
    case SIM_GLOBE:
        sim_globe_crash(&w->globes[p->index]);
        break;
    case SIM_ARCHIVER:
        sim_archiver_crash(&w->archivers[p->index]);
        break;
    }
}

void sim_process_down(struct sim_process *p, uint64_t down_ms)
{
    struct sim_world *w = p->world;
    sim_process_crash_driver(p);
    if (!p->retired)
        p->start_ms = w->phase == SIM_CALM ? w->now_ms : w->now_ms + down_ms;
}

void sim_process_stepped(struct sim_process *p, enum err err)
{
    if (err != ERR_OK && err_class(err) != ERR_CLASS_STOP)
        sim_violation(p->world, "class", "a step of %s returned: %s", p->name, err_words(err));
}
