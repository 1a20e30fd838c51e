/* SPDX-License-Identifier: Apache-2.0
 * floor: see floor.h. Layout: proto/PROTOCOL.md, "Floors". */
#include "proto/floor.h"

#include "proto/subject.h"
#include "proto/wire.h"

#include <stdlib.h>

#define ELEMENTS      5
#define ELEMENTS_MAP  6
#define LINE_ELEMENTS 5

static bool names_are_valid(const struct floor_message *m)
{
    return subject_name_is_valid(m->reader, LIMIT_READER_NAME_BYTES) &&
           subject_name_is_valid(m->region, LIMIT_REGION_NAME_BYTES) &&
           subject_name_is_valid(m->edge, LIMIT_EDGE_NAME_BYTES);
}

void floor_write(struct buf *out, const struct floor_message *m)
{
    CHECK(names_are_valid(m));
    CHECK(m->line_count <= FLOOR_LINES_MAX);
    buf_clear(out);
    bool has_map = m->map.count > 0;
    wire_begin(out, FLOOR_MAGIC, has_map ? FLOOR_VERSION_MAP : FLOOR_VERSION);
    wire_put_array(out, has_map ? ELEMENTS_MAP : ELEMENTS);
    wire_put_text(out, m->reader);
    wire_put_uint(out, m->store_id);
    wire_put_text(out, m->region);
    wire_put_text(out, m->edge);
    if (has_map)
        partition_map_wire_put(&m->map, out);
    wire_put_array(out, m->line_count);
    for (uint32_t i = 0; i < m->line_count; i++) {
        const struct floor_line *line = &m->lines[i];
        CHECK(line->epoch != 0 && line->partition < LIMIT_PARTITIONS);
        wire_put_array(out, LINE_ELEMENTS);
        wire_put_uint(out, line->epoch);
        wire_put_uint(out, line->partition);
        wire_put_bool(out, line->gap);
        wire_put_uint(out, line->floor);
        wire_put_bool(out, line->finished);
    }
    wire_seal(out);
}

static enum err read_line(struct wire_reader *r, struct floor_line *out)
{
    uint32_t elements = wire_array(r, LINE_ELEMENTS);
    out->epoch = wire_uint(r);
    uint64_t partition = wire_uint(r);
    out->gap = wire_bool(r);
    out->floor = wire_uint(r);
    out->finished = wire_bool(r);
    if (r->err != ERR_OK)
        return r->err;
    if (elements != LINE_ELEMENTS)
        return ERR_FORMAT;
    if (out->epoch == 0 || partition >= LIMIT_PARTITIONS)
        return ERR_RANGE;
    out->partition = (uint16_t)partition;
    return ERR_OK;
}

static enum err read_body(struct wire_reader *r, bool has_map, struct floor_message *out)
{
    uint32_t due = has_map ? ELEMENTS_MAP : ELEMENTS;
    uint32_t elements = wire_array(r, due);
    wire_name(r, out->reader, sizeof(out->reader));
    out->store_id = wire_uint(r);
    wire_name(r, out->region, sizeof(out->region));
    wire_name(r, out->edge, sizeof(out->edge));
    enum err err = has_map ? partition_map_wire_get(&out->map, r) : r->err;
    out->line_count = err == ERR_OK ? wire_array(r, FLOOR_LINES_MAX) : 0;
    if (err != ERR_OK || r->err != ERR_OK)
        return err != ERR_OK ? err : r->err;
    if (elements != due || !names_are_valid(out))
        return ERR_FORMAT;
    out->lines = base_zalloc(out->line_count, sizeof(*out->lines));
    for (uint32_t i = 0; i < out->line_count; i++) {
        err = read_line(r, &out->lines[i]);
        if (err != ERR_OK)
            return err;
    }
    return wire_end(r);
}

enum err floor_read(struct floor_message *out, struct span message)
{
    *out = (struct floor_message){0};
    struct span body;
    bool has_map;
    enum err err =
        wire_check_either(message, FLOOR_MAGIC, FLOOR_VERSION, FLOOR_VERSION_MAP, &body, &has_map);
    if (err != ERR_OK)
        return err;
    struct wire_reader r = wire_reader_of(body);
    err = read_body(&r, has_map, out);
    if (err != ERR_OK)
        floor_done(out);
    return err;
}

void floor_done(struct floor_message *m)
{
    free(m->lines);
    *m = (struct floor_message){0};
}
