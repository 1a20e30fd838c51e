/* SPDX-License-Identifier: Apache-2.0
 * rng: equal seeds, equal streams; bounds hold. */
#include "common/base/rng.h"

#include <criterion/criterion.h>
#include <signal.h>

/* The first outputs of SplitMix64 for seed 1234567, as published with the generator's reference
 * code. */
Test(rng, gives_the_published_values)
{
    static const uint64_t published[] = {6457827717110365317ULL, 3203168211198807973ULL,
                                         9817491932198370423ULL, 4593380528125082431ULL,
                                         16408922859458223821ULL};
    struct rng r = {1234567};

    for (unsigned i = 0; i < countof(published); i++)
        cr_assert_eq(rng_next(&r), published[i]);
}

Test(rng, below_stays_below_and_reaches_every_value)
{
    struct rng r = {1};
    unsigned seen[7] = {0};

    for (unsigned i = 0; i < 7000; i++) {
        uint64_t value = rng_below(&r, 7);
        cr_assert_lt(value, 7);
        seen[value]++;
    }

    for (unsigned i = 0; i < 7; i++)
        cr_assert(seen[i] > 800 && seen[i] < 1200, "%u came %u times", i, seen[i]);
}

Test(rng, chance_never_and_always)
{
    struct rng r = {2};
    for (unsigned i = 0; i < 1000; i++) {
        cr_assert_not(rng_chance(&r, 0));
        cr_assert(rng_chance(&r, 1000));
    }
}

Test(rng, below_zero_values_is_a_mistake, .signal = SIGABRT)
{
    struct rng r = {3};
    (void)rng_below(&r, 0);
}
