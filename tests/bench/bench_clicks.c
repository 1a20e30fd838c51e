/* SPDX-License-Identifier: Apache-2.0
 * bench_clicks: an ad is found by bisection of the sums. */
#include "bench_clicks.h"

#include "common/base/minute.h"

#include <stdio.h>
#include <stdlib.h>

void bench_ads_init(struct bench_ads *ads, uint32_t count, bool zipf)
{
    double sum = 0;
    *ads = (struct bench_ads){count, base_zalloc(count, sizeof(*ads->sums))};
    for (uint32_t i = 0; i < count; i++)
        ads->sums[i] = sum += zipf ? 1.0 / (i + 1) : 1;
}

void bench_ads_done(struct bench_ads *ads)
{
    free(ads->sums);
    *ads = (struct bench_ads){0};
}

uint32_t bench_ads_pick(const struct bench_ads *ads, uint64_t random)
{
    double at = (double)(random >> 11) * 0x1p-53 * ads->sums[ads->count - 1];
    uint32_t low = 0, high = ads->count - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ads->sums[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void bench_clicks_init(struct bench_clicks *b, uint64_t seed, uint32_t ads, uint32_t users)
{
    *b = (struct bench_clicks){.rng = {seed}, .users = users};
    bench_ads_init(&b->ads, ads, true);
    b->ad_ids = base_zalloc(ads, sizeof(*b->ad_ids));
    for (uint32_t i = 0; i < ads; i++)
        (void)snprintf(b->ad_ids[i], sizeof(b->ad_ids[i]), "campaign-%u-ad-%u", i / 50, i);
}

void bench_clicks_done(struct bench_clicks *b)
{
    bench_ads_done(&b->ads);
    free(b->ad_ids);
    *b = (struct bench_clicks){.users = 0};
}

struct click bench_clicks_make(struct bench_clicks *b, uint64_t number, uint64_t time_ms)
{
    uint32_t ad = bench_ads_pick(&b->ads, rng_next(&b->rng));
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

struct segment_head bench_segment_head(uint16_t partition, uint64_t first, uint64_t count,
                                       uint64_t clock_ms)
{
    return (struct segment_head){.edge = "us-e1",
                                 .region = "us",
                                 .epoch = 9,
                                 .newest_epoch = 9,
                                 .partition = partition,
                                 .first = first,
                                 .last = first + count,
                                 .clock_ms = clock_ms,
                                 .accepted = first + count};
}
