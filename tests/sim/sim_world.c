/* SPDX-License-Identifier: Apache-2.0
 * sim_world: made, run and taken apart. Each turn takes one of those that are due, by the seed. */
#include "tests/sim/sim_world.h"

#include "proto/segment.h"
#include "proto/subject.h"

#include <stdlib.h>

#define WARM_MS           3000u
#define CONVERGE_EVERY_MS 5000u
#define CALM_MS           (15 * 60 * 1000ULL)

static const char *const region_names[SIM_REGIONS] = {"us", "eu", "ap"};

struct spy {
    struct sim_world *world;
    uint32_t region;
};

/* What travels, for whoever reads the story; no part of its hash. */
static void show(const struct sim_world *w, const char *subject, struct span data,
                 const char *stream, uint64_t seq)
{
    struct segment_head head;
    if (w->trace == NULL || !w->plan.bus)
        return;
    fprintf(w->trace, "[%9.3f s] bus      > %s %s %llu", (double)w->now_ms / 1000, subject,
            stream == NULL ? "plain" : stream, (unsigned long long)seq);
    if (segment_read_head(&head, data) == ERR_OK)
        fprintf(w->trace, " epoch %04llx [%llu, %llu) low %llu accepted %llu clock %lld age %llu%s",
                (unsigned long long)(head.epoch >> 48), (unsigned long long)head.first,
                (unsigned long long)head.last, (unsigned long long)head.low,
                (unsigned long long)head.accepted, (long long)(head.clock_ms - SIM_BASE_MS),
                (unsigned long long)head.age_ms, head.fin ? " FIN" : "");
    fputc('\n', w->trace);
}

static void spy(void *context, const char *subject, struct span data, const char *stream,
                uint64_t seq)
{
    const struct spy *s = context;
    uint64_t sum = 0;
    for (size_t i = 0; i < data.length; i += 8) {
        uint64_t word = 0;
        memcpy(&word, data.data + i, base_min_u64(8, data.length - i));
        sum = (sum ^ word) * 1099511628211ULL;
    }
    sim_trace_numbers(s->world, sum, seq, s->region);
    show(s->world, subject, data, stream, seq);
    if (stream != NULL && strncmp(subject, "clicks.", 7) == 0)
        sim_shadow_stored(s->world, s->region, (uint32_t)(strrchr(stream, '_')[1] - '0'), seq,
                          data);
    if (strncmp(subject, "floors.", 7) == 0) {
        sim_region_heard_floors(s->world, s->region, data);
        sim_archiver_heard_floors(s->world, s->region, data);
        return;
    }
    if (stream != NULL && strncmp(subject, "partials.", 9) == 0)
        sim_region_heard_partial(s->world, s->region, subject, data);
}

static void make_server(struct sim_world *w, struct spy *s, uint32_t region)
{
    struct sim_bus_server *bus = sim_bus_server_new();
    w->servers[region].bus = bus;
    sim_bus_skew(bus, (int64_t)SIM_BASE_MS); /* its clock is a wall clock, our time begins at 0 */
    sim_bus_latency(bus, w->plan.latency_ms);
    for (uint32_t p = 0; p < w->plan.partitions; p++)
        sim_bus_stream(bus, subject_clicks_stream(region_names[region], (uint16_t)p).text,
                       subject_clicks_all(region_names[region], (uint16_t)p).text);
    sim_bus_stream(bus, subject_partials_stream(region_names[region]).text,
                   subject_partials_all(region_names[region]).text);
    *s = (struct spy){w, region};
    sim_bus_watch(bus, spy, s);
}

