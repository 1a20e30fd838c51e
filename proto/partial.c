/* SPDX-License-Identifier: Apache-2.0
 * partial: see partial.h. Layout: proto/PROTOCOL.md, "Partial". */
#include "proto/partial.h"

#include "common/base/hash.h"
#include "common/base/hll.h"
#include "proto/column.h"
#include "proto/subject.h"
#include "proto/wire.h"

#include <stdlib.h>

#define ELEMENTS 22 /* with a grown map: one more, behind the cut */
#define FRAMES   4

/* Fewest bytes of one entry in its frame: what bounds an array before it is made. */
#define ROW_BYTES_MIN   (8 + 5 + PARTIAL_FLAG_SLOTS)
#define NAME_BYTES_MIN  (8 + 1 + 1)
#define TOTAL_BYTES_MIN (4 + 8)
#define EDGE_BYTES_MIN  (2 + 8 + 3)

uint64_t partial_row_digest(const struct partial_row *row)
{
    uint8_t fields[8 + 4 + 4 + 8 + 8 + 8 * PARTIAL_FLAG_SLOTS + 8];
    uint8_t *at = fields;
    bytes_store_u64(at, row->ad_hash);
    bytes_store_u32(at + 8, row->minute);
    bytes_store_u32(at + 12, row->generation);
    bytes_store_u64(at + 16, row->counted);
    bytes_store_u64(at + 24, row->duplicate);
    at += 32;
    for (unsigned i = 0; i < PARTIAL_FLAG_SLOTS; i++, at += 8)
        bytes_store_u64(at, row->flagged[i]);
    bytes_store_u64(at, hash_checksum(row->sketch, 0));
    return hash_checksum(span_of(fields, sizeof(fields)), 0);
}

static enum err judge_head(const struct partial *p)
{
    if (!subject_name_is_valid(p->region, LIMIT_REGION_NAME_BYTES) ||
        !subject_name_is_valid(p->replica, LIMIT_READER_NAME_BYTES))
        return ERR_FORMAT;
    if (p->partition >= LIMIT_PARTITIONS || p->map.count < 1 || !partition_map_is_valid(&p->map))
        return ERR_RANGE;
    if (p->row_count > LIMIT_PARTIAL_ROWS || p->name_count > LIMIT_PARTIAL_ROWS ||
        p->total_count > LIMIT_PARTIAL_TOTALS || p->edge_count > PARTIAL_EDGES_MAX)
        return ERR_LIMIT;
    return ERR_OK;
}

static void put_rows(struct buf *raw, const struct partial *p)
{
    const struct partial_row *rows = p->rows;
    for (uint32_t i = 0; i < p->row_count; i++)
        buf_put_u64(raw, rows[i].ad_hash);
    uint64_t minute = 0;
    for (uint32_t i = 0; i < p->row_count; i++)
        column_put_delta(raw, &minute, rows[i].minute);
    for (uint32_t i = 0; i < p->row_count; i++)
        buf_put_varint(raw, rows[i].generation);
    for (uint32_t i = 0; i < p->row_count; i++)
        buf_put_varint(raw, rows[i].counted);
    for (uint32_t i = 0; i < p->row_count; i++)
        buf_put_varint(raw, rows[i].duplicate);
    for (uint32_t i = 0; i < p->row_count; i++)
        buf_put_varint(raw, rows[i].late);
    for (unsigned slot = 0; slot < PARTIAL_FLAG_SLOTS; slot++) {
        for (uint32_t i = 0; i < p->row_count; i++)
            buf_put_varint(raw, rows[i].flagged[slot]);
    }
}

/* Sketches and names share a frame: it is what the reader keeps, and their spans point into. */
static void put_texts(struct buf *raw, const struct partial *p)
{
    for (uint32_t i = 0; i < p->row_count; i++)
        CHECK(p->rows[i].sketch.length <= HLL_BYTES_MAX);
    for (uint32_t i = 0; i < p->name_count; i++)
        CHECK(p->names[i].ad_id.length >= 1 && p->names[i].ad_id.length <= LIMIT_ID_BYTES);
    if (p->row_count > 0)
        column_put_texts(raw, &p->rows->sketch, sizeof(*p->rows), p->row_count);
    for (uint32_t i = 0; i < p->name_count; i++)
        buf_put_u64(raw, p->names[i].ad_hash);
    if (p->name_count > 0)
        column_put_texts(raw, &p->names->ad_id, sizeof(*p->names), p->name_count);
}

