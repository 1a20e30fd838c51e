/* SPDX-License-Identifier: Apache-2.0
 * sim_faults: carries out the script, and takes back what lasts only for a while. */
#include "proto/subject.h"
#include "tests/sim/sim_world.h"

#include <stdlib.h>

/* After a loss, until every replica has seen it and has made durable what it had read. */
#define ROLL_BACK_MS 200000u

static const char *const region_names[SIM_REGIONS] = {"us", "eu", "ap"};

static struct sim_edge *edge_of(struct sim_world *w, const struct sim_fault *f)
{
    return &w->edges[f->target % w->edge_count];
}

static struct sim_replica *replica_of(struct sim_world *w, const struct sim_fault *f)
{
    return &w->replicas[f->target % w->replica_count];
}

static struct sim_globe *globe_of(struct sim_world *w, const struct sim_fault *f)
{
    return &w->globes[f->target % w->globe_count];
}

static struct sim_process *process_of(struct sim_world *w, const struct sim_fault *f)
{
    return w->processes[f->target % w->process_count];
}

static uint32_t link_of(struct sim_world *w, const struct sim_fault *f)
{
    enum sim_process_kind kind = process_of(w, f)->kind;
    uint32_t count = kind == SIM_REPLICA || kind == SIM_ARCHIVER ? 1 : w->plan.regions;
    return f->target / w->process_count % count;
}

static void later(struct sim_world *w, const struct sim_fault *f)
{
    if (w->undo_count == w->undo_capacity) {
        w->undo_capacity = w->undo_capacity == 0 ? 16 : w->undo_capacity * 2;
        w->undos = base_realloc(w->undos, w->undo_capacity * sizeof(*w->undos));
    }
    w->undos[w->undo_count++] = (struct sim_undo){w->now_ms + f->a, *f};
}

/* Now, or when it has done so many more things: in the middle of whatever it does then. */
static void crash(struct sim_process *p, const struct sim_fault *f)
{
    struct sim_world *w = p->world;
    if (!p->up)
        return;
    if (f->b == 0) {
        sim_process_down(p, f->a);
        return;
    }
    p->fuse = (struct sim_fuse){.left = f->b, .applied_last = rng_chance(&w->rng, 500)};
    sim_trace(w, p->name, "will die at its effect number %u from now", f->b);
}

static struct subject stream_of(struct sim_world *w, const struct sim_fault *f,
                                uint32_t *out_region, bool *out_clicks)
{
    uint32_t streams = w->plan.partitions + 1, at = f->target % (w->plan.regions * streams);
    *out_region = at / streams;
    *out_clicks = at % streams < w->plan.partitions;
    const char *name = region_names[*out_region];
    return *out_clicks ? subject_clicks_stream(name, (uint16_t)(at % streams))
                       : subject_partials_stream(name);
}

static void note_loss(struct sim_world *w, uint32_t region, bool clicks)
{
    /* Who reads on without a word of it passes over what takes the places of the lost. */
    for (uint32_t i = 0; clicks && i < w->replica_count; i++)
        for (uint32_t p = 0; w->replicas[i].region == region && p < SIM_PARTITIONS; p++)
            w->replicas[i].model_stale[p] = true;
    if (clicks)
        w->servers[region].tail_lost_ms = w->now_ms;
    else
        w->servers[region].partials_lost = true;
}

static void lose_tail(struct sim_world *w, uint32_t region, const char *stream, bool clicks,
                      uint64_t count)
{
    struct sim_bus_server *bus = w->servers[region].bus;
    uint64_t last = sim_bus_last_seq(bus, stream);
    count = base_min_u64(count, last);
    /* A store that was rolled back has nothing else to catch up from. */
    for (uint32_t i = 0; clicks && i < w->replica_count; i++)
        if (w->replicas[i].region == region && w->replicas[i].behind)
            count = 0;
    if (count == 0)
        return;
    sim_bus_lose_tail(bus, stream, last - count);
    note_loss(w, region, clicks);
    sim_trace(w, region_names[region], "%s loses its last %llu messages", stream,
              (unsigned long long)count);
}

