/* SPDX-License-Identifier: Apache-2.0
 * load_compare: the verdict: what the ledgers allow against what was counted. Pure. */
#pragma once

#include "load_ledger.h"

struct load_count {
    const char *ad;
    uint32_t minute;
    uint64_t count;
};

struct load_verdict {
    uint64_t lower, upper, counted; /* sums */
    uint64_t lost;                  /* certain clicks that are not counted */
    uint64_t doubled; /* counted clicks beyond what was possible, where something was sent */
    uint64_t phantom; /* counted where nothing was sent */
    uint64_t rows_wrong;
};

/* bounds: `count` rows sorted by (ad, minute), of any number of ads.
 * counts: one row for each (ad, minute) that was counted, sorted alike; rows of zero may be left
 * out. Adds to *out; the two may be given ad by ad. */
void load_compare(const struct load_bound *bounds, size_t bound_count,
                  const struct load_count *counts, size_t count_count, struct load_verdict *out);

/* Planted losses and doubles must be found: 0 when they are, else the number of the first that was
 * not. */
int load_compare_selftest(void);
