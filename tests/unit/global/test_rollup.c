/* SPDX-License-Identifier: Apache-2.0
 * A day's hours come back as they were set, and what no roll-up can be is refused. */
#include "global/core/rollup.h"

#include "common/base/rng.h"

#include <criterion/criterion.h>

TestSuite(rollup, .timeout = 30);

Test(rollup, hours_come_back_as_they_were_set)
{
    struct rng rng = {1};
    struct buf bytes = {0};
    for (unsigned round = 0; round < 1000; round++) {
        struct rollup r = {0}, back = {.present = 7};
        unsigned first = 24, last = 0;
        for (uint64_t n = 1 + rng_below(&rng, 30); n > 0; n--) {
            unsigned hour = (unsigned)rng_below(&rng, 24);
            (void)rollup_set(&r, hour, rng_next(&rng) >> rng_below(&rng, 64));
            first = hour < first ? hour : first;
            last = hour > last ? hour : last;
        }
        buf_clear(&bytes);
        rollup_put(&r, &bytes);
        cr_assert_eq(rollup_read(&back, buf_span(&bytes)), ERR_OK);
        cr_assert_eq(memcmp(&back, &r, sizeof(r)), 0);
        cr_assert_eq(rollup_first(&back), first);
        cr_assert_eq(rollup_last(&back), last);
        for (size_t length = 0; length < bytes.length; length++)
            cr_assert_eq(rollup_read(&back, span_of(bytes.data, length)), ERR_FORMAT);
        buf_put_u8(&bytes, 0);
        cr_assert_eq(rollup_read(&back, buf_span(&bytes)), ERR_FORMAT);
        cr_assert_eq(memcmp(&back, &r, sizeof(r)), 0, "untouched by what is refused");
    }
    buf_done(&bytes);
}

Test(rollup, an_hour_is_set_and_may_fall)
{
    struct rollup r = {0};
    cr_assert(rollup_set(&r, 5, 0), "an hour with rows of nothing is one with rows");
    cr_assert_not(rollup_set(&r, 5, 0));
    cr_assert(rollup_set(&r, 5, 9));
    cr_assert(rollup_set(&r, 5, 4));
    cr_assert_eq(r.hours[5], 4);
}

Test(rollup, none_is_empty)
{
    struct rollup r = {0};
    static const uint8_t nothing[3] = {0};
    cr_assert_eq(rollup_read(&r, span_of(nothing, 3)), ERR_FORMAT);
}