static void relink(struct sim_world *w)
{
    for (uint32_t i = 0; i < w->process_count; i++)
        for (uint32_t b = 0; b < w->processes[i]->bus_count; b++)
            sim_process_link(w->processes[i], b);
}

static void server_down(struct sim_world *w, const struct sim_fault *f)
{
    uint32_t region = f->target % w->plan.regions;
    if (w->servers[region].down)
        return;
    w->servers[region].down = true;
    for (uint16_t p = 0; p < w->plan.partitions && f->b > 0; p++)
        lose_tail(w, region, subject_clicks_stream(region_names[region], p).text, true,
                  rng_below(&w->rng, f->b + 1));
    if (f->b > 0)
        lose_tail(w, region, subject_partials_stream(region_names[region]).text, false,
                  rng_below(&w->rng, f->b + 1));
    relink(w);
    later(w, f);
}

static void stream_fault(struct sim_world *w, const struct sim_fault *f)
{
    uint32_t region;
    bool clicks;
    struct subject stream = stream_of(w, f, &region, &clicks);
    struct sim_bus_server *bus = w->servers[region].bus;
    uint64_t last = sim_bus_last_seq(bus, stream.text);
    lose_tail(w, region, stream.text, clicks, f->kind == SIM_FAULT_TAIL_LOST ? f->a : last);
    if (f->b == 1)
        sim_bus_end_reads(bus, stream.text);
}

/* The stream's limit of age: never so short that a reader which is up has not read what goes. */
static void expire(struct sim_world *w, const struct sim_fault *f)
{
    uint32_t region;
    bool clicks;
    struct subject stream = stream_of(w, f, &region, &clicks);
    struct sim_bus_server *bus = w->servers[region].bus;
    uint64_t last = sim_bus_last_seq(bus, stream.text), upto = last > f->a ? last - f->a : 0;
    for (uint32_t i = 0; clicks && i < w->replica_count; i++) {
        const struct sim_replica *r = &w->replicas[i];
        struct replica_part_view view = {.seq = 0};
        if (r->region != region)
            continue;
        if (r->process.up && r->replica != NULL)
            replica_part_view(r->replica, f->target % (w->plan.partitions + 1), &view);
        /* With a peer that has read it, one that has not must restore, if a spool is there to tell
         * it so. */
        const uint64_t spools = 1ULL << SIM_FAULT_SPOOL_LOST | 1ULL << SIM_FAULT_SPOOL_RESTORED;
        if (w->plan.replicas == 1 || i < w->plan.regions || (w->plan.kinds & spools) != 0)
            upto = base_min_u64(upto, view.seq);
    }
    for (uint32_t i = 0; !clicks && i < w->globe_count; i++) {
        struct merger_view view = {.messages = 0};
        if (w->globes[i].merger != NULL)
            merger_view(w->globes[i].merger, &view);
        upto = base_min_u64(upto, view.regions[region].position);
    }
    if (upto == 0)
        return;
    sim_bus_expire(bus, stream.text, upto);
    note_loss(w, region, clicks);
    sim_trace(w, region_names[region], "%s expires up to %llu", stream.text,
              (unsigned long long)upto);
}

static void backup(struct sim_process *p)
{
    sim_kv_free(p->backup);
    p->backup = sim_kv_clone(p->kv);
    p->backup_ms = p->world->now_ms;
}

static void replica_restored(struct sim_replica *r, const struct sim_fault *f)
{
    struct sim_world *w = r->process.world;
    /* An older copy is only as good as the stream that is read again from there: what was read
     * before the loss, and made durable after the copy, is in neither. */
    uint64_t lost_ms = w->servers[r->region].tail_lost_ms;
    if (r->process.backup == NULL || r->rescue_ms != SIM_NEVER ||
        (lost_ms > 0 && lost_ms + ROLL_BACK_MS >= r->process.backup_ms) ||
        (w->plan.kinds >> SIM_FAULT_WRITE_OFF & 1) !=
            0) /* what is written off is passed over in silence */
        return;
    sim_process_crash_driver(&r->process);
    sim_kv_free(r->process.kv);
    r->process.kv = sim_kv_clone(r->process.backup);
    sim_kv_limit(r->process.kv, 0);
    if (f->b == 1)
        CHECK(replica_mark_restored(r->process.kv) == ERR_OK);
    r->behind = true;
    w->servers[r->region].replaced = true;
    if (r->promised_store != 0)
        r->older_store = r->promised_store;
    r->promised_store = 0;
    sim_region_forget(r);
    memset(r->promised_cut, 0, sizeof(r->promised_cut));
    memset(r->watermark_ms, 0, sizeof(r->watermark_ms));
    sim_process_down(&r->process, f->a);
}

