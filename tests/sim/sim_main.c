/* SPDX-License-Identifier: Apache-2.0
 * sim: runs seeds, a seed, or a scenario; prints the one line that replays what failed. */
#include "tests/sim/sim_loop.h"
#include "tests/sim/sim_shrink.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SIM_SCENARIOS
#define SIM_SCENARIOS "tests/sim/scenarios"
#endif

#ifndef SIM_PLANTED
#define SIM_PLANTED "tests/sim/planted.sh"
#define SIM_BUILD   "build/release"
#endif

#define WORKERS_MAX  16
#define FINDINGS_MAX 64

struct options {
    uint64_t first, seeds;
    unsigned jobs;
    uint32_t nth; /* 0: not asked for */
    bool one, trace, bus, planted, shrink, print_plan, list, keep_going, quiet, all;
    const char *scenario;
};

static int usage(void)
{
    fputs("sim [--seeds N] [--first S] [--jobs N] [--keep-going] [--quiet]\n"
          "                               N seeds from S on; two workers\n"
          "sim --seed S [--trace|--bus] [--plan]  one seed, with its story; each message; its plan "
          "alone\n"
          "sim --shrink S                 makes a failing seed small and prints it as a scenario\n"
          "sim --scenario NAME [--trace]  a story of tests/sim/scenarios, or a file\n"
          "sim --scenarios                all of them\n"
          "sim --list                     their names\n"
          "sim --nth [N]                  every call of every port fails once, with each of its "
          "errors;\n"
          "                               N: behind the first of them one in N\n"
          "sim --planted                  mistakes planted in the product: are they caught?\n",
          stderr);
    return 2;
}

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void tell(const char *what, const struct sim_result *r)
{
    if (r->violation[0] != '\0')
        printf("%s: VIOLATION of %s: %s\n", what, r->checker, r->violation);
    else
        printf("%s: good; %u clicks, %u attempts, %.0f simulated s, %llu steps, trace %016llx\n",
               what, r->clicks, r->attempts, (double)r->simulated_ms / 1000,
               (unsigned long long)r->steps, (unsigned long long)r->hash);
}

static void tell_kinds(const struct sim_plan *p)
{
    printf("seed %llu: %u regions, %u partitions, %u edges, %u replicas, %u globes; faults on:",
           (unsigned long long)p->seed, p->regions, p->partitions, p->edges * p->regions,
           p->replicas * p->regions, p->globes);
    if (p->partitions_first > 0)
        printf(" (the map grows from %u)", p->partitions_first);
    for (unsigned k = 0; k < SIM_FAULTS; k++)
        if ((p->kinds >> k & 1) != 0)
            printf(" %s", sim_plan_fault_name((enum sim_fault_kind)k));
    printf("; %u of them\n", p->fault_count);
}

static int run_one(const struct options *o)
{
    struct sim_plan plan;
    struct sim_result result;
    sim_plan_draw(&plan, o->first);
    if (o->print_plan) {
        sim_plan_write(&plan, stdout);
        sim_plan_done(&plan);
        return 0;
    }
    plan.bus = o->bus;
    tell_kinds(&plan);
    fflush(stdout);
    sim_world_run(&plan, o->trace ? stdout : NULL, &result);
    char what[40];
    (void)snprintf(what, sizeof(what), "seed %llu", (unsigned long long)plan.seed);
    tell(what, &result);
    sim_plan_done(&plan);
    return result.violation[0] == '\0' ? 0 : 1;
}

static int shrink_one(const struct options *o)
{
    struct sim_plan plan;
    struct sim_result result;
    sim_plan_draw(&plan, o->first);
    sim_shrink_run(&plan, &result);
    if (result.violation[0] == '\0') {
        printf("seed %llu is good: nothing to shrink\n", (unsigned long long)o->first);
        sim_plan_done(&plan);
        return 1;
    }
    char checker[sizeof(result.checker)];
    memcpy(checker, result.checker, sizeof(checker));
    sim_shrink(&plan, checker, 400);
    sim_shrink_run(&plan, &result);
    printf("# shrunk from seed %llu; VIOLATION of %s: %s\n", (unsigned long long)o->first,
           result.checker, result.violation);
    sim_plan_write(&plan, stdout);
    sim_plan_done(&plan);
    return 0;
}

