/* SPDX-License-Identifier: Apache-2.0
 * archiver_given: an archiver on made-up ports, an edge that sends again what it is asked for, and
 * a judge of the archive: what manifests and objects hold, by libavro and jansson. Audience:
 * tests/unit/regional. */
#pragma once

#include "regional/regional_archiver.h"
#include "sim/sim_store.h"
#include "unit/regional/archive_given.h"
#include "unit/regional/replica_given.h"

#define GIVEN_NUMBERS 600

struct arch_node {
    char name[16];
    struct kv_port *kv;
    struct bus_port *bus;
    struct object_store *store; /* the test's, or shared */
    struct archiver *archiver;
    struct archiver_note last_note;
    unsigned notes[16];
    uint64_t object_bytes, buffer_bytes;
    struct sim_fuse fuse;
};

static void arch_note(void *context, const struct archiver_note *note)
{
    struct arch_node *n = context;
    n->last_note = *note;
    n->last_note.name = NULL; /* borrowed */
    n->notes[note->kind]++;
}

MAYBE_UNUSED static enum err arch_start(struct world *w, struct arch_node *n)
{
    static const uint16_t partitions[] = {GIVEN_PARTITION};
    struct archiver_options o = {.partitions_total = GIVEN_PARTITIONS,
                                 .partitions = partitions,
                                 .partition_count = 1,
                                 .object_bytes = n->object_bytes ? n->object_bytes : 4096,
                                 .buffer_bytes = n->buffer_bytes ? n->buffer_bytes : 1 << 20,
                                 .object_age_ms = 2000,
                                 .kv = n->kv,
                                 .clock = &w->clock.port,
                                 .store = n->store,
                                 .on_note = arch_note,
                                 .on_note_context = n};
    n->bus = sim_bus_client(w->server);
    o.bus = n->bus;
    n->fuse = (struct sim_fuse){0};
    sim_kv_fuse(n->kv, &n->fuse);
    sim_store_fuse(n->store, &n->fuse);
    sim_bus_fuse(n->bus, &n->fuse);
    (void)snprintf(o.archiver, sizeof(o.archiver), "%s", n->name);
    (void)snprintf(o.region, sizeof(o.region), "%s", GIVEN_REGION);
    enum err err = archiver_new(&o, &n->archiver);
    if (err != ERR_OK)
        n->archiver = NULL;
    return err;
}

MAYBE_UNUSED static void given_arch_node(struct world *w, struct arch_node *n, const char *name)
{
    *n = (struct arch_node){.kv = sim_kv_new(ARCHIVER_TABLES), .store = sim_store_new()};
    (void)snprintf(n->name, sizeof(n->name), "%s", name);
    cr_assert_eq(arch_start(w, n), ERR_OK);
}

/* As by kill -9: memory and connection are gone. */
MAYBE_UNUSED static void arch_crash(struct arch_node *n)
{
    archiver_free(n->archiver);
    n->archiver = NULL;
    sim_bus_client_free(n->bus);
    sim_kv_crash(n->kv);
}

MAYBE_UNUSED static void arch_done(struct arch_node *n)
{
    archiver_free(n->archiver);
    sim_kv_free(n->kv);
    sim_store_free(n->store);
}

MAYBE_UNUSED static enum err arch_run(struct arch_node *n)
{
    unsigned idle = 0;
    for (unsigned i = 0; i < 10000 && idle < 3; i++) {
        uint32_t idle_ms = 0;
        enum err err = archiver_step(n->archiver, &idle_ms);
        if (err != ERR_OK)
            return err;
        idle = idle_ms > 0 ? idle + 1 : 0;
    }
    return ERR_OK;
}

/* --- the judge --- */

static const uint8_t *object_named(const struct object_store *s, const char *name, size_t *out)
{
    for (uint32_t i = 0; i < sim_store_count(s); i++) {
        if (strcmp(sim_store_name(s, i), name) != 0)
            continue;
        struct span data = sim_store_data(s, i);
        *out = data.length;
        return data.data;
    }
    return NULL;
}

