/* SPDX-License-Identifier: Apache-2.0
 * query: what GET /v1/stats, /v1/top and /v1/ads ask, strictly read, and which point of an answer a
 * minute belongs to.
 * Audience: global core, drivers, shell, tests. Pure. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "common/base/minute.h"

enum query_consistency { QUERY_EVENTUAL, QUERY_COMPLETE, QUERY_FINAL };

/* Whose parameters are known. */
enum query_route { QUERY_STATS, QUERY_TOP, QUERY_ADS, QUERY_NOTHING };

struct query {
    char ad_id[LIMIT_ID_BYTES + 1];
    size_t ad_id_length;
    enum minute_window window;
    uint32_t start_minute, end_minute; /* [start, end), aligned to the window, UTC */
    uint32_t points;                   /* 1..LIMIT_QUERY_POINTS */
    enum query_consistency consistency;
    bool fill_none; /* points without clicks are left out */
    bool foreign;   /* set by who knows the asker: answer as for an ad that nobody ever clicked */
    uint32_t limit; /* top, ads */
    char prefix[LIMIT_ID_BYTES + 1]; /* ads */
    size_t prefix_length;
    bool has_cursor; /* ads: go on behind this hash */
    uint64_t cursor;
};

/* Why a query is refused: the parameter at fault and the rule it breaks, in words that are safe to
 * send back. */
struct query_fault {
    char parameter[40];
    char rule[160];
};

/* Of one route. Of a range without a window (top), start and end are whole minutes and at most
 * LIMIT_QUERY_POINTS apart; window and points are then those of minutes. As query_parse: */
bool query_parse_for(enum query_route route, const char *text, struct query *out,
                     struct query_fault *out_fault);

/* The query of GET /v1/stats. Reads the text behind '?' (not NULL). Refuses what it does not know,
 * what comes twice, bad percent-encoding and a bare '+' (some mean a space, some a plus: both have
 * an unambiguous form). False: *out_fault is filled in and *out is undefined. */
bool query_parse(const char *text, struct query *out, struct query_fault *out_fault);

static inline struct span query_ad(const struct query *q)
{
    return span_of(q->ad_id, q->ad_id_length);
}

/* The point of a minute in [start, end). */
static inline uint32_t query_point_of(const struct query *q, uint32_t minute)
{
    CHECK(minute >= q->start_minute && minute < q->end_minute);
    if (q->window == MINUTE_WINDOW_1M)
        return minute - q->start_minute; /* most are: no call, no division */
    return (minute - q->start_minute) / minute_window_minutes(q->window);
}

/* First minute of point i; i == points gives the end. */
static inline uint32_t query_minute_of(const struct query *q, uint32_t point)
{
    return q->start_minute + point * minute_window_minutes(q->window);
}
