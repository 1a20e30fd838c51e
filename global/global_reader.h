/* SPDX-License-Identifier: Apache-2.0
 * global_reader: the driver of queries: one short read transaction an answer; never waits for a
 * write. Audience: global shell, tests, simulator. Ports kv and clock only. Any thread, one at a
 * time per object. */
#pragma once

#include "common/base/clock.h"
#include "common/base/kv.h"
#include "common/base/limits.h"
#include "global/core/query.h"
#include "global/core/standing.h"
#include "proto/stats_json.h"

struct global_reader_options {
    const char
        *regions[LIMIT_REGIONS]; /* names that a complete answer needs, in the order of answers */
    uint32_t region_count;
    struct kv_port *kv;
    struct clock_port *clock;
};

struct global_reader;

struct global_reader *global_reader_new(const struct global_reader_options *options);
void global_reader_free(struct global_reader *r);

/* Answers a query. *out is borrowed from r until its next call, and its ad_id from q. An error
 * (class RETRY or STOP) means that nothing is known: never that there are no clicks. */
enum err WARN_UNUSED global_reader_stats(struct global_reader *r, const struct query *q,
                                         struct stats_json_answer *out);

/* Watermarks and missing edges alone. */
enum err WARN_UNUSED global_reader_watermarks(struct global_reader *r,
                                              struct stats_json_answer *out);
