/* SPDX-License-Identifier: Apache-2.0
 * sim_globe: a merger and its reader. */
#include "tests/sim/sim_world.h"

#include <stdlib.h>

static const char *const region_names[SIM_REGIONS] = {"us", "eu", "ap"};

void sim_globe_init(struct sim_world *w, uint32_t index)
{
    struct sim_globe *g = &w->globes[index];
    sim_process_init(w, &g->process, SIM_GLOBE, index);
    g->process.kv = sim_kv_new(LEAF_TABLES);
    g->seen = base_zalloc((size_t)w->plan.ads * SIM_MINUTES, sizeof(*g->seen));
}

void sim_globe_forget(struct sim_globe *g)
{
    const struct sim_plan *plan = &g->process.world->plan;
    memset(g->seen, 0, (size_t)plan->ads * SIM_MINUTES * sizeof(*g->seen));
    memset(g->watermark_ms, 0, sizeof(g->watermark_ms));
}

void sim_globe_open(struct sim_globe *g)
{
    struct sim_world *w = g->process.world;
    uint64_t lags[SIM_REGIONS];
    const uint32_t servers[SIM_REGIONS] = {0, 1, 2};
    CHECK(w->plan.regions <= SIM_REGIONS);
    for (uint32_t i = 0; i < SIM_REGIONS; i++)
        lags[i] = i == 0 ? 0 : w->plan.wan_ms;
    sim_process_boot(&g->process, w->plan.regions, servers, lags);
    struct merger_options options = {.region_count = w->plan.regions,
                                     .kv = g->process.kv,
                                     .clock = &g->process.clock.port,
                                     .bite_messages = 1 + (uint32_t)rng_below(&w->rng, 64)};
    struct global_reader_options reader = {
        .region_count = w->plan.regions, .kv = g->process.kv, .clock = &g->process.clock.port};
    for (uint32_t i = 0; i < w->plan.regions; i++) {
        (void)snprintf(options.regions[i].name, sizeof(options.regions[i].name), "%s",
                       region_names[i]);
        options.regions[i].bus = g->process.buses[i];
        reader.regions[i] = region_names[i];
    }
    bool fired = g->process.nth.fired;
    sim_process_acts(&g->process);
    enum err err = merger_new(&options, &g->merger);
    sim_process_rests(&g->process);
    if (err != ERR_OK) {
        g->process.refused++;
        sim_trace(w, g->process.name, "cannot open its store: %s", err_words(err));
        if (g->process.nth.fired == fired && (err == ERR_KV_CORRUPT || err == ERR_VERSION))
            sim_violation(w, "opens", "%s cannot open the store that it wrote: %s", g->process.name,
                          err_words(err));
        g->merger = NULL;
        sim_process_down(&g->process, 3000);
        return;
    }
    g->reader = global_reader_new(&reader);
    sim_trace(w, g->process.name, "is up");
    sim_checks_globe_reopened(g);
}

void sim_globe_crash(struct sim_globe *g)
{
    merger_free(g->merger);
    global_reader_free(g->reader);
    g->merger = NULL;
    g->reader = NULL;
    sim_process_kill(&g->process);
    sim_trace(g->process.world, g->process.name, "is down");
}

void sim_globe_step(struct sim_globe *g)
{
    struct sim_world *w = g->process.world;
    uint32_t idle_ms = 1000;
    sim_process_acts(&g->process);
    enum err err = merger_step(g->merger, &idle_ms);
    sim_process_rests(&g->process);
    sim_process_stepped(&g->process, err);
    if (err_class(err) == ERR_CLASS_STOP || g->process.fuse.blown) {
        g->process.endings++;
        sim_trace(w, g->process.name, "ends: %s", err_words(err));
        sim_process_down(&g->process, rng_below(&w->rng, 5000));
        return;
    }
    uint64_t due_ms = w->now_ms + idle_ms + rng_below(&w->rng, 3);
    for (uint32_t i = 0; i < g->process.bus_count; i++)
        due_ms = base_min_u64(due_ms, sim_bus_due_ms(g->process.buses[i]));
    due_ms = base_max_u64(due_ms, w->now_ms + 1);
    g->process.due_ms = base_max_u64(due_ms, w->now_ms + g->process.slow_ms);
}
