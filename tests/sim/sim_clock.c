/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_clock.h"

static uint64_t sim_clock_wall(struct clock_port *clock)
{
    return container_of(clock, struct sim_clock, port)->wall;
}

static uint64_t sim_clock_mono(struct clock_port *clock)
{
    return container_of(clock, struct sim_clock, port)->mono;
}

static void sim_clock_random(struct clock_port *clock, void *out, size_t length)
{
    struct sim_clock *c = container_of(clock, struct sim_clock, port);
    uint8_t *bytes = out;
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)rng_next(&c->rng);
}

void sim_clock_init(struct sim_clock *c, uint64_t wall_ms, uint64_t seed)
{
    *c = (struct sim_clock){
        .port = {sim_clock_wall, sim_clock_mono, sim_clock_random},
        .wall = wall_ms,
        .mono = 1000,
        .rng = {seed},
    };
}

void sim_clock_advance(struct sim_clock *c, uint64_t ms)
{
    c->wall += ms;
    c->mono += ms;
}