static void globe_wiped(struct sim_globe *g, const struct sim_fault *f)
{
    struct sim_world *w = g->process.world;
    struct sim_globe *peer = w->globe_count > 1 ? &w->globes[1 - g->process.index] : NULL;
    bool streams = f->b == 1 || peer == NULL;
    for (uint32_t i = 0; i < w->plan.regions; i++)
        streams = streams && !w->servers[i].partials_lost;
    if (!streams && peer == NULL)
        return;
    sim_process_crash_driver(&g->process);
    sim_kv_free(g->process.kv);
    g->process.kv = streams ? sim_kv_new(LEAF_TABLES) : sim_kv_clone(peer->process.kv);
    sim_kv_limit(g->process.kv, 0);
    sim_globe_forget(g);
    sim_process_down(&g->process, f->a);
}

static void link_fault(struct sim_world *w, const struct sim_fault *f, bool on)
{
    struct sim_process *p = process_of(w, f);
    uint32_t at = link_of(w, f);
    if (f->kind == SIM_FAULT_CUT) {
        p->cut[at] = on && f->b == 0;
        p->mute_out[at] = on && f->b == 1;
        p->mute_in[at] = on && f->b == 2;
    } else if (f->kind == SIM_FAULT_DEAF) {
        p->deaf[at] = on;
    } else {
        p->sins[at] = (struct sim_bus_sins){.lose = on && (f->b & 1) ? 150 : 0,
                                            .orphan = on && (f->b & 2) ? 200 : 0,
                                            .twice = on && (f->b & 4) ? 200 : 0,
                                            .delay = on && (f->b & 8) ? 150 : 0,
                                            .delay_ms = 15000};
    }
    if (at < p->bus_count)
        sim_process_link(p, at);
    if (on)
        later(w, f);
}

static void archiver_wiped(struct sim_archiver *a, const struct sim_fault *f)
{
    sim_process_crash_driver(&a->process);
    sim_kv_free(a->process.kv);
    a->process.kv = sim_kv_new(ARCHIVER_TABLES);
    a->wiped = true;
    sim_process_down(&a->process, f->a);
}

static void lasting(struct sim_world *w, const struct sim_fault *f, bool on)
{
    int64_t seconds = (int32_t)f->b, sign = on ? 1 : -1;
    struct sim_server *server = &w->servers[f->target % w->plan.regions];
    struct sim_process *edge = &edge_of(w, f)->process;
    switch (f->kind) {
    case SIM_FAULT_FULL:
        sim_kv_limit(process_of(w, f)->kv, on ? sim_kv_bytes(process_of(w, f)->kv) + f->b + 1
                                           : process_of(w, f)->kind == SIM_EDGE ? sim_edge_room(w)
                                                                                : 0);
        break;
    case SIM_FAULT_SERVER_CLOCK:
        sim_bus_skew(server->bus, (int64_t)SIM_BASE_MS + (on ? seconds * 1000 : 0));
        break;
    case SIM_FAULT_EDGE_CLOCK:
        edge->skew_ms += sign * seconds * 1000;
        break;
    case SIM_FAULT_EDGE_DRIFT:
        edge->drift_ppm = on ? (int32_t)f->b : 0;
        edge->drift_from_ms = w->now_ms;
        break;
    case SIM_FAULT_SLOW:
        process_of(w, f)->slow_ms = on ? f->b : 0;
        break;
    case SIM_FAULT_LATENCY:
        sim_bus_latency(server->bus, on ? f->b : w->plan.latency_ms);
        break;
    case SIM_FAULT_OBJECTS_AWAY:
        sim_store_down(w->archivers[f->target % w->archiver_count].store, !on ? ERR_OK
                                                                          : f->b == 1
                                                                              ? ERR_STORE_REFUSED
                                                                              : ERR_STORE_AWAY);
        break;
    case SIM_FAULT_SERVER_DOWN:
        server->down = false; /* its beginning has a function of its own */
        relink(w);
        break;
    default:
        CHECK(false);
    }
    if (on)
        later(w, f);
}

