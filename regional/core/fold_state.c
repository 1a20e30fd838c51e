/* SPDX-License-Identifier: Apache-2.0
 * fold_state: fixed order, big-endian, checksummed. */
#include "regional/core/fold_state.h"

#include "proto/subject.h"

uint64_t fold_state_digest(struct span message)
{
    return hash_checksum(message, FOLD_STATE_SEED);
}

static void put_line(struct buf *out, const struct line *l)
{
    buf_put_u64(out, l->epoch);
    buf_put_varint(out, l->floor);
    buf_put_varint(out, l->gap_first);
    buf_put_varint(out, l->clock_ms);
    buf_put_varint(out, l->heard_ms);
    buf_put_varint(out, l->listed_ms);
    buf_put_varint(out, l->accepted);
    buf_put_u8(out, (uint8_t)(l->heard | l->finished << 1 | l->written_off << 2));
}

static void put_edges(struct buf *out, const struct edge_book *book)
{
    buf_put_varint(out, book->count);
    for (uint32_t i = 0; i < book->count; i++) {
        const struct edge *e = &book->edges[i];
        buf_put_block(out, span_of_text(e->name));
        buf_put_u8(out, (uint8_t)(e->enrolled | e->missing << 1 | e->given_up << 2 |
                                  e->told_missing << 3));
        buf_put_u64(out, e->newest_epoch);
        buf_put_varint(out, e->line_count);
        for (uint32_t l = 0; l < e->line_count; l++)
            put_line(out, &e->lines[l]);
    }
}

void fold_state_write(struct buf *out, const struct fold *f, const struct fold_position *position)
{
    buf_clear(out);
    bool has_grown = f->map.count > 1;
    buf_put_u8(out, has_grown ? FOLD_STATE_VERSION_MAP : FOLD_STATE_VERSION);
    buf_put_block(out, span_of_text(f->options.region));
    buf_put_u16(out, f->options.partition);
    buf_put_u16(out, f->options.partitions);
    buf_put_u64(out, position->seq);
    buf_put_u64(out, position->digest);
    buf_put_u64(out, f->cut);
    buf_put_u64(out, f->stream_ms);
    buf_put_u64(out, f->watermark_ms);
    buf_put_u64(out, f->cut_second);
    buf_put_u8(out, f->uncut);
    buf_put_u64(out, f->books.folded);
    buf_put_u64(out, f->books.counted);
    buf_put_u64(out, f->books.duplicate);
    buf_put_u64(out, f->books.carried);
    buf_put_u64(out, f->partial_ms);
    buf_put_u64(out, f->partial_cut);
    buf_put_u8(out, f->totals_begun);
    buf_put_u32(out, f->totals_first);
    buf_put_u32(out, f->totals_next);
    buf_put_u32(out, f->slice_next);
    buf_put_u32(out, f->retired_below);
    buf_put_u64(out, f->control_floor);
    for (unsigned i = 0; i < FOLD_APPLIED; i++) {
        buf_put_u64(out, f->applied[i].number);
        buf_put_u64(out, f->applied[i].nonce);
    }
    put_edges(out, &f->edges);
    if (has_grown)
        partition_map_put(&f->map, out);
    buf_put_u64(out, hash_checksum(buf_span(out), FOLD_STATE_SEED));
}

static bool read_line(struct edge *e, struct reader *r, uint64_t *epoch_before)
{
    uint64_t epoch = reader_u64(r);
    if (r->failed || epoch <= *epoch_before)
        return false;
    *epoch_before = epoch;
    struct line *l = edge_book_open_line(e, epoch, 0);
    l->floor = reader_varint(r);
    l->gap_first = reader_varint(r);
    l->clock_ms = reader_varint(r);
    l->heard_ms = reader_varint(r);
    l->listed_ms = reader_varint(r);
    l->accepted = reader_varint(r);
    uint8_t flags = reader_u8(r);
    l->heard = flags & 1;
    l->finished = flags & 2;
    l->written_off = flags & 4;
    l->cut_floor = l->durable_floor = l->floor;
    l->cut_known = l->durable = true;
    l->cut_finished = l->durable_finished = l->finished;
    return !r->failed && flags < 8;
}