static void make(struct sim_world *w, const struct sim_plan *plan, struct spy *spies)
{
    w->plan = *plan;
    w->rng.state = plan->seed ^ 0x5157A11E5ULL;
    w->client_rng.state = plan->seed ^ 0xC11E475ULL;
    w->hash = 14695981039346656037ULL;
    w->edge_count = plan->regions * plan->edges;
    w->replica_count = plan->regions * plan->replicas;
    w->globe_count = plan->globes;
    w->archiver_count = plan->objects * plan->regions;
    sim_oracle_init(&w->oracle, plan->regions, plan->partitions, plan->ads);
    sim_shadow_init(w);
    for (uint32_t i = 0; i < plan->regions; i++)
        make_server(w, &spies[i], i);
    for (uint32_t i = 0; i < w->edge_count; i++)
        sim_edge_init(w, i);
    for (uint32_t i = 0; i < w->replica_count; i++)
        sim_region_init(w, i);
    for (uint32_t i = 0; i < w->globe_count; i++)
        sim_globe_init(w, i);
    for (uint32_t i = 0; i < w->archiver_count; i++)
        sim_archiver_init(w, i);
    for (uint32_t i = 0; i < w->process_count; i++)
        w->processes[i]->start_ms = rng_below(&w->rng, 500);
    const struct sim_plan_nth *nth = &plan->nth;
    w->processes[nth->process]->nth = (struct sim_nth){
        .calls = 1u << nth->call, .left = nth->n, .err = nth->err, .applied = nth->applied};
    sim_operators_init(w);
    for (uint32_t i = 0; i < w->edge_count; i++)
        sim_operators_enrol(w, i);
    w->client_ms = WARM_MS;
    w->check_ms = w->converge_ms = WARM_MS;
}

static void unmake(struct sim_world *w)
{
    for (uint32_t i = 0; i < w->process_count; i++)
        sim_process_crash_driver(w->processes[i]);
    for (uint32_t i = 0; i < w->process_count; i++) {
        sim_kv_free(w->processes[i]->kv);
        sim_kv_free(w->processes[i]->backup);
    }
    for (uint32_t i = 0; i < w->edge_count; i++)
        free(w->edges[i].inbox);
    for (uint32_t i = 0; i < w->replica_count; i++) {
        free(w->replicas[i].promises);
        free(w->replicas[i].models);
    }
    for (uint32_t i = 0; i < w->globe_count; i++)
        free(w->globes[i].seen);
    for (uint32_t i = 0; i < w->archiver_count; i++)
        sim_archiver_done(&w->archivers[i]);
    sim_operators_done(w);
    for (uint32_t i = 0; i < w->plan.regions; i++)
        sim_bus_server_free(w->servers[i].bus);
    sim_oracle_done(&w->oracle);
    sim_shadow_done(w);
    free(w->undos);
    free(w->agains);
}

static void open_process(struct sim_process *p)
{
    struct sim_world *w = p->world;
    switch (p->kind) {
    case SIM_EDGE:
        sim_edge_open(&w->edges[p->index]);
        break;
    case SIM_REPLICA:
        sim_region_open(&w->replicas[p->index]);
        break;
    case SIM_GLOBE:
        sim_globe_open(&w->globes[p->index]);
        break;
    case SIM_ARCHIVER:
        sim_archiver_open(&w->archivers[p->index]);
        break;
    }
}

static void turn(struct sim_process *p)
{
    struct sim_world *w = p->world;
    sim_process_time(p);
    w->steps++;
    if (!p->up) {
        open_process(p);
        return;
    }
    p->due_ms = SIM_NEVER;
    switch (p->kind) {
    case SIM_EDGE:
        sim_edge_step(&w->edges[p->index]);
        break;
    case SIM_REPLICA:
        sim_region_step(&w->replicas[p->index]);
        break;
    case SIM_GLOBE:
        sim_globe_step(&w->globes[p->index]);
        break;
    case SIM_ARCHIVER:
        sim_archiver_step(&w->archivers[p->index]);
        break;
    }
}

static uint64_t process_due(const struct sim_process *p)
{
    return p->up ? p->due_ms : p->start_ms;
}

static uint64_t next_due(const struct sim_world *w)
{
    uint64_t due_ms = base_min_u64(sim_clients_due(w), sim_faults_due(w));
    due_ms = base_min_u64(due_ms, w->operator_ms);
    due_ms = base_min_u64(due_ms, w->check_ms);
    due_ms = base_min_u64(due_ms, w->phase == SIM_CHAOS ? w->plan.chaos_ms : w->converge_ms);
    for (uint32_t i = 0; i < w->plan.regions; i++)
        due_ms = base_min_u64(due_ms, sim_bus_delayed_ms(w->servers[i].bus));
    for (uint32_t i = 0; i < w->process_count; i++)
        due_ms = base_min_u64(due_ms, process_due(w->processes[i]));
    return due_ms;
}

/* One of the processes that are due, or NULL. */
static struct sim_process *draw_due(struct sim_world *w)
{
    struct sim_process *due[SIM_PROCESSES];
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->process_count; i++)
        if (process_due(w->processes[i]) <= w->now_ms)
            due[count++] = w->processes[i];
    return count == 0 ? NULL : due[count == 1 ? 0 : rng_below(&w->rng, count)];
}

