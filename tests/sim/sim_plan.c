/* SPDX-License-Identifier: Apache-2.0
 * sim_plan: drawing, writing and reading plans. */
#include "tests/sim/sim_plan.h"

#include <stdlib.h>

static const char *const fault_names[SIM_FAULTS] = {
#define SIM_FAULT_ROW(name, text) [SIM_FAULT_##name] = (text),
    SIM_FAULT_TABLE(SIM_FAULT_ROW)
#undef SIM_FAULT_ROW
};

const char *sim_plan_fault_name(enum sim_fault_kind kind)
{
    CHECK(kind < SIM_FAULTS);
    return fault_names[kind];
}

void sim_plan_add(struct sim_plan *p, struct sim_fault fault)
{
    if (p->fault_count == p->fault_capacity) {
        p->fault_capacity = p->fault_capacity == 0 ? 32 : p->fault_capacity * 2;
        p->faults = base_realloc(p->faults, p->fault_capacity * sizeof(*p->faults));
    }
    uint32_t at = p->fault_count++;
    for (; at > 0 && p->faults[at - 1].at_ms > fault.at_ms; at--)
        p->faults[at] = p->faults[at - 1];
    p->faults[at] = fault;
}

void sim_plan_copy(struct sim_plan *to, const struct sim_plan *from)
{
    *to = *from;
    to->fault_capacity = from->fault_count;
    to->faults = base_alloc((from->fault_count + 1) * sizeof(*to->faults));
    if (from->fault_count > 0)
        memcpy(to->faults, from->faults, from->fault_count * sizeof(*to->faults));
}

void sim_plan_done(struct sim_plan *p)
{
    free(p->faults);
    *p = (struct sim_plan){0};
}

static uint32_t between(struct rng *r, uint32_t low, uint32_t high)
{
    return low + (uint32_t)rng_below(r, high - low + 1);
}

/* One of `count` values. */
static uint32_t pick(struct rng *r, const uint32_t *values, size_t count)
{
    return values[rng_below(r, count)];
}
#define PICK(r, ...)                                                                               \
    pick(r, (const uint32_t[]){__VA_ARGS__}, countof(((const uint32_t[]){__VA_ARGS__})))

/* Small numbers often, large ones seldom. */
static uint32_t skewed(struct rng *r, uint32_t high)
{
    return (uint32_t)rng_below(r, rng_below(r, high) + 1);
}

static uint32_t signed_seconds(struct rng *r)
{
    uint32_t seconds = PICK(r, 1, 5, 45, 75, 300, 1200, 7200);
    return rng_chance(r, 500) ? seconds : (uint32_t) - (int32_t)seconds;
}

/* The last two words of a fault. */
static void draw_words(struct rng *r, struct sim_fault *f)
{
    f->a = PICK(r, 0, 200, 1500, 6000, 20000, 60000, 130000, 300000);
    f->b = 0;
    switch (f->kind) {
    case SIM_FAULT_CRASH_EDGE:
    case SIM_FAULT_CRASH_REPLICA:
    case SIM_FAULT_CRASH_GLOBE:
        f->b = rng_chance(r, 700) ? between(r, 1, 12) : 0;
        break;
    case SIM_FAULT_IO:
        f->a = between(r, 1, 5);
        f->b = rng_chance(r, 500);
        break;
    case SIM_FAULT_FULL:
        f->b = skewed(r, 20000);
        break;
    case SIM_FAULT_REPLICA_RESTORED:
    case SIM_FAULT_GLOBE_WIPED:
        f->b = rng_chance(r, 500);
        break;
    case SIM_FAULT_CUT:
        f->b = rng_chance(r, 500) ? 0 : between(r, 1, 2);
        break;
    case SIM_FAULT_SINS:
        f->b = between(r, 1, 15);
        break;
    case SIM_FAULT_SERVER_DOWN:
        f->b = rng_chance(r, 500) ? 0 : skewed(r, 60);
        break;
    case SIM_FAULT_TAIL_LOST:
        f->a = 1 + skewed(r, 40);
        f->b = rng_chance(r, 600);
        break;
    case SIM_FAULT_STREAM_MADE_ANEW:
        f->b = rng_chance(r, 600);
        break;
    case SIM_FAULT_STREAM_EXPIRES:
        f->a = skewed(r, 60);
        break;
    case SIM_FAULT_SERVER_CLOCK:
    case SIM_FAULT_EDGE_CLOCK:
        f->b = signed_seconds(r);
        break;
    case SIM_FAULT_EDGE_DRIFT:
        f->b = (uint32_t)((int32_t)rng_below(r, 40001) - 20000);
        break;
    case SIM_FAULT_SLOW:
        f->b = PICK(r, 300, 1500, 7000);
        break;
    case SIM_FAULT_LATENCY:
        f->b = PICK(r, 20, 150, 700, 3000);
        break;
    default:
        break;
    }
}

