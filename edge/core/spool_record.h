/* SPDX-License-Identifier: Apache-2.0
 * spool_record: keys and values of the edge's spool.
 * Audience: edge, tests. Pure. Drawn in proto/PROTOCOL.md, "Spool".
 *
 * A line is (epoch, home region, partition). Its batches lie in key order = number order; a batch
 * is what one commit stored of one line, at most SPOOL_BATCH_BYTES, so that a value fills whole
 * LMDB pages. Every value is checksummed: LMDB does not notice a flipped bit. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/limits.h"

#define SPOOL_KEY_BYTES_MAX (8 + 2 + 1 + LIMIT_REGION_NAME_BYTES + 8)
/* A batch is closed once its rows pass this; the value with one more row, header, checksum of the
 * store and LMDB's page header then fills at most 16 pages. */
#define SPOOL_BATCH_BYTES (16 * 4096 - 24 - 30 - LIMIT_CLICK_ROW_BYTES)

struct spool_key {
    uint8_t bytes[SPOOL_KEY_BYTES_MAX];
    size_t length;
};

struct spool_line {
    uint64_t epoch;
    uint16_t partition;
    char home[LIMIT_REGION_NAME_BYTES + 1];
    uint64_t low; /* lowest number still held; == end when nothing is */
    uint64_t end; /* numbers given so far */
    bool fin;     /* the last number given is FIN */
};

struct spool_batch {
    uint64_t first, last;    /* numbers [first, last) */
    bool fin;                /* the last number is FIN and has no row */
    uint64_t commit_ms;      /* edge clock read before the numbering transaction */
    uint64_t commit_mono_ms; /* monotonic; means nothing to another process */
    struct span rows;        /* click_put forms; borrowed */
};

struct spool_key spool_line_key(const struct spool_line *line);
struct spool_key spool_batch_key(const struct spool_line *line, uint64_t first);
/* Is `key` a batch of that line? Then *out_first is its first number. */
bool spool_batch_key_read(const struct spool_line *line, struct span key, uint64_t *out_first);

void spool_line_put(struct buf *out, const struct spool_line *line); /* out is cleared first */
/* ERR_CHECKSUM, ERR_FORMAT, ERR_TRUNCATED. */
enum err WARN_UNUSED spool_line_read(struct span key, struct span value, struct spool_line *out);

/* `batch->rows` are the rows; out is cleared first. */
void spool_batch_put(struct buf *out, const struct spool_batch *batch);
enum err WARN_UNUSED spool_batch_read(uint64_t first, struct span value, struct spool_batch *out);