/* What a worker tells while it runs: shared, because it may die. */
struct report {
    uint64_t current, done, simulated_ms, hash;
    uint32_t finding_count;
    uint64_t finding_seeds[FINDINGS_MAX];
    struct sim_result findings[FINDINGS_MAX];
};

static void find(struct report *r, uint64_t seed, const struct sim_result *result)
{
    if (r->finding_count < FINDINGS_MAX) {
        r->finding_seeds[r->finding_count] = seed;
        r->findings[r->finding_count] = *result;
    }
    r->finding_count++;
}

static void work(struct report *r, const struct options *o, unsigned step)
{
    for (; r->current < o->first + o->seeds; r->current += step) {
        struct sim_plan plan;
        struct sim_result result;
        if (!o->keep_going && r->finding_count > 0)
            return;
        sim_plan_draw(&plan, r->current);
        alarm(60);
        sim_world_run(&plan, NULL, &result);
        sim_plan_done(&plan);
        r->done++;
        r->simulated_ms += result.simulated_ms;
        /* Sums do not mind in which order the seeds were run. */
        r->hash += result.hash;
        if (result.violation[0] != '\0')
            find(r, r->current, &result);
    }
}

static pid_t start(struct report *r, const struct options *o, unsigned step)
{
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        work(r, o, step);
        _exit(0);
    }
    return child;
}

/* A worker that died has found something: it is noted, and the next seed goes on. */
static void attend(struct report *reports, pid_t *children, const struct options *o)
{
    unsigned left = o->jobs;
    while (left > 0) {
        int status;
        pid_t child = wait(&status);
        CHECK(child > 0);
        unsigned i = 0;
        while (i < o->jobs && children[i] != child)
            i++;
        CHECK(i < o->jobs);
        struct report *r = &reports[i];
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
            left--;
            continue;
        }
        struct sim_result result = {.checker = "check"};
        (void)snprintf(result.violation, sizeof(result.violation),
                       "the program stopped itself or hangs (status %d)", status);
        find(r, r->current, &result);
        r->current += o->jobs;
        r->done++;
        children[i] = start(r, o, o->jobs);
    }
}

