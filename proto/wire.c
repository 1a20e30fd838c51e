/* SPDX-License-Identifier: Apache-2.0
 * wire: see wire.h. */
#include "proto/wire.h"

#include "common/base/hash.h"

#include <msgpack.h>
#include <stdatomic.h>
#include <zstd.h>

#define CHECKSUM_AT 8
#define ZSTD_LEVEL  1

/* A zstd block takes at least 4 bytes and yields at most 128 KiB (RFC 8878, 3.1.1.2): a frame that
 * declares more than its length can hold is refused before the room for it is made. */
#define ZSTD_BLOCK_BYTES_MIN 4
#define ZSTD_BLOCK_RAW_MAX   (128 * 1024)

/* The first 8 bytes seed the checksum, so that it covers them too: a flipped version bit is damage
 * (a gap, sent again), never "a version we do not know". */
static uint64_t checksum_of(const uint8_t *message, size_t length)
{
    return hash_checksum(span_of(message + WIRE_HEADER_BYTES, length - WIRE_HEADER_BYTES),
                         bytes_load_u64(message));
}

void wire_begin(struct buf *out, const char magic[4], uint8_t version)
{
    CHECK(out->length == 0);
    buf_put(out, magic, 4);
    buf_put_u8(out, version);
    buf_put(out, (const uint8_t[3]){0}, 3);
    buf_put_u64(out, 0);
    CHECK(out->length == WIRE_HEADER_BYTES);
}

void wire_seal(struct buf *out)
{
    CHECK(out->length > WIRE_HEADER_BYTES);
    buf_set_u64(out, CHECKSUM_AT, checksum_of(out->data, out->length));
}

uint8_t wire_version(struct span message)
{
    return message.length > 4 ? message.data[4] : 0;
}

enum err wire_check(struct span message, const char magic[4], uint8_t version,
                    struct span *out_body)
{
    if (message.length <= WIRE_HEADER_BYTES)
        return ERR_TRUNCATED;
    if (memcmp(message.data, magic, 4) != 0)
        return ERR_MAGIC;
    if (bytes_load_u64(message.data + CHECKSUM_AT) != checksum_of(message.data, message.length))
        return ERR_CHECKSUM;
    if (message.data[4] != version || message.data[5] != 0 || message.data[6] != 0 ||
        message.data[7] != 0)
        return ERR_VERSION;
    *out_body = span_of(message.data + WIRE_HEADER_BYTES, message.length - WIRE_HEADER_BYTES);
    return ERR_OK;
}

enum err wire_check_either(struct span message, const char magic[4], uint8_t version,
                           uint8_t second, struct span *out_body, bool *out_is_second)
{
    *out_is_second = wire_version(message) == second;
    return wire_check(message, magic, *out_is_second ? second : version, out_body);
}

struct wire_reader wire_reader_of(struct span body)
{
    return (struct wire_reader){.bytes = reader_of(body), .err = ERR_OK};
}

/* The checksum has matched, so a text that ends too early was written so: FORMAT, not TRUNCATED. */
static void fail(struct wire_reader *r, enum err err)
{
    if (r->err == ERR_OK)
        r->err = err;
    r->bytes.failed = true;
}

/* One header of a kind with an 8-, 16- and 32-bit form; `has8` false for arrays. */
static uint32_t read_length(struct wire_reader *r, uint8_t head, uint8_t form16, bool has8)
{
    if (has8 && head == form16 - 1)
        return reader_u8(&r->bytes);
    if (head == form16)
        return reader_u16(&r->bytes);
    if (head == form16 + 1)
        return reader_u32(&r->bytes);
    fail(r, ERR_FORMAT);
    return 0;
}

uint32_t wire_array(struct wire_reader *r, uint32_t count_max)
{
    uint8_t head = reader_u8(&r->bytes);
    uint32_t count =
        (head & 0xf0) == 0x90 ? (uint32_t)(head & 0x0f) : read_length(r, head, 0xdc, false);
    if (r->bytes.failed)
        fail(r, ERR_FORMAT);
    else if (count > count_max)
        fail(r, ERR_LIMIT);
    else if (count > r->bytes.left)
        fail(r, ERR_FORMAT); /* an element takes at least one byte */
    return r->err == ERR_OK ? count : 0;
}

uint64_t wire_uint(struct wire_reader *r)
{
    uint8_t head = reader_u8(&r->bytes);
    uint64_t value = head;
    if (head > 0x7f) {
        switch (head) {
        case 0xcc:
            value = reader_u8(&r->bytes);
            break;
        case 0xcd:
            value = reader_u16(&r->bytes);
            break;
        case 0xce:
            value = reader_u32(&r->bytes);
            break;
        case 0xcf:
            value = reader_u64(&r->bytes);
            break;
        default:
            fail(r, ERR_FORMAT);
        }
    }
    if (r->bytes.failed)
        fail(r, ERR_FORMAT);
    return r->err == ERR_OK ? value : 0;
}

bool wire_bool(struct wire_reader *r)
{
    uint8_t head = reader_u8(&r->bytes);
    if (r->bytes.failed || (head != 0xc2 && head != 0xc3))
        fail(r, ERR_FORMAT);
    return r->err == ERR_OK && head == 0xc3;
}

