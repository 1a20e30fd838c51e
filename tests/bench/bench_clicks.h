/* SPDX-License-Identifier: Apache-2.0
 * bench_clicks: made-up clicks for benches of the region: ads by Zipf's law with exponent 1, users
 * evenly. Audience: tests/bench. One thread at a time per object. */
#pragma once

#include "common/base/rng.h"
#include "proto/click.h"

struct bench_clicks {
    struct rng rng;
    uint32_t ads, users;
    double *sums; /* of Zipf's law */
    char (*ad_ids)[40];
};

static inline uint64_t bench_mixed(uint64_t value)
{
    struct rng r = {value};
    return rng_next(&r);
}

void bench_clicks_init(struct bench_clicks *b, uint64_t seed, uint32_t ads, uint32_t users);
void bench_clicks_done(struct bench_clicks *b);

/* Click `number` at that event time: ad and user drawn, the key of its own. Texts are borrowed from
 * b; those that no fold looks at are short. */
struct click bench_clicks_make(struct bench_clicks *b, uint64_t number, uint64_t time_ms);