static void stop(struct sim_world *w, const struct sim_fault *f)
{
    struct sim_edge *e = edge_of(w, f);
    struct sim_replica *r = replica_of(w, f);
    if (f->kind == SIM_FAULT_STOP_EDGE && e->process.up && !e->retiring) {
        sim_edge_finish(e);
        sim_process_down(&e->process, f->a);
    } else if (f->kind == SIM_FAULT_STOP_REPLICA && r->process.up) {
        sim_process_acts(&r->process);
        enum err err = replica_stop(r->replica);
        r->process.endings += err_class(err) == ERR_CLASS_STOP;
        sim_trace_numbers(w, (uint64_t)err, 0, 0);
        sim_process_down(&r->process, f->a);
    }
}

static void spool_fault(struct sim_world *w, const struct sim_fault *f)
{
    struct sim_edge *e = edge_of(w, f);
    if (e->process.retired || (f->kind == SIM_FAULT_SPOOL_RESTORED && e->process.backup == NULL))
        return;
    sim_edge_spool_gone(e,
                        f->kind == SIM_FAULT_SPOOL_LOST ? NULL : sim_kv_clone(e->process.backup));
    sim_kv_limit(e->process.kv, sim_edge_room(w));
    sim_process_down(&e->process, f->a);
}

static void read_fault(struct sim_process *p, const struct sim_fault *f)
{
    p->nth = (struct sim_nth){.calls = 1u << SIM_CALL_GET | 1u << SIM_CALL_SEEK,
                              .left = f->a,
                              .err = f->b == 1 ? ERR_KV_CORRUPT : ERR_KV_IO};
}

/* Tells of it. True: it was one of the archivers'. */
static bool archiver_fault(struct sim_world *w, const struct sim_fault *f)
{
    sim_trace(w, "fault", "%s %u %u %d", sim_plan_fault_name(f->kind), f->target, f->a, (int)f->b);
    if (f->kind < SIM_FAULT_CRASH_ARCHIVER)
        return false;
    if (w->archiver_count == 0)
        return true;
    struct sim_archiver *a = &w->archivers[f->target % w->archiver_count];
    if (f->kind == SIM_FAULT_CRASH_ARCHIVER)
        crash(&a->process, f);
    else if (f->kind == SIM_FAULT_PUT_FAILS)
        sim_store_fail_put(a->store, f->a, ERR_STORE_AWAY, f->b == 1);
    else if (f->kind == SIM_FAULT_ARCHIVER_WIPED)
        archiver_wiped(a, f);
    else
        lasting(w, f, true);
    return true;
}

