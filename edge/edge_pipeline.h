/* SPDX-License-Identifier: Apache-2.0
 * edge_pipeline: the driver of the edge: numbers clicks, commits them to the spool, builds and
 * publishes segments, trims what every reader has consumed. Performs effects in the one right
 * order: commit, then acknowledge. Audience: edge shell, tests, simulator. Works through the ports
 * kv, bus, clock only; nothing here blocks except the commit itself.
 *
 * Thread rule: two halves. edge_commit and edge_finish run on one thread (the committer),
 * edge_forward on one thread (the forwarder); they share a small locked block. A simulator may call
 * both from one thread. The observers (edge_acked, edge_view) may be called from any thread. */
#pragma once

#include "common/base/bus.h"
#include "common/base/clock.h"
#include "common/base/kv.h"
#include "proto/click.h"
#include "proto/partition_map.h"

enum edge_table { EDGE_TABLE_META, EDGE_TABLE_LINE, EDGE_TABLE_BATCH, EDGE_TABLES };
extern const char *const edge_table_names[EDGE_TABLES];

struct edge_region {
    char name[LIMIT_REGION_NAME_BYTES + 1];
    struct bus_port *bus;
    char readers[LIMIT_READERS]
                [LIMIT_READER_NAME_BYTES + 1]; /* every configured reader's floor is waited for */
    uint32_t reader_count;
    uint32_t archivers; /* bit i: readers[i] is an archiver, which is never passed over */
};

struct edge_pipeline_options {
    char edge[LIMIT_EDGE_NAME_BYTES + 1];
    struct edge_region regions[LIMIT_REGIONS];
    uint32_t region_count;
    uint32_t partitions;         /* lines of each region: as many as its map may grow to */
    uint32_t partitions_first;   /* of the map until the region tells of a step; 0: all */
    uint32_t heartbeat_ms;       /* 30000 */
    uint32_t publish_timeout_ms; /* own time-out of an unanswered publish; 5000 */
    uint64_t window_bytes;       /* un-acknowledged bytes a region; 4 MiB */
    uint32_t segment_bytes;      /* aim of a busy segment; 256 KiB */
    uint32_t reader_silent_ms;   /* from then on a fold is missing; 0: never */
    struct kv_port *kv;
    struct clock_port *clock;
    void (*on_acked)(
        void *context); /* some line's acknowledged number moved; forwarder's thread; may be NULL */
    void *on_acked_context;
};

struct edge_pipeline;

/* Opens the spool: begins a new random epoch (design 3.3 [rule]) and puts FIN on the unfinished
 * lines of older ones. */
enum err WARN_UNUSED edge_pipeline_new(const struct edge_pipeline_options *options,
                                       struct edge_pipeline **out);
void edge_pipeline_free(struct edge_pipeline *p);

/* A click on its way into the spool. */
struct edge_item {
    struct click click; /* spans must live until edge_commit returns */
    uint32_t home;      /* region index */
    uint16_t partition;
    uint64_t number; /* out: given by edge_commit */
};

/* Numbers and durably stores all items in one transaction. ERR_OK: every one is durable (fsynced).
 * ERR_KV_FULL: none was stored, definitely. Class STOP: outcome unknown; end the process. */
enum err WARN_UNUSED edge_commit(struct edge_pipeline *p, struct edge_item *items, size_t count);

/* Trims without new clicks (after drains, when idle); same thread as edge_commit. */
enum err WARN_UNUSED edge_trim(struct edge_pipeline *p);

/* Clean shutdown: FIN on every line of the current epoch. No edge_commit afterwards. */
enum err WARN_UNUSED edge_finish(struct edge_pipeline *p);

/* Is the spool nearly full (trim_watch_pressed)? While it is, folds that are missing are passed
 * over. Committer's thread. */
void edge_pipeline_press(struct edge_pipeline *p, bool pressed);

/* One bounded bite of forwarding: events of all buses, then segments while windows are open, then
 * heartbeats. Returns ERR_OK or a class STOP error; *out_idle_ms: call again after that long at the
 * latest (0: at once). */
enum err WARN_UNUSED edge_forward(struct edge_pipeline *p, uint32_t *out_idle_ms);

/* Where clicks for a region go now, by event minute. Any thread; cheap. What is placed by it is
 * taken by edge_commit also when the map has grown since. */
struct partition_turn edge_pipeline_turn(const struct edge_pipeline *p, uint32_t home);

/* Numbers below this of the current epoch's line were stored by the region's quorum. Any thread. */
uint64_t edge_acked(const struct edge_pipeline *p, uint32_t home, uint16_t partition);

struct edge_view {
    uint64_t accepted;  /* clicks numbered by this process */
    uint64_t in_flight; /* numbers in the spool that not every reader has consumed, all epochs */
    uint64_t published, resent_segments, timeouts, gaps, floors_heard, segment_bytes, trimmed;
    uint64_t older_lines; /* lines of older epochs still draining */
    bool bus_up[LIMIT_REGIONS];
    uint16_t partitions[LIMIT_REGIONS]; /* of the last step of the map that is followed */
    bool map_beyond[LIMIT_REGIONS];     /* the region has more partitions than `partitions`: not
                                           followed */
    bool drained;                       /* nothing is held, nothing is open */
};
void edge_pipeline_view(struct edge_pipeline *p, struct edge_view *out);

struct edge_floor_view {
    const char *reader; /* the options' own */
    uint64_t floor;     /* what it has consumed of the current epoch's line */
    uint64_t held; /* numbers of all epochs that it has not; those that wait for its word too */
};
/* One row for each reader of the region; returns how many. Any thread. */
uint32_t edge_pipeline_floors(struct edge_pipeline *p, uint32_t home, uint16_t partition,
                              struct edge_floor_view out[LIMIT_READERS]);
struct edge_reader_view {
    const char *reader; /* the options' own */
    bool passed_over;   /* it is missing, the spool nearly full: numbers go without it */
    uint64_t passed;    /* numbers that this process let go before the reader had consumed them */
};
/* One row for each reader of the region; returns how many. Any thread. */
uint32_t edge_pipeline_readers(struct edge_pipeline *p, uint32_t home,
                               struct edge_reader_view out[LIMIT_READERS]);
/* About how long ago the oldest click was stored that some reader has not consumed; 0: none. To the
 * batch. Looks into the spool; any thread but the committer in a transaction. */
uint64_t edge_pipeline_oldest_ms(struct edge_pipeline *p);
