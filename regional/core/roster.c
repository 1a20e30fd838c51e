/* SPDX-License-Identifier: Apache-2.0
 * roster: one envelope as all messages have it. */
#include "regional/core/roster.h"

#include "proto/subject.h"
#include "proto/wire.h"
#include "regional/core/watermark.h"

#include <stdlib.h>

void roster_part_of(struct roster_part *out, const struct fold *f, bool stopped)
{
    *out = (struct roster_part){.partition = f->options.partition,
                                .stopped = stopped,
                                .control_floor = f->control_floor,
                                .watermark_ms = f->watermark_ms,
                                .map = f->map,
                                .edge_count = f->edges.count};
    memcpy(out->applied, f->applied, sizeof(out->applied));
    out->edges = base_zalloc(f->edges.count, sizeof(*out->edges));
    for (uint32_t i = 0; i < f->edges.count; i++) {
        const struct edge *e = &f->edges.edges[i];
        struct roster_edge *r = &out->edges[i];
        memcpy(r->name, e->name, sizeof(r->name));
        r->enrolled = e->enrolled;
        r->missing = e->missing;
        r->given_up = e->given_up;
        (void)watermark_edge_clock(e, f->stream_ms, &r->clock_ms);
        for (uint32_t l = 0; l < e->line_count; l++) {
            r->folded += e->lines[l].floor;
            r->live_lines += line_is_live(&e->lines[l]);
        }
    }
}

static void put_part(struct buf *out, const struct roster_part *p)
{
    wire_put_array(out, 7);
    wire_put_uint(out, p->partition);
    wire_put_bool(out, p->stopped);
    wire_put_uint(out, p->control_floor);
    wire_put_uint(out, p->watermark_ms);
    partition_map_wire_put(&p->map, out);
    wire_put_array(out, 2 * FOLD_APPLIED);
    for (unsigned i = 0; i < FOLD_APPLIED; i++) {
        wire_put_uint(out, p->applied[i].number);
        wire_put_uint(out, p->applied[i].nonce);
    }
    wire_put_array(out, p->edge_count);
    for (uint32_t i = 0; i < p->edge_count; i++) {
        const struct roster_edge *e = &p->edges[i];
        wire_put_array(out, 7);
        wire_put_text(out, e->name);
        wire_put_bool(out, e->enrolled);
        wire_put_bool(out, e->missing);
        wire_put_bool(out, e->given_up);
        wire_put_uint(out, e->clock_ms);
        wire_put_uint(out, e->folded);
        wire_put_uint(out, e->live_lines);
    }
}

void roster_write(struct buf *out, const struct roster *roster)
{
    buf_clear(out);
    wire_begin(out, ROSTER_MAGIC, ROSTER_VERSION);
    wire_put_array(out, 2);
    wire_put_text(out, roster->replica);
    wire_put_array(out, roster->part_count);
    for (uint32_t i = 0; i < roster->part_count; i++)
        put_part(out, &roster->parts[i]);
    wire_seal(out);
}

static bool read_edge(struct wire_reader *r, struct roster_edge *e)
{
    bool shaped = wire_array(r, 7) == 7;
    wire_name(r, e->name, sizeof(e->name));
    e->enrolled = wire_bool(r);
    e->missing = wire_bool(r);
    e->given_up = wire_bool(r);
    e->clock_ms = wire_uint(r);
    e->folded = wire_uint(r);
    e->live_lines = (uint32_t)wire_uint(r);
    return shaped && r->err == ERR_OK && subject_name_is_valid(e->name, LIMIT_EDGE_NAME_BYTES);
}

static bool read_part(struct wire_reader *r, struct roster_part *p)
{
    bool shaped = wire_array(r, 7) == 7;
    uint64_t partition = wire_uint(r);
    p->partition = (uint16_t)partition;
    p->stopped = wire_bool(r);
    p->control_floor = wire_uint(r);
    p->watermark_ms = wire_uint(r);
    shaped &= partition_map_wire_get(&p->map, r) == ERR_OK && p->map.count > 0;
    shaped &= wire_array(r, 2 * FOLD_APPLIED) == 2 * FOLD_APPLIED;
    for (unsigned i = 0; i < FOLD_APPLIED; i++) {
        p->applied[i].number = wire_uint(r);
        p->applied[i].nonce = wire_uint(r);
    }
    uint32_t edges = wire_array(r, LIMIT_EDGES);
    if (!shaped || r->err != ERR_OK || partition >= LIMIT_PARTITIONS)
        return false;
    p->edges = base_zalloc(edges, sizeof(*p->edges));
    p->edge_count = edges;
    for (uint32_t i = 0; i < edges; i++) {
        if (!read_edge(r, &p->edges[i]))
            return false;
    }
    return true;
}

enum err roster_read(struct roster *out, struct span message)
{
    *out = (struct roster){0};
    struct span body;
    enum err err = wire_check(message, ROSTER_MAGIC, ROSTER_VERSION, &body);
    if (err != ERR_OK)
        return err;
    struct wire_reader r = wire_reader_of(body);
    bool good = wire_array(&r, 2) == 2;
    wire_name(&r, out->replica, sizeof(out->replica));
    uint32_t parts = wire_array(&r, LIMIT_PARTITIONS);
    good = good && r.err == ERR_OK && subject_name_is_valid(out->replica, LIMIT_READER_NAME_BYTES);
    if (good) {
        out->parts = base_zalloc(parts, sizeof(*out->parts));
        out->part_count = parts;
    }
    for (uint32_t i = 0; good && i < parts; i++)
        good = read_part(&r, &out->parts[i]);
    if (good && wire_end(&r) == ERR_OK)
        return ERR_OK;
    roster_done(out);
    return ERR_FORMAT;
}

void roster_done(struct roster *roster)
{
    for (uint32_t i = 0; i < roster->part_count; i++)
        free(roster->parts[i].edges);
    free(roster->parts);
    *roster = (struct roster){0};
}