/* Some faults matter only together: a reader that is away while the stream lets go, an edge that
 * comes back with a new spool behind a link that is cut, a replica that is not heard for longer
 * than its tables last. */
static void draw_company(struct sim_plan *p, struct rng *r, const struct sim_fault *f)
{
    struct sim_fault other = {.at_ms = f->at_ms, .target = (uint32_t)rng_below(r, 1000)};
    if (!rng_chance(r, 400))
        return;
    if (f->kind == SIM_FAULT_STREAM_EXPIRES && f->at_ms > 45000) {
        other.kind = SIM_FAULT_CRASH_REPLICA;
        other.at_ms -= 40000;
        other.a = 60000;
    } else if (f->kind == SIM_FAULT_SPOOL_LOST) {
        other.kind = SIM_FAULT_CUT;
        other.target = f->target % (p->edges * p->regions) + (p->edges + p->replicas) * p->regions +
                       p->globes; /* the second region's link of that edge, where there is one */
        other.a = 130000;
        other.b = 1;
    } else if (f->kind == SIM_FAULT_CUT && p->horizon_minutes == 3) {
        other.kind = SIM_FAULT_CUT;
        other.target = p->edges * p->regions + (uint32_t)rng_below(r, p->replicas * p->regions);
        other.a = 400000;
        other.b = 1;
    } else {
        return;
    }
    if ((p->kinds >> other.kind & 1) != 0)
        sim_plan_add(p, other);
}

static void draw_faults(struct sim_plan *p, struct rng *r)
{
    uint32_t most = rng_chance(r, 150) ? 0 : 1 + skewed(r, PICK(r, 12, 60, 250));
    for (uint32_t i = 0; i < most; i++) {
        struct sim_fault f = {.at_ms = between(r, 8000, p->chaos_ms),
                              .kind = (enum sim_fault_kind)rng_below(r, SIM_FAULT_READ_IO),
                              .target = (uint32_t)rng_below(r, 1000)};
        draw_words(r, &f);
        if ((p->kinds >> f.kind & 1) == 0)
            continue;
        draw_company(p, r, &f);
        if (f.kind == SIM_FAULT_SPOOL_RESTORED || f.kind == SIM_FAULT_REPLICA_RESTORED) {
            struct sim_fault backup = f;
            backup.kind = SIM_FAULT_BACKUP;
            backup.at_ms = between(r, 4000, f.at_ms);
            backup.b = f.kind == SIM_FAULT_REPLICA_RESTORED;
            sim_plan_add(p, backup);
        }
        sim_plan_add(p, f);
    }
}

/* Drawn apart, so that what each seed drew before there was this kind is as it was. An edge reads
 * what is old only when it has a backlog: then its link was away until a moment ago. */
static void draw_read_faults(struct sim_plan *p)
{
    struct rng r = {p->seed ^ 0x4EAD10ULL};
    uint32_t most = (p->kinds >> SIM_FAULT_READ_IO & 1) == 0 ? 0 : skewed(&r, 16);
    for (uint32_t i = 0; i < most; i++) {
        struct sim_fault f = {.at_ms = between(&r, 8000, p->chaos_ms),
                              .kind = SIM_FAULT_READ_IO,
                              .target = (uint32_t)rng_below(&r, 1000),
                              .a = 1 + skewed(&r, 300),
                              .b = rng_chance(&r, 300)};
        if ((p->kinds >> SIM_FAULT_CUT & 1) != 0 && rng_chance(&r, 600)) {
            uint32_t count = p->regions * (p->edges + p->replicas) + p->globes;
            uint32_t edge = (uint32_t)rng_below(&r, p->regions * p->edges);
            f.target = edge;
            f.a = 1 + skewed(&r, 60);
            sim_plan_add(
                p, (struct sim_fault){.at_ms = f.at_ms,
                                      .kind = SIM_FAULT_CUT,
                                      .target = edge + count * (uint32_t)rng_below(&r, p->regions),
                                      .a = between(&r, 2000, 20000)});
        }
        sim_plan_add(p, f);
    }
}

