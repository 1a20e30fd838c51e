/* SPDX-License-Identifier: Apache-2.0
 * sim_world: processes on made-up ports, one loop, one seed. The drivers inside are the product's
 * own. Audience: tests/sim. One thread; a world is one run. */
#pragma once

#include "edge/edge_pipeline.h"
#include "global/global_merger.h"
#include "global/global_reader.h"
#include "regional/regional_archiver.h"
#include "regional/regional_replica.h"
#include "tests/sim/sim_bus.h"
#include "tests/sim/sim_clock.h"
#include "tests/sim/sim_kv.h"
#include "tests/sim/sim_oracle.h"
#include "tests/sim/sim_plan.h"
#include "tests/sim/sim_store.h"

#define SIM_NEVER UINT64_MAX

enum sim_process_kind { SIM_EDGE, SIM_REPLICA, SIM_GLOBE, SIM_ARCHIVER };
#define SIM_PROCESSES (SIM_EDGES + SIM_REPLICAS + SIM_GLOBES + SIM_ARCHIVERS)

/* What all processes have. Store and clock outlive a crash, buses and driver do not. */
struct sim_process {
    struct sim_world *world;
    enum sim_process_kind kind;
    uint32_t index;
    char name[16];
    bool up, retired;
    uint64_t due_ms, start_ms; /* start_ms: when it comes up, while it is down */
    struct sim_clock clock;
    int64_t skew_ms;
    int32_t drift_ppm;
    uint64_t mono_base_ms, drift_from_ms;
    struct kv_port *kv, *backup;
    uint64_t backup_ms;
    struct sim_fuse fuse;
    struct sim_nth nth;
    /* Its driver asked it to end; it could not open its store; a query said that nothing is known.
     */
    uint32_t endings, refused, unanswered;
    uint64_t slow_ms; /* a turn takes so long */
    uint32_t bus_count;
    struct bus_port *buses[SIM_REGIONS]; /* edge, globe: one a region; replica: one */
    uint32_t servers[SIM_REGIONS];
    struct sim_bus_sins sins[SIM_REGIONS];
    bool cut[SIM_REGIONS], deaf[SIM_REGIONS], mute_out[SIM_REGIONS], mute_in[SIM_REGIONS];
};

struct sim_request {
    uint32_t count;
    uint32_t clicks[8];
};

struct sim_edge {
    struct sim_process process;
    uint32_t region;
    struct edge_pipeline *pipeline;
    struct clock_port clock; /* the process's, noting what it gives out */
    uint64_t last_random;
    uint64_t high_ms;     /* highest time it ever read */
    uint64_t given_up_ms; /* when operators gave it up last; 0: never */
    uint32_t incarnation; /* oracle's; current */
    uint32_t inbox_count, inbox_capacity;
    struct sim_request *inbox;
    bool finished, retiring, pressed;
    uint32_t passed_over; /* bit i: it ever let go without replica i */
};

/* What one replica's store has promised: it must never take it back. */
struct sim_promise {
    uint32_t edge;
    uint64_t epoch, floor;
    uint64_t ever; /* by any store that the replica ever had */
    uint16_t partition;
};

struct sim_replica {
    struct sim_process process;
    uint32_t region;
    struct replica *replica;
    uint16_t partitions[SIM_PARTITIONS];
    uint64_t promised_store, older_store; /* older: rolled back, it takes its promises back */
    uint32_t promise_count, promise_capacity;
    struct sim_promise *promises;
    uint64_t promised_cut[SIM_PARTITIONS];
    uint64_t watermark_ms[SIM_PARTITIONS]; /* seen last */
    uint32_t missing[SIM_PARTITIONS];      /* likewise: known edges that are */
    uint32_t model_count, model_capacity;  /* sim_shadow: where it must stand */
    struct sim_promise *models;
    uint64_t model_seq[SIM_PARTITIONS], model_proofs;
    bool model_stale[SIM_PARTITIONS];
    uint64_t rescue_ms; /* an operator copies a peer's store then; SIM_NEVER: no need */
    bool
        behind; /* an older copy of its store is in use: it must read the stream again from there */
};

struct sim_globe {
    struct sim_process process;
    struct merger *merger;
    struct global_reader *reader;
    uint32_t *seen; /* [ad][minute]: count answered last */
    uint64_t watermark_ms[SIM_REGIONS];
};

struct sim_archived;

