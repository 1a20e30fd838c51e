/* SPDX-License-Identifier: Apache-2.0
 * sim_loop: the story, the errors, and what each of them must lead to. */
#include "tests/sim/sim_loop.h"

#include "tests/sim/sim_shrink.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES    3u /* the edge, the replica, the globe */
#define STORIES      2u
#define DEATHS_A_ROW 10u
#define FIRST        6u

static const char *const process_names[PROCESSES] = {"edge", "replica", "globe"};

static const char *const call_names[SIM_CALLS] = {
#define SIM_CALL_ROW(name, words) [SIM_CALL_##name] = (words),
    SIM_CALL_TABLE(SIM_CALL_ROW)
#undef SIM_CALL_ROW
};

/* What each port function may return (kv.h, bus.h, kv_lmdb.c, bus_nats*.c). The clock has none. */
static const struct row {
    enum sim_call call;
    enum err err;
    bool applied;
} rows[] = {
    {SIM_CALL_BEGIN_READ, ERR_KV_BUSY, false},
    {SIM_CALL_BEGIN_READ, ERR_KV_IO, false},
    {SIM_CALL_BEGIN_READ, ERR_KV_CORRUPT, false},
    {SIM_CALL_BEGIN_WRITE, ERR_KV_BUSY, false},
    {SIM_CALL_BEGIN_WRITE, ERR_KV_IO, false},
    {SIM_CALL_BEGIN_WRITE, ERR_KV_CORRUPT, false},
    {SIM_CALL_GET, ERR_KV_IO, false},
    {SIM_CALL_GET, ERR_KV_CORRUPT, false},
    {SIM_CALL_SEEK, ERR_KV_IO, false},
    {SIM_CALL_SEEK, ERR_KV_CORRUPT, false},
    {SIM_CALL_PUT, ERR_KV_FULL, false},
    {SIM_CALL_PUT, ERR_LIMIT, false},
    {SIM_CALL_PUT, ERR_KV_IO, false},
    {SIM_CALL_DEL, ERR_KV_FULL, false},
    {SIM_CALL_DEL, ERR_LIMIT, false},
    {SIM_CALL_DEL, ERR_KV_IO, false},
    {SIM_CALL_COMMIT, ERR_KV_FULL, false},
    {SIM_CALL_COMMIT, ERR_KV_IO, false},
    {SIM_CALL_COMMIT, ERR_KV_IO, true},
    {SIM_CALL_COMMIT, ERR_KV_CORRUPT, false},
    {SIM_CALL_PUBLISH, ERR_BUS_DOWN, false},
    {SIM_CALL_PUBLISH, ERR_BUS_BUSY, false},
    {SIM_CALL_PUBLISH, ERR_LIMIT, false},
    {SIM_CALL_ANSWER, ERR_BUS_TIMEOUT, false},
    {SIM_CALL_ANSWER, ERR_BUS_TIMEOUT, true},
    {SIM_CALL_ANSWER, ERR_BUS_REFUSED, false},
    {SIM_CALL_SEND, ERR_BUS_DOWN, false},
    {SIM_CALL_SEND, ERR_BUS_BUSY, false},
    {SIM_CALL_SEND, ERR_LIMIT, false},
    {SIM_CALL_SENT, ERR_BUS_TIMEOUT, false},
    {SIM_CALL_LISTEN, ERR_FORMAT, false},
    {SIM_CALL_READ, ERR_BUS_DOWN, false},
    {SIM_CALL_READING, ERR_NOT_FOUND, false},
    {SIM_CALL_FETCH, ERR_BUS_DOWN, false},
    {SIM_CALL_FETCH, ERR_BUS_BUSY, false},
    {SIM_CALL_GOT, ERR_BUS_TIMEOUT, false},
    {SIM_CALL_GOT, ERR_BUS_REFUSED, false},
    {SIM_CALL_GOT, ERR_NOT_FOUND, false},
    {SIM_CALL_EVENT, ERR_BUS_DOWN, false},
};

/* Which calls each driver makes; what it makes must fail, with each of its errors. An edge gets a
 * key when it opens, and where its committer trimmed beside its forwarder: see
 * test_edge_pipeline_batch_nth.c. */
#define KV                                                                                         \
    (1u << SIM_CALL_BEGIN_READ | 1u << SIM_CALL_BEGIN_WRITE | 1u << SIM_CALL_SEEK |                \
     1u << SIM_CALL_PUT | 1u << SIM_CALL_DEL | 1u << SIM_CALL_COMMIT | 1u << SIM_CALL_EVENT)