/* Drawn apart, too. A spool that fills while a reader is away for long, and then the stream loses
 * what only the others have read. */
static void draw_small_spools(struct sim_plan *p)
{
    struct rng r = {p->seed ^ 0x5B002ULL};
    if (!rng_chance(&r, 350))
        return;
    p->spool_bytes = PICK(&r, 800, 2000, 6000);
    p->clicks = between(&r, 100, 1500);
    p->pace_ms = PICK(&r, 60, 400, 1500);
    p->silent_ms = PICK(&r, 12000, 40000);
    p->archivers = rng_chance(&r, 500);
    p->replicas = p->archivers == 1 && p->regions < 3 ? between(&r, 2, 3) : 2;
    uint32_t most = 1 + skewed(&r, 5), folds = p->regions * p->replicas;
    for (uint32_t i = 0; i < most; i++) {
        uint32_t replica = (uint32_t)rng_below(&r, folds);
        struct sim_fault away = {.at_ms = between(&r, 8000, p->chaos_ms),
                                 .kind = SIM_FAULT_CRASH_REPLICA,
                                 .target = replica,
                                 .a = between(&r, p->silent_ms, 4 * p->silent_ms)};
        if (rng_chance(&r, 300)) {
            away.kind = SIM_FAULT_CUT;
            away.target = p->regions * p->edges + replica;
            away.b = PICK(&r, 0, 1, 2);
        }
        struct sim_fault lost = {.at_ms = away.at_ms + away.a - between(&r, 0, p->silent_ms / 2),
                                 .kind = SIM_FAULT_TAIL_LOST,
                                 .target = (uint32_t)rng_below(&r, 1000),
                                 .a = 1 + skewed(&r, 200),
                                 .b = rng_chance(&r, 600)};
        bool loses = rng_chance(&r, 500) && lost.at_ms < p->chaos_ms;
        if ((p->kinds >> away.kind & 1) != 0)
            sim_plan_add(p, away);
        if ((p->kinds >> lost.kind & 1) != 0 && loses)
            sim_plan_add(p, lost);
    }
}

/* From dice of its own: the rest of the plan is what it was before there was a choice. */
static void draw_closed(struct sim_plan *p)
{
    struct rng r = {p->seed * 0xD1342543DE82EF95ULL + 5};
    p->closed = PICK(&r, 0, 1, 1, 2, 3);
    p->settle_ms = PICK(&r, 1, 5000, 30000, 60000);
    p->value_items = PICK(&r, 1, 2, 3, 10, 1000);
}

/* Drawn apart, too. */
static void draw_archivers(struct sim_plan *p)
{
    struct rng r = {p->seed ^ 0xA2C41FEULL};
    p->objects = rng_chance(&r, 300);
    if (p->objects == 0)
        return;
    uint32_t most = rng_chance(&r, 200) ? 0 : 1 + skewed(&r, 25);
    for (uint32_t i = 0; i < most; i++) {
        struct sim_fault f = {.at_ms = between(&r, 8000, p->chaos_ms),
                              .target = (uint32_t)rng_below(&r, SIM_ARCHIVERS)};
        f.kind =
            (enum sim_fault_kind)between(&r, SIM_FAULT_CRASH_ARCHIVER, SIM_FAULT_ARCHIVER_WIPED);
        f.a = f.kind == SIM_FAULT_PUT_FAILS ? between(&r, 1, 6)
                                            : PICK(&r, 0, 200, 1500, 6000, 20000, 60000, 130000);
        if (f.kind == SIM_FAULT_CRASH_ARCHIVER)
            f.b = rng_chance(&r, 700) ? between(&r, 1, 12) : 0;
        else
            f.b = rng_chance(&r, 500);
        p->kinds |= 1ULL << f.kind;
        sim_plan_add(p, f);
    }
}

