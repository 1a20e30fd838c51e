/* SPDX-License-Identifier: Apache-2.0
 * want: see want.h. Layout: proto/PROTOCOL.md, "Want". */
#include "proto/want.h"

#include "proto/subject.h"
#include "proto/wire.h"

#define ELEMENTS 5

static bool names_are_valid(const struct want_message *m)
{
    return subject_name_is_valid(m->region, LIMIT_REGION_NAME_BYTES) &&
           subject_name_is_valid(m->replica, LIMIT_READER_NAME_BYTES);
}

void want_write(struct buf *out, const struct want_message *m)
{
    CHECK(names_are_valid(m));
    CHECK(m->partition < LIMIT_PARTITIONS);
    CHECK(m->minute_count <= LIMIT_WANT_MINUTES && m->name_count <= WANT_NAMES_MAX);
    buf_clear(out);
    wire_begin(out, WANT_MAGIC, WANT_VERSION);
    wire_put_array(out, ELEMENTS);
    wire_put_text(out, m->region);
    wire_put_text(out, m->replica);
    wire_put_uint(out, m->partition);
    wire_put_array(out, m->minute_count);
    for (uint32_t i = 0; i < m->minute_count; i++)
        wire_put_uint(out, m->minutes[i]);
    wire_put_array(out, m->name_count);
    for (uint32_t i = 0; i < m->name_count; i++)
        wire_put_uint(out, m->names[i]);
    wire_seal(out);
}

static enum err read_body(struct wire_reader *r, struct want_message *out)
{
    uint32_t elements = wire_array(r, ELEMENTS);
    wire_name(r, out->region, sizeof(out->region));
    wire_name(r, out->replica, sizeof(out->replica));
    uint64_t partition = wire_uint(r);
    bool in_range = partition < LIMIT_PARTITIONS;
    out->partition = in_range ? (uint16_t)partition : 0;
    out->minute_count = wire_array(r, LIMIT_WANT_MINUTES);
    for (uint32_t i = 0; i < out->minute_count; i++) {
        uint64_t minute = wire_uint(r);
        in_range = in_range && minute <= UINT32_MAX;
        out->minutes[i] = (uint32_t)minute;
    }
    out->name_count = wire_array(r, WANT_NAMES_MAX);
    for (uint32_t i = 0; i < out->name_count; i++)
        out->names[i] = wire_uint(r);
    enum err err = wire_end(r);
    if (err != ERR_OK)
        return err;
    if (elements != ELEMENTS || !names_are_valid(out))
        return ERR_FORMAT;
    return in_range ? ERR_OK : ERR_RANGE;
}

enum err want_read(struct want_message *out, struct span message)
{
    memset(out, 0, sizeof(*out));
    struct span body;
    enum err err = wire_check(message, WANT_MAGIC, WANT_VERSION, &body);
    if (err != ERR_OK)
        return err;
    struct wire_reader r = wire_reader_of(body);
    err = read_body(&r, out);
    if (err != ERR_OK)
        memset(out, 0, sizeof(*out));
    return err;
}
