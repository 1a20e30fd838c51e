/* SPDX-License-Identifier: Apache-2.0
 * sim_clock: the clock port set by hand; random bytes from a seed. Audience: tests. */
#pragma once

#include "common/base/clock.h"
#include "common/base/rng.h"

struct sim_clock {
    struct clock_port port;
    uint64_t wall, mono;
    struct rng rng;
};

void sim_clock_init(struct sim_clock *c, uint64_t wall_ms, uint64_t seed);
/* Moves both. */
void sim_clock_advance(struct sim_clock *c, uint64_t ms);
