/* SPDX-License-Identifier: Apache-2.0
 * watermark: two short rules and two roundings. */
#include "regional/core/watermark.h"

#include "common/base/minute.h"

bool watermark_edge_clock(const struct edge *edge, uint64_t now_ms, uint64_t *out_clock_ms)
{
    uint64_t clock_ms = UINT64_MAX;
    bool is_live = false, newest_is_heard = false;
    for (uint32_t i = 0; i < edge->line_count; i++) {
        const struct line *l = &edge->lines[i];
        newest_is_heard |= l->epoch == edge->newest_epoch && l->heard;
        if (!line_is_live(l))
            continue;
        if (now_ms > l->heard_ms && now_ms - l->heard_ms > LIMIT_SILENT_MS)
            return false;
        is_live = true;
        clock_ms = base_min_u64(clock_ms, l->clock_ms);
    }
    if (!is_live || !newest_is_heard)
        return false;
    *out_clock_ms = clock_ms;
    return true;
}

uint64_t watermark_advance(struct edge_book *book, uint64_t now_ms, uint64_t watermark_ms)
{
    uint64_t least_ms = UINT64_MAX;
    bool is_held = false;
    for (uint32_t i = 0; i < book->count; i++) {
        struct edge *edge = &book->edges[i];
        if (!edge->enrolled || edge->given_up) {
            edge->missing = false;
            continue;
        }
        uint64_t clock_ms = 0;
        bool is_present = watermark_edge_clock(edge, now_ms, &clock_ms);
        /* Once missing, an edge comes back only when its clock has reached the watermark: what it
         * accepted meanwhile lies in minutes that were told with it missing. A clock of 0 is none.
         */
#ifdef TRIBUTARY_BREAK_SILENT_EDGE_FORGOTTEN
        if (!is_present && !edge->missing)
            continue;
#endif
#ifdef TRIBUTARY_BREAK_MISSING_EDGE_BACK_EARLY
        edge->missing = edge->missing && !is_present;
#endif
        if (!is_present)
            edge->missing = true;
        else if (edge->missing && clock_ms > 0 && clock_ms >= watermark_ms)
            edge->missing = false;
        if (edge->missing)
            continue;
        is_held = true;
        least_ms = base_min_u64(least_ms, clock_ms);
    }
    if (!is_held)
        return watermark_ms;
#ifdef TRIBUTARY_BREAK_WATERMARK_FALLS
    return base_min_u64(least_ms, now_ms);
#endif
    return base_max_u64(watermark_ms, base_min_u64(least_ms, now_ms));
}

uint32_t watermark_closed_below(uint64_t watermark_ms, uint64_t lateness_ms)
{
    return watermark_ms <= lateness_ms ? 0 : minute_of_ms(watermark_ms - lateness_ms);
}

uint32_t watermark_expired_below(uint64_t watermark_ms, uint32_t horizon_minutes)
{
    uint32_t minute = minute_of_ms(watermark_ms);
    return minute <= horizon_minutes ? 0 : minute - horizon_minutes;
}
