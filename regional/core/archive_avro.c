/* SPDX-License-Identifier: Apache-2.0
 * archive_avro: see archive_avro.h. All integers are zigzag varints, texts have their length before
 * them; a snappy block ends with the CRC-32 of its content. */
#include "regional/core/archive_avro.h"

#include <snappy-c.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

/* Snappy looks no farther back than 64 KiB; zstandard gains by more. */
#define BLOCK_BYTES(codec) ((codec) == ARCHIVE_SNAPPY ? 64u << 10 : 512u << 10)

#define RECORD_BYTES (LIMIT_CLICK_ROW_BYTES + LIMIT_EDGE_NAME_BYTES + LIMIT_REGION_NAME_BYTES + 64)
#define ZSTD_LEVEL   1

const char archive_schema[] =
    "{\"type\":\"record\",\"name\":\"Click\",\"namespace\":\"tributary\",\"fields\":["
    "{\"name\":\"edge\",\"type\":\"string\"},{\"name\":\"epoch\",\"type\":\"string\"}"
    ",{\"name\":\"region\",\"type\":\"string\"},{\"name\":\"partition\",\"type\":\"in"
    "t\"},{\"name\":\"number\",\"type\":\"long\"},{\"name\":\"ad_id\",\"type\":\"stri"
    "ng\"},{\"name\":\"user_id\",\"type\":\"string\"},{\"name\":\"timestamp\",\"type"
    "\":{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}},{\"name\":\"receive"
    "d\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}},{\"name\""
    ":\"key\",\"type\":{\"type\":\"fixed\",\"name\":\"Key\",\"size\":16}},{\"name\":"
    "\"click_id\",\"type\":[\"null\",\"string\"]},{\"name\":\"flags\",\"type\":\"int"
    "\"},{\"name\":\"ip_address\",\"type\":\"string\"},{\"name\":\"user_agent\",\"typ"
    "e\":\"string\"}]}";

static const char *const codec_names[ARCHIVE_CODECS] = {"snappy", "zstandard"};

const char *archive_codec_name(enum archive_codec codec)
{
    return codec < ARCHIVE_CODECS ? codec_names[codec] : NULL;
}

static uint8_t *put_long(uint8_t *at, int64_t value)
{
    uint64_t doubled = (uint64_t)value << 1, left = value < 0 ? ~doubled : doubled;
    for (; left >= 0x80; left >>= 7)
        *at++ = (uint8_t)(left | 0x80);
    *at++ = (uint8_t)left;
    return at;
}

static uint8_t *put_text(uint8_t *at, const void *text, size_t length)
{
    at = put_long(at, (int64_t)length);
    if (length > 0)
        memcpy(at, text, length);
    return at + length;
}

static void put_meta(struct buf *out, const char *name, const char *value)
{
    uint8_t length[10];
    buf_put(out, length, (size_t)(put_long(length, (int64_t)strlen(name)) - length));
    buf_put(out, name, strlen(name));
    buf_put(out, length, (size_t)(put_long(length, (int64_t)strlen(value)) - length));
    buf_put(out, value, strlen(value));
}

void archive_avro_begin(struct archive_avro *a, enum archive_codec codec, uint64_t seed)
{
    CHECK(codec < ARCHIVE_CODECS);
    a->codec = codec;
    a->block_clicks = a->clicks = 0;
    buf_clear(&a->file);
    buf_clear(&a->block);
    bytes_store_u64(a->sync, hash_checksum(span_of_text(archive_schema), seed));
    bytes_store_u64(a->sync + 8, hash_checksum(span_of(a->sync, 8), seed));
    static const uint8_t magic[] = {'O', 'b', 'j', 1, 4}; /* and a map of two entries */
    buf_put(&a->file, magic, sizeof(magic));
    put_meta(&a->file, "avro.schema", archive_schema);
    put_meta(&a->file, "avro.codec", archive_codec_name(codec));
    buf_put_u8(&a->file, 0);
    buf_put(&a->file, a->sync, sizeof(a->sync));
}

