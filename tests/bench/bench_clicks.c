/* SPDX-License-Identifier: Apache-2.0
 * bench_clicks: an ad is drawn by bisection of the sums. */
#include "bench_clicks.h"

#include "common/base/minute.h"

#include <stdio.h>
#include <stdlib.h>

void bench_clicks_init(struct bench_clicks *b, uint64_t seed, uint32_t ads, uint32_t users)
{
    double sum = 0;
    *b = (struct bench_clicks){.rng = {seed}, .ads = ads, .users = users};
    b->sums = base_zalloc(ads, sizeof(*b->sums));
    b->ad_ids = base_zalloc(ads, sizeof(*b->ad_ids));
    for (uint32_t i = 0; i < ads; i++) {
        b->sums[i] = sum += 1.0 / (i + 1);
        (void)snprintf(b->ad_ids[i], sizeof(b->ad_ids[i]), "campaign-%u-ad-%u", i / 50, i);
    }
}

void bench_clicks_done(struct bench_clicks *b)
{
    free(b->sums);
    free(b->ad_ids);
    *b = (struct bench_clicks){.ads = 0};
}

static uint32_t draw_ad(struct bench_clicks *b)
{
    double at = (double)(rng_next(&b->rng) >> 11) / 9007199254740992.0 * b->sums[b->ads - 1];
    uint32_t low = 0, high = b->ads - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (b->sums[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct click bench_clicks_make(struct bench_clicks *b, uint64_t number, uint64_t time_ms)
{
    uint32_t ad = draw_ad(b);
    struct click c = {.minute = minute_of_ms(time_ms),
                      .user_hash = bench_mixed(rng_below(&b->rng, b->users)),
                      .timestamp_ms = time_ms,
                      .received_ms = time_ms,
                      .ad_id = span_of_text(b->ad_ids[ad]),
                      .user_id = span_of_text("u"),
                      .ip_address = span_of_text("198.51.100.23"),
                      .user_agent = span_of_text("bench")};
    bytes_store_u64(c.key, bench_mixed(number * 2 + 1));
    bytes_store_u64(c.key + 8, bench_mixed(number * 2 + 2));
    return c;
}