/* Every manifest has its object, whole, and the object has just the clicks of the ranges. */
static void judge_manifest(const struct object_store *s, struct span text, unsigned *archived)
{
    json_error_t error;
    json_t *m = json_loadb((const char *)text.data, text.length, 0, &error);
    cr_assert_not_null(m, "%s", error.text);
    size_t length = 0;
    const char *name = json_string_value(json_object_get(m, "object"));
    const uint8_t *data = object_named(s, name, &length);
    cr_assert_not_null(data, "manifest without object: %s", name);
    char sha256[65];
    hash_sha256(span_of(data, length), sha256);
    cr_assert_str_eq(sha256, json_string_value(json_object_get(m, "sha256")));
    unsigned seen[GIVEN_NUMBERS + 1] = {0};
    uint64_t clicks = read_avro(span_of(data, length), seen, GIVEN_NUMBERS, NULL);
    cr_assert_eq(clicks, json_number(m, "clicks"));
    size_t i;
    json_t *range;
    json_array_foreach(json_object_get(m, "ranges"), i, range)
    {
        for (uint64_t n = json_number(range, "first"); n < json_number(range, "last"); n++) {
            bool fin =
                json_is_true(json_object_get(range, "fin")) && n + 1 == json_number(range, "last");
            cr_assert_eq(seen[n], fin ? 0 : 1, "number %lu: %u times in %s", (unsigned long)n,
                         seen[n], name);
            clicks -= seen[n];
            archived[n]++;
        }
    }
    cr_assert_eq(clicks, 0, "clicks that no range names");
    json_decref(m);
}

/* How many numbers from 0 on are all archived; how often each one is, in archived[]. */
MAYBE_UNUSED static uint64_t judge_archive(const struct object_store *s, unsigned *archived)
{
    static unsigned counts[GIVEN_NUMBERS + 1];
    unsigned *to = archived == NULL ? counts : archived;
    memset(to, 0, (GIVEN_NUMBERS + 1) * sizeof(*to));
    for (uint32_t i = 0; i < sim_store_count(s); i++) {
        if (strncmp(sim_store_name(s, i), "manifests/", 10) == 0)
            judge_manifest(s, sim_store_data(s, i), to);
    }
    uint64_t prefix = 0;
    while (prefix <= GIVEN_NUMBERS && to[prefix] > 0)
        prefix++;
    return prefix;
}

/* --- the edge --- */

MAYBE_UNUSED static void publish_full(struct world *w, const struct segment_head *h)
{
    struct buf message = {0};
    given_full_segment(&message, h);
    struct subject s = subject_segment(GIVEN_REGION, h->partition, h->edge);
    cr_assert_eq(bus_publish(w->edge, s.text, NULL, buf_span(&message), 1), ERR_OK);
    buf_done(&message);
}

/* What the edge has heard of the archiver. */
struct arch_ear {
    uint64_t floor, store_id;
    bool gap, finished;
    unsigned messages;
};

MAYBE_UNUSED static void arch_hear(struct world *w, struct arch_ear *ear)
{
    struct bus_event e;
    ear->gap = false;
    while (bus_poll(w->ear, &e)) {
        struct floor_message m;
        if (e.kind != BUS_PLAIN)
            continue;
        cr_assert_eq(floor_read(&m, e.data), ERR_OK);
        ear->messages++;
        for (uint32_t i = 0; i < m.line_count; i++) {
            if (m.lines[i].epoch != GIVEN_EPOCH)
                continue;
            bool newer = m.store_id != ear->store_id;
            ear->floor = newer ? m.lines[i].floor : base_max_u64(ear->floor, m.lines[i].floor);
            ear->store_id = m.store_id;
            ear->gap |= m.lines[i].gap;
            ear->finished = m.lines[i].finished;
        }
        floor_done(&m);
    }
}

MAYBE_UNUSED static struct segment_head edge_run(const struct world *w, const struct arch_ear *ear,
                                                 uint64_t first, uint64_t last)
{
    struct segment_head h = given_run(first, last);
    h.low = ear->floor; /* it trims by what it hears, at once */
    h.clock_ms = w->clock.wall;
    return h;
}
