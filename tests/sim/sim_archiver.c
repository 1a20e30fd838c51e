/* SPDX-License-Identifier: Apache-2.0
 * sim_archiver: archivers, their stores of objects, and what the manifests in these vouch for:
 * plain bits by number, which share no code with the archive's book. */
#include "proto/floor.h"
#include "tests/sim/sim_world.h"

#include <stdlib.h>

static const char *const region_names[SIM_REGIONS] = {"us", "eu", "ap"};

/* Numbers of one line that some manifest names, with its object beside it. */
struct sim_archived {
    uint32_t edge;
    uint64_t epoch;
    uint16_t partition;
    uint64_t count; /* bits that there are */
    uint8_t *numbers;
};

static struct sim_archived *archived_of(struct sim_archiver *a, uint32_t edge, uint64_t epoch,
                                        uint16_t partition, bool make)
{
    for (uint32_t i = 0; i < a->line_count; i++) {
        struct sim_archived *l = &a->lines[i];
        if (l->edge == edge && l->epoch == epoch && l->partition == partition)
            return l;
    }
    if (!make)
        return NULL;
    a->lines = base_realloc(a->lines, (a->line_count + 1) * sizeof(*a->lines));
    a->lines[a->line_count] =
        (struct sim_archived){.edge = edge, .epoch = epoch, .partition = partition};
    return &a->lines[a->line_count++];
}

uint64_t sim_archiver_prefix(struct sim_archiver *a, uint32_t edge, uint64_t epoch,
                             uint16_t partition)
{
    const struct sim_archived *l = archived_of(a, edge, epoch, partition, false);
    uint64_t prefix = 0;
    while (l != NULL && prefix < l->count && l->numbers[prefix] != 0)
        prefix++;
    return prefix;
}

static bool is_there(const struct sim_archiver *a, const char *name)
{
    for (uint32_t i = 0; i < sim_store_count(a->store); i++)
        if (strcmp(sim_store_name(a->store, i), name) == 0)
            return true;
    return false;
}

static void add_range(struct sim_archiver *a, const char *text, uint16_t partition)
{
    unsigned edge;
    unsigned long long epoch, first, last;
    if (sscanf(text, "{\"edge\":\"edge-%u\",\"epoch\":\"%llx\",\"first\":%llu,\"last\":%llu", &edge,
               &epoch, &first, &last) != 4)
        return;
    struct sim_archived *l = archived_of(a, edge, epoch, partition, true);
    if (last > l->count) {
        l->numbers = base_realloc(l->numbers, last);
        memset(l->numbers + l->count, 0, last - l->count);
        l->count = last;
    }
    memset(l->numbers + first, 1, last - first);
}

/* A manifest vouches for its object: that must be there already. */
static void on_stored(void *context, const char *name, struct span data)
{
    struct sim_archiver *a = context;
    struct sim_world *w = a->process.world;
    char object[256];
    unsigned partition;
    sim_trace_numbers(w, data.length, hash_checksum(data, 1), a->region);
    if (strncmp(name, "manifests/", 10) != 0)
        return;
    char *text = base_zalloc(data.length + 1, 1);
    memcpy(text, data.data, data.length);
    const char *at = strstr(text, "\"object\":\""), *part = strstr(text, "\"partition\":");
    CHECK(at != NULL && part != NULL && sscanf(at, "\"object\":\"%255[^\"]", object) == 1 &&
          sscanf(part, "\"partition\":%u", &partition) == 1);
    if (!is_there(a, object))
        sim_violation(w, "manifest", "%s puts a manifest of what is not there: %s", a->process.name,
                      object);
    for (at = strstr(text, "\n{\"edge\""); at != NULL; at = strstr(at + 1, "\n{\"edge\""))
        add_range(a, at + 1, (uint16_t)partition);
    free(text);
}

void sim_archiver_init(struct sim_world *w, uint32_t index)
{
    struct sim_archiver *a = &w->archivers[index];
    sim_process_init(w, &a->process, SIM_ARCHIVER, index);
    a->region = index;
    a->process.kv = sim_kv_new(ARCHIVER_TABLES);
    a->store = sim_store_new();
    sim_store_watch(a->store, on_stored, a);
    for (uint32_t p = 0; p < w->plan.partitions; p++)
        a->partitions[p] = (uint16_t)p;
}

void sim_archiver_done(struct sim_archiver *a)
{
    for (uint32_t i = 0; i < a->line_count; i++)
        free(a->lines[i].numbers);
    free(a->lines);
    sim_store_free(a->store);
}

static void on_note(void *context, const struct archiver_note *note)
{
    struct sim_archiver *a = context;
    static const char *const words[] = {
        [ARCHIVER_NEW_STORE] = "makes a new store",
        [ARCHIVER_LOADED] = "has loaded its state",
        [ARCHIVER_PROOF_FAILED] =
            "the stream does not hold our position; it is read from the start",
        [ARCHIVER_CAUGHT_UP] = "has caught up",
        [ARCHIVER_STORE_AWAY] = "cannot make its cut durable",
        [ARCHIVER_STORE_BACK] = "has made its cut durable",
        [ARCHIVER_PUT] = "has put an object and its manifest",
        [ARCHIVER_HOLE] = "misses numbers that no edge holds"};
    sim_trace(a->process.world, a->process.name, "%s (partition %u, seq %llu)", words[note->kind],
              note->partition, (unsigned long long)note->seq);
    /* No edge lets go of what it was not told to be archived; after the loss of a store, earlier
     * objects must have it: the next floor is held against them. */
    if (note->kind == ARCHIVER_HOLE && !a->wiped)
        sim_violation(a->process.world, "archive-hole", "%s misses %llu numbers", a->process.name,
                      (unsigned long long)note->clicks);
}

