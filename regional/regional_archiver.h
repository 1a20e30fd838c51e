/* SPDX-License-Identifier: Apache-2.0
 * regional_archiver: the driver of one archiver: reads the streams of its partitions, puts objects
 * and their manifests, commits what they hold, and only then tells floors. Audience: regional
 * shell, tests, simulator. Works through the ports kv, bus, clock and object_store only; puts and
 * commits block.
 *
 * While the store of objects is away nothing is read: what waits stays in the streams and in the
 * edges' spools, and memory stays within `buffer_bytes` and one bite.
 *
 * Thread rule: one thread per archiver. */
#pragma once

#include "common/base/bus.h"
#include "common/base/clock.h"
#include "common/base/kv.h"
#include "common/base/object_store.h"
#include "regional/core/archive.h"

enum { ARCHIVER_TABLE_META, ARCHIVER_TABLE_STATE, ARCHIVER_TABLES };
extern const char *const archiver_table_names[ARCHIVER_TABLES];

enum archiver_note_kind {
    ARCHIVER_NEW_STORE,    /* store_id */
    ARCHIVER_LOADED,       /* partition, seq */
    ARCHIVER_PROOF_FAILED, /* partition, seq: the stream does not hold our position; it is read from
                              the start */
    ARCHIVER_CAUGHT_UP,    /* partition, seq */
    ARCHIVER_STORE_AWAY,   /* partition, err, name: an object or manifest could not be put, or its
                              state not be committed; nothing is read until it can */
    ARCHIVER_STORE_BACK,   /* partition */
    ARCHIVER_PUT,          /* partition, name, clicks, bytes: object and manifest are durable */
    ARCHIVER_HOLE,         /* partition, seq, clicks: numbers that neither edge nor archive holds */
};

struct archiver_note {
    enum archiver_note_kind kind;
    uint16_t partition;
    uint64_t seq, store_id, clicks, bytes;
    enum err err;
    const char *name;
};

struct archiver_options {
    char archiver[LIMIT_READER_NAME_BYTES + 1];
    char region[LIMIT_REGION_NAME_BYTES + 1];
    uint16_t partitions_total;
    const uint16_t *partitions; /* of this process; copied */
    uint32_t partition_count;
    uint64_t object_bytes, buffer_bytes;
    uint32_t object_age_ms;
    enum archive_codec codec;
    enum archive_ip ip;
    void (*sha256)(struct span data, char out_hex[65]); /* NULL: hash_sha256 */
    struct kv_port *kv;
    struct bus_port *bus;
    struct clock_port *clock;
    struct object_store *store;
    void (*on_note)(void *context, const struct archiver_note *note); /* may be NULL */
    void *on_note_context;
};

struct archiver;

/* Opens the store and loads the state of each partition: a few values, however large the archive.
 * ERR_KV_*; ERR_CONFIG: the store is of another archiver, region or partition. */
enum err WARN_UNUSED archiver_new(const struct archiver_options *options, struct archiver **out);
void archiver_free(struct archiver *r);

/* One bounded bite: events, then at most one cut with its puts and its commit, then floors. Returns
 * ERR_OK or a class STOP error (end the process). *out_idle_ms: call again after that long at the
 * latest (0: now). */
enum err WARN_UNUSED archiver_step(struct archiver *r, uint32_t *out_idle_ms);

/* Tries once to make durable what was taken, before the process ends. What cannot be put now is
 * taken from the stream again. */
enum err WARN_UNUSED archiver_stop(struct archiver *r);

enum archiver_part_state { ARCHIVER_WAITING, ARCHIVER_PROVING, ARCHIVER_READING };

struct archiver_part_view {
    uint16_t partition;
    enum archiver_part_state state;
    bool caught_up;
    uint64_t seq, cut, waiting_bytes;
    uint64_t pending; /* messages of the stream that wait behind the last one taken */
    uint64_t lag_ms;  /* how old that last one is while others wait; else 0 */
};

struct archiver_view {
    uint64_t store_id;
    bool bus_up, store_away,
        ready; /* ready: every partition has caught up once, the store is there */
    uint64_t cuts, objects, object_bytes, object_clicks, put_failures, commits, floors_sent;
    uint64_t proofs, proofs_failed, waiting_bytes;
    struct archive_counts counts; /* summed over partitions */
};

void archiver_view(const struct archiver *r, struct archiver_view *out);
uint32_t archiver_part_count(const struct archiver *r);
void archiver_part_view(const struct archiver *r, uint32_t index, struct archiver_part_view *out);