#define PUBLISHES (1u << SIM_CALL_PUBLISH | 1u << SIM_CALL_ANSWER | 1u << SIM_CALL_LISTEN)
#define SENDS     (1u << SIM_CALL_SEND | 1u << SIM_CALL_SENT)
#define READS                                                                                      \
    (1u << SIM_CALL_GET | 1u << SIM_CALL_READ | 1u << SIM_CALL_READING | 1u << SIM_CALL_FETCH |    \
     1u << SIM_CALL_GOT)
static const uint32_t calls_of[PROCESSES] = {KV | PUBLISHES | 1u << SIM_CALL_GET,
                                             KV | PUBLISHES | SENDS | READS, KV | SENDS | READS};

/* A few clicks, some of them late or again. In both stories the edge's link is away for a while, so
 * that its clicks grow old, and partials are lost while the globe is down, so that it must ask.
 * 0: each process ends and comes back once, the edge and the replica once more in good order.
 * 1: two partitions, two replicas; the second gets a copy of its peer's store, the globe a new one,
 *    the edge begins without its spool. Apart from that nothing but the one call fails. */
static struct sim_plan story(uint32_t which)
{
    struct sim_plan p = {.seed = 11,
                         .regions = 1,
                         .partitions = 1 + which,
                         .edges = 1,
                         .replicas = 1 + which,
                         .globes = 1,
                         .interval_ms = 1000,
                         .horizon_minutes = 1440,
                         .lateness_ms = 2000,
                         .latency_ms = 1,
                         .timeout_ms = 1000,
                         .segment_bytes = 20,
                         .ads = 2,
                         .users = 10,
                         .clicks = 40,
                         .pace_ms = 700,
                         .batch = 1,
                         .burst = 40,
                         .quiet_ms = 1000,
                         .again = 300,
                         .late = 200,
                         .late_ms = 130000,
                         .closed = 1 + 2 * which,
                         .settle_ms = 1,
                         .value_items = 2,
                         .lost_answers = 100,
                         .chaos_ms = 30000};
    static const struct sim_fault faults[STORIES][8] = {
        {{9000, SIM_FAULT_CRASH_EDGE, 0, 500, 0},
         {11000, SIM_FAULT_CRASH_REPLICA, 0, 500, 0},
         {13000, SIM_FAULT_CRASH_GLOBE, 0, 500, 0},
         {15000, SIM_FAULT_CUT, 0, 3000, 0},
         {19000, SIM_FAULT_STOP_EDGE, 0, 500, 0},
         {21000, SIM_FAULT_STOP_REPLICA, 0, 500, 0},
         {22000, SIM_FAULT_CRASH_GLOBE, 0, 4000, 0},
         {25500, SIM_FAULT_TAIL_LOST, 1, 4, 1}},
        {{9000, SIM_FAULT_REPLICA_WIPED, 1, 500, 0},
         {13000, SIM_FAULT_GLOBE_WIPED, 0, 500, 1},
         {15000, SIM_FAULT_CUT, 0, 3000, 0},
         {19000, SIM_FAULT_STOP_REPLICA, 1, 500, 0},
         {20000, SIM_FAULT_CRASH_EDGE, 0, 500, 0},
         {21000, SIM_FAULT_STREAM_EXPIRES, 2, 2, 0},
         {22000, SIM_FAULT_CRASH_GLOBE, 0, 4000, 0},
         {25500, SIM_FAULT_TAIL_LOST, 2, 8, 1}},
    };
    for (size_t i = 0; i < countof(faults[which]) && faults[which][i].at_ms != 0; i++)
        sim_plan_add(&p, faults[which][i]);
    return p;
}

struct finding {
    uint32_t story, n;
    bool missed; /* nothing was wrong, but the process did not do what the error's class asks */
    struct sim_result result;
};

/* How the rows of one process went; shared with the worker that tells them. */
struct told {
    uint32_t taken[countof(rows)], bad[countof(rows)];
    uint32_t at_story, at_row, at_n, deaths;
    struct finding first[countof(rows)];
};

/* STOP: it ends (or does not open), or a query says that nothing is known. Else it goes on; but a
 * store that cannot be opened now is opened later, by whoever starts the program again. */
static bool obeys(enum err err, const struct sim_result *r)
{
    if (err_class(err) == ERR_CLASS_STOP)
        return r->endings + r->refused + r->unanswered >= 1;
    return r->endings == 0;
}

/* Is this call one of the share? The first of each row always; the rest as by lot, the same each
 * time. */
static bool is_drawn(uint32_t n, uint32_t row, uint32_t every)
{
    struct rng lot = {(uint64_t)n << 8 | row};
    return n <= FIRST || rng_below(&lot, every) == 0;
}

