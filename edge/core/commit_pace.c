/* SPDX-License-Identifier: Apache-2.0
 * commit_pace: when the next transaction may begin, and when clicks have waited too long for one.
 */
#include "edge/core/commit_pace.h"

uint64_t commit_pace_wait_us(uint64_t begun_us, uint64_t now_us, uint64_t clicks)
{
    CHECK(clicks > 0);
    if (clicks >= COMMIT_PACE_CLICKS)
        return 0;
    uint64_t since_us = now_us - base_min_u64(begun_us, now_us);
    return COMMIT_PACE_US - base_min_u64(since_us, COMMIT_PACE_US);
}

bool commit_pace_is_late(uint64_t oldest_ms, uint64_t now_ms, uint64_t clicks, uint32_t limit_ms)
{
    if (limit_ms == 0 || clicks < COMMIT_PACE_LATE_CLICKS_MIN)
        return false;
    return now_ms - base_min_u64(oldest_ms, now_ms) > limit_ms;
}
