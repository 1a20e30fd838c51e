/* SPDX-License-Identifier: Apache-2.0
 * sim_shrink: greedy, in three rounds: faults in halves and one by one, time, clients and size. */
#include "tests/sim/sim_shrink.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANGS_S 60u

void sim_shrink_run(const struct sim_plan *plan, struct sim_result *out)
{
    struct sim_result *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(HANGS_S);
        sim_world_run(plan, NULL, shared);
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    *out = *shared;
    CHECK(munmap(shared, sizeof(*shared)) == 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    bool hangs = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
    (void)snprintf(out->checker, sizeof(out->checker), "%s", hangs ? "hangs" : "check");
    (void)snprintf(out->violation, sizeof(out->violation), "the program %s (status %d)",
                   hangs ? "hangs" : "stopped itself", status);
}

struct shrinker {
    const char *checker;
    unsigned runs_left;
};

static bool fails(struct shrinker *s, const struct sim_plan *plan)
{
    struct sim_result result;
    if (s->runs_left == 0)
        return false;
    s->runs_left--;
    sim_shrink_run(plan, &result);
    return strcmp(result.checker, s->checker) == 0;
}

/* Keeps the change if the plan still fails. */
static bool try_plan(struct shrinker *s, struct sim_plan *plan, struct sim_plan *changed)
{
    bool keeps = fails(s, changed);
    if (keeps) {
        struct sim_plan old = *plan;
        *plan = *changed;
        *changed = old;
    }
    sim_plan_done(changed);
    return keeps;
}

static void drop_faults(struct shrinker *s, struct sim_plan *plan)
{
    for (uint32_t size = plan->fault_count; size >= 1; size /= 2) {
        for (uint32_t at = 0; at < plan->fault_count;) {
            struct sim_plan less;
            sim_plan_copy(&less, plan);
            uint32_t gone = size < less.fault_count - at ? size : less.fault_count - at;
            memmove(less.faults + at, less.faults + at + gone,
                    (less.fault_count - at - gone) * sizeof(*less.faults));
            less.fault_count -= gone;
            if (!try_plan(s, plan, &less))
                at += size;
        }
    }
}

/* Halves a number of the plan while that is possible. */
static void halve(struct shrinker *s, struct sim_plan *plan, size_t offset, uint32_t least)
{
    for (;;) {
        struct sim_plan less;
        sim_plan_copy(&less, plan);
        uint32_t *value = (uint32_t *)(void *)((char *)&less + offset);
        if (*value <= least) {
            sim_plan_done(&less);
            return;
        }
        *value = *value / 2 < least ? least : *value / 2;
        if (!try_plan(s, plan, &less))
            return;
    }
}

static void shorten_faults(struct shrinker *s, struct sim_plan *plan)
{
    for (uint32_t i = 0; i < plan->fault_count; i++) {
        struct sim_plan less;
        sim_plan_copy(&less, plan);
        less.faults[i].a /= 4;
        (void)try_plan(s, plan, &less);
    }
}

void sim_shrink(struct sim_plan *plan, const char *checker, unsigned runs_max)
{
    struct shrinker s = {checker, runs_max};
    static const struct {
        size_t offset;
        uint32_t least;
    } numbers[] = {
        {offsetof(struct sim_plan, chaos_ms), 1000}, {offsetof(struct sim_plan, clicks), 1},
        {offsetof(struct sim_plan, globes), 1},      {offsetof(struct sim_plan, partitions), 1},
        {offsetof(struct sim_plan, edges), 1},       {offsetof(struct sim_plan, regions), 1},
        {offsetof(struct sim_plan, replicas), 1},    {offsetof(struct sim_plan, late), 0},
        {offsetof(struct sim_plan, again), 0},       {offsetof(struct sim_plan, lost_answers), 0},
        {offsetof(struct sim_plan, batch), 1},       {offsetof(struct sim_plan, ads), 1},
        {offsetof(struct sim_plan, wan_ms), 0},      {offsetof(struct sim_plan, latency_ms), 0}};
    drop_faults(&s, plan);
    for (size_t i = 0; i < countof(numbers); i++)
        halve(&s, plan, numbers[i].offset, numbers[i].least);
    shorten_faults(&s, plan);
    drop_faults(&s, plan);
}
