/* SPDX-License-Identifier: Apache-2.0
 * zone_windows: where windows of five minutes, hours and days begin by a zone's clocks. */
#include "global/core/zone_windows.h"

#define DAY_S 86400

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* As zone_east_at, but until the offset really differs, or for a day: a rule may go on changing
 * from a time to itself. */
static int32_t east_at(const struct zone *zone, int64_t at_s, int64_t *out_until_s)
{
    int32_t east_s = zone_east_at(zone, at_s, out_until_s);
    int64_t until_s = *out_until_s;
    while (until_s < at_s + DAY_S && zone_east_at(zone, until_s, out_until_s) == east_s)
        until_s = *out_until_s;
    *out_until_s = until_s;
    return east_s;
}

/* First instant at which the local date is `day` (days since 1970-01-01) or later. */
static int64_t day_start(const struct zone *zone, int64_t day)
{
    /* No clock is further ahead: the date is an earlier one there. */
    int64_t at_s = day * DAY_S - ZONE_EAST_MAX - 1;
    for (;;) {
        int64_t until_s;
        int64_t east_s = zone_east_at(zone, at_s, &until_s);
        int64_t found_s = day * DAY_S - east_s;
        found_s = found_s > at_s ? found_s : at_s;
        if (found_s < until_s)
            return found_s;
        at_s = until_s;
    }
}

static int64_t day_of(const struct zone *zone, int64_t at_s)
{
    int64_t until_s;
    return floor_div(at_s + zone_east_at(zone, at_s, &until_s), DAY_S);
}

/* Whether a window of that many seconds begins there. */
static bool begins(const struct zone *zone, int64_t at_s, int64_t seconds)
{
    int64_t until_s;
    if (seconds == DAY_S)
        return day_start(zone, day_of(zone, at_s)) == at_s;
    int32_t east_s = zone_east_at(zone, at_s, &until_s);
    return (at_s + east_s) % seconds == 0 || zone_east_at(zone, at_s - 1, &until_s) != east_s;
}

/* Where the window that begins at at_s ends. */
static int64_t next_of(const struct zone *zone, int64_t at_s, int64_t seconds)
{
    int64_t until_s;
    if (seconds == DAY_S) {
        int64_t day = day_of(zone, at_s);
        int64_t next_s = at_s;
        while (next_s <= at_s)
            next_s = day_start(zone, ++day);
        return next_s;
    }
    int32_t east_s = east_at(zone, at_s, &until_s);
    int64_t next_s = (floor_div(at_s + east_s, seconds) + 1) * seconds - east_s;
    return next_s < until_s ? next_s : until_s;
}

static bool put(struct buf *out, int64_t at_s)
{
    uint32_t minute = (uint32_t)(at_s / 60);
    if (at_s % 60 != 0)
        return false;
    buf_put(out, &minute, sizeof(minute));
    return true;
}

enum zone_windows_result zone_windows(const struct zone *zone, enum minute_window window,
                                      uint64_t start_s, uint64_t end_s, struct buf *out)
{
    int64_t seconds = (int64_t)minute_window_minutes(window) * 60;
    int64_t at_s = (int64_t)start_s;
    CHECK(start_s < end_s);
    buf_clear(out);
    if (!begins(zone, at_s, seconds))
        return ZONE_WINDOWS_START;
    if (!put(out, at_s))
        return ZONE_WINDOWS_RAGGED;
    while (at_s < (int64_t)end_s) {
        at_s = next_of(zone, at_s, seconds);
        if (at_s > (int64_t)end_s)
            return ZONE_WINDOWS_END;
        if (!put(out, at_s))
            return ZONE_WINDOWS_RAGGED;
    }
    return ZONE_WINDOWS_OK;
}
