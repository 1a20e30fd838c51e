/* SPDX-License-Identifier: Apache-2.0
 * rollup: clicks of one ad in each hour of one UTC day: what windows of hours and days read.
 * Audience: global core, drivers, tests. Pure.
 *
 * An hour is set to the sum of its page, never added to: a row of a higher generation may lower a
 * count. It outlives the page it was made of. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"

#define ROLLUP_HOURS 24u

/* Zero-initialised is empty and valid. */
struct rollup {
    uint32_t present; /* bit h: hour h of the day has rows */
    uint64_t hours[ROLLUP_HOURS];
};

/* Returns true on change. */
bool rollup_set(struct rollup *r, unsigned hour, uint64_t clicks);

/* First and last hour that are present; of one that is not empty. */
unsigned rollup_first(const struct rollup *r);
unsigned rollup_last(const struct rollup *r);

void rollup_put(const struct rollup *r, struct buf *out);
/* ERR_FORMAT for what rollup_put cannot have written; *r is then unchanged. */
enum err WARN_UNUSED rollup_read(struct rollup *r, struct span bytes);
