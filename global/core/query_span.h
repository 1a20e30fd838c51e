/* SPDX-License-Identifier: Apache-2.0
 * query_span: which windows a query's range holds, and which rows of an answer a page holds: ads in
 * the order of the query, the windows of each in the order of time.
 * Audience: global core, drivers, shell, tests. Pure.
 *
 * Nobody gets a part of what was asked for who did not ask for parts: without `limit` an answer is
 * whole, or refused. */
#pragma once

#include "global/core/query.h"
#include "global/core/zone.h"

#define QUERY_CURSOR_CHARS 16
#define QUERY_ZONE_RULE                                                                            \
    "must be the IANA name of a time zone that is known here, as Europe/Berlin or Etc/UTC"

/* The range in windows of UTC, and the page's rows. False: *out_fault says what is wrong. */
bool query_lay_out(struct query *q, struct query_fault *out_fault);

/* The same in windows of a zone: days and hours begin as its clocks say. Replaces *edges (of
 * uint32_t), which q borrows from then on. An hour or five minutes that the zone's offset changes
 * in are two windows; a day has as many hours as it has. */
bool query_localise(struct query *q, const struct zone *zone, struct buf *edges,
                    struct query_fault *out_fault);

/* The rows from `row` (first_row..last_row) on that are of one ad and on the page: *out is a query
 * for them alone. Returns how many; 0: none, *out is undefined. */
uint32_t query_slice(const struct query *q, uint32_t row, struct query *out);

/* Of a paged query: where the next page goes on. False: this is the last one. */
bool query_next(const struct query *q, char out_cursor[QUERY_CURSOR_CHARS + 1]);

/* The point of a minute where windows are not of equal length. Cost: O(log points). */
uint32_t query_point_among(const struct query *q, uint32_t minute);

/* The point of a minute in [start, end). */
static inline uint32_t query_point_of(const struct query *q, uint32_t minute)
{
    CHECK(minute >= q->start_minute && minute < q->end_minute);
    if (q->window == MINUTE_WINDOW_1M)
        return minute - q->start_minute; /* most are: no call, no division */
    if (q->edges != NULL)
        return query_point_among(q, minute);
    return (minute - q->start_minute) / minute_window_minutes(q->window);
}

/* First minute of point i; i == points gives the end. */
static inline uint32_t query_minute_of(const struct query *q, uint32_t point)
{
    if (q->edges != NULL)
        return q->edges[point];
    return q->start_minute +
           (q->window == MINUTE_WINDOW_1M ? point : point * minute_window_minutes(q->window));
}