/* Drawn apart as well. Clicks may lie five minutes ahead: said later than that, some partition
 * refuses, and the operator must say it again. */
static void draw_growth(struct sim_plan *p)
{
    struct rng r = {p->seed ^ 0x6206ULL};
    if (p->partitions < 2 || !rng_chance(&r, 400))
        return;
    p->partitions_first = between(&r, 1, p->partitions - 1);
    p->grow_ms = between(&r, 2000, p->chaos_ms / 2 + 2000);
    p->grow_ahead_ms = PICK(&r, 1000, 60000, 120000, 240000, 400000);
}

void sim_plan_draw(struct sim_plan *p, uint64_t seed)
{
    struct rng r = {seed * 0x9E3779B97F4A7C15ULL + 77};
    *p = (struct sim_plan){.seed = seed};
    p->regions = PICK(&r, 1, 1, 2, 2, 2, 3);
    p->partitions = PICK(&r, 1, 1, 2, 2, 3);
    p->edges = p->regions == 1 ? between(&r, 1, 3) : between(&r, 1, 2);
    p->replicas = PICK(&r, 1, 2, 2);
    p->globes = PICK(&r, 1, 1, 2);
    p->interval_ms = PICK(&r, 1000, 3000, 5000, 5000, 10000);
    p->horizon_minutes = PICK(&r, 3, 30, 1440, 1440, 1440);
    p->lateness_ms = PICK(&r, 0, 2000, 10000, 10000);
    p->latency_ms = PICK(&r, 0, 1, 5);
    p->wan_ms = PICK(&r, 0, 60, 200, 900);
    p->timeout_ms = PICK(&r, 1000, 5000);
    p->segment_bytes = PICK(&r, 20, 64, 1000, 200000);
    p->ads = between(&r, 1, SIM_ADS);
    p->users = PICK(&r, 1, 10, 1000);
    p->batch = PICK(&r, 1, 1, 3, 8);
    p->burst = between(&r, 1, 12);
    p->pace_ms = PICK(&r, 10, 60, 400, 1500);
    p->quiet_ms = PICK(&r, 3000, 15000, 50000);
    p->again = PICK(&r, 0, 50, 300);
    p->late = PICK(&r, 0, 50, 300);
    p->late_ms = PICK(&r, 30000, 130000, 70000000);
    p->lost_answers = PICK(&r, 0, 30, 300);
    p->chaos_ms = PICK(&r, 60000, 120000, 300000, 600000, 900000, 1800000);
    p->clicks = between(&r, 20, PICK(&r, 100, 400, 1200));
    p->kinds = rng_next(&r) & ((1ULL << SIM_FAULTS) - 1);
    /* What is lost on the way to the globe is told again for as long as the fold's tables last, not
     * longer. */
    const uint64_t losing = 1ULL << SIM_FAULT_SERVER_DOWN | 1ULL << SIM_FAULT_TAIL_LOST |
                            1ULL << SIM_FAULT_STREAM_MADE_ANEW | 1ULL << SIM_FAULT_STREAM_EXPIRES |
                            1ULL << SIM_FAULT_GLOBE_WIPED;
    if (p->horizon_minutes < 1440)
        p->kinds &= ~losing;
    draw_faults(p, &r);
    draw_read_faults(p);
    draw_small_spools(p);
    draw_closed(p);
    draw_archivers(p);
    draw_growth(p);
}

