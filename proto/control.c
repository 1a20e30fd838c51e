/* SPDX-License-Identifier: Apache-2.0
 * control: see control.h. Layout: proto/PROTOCOL.md, "Control" and "Tick". */
#include "proto/control.h"

#include "proto/subject.h"
#include "proto/wire.h"

#define ELEMENTS     5
#define ELEMENTS_MAP 6

static bool kind_is_known(uint64_t kind)
{
    return kind >= CONTROL_ENROL && kind <= CONTROL_WRITE_OFF;
}

static void put_edge(struct buf *out, const struct control_message *m)
{
    CHECK(kind_is_known(m->kind));
    CHECK(subject_name_is_valid(m->edge, LIMIT_EDGE_NAME_BYTES));
    wire_put_text(out, m->edge);
    wire_put_uint(out, m->epoch);
}

static void put_map(struct buf *out, const struct control_message *m)
{
    CHECK(m->partitions >= 1 && m->partitions <= LIMIT_PARTITIONS);
    wire_put_uint(out, m->partitions);
    wire_put_uint(out, m->from_minute);
    wire_put_bool(out, m->again);
}

void control_write(struct buf *out, const struct control_message *m)
{
    bool is_map = m->kind == CONTROL_MAP;
    buf_clear(out);
    wire_begin(out, CONTROL_MAGIC, is_map ? CONTROL_VERSION_MAP : CONTROL_VERSION);
    wire_put_array(out, is_map ? ELEMENTS_MAP : ELEMENTS);
    wire_put_uint(out, m->number);
    wire_put_uint(out, m->nonce);
    wire_put_uint(out, m->kind);
    (is_map ? put_map : put_edge)(out, m);
    wire_seal(out);
}

static enum err read_edge(struct wire_reader *r, uint64_t kind, struct control_message *m)
{
    wire_name(r, m->edge, sizeof(m->edge));
    m->epoch = wire_uint(r);
    enum err err = wire_end(r);
    if (err == ERR_OK && !subject_name_is_valid(m->edge, LIMIT_EDGE_NAME_BYTES))
        err = ERR_FORMAT;
    if (err == ERR_OK && !kind_is_known(kind))
        err = ERR_RANGE;
    return err;
}

static enum err read_map(struct wire_reader *r, uint64_t kind, struct control_message *m)
{
    uint64_t partitions = wire_uint(r), from_minute = wire_uint(r);
    m->again = wire_bool(r);
    enum err err = wire_end(r);
    if (err == ERR_OK && (kind != CONTROL_MAP || partitions < 1 || partitions > LIMIT_PARTITIONS ||
                          from_minute > UINT32_MAX))
        err = ERR_RANGE;
    m->partitions = (uint16_t)partitions;
    m->from_minute = (uint32_t)from_minute;
    return err;
}

enum err control_read(struct control_message *out, struct span message)
{
    bool is_map;
    struct span body;
    enum err err = wire_check_either(message, CONTROL_MAGIC, CONTROL_VERSION, CONTROL_VERSION_MAP,
                                     &body, &is_map);
    if (err != ERR_OK)
        return err;
    struct wire_reader r = wire_reader_of(body);
    struct control_message m = {0};
    uint32_t elements = wire_array(&r, is_map ? ELEMENTS_MAP : ELEMENTS);
    m.number = wire_uint(&r);
    m.nonce = wire_uint(&r);
    uint64_t kind = wire_uint(&r);
    if (r.err == ERR_OK && elements != (is_map ? ELEMENTS_MAP : ELEMENTS))
        return ERR_FORMAT;
    err = (is_map ? read_map : read_edge)(&r, kind, &m);
    if (err != ERR_OK)
        return err;
    m.kind = (enum control_kind)kind;
    *out = m;
    return ERR_OK;
}

void tick_write(struct buf *out)
{
    buf_clear(out);
    wire_begin(out, TICK_MAGIC, TICK_VERSION);
    wire_put_array(out, 0);
    wire_seal(out);
}

bool tick_is(struct span message)
{
    struct span body;
    if (wire_check(message, TICK_MAGIC, TICK_VERSION, &body) != ERR_OK)
        return false;
    struct wire_reader r = wire_reader_of(body);
    uint32_t elements = wire_array(&r, 0);
    return elements == 0 && wire_end(&r) == ERR_OK;
}
