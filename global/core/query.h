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
enum query_route { QUERY_STATS, QUERY_TOP, QUERY_ADS, QUERY_STREAM, QUERY_NOTHING };

#define QUERY_ZONE_BYTES 48

struct query {
    /* The ad that is asked for; of several, the first or the one of a slice. */
    char ad_id[LIMIT_ID_BYTES + 1];
    size_t ad_id_length;
    uint32_t ad_count;                 /* stats */
    uint16_t ad_ends[LIMIT_QUERY_ADS]; /* where each ad's id ends in `ads` */
    char ads[LIMIT_QUERY_BYTES];
    enum minute_window window;
    char zone[QUERY_ZONE_BYTES + 1]; /* name of the time zone whose windows are meant; "": UTC */
    uint64_t start_s, end_s;
    uint32_t start_minute, end_minute; /* [start, end), edges of windows */
    uint32_t points;                   /* windows of the range, or of a slice of it */
    const uint32_t *edges;             /* points + 1 minutes; NULL: windows of equal length */
    enum query_consistency consistency;
    bool fill_none;   /* points without clicks are left out */
    bool foreign;     /* set by who knows the asker: answer as for an ad that nobody ever clicked */
    bool paged;       /* a limit was given, so the answer may be a part */
    uint32_t limit;   /* stats: rows; top, ads: ads */
    uint32_t minutes; /* stream: back from now, the running one too */
    char prefix[LIMIT_ID_BYTES + 1]; /* ads */
    size_t prefix_length;
    bool has_cursor;
    uint64_t cursor;                  /* stats: see query_span */
    char cursor_name[LIMIT_ID_BYTES]; /* ads: go on behind this name */
    size_t cursor_name_length;
    uint32_t first_row, last_row; /* stats: [first, last) of ads x points; see query_span */
};

/* Why a query is refused: the parameter at fault and the rule it breaks, in words that are safe to
 * send back. */
struct query_fault {
    char parameter[40];
    char rule[160];
};

/* Of one route. Of a range without a window (top), start and end are whole minutes and at most
 * LIMIT_QUERY_POINTS apart; window and points are then those of minutes. Where a zone is named, the
 * range is checked later, by query_localise. As query_parse: */
bool query_parse_for(enum query_route route, const char *text, struct query *out,
                     struct query_fault *out_fault);

/* The query of GET /v1/stats. Reads the text behind '?' (not NULL). Refuses what it does not know,
 * what comes twice, bad percent-encoding and a bare '+' (some mean a space, some a plus: both have
 * an unambiguous form). False: *out_fault is filled in and *out is undefined. */
bool query_parse(const char *text, struct query *out, struct query_fault *out_fault);

/* Fills in the fault. Always false. */
bool PRINTF_LIKE(3, 4)
    query_refuse(struct query_fault *fault, const char *parameter, const char *format, ...);

static inline struct span query_ad(const struct query *q)
{
    return span_of(q->ad_id, q->ad_id_length);
}
