/* SPDX-License-Identifier: Apache-2.0
 * edge_pipeline_parts: what the two halves of edge_pipeline share.
 * Audience: edge_pipeline*.c alone. Who may touch a field is said beside it. */
#pragma once

#include "edge/core/send_window.h"
#include "edge/core/spool_record.h"
#include "edge/core/trim_watch.h"
#include "edge/edge_pipeline.h"
#include "proto/subject.h"

#include <pthread.h>
#include <stdatomic.h>

struct edge_line {
    /* fixed */
    uint16_t slot; /* index in pipeline.lines */
    uint32_t home; /* region index */
    bool older;    /* of an earlier epoch */
    /* committer */
    struct spool_line spool; /* as stored; spool.low and spool.end move here first */
    struct buf rows;         /* rows of the batch being gathered */
    uint64_t rows_first, numbered;
    bool touched;
    bool ending; /* this transaction deletes its record */
    /* under pipeline.lock */
    uint64_t shared_low, shared_end, shared_trim;
    uint64_t shared_floors[LIMIT_READERS]; /* as last heard */
    bool shared_fin;                       /* FIN was given */
    bool over; /* older: every reader knows its end; its record may go */
    bool gone; /* its record was deleted */
    /* any thread */
    _Atomic uint64_t acked;
    /* forwarder */
    struct send_window window;
    uint64_t batch_first; /* first number of the batch that holds window.next, if batch_known */
    bool batch_known;
    uint64_t published_mono_ms;
    bool published;
    bool fin;  /* nothing will be numbered any more: FIN was given, or it is older */
    bool done; /* as gone */
};

struct edge_counters {
    _Atomic uint64_t accepted, published, resent_segments, timeouts, gaps, floors_heard,
        segment_bytes, trimmed;
};

/* The partition map of one region, as edge_pipeline_map.c keeps it. */
struct edge_map {
    struct partition_map followed; /* committer: as stored */
    struct partition_map storing;  /* committer: in this transaction; count 0: none */
    struct partition_map shared;   /* under lock: as `followed`, once durable */
    struct partition_map proposed; /* under lock: every reader has told it; count 0: none */
    struct partition_map known;    /* forwarder: as `shared` at its last look */
    struct partition_map told[LIMIT_READERS]; /* forwarder: count 0: has not told of any step */
    _Atomic uint64_t turn;                    /* any thread: partition_turn_pack */
    _Atomic bool beyond;                      /* any thread: it has more partitions than we */
};

struct edge_region_state { /* forwarder, but for what is atomic */
    _Atomic bool up;
    _Atomic uint32_t waived; /* readers that are passed over, bit by bit; changes under the lock */
    _Atomic uint64_t passed[LIMIT_READERS]; /* numbers let go that the reader had not consumed */
    uint32_t ever_waived;
    struct trim_watch watch;
    uint64_t flying_bytes;
    uint64_t pause_until_ms; /* monotonic; after a refusal or a time-out */
    uint32_t pause_ms;
};

struct edge_pipeline {
    struct edge_pipeline_options options;
    uint64_t epoch;
    uint64_t start_mono_ms;
    struct edge_line **lines; /* the current epoch's first: home * partitions + partition */
    uint32_t line_count, current_count;
    pthread_mutex_t lock;   /* a leaf: nothing is called while it is held but the clock port */
    uint64_t last_clock_ms; /* under lock: the edge's clock never goes back */
    uint64_t committing_ms; /* under lock: clock of the transaction under way, 0: none */
    struct edge_counters counters;
    _Atomic bool pressed; /* the spool is nearly full */
    struct edge_region_state regions[LIMIT_REGIONS];
    struct edge_map maps[LIMIT_REGIONS];
    uint32_t next_line;   /* forwarder: where the last bite stopped; fairness between lines */
    uint64_t next_token;  /* forwarder */
    struct click *clicks; /* forwarder: LIMIT_SEGMENT_CLICKS */
    struct buf rows_copy, message;
    struct buf value; /* committer */
    bool finished;    /* committer: FIN given */
};

/* The edge's wall clock, made monotone. Call with the lock held. */
uint64_t edge_clock_locked(struct edge_pipeline *p);

/* edge_pipeline_degraded.c; all of it the forwarder's. */
/* What may be trimmed of the line, told to the committer; under lock. */
void edge_pipeline_trim_share(struct edge_pipeline *p, struct edge_line *line);
/* Looks who is missing: when all that the bus had to say was heard. */
void edge_pipeline_look_who(struct edge_pipeline *p, uint32_t home);
/* A reader spoke: it is missing no longer. Before what it said is applied, so that nothing of it
 * goes without it. */
void edge_pipeline_heard(struct edge_pipeline *p, uint32_t home, uint32_t reader);
/* The spool is about to be known to hold nothing of the line below `low`: counts who lacks what. */
void edge_pipeline_passed(struct edge_pipeline *p, const struct edge_line *line, uint64_t low);

/* First batch of the line that reaches beyond `number`, which may lie inside it, or below it where
 * the committer trimmed since `low` was told; none in this snapshot: *out_found is false. */
enum err WARN_UNUSED edge_pipeline_batch_find(struct kv_txn *txn, const struct edge_line *line,
                                              uint64_t number, struct spool_batch *out,
                                              bool *out_found);

/* A durable number without its batch: sound if every reader has consumed it and the committer
 * trimmed it between the last look and this snapshot, whose record of the line says so. */
bool edge_pipeline_batch_trimmed(struct kv_txn *txn, const struct edge_line *line, uint64_t number);

/* edge_pipeline_map.c. In the opening transaction: what is followed, or ERR_CONFIG where the
 * configuration cannot hold it. */
enum err WARN_UNUSED edge_map_open(struct edge_pipeline *p, struct kv_txn *txn);
/* Does the map name the line's partition yet? Nothing is said or stored of one that it does not. */
bool edge_map_has(const struct partition_map *map, const struct edge_line *line);
/* Forwarder: a reader's floors came with a map. */
void edge_map_told(struct edge_pipeline *p, uint32_t home, uint32_t reader,
                   const struct partition_map *map);
/* Committer, lock held: is there a step to store? */
bool edge_map_is_due(const struct edge_pipeline *p);
/* Committer: puts proposed maps into the transaction and touches the lines that they bring; after
 * it, stored or not. */
void edge_map_store(struct edge_pipeline *p, struct kv_txn *txn);
void edge_map_stored(struct edge_pipeline *p, bool stored); /* lock held */
