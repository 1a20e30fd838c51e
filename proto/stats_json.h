/* SPDX-License-Identifier: Apache-2.0
 * stats_json: the JSON text of the query service's answers. The contract is proto/openapi.yaml.
 * Audience: global, tests. Pure. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/limits.h"

/* Relative standard error of unique_users: 1.04 / sqrt(4096) of a sketch with p = 12, rounded up.
 * Source: Flajolet et al. 2007, section 1. */
#define STATS_JSON_USERS_ERROR "0.0163"

struct stats_json_point {
    uint64_t timestamp; /* start of the window, Unix seconds */
    uint64_t click_count;
    uint64_t unique_users;
    bool has_unique_users; /* false: null, while any minute of the window is open */
    bool complete, final_;
};

struct stats_json_watermark {
    const char *region;
    uint64_t watermark; /* Unix seconds; 0: null */
};

struct stats_json_missing {
    const char *region, *edge;
};

struct stats_json_answer {
    struct span ad_id; /* UTF-8 */
    const char *window;
    const char *zone; /* NULL: not named; windows of UTC */
    const struct stats_json_point *points;
    size_t point_count;
    bool fill_none; /* complete points without clicks are left out: what is absent is zero */
    uint64_t as_of; /* Unix seconds of the snapshot */
    const struct stats_json_watermark *watermarks;
    size_t watermark_count;
    const struct stats_json_missing *missing;
    size_t missing_count;
};

/* Whether the point is stated at all; see fill_none. */
static inline bool stats_json_is_stated(const struct stats_json_answer *answer, size_t point)
{
    return !answer->fill_none || !answer->points[point].complete ||
           answer->points[point].click_count > 0;
}

/* Appends {"ad_id","window","data":[...],"as_of","watermarks","missing_edges"}. */
void stats_json_put(struct buf *out, const struct stats_json_answer *answer);

/* The parts of it: up to "data":, where a zone is named with it ("tz"), {"timestamp",...} of one
 * point, the list of all stated ones, and what stands behind: "as_of",... with the closing brace.
 */
void stats_json_begin(struct buf *out, const struct stats_json_answer *answer);
/* Of several ads: up to "ads":[, and {"ad_id","data"} of one of them. */
void stats_json_begin_several(struct buf *out, const struct stats_json_answer *answer);
void stats_json_put_one(struct buf *out, bool first, const struct stats_json_answer *answer);
void stats_json_put_point(struct buf *out, const struct stats_json_point *point);
void stats_json_put_points(struct buf *out, const struct stats_json_answer *answer);
void stats_json_put_standing(struct buf *out, const struct stats_json_answer *answer);

/* Appends {"as_of","watermarks","missing_edges"}; ad_id, window and points are not looked at. */
void stats_json_put_watermarks(struct buf *out, const struct stats_json_answer *answer);

struct stats_json_top_ad {
    uint64_t ad_hash, click_count;
    bool has_name; /* false: null, until a replica has told it */
    uint8_t ad_id_length;
    char ad_id[LIMIT_ID_BYTES];
};

struct stats_json_top {
    uint64_t start, end; /* Unix seconds */
    bool complete;
    const struct stats_json_top_ad *ads;
    size_t ad_count;
};

/* Appends {"start","end","complete","final","ads":[...], which stats_json_put_standing closes. */
void stats_json_put_top(struct buf *out, const struct stats_json_top *top);
void stats_json_put_top_ad(struct buf *out, const struct stats_json_top_ad *ad);

/* Appends one element of the list of ads. */
void stats_json_put_ad(struct buf *out, bool first, struct span ad_id, uint64_t first_seen,
                       uint64_t last_seen);

struct stats_json_sums {
    uint64_t folded, counted, duplicate, carried;
    uint64_t unexplained; /* |folded - counted - duplicate - carried|, line by line */
    uint64_t in_flight;   /* accepted by the edges, not folded yet */
    uint64_t merged; /* clicks of the rows that the globe holds: `counted`, once all have come */
};

struct stats_json_edge {
    const char *edge;
    uint64_t epoch, accepted, floor, in_flight;
    bool missing;
};

/* The books of one partition, as its freshest replica last said them. */
struct stats_json_line {
    const char *region, *replica;
    uint32_t partition, replicas;
    uint64_t stream_time; /* Unix seconds */
    struct stats_json_sums sums;
    const struct stats_json_edge *edges;
    size_t edge_count;
};
void stats_json_put_line(struct buf *out, bool first, const struct stats_json_line *line);
/* Appends an object. */
void stats_json_put_sums(struct buf *out, const struct stats_json_sums *sums);
