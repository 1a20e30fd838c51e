/* SPDX-License-Identifier: Apache-2.0
 * minute: event time to minute, and the edges of tumbling windows.
 * Audience: everyone. Pure. */
#pragma once

#include "common/base/base.h"

#define MINUTE_MS 60000ULL

enum minute_window { MINUTE_WINDOW_1M, MINUTE_WINDOW_5M, MINUTE_WINDOW_1H, MINUTE_WINDOW_1D };

/* Minute since 1970-01-01 UTC that contains the instant; time_ms <= LIMIT_TIMESTAMP_MS_MAX. */
static inline uint32_t minute_of_ms(uint64_t time_ms)
{
    return (uint32_t)(time_ms / MINUTE_MS);
}

static inline uint64_t minute_start_ms(uint32_t minute)
{
    return (uint64_t)minute * MINUTE_MS;
}

/* "1m", "5m", "1h", "1d"; false for anything else. */
bool minute_window_parse(const char *text, enum minute_window *out_window);
const char *minute_window_name(enum minute_window window);
uint32_t minute_window_minutes(enum minute_window window);
