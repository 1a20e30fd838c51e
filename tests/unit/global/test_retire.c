/* SPDX-License-Identifier: Apache-2.0
 * The horizon never goes back, and the walk deletes what is below it and nothing else. */
#include "global/core/retire.h"

#include "common/base/minute.h"
#include "common/base/rng.h"

#include <criterion/criterion.h>
#include <stdlib.h>

TestSuite(retire, .timeout = 30);

#define DAY_MS (RETIRE_DAY_MINUTES * MINUTE_MS)

Test(retire, minutes_go_by_the_hour_and_hours_by_the_day)
{
    uint64_t now = 1000 * DAY_MS + 90 * MINUTE_MS;
    struct retire_horizon h = retire_due(now, now + DAY_MS, 35, 730);
    cr_assert_eq(h.minute, 965 * RETIRE_DAY_MINUTES + 60);
    cr_assert_eq(h.day, 270);
}

Test(retire, the_clock_that_is_further_back_decides)
{
    uint64_t now = 1000 * DAY_MS;
    cr_assert_eq(retire_due(now, now + 99 * DAY_MS, 35, 0).minute, 965 * RETIRE_DAY_MINUTES);
    cr_assert_eq(retire_due(now + 99 * DAY_MS, now, 35, 0).minute, 965 * RETIRE_DAY_MINUTES);
}

Test(retire, nothing_is_retired_before_its_time_or_without_a_bound)
{
    cr_assert_eq(retire_due(DAY_MS, DAY_MS, 35, 730).minute, 0);
    cr_assert_eq(retire_due(DAY_MS, DAY_MS, 1, 1).minute, 0);
    struct retire_horizon h = retire_due(1000 * DAY_MS, 1000 * DAY_MS, 0, 0);
    cr_assert_eq(h.minute, 0);
    cr_assert_eq(h.day, 0);
}

Test(retire, the_horizon_never_goes_back)
{
    struct retire_horizon h = {600, 3};
    cr_assert_not(retire_advance(&h, (struct retire_horizon){540, 2}));
    cr_assert(retire_advance(&h, (struct retire_horizon){660, 2}));
    cr_assert(retire_advance(&h, (struct retire_horizon){60, 4}));
    cr_assert_eq(h.minute, 660);
    cr_assert_eq(h.day, 4);
}

Test(retire, the_horizon_comes_back_as_it_was)
{
    struct buf bytes = {0};
    struct retire_horizon h = {123456780, 77}, back = {0};
    retire_put(&h, &bytes);
    cr_assert_eq(retire_read(&back, buf_span(&bytes)), ERR_OK);
    cr_assert_eq(back.minute, h.minute);
    cr_assert_eq(back.day, h.day);
    for (size_t length = 0; length < bytes.length; length++)
        cr_assert_eq(retire_read(&back, span_of(bytes.data, length)), ERR_FORMAT);
    buf_done(&bytes);
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, 12);
}

/* A table of keys, sorted; `gone` marks what was deleted. */
struct table {
    uint8_t keys[300][12];
    bool gone[300];
    unsigned count;
};

static int seek(const struct table *t, struct span from)
{
    for (unsigned i = 0; i < t->count; i++)
        if (!t->gone[i] && memcmp(t->keys[i], from.data, from.length) >= 0)
            return (int)i;
    return -1;
}

Test(retire, a_walk_deletes_what_is_old_and_nothing_else)
{
    struct rng rng = {9};
    for (unsigned round = 0; round < 200; round++) {
        struct table t = {.count = (unsigned)rng_below(&rng, 300)};
        uint8_t prefix = (uint8_t)(1 + rng_below(&rng, 8));
        for (unsigned i = 0; i < t.count; i++) {
            for (unsigned j = 0; j < prefix; j++)
                t.keys[i][j] = rng_chance(&rng, 500) ? 0xFF : (uint8_t)rng_below(&rng, 3);
            bytes_store_u32(t.keys[i] + prefix, (uint32_t)rng_below(&rng, 20));
        }
        qsort(t.keys, t.count, 12, by_bytes);
        struct retire_walk walk = retire_walk_of(prefix, 10);
        unsigned steps = 0;
        int found;
        while (!walk.ended && (found = seek(&t, retire_walk_key(&walk))) >= 0) {
            if (retire_walk_take(&walk, span_of(t.keys[found], 12)))
                t.gone[found] = true;
            cr_assert_leq(++steps, 2 * t.count);
        }
        for (unsigned i = 0; i < t.count; i++)
            cr_assert_eq(t.gone[i], bytes_load_u32(t.keys[i] + prefix) < 10);
    }
}

Test(retire, a_key_without_a_time_ends_the_walk)
{
    struct retire_walk walk = retire_walk_of(8, 10);
    uint8_t key[11] = {0};
    cr_assert_not(retire_walk_take(&walk, span_of(key, sizeof(key))));
    cr_assert(walk.ended);
}
