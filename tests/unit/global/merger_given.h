/* SPDX-License-Identifier: Apache-2.0
 * merger_given: a world with one replica of each partition of each region, moved together.
 * Audience: tests of the merger. */
#pragma once

#include "globe_given.h"

static struct given_world *w;
/* One replica of each partition of each region. */
static struct given_replica *r[GIVEN_REGIONS][GIVEN_PARTITIONS];

static inline void setup(void)
{
    w = given_world();
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        for (unsigned p = 0; p < GIVEN_PARTITIONS; p++)
            r[i][p] = given_replica(w, i, p, i == 0 ? "us-r1" : "eu-r1");
}

static inline void teardown(void)
{
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        for (unsigned p = 0; p < GIVEN_PARTITIONS; p++)
            given_replica_free(r[i][p]);
    given_world_free(w);
}

static inline void close_minutes(uint32_t n)
{
    given_pass_ms(w, n * MINUTE_MS);
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        for (unsigned p = 0; p < GIVEN_PARTITIONS; p++)
            r[i][p]->closed_before += n;
}

static inline void cut_all(void)
{
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        for (unsigned p = 0; p < GIVEN_PARTITIONS; p++)
            given_cut(r[i][p]);
}

static inline void answer_all(void)
{
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        for (unsigned p = 0; p < GIVEN_PARTITIONS; p++)
            (void)given_answer(r[i][p]);
}

static inline void run(void)
{
    cr_assert_eq(given_run(w), ERR_OK);
}
