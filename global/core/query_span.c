/* SPDX-License-Identifier: Apache-2.0
 * query_span: which windows a query's range holds, and which rows of an answer a page holds. */
#include "global/core/query_span.h"

#include "common/base/hash.h"
#include "global/core/zone_windows.h"

/* What a cursor is good for: the same ads, windows and range, in the same order. */
static uint32_t mark_of(const struct query *q)
{
    uint64_t mark = hash_checksum(span_of(q->ads, q->ad_ends[q->ad_count - 1]), q->start_s);
    mark = hash_checksum(span_of(q->ad_ends, q->ad_count * sizeof(q->ad_ends[0])), mark);
    mark = hash_checksum(span_of_text(q->zone), mark ^ q->end_s);
    return (uint32_t)(mark ^ (uint64_t)q->window << 7);
}

static bool refuse_too_long(const struct query *q, struct query_fault *fault, uint64_t points)
{
    bool local = q->zone[0] != '\0' && q->window != MINUTE_WINDOW_1M;
    uint32_t most = !q->paged || q->ad_count == 0 ? LIMIT_QUERY_POINTS
                    : local                       ? LIMIT_QUERY_LOCAL_WINDOWS
                                                  : LIMIT_QUERY_WINDOWS;
    return query_refuse(fault, "end", "the range must hold at most %u windows of %s, not %llu",
                        most, minute_window_name(q->window), (unsigned long long)points);
}

/* The rows of the page. */
static bool lay_rows(struct query *q, struct query_fault *fault)
{
    uint32_t rows = q->points * (uint32_t)base_max_u64(q->ad_count, 1);
    q->first_row = 0;
    q->last_row = rows;
    if (!q->paged || q->ad_count == 0) {
        if (q->points > LIMIT_QUERY_POINTS)
            return refuse_too_long(q, fault, q->points);
        if (rows > LIMIT_QUERY_POINTS)
            return query_refuse(
                fault, "end", "ads times windows of %s must be at most %d, not %u; more with limit",
                minute_window_name(q->window), LIMIT_QUERY_POINTS, rows);
        return !q->has_cursor || query_refuse(fault, "cursor", "goes with a limit");
    }
    if (q->has_cursor) {
        q->first_row = (uint32_t)q->cursor;
        if ((uint32_t)(q->cursor >> 32) != mark_of(q) || q->first_row >= rows)
            return query_refuse(fault, "cursor", "must be the `next` of an answer to this query");
    }
    q->last_row = (uint32_t)base_min_u64(rows, (uint64_t)q->first_row + q->limit);
    return true;
}

bool query_lay_out(struct query *q, struct query_fault *fault)
{
    const char *window = minute_window_name(q->window);
    uint64_t window_s = minute_window_minutes(q->window) * 60ULL;
    if (q->start_s % window_s != 0)
        return query_refuse(fault, "start",
                            "must be aligned to the window %s: a multiple of %llu s", window,
                            (unsigned long long)window_s);
    if (q->end_s % window_s != 0)
        return query_refuse(fault, "end", "must be aligned to the window %s: a multiple of %llu s",
                            window, (unsigned long long)window_s);
    if (q->end_s <= q->start_s)
        return query_refuse(fault, "end", "must be after start (the range is [start, end))");
    uint64_t points = (q->end_s - q->start_s) / window_s;
    if (points > LIMIT_QUERY_WINDOWS)
        return refuse_too_long(q, fault, points);
    q->start_minute = (uint32_t)(q->start_s / 60);
    q->end_minute = (uint32_t)(q->end_s / 60);
    q->points = (uint32_t)points;
    return lay_rows(q, fault);
}

bool query_localise(struct query *q, const struct zone *zone, struct buf *edges,
                    struct query_fault *fault)
{
    const char *window = minute_window_name(q->window);
    if (q->window == MINUTE_WINDOW_1M) /* minutes are the same everywhere */
        return query_lay_out(q, fault);
    if (q->end_s <= q->start_s)
        return query_refuse(fault, "end", "must be after start (the range is [start, end))");
    uint64_t least_s =
        q->window == MINUTE_WINDOW_1D ? 82800 : minute_window_minutes(q->window) * 60;
    if ((q->end_s - q->start_s) / least_s > LIMIT_QUERY_LOCAL_WINDOWS)
        return refuse_too_long(q, fault, (q->end_s - q->start_s) / least_s);
    switch (zone_windows(zone, q->window, q->start_s, q->end_s, edges)) {
    case ZONE_WINDOWS_START:
        return query_refuse(fault, "start", "must be where a window of %s begins in that zone",
                            window);
    case ZONE_WINDOWS_END:
        return query_refuse(fault, "end", "must be where a window of %s begins in that zone",
                            window);
    case ZONE_WINDOWS_RAGGED:
        return query_refuse(fault, "tz", "has offsets of no whole minutes in this range");
    case ZONE_WINDOWS_OK:
        break;
    }
    q->points = (uint32_t)(edges->length / sizeof(q->edges[0])) - 1;
    q->edges = (const uint32_t *)(const void *)edges->data;
    q->start_minute = q->edges[0];
    q->end_minute = q->edges[q->points];
    return lay_rows(q, fault);
}

uint32_t query_slice(const struct query *q, uint32_t row, struct query *out)
{
    CHECK(row >= q->first_row && row <= q->last_row);
    if (row == q->last_row)
        return 0;
    uint32_t ad = row / q->points;
    uint32_t from = row % q->points;
    uint32_t count = (uint32_t)base_min_u64(q->points - from, q->last_row - row);
    *out = *q;
    if (q->ad_count > 0) {
        uint16_t start = ad == 0 ? 0 : q->ad_ends[ad - 1];
        out->ad_id_length = (size_t)q->ad_ends[ad] - start;
        memcpy(out->ad_id, q->ads + start, out->ad_id_length);
        out->ad_id[out->ad_id_length] = '\0';
    }
    out->start_minute = query_minute_of(q, from);
    out->end_minute = query_minute_of(q, from + count);
    out->points = count;
    out->edges = q->edges == NULL ? NULL : q->edges + from;
    return count;
}

bool query_next(const struct query *q, char out_cursor[QUERY_CURSOR_CHARS + 1])
{
    static const char hex[] = "0123456789abcdef";
    if (q->last_row == q->points * (uint32_t)base_max_u64(q->ad_count, 1))
        return false;
    uint64_t cursor = (uint64_t)mark_of(q) << 32 | q->last_row;
    for (unsigned i = 0; i < QUERY_CURSOR_CHARS; i++)
        out_cursor[i] = hex[cursor >> (60 - 4 * i) & 15];
    out_cursor[QUERY_CURSOR_CHARS] = '\0';
    return true;
}

uint32_t query_point_among(const struct query *q, uint32_t minute)
{
    uint32_t low = 0; /* edges[low] <= minute < edges[high] */
    uint32_t high = q->points;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (q->edges[middle] <= minute)
            low = middle;
        else
            high = middle;
    }
    return low;
}