static void put_totals(struct buf *raw, const struct partial *p)
{
    const struct partial_total *totals = p->totals;
    uint64_t minute = 0;
    for (uint32_t i = 0; i < p->total_count; i++)
        column_put_delta(raw, &minute, totals[i].minute);
    for (uint32_t i = 0; i < p->total_count; i++)
        buf_put_varint(raw, totals[i].rows);
    for (uint32_t i = 0; i < p->total_count; i++)
        buf_put_varint(raw, totals[i].counted);
    for (uint32_t i = 0; i < p->total_count; i++)
        buf_put_varint(raw, totals[i].duplicate);
    for (uint32_t i = 0; i < p->total_count; i++)
        buf_put_u64(raw, totals[i].digest);
}

static void put_edges(struct buf *raw, const struct partial *p)
{
    for (uint32_t i = 0; i < p->edge_count; i++) {
        const struct partial_edge *e = &p->edges[i];
        CHECK(subject_name_is_valid(e->edge, LIMIT_EDGE_NAME_BYTES));
        buf_put_block(raw, span_of_text(e->edge));
        buf_put_u64(raw, e->epoch);
        buf_put_varint(raw, e->floor);
        buf_put_varint(raw, e->accepted);
        buf_put_u8(raw, e->missing);
    }
}

static void put_head(struct buf *out, const struct partial *p)
{
    wire_put_text(out, p->region);
    wire_put_text(out, p->replica);
    wire_put_uint(out, p->store_id);
    wire_put_uint(out, p->partition);
    wire_put_uint(out, partition_map_last(&p->map));
    wire_put_uint(out, p->cut);
    if (p->map.count > 1)
        partition_map_wire_put(&p->map, out);
    wire_put_uint(out, p->stream_ms);
    wire_put_uint(out, p->watermark_ms);
    wire_put_uint(out, p->folded);
    wire_put_uint(out, p->counted);
    wire_put_uint(out, p->duplicate);
    wire_put_uint(out, p->carried);
    wire_put_bool(out, p->whole);
    wire_put_uint(out, p->missing_count);
    wire_put_uint(out, p->row_count);
    wire_put_uint(out, p->name_count);
    wire_put_uint(out, p->total_count);
    wire_put_uint(out, p->edge_count);
}

void partial_write(struct buf *out, const struct partial *p)
{
    static void (*const columns[FRAMES])(struct buf *, const struct partial *) = {
        put_rows, put_texts, put_totals, put_edges};
    CHECK(judge_head(p) == ERR_OK);
    buf_clear(out);
    bool has_map = p->map.count > 1;
    wire_begin(out, PARTIAL_MAGIC, has_map ? PARTIAL_VERSION_MAP : PARTIAL_VERSION);
    wire_put_array(out, ELEMENTS + has_map);
    put_head(out, p);
    struct buf raw = {0};
    for (unsigned i = 0; i < countof(columns); i++) {
        buf_clear(&raw);
        columns[i](&raw, p);
        CHECK(raw.length <= LIMIT_PARTIAL_COLUMN_BYTES);
        if (raw.length == 0)
            wire_put_bin(out, (struct span){0});
        else
            wire_put_packed(out, buf_span(&raw));
    }
    buf_done(&raw);
    wire_seal(out);
}

static enum err check(struct span message, struct span *out_body, bool *out_has_map)
{
    return wire_check_either(message, PARTIAL_MAGIC, PARTIAL_VERSION, PARTIAL_VERSION_MAP, out_body,
                             out_has_map);
}

enum err partial_resign(struct buf *out, struct span message, const char *replica,
                        uint64_t store_id)
{
    struct span body;
    bool has_map;
    char region[LIMIT_REGION_NAME_BYTES + 1], former[LIMIT_READER_NAME_BYTES + 1];
    enum err err = check(message, &body, &has_map);
    if (err != ERR_OK)
        return err;
    struct wire_reader r = wire_reader_of(body);
    uint32_t elements = wire_array(&r, ELEMENTS + 1);
    wire_name(&r, region, sizeof(region));
    wire_name(&r, former, sizeof(former));
    (void)wire_uint(&r); /* the former store */
    if (r.err != ERR_OK || elements != (uint32_t)ELEMENTS + has_map)
        return r.err != ERR_OK ? r.err : ERR_FORMAT;
    buf_clear(out);
    wire_begin(out, PARTIAL_MAGIC, wire_version(message));
    wire_put_array(out, elements);
    wire_put_text(out, region);
    wire_put_text(out, replica);
    wire_put_uint(out, store_id);
    buf_put(out, r.bytes.data, r.bytes.left);
    wire_seal(out);
    return ERR_OK;
}

