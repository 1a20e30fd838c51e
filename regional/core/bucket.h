/* SPDX-License-Identifier: Apache-2.0
 * bucket: the clicks of one ad in one event minute: a row of the count.
 * Audience: regional/core, tests. Pure. One thread at a time per object. Source: design 4.5. */
#pragma once

#include "common/base/hll.h"
#include "proto/partial.h"

#define BUCKET_INDEX_MAX 0x1fffffffu

/* One cache line: a click touches its row once. */
struct bucket {
    _Alignas(64) uint64_t ad_hash;
    uint64_t counted;   /* distinct clicks */
    uint64_t duplicate; /* repeats that dedupe found */
    uint64_t late;      /* of counted: came after the minute's close */
    struct hll users;   /* of counted clicks only: duplicates never touch it */
    uint32_t minute;
    uint32_t uncut_duplicate, uncut_late; /* since the last cut: what its redo value must hold */
    uint32_t redo_index : 29;             /* scratch of redo_write */
    bool touched : 1;                     /* since the last cut */
    bool changed : 1;                     /* since the last partial */
    bool sketch_sent : 1;                 /* the partials hold the sketch as it is now */
};

_Static_assert(sizeof(struct bucket) == 64, "a row is one cache line");

void bucket_done(struct bucket *b);

/* A counter can take no more: the click must be carried. */
bool bucket_is_full(const struct bucket *b);

/* One click that dedupe has let through. ERR_COUNT_FULL leaves b unchanged. */
enum err WARN_UNUSED bucket_count(struct bucket *b, uint64_t user_hash, bool late);

/* A repeat of a click that was counted before. ERR_COUNT_FULL leaves b unchanged. */
enum err WARN_UNUSED bucket_repeat(struct bucket *b);

/* The row as it travels. `sketch` is borrowed, may be empty. */
struct partial_row bucket_row(const struct bucket *b, struct span sketch);
