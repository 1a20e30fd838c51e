/* SPDX-License-Identifier: Apache-2.0
 * sim_plan: everything a run is drawn from: the world's size, the clients' habits, the script of
 * faults. A plan comes from a seed or from a text; equal plans give equal runs. Audience:
 * tests/sim. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/rng.h"
#include "tests/sim/sim_nth.h"

#include <stdio.h>

#define SIM_REGIONS    3
#define SIM_PARTITIONS 3
#define SIM_EDGES      6 /* of all regions */
#define SIM_REPLICAS   6 /* likewise */
#define SIM_ARCHIVERS  3 /* likewise */
#define SIM_GLOBES     2
#define SIM_ADS        16
#define SIM_BASE_MS    1800000000000ULL /* true time 0, on the wall: a full minute */

/* number  name             target        a                 b */
#define SIM_FAULT_TABLE(X)                                                                         \
    X(CRASH_EDGE, "crash-edge")       /* edge        down ms           effects left, 0: at once */ \
    X(CRASH_REPLICA, "crash-replica") /* replica     down ms           likewise */                 \
    X(CRASH_GLOBE, "crash-globe")     /* globe       down ms           likewise */                 \
    X(STOP_EDGE, "stop-edge")         /* edge        down ms           -: a clean end, with FIN */ \
    X(STOP_REPLICA, "stop-replica")   /* replica     down ms           -: a clean end */           \
    X(IO, "io")                       /* process     commits until EIO 1: it took effect */        \
    X(FULL, "full")                   /* process     for ms            room in bytes */            \
    X(SPOOL_LOST, "spool-lost")       /* edge        down ms           - */                        \
    X(BACKUP, "backup")               /* process     -                 - */                        \
    X(SPOOL_RESTORED, "spool-restored")     /* edge        down ms           - */                  \
    X(REPLICA_WIPED, "replica-wiped")       /* replica     down ms           - */                  \
    X(REPLICA_RESTORED, "replica-restored") /* replica down ms           1: marked as restored */  \
    X(GLOBE_WIPED, "globe-wiped") /* globe       down ms           1: from the streams alone */    \
    X(CUT, "cut")                 /* link        for ms            0 both, 1 out, 2 in */          \
    X(DEAF, "deaf")               /* link        for ms            - */                            \
    X(SINS, "sins")               /* link        for ms            which, see sim_faults.c */      \
    X(SERVER_DOWN, "server-down") /* server      for ms            messages lost a stream */       \
    X(TAIL_LOST, "tail-lost")     /* stream      messages          0 silent, 1 reads end */        \
    X(STREAM_MADE_ANEW, "stream-anew")  /* stream      -                 likewise */               \
    X(STREAM_EXPIRES, "stream-expires") /* stream      messages kept     - */                      \
    X(SERVER_CLOCK, "server-clock")     /* server      for ms            seconds, signed */        \
    X(EDGE_CLOCK, "edge-clock")         /* edge        for ms            seconds, signed */        \
    X(EDGE_DRIFT, "edge-drift")         /* edge        for ms            ppm, signed */            \
    X(SLOW, "slow")                     /* process     for ms            ms a turn */              \
    X(LATENCY, "latency")               /* server      for ms            ms */                     \
    X(WRITE_OFF, "write-off")           /* edge        -                 -: an operator's haste */ \
    X(RETIRE, "retire")                 /* edge        -                 -: for good */            \
    X(READ_IO, "read-io")               /* process     reads until EIO   1: damage is found */     \
    X(CRASH_ARCHIVER, "crash-archiver") /* archiver    down ms           as crash-edge */          \
    X(OBJECTS_AWAY, "objects-away")     /* archiver    for ms            1: refused */             \
    X(PUT_FAILS, "put-fails")           /* archiver    puts until then   1: it took effect */      \
    X(ARCHIVER_WIPED, "archiver-wiped") /* archiver    down ms           - */

enum sim_fault_kind {
#define SIM_FAULT_ROW(name, text) SIM_FAULT_##name,
    SIM_FAULT_TABLE(SIM_FAULT_ROW)
#undef SIM_FAULT_ROW
        SIM_FAULTS
};

struct sim_fault {
    uint32_t at_ms;
    enum sim_fault_kind kind;
    uint32_t target, a, b;
};

/* One call of one process fails: for the n-th-call loops, see sim_nth_main.c; no part of a text. */
struct sim_plan_nth {
    uint32_t process; /* index of sim_world.processes */
    enum sim_call call;
    enum err err; /* ERR_OK: none fails */
    bool applied;
    uint32_t n;
};

struct sim_plan {
    uint64_t seed;
    uint32_t regions, partitions, edges, replicas, globes; /* edges, replicas: of each region */
    uint32_t interval_ms, horizon_minutes, lateness_ms;
    uint32_t latency_ms, wan_ms, timeout_ms;
    uint32_t segment_bytes;
    /* An edge's spool, 0: without bound; of each region's replicas, the last so many are archivers
     * to the edges (fold replicas all the same: their names are what matters); when a fold is
     * missing. */
    uint32_t spool_bytes, archivers, silent_ms;
    uint32_t objects; /* 1: each region has an archiver of its own, which writes objects */
    uint32_t ads, users, clicks, pace_ms, batch, burst, quiet_ms;
    /* Closed minutes: 0 in memory, 1 in the store, 2 in the store at every other replica, 3 in the
     * store, and open ones as well: there is no memory; in values of so many keys or rows. */
    uint32_t closed, settle_ms, value_items;
    uint32_t again, late, late_ms, lost_answers; /* chances in 1000, and how late at most */
    uint32_t chaos_ms;
    uint32_t partitions_first; /* the map grows from so many to `partitions`; 0: it does not */
    uint32_t grow_ms, grow_ahead_ms; /* when it is said, and for how long after */
    bool bus;                        /* the story tells of each message */
    uint64_t kinds;                  /* bit i: fault kind i is on */
    struct sim_plan_nth nth;
    uint32_t fault_count, fault_capacity;
    struct sim_fault *faults; /* ascending times */
};

/* P that maps begin with. */
static inline uint16_t sim_plan_first(const struct sim_plan *p)
{
    bool grows = p->partitions_first > 0 && p->partitions_first < p->partitions;
    return (uint16_t)(grows ? p->partitions_first : p->partitions);
}

/* Draws a plan. */
void sim_plan_draw(struct sim_plan *p, uint64_t seed);
/* Text, one option or fault a line; read refuses what it does not know and says so in out_error. */
void sim_plan_write(const struct sim_plan *p, FILE *out);
bool sim_plan_read(struct sim_plan *p, FILE *in, char *out_error, size_t error_size);
void sim_plan_copy(struct sim_plan *to, const struct sim_plan *from);
void sim_plan_done(struct sim_plan *p);
void sim_plan_add(struct sim_plan *p, struct sim_fault fault); /* keeps the order of times */
const char *sim_plan_fault_name(enum sim_fault_kind kind);
