/* SPDX-License-Identifier: Apache-2.0
 * global_reader: the driver of queries: one short read transaction an answer; never waits for a
 * write. Audience: global shell, tests, simulator. Ports kv and clock only. Any thread, one at a
 * time per object. Walks over all ads renew their transaction now and then: a long one would make
 * the store grow. */
#pragma once

#include "common/base/clock.h"
#include "common/base/kv.h"
#include "common/base/limits.h"
#include "global/core/query_span.h"
#include "global/core/standing.h"
#include "global/core/token_book.h"
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
 * (class RETRY or STOP) means that nothing is known: never that there are no clicks. ERR_RETIRED:
 * the range begins before global_reader_kept_from_s. */
enum err WARN_UNUSED global_reader_stats(struct global_reader *r, const struct query *q,
                                         struct stats_json_answer *out);

/* The same for several ads, all from one snapshot: open, then points of one ad after another, then
 * close, whatever happened between. Keep it short: what lies between holds the snapshot. */

/* Watermarks, missing edges and as_of; good until close. */
enum err WARN_UNUSED global_reader_open(struct global_reader *r, struct stats_json_answer *out);
/* Fills in ad and points, which are borrowed from r until the next; leaves the rest of *out. */
enum err WARN_UNUSED global_reader_points(struct global_reader *r, const struct query *q,
                                          struct stats_json_answer *out);
/* err: what the calls before said. An error means that nothing that was read is known. */
enum err WARN_UNUSED global_reader_close(struct global_reader *r, enum err err);

/* After ERR_RETIRED: from when on the last query could be answered, Unix seconds. */
uint64_t global_reader_kept_from_s(const struct global_reader *r);

/* Watermarks and missing edges alone. */
enum err WARN_UNUSED global_reader_watermarks(struct global_reader *r,
                                              struct stats_json_answer *out);

/* asker: whose ads alone are looked at, so that neither the answer nor its time tells anything of
 * others; NULL: all ads. */

/* The q->limit ads with the most clicks in [start, end), exact; those with as many by their hash.
 * *out and *out_top are borrowed from r until its next call. */
enum err WARN_UNUSED global_reader_top(struct global_reader *r, const struct query *q,
                                       const struct token *asker, struct stats_json_top *out_top,
                                       struct stats_json_answer *out);

/* Appends {"ads":[{"ad_id","first_seen","last_seen"}],"next"}: at most q->limit ads in the order of
 * their names (bytewise). */
enum err WARN_UNUSED global_reader_ads(struct global_reader *r, const struct query *q,
                                       const struct token *asker, struct buf *out);

/* Appends {"as_of","unexplained","totals","lines":[...]}: the books of each partition of each
 * region as its freshest replica last said them. */
enum err WARN_UNUSED global_reader_balance(struct global_reader *r, struct buf *out);