/* The store of objects outlives a crash, and the loss of the archiver's own store. */
struct sim_archiver {
    struct sim_process process;
    uint32_t region;
    struct archiver *archiver;
    struct object_store *store;
    uint16_t partitions[SIM_PARTITIONS];
    bool wiped; /* its own store was ever lost */
    uint32_t line_count;
    struct sim_archived *lines; /* what its manifests vouch for */
};

struct sim_server {
    struct sim_bus_server *bus;
    bool down;
    uint64_t tail_lost_ms; /* last time that an acknowledged message was lost from CLICKS */
    bool replaced;         /* some replica's store was ever replaced by a copy */
    bool partials_lost;    /* something acknowledged was ever lost from PARTIALS */
};

/* A timed change: the end of a fault. */
struct sim_undo {
    uint64_t at_ms;
    struct sim_fault fault;
};

struct sim_again {
    uint64_t at_ms;
    uint32_t click;
};

enum { SIM_CHAOS, SIM_CALM };

struct sim_world {
    struct sim_plan plan;
    struct rng rng; /* order and chance of everything that the plan leaves open */
    uint64_t now_ms;
    int phase;
    uint64_t calm_ms, deadline_ms; /* when liveness began; must have converged by */
    struct sim_server servers[SIM_REGIONS];
    uint32_t edge_count, replica_count, globe_count, archiver_count, process_count;
    struct sim_edge edges[SIM_EDGES];
    struct sim_replica replicas[SIM_REPLICAS];
    struct sim_globe globes[SIM_GLOBES];
    struct sim_archiver archivers[SIM_ARCHIVERS];
    struct sim_process *processes[SIM_PROCESSES];
    struct sim_oracle oracle;
    struct sim_shadow *shadow;
    uint64_t floors_ms[SIM_EDGES][SIM_REPLICAS]; /* when that edge was last told floors */
    uint32_t next_fault;
    uint32_t undo_count, undo_capacity;
    struct sim_undo *undos;
    /* clients */
    struct rng client_rng;
    uint64_t client_ms;
    uint32_t burst_left;
    uint32_t again_count, again_capacity;
    struct sim_again *agains; /* a heap would be faster; they are few */
    /* operators */
    struct sim_operator *operators; /* one a region */
    uint64_t operator_ms;
    uint64_t check_ms, converge_ms;
    bool converged;
    /* story */
    FILE *trace;
    uint64_t hash;
    uint64_t steps;
    char violation[256];
    const char *checker;
};

struct sim_result {
    uint64_t hash, simulated_ms, steps;
    uint32_t clicks, attempts;
    /* Of the process whose n-th call fails. */
    bool fired;
    uint32_t endings, refused, unanswered, met[SIM_CALLS];
    char violation[256]; /* empty: none */
    char checker[32];
};

/* One run of a plan, which stays the caller's. `trace` may be NULL. */
void sim_world_run(const struct sim_plan *plan, FILE *trace, struct sim_result *out);

