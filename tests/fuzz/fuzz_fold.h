/* SPDX-License-Identifier: Apache-2.0
 * fuzz_fold: the fold that the targets of the regional tier feed. Audience: tests/fuzz. */
#pragma once

#include "regional/core/cut.h"
#include "regional/core/fold_state.h"
#include "regional/core/redo.h"

#define FUZZ_PARTITION  3
#define FUZZ_PARTITIONS 4
#define FUZZ_MINUTE     28333333u /* of the seeds' clicks */

static inline struct fold *fuzz_fold_new(void)
{
    struct fold_options o = {.region = "us",
                             .partition = FUZZ_PARTITION,
                             .partitions = FUZZ_PARTITIONS,
                             .lateness_ms = 10000,
                             .horizon_minutes = 60,
                             .partial_interval_ms = 1000};
    return fold_new(&o);
}

static inline void fuzz_fold_check(const struct fold *f)
{
    CHECK(f->books.folded == f->books.counted + f->books.duplicate + f->books.carried);
}
