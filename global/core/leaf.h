/* SPDX-License-Identifier: Apache-2.0
 * leaf: sealed values and sort keys of the globe's store.
 * Audience: global core, drivers, tests. Pure.
 *
 * Keys are big-endian, so that bytewise order is (ad, time) or (region, partition, time) order.
 * Values end in an XXH3-64 of what stands before, because LMDB does not notice a flipped bit. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/limits.h"

#define LEAF_SUM_BYTES 8
#define LEAF_KEY_BYTES 48

enum leaf_table {
    LEAF_TABLE_META,   /* version; horizon; position of each region's read: seq and digest of that
                          message */
    LEAF_TABLE_REGION, /* region -> its card: name, partitions, watermark, missing edges */
    LEAF_TABLE_PARTITION, /* (region, partition) -> highest watermark, minutes accounted for */
    LEAF_TABLE_REPLICA,   /* (region, partition, replica) -> what it last said of itself */
    LEAF_TABLE_NAME,      /* ad -> ad_id */
    LEAF_TABLE_PAGE,      /* (ad, hour) -> page */
    LEAF_TABLE_SKETCH,    /* (ad, minute, region, partition) -> hll bytes */
    LEAF_TABLE_MINUTE,    /* (region, partition, minute) -> book */
    LEAF_TABLE_COMPLETE,  /* (region, partition, hour) -> which minutes are complete */
    LEAF_TABLE_WANT,      /* (region, partition, kind, what) -> whom to ask */
    LEAF_TABLE_ROLLUP,    /* (ad, day) -> clicks of its hours */
    LEAF_TABLE_BY_NAME,   /* ad_id as it is -> ad: the other way round than NAME */
    LEAF_TABLES
};
extern const char *const leaf_table_names[LEAF_TABLES];

struct leaf_key {
    uint8_t data[LEAF_KEY_BYTES];
    size_t length;
};

static inline struct span leaf_key_span(const struct leaf_key *key)
{
    return span_of(key->data, key->length);
}

/* Appends the checksum of everything in `value` so far. */
void leaf_seal(struct buf *value);

/* False when the checksum does not match; *out_body is then untouched. */
bool leaf_open(struct span value, struct span *out_body);

struct leaf_key leaf_key_version(void);                                  /* META */
struct leaf_key leaf_key_position(uint16_t region);                      /* META */
struct leaf_key leaf_key_horizon(void);                                  /* META */
struct leaf_key leaf_key_region(uint16_t region);                        /* REGION */
struct leaf_key leaf_key_partition(uint16_t region, uint16_t partition); /* PARTITION */
struct leaf_key leaf_key_replica(uint16_t region, uint16_t partition, const char *replica);
struct leaf_key leaf_key_name(uint64_t ad_hash);                 /* NAME */
struct leaf_key leaf_key_page(uint64_t ad_hash, uint32_t hour);  /* PAGE */
struct leaf_key leaf_key_rollup(uint64_t ad_hash, uint32_t day); /* ROLLUP */
struct leaf_key leaf_key_sketch(uint64_t ad_hash, uint32_t minute, uint16_t region,
                                uint16_t partition);                                   /* SKETCH */
struct leaf_key leaf_key_minute(uint16_t region, uint16_t partition, uint32_t minute); /* MINUTE */
struct leaf_key leaf_key_hour(uint16_t region, uint16_t partition, uint32_t hour); /* COMPLETE */
struct leaf_key leaf_key_want(uint16_t region, uint16_t partition, uint8_t kind,
                              uint64_t what); /* WANT */

/* The parts of keys that scans read back; false for a key of another shape. */
bool leaf_page_of_key(struct span key, uint64_t *out_ad_hash, uint32_t *out_hour);
bool leaf_rollup_of_key(struct span key, uint64_t *out_ad_hash, uint32_t *out_day);
bool leaf_sketch_of_key(struct span key, uint64_t *out_ad_hash, uint32_t *out_minute);
bool leaf_hour_of_key(struct span key, uint16_t *out_region, uint16_t *out_partition,
                      uint32_t *out_hour);
bool leaf_region_of_key(struct span key, uint16_t *out_region);
bool leaf_partition_of_key(struct span key, uint16_t *out_region, uint16_t *out_partition);
bool leaf_replica_of_key(struct span key, uint16_t *out_region, uint16_t *out_partition,
                         char out_replica[LIMIT_READER_NAME_BYTES + 1]);
bool leaf_want_of_key(struct span key, uint16_t *out_region, uint16_t *out_partition,
                      uint8_t *out_kind, uint64_t *out_what);