/* sim_trace.c: a line of the story; all of it goes into the hash, printed or not. */
void sim_trace(struct sim_world *w, const char *who, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void sim_trace_numbers(struct sim_world *w, uint64_t a, uint64_t b, uint64_t c);
/* The first one ends the run. */
void sim_violation(struct sim_world *w, const char *checker, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* sim_process.c */
void sim_process_init(struct sim_world *w, struct sim_process *p, enum sim_process_kind kind,
                      uint32_t index);
void sim_process_boot(struct sim_process *p, uint32_t bus_count, const uint32_t *servers,
                      uint64_t lag_ms[SIM_REGIONS]);
void sim_process_kill(struct sim_process *p); /* the driver is freed already */
void sim_process_time(struct sim_process *p);
void sim_process_wake(struct sim_process *p, uint64_t due_ms);
void sim_process_down(struct sim_process *p, uint64_t down_ms); /* crashes it, whichever it is */
void sim_process_link(struct sim_process *p, uint32_t at);      /* applies cut, deaf, mute, sins */
void sim_process_crash_driver(struct sim_process *p);
/* What it does until it rests is its own doing: its calls may fail. */
static inline void sim_process_acts(struct sim_process *p)
{
    p->nth.awake = true;
}
static inline void sim_process_rests(struct sim_process *p)
{
    p->nth.awake = false;
}
/* A step goes on, or ends its process: anything else is none of its words. */
void sim_process_stepped(struct sim_process *p, enum err err);

/* sim_edge.c */
void sim_edge_init(struct sim_world *w, uint32_t index);
void sim_edge_open(struct sim_edge *e);
void sim_edge_crash(struct sim_edge *e);
void sim_edge_step(struct sim_edge *e);
void sim_edge_finish(struct sim_edge *e); /* a clean end: FIN on every line */
void sim_edge_spool_gone(struct sim_edge *e, struct kv_port *instead);
/* Does the edge's spool still hold that line? */
bool sim_edge_holds(const struct sim_edge *e, uint64_t epoch, uint32_t home, uint16_t partition);
/* Bytes that its spool may have now; 0: any. */
uint64_t sim_edge_room(const struct sim_world *w);
/* Did it let go of numbers that the replica, which is up, does not durably have? */
bool sim_edge_passed(const struct sim_edge *e, const struct sim_replica *r);
void sim_edge_request(struct sim_edge *e, const struct sim_request *request);

/* sim_region.c */
/* Closed minutes in the replica's store (sim_stored.c). */
void sim_stored_check(struct sim_replica *r);
void sim_region_init(struct sim_world *w, uint32_t index);
void sim_region_open(struct sim_replica *r);
void sim_region_crash(struct sim_replica *r);
void sim_region_step(struct sim_replica *r);
bool sim_region_archives(const struct sim_replica *r); /* is it an archiver to the edges? */
/* Another replica of the region whose store is fit to be copied, or NULL. */
struct sim_replica *sim_region_peer(struct sim_replica *r);
void sim_region_forget(struct sim_replica *r); /* its promises: another store is in its place */
void sim_region_rebuild(struct sim_replica *r, uint64_t down_ms);
void sim_region_heard_floors(struct sim_world *w, uint32_t region, struct span data);
void sim_region_heard_partial(struct sim_world *w, uint32_t region, const char *subject,
                              struct span data);

/* sim_archiver.c */
void sim_archiver_init(struct sim_world *w, uint32_t index);
void sim_archiver_done(struct sim_archiver *a);
void sim_archiver_open(struct sim_archiver *a);
void sim_archiver_crash(struct sim_archiver *a);
void sim_archiver_step(struct sim_archiver *a);
void sim_archiver_heard_floors(struct sim_world *w, uint32_t region, struct span data);
/* How many numbers of the line, from 0 on, its manifests vouch for. */
uint64_t sim_archiver_prefix(struct sim_archiver *a, uint32_t edge, uint64_t epoch,
                             uint16_t partition);
void sim_archiver_final(struct sim_archiver *a);

/* sim_globe.c */
void sim_globe_init(struct sim_world *w, uint32_t index);
void sim_globe_open(struct sim_globe *g);
void sim_globe_crash(struct sim_globe *g);
void sim_globe_step(struct sim_globe *g);
void sim_globe_forget(struct sim_globe *g); /* what it answered: it has another store now */

/* sim_clients.c */
void sim_clients_step(struct sim_world *w);
uint64_t sim_clients_due(const struct sim_world *w);
enum sim_answer { SIM_ACCEPTED, SIM_REFUSED, SIM_NOT_STORED, SIM_UNKNOWN };
void sim_clients_answer(struct sim_world *w, uint32_t click, enum sim_answer answer);

/* sim_operators.c */
void sim_operators_init(struct sim_world *w);
void sim_operators_done(struct sim_world *w);
void sim_operators_step(struct sim_world *w);
bool sim_operators_idle(const struct sim_world *w);
void sim_operators_enrol(struct sim_world *w, uint32_t edge);
void sim_operators_write_off(struct sim_world *w, uint32_t edge, uint64_t epoch);
void sim_operators_retire(struct sim_world *w, uint32_t edge);

/* sim_faults.c */
void sim_faults_step(struct sim_world *w);
uint64_t sim_faults_due(const struct sim_world *w);
void sim_faults_end(struct sim_world *w);

/* sim_shadow.c */
void sim_shadow_init(struct sim_world *w);
void sim_shadow_done(struct sim_world *w);
void sim_shadow_stored(struct sim_world *w, uint32_t region, uint32_t partition, uint64_t seq,
                       struct span data);
void sim_shadow_check(struct sim_replica *r);

/* sim_checks.c: at every step; sim_final.c: at the end. */
void sim_checks_edge(struct sim_edge *e);
void sim_checks_replica(struct sim_replica *r);
void sim_checks_reopened(struct sim_replica *r);
void sim_checks_globe(struct sim_globe *g);
void sim_checks_globe_reopened(struct sim_globe *g);
void sim_checks_regularly(struct sim_world *w);
bool sim_final_converged(struct sim_world *w, char *out_why, size_t size);
void sim_final_check(struct sim_world *w);