static void begin(struct sim_world *w, const struct sim_fault *f)
{
    struct sim_replica *r = replica_of(w, f);
    switch (f->kind) {
    case SIM_FAULT_CRASH_EDGE:
        crash(&edge_of(w, f)->process, f);
        break;
    case SIM_FAULT_CRASH_REPLICA:
        crash(&r->process, f);
        break;
    case SIM_FAULT_CRASH_GLOBE:
        crash(&globe_of(w, f)->process, f);
        break;
    case SIM_FAULT_STOP_EDGE:
    case SIM_FAULT_STOP_REPLICA:
        stop(w, f);
        break;
    case SIM_FAULT_IO:
        if (process_of(w, f)->up)
            sim_kv_fail_commit(process_of(w, f)->kv, f->a, ERR_KV_IO, f->b == 1);
        break;
    case SIM_FAULT_READ_IO:
        read_fault(process_of(w, f), f);
        break;
    case SIM_FAULT_SPOOL_LOST:
    case SIM_FAULT_SPOOL_RESTORED:
        spool_fault(w, f);
        break;
    case SIM_FAULT_BACKUP:
        backup(f->b == 0 ? &edge_of(w, f)->process : &r->process);
        break;
    case SIM_FAULT_REPLICA_WIPED:
        if (sim_region_peer(r) != NULL)
            sim_region_rebuild(r, f->a);
        break;
    case SIM_FAULT_REPLICA_RESTORED:
        replica_restored(r, f);
        break;
    case SIM_FAULT_GLOBE_WIPED:
        globe_wiped(globe_of(w, f), f);
        break;
    case SIM_FAULT_CUT:
    case SIM_FAULT_DEAF:
    case SIM_FAULT_SINS:
        link_fault(w, f, true);
        break;
    case SIM_FAULT_SERVER_DOWN:
        server_down(w, f);
        break;
    case SIM_FAULT_TAIL_LOST:
    case SIM_FAULT_STREAM_MADE_ANEW:
        stream_fault(w, f);
        break;
    case SIM_FAULT_STREAM_EXPIRES:
        expire(w, f);
        break;
    case SIM_FAULT_WRITE_OFF:
        sim_operators_write_off(w, f->target % w->edge_count, 0);
        break;
    case SIM_FAULT_RETIRE:
        edge_of(w, f)->retiring |=
            w->edge_count > 1 && w->edges[0].retiring == false && f->target % w->edge_count == 0;
        break;
    default:
        lasting(w, f, true);
    }
}

static void end(struct sim_world *w, uint32_t at)
{
    struct sim_fault f = w->undos[at].fault;
    w->undos[at] = w->undos[--w->undo_count];
    sim_trace(w, "fault", "%s %u ends", sim_plan_fault_name(f.kind), f.target);
    if (f.kind == SIM_FAULT_CUT || f.kind == SIM_FAULT_DEAF || f.kind == SIM_FAULT_SINS)
        link_fault(w, &f, false);
    else
        lasting(w, &f, false);
}

uint64_t sim_faults_due(const struct sim_world *w)
{
    uint64_t due_ms = w->phase == SIM_CHAOS && w->next_fault < w->plan.fault_count
                          ? w->plan.faults[w->next_fault].at_ms
                          : SIM_NEVER;
    for (uint32_t i = 0; i < w->undo_count; i++)
        due_ms = base_min_u64(due_ms, w->undos[i].at_ms);
    return due_ms;
}

void sim_faults_step(struct sim_world *w)
{
    for (uint32_t i = 0; i < w->undo_count;) {
        if (w->undos[i].at_ms <= w->now_ms)
            end(w, i);
        else
            i++;
    }
    while (w->phase == SIM_CHAOS && w->next_fault < w->plan.fault_count &&
           w->plan.faults[w->next_fault].at_ms <= w->now_ms) {
        const struct sim_fault *f = &w->plan.faults[w->next_fault++];
        if (!archiver_fault(w, f))
            begin(w, f);
    }
}

/* The calm: every fault ends, whatever is down comes up. */
void sim_faults_end(struct sim_world *w)
{
    w->phase = SIM_CALM;
    w->calm_ms = w->now_ms;
    while (w->undo_count > 0)
        end(w, w->undo_count - 1);
    for (uint32_t i = 0; i < w->process_count; i++) {
        struct sim_process *p = w->processes[i];
        p->skew_ms = 0;
        p->drift_ppm = 0;
        p->slow_ms = 0;
        if (p->fuse.left > 0)
            p->fuse = (struct sim_fuse){0};
        if (p->start_ms != SIM_NEVER)
            p->start_ms = w->now_ms;
        sim_kv_limit(p->kv, 0);
        sim_kv_fail_commit(p->kv, 0, ERR_OK, false);
        if (w->plan.nth.err == ERR_OK)
            p->nth.left = 0;
        sim_process_wake(p, w->now_ms);
    }
    for (uint32_t i = 0; i < w->archiver_count; i++)
        sim_store_fail_put(w->archivers[i].store, 0, ERR_OK, false);
    relink(w);
    sim_trace(w, "fault", "calm begins");
}
