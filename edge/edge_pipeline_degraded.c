/* SPDX-License-Identifier: Apache-2.0
 * The degraded mode of a spool nearly full: past whom it lets go of numbers, and how many that was
 * (design 3.7 [rule]; the rule itself is in core/trim_watch). */
#include "edge/edge_pipeline_parts.h"

void edge_pipeline_press(struct edge_pipeline *p, bool pressed)
{
    atomic_store(&p->pressed, pressed);
}

void edge_pipeline_trim_share(struct edge_pipeline *p, struct edge_line *line)
{
    uint32_t waived = atomic_load(&p->regions[line->home].waived);
    line->shared_trim = send_window_trim(&line->window, waived);
}

static void waive(struct edge_pipeline *p, uint32_t home, uint32_t waived)
{
    struct edge_region_state *region = &p->regions[home];
    if (waived == atomic_load(&region->waived))
        return;
    region->ever_waived |= waived;
    pthread_mutex_lock(&p->lock);
    atomic_store(&region->waived, waived);
    for (uint32_t i = 0; i < p->line_count; i++)
        if (p->lines[i]->home == home)
            edge_pipeline_trim_share(p, p->lines[i]);
    pthread_mutex_unlock(&p->lock);
}

void edge_pipeline_look_who(struct edge_pipeline *p, uint32_t home)
{
    uint64_t now_ms = p->options.clock->mono_ms(p->options.clock);
    waive(p, home, trim_watch_waived(&p->regions[home].watch, atomic_load(&p->pressed), now_ms));
}

void edge_pipeline_heard(struct edge_pipeline *p, uint32_t home, uint32_t reader)
{
    struct edge_region_state *region = &p->regions[home];
    trim_watch_heard(&region->watch, reader, p->options.clock->mono_ms(p->options.clock));
    waive(p, home, atomic_load(&region->waived) & ~(1u << reader));
}

void edge_pipeline_passed(struct edge_pipeline *p, const struct edge_line *line, uint64_t low)
{
    const struct send_window *w = &line->window;
    struct edge_region_state *region = &p->regions[line->home];
    for (uint32_t i = 0; i < w->reader_count; i++) {
        uint64_t has = base_max_u64(w->low, w->readers[i].floor);
        if ((region->ever_waived >> i & 1) != 0)
            atomic_fetch_add(&region->passed[i], low - base_min_u64(low, has));
    }
}

uint32_t edge_pipeline_readers(struct edge_pipeline *p, uint32_t home,
                               struct edge_reader_view out[LIMIT_READERS])
{
    CHECK(home < p->options.region_count);
    const struct edge_region *region = &p->options.regions[home];
    uint32_t waived = atomic_load(&p->regions[home].waived);
    for (uint32_t i = 0; i < region->reader_count; i++)
        out[i] = (struct edge_reader_view){.reader = region->readers[i],
                                           .passed_over = (waived >> i & 1) != 0,
                                           .passed = atomic_load(&p->regions[home].passed[i])};
    return region->reader_count;
}
