/* SPDX-License-Identifier: Apache-2.0
 * bytes: spans, a growing buffer, and a bounded reader; big-endian put and get.
 * Audience: everyone. Pure. One thread at a time per object.
 *
 * Big-endian because LMDB sorts keys as bytes: sort order is then meaning. */
#pragma once

#include "common/base/base.h"

#include <string.h>

/* A borrowed run of bytes. Owner and lifetime are said where it is handed over. */
struct span {
    const uint8_t *data;
    size_t length;
};

static inline struct span span_of(const void *data, size_t length)
{
    return (struct span){data, length};
}

static inline struct span span_of_text(const char *text)
{
    return (struct span){(const uint8_t *)text, strlen(text)};
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* A buffer that grows. Zero-initialised is empty and valid; buf_done frees. */
struct buf {
    uint8_t *data;
    size_t length;
    size_t capacity;
};

void buf_reserve(struct buf *b, size_t extra_bytes);
void buf_put(struct buf *b, const void *data, size_t length);
void buf_put_text(struct buf *b, const char *text); /* without its end */
void buf_put_u8(struct buf *b, uint8_t value);
void buf_put_u16(struct buf *b, uint16_t value);
void buf_put_u32(struct buf *b, uint32_t value);
void buf_put_u64(struct buf *b, uint64_t value);
/* LEB128, 1 to 10 bytes. */
void buf_put_varint(struct buf *b, uint64_t value);
/* Its decimal digits as text; returns how many. */
#define BYTES_DECIMAL_MAX 20
size_t bytes_decimal(uint64_t value, uint8_t out[BYTES_DECIMAL_MAX]);
void buf_put_decimal(struct buf *b, uint64_t value);
/* varint length, then the bytes. */
void buf_put_block(struct buf *b, struct span block);
static inline void buf_clear(struct buf *b)
{
    b->length = 0;
}
static inline struct span buf_span(const struct buf *b)
{
    return (struct span){b->data, b->length};
}
void buf_done(struct buf *b);

/* Overwrites 8 bytes at `offset`, which must lie inside the buffer (CHECKed). */
void buf_set_u64(struct buf *b, size_t offset, uint64_t value);

/* A bounded reader. After the first short read it is failed and stays so: further
 * gets return 0 and empty spans; the caller asks once, at the end. */
struct reader {
    const uint8_t *data;
    size_t left;
    bool failed;
};

static inline struct reader reader_of(struct span s)
{
    return (struct reader){s.data, s.length, false};
}
static inline uint8_t reader_u8(struct reader *r)
{
    if (r->failed || r->left == 0) {
        r->failed = true;
        return 0;
    }
    r->left--;
    return *r->data++;
}
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
uint64_t reader_varint_long(struct reader *r); /* of any length */
static inline uint64_t reader_varint(struct reader *r)
{
    if (r->failed || r->left == 0 || r->data[0] >= 0x80)
        return reader_varint_long(r);
    r->left--;
    return *r->data++; /* most are of one byte */
}
/* Exactly `length` bytes, borrowed from the input. */
struct span reader_bytes(struct reader *r, size_t length);
/* A varint length not above `length_max`, then the bytes. */
struct span reader_block(struct reader *r, size_t length_max);
static inline bool reader_at_end(const struct reader *r)
{
    return !r->failed && r->left == 0;
}

void bytes_store_u16(uint8_t *at, uint16_t value);
void bytes_store_u32(uint8_t *at, uint32_t value);
void bytes_store_u64(uint8_t *at, uint64_t value);
uint16_t bytes_load_u16(const uint8_t *at);
uint32_t bytes_load_u32(const uint8_t *at);
uint64_t bytes_load_u64(const uint8_t *at);