static void pack_snappy(struct archive_avro *a)
{
    size_t length = snappy_max_compressed_length(a->block.length);
    buf_clear(&a->packed);
    buf_reserve(&a->packed, length + 4);
    CHECK(snappy_compress((const char *)a->block.data, a->block.length, (char *)a->packed.data,
                          &length) == SNAPPY_OK);
    a->packed.length = length;
    buf_put_u32(&a->packed, (uint32_t)crc32(0, a->block.data, (unsigned)a->block.length));
}

static void pack_zstandard(struct archive_avro *a)
{
    size_t bound = ZSTD_compressBound(a->block.length);
    buf_clear(&a->packed);
    buf_reserve(&a->packed, bound);
    if (a->zstandard == NULL)
        a->zstandard = ZSTD_createCCtx();
    CHECK(a->zstandard != NULL);
    size_t length = ZSTD_compressCCtx(a->zstandard, a->packed.data, bound, a->block.data,
                                      a->block.length, ZSTD_LEVEL);
    CHECK(!ZSTD_isError(length));
    a->packed.length = length;
}

static void end_block(struct archive_avro *a)
{
    if (a->block_clicks == 0)
        return;
    if (a->codec == ARCHIVE_SNAPPY)
        pack_snappy(a);
    else
        pack_zstandard(a);
    uint8_t head[20], *end = put_long(head, (int64_t)a->block_clicks);
    end = put_long(end, (int64_t)a->packed.length);
    buf_put(&a->file, head, (size_t)(end - head));
    buf_put(&a->file, a->packed.data, a->packed.length);
    buf_put(&a->file, a->sync, sizeof(a->sync));
    buf_clear(&a->block);
    a->block_clicks = 0;
}

static uint8_t *put_epoch(uint8_t *at, uint64_t epoch)
{
    static const char digits[] = "0123456789abcdef";
    at = put_long(at, 16);
    for (unsigned i = 0; i < 16; i++)
        *at++ = (uint8_t)digits[epoch >> (60 - 4 * i) & 15];
    return at;
}

void archive_avro_put(struct archive_avro *a, const struct archive_place *place, uint64_t number,
                      const struct click *click)
{
    CHECK(click_is_bounded(click));
    CHECK(number <= INT64_MAX);
    buf_reserve(&a->block, RECORD_BYTES);
    uint8_t *start = a->block.data + a->block.length, *at = start;
    at = put_text(at, place->edge, strlen(place->edge));
    at = put_epoch(at, place->epoch);
    at = put_text(at, place->region, strlen(place->region));
    at = put_long(at, place->partition);
    at = put_long(at, (int64_t)number);
    at = put_text(at, click->ad_id.data, click->ad_id.length);
    at = put_text(at, click->user_id.data, click->user_id.length);
    at = put_long(at, (int64_t)click->timestamp_ms);
    at = put_long(at, (int64_t)click->received_ms);
    memcpy(at, click->key, HASH_CLICK_BYTES);
    at += HASH_CLICK_BYTES;
    if (click->click_id.length == 0)
        at = put_long(at, 0);
    else
        at = put_text(put_long(at, 1), click->click_id.data, click->click_id.length);
    at = put_long(at, click->flags);
    at = put_text(at, click->ip_address.data, click->ip_address.length);
    at = put_text(at, click->user_agent.data, click->user_agent.length);
    CHECK((size_t)(at - start) <= RECORD_BYTES);
    a->block.length += (size_t)(at - start);
    a->block_clicks++;
    a->clicks++;
    if (a->block.length >= BLOCK_BYTES(a->codec) - RECORD_BYTES / 2)
        end_block(a);
}

void archive_avro_end(struct archive_avro *a)
{
    end_block(a);
}

void archive_avro_done(struct archive_avro *a)
{
    buf_done(&a->file);
    buf_done(&a->block);
    buf_done(&a->packed);
    (void)ZSTD_freeCCtx(a->zstandard);
    *a = (struct archive_avro){0};
}
