/* SPDX-License-Identifier: Apache-2.0
 * zone_windows: where windows of five minutes, hours and days begin by a zone's clocks.
 * Audience: global core, tests. Pure.
 *
 * A day begins at the first instant at which the zone's date is that day or a later one: at the
 * first of two midnights, and where midnight is skipped, when it is over. A date that was skipped
 * altogether is no window. Hours and shorter windows begin where the clock shows a multiple of
 * them, and where it is set: the hour that comes twice is two windows. */
#pragma once

#include "common/base/minute.h"
#include "global/core/zone.h"

enum zone_windows_result {
    ZONE_WINDOWS_OK,
    ZONE_WINDOWS_START,  /* no window begins at the start */
    ZONE_WINDOWS_END,    /* none ends at the end */
    ZONE_WINDOWS_RAGGED, /* one begins within a minute */
};

/* Replaces *out by the minutes (uint32_t) at which windows of [start_s, end_s) begin, and the end.
 * start_s < end_s, both from 1970 on and before LIMIT_TIMESTAMP_MS_MAX. Cost: O(windows). */
enum zone_windows_result zone_windows(const struct zone *zone, enum minute_window window,
                                      uint64_t start_s, uint64_t end_s, struct buf *out);