/* How far ahead of true time some watermark stands, or the time at which some edge was heard:
 * nothing of what that holds up can end before. */
static uint64_t ahead_ms(const struct sim_world *w)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < w->replica_count; i++) {
        for (uint32_t p = 0; w->replicas[i].replica != NULL && p < w->plan.partitions; p++) {
            const struct fold *f = replica_fold(w->replicas[i].replica, p);
            most = base_max_u64(most, f->watermark_ms);
            for (uint32_t e = 0; e < f->edges.count; e++)
                for (uint32_t l = 0; l < f->edges.edges[e].line_count; l++)
                    most = base_max_u64(most, f->edges.edges[e].lines[l].heard_ms);
        }
    }
    uint64_t now_ms = SIM_BASE_MS + w->now_ms;
    return most > now_ms ? most - now_ms : 0;
}

static void see_to_the_end(struct sim_world *w)
{
    char why[220];
    if (w->now_ms < w->converge_ms)
        return;
    w->converge_ms = w->now_ms + CONVERGE_EVERY_MS;
    uint64_t ahead = ahead_ms(w); /* of what is up: looked at each time */
    uint64_t late_ms =
        w->plan.late > 0 ? w->plan.late_ms / 30 : 0; /* 16 minutes a partial, in turn */
    w->deadline_ms = base_max_u64(w->deadline_ms, w->calm_ms + CALM_MS + late_ms);
    if (ahead > 0)
        w->deadline_ms = base_max_u64(w->deadline_ms, w->now_ms + ahead + CALM_MS / 3);
    if (sim_final_converged(w, why, sizeof(why))) {
        w->converged = true;
        sim_final_check(w);
        sim_trace(w, "checker", "converged after %.1f s of calm",
                  (double)(w->now_ms - w->calm_ms) / 1000);
    } else if (w->now_ms >= w->deadline_ms ||
               (strcmp(w->checker, "drains") == 0 && w->now_ms >= w->calm_ms + CALM_MS &&
                (w->plan.kinds >> SIM_FAULT_WRITE_OFF & 1) == 0)) {
        sim_violation(w, w->checker, "no convergence: %s", why);
    }
}

static void run(struct sim_world *w)
{
    uint64_t same = 0;
    while (!w->converged && w->violation[0] == '\0') {
        uint64_t due_ms = next_due(w);
        CHECK(due_ms != SIM_NEVER);
        same = due_ms > w->now_ms ? 0 : same + 1;
        if (same > 20000)
            sim_violation(w, "spins", "time stands still");
        w->now_ms = base_max_u64(w->now_ms, due_ms);
        for (uint32_t i = 0; i < w->plan.regions; i++)
            sim_bus_time(w->servers[i].bus, w->now_ms);
        sim_faults_step(w);
        if (w->phase == SIM_CHAOS && w->now_ms >= w->plan.chaos_ms)
            sim_faults_end(w);
        sim_clients_step(w);
        sim_operators_step(w);
        sim_checks_regularly(w);
        struct sim_process *p = draw_due(w);
        if (p != NULL)
            turn(p);
        if (w->phase == SIM_CALM)
            see_to_the_end(w);
    }
}

void sim_world_run(const struct sim_plan *plan, FILE *trace, struct sim_result *out)
{
    struct sim_world *w = base_zalloc(1, sizeof(*w));
    struct spy spies[SIM_REGIONS];
    w->trace = trace;
    make(w, plan, spies);
    run(w);
    sim_trace_numbers(w, w->oracle.click_count, w->oracle.attempts, w->steps);
    *out = (struct sim_result){.hash = w->hash,
                               .simulated_ms = w->now_ms,
                               .steps = w->steps,
                               .clicks = w->oracle.click_count,
                               .attempts = w->oracle.attempts};
    const struct sim_process *p = w->processes[plan->nth.process];
    out->fired = p->nth.fired;
    out->endings = p->endings;
    out->refused = p->refused;
    out->unanswered = p->unanswered;
    memcpy(out->met, p->nth.met, sizeof(out->met));
    memcpy(out->violation, w->violation, sizeof(out->violation));
    if (w->violation[0] != '\0')
        (void)snprintf(out->checker, sizeof(out->checker), "%s", w->checker);
    unmake(w);
    free(w);
}