void partial_message_id(struct span message, char out_hex[33])
{
    struct span body;
    bool has_map;
    CHECK(check(message, &body, &has_map) == ERR_OK);
    struct wire_reader r = wire_reader_of(body);
    (void)wire_array(&r, ELEMENTS + 1);
    struct span region = wire_text(&r, LIMIT_REGION_NAME_BYTES);
    (void)wire_text(&r, LIMIT_READER_NAME_BYTES); /* replica */
    (void)wire_uint(&r);                          /* store_id */
    uint64_t partition = wire_uint(&r);
    uint64_t partitions = wire_uint(&r);
    (void)wire_uint(&r); /* cut */
    CHECK(r.err == ERR_OK);
    char content[33];
    hash_message_id(span_of(r.bytes.data, r.bytes.left), content);
    struct buf whole = {0};
    buf_put_block(&whole, region);
    buf_put_varint(&whole, partition);
    buf_put_varint(&whole, partitions);
    buf_put(&whole, content, sizeof(content));
    hash_message_id(buf_span(&whole), out_hex);
    buf_done(&whole);
}

/* A number that must not be above `max`; beyond it the reader's range is spoilt, which *err
 * remembers. */
static uint64_t bounded(uint64_t value, uint64_t max, enum err *err)
{
    if (value <= max)
        return value;
    *err = ERR_RANGE;
    return 0;
}

/* Of a map that has not grown, its one P. */
static enum err read_map(struct wire_reader *r, bool has_map, uint64_t partitions,
                         struct partition_map *out)
{
    if (r->err != ERR_OK)
        return r->err;
    if (partitions < 1 || partitions > LIMIT_PARTITIONS)
        return ERR_RANGE;
    *out = partition_map_of((uint16_t)partitions);
    enum err err = has_map ? partition_map_wire_get(out, r) : ERR_OK;
    bool agrees = err != ERR_OK || partition_map_last(out) == partitions;
    return agrees ? err : ERR_FORMAT;
}

static enum err read_head(struct wire_reader *r, bool has_map, struct partial *out)
{
    enum err range = ERR_OK;
    uint32_t due = ELEMENTS + has_map;
    uint32_t elements = wire_array(r, due);
    wire_name(r, out->region, sizeof(out->region));
    wire_name(r, out->replica, sizeof(out->replica));
    out->store_id = wire_uint(r);
    out->partition = (uint16_t)bounded(wire_uint(r), UINT16_MAX, &range);
    uint64_t partitions = wire_uint(r);
    out->cut = wire_uint(r);
    enum err err = read_map(r, has_map, partitions, &out->map);
    if (err != ERR_OK)
        return err;
    out->stream_ms = wire_uint(r);
    out->watermark_ms = wire_uint(r);
    out->folded = wire_uint(r);
    out->counted = wire_uint(r);
    out->duplicate = wire_uint(r);
    out->carried = wire_uint(r);
    out->whole = wire_bool(r);
    out->missing_count = (uint32_t)bounded(wire_uint(r), UINT32_MAX, &range);
    out->row_count = (uint32_t)bounded(wire_uint(r), UINT32_MAX, &range);
    out->name_count = (uint32_t)bounded(wire_uint(r), UINT32_MAX, &range);
    out->total_count = (uint32_t)bounded(wire_uint(r), UINT32_MAX, &range);
    out->edge_count = (uint32_t)bounded(wire_uint(r), UINT32_MAX, &range);
    if (r->err != ERR_OK)
        return r->err;
    if (elements != due)
        return ERR_FORMAT;
    return range == ERR_OK ? judge_head(out) : range;
}

static enum err read_rows(struct partial *p, struct reader *r)
{
    enum err err = ERR_OK;
    struct partial_row *rows = base_zalloc(p->row_count, sizeof(*rows));
    p->rows = rows;
    for (uint32_t i = 0; i < p->row_count; i++)
        rows[i].ad_hash = reader_u64(r);
    uint64_t minute = 0;
    for (uint32_t i = 0; i < p->row_count; i++)
        rows[i].minute = (uint32_t)bounded(column_delta(r, &minute), UINT32_MAX, &err);
    for (uint32_t i = 0; i < p->row_count; i++)
        rows[i].generation = (uint32_t)bounded(reader_varint(r), UINT32_MAX, &err);
    for (uint32_t i = 0; i < p->row_count; i++)
        rows[i].counted = reader_varint(r);
    for (uint32_t i = 0; i < p->row_count; i++)
        rows[i].duplicate = reader_varint(r);
    for (uint32_t i = 0; i < p->row_count; i++)
        rows[i].late = reader_varint(r);
    for (unsigned slot = 0; slot < PARTIAL_FLAG_SLOTS; slot++) {
        for (uint32_t i = 0; i < p->row_count; i++)
            rows[i].flagged[slot] = reader_varint(r);
    }
    return err;
}

static enum err read_texts(struct partial *p, struct reader *r)
{
    p->names = base_zalloc(p->name_count, sizeof(*p->names));
    enum err err = ERR_OK;
    if (p->row_count > 0)
        err = column_read_texts(r, &p->rows->sketch, sizeof(*p->rows), p->row_count, 0,
                                HLL_BYTES_MAX);
    for (uint32_t i = 0; i < p->name_count; i++)
        p->names[i].ad_hash = reader_u64(r);
    if (err == ERR_OK && p->name_count > 0)
        err = column_read_texts(r, &p->names->ad_id, sizeof(*p->names), p->name_count, 1,
                                LIMIT_ID_BYTES);
    return err;
}

