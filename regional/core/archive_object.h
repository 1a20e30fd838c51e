/* SPDX-License-Identifier: Apache-2.0
 * archive_object: one object of the archive while it grows, its name, and the manifest that makes
 * it count. Audience: regional/core, tests. Pure. One thread at a time per object. Drawn in
 * proto/PROTOCOL.md, "Archive".
 *
 * An object counts only by its manifest: one without the other is as if it were not there (an
 * object alone: a crash between the two; it is archived again). */
#pragma once

#include "regional/core/archive_avro.h"
#include "regional/core/archive_book.h"
#include "regional/core/archive_privacy.h"

#define ARCHIVE_NAME_BYTES       256
#define ARCHIVE_MANIFEST_VERSION 1

/* One run of numbers of one line in the object. */
struct archive_range {
    char edge[LIMIT_EDGE_NAME_BYTES + 1];
    uint64_t epoch, first, last;
    uint64_t clicks; /* last - first, less one if fin */
    bool fin;        /* the last number is FIN: no click */
};

/* Who writes, and of what. */
struct archive_identity {
    char archiver[LIMIT_READER_NAME_BYTES + 1];
    char region[LIMIT_REGION_NAME_BYTES + 1];
    uint64_t store_id;
    uint16_t partition, partitions;
    enum archive_codec codec;
    enum archive_ip ip;
    /* A faster SHA-256 than the ground floor's; NULL: hash_sha256. */
    void (*sha256)(struct span data, char out_hex[65]);
};

struct archive_object {
    struct archive_avro avro;
    struct archive_range *ranges; /* ascending (edge, epoch, first) */
    uint32_t range_count, range_capacity;
    uint64_t seq_first, seq_last; /* of the messages whose numbers it holds; 0: it is empty */
    uint64_t time_first_ms, time_last_ms; /* their message times */
    uint64_t received_first_ms, received_last_ms;
    uint32_t minute_first, minute_last; /* event minutes */
};

/* A finished object and its manifest, ready to be put, in this order. */
struct archive_file {
    char name[ARCHIVE_NAME_BYTES], manifest_name[ARCHIVE_NAME_BYTES];
    struct buf data, manifest;
    uint64_t clicks;
};

static inline bool archive_object_is_empty(const struct archive_object *o)
{
    return o->range_count == 0;
}
uint64_t archive_object_bytes(const struct archive_object *o);

/* The numbers [run.first, run.last) of a segment; clicks[i] is number head->first + i. `seq` and
 * time_ms are the message's. */
void archive_object_add(struct archive_object *o, const struct archive_identity *who,
                        const struct segment_head *head, struct archive_run run,
                        const struct click *clicks, uint64_t seq, uint64_t time_ms);

/* Ends it, and begins anew. */
void archive_object_end(struct archive_object *o, const struct archive_identity *who,
                        struct archive_file *out);

/* A message that no one can read, though it is whole: kept as it is, as an object of its own
 * (format "segment"), for a program that will. */
void archive_object_raw(const struct archive_identity *who, const struct segment_head *head,
                        const struct archive_run *runs, uint32_t run_count, struct span message,
                        uint64_t seq, uint64_t time_ms, struct archive_file *out);

void archive_object_done(struct archive_object *o);
void archive_file_done(struct archive_file *f);