/* Options by name, so that text and struct cannot drift apart. */
/* clang-format off */
#define OPTIONS(X) \
    X(regions, 1, SIM_REGIONS) \
    X(partitions, 1, SIM_PARTITIONS) \
    X(edges, 1, SIM_EDGES) \
    X(replicas, 1, SIM_REPLICAS) \
    X(globes, 1, SIM_GLOBES) \
    X(interval_ms, 100, 600000) \
    X(horizon_minutes, 1, 1440) \
    X(lateness_ms, 0, 600000) \
    X(latency_ms, 0, 60000) \
    X(wan_ms, 0, 60000) \
    X(timeout_ms, 1, 600000) \
    X(segment_bytes, 1, 1000000) \
    X(spool_bytes, 0, 1000000000) \
    X(archivers, 0, 1) \
    X(silent_ms, 0, 6000000) \
    X(objects, 0, 1) \
    X(ads, 1, SIM_ADS) \
    X(users, 1, 1000000) \
    X(clicks, 0, 1000000) \
    X(pace_ms, 1, 600000) \
    X(batch, 1, 8) \
    X(burst, 1, 1000) \
    X(quiet_ms, 0, 6000000) \
    X(closed, 0, 3) \
    X(settle_ms, 1, 6000000) \
    X(value_items, 1, 4000) \
    X(again, 0, 1000) \
    X(late, 0, 1000) \
    X(late_ms, 1, 86400000) \
    X(lost_answers, 0, 1000) \
    X(chaos_ms, 1, 86400000) \
    X(partitions_first, 0, SIM_PARTITIONS) \
    X(grow_ms, 0, 86400000) \
    X(grow_ahead_ms, 0, 86400000)
/* clang-format on */

void sim_plan_write(const struct sim_plan *p, FILE *out)
{
    fprintf(out, "seed %llu\n", (unsigned long long)p->seed);
#define OPTION_ROW(name, low, high) fprintf(out, #name " %u\n", p->name);
    OPTIONS(OPTION_ROW)
#undef OPTION_ROW
    for (uint32_t i = 0; i < p->fault_count; i++) {
        const struct sim_fault *f = &p->faults[i];
        fprintf(out, "fault %u %s %u %u %d\n", f->at_ms, fault_names[f->kind], f->target, f->a,
                (int)f->b);
    }
}

static bool read_fault(struct sim_plan *p, const char *line)
{
    char name[32];
    struct sim_fault f = {0};
    int b = 0;
    if (sscanf(line, "fault %u %31s %u %u %d", &f.at_ms, name, &f.target, &f.a, &b) != 5)
        return false;
    f.b = (uint32_t)b;
    for (unsigned k = 0; k < SIM_FAULTS; k++) {
        if (strcmp(name, fault_names[k]) != 0)
            continue;
        f.kind = (enum sim_fault_kind)k;
        sim_plan_add(p, f);
        return true;
    }
    return false;
}

static bool read_option(struct sim_plan *p, const char *line)
{
    char name[32];
    unsigned long long value;
    if (sscanf(line, "%31s %llu", name, &value) != 2)
        return false;
    if (strcmp(name, "seed") == 0) {
        p->seed = value;
        return true;
    }
#define OPTION_ROW(option, low, high)                                                              \
    if (strcmp(name, #option) == 0 && value + 1 > (low) && value <= (high)) {                      \
        p->option = (uint32_t)value;                                                               \
        return true;                                                                               \
    }
    OPTIONS(OPTION_ROW)
#undef OPTION_ROW
    return false;
}

bool sim_plan_read(struct sim_plan *p, FILE *in, char *out_error, size_t error_size)
{
    char line[256];
    sim_plan_draw(p, 1); /* what the text does not say stands as in seed 1, without its faults */
    p->fault_count = 0;
    p->again = p->late = p->lost_answers = 0;
    p->spool_bytes = p->archivers = p->silent_ms = p->objects = 0;
    p->spool_bytes = p->archivers = p->silent_ms = 0;
    p->partitions_first = p->grow_ms = p->grow_ahead_ms = 0;
    for (unsigned number = 1; fgets(line, sizeof(line), in) != NULL; number++) {
        line[strcspn(line, "#\n")] = '\0';
        if (line[strspn(line, " \t")] == '\0')
            continue;
        bool good = strncmp(line, "fault ", 6) == 0 ? read_fault(p, line) : read_option(p, line);
        if (!good) {
            (void)snprintf(out_error, error_size, "line %u: %s", number, line);
            sim_plan_done(p);
            return false;
        }
    }
    p->kinds = 0;
    for (uint32_t i = 0; i < p->fault_count; i++)
        p->kinds |= 1ULL << p->faults[i].kind;
    if (p->edges * p->regions > SIM_EDGES || p->replicas * p->regions > SIM_REPLICAS) {
        (void)snprintf(out_error, error_size, "too many edges or replicas");
        sim_plan_done(p);
        return false;
    }
    return true;
}
