/* SPDX-License-Identifier: Apache-2.0
 * control: see control.h. Layout: proto/PROTOCOL.md, "Control" and "Tick". */
#include "proto/control.h"

#include "proto/subject.h"
#include "proto/wire.h"

#define ELEMENTS 5

static bool kind_is_known(uint64_t kind)
{
    return kind >= CONTROL_ENROL && kind <= CONTROL_WRITE_OFF;
}

void control_write(struct buf *out, const struct control_message *m)
{
    CHECK(kind_is_known(m->kind));
    CHECK(subject_name_is_valid(m->edge, LIMIT_EDGE_NAME_BYTES));
    buf_clear(out);
    wire_begin(out, CONTROL_MAGIC, CONTROL_VERSION);
    wire_put_array(out, ELEMENTS);
    wire_put_uint(out, m->number);
    wire_put_uint(out, m->nonce);
    wire_put_uint(out, m->kind);
    wire_put_text(out, m->edge);
    wire_put_uint(out, m->epoch);
    wire_seal(out);
}

enum err control_read(struct control_message *out, struct span message)
{
    struct span body;
    enum err err = wire_check(message, CONTROL_MAGIC, CONTROL_VERSION, &body);
    if (err != ERR_OK)
        return err;
    struct wire_reader r = wire_reader_of(body);
    struct control_message m = {0};
    uint32_t elements = wire_array(&r, ELEMENTS);
    m.number = wire_uint(&r);
    m.nonce = wire_uint(&r);
    uint64_t kind = wire_uint(&r);
    wire_name(&r, m.edge, sizeof(m.edge));
    m.epoch = wire_uint(&r);
    err = wire_end(&r);
    if (err != ERR_OK)
        return err;
    if (elements != ELEMENTS || !subject_name_is_valid(m.edge, LIMIT_EDGE_NAME_BYTES))
        return ERR_FORMAT;
    if (!kind_is_known(kind))
        return ERR_RANGE;
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
