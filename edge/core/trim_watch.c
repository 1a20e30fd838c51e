/* SPDX-License-Identifier: Apache-2.0
 * trim_watch: for which readers of a region the spool waits before it lets go of numbers. */
#include "edge/core/trim_watch.h"

#include <string.h>

void trim_watch_init(struct trim_watch *w, uint32_t silent_ms, uint32_t reader_count,
                     uint32_t archivers, uint64_t now_ms)
{
    CHECK(reader_count >= 1 && reader_count <= LIMIT_READERS);
    memset(w, 0, sizeof(*w));
    w->silent_ms = silent_ms;
    w->since_ms = w->looked_ms = now_ms;
    w->reader_count = reader_count;
    for (uint32_t i = 0; i < reader_count; i++)
        w->readers[i].archiver = (archivers >> i & 1) != 0;
}

void trim_watch_link(struct trim_watch *w, bool up, uint64_t now_ms)
{
    w->up = up;
    w->since_ms = base_max_u64(w->since_ms, now_ms);
}

void trim_watch_heard(struct trim_watch *w, uint32_t reader, uint64_t now_ms)
{
    CHECK(reader < w->reader_count);
    w->readers[reader].heard = true;
    w->readers[reader].heard_ms = base_max_u64(w->readers[reader].heard_ms, now_ms);
}

static uint64_t since(uint64_t then_ms, uint64_t now_ms)
{
    return now_ms - base_min_u64(then_ms, now_ms);
}

static bool is_live(const struct trim_watch *w, const struct trim_reader *r, uint64_t now_ms)
{
    return r->heard && since(r->heard_ms, now_ms) < w->silent_ms;
}

static bool is_missing(const struct trim_watch *w, const struct trim_reader *r, uint64_t now_ms)
{
#ifndef TRIBUTARY_BREAK_DEGRADED_PAST_ARCHIVER
    if (r->archiver)
        return false;
#endif
    return since(base_max_u64(r->heard_ms, w->since_ms), now_ms) >= w->silent_ms;
}

uint32_t trim_watch_waived(struct trim_watch *w, bool pressed, uint64_t now_ms)
{
    if (since(w->looked_ms, now_ms) > w->silent_ms / 4)
        w->since_ms = now_ms;
    w->looked_ms = now_ms;
    if (!pressed || !w->up || w->silent_ms == 0)
        return 0;
    uint32_t missing = 0;
    bool any_live = false;
    for (uint32_t i = 0; i < w->reader_count; i++) {
        const struct trim_reader *r = &w->readers[i];
        any_live = any_live || (!r->archiver && is_live(w, r, now_ms));
        missing |= is_missing(w, r, now_ms) ? 1u << i : 0;
    }
#ifdef TRIBUTARY_BREAK_DEGRADED_PAST_LAST_FOLD
    any_live = true;
#endif
    return any_live ? missing : 0;
}

bool trim_watch_pressed(bool was, uint64_t used_bytes, uint64_t size_bytes, uint32_t percent)
{
    CHECK(percent > TRIM_WATCH_LEAVE_PERCENT && percent <= 100);
    if (percent == 100)
        return false;
    uint64_t mark = was ? percent - TRIM_WATCH_LEAVE_PERCENT : percent;
    return used_bytes > size_bytes / 100 * mark;
}
