/* SPDX-License-Identifier: Apache-2.0
 * commit_pace: when the next transaction may begin, and when clicks have waited too long for one.
 * Audience: edge, tests. Pure: time is an argument. Why: docs/decisions/0010. */
#pragma once

#include "common/base/base.h"

/* What one transaction takes, at most (but at least one job). */
#define COMMIT_PACE_GROUP_CLICKS_MAX 4096
/* Under load a transaction begins no sooner than this after the one before, unless so many clicks
 * wait: each costs some 200 us of processor time whatever it holds (docs/PERFORMANCE.md). */
#define COMMIT_PACE_US     3000
#define COMMIT_PACE_CLICKS 1024
/* Fewer clicks than these in the queue are never refused for being late: what a few transactions
 * take is not made faster by refusing more. */
#define COMMIT_PACE_LATE_CLICKS_MIN (4 * COMMIT_PACE_GROUP_CLICKS_MAX)

/* How long the transaction for `clicks` (at least one) has yet to wait; 0: it begins now. Never
 * more than COMMIT_PACE_US, whatever the times are. */
uint64_t commit_pace_wait_us(uint64_t begun_us, uint64_t now_us, uint64_t clicks);

/* Should new clicks be refused, because the oldest of `clicks` came longer than `limit_ms` ago?
 * limit_ms 0: never. An oldest that seems to come later than now has not waited at all. */
bool commit_pace_is_late(uint64_t oldest_ms, uint64_t now_ms, uint64_t clicks, uint32_t limit_ms);
