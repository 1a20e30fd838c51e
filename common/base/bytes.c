/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/bytes.h"

#include <stdlib.h>

void bytes_store_u16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

void bytes_store_u32(uint8_t *at, uint32_t value)
{
    bytes_store_u16(at, (uint16_t)(value >> 16));
    bytes_store_u16(at + 2, (uint16_t)value);
}

void bytes_store_u64(uint8_t *at, uint64_t value)
{
    bytes_store_u32(at, (uint32_t)(value >> 32));
    bytes_store_u32(at + 4, (uint32_t)value);
}

uint16_t bytes_load_u16(const uint8_t *at)
{
    return (uint16_t)(((uint32_t)at[0] << 8) | at[1]);
}

uint32_t bytes_load_u32(const uint8_t *at)
{
    return ((uint32_t)bytes_load_u16(at) << 16) | bytes_load_u16(at + 2);
}

uint64_t bytes_load_u64(const uint8_t *at)
{
    return ((uint64_t)bytes_load_u32(at) << 32) | bytes_load_u32(at + 4);
}

void buf_reserve(struct buf *b, size_t extra_bytes)
{
    CHECK(extra_bytes <= SIZE_MAX / 4 && b->length <= SIZE_MAX / 4);
    size_t need = b->length + extra_bytes;
    if (need <= b->capacity)
        return;
    size_t capacity = b->capacity < 64 ? 64 : b->capacity;
    while (capacity < need)
        capacity *= 2;
    b->data = base_realloc(b->data, capacity);
    b->capacity = capacity;
}

void buf_put(struct buf *b, const void *data, size_t length)
{
    if (length == 0)
        return;
    buf_reserve(b, length);
    memcpy(b->data + b->length, data, length);
    b->length += length;
}

void buf_put_text(struct buf *b, const char *text)
{
    buf_put(b, text, strlen(text));
}

void buf_put_u8(struct buf *b, uint8_t value)
{
    buf_put(b, &value, 1);
}

void buf_put_u16(struct buf *b, uint16_t value)
{
    buf_reserve(b, 2);
    bytes_store_u16(b->data + b->length, value);
    b->length += 2;
}

void buf_put_u32(struct buf *b, uint32_t value)
{
    buf_reserve(b, 4);
    bytes_store_u32(b->data + b->length, value);
    b->length += 4;
}

void buf_put_u64(struct buf *b, uint64_t value)
{
    buf_reserve(b, 8);
    bytes_store_u64(b->data + b->length, value);
    b->length += 8;
}

void buf_put_varint(struct buf *b, uint64_t value)
{
    buf_reserve(b, 10);
    while (value >= 0x80) {
        b->data[b->length++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    b->data[b->length++] = (uint8_t)value;
}

size_t bytes_decimal(uint64_t value, uint8_t out[BYTES_DECIMAL_MAX])
{
    static const char pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233"
        "34353637383940414243444546474849505152535455565758596061626364656667"
        "6869707172737475767778798081828384858687888990919293949596979899";
    size_t length = 1;
    for (uint64_t rest = value; rest >= 10; rest /= 100)
        length += rest >= 100 ? 2 : 1;
    uint8_t *at = out + length;
    for (; value >= 100; value /= 100)
        memcpy(at -= 2, pairs + value % 100 * 2, 2);
    if (value >= 10)
        memcpy(at - 2, pairs + value * 2, 2);
    else
        at[-1] = (uint8_t)('0' + value);
    return length;
}

void buf_put_decimal(struct buf *b, uint64_t value)
{
    buf_reserve(b, BYTES_DECIMAL_MAX);
    b->length += bytes_decimal(value, b->data + b->length);
}

void buf_put_block(struct buf *b, struct span block)
{
    buf_put_varint(b, block.length);
    buf_put(b, block.data, block.length);
}

void buf_set_u64(struct buf *b, size_t offset, uint64_t value)
{
    CHECK(b->length >= 8 && offset <= b->length - 8);
    bytes_store_u64(b->data + offset, value);
}

void buf_done(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

struct span reader_bytes(struct reader *r, size_t length)
{
    if (r->failed || length > r->left) {
        r->failed = true;
        return (struct span){0};
    }
    struct span s = {r->data, length};
    if (length > 0)
        r->data += length;
    r->left -= length;
    return s;
}

uint16_t reader_u16(struct reader *r)
{
    struct span s = reader_bytes(r, 2);
    return r->failed ? 0 : bytes_load_u16(s.data);
}

uint32_t reader_u32(struct reader *r)
{
    struct span s = reader_bytes(r, 4);
    return r->failed ? 0 : bytes_load_u32(s.data);
}

uint64_t reader_u64(struct reader *r)
{
    struct span s = reader_bytes(r, 8);
    return r->failed ? 0 : bytes_load_u64(s.data);
}

uint64_t reader_varint_long(struct reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = reader_u8(r);
        if (r->failed)
            return 0;
        /* The tenth byte holds one bit; a longer or larger form is refused. */
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return value;
    }
    r->failed = true;
    return 0;
}

struct span reader_block(struct reader *r, size_t length_max)
{
    uint64_t length = reader_varint(r);
    if (r->failed || length > length_max) {
        r->failed = true;
        return (struct span){0};
    }
    return reader_bytes(r, (size_t)length);
}
