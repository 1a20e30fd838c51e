/* SPDX-License-Identifier: Apache-2.0
 * archive_avro: clicks as an Avro object container file, schema proto/click.avsc.
 * Audience: regional/core, tests, benches. Pure. One thread at a time per object.
 *
 * Written here rather than by libavro: equal clicks make equal bytes (libavro draws its sync
 * marker), and it costs a third. Source: Avro 1.11 specification, "Object Container Files".
 * libavro, fastavro and an own reader of the tests read it back. */
#pragma once

#include "proto/click.h"

enum archive_codec { ARCHIVE_SNAPPY, ARCHIVE_ZSTANDARD, ARCHIVE_CODECS };

/* As Avro calls it; NULL beyond the last. */
const char *archive_codec_name(enum archive_codec codec);
/* The schema, without spaces. */
extern const char archive_schema[];

/* Where a click was numbered. */
struct archive_place {
    const char *edge, *region;
    uint64_t epoch;
    uint16_t partition;
};

/* Zero-initialised is empty; begin before the first put. */
struct archive_avro {
    enum archive_codec codec;
    uint8_t sync[16];
    struct buf file;   /* header and whole blocks */
    struct buf block;  /* records of the block under way */
    struct buf packed; /* scratch */
    void *zstandard;   /* its context, made when it is needed */
    uint64_t block_clicks, clicks;
};

/* `seed` makes the sync marker; two files of one archive should differ in it. */
void archive_avro_begin(struct archive_avro *a, enum archive_codec codec, uint64_t seed);
/* `number` < 2^63, times <= LIMIT_TIMESTAMP_MS_MAX or what an edge's clock said (CHECKed only where
 * the format demands it). */
void archive_avro_put(struct archive_avro *a, const struct archive_place *place, uint64_t number,
                      const struct click *click);
/* Ends the last block; `file` is then the whole file. */
void archive_avro_end(struct archive_avro *a);
/* What the file would take now, about. */
static inline uint64_t archive_avro_bytes(const struct archive_avro *a)
{
    return a->file.length + a->block.length;
}
void archive_avro_done(struct archive_avro *a);