static void tell_row(struct told *told, uint32_t process, uint32_t row, uint32_t every)
{
    struct sim_plan plan = story(told->at_story);
    struct sim_result result;
    plan.nth = (struct sim_plan_nth){.process = process == 0   ? 0
                                                : process == 1 ? plan.edges + plan.replicas - 1
                                                               : plan.edges + plan.replicas,
                                     .call = rows[row].call,
                                     .err = rows[row].err,
                                     .applied = rows[row].applied};
    for (;; told->at_n++) {
        if (!is_drawn(told->at_n, row, every))
            continue;
        plan.nth.n = told->at_n;
        alarm(60);
        sim_world_run(&plan, NULL, &result);
        if (!result.fired && result.violation[0] == '\0')
            break;
        told->taken[row]++;
        bool good = result.violation[0] == '\0' && obeys(rows[row].err, &result);
        if (!good && told->bad[row]++ == 0)
            told->first[row] =
                (struct finding){told->at_story, told->at_n, result.violation[0] == '\0', result};
    }
    sim_plan_done(&plan);
}

static void tell_rest(struct told *told, uint32_t process, uint32_t every)
{
    for (; told->at_story < STORIES; told->at_story++, told->at_row = 0, told->at_n = 1)
        for (; told->at_row < countof(rows); told->at_row++, told->at_n = 1)
            tell_row(told, process, told->at_row, every);
}

/* One process's rows in a child, which may die of a CHECK: that is a finding, and the next n goes
 * on. */
static void tell_process(struct told *told, uint32_t process, uint32_t every)
{
    told->at_n = 1;
    for (;;) {
        fflush(NULL);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            tell_rest(told, process, every);
            _exit(0);
        }
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            return;
        struct finding f = {told->at_story, told->at_n, false, {.checker = "check"}};
        (void)snprintf(f.result.violation, sizeof(f.result.violation),
                       "the program stopped itself or hangs (status %d)", status);
        if (told->bad[told->at_row]++ == 0)
            told->first[told->at_row] = f;
        told->taken[told->at_row]++;
        told->at_n++;
        if (++told->deaths % DEATHS_A_ROW == 0) { /* enough is known of this one */
            told->at_n = 1;
            told->at_row++;
        }
    }
}

static unsigned print_row(const struct told *told, uint32_t row)
{
    unsigned bad = 0;
    printf("%-24s %-20s %-4s", call_names[rows[row].call], err_words(rows[row].err),
           rows[row].applied ? "yes" : "no");
    for (uint32_t p = 0; p < PROCESSES; p++) {
        printf(" %8u", told[p].taken[row]);
        bad += told[p].bad[row];
    }
    putchar('\n');
    for (uint32_t p = 0; p < PROCESSES; p++) {
        const struct finding *f = &told[p].first[row];
        if (told[p].bad[row] == 0)
            continue;
        printf("  %s, %u of them; story %u, call %u first: ", process_names[p], told[p].bad[row],
               f->story, f->n);
        if (f->missed)
            printf("ended %u times, did not open %u times: not as the error's class asks\n",
                   f->result.endings, f->result.refused);
        else
            printf("VIOLATION of %s: %s\n", f->result.checker, f->result.violation);
    }
    for (uint32_t p = 0; p < PROCESSES; p++) {
        bool made = (calls_of[p] >> rows[row].call & 1) != 0;
        if (made == (told[p].taken[row] > 0))
            continue;
        printf("  %s: %s\n", process_names[p], made ? "NEVER TAKEN" : "taken, and not expected");
        bad++;
    }
    return bad;
}

unsigned sim_loop_run(unsigned jobs, uint32_t every)
{
    struct told *told = mmap(NULL, PROCESSES * sizeof(*told), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(told != MAP_FAILED && every >= 1);
    unsigned running = 0;
    for (uint32_t p = 0; p < PROCESSES; p++) {
        fflush(NULL);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            tell_process(&told[p], p, every);
            _exit(0);
        }
        if (++running >= jobs && wait(NULL) > 0)
            running--;
    }
    while (running > 0 && wait(NULL) > 0)
        running--;
    unsigned bad = 0;
    uint32_t calls = 0;
    printf("%-24s %-20s %-4s %8s %8s %8s\n", "call", "error", "done", process_names[0],
           process_names[1], process_names[2]);
    for (uint32_t row = 0; row < countof(rows); row++) {
        bad += print_row(told, row);
        for (uint32_t p = 0; p < PROCESSES; p++)
            calls += told[p].taken[row];
    }
    printf("%u calls failed in turn, %zu errors, %u bad\n", calls, countof(rows), bad);
    CHECK(munmap(told, PROCESSES * sizeof(*told)) == 0);
    return bad;
}