static struct span read_run(struct wire_reader *r, size_t length, size_t length_max)
{
    if (r->bytes.failed)
        fail(r, ERR_FORMAT);
    else if (length > length_max)
        fail(r, ERR_LIMIT);
    struct span run = reader_bytes(&r->bytes, length);
    if (r->bytes.failed)
        fail(r, ERR_FORMAT);
    return r->err == ERR_OK ? run : (struct span){0};
}

struct span wire_bin(struct wire_reader *r, size_t length_max)
{
    uint8_t head = reader_u8(&r->bytes);
    return read_run(r, read_length(r, head, 0xc5, true), length_max);
}

struct span wire_text(struct wire_reader *r, size_t length_max)
{
    uint8_t head = reader_u8(&r->bytes);
    uint32_t length =
        (head & 0xe0) == 0xa0 ? (uint32_t)(head & 0x1f) : read_length(r, head, 0xda, true);
    return read_run(r, length, length_max);
}

void wire_name(struct wire_reader *r, char *out, size_t size)
{
    CHECK(size >= 1);
    struct span text = wire_text(r, size - 1);
    if (text.length > 0 && memchr(text.data, 0, text.length) != NULL) {
        fail(r, ERR_FORMAT);
        text.length = 0;
    }
    if (text.length > 0)
        memcpy(out, text.data, text.length);
    out[text.length] = '\0';
}

enum err wire_end(struct wire_reader *r)
{
    if (r->err == ERR_OK && !reader_at_end(&r->bytes))
        fail(r, ERR_FORMAT);
    return r->err;
}

static int append(void *to, const char *data, size_t length)
{
    buf_put(to, data, length);
    return 0;
}

static msgpack_packer packer_of(struct buf *out)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, append);
    return packer;
}

void wire_put_array(struct buf *out, uint32_t count)
{
    msgpack_packer packer = packer_of(out);
    (void)msgpack_pack_array(&packer, count);
}

void wire_put_uint(struct buf *out, uint64_t value)
{
    msgpack_packer packer = packer_of(out);
    (void)msgpack_pack_uint64(&packer, value);
}

void wire_put_bool(struct buf *out, bool value)
{
    msgpack_packer packer = packer_of(out);
    (void)(value ? msgpack_pack_true(&packer) : msgpack_pack_false(&packer));
}

void wire_put_bin(struct buf *out, struct span data)
{
    CHECK(data.length <= UINT32_MAX);
    msgpack_packer packer = packer_of(out);
    (void)msgpack_pack_bin(&packer, data.length);
    buf_put(out, data.data, data.length);
}

void wire_put_text(struct buf *out, const char *text)
{
    size_t length = strlen(text);
    msgpack_packer packer = packer_of(out);
    (void)msgpack_pack_str(&packer, length);
    buf_put(out, text, length);
}

/* zstd's working memory, one pair a thread, made on first use and kept: making it anew costs more
 * than packing a small column. All hang in one list that only grows, so that what an ended thread
 * leaves stays reachable; the number of threads is fixed at start. */
struct codec {
    struct codec *next;
    ZSTD_CCtx *pack;
    ZSTD_DCtx *unpack;
};

static _Atomic(struct codec *) codecs;
static _Thread_local struct codec *codec_of_thread;

static struct codec *codec(void)
{
    if (codec_of_thread != NULL)
        return codec_of_thread;
    struct codec *c = base_zalloc(1, sizeof(*c));
    c->pack = ZSTD_createCCtx();
    c->unpack = ZSTD_createDCtx();
    CHECK(c->pack != NULL && c->unpack != NULL);
    c->next = atomic_load(&codecs);
    while (!atomic_compare_exchange_weak(&codecs, &c->next, c))
        continue;
    codec_of_thread = c;
    return c;
}

void wire_put_packed(struct buf *out, struct span raw)
{
    struct buf frame = {0};
    buf_reserve(&frame, ZSTD_compressBound(raw.length));
    size_t length = ZSTD_compressCCtx(codec()->pack, frame.data, frame.capacity, raw.data,
                                      raw.length, ZSTD_LEVEL);
    CHECK(!ZSTD_isError(length));
    wire_put_bin(out, span_of(frame.data, length));
    buf_done(&frame);
}

enum err wire_unpack(struct span frame, size_t raw_max, struct buf *into)
{
    buf_clear(into);
    if (frame.length == 0)
        return ERR_FORMAT;
    unsigned long long raw = ZSTD_getFrameContentSize(frame.data, frame.length);
    if (raw == ZSTD_CONTENTSIZE_ERROR || raw == ZSTD_CONTENTSIZE_UNKNOWN)
        return ERR_FORMAT;
    if (raw > raw_max)
        return ERR_LIMIT;
    if (raw > (unsigned long long)(frame.length / ZSTD_BLOCK_BYTES_MIN) * ZSTD_BLOCK_RAW_MAX)
        return ERR_FORMAT;
    /* One frame and nothing behind it: ZSTD_decompressDCtx would take several. */
    if (ZSTD_findFrameCompressedSize(frame.data, frame.length) != frame.length)
        return ERR_FORMAT;
    buf_reserve(into, (size_t)raw);
    size_t length =
        ZSTD_decompressDCtx(codec()->unpack, into->data, (size_t)raw, frame.data, frame.length);
    if (ZSTD_isError(length) || length != raw)
        return ERR_FORMAT;
    into->length = length;
    return ERR_OK;
}
