/* SPDX-License-Identifier: Apache-2.0
 * archive_state:
 *
 *   checksum u64 (XXH3-64 of the rest), version u8, region block, partition u16
 *   cut, stream_ms, position: seq, digest, each u64
 *   varint edges, each: block name, varint lines, each:
 *       epoch u64, varints floor, island_first, island_last, end + 1 or 0, gap_first, heard_ms */
#include "regional/core/archive_state.h"

#define STATE_SEED 0x41535441ULL

void archive_state_write(struct buf *out, const struct archive *a)
{
    buf_clear(out);
    buf_put_u64(out, 0);
    buf_put_u8(out, ARCHIVE_STATE_VERSION);
    buf_put_block(out, span_of_text(a->options.who.region));
    buf_put_u16(out, a->options.who.partition);
    buf_put_u64(out, a->cut);
    buf_put_u64(out, a->stream_ms);
    buf_put_u64(out, a->position.seq);
    buf_put_u64(out, a->position.digest);
    buf_put_varint(out, a->book.count);
    for (uint32_t i = 0; i < a->book.count; i++) {
        const struct archive_edge *edge = &a->book.edges[i];
        buf_put_block(out, span_of_text(edge->name));
        buf_put_varint(out, edge->line_count);
        for (uint32_t l = 0; l < edge->line_count; l++) {
            const struct archive_line *line = &edge->lines[l];
            buf_put_u64(out, line->epoch);
            buf_put_varint(out, line->floor);
            buf_put_varint(out, line->island_first);
            buf_put_varint(out, line->island_last);
            buf_put_varint(out, line->ended ? line->end + 1 : 0);
            buf_put_varint(out, line->gap_first);
            buf_put_varint(out, line->heard_ms);
        }
    }
    buf_set_u64(out, 0, hash_checksum(span_of(out->data + 8, out->length - 8), STATE_SEED));
}

static bool read_line(struct reader *r, struct archive_edge *edge)
{
    uint64_t epoch = reader_u64(r);
    if (r->failed || epoch == 0)
        return false;
    if (edge->line_count > 0 && edge->lines[edge->line_count - 1].epoch >= epoch)
        return false;
    struct archive_line *line = archive_book_open_line(edge, epoch);
    line->floor = reader_varint(r);
    line->island_first = reader_varint(r);
    line->island_last = reader_varint(r);
    uint64_t behind_end = reader_varint(r);
    line->ended = behind_end > 0;
    line->end = behind_end > 0 ? behind_end - 1 : 0;
    line->gap_first = reader_varint(r);
    line->heard_ms = reader_varint(r);
    bool no_island = line->island_first == 0 && line->island_last == 0;
    bool island = line->floor < line->island_first && line->island_first < line->island_last;
    return !r->failed && (no_island || island);
}

static bool read_edge(struct reader *r, struct archive_book *book)
{
    char name[LIMIT_EDGE_NAME_BYTES + 1] = {0};
    struct span text = reader_block(r, LIMIT_EDGE_NAME_BYTES);
    uint64_t lines = reader_varint(r);
    if (r->failed || text.length == 0)
        return false;
    memcpy(name, text.data, text.length);
    if (strlen(name) != text.length ||
        (book->count > 0 && strcmp(book->edges[book->count - 1].name, name) >= 0))
        return false;
    struct archive_edge *edge = archive_book_open(book, name);
    for (uint64_t l = 0; edge != NULL && l < lines; l++) {
        if (!read_line(r, edge))
            return false;
    }
    return edge != NULL;
}

enum err archive_state_read(struct archive *a, struct span value)
{
    struct reader r = reader_of(value);
    uint64_t checksum = reader_u64(&r);
    if (r.failed || checksum != hash_checksum(span_of(r.data, r.left), STATE_SEED))
        return ERR_KV_CORRUPT;
    uint8_t version = reader_u8(&r);
    struct span region = reader_block(&r, LIMIT_REGION_NAME_BYTES);
    uint16_t partition = reader_u16(&r);
    if (r.failed || version != ARCHIVE_STATE_VERSION)
        return ERR_KV_CORRUPT;
    if (!span_equal(region, span_of_text(a->options.who.region)) ||
        partition != a->options.who.partition)
        return ERR_CONFIG;
    a->cut = reader_u64(&r);
    a->stream_ms = reader_u64(&r);
    a->position.seq = reader_u64(&r);
    a->position.digest = reader_u64(&r);
    uint64_t edges = reader_varint(&r);
    for (uint64_t i = 0; !r.failed && i < edges; i++) {
        if (!read_edge(&r, &a->book))
            return ERR_KV_CORRUPT;
    }
    return reader_at_end(&r) ? ERR_OK : ERR_KV_CORRUPT;
}
