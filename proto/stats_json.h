/* SPDX-License-Identifier: Apache-2.0
 * stats_json: the JSON text of GET /v1/stats and GET /v1/watermarks. The contract is
 * proto/openapi.yaml. Audience: global, tests. Pure. */
#pragma once

#include "common/base/bytes.h"

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
    const struct stats_json_point *points;
    size_t point_count;
    uint64_t as_of; /* Unix seconds of the snapshot */
    const struct stats_json_watermark *watermarks;
    size_t watermark_count;
    const struct stats_json_missing *missing;
    size_t missing_count;
};

/* Appends {"ad_id","window","data":[...],"as_of","watermarks","missing_edges"}. */
void stats_json_put(struct buf *out, const struct stats_json_answer *answer);

/* Appends {"as_of","watermarks","missing_edges"}; ad_id, window and points are not looked at. */
void stats_json_put_watermarks(struct buf *out, const struct stats_json_answer *answer);