static bool read_edges(struct edge_book *book, struct reader *r)
{
    uint64_t count = reader_varint(r);
    for (uint64_t i = 0; i < count; i++) {
        char name[LIMIT_EDGE_NAME_BYTES + 1] = {0};
        struct span text = reader_block(r, LIMIT_EDGE_NAME_BYTES);
        if (r->failed)
            return false;
        memcpy(name, text.data, text.length);
        struct edge *e =
            subject_name_is_valid(name, LIMIT_EDGE_NAME_BYTES) ? edge_book_open(book, name) : NULL;
        if (e == NULL || book->count != i + 1)
            return false;
        uint8_t flags = reader_u8(r);
        e->enrolled = flags & 1;
        e->missing = flags & 2;
        e->given_up = flags & 4;
        e->told_missing = flags & 8;
        e->newest_epoch = reader_u64(r);
        uint64_t lines = reader_varint(r), epoch_before = 0;
        for (uint64_t l = 0; l < lines; l++) {
            if (!read_line(e, r, &epoch_before))
                return false;
        }
    }
    return !r->failed;
}

static void read_numbers(struct fold *f, struct fold_position *position, struct reader *r)
{
    position->seq = reader_u64(r);
    position->digest = reader_u64(r);
    f->cut = reader_u64(r);
    f->stream_ms = reader_u64(r);
    f->watermark_ms = reader_u64(r);
    f->cut_second = reader_u64(r);
    f->uncut = reader_u8(r) != 0;
    f->books.folded = reader_u64(r);
    f->books.counted = reader_u64(r);
    f->books.duplicate = reader_u64(r);
    f->books.carried = reader_u64(r);
    f->partial_ms = reader_u64(r);
    f->partial_cut = reader_u64(r);
    f->totals_begun = reader_u8(r) != 0;
    f->totals_first = reader_u32(r);
    f->totals_next = reader_u32(r);
    f->slice_next = reader_u32(r);
    f->retired_below = reader_u32(r);
    f->control_floor = reader_u64(r);
    for (unsigned i = 0; i < FOLD_APPLIED; i++) {
        f->applied[i].number = reader_u64(r);
        f->applied[i].nonce = reader_u64(r);
    }
}

enum err fold_state_read(struct fold *f, struct fold_position *out_position, struct span value)
{
    if (value.length < 8)
        return ERR_KV_CORRUPT;
    struct span body = span_of(value.data, value.length - 8);
    if (bytes_load_u64(value.data + body.length) != hash_checksum(body, FOLD_STATE_SEED))
        return ERR_KV_CORRUPT;
    struct reader r = reader_of(body);
    uint8_t version = reader_u8(&r);
    struct span region = reader_block(&r, LIMIT_REGION_NAME_BYTES);
    uint16_t partition = reader_u16(&r);
    uint16_t partitions = reader_u16(&r);
    bool has_grown = version == FOLD_STATE_VERSION_MAP;
    if (r.failed || (version != FOLD_STATE_VERSION && !has_grown))
        return ERR_KV_CORRUPT;
    if (!span_equal(region, span_of_text(f->options.region)) || partition != f->options.partition ||
        partitions != f->options.partitions)
        return ERR_CONFIG;
    struct fold_position position = {0};
    read_numbers(f, &position, &r);
    bool good = read_edges(&f->edges, &r);
    if (good && has_grown)
        good = partition_map_get(&f->map, &r) && f->map.count > 1 &&
               f->map.steps[0].partitions == partitions;
    good = good && reader_at_end(&r);
    if (!good || f->books.folded != f->books.counted + f->books.duplicate + f->books.carried ||
        f->partial_cut > f->cut || f->totals_first > f->totals_next)
        return ERR_KV_CORRUPT;
    *out_position = position;
    return ERR_OK;
}
