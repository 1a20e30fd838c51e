/* SPDX-License-Identifier: Apache-2.0
 * rng: a small seeded generator (SplitMix64) for jitter, tests and simulation. Never for secrets.
 * Audience: everyone. Pure. */
#pragma once

#include "common/base/base.h"

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *r)
{
    uint64_t z = (r->state += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

/* Uniform in [0, below); below >= 1. The bias below 2^-32 does not matter here. */
static inline uint64_t rng_below(struct rng *r, uint64_t below)
{
    CHECK(below >= 1);
    return rng_next(r) % below;
}

static inline bool rng_chance(struct rng *r, uint32_t in_1000)
{
    return rng_below(r, 1000) < in_1000;
}
