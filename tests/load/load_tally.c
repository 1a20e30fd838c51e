/* SPDX-License-Identifier: Apache-2.0
 * load_tally: counts of one sending run, its latencies, and how they are told. */
#include "load_tally.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void load_tally_latency(struct load_tally *t, uint64_t wall_ms, uint64_t us)
{
    if (t->latency_count == t->latency_room) {
        t->latency_room = t->latency_room ? t->latency_room * 2 : 4096;
        t->latencies = load_realloc(t->latencies, t->latency_room * sizeof *t->latencies);
    }
    t->latencies[t->latency_count++] = (struct load_latency){wall_ms, us};
}

static uint64_t *sorted_from(const struct load_tally *t, size_t first)
{
    size_t count = t->latency_count - first;
    uint64_t *sorted = load_alloc(count * sizeof *sorted);
    for (size_t i = 0; i < count; i++)
        sorted[i] = t->latencies[first + i].us;
    qsort(sorted, count, sizeof *sorted, load_compare_u64);
    return sorted;
}

void load_tally_progress(struct load_tally *t, uint64_t now_us, uint64_t open)
{
    static size_t told; /* latencies of the lines before */
    static uint64_t accepted;
    uint64_t *sorted = sorted_from(t, told);
    size_t count = t->latency_count - told;
    fprintf(stderr,
            "%5.1f s  accepted %8" PRIu64 " (+%6" PRIu64 ")  repeated %6" PRIu64
            "  unknown %4" PRIu64 "  503 %4" PRIu64 "  open %4" PRIu64 "  answer p99 %6.1f ms\n",
            (double)(now_us - t->started_us) / 1e6, t->accepted, t->accepted - accepted,
            t->repeated, t->unknown, t->postponed, open,
            (double)load_percentile(sorted, count, 99) / 1e3);
    told = t->latency_count;
    accepted = t->accepted;
    free(sorted);
}

static void write_latencies(const struct load_tally *t, const char *path)
{
    FILE *file = fopen(path, "we");
    if (!file)
        load_die("cannot write %s: %s", path, strerror(errno));
    for (size_t i = 0; i < t->latency_count; i++)
        fprintf(file, "%" PRIu64 " %" PRIu64 "\n", t->latencies[i].wall_ms, t->latencies[i].us);
    if (fclose(file) != 0)
        load_die("cannot write %s: %s", path, strerror(errno));
}

static void put(json_t *object, const char *name, uint64_t value)
{
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

void load_tally_report(struct load_tally *t, bool json, const char *latencies_file)
{
    uint64_t *sorted = sorted_from(t, 0);
    double seconds = (double)(t->ended_us - t->started_us) / 1e6;
    json_t *o = json_object();
    json_object_set_new(o, "seconds", json_real(seconds));
    put(o, "sent", t->sent);
    put(o, "distinct", t->distinct);
    put(o, "accepted", t->accepted);
    put(o, "repeated", t->repeated);
    put(o, "refused", t->refused);
    put(o, "unresolved", t->unresolved);
    put(o, "requests", t->requests);
    put(o, "attempts", t->attempts);
    put(o, "unknown_attempts", t->unknown);
    put(o, "postponed_attempts", t->postponed);
    put(o, "replicated", t->replicated);
    put(o, "spooled", t->spooled);
    put(o, "json_bytes", t->json_bytes);
    put(o, "answers", t->latency_count);
    put(o, "p50_us", load_percentile(sorted, t->latency_count, 50));
    put(o, "p99_us", load_percentile(sorted, t->latency_count, 99));
    put(o, "max_us", load_percentile(sorted, t->latency_count, 100));
    free(sorted);
    if (json) {
        json_dumpf(o, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
        putchar('\n');
    } else {
        const char *name;
        json_t *value;
        json_object_foreach(o, name, value)
        {
            printf("%-20s %.0f\n", name, json_number_value(value));
        }
    }
    fflush(stdout);
    json_decref(o);
    if (latencies_file)
        write_latencies(t, latencies_file);
}

void load_tally_done(struct load_tally *t)
{
    free(t->latencies);
    *t = (struct load_tally){0};
}