void sim_archiver_open(struct sim_archiver *a)
{
    struct sim_world *w = a->process.world;
    uint64_t lags[SIM_REGIONS] = {0};
    sim_process_boot(&a->process, 1, &a->region, lags);
    sim_store_fuse(a->store, &a->process.fuse);
    struct archiver_options options = {.partitions_total = (uint16_t)w->plan.partitions,
                                       .partitions = a->partitions,
                                       .partition_count = w->plan.partitions,
                                       .object_bytes = 1500,
                                       .buffer_bytes = 3000,
                                       .object_age_ms = 4000,
                                       .kv = a->process.kv,
                                       .bus = a->process.buses[0],
                                       .clock = &a->process.clock.port,
                                       .store = a->store,
                                       .on_note = on_note,
                                       .on_note_context = a};
    (void)snprintf(options.archiver, sizeof(options.archiver), "%s", a->process.name);
    (void)snprintf(options.region, sizeof(options.region), "%s", region_names[a->region]);
    bool fired = a->process.nth.fired;
    sim_process_acts(&a->process);
    enum err err = archiver_new(&options, &a->archiver);
    sim_process_rests(&a->process);
    if (err == ERR_OK) {
        sim_trace(w, a->process.name, "is up");
        return;
    }
    a->process.refused++;
    sim_trace(w, a->process.name, "cannot open its store: %s", err_words(err));
    if (a->process.nth.fired == fired && (err == ERR_KV_CORRUPT || err == ERR_CONFIG))
        sim_violation(w, "opens", "%s cannot open the store that it wrote: %s", a->process.name,
                      err_words(err));
    a->archiver = NULL;
    sim_process_down(&a->process, 3000);
}

void sim_archiver_crash(struct sim_archiver *a)
{
    archiver_free(a->archiver);
    a->archiver = NULL;
    sim_store_fuse(a->store, NULL);
    sim_process_kill(&a->process);
    sim_trace(a->process.world, a->process.name, "is down");
}

void sim_archiver_step(struct sim_archiver *a)
{
    struct sim_world *w = a->process.world;
    uint32_t idle_ms = 1000;
    sim_process_acts(&a->process);
    enum err err = archiver_step(a->archiver, &idle_ms);
    sim_process_rests(&a->process);
    sim_process_stepped(&a->process, err);
    if (err_class(err) == ERR_CLASS_STOP || a->process.fuse.blown) {
        a->process.endings++;
        sim_trace(w, a->process.name, "ends: %s", err_words(err));
        sim_process_down(&a->process, rng_below(&w->rng, 5000));
        return;
    }
    uint64_t slack_ms = idle_ms == 0 ? 0 : rng_below(&w->rng, 300);
    uint64_t due_ms = w->now_ms + idle_ms + slack_ms;
    /* While objects cannot be put it looks at no event, so none wakes it. */
    struct archiver_view view;
    archiver_view(a->archiver, &view);
    if (!view.store_away)
        due_ms = base_min_u64(due_ms, sim_bus_due_ms(a->process.buses[0]));
    a->process.due_ms = base_max_u64(due_ms, w->now_ms + a->process.slow_ms);
}

/* A floor speaks of numbers whose object and manifest are there. */
void sim_archiver_heard_floors(struct sim_world *w, uint32_t region, struct span data)
{
    struct floor_message m;
    unsigned edge;
    if (w->archiver_count == 0 || floor_read(&m, data) != ERR_OK)
        return;
    struct sim_archiver *a = &w->archivers[region];
    bool ours = strcmp(m.reader, a->process.name) == 0 && sscanf(m.edge, "edge-%u", &edge) == 1;
    for (uint32_t i = 0; ours && i < m.line_count; i++) {
        const struct floor_line *l = &m.lines[i];
        uint64_t prefix = sim_archiver_prefix(a, edge, l->epoch, l->partition);
        if (l->floor > prefix)
            sim_violation(w, "archive-floor", "%s told edge-%u floor %llu, archived are %llu",
                          a->process.name, edge, (unsigned long long)l->floor,
                          (unsigned long long)prefix);
    }
    floor_done(&m);
}

/* What every edge numbered is in the archive, but for what was lost with its disk. */
void sim_archiver_final(struct sim_archiver *a)
{
    struct sim_world *w = a->process.world;
    for (uint32_t i = 0; i < w->oracle.incarnation_count; i++) {
        const struct sim_incarnation *inc = &w->oracle.incarnations[i];
        for (uint32_t p = 0; p < w->plan.partitions; p++) {
            const struct sim_line *line = &inc->lines[a->region * w->plan.partitions + p];
            uint64_t prefix = sim_archiver_prefix(a, inc->edge, inc->epoch, (uint16_t)p);
            if (!line->lost && prefix < line->count)
                sim_violation(
                    w, "archive-lost", "%s holds %llu of %u numbers of edge-%u in partition %u",
                    a->process.name, (unsigned long long)prefix, line->count, inc->edge, p);
        }
    }
}
