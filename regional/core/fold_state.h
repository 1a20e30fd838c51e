/* SPDX-License-Identifier: Apache-2.0
 * fold_state: the state of a fold as one value, written at each cut; the tables are not in it (see
 * redo.h). Audience: regional/core, regional driver, tests. Pure. */
#pragma once

#include "regional/core/fold.h"

#define FOLD_STATE_VERSION     1
#define FOLD_STATE_VERSION_MAP 2 /* with a partition map that has grown */
#define FOLD_STATE_SEED        0x53544154ULL

/* Where in the stream the state stands: the last message that it holds (design 4.2). seq 0: none
 * yet. */
struct fold_position {
    uint64_t seq;
    uint64_t digest;
};

/* Replaces *out. */
void fold_state_write(struct buf *out, const struct fold *f, const struct fold_position *position);

/* Into a new fold. ERR_KV_CORRUPT: not what fold_state_write has written. ERR_CONFIG: of another
 * region, partition or number of partitions. On failure the fold must be freed. */
enum err WARN_UNUSED fold_state_read(struct fold *f, struct fold_position *out_position,
                                     struct span value);

/* Checksum of a message, for the position. */
uint64_t fold_state_digest(struct span message);