static int run_many(const struct options *o)
{
    struct report *reports = mmap(NULL, WORKERS_MAX * sizeof(*reports), PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(reports != MAP_FAILED);
    pid_t children[WORKERS_MAX];
    double started = seconds();
    if (!o->quiet)
        printf("seeds %llu to %llu\n", (unsigned long long)o->first,
               (unsigned long long)(o->first + o->seeds - 1));
    for (unsigned i = 0; i < o->jobs; i++) {
        reports[i].current = o->first + i;
        children[i] = start(&reports[i], o, o->jobs);
    }
    attend(reports, children, o);
    double took = seconds() - started;
    uint64_t done = 0, simulated_ms = 0, hash = 0, findings = 0;
    for (unsigned i = 0; i < o->jobs; i++) {
        const struct report *r = &reports[i];
        done += r->done;
        simulated_ms += r->simulated_ms;
        hash += r->hash;
        findings += r->finding_count;
        for (uint32_t f = 0; f < r->finding_count && f < FINDINGS_MAX; f++)
            printf("seed %llu: VIOLATION of %s: %s\n  replay: ./dev sim --seed %llu --trace\n",
                   (unsigned long long)r->finding_seeds[f], r->findings[f].checker,
                   r->findings[f].violation, (unsigned long long)r->finding_seeds[f]);
    }
    if (!o->quiet)
        printf("%llu seeds, %llu violations, %.0f simulated s in %.1f s (%.0f a second), trace "
               "%016llx\n",
               (unsigned long long)done, (unsigned long long)findings, (double)simulated_ms / 1000,
               took, (double)simulated_ms / 1000 / took, (unsigned long long)hash);
    CHECK(munmap(reports, WORKERS_MAX * sizeof(*reports)) == 0);
    return findings == 0 ? 0 : 1;
}

static int run_file(const char *path, const char *name, bool trace)
{
    char why[300];
    struct sim_plan plan;
    struct sim_result result;
    FILE *in = fopen(path, "r");
    if (in == NULL) {
        printf("%s: cannot be read\n", path);
        return 2;
    }
    bool good = sim_plan_read(&plan, in, why, sizeof(why));
    (void)fclose(in);
    if (!good) {
        printf("%s: %s\n", path, why);
        return 2;
    }
    if (trace)
        sim_world_run(&plan, stdout, &result);
    else
        sim_shrink_run(&plan, &result);
    tell(name, &result);
    sim_plan_done(&plan);
    return result.violation[0] == '\0' ? 0 : 1;
}

static int run_scenario(const struct options *o)
{
    char path[600];
    if (strchr(o->scenario, '/') != NULL)
        return run_file(o->scenario, o->scenario, o->trace);
    (void)snprintf(path, sizeof(path), "%s/%s.sim", SIM_SCENARIOS, o->scenario);
    return run_file(path, o->scenario, o->trace);
}

static int is_scenario(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot != NULL && strcmp(dot, ".sim") == 0;
}

static int each_scenario(bool run)
{
    struct dirent **entries;
    int worst = 0, count = scandir(SIM_SCENARIOS, &entries, is_scenario, alphasort);
    if (count < 0) {
        printf("%s: cannot be read\n", SIM_SCENARIOS);
        return 2;
    }
    for (int i = 0; i < count; i++) {
        char path[600], name[256];
        (void)snprintf(path, sizeof(path), "%s/%s", SIM_SCENARIOS, entries[i]->d_name);
        (void)snprintf(name, sizeof(name), "%s", entries[i]->d_name);
        *strrchr(name, '.') = '\0';
        if (!run)
            puts(name);
        int outcome = run ? run_file(path, name, false) : 0;
        worst = outcome > worst ? outcome : worst;
        free(entries[i]);
    }
    free(entries);
    return worst;
}

static bool read_options(struct options *o, int count, char **words)
{
    for (int i = 1; i < count; i++) {
        const char *word = words[i], *next = i + 1 < count ? words[i + 1] : NULL;
        uint64_t number = next == NULL ? 0 : strtoull(next, NULL, 10);
        bool takes = true;
        if (strcmp(word, "--seeds") == 0 && next != NULL)
            o->seeds = number;
        else if (strcmp(word, "--first") == 0 && next != NULL)
            o->first = number;
        else if (strcmp(word, "--jobs") == 0 && next != NULL)
            o->jobs = number < 1 || number > WORKERS_MAX ? 2 : (unsigned)number;
        else if (strcmp(word, "--seed") == 0 && next != NULL)
            o->first = number, o->one = true;
        else if (strcmp(word, "--shrink") == 0 && next != NULL)
            o->first = number, o->shrink = true;
        else if (strcmp(word, "--scenario") == 0 && next != NULL)
            o->scenario = next;
        else if (strcmp(word, "--nth") == 0 && number > 0)
            o->nth = (uint32_t)number;
        else
            takes = false;
        i += takes;
        if (strcmp(word, "--trace") == 0)
            o->trace = true;
        else if (strcmp(word, "--bus") == 0)
            o->trace = o->bus = true;
        else if (strcmp(word, "--plan") == 0)
            o->print_plan = true;
        else if (strcmp(word, "--nth") == 0)
            o->nth = o->nth == 0 ? 1 : o->nth;
        else if (strcmp(word, "--list") == 0)
            o->list = true;
        else if (strcmp(word, "--scenarios") == 0)
            o->all = true;
        else if (strcmp(word, "--planted") == 0)
            o->planted = true;
        else if (strcmp(word, "--keep-going") == 0)
            o->keep_going = true;
        else if (strcmp(word, "--quiet") == 0)
            o->quiet = true;
        else if (!takes)
            return false;
    }
    return true;
}

/* Each mistake needs a program of its own: a script builds them. */
static int run_planted(void)
{
    (void)execl(SIM_PLANTED, SIM_PLANTED, SIM_BUILD, (char *)NULL);
    perror(SIM_PLANTED);
    return 2;
}

int main(int count, char **words)
{
    struct options o = {.first = 1, .seeds = 200, .jobs = 2};
    if (!read_options(&o, count, words))
        return usage();
    if (o.planted)
        return run_planted();
    if (o.nth > 0)
        return sim_loop_run(o.jobs, o.nth) == 0 ? 0 : 1;
    if (o.list || o.all)
        return each_scenario(o.all);
    if (o.scenario != NULL)
        return run_scenario(&o);
    if (o.shrink)
        return shrink_one(&o);
    return o.one ? run_one(&o) : run_many(&o);
}
