/* SPDX-License-Identifier: Apache-2.0
 * column: how a column of numbers or texts lies inside a packed frame: deltas, texts, dictionaries.
 * Audience: proto, tests. Pure. One thread at a time per object. Drawn in proto/PROTOCOL.md,
 * "Columns". */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"

/* One step of a column of numbers near each other: varint of zigzag(value - *previous), wrapping at
 * 2^64; *previous becomes the value. Begin with 0. */
void column_put_delta(struct buf *out, uint64_t *previous, uint64_t value);
uint64_t column_delta(struct reader *r, uint64_t *previous);

/* A column of texts: all lengths as varints, then all bytes. The spans lie in an array of records,
 * `stride` bytes apart, the first one at `first`. */
void column_put_texts(struct buf *out, const struct span *first, size_t stride, uint32_t count);
/* Spans point into the reader's input. ERR_FORMAT when it ends too early, ERR_LIMIT for a length
 * outside length_min..length_max; the spans are then undefined. */
enum err WARN_UNUSED column_read_texts(struct reader *r, struct span *first, size_t stride,
                                       uint32_t count, size_t length_min, size_t length_max);

/* Distinct texts in the order of first sight, and the index of each. */
struct column_dict {
    struct span *entries; /* borrowed texts */
    uint32_t count;
    uint32_t count_max;
    uint32_t *slots; /* open addressing; index + 1, 0 = free */
    uint32_t slot_mask;
    uint64_t seed;
};

/* `seed` should be something that the senders of the texts cannot know, or they could choose texts
 * that all fall into one slot. It does not show in the output. */
void column_dict_init(struct column_dict *d, uint32_t count_max, uint64_t seed);
uint32_t column_dict_index(struct column_dict *d, struct span text);
/* varint count, then a column of texts. */
void column_dict_put(const struct column_dict *d, struct buf *out);
void column_dict_done(struct column_dict *d);
