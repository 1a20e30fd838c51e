/* SPDX-License-Identifier: Apache-2.0
 * bench_clicks: made-up clicks for benches of the region. Audience: tests/bench. One thread at a
 * time per object. */
#pragma once

#include "common/base/rng.h"
#include "proto/segment.h"

static inline uint64_t bench_mixed(uint64_t value)
{
    struct rng r = {value};
    return rng_next(&r);
}

/* Which ad a click is for: by Zipf's law with exponent 1, or evenly. */
struct bench_ads {
    uint32_t count;
    double *sums;
};
void bench_ads_init(struct bench_ads *ads, uint32_t count, bool zipf);
void bench_ads_done(struct bench_ads *ads);
/* The ad of 64 random bits. */
uint32_t bench_ads_pick(const struct bench_ads *ads, uint64_t random);

struct bench_clicks {
    struct rng rng;
    struct bench_ads ads;
    uint32_t users; /* drawn evenly */
    char (*ad_ids)[40];
};
void bench_clicks_init(struct bench_clicks *b, uint64_t seed, uint32_t ads, uint32_t users);
void bench_clicks_done(struct bench_clicks *b);

/* Click `number` at that event time: ad and user drawn, the key of its own. Texts are borrowed from
 * b; those that no fold looks at are short. */
struct click bench_clicks_make(struct bench_clicks *b, uint64_t number, uint64_t time_ms);

/* Of the numbers [first, first + count) of the one edge us-e1 of region us. */
struct segment_head bench_segment_head(uint16_t partition, uint64_t first, uint64_t count,
                                       uint64_t clock_ms);