static enum err read_totals(struct partial *p, struct reader *r)
{
    enum err err = ERR_OK;
    struct partial_total *totals = base_zalloc(p->total_count, sizeof(*totals));
    p->totals = totals;
    uint64_t minute = 0;
    for (uint32_t i = 0; i < p->total_count; i++)
        totals[i].minute = (uint32_t)bounded(column_delta(r, &minute), UINT32_MAX, &err);
    for (uint32_t i = 0; i < p->total_count; i++)
        totals[i].rows = (uint32_t)bounded(reader_varint(r), UINT32_MAX, &err);
    for (uint32_t i = 0; i < p->total_count; i++)
        totals[i].counted = reader_varint(r);
    for (uint32_t i = 0; i < p->total_count; i++)
        totals[i].duplicate = reader_varint(r);
    for (uint32_t i = 0; i < p->total_count; i++)
        totals[i].digest = reader_u64(r);
    return err;
}

static enum err read_edges(struct partial *p, struct reader *r)
{
    p->edges = base_zalloc(p->edge_count, sizeof(*p->edges));
    for (uint32_t i = 0; i < p->edge_count; i++) {
        struct partial_edge *e = &p->edges[i];
        struct span name = reader_block(r, LIMIT_EDGE_NAME_BYTES);
        if (name.length > 0)
            memcpy(e->edge, name.data, name.length);
        e->epoch = reader_u64(r);
        e->floor = reader_varint(r);
        e->accepted = reader_varint(r);
        uint8_t missing = reader_u8(r);
        /* A NUL inside would show as a shorter name. */
        if (r->failed || strlen(e->edge) != name.length ||
            !subject_name_is_valid(e->edge, LIMIT_EDGE_NAME_BYTES))
            return ERR_FORMAT;
        if (missing > 1)
            return ERR_RANGE;
        e->missing = missing == 1;
    }
    return ERR_OK;
}

/* One column frame; empty exactly when it would have no entry. */
static enum err read_frame(struct partial *p, struct span frame, size_t bytes_min,
                           enum err (*columns)(struct partial *, struct reader *), struct buf *raw)
{
    if (bytes_min == 0)
        return frame.length == 0 ? ERR_OK : ERR_FORMAT;
    enum err err = wire_unpack(frame, LIMIT_PARTIAL_COLUMN_BYTES, raw);
    if (err != ERR_OK)
        return err;
    if (raw->length < bytes_min)
        return ERR_FORMAT;
    struct reader r = reader_of(buf_span(raw));
    err = columns(p, &r);
    if (err == ERR_OK && !reader_at_end(&r))
        err = ERR_FORMAT;
    return err;
}

static enum err read_body(struct wire_reader *r, bool has_map, struct partial *out, struct buf *raw)
{
    enum err err = read_head(r, has_map, out);
    if (err != ERR_OK)
        return err;
    struct span frames[FRAMES];
    for (unsigned i = 0; i < FRAMES; i++)
        frames[i] = wire_bin(r, LIMIT_PARTIAL_COLUMN_BYTES);
    err = wire_end(r);
    size_t rows = out->row_count, names = out->name_count;
    if (err == ERR_OK)
        err = read_frame(out, frames[0], rows * ROW_BYTES_MIN, read_rows, raw);
    if (err == ERR_OK)
        err = read_frame(out, frames[1], rows + names * NAME_BYTES_MIN, read_texts, &out->storage);
    if (err == ERR_OK)
        err = read_frame(out, frames[2], out->total_count * (size_t)TOTAL_BYTES_MIN, read_totals,
                         raw);
    if (err == ERR_OK)
        err = read_frame(out, frames[3], out->edge_count * (size_t)EDGE_BYTES_MIN, read_edges, raw);
    return err;
}

enum err partial_read(struct partial *out, struct span message)
{
    *out = (struct partial){.owned = true};
    struct span body;
    bool has_map;
    enum err err = check(message, &body, &has_map);
    if (err == ERR_OK) {
        struct wire_reader r = wire_reader_of(body);
        struct buf raw = {0};
        err = read_body(&r, has_map, out, &raw);
        buf_done(&raw);
    }
    if (err != ERR_OK)
        partial_done(out);
    return err;
}

void partial_done(struct partial *p)
{
    if (p->owned) {
        free(p->rows);
        free(p->names);
        free(p->totals);
        free(p->edges);
        buf_done(&p->storage);
    }
    *p = (struct partial){0};
}
