/* SPDX-License-Identifier: Apache-2.0
 * regional_replica: the driver of one fold replica: reads the streams of its partitions, folds,
 * cuts, commits, and only then publishes partials and floors. Audience: regional shell, tests,
 * simulator. Works through the ports kv, bus and clock only; nothing here blocks except the commit
 * itself.
 *
 * Thread rule: one thread per replica. */
#pragma once

#include "common/base/bus.h"
#include "common/base/clock.h"
#include "common/base/kv.h"
#include "regional/core/cut.h"
#include "regional/core/minute_merge.h"

extern const char *const replica_table_names[CUT_TABLES];

enum replica_note_kind {
    REPLICA_NEW_STORE,     /* store_id */
    REPLICA_ADOPTED_STORE, /* a peer's store, or a restored one, is ours now: store_id */
    REPLICA_LOADED,        /* partition, seq */
    REPLICA_PROOF_FAILED,  /* partition, seq: the stream does not hold our position; it is read from
                              the start */
    REPLICA_STOPPED,       /* partition, err, words: this partition needs a peer's store */
    REPLICA_CAUGHT_UP,     /* partition, seq */
    REPLICA_STORE_FULL,    /* nothing is folded until there is room */
};

struct replica_note {
    enum replica_note_kind kind;
    uint16_t partition;
    uint64_t seq, store_id;
    enum err err;
    const char *words;
};

struct replica_options {
    char replica[LIMIT_READER_NAME_BYTES + 1];
    char region[LIMIT_REGION_NAME_BYTES + 1];
    uint16_t partitions_total;  /* streams that the region has */
    uint16_t partitions_first;  /* of the map that a new store begins with; 0: all of them */
    const uint16_t *partitions; /* of this process; copied */
    uint32_t partition_count;
    uint64_t lateness_ms;
    uint32_t horizon_minutes;
    uint32_t partial_interval_ms;
    uint32_t settle_ms;        /* see fold_options; 0: closed minutes stay in memory */
    uint64_t memory_bytes;     /* of all partitions' tables and names, about; 0: no bound */
    struct minute_sizes sizes; /* of the store's values; zeroes: as large as they may be */
    struct kv_port *kv;
    struct bus_port *bus;
    struct clock_port *clock;
    void (*on_note)(void *context, const struct replica_note *note); /* may be NULL */
    void *on_note_context;
};

struct replica;

/* Opens the store and loads state and tables. ERR_KV_*; ERR_CONFIG: the store is of another region
 * or map. */
enum err WARN_UNUSED replica_new(const struct replica_options *options, struct replica **out);
void replica_free(struct replica *r);

/* One bounded bite: events, then one transaction for whatever was cut, then partials, floors,
 * answers. Returns ERR_OK or a class STOP error (end the process). *out_idle_ms: call again after
 * that long at the latest (0: now). */
enum err WARN_UNUSED replica_step(struct replica *r, uint32_t *out_idle_ms);

/* Makes durable what is folded, before the process ends; the stream sees no difference. */
enum err WARN_UNUSED replica_stop(struct replica *r);

/* Marks a copied store: whoever opens it next makes a new store id and tells again what its outbox
 * held. */
enum err WARN_UNUSED replica_mark_restored(struct kv_port *kv);

enum replica_part_state { REPLICA_WAITING, REPLICA_PROVING, REPLICA_READING, REPLICA_PART_STOPPED };

struct replica_part_view {
    uint16_t partition;
    enum replica_part_state state;
    bool caught_up, uncut;
    uint64_t seq, cut, stream_ms, watermark_ms, control_floor;
    uint64_t keys, rows, ads;
    uint32_t minutes_stored;
    uint64_t
        pending; /* messages of the stream that wait behind the last one folded, as last heard */
    uint64_t lag_ms; /* how old that last one is while others wait; else 0 */
    uint32_t edges_known, edges_missing;
    struct fold_books books;
};

struct replica_view {
    uint64_t store_id;
    bool bus_up, ready; /* ready: every partition has caught up once and none is stopped */
    uint32_t parts_stopped;
    uint64_t cuts, commits, partials, partial_bytes, partial_retries, outbox;
    uint64_t floors_sent, ticks_sent, wants, answers, proofs, proofs_failed, store_full;
    struct fold_counts counts; /* summed over partitions */
    struct fold_books books;   /* likewise */
    uint64_t keys, rows;       /* in memory */
    uint64_t minutes_stored;
    uint64_t memory_bytes, memory_short; /* last measured; cuts that were over the bound */
    uint64_t moves, store_reads, store_read_bytes, reads_deferred;
};

void replica_view(const struct replica *r, struct replica_view *out);
uint32_t replica_part_count(const struct replica *r);
void replica_part_view(const struct replica *r, uint32_t index, struct replica_part_view *out);
/* The fold itself, for tests. */
const struct fold *replica_fold(const struct replica *r, uint32_t index);
