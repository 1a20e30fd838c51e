/* SPDX-License-Identifier: Apache-2.0
 * floor: up to which number one reader has durably consumed the lines of one edge: a cumulative
 * acknowledgement, like TCP's.
 * Audience: edge, regional, tests. Pure. Drawn in proto/PROTOCOL.md, "Floors". Source: design 3.7.
 *
 * One plain message per (reader process, edge) and cut; newest wins; losing one is harmless. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/limits.h"
#include "proto/partition_map.h"

#define FLOOR_MAGIC       "TRFL"
#define FLOOR_VERSION     1
#define FLOOR_VERSION_MAP 2 /* with a partition map that has grown */
#define FLOOR_LINES_MAX   4096

struct floor_line {
    uint64_t epoch;
    uint16_t partition;
    bool gap;       /* the reader has seen a number above the floor: please send again from there */
    uint64_t floor; /* every number below is durably consumed */
    bool finished;  /* the reader durably knows that the line has ended there */
};

struct floor_message {
    char reader[LIMIT_READER_NAME_BYTES + 1];
    uint64_t store_id; /* random, made with the reader's store: a new one replaces the old floors,
                          even downward */
    char region[LIMIT_REGION_NAME_BYTES + 1];
    char edge[LIMIT_EDGE_NAME_BYTES + 1];
    struct partition_map map; /* count 0: it has not grown, as far as the reader durably knows */
    uint32_t line_count;
    struct floor_line *lines; /* write: the caller's; read: malloc'ed, free with floor_done */
};

void floor_write(struct buf *out, const struct floor_message *m); /* out is cleared first */
enum err WARN_UNUSED floor_read(struct floor_message *out, struct span message);
void floor_done(struct floor_message *m);
