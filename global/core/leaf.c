/* SPDX-License-Identifier: Apache-2.0
 * leaf: sealed values and sort keys of the globe's store. */
#include "global/core/leaf.h"

#include "common/base/hash.h"

const char *const leaf_table_names[LEAF_TABLES] = {
    [LEAF_TABLE_META] = "meta",           [LEAF_TABLE_REGION] = "region",
    [LEAF_TABLE_PARTITION] = "partition", [LEAF_TABLE_REPLICA] = "replica",
    [LEAF_TABLE_NAME] = "name",           [LEAF_TABLE_PAGE] = "page",
    [LEAF_TABLE_SKETCH] = "sketch",       [LEAF_TABLE_MINUTE] = "minute",
    [LEAF_TABLE_COMPLETE] = "complete",   [LEAF_TABLE_WANT] = "want",
    [LEAF_TABLE_ROLLUP] = "rollup",       [LEAF_TABLE_BY_NAME] = "by_name",
};

void leaf_seal(struct buf *value)
{
    CHECK(value->length > 0);
    buf_put_u64(value, hash_checksum(buf_span(value), 0));
}

bool leaf_open(struct span value, struct span *out_body)
{
    if (value.length <= LEAF_SUM_BYTES)
        return false;
    struct span body = span_of(value.data, value.length - LEAF_SUM_BYTES);
    if (bytes_load_u64(value.data + body.length) != hash_checksum(body, 0))
        return false;
    *out_body = body;
    return true;
}

static void key_u8(struct leaf_key *key, uint8_t value)
{
    CHECK(key->length + 1 <= LEAF_KEY_BYTES);
    key->data[key->length++] = value;
}

static void key_u16(struct leaf_key *key, uint16_t value)
{
    CHECK(key->length + 2 <= LEAF_KEY_BYTES);
    bytes_store_u16(key->data + key->length, value);
    key->length += 2;
}

static void key_u32(struct leaf_key *key, uint32_t value)
{
    CHECK(key->length + 4 <= LEAF_KEY_BYTES);
    bytes_store_u32(key->data + key->length, value);
    key->length += 4;
}

static void key_u64(struct leaf_key *key, uint64_t value)
{
    CHECK(key->length + 8 <= LEAF_KEY_BYTES);
    bytes_store_u64(key->data + key->length, value);
    key->length += 8;
}

struct leaf_key leaf_key_version(void)
{
    struct leaf_key key = {.length = 0};
    key_u8(&key, 'v');
    return key;
}

struct leaf_key leaf_key_horizon(void)
{
    struct leaf_key key = {.length = 0};
    key_u8(&key, 'h');
    return key;
}

struct leaf_key leaf_key_position(uint16_t region)
{
    struct leaf_key key = {.length = 0};
    key_u8(&key, 'p');
    key_u16(&key, region);
    return key;
}

struct leaf_key leaf_key_region(uint16_t region)
{
    struct leaf_key key = {.length = 0};
    key_u16(&key, region);
    return key;
}

struct leaf_key leaf_key_partition(uint16_t region, uint16_t partition)
{
    struct leaf_key key = leaf_key_region(region);
    key_u16(&key, partition);
    return key;
}

struct leaf_key leaf_key_replica(uint16_t region, uint16_t partition, const char *replica)
{
    struct leaf_key key = leaf_key_partition(region, partition);
    size_t length = strlen(replica);
    CHECK(length >= 1 && length <= LIMIT_READER_NAME_BYTES);
    memcpy(key.data + key.length, replica, length);
    key.length += length;
    return key;
}

struct leaf_key leaf_key_name(uint64_t ad_hash)
{
    struct leaf_key key = {.length = 0};
    key_u64(&key, ad_hash);
    return key;
}

struct leaf_key leaf_key_page(uint64_t ad_hash, uint32_t hour)
{
    struct leaf_key key = leaf_key_name(ad_hash);
    key_u32(&key, hour);
    return key;
}

struct leaf_key leaf_key_rollup(uint64_t ad_hash, uint32_t day)
{
    return leaf_key_page(ad_hash, day);
}

struct leaf_key leaf_key_sketch(uint64_t ad_hash, uint32_t minute, uint16_t region,
                                uint16_t partition)
{
    struct leaf_key key = leaf_key_page(ad_hash, minute);
    key_u16(&key, region);
    key_u16(&key, partition);
    return key;
}

struct leaf_key leaf_key_minute(uint16_t region, uint16_t partition, uint32_t minute)
{
    struct leaf_key key = leaf_key_partition(region, partition);
    key_u32(&key, minute);
    return key;
}

struct leaf_key leaf_key_hour(uint16_t region, uint16_t partition, uint32_t hour)
{
    return leaf_key_minute(region, partition, hour);
}

struct leaf_key leaf_key_want(uint16_t region, uint16_t partition, uint8_t kind, uint64_t what)
{
    struct leaf_key key = leaf_key_partition(region, partition);
    key_u8(&key, kind);
    key_u64(&key, what);
    return key;
}

bool leaf_page_of_key(struct span key, uint64_t *out_ad_hash, uint32_t *out_hour)
{
    if (key.length != 12)
        return false;
    *out_ad_hash = bytes_load_u64(key.data);
    *out_hour = bytes_load_u32(key.data + 8);
    return true;
}

bool leaf_rollup_of_key(struct span key, uint64_t *out_ad_hash, uint32_t *out_day)
{
    return leaf_page_of_key(key, out_ad_hash, out_day);
}

bool leaf_sketch_of_key(struct span key, uint64_t *out_ad_hash, uint32_t *out_minute)
{
    if (key.length != 16)
        return false;
    return leaf_page_of_key(span_of(key.data, 12), out_ad_hash, out_minute);
}

bool leaf_hour_of_key(struct span key, uint16_t *out_region, uint16_t *out_partition,
                      uint32_t *out_hour)
{
    if (key.length != 8)
        return false;
    *out_region = bytes_load_u16(key.data);
    *out_partition = bytes_load_u16(key.data + 2);
    *out_hour = bytes_load_u32(key.data + 4);
    return true;
}

bool leaf_region_of_key(struct span key, uint16_t *out_region)
{
    if (key.length != 2)
        return false;
    *out_region = bytes_load_u16(key.data);
    return true;
}

bool leaf_partition_of_key(struct span key, uint16_t *out_region, uint16_t *out_partition)
{
    if (key.length != 4)
        return false;
    *out_region = bytes_load_u16(key.data);
    *out_partition = bytes_load_u16(key.data + 2);
    return true;
}

bool leaf_replica_of_key(struct span key, uint16_t *out_region, uint16_t *out_partition,
                         char out_replica[LIMIT_READER_NAME_BYTES + 1])
{
    if (key.length < 5 || key.length > 4 + LIMIT_READER_NAME_BYTES)
        return false;
    (void)leaf_partition_of_key(span_of(key.data, 4), out_region, out_partition);
    memcpy(out_replica, key.data + 4, key.length - 4);
    out_replica[key.length - 4] = '\0';
    return true;
}

bool leaf_want_of_key(struct span key, uint16_t *out_region, uint16_t *out_partition,
                      uint8_t *out_kind, uint64_t *out_what)
{
    if (key.length != 13)
        return false;
    (void)leaf_partition_of_key(span_of(key.data, 4), out_region, out_partition);
    *out_kind = key.data[4];
    *out_what = bytes_load_u64(key.data + 5);
    return true;
}
