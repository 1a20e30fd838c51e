/* SPDX-License-Identifier: Apache-2.0
 * minute_snapshot: head and rows; writer and reader side by side. */
#include "regional/core/minute_snapshot.h"

#define ROWS_HEAD_BYTES 5u
/* Bound of a row besides its sketch: id and its length, three counters, the sketch's length. */
#define ROW_BYTES_MAX (2u + LIMIT_ID_BYTES + 3 * 10 + 2)

_Static_assert(ROWS_HEAD_BYTES + ROW_BYTES_MAX + HLL_BYTES_MAX + 8 <= MINUTE_ROWS_BYTES_MAX,
               "any row fits a value of its own");

/* The checked body of a value; false: damaged. */
static bool open_value(struct span key, struct span value, struct reader *out)
{
    if (value.length < 8)
        return false;
    struct span body = span_of(value.data, value.length - 8);
    *out = reader_of(body);
    return bytes_load_u64(value.data + body.length) == minute_checksum(key, body);
}

void minute_head_write(struct buf *out, uint8_t out_key[MINUTE_HEAD_KEY_BYTES],
                       const struct minute_head *head)
{
    CHECK(head->keys == head->total.counted && head->late <= head->total.counted);
    struct minute_place place = {head->partition, head->total.minute, MINUTE_HEAD};
    minute_place_write(out_key, &place);
    buf_clear(out);
    buf_put_u8(out, MINUTE_SNAPSHOT_VERSION);
    buf_put_u64(out, head->cut);
    buf_put_varint(out, head->keys);
    buf_put_varint(out, head->total.rows);
    buf_put_varint(out, head->total.counted);
    buf_put_varint(out, head->total.duplicate);
    buf_put_varint(out, head->late);
    buf_put_u64(out, head->total.digest);
    buf_put_u64(out, minute_checksum(span_of(out_key, MINUTE_HEAD_KEY_BYTES), buf_span(out)));
}

enum err minute_head_read(struct minute_head *out, struct span key, struct span value)
{
    struct minute_place place;
    struct reader r;
    if (!minute_place_read(&place, key) || place.kind != MINUTE_HEAD ||
        key.length != MINUTE_HEAD_KEY_BYTES || !open_value(key, value, &r))
        return ERR_KV_CORRUPT;
    struct minute_head head = {.partition = place.partition, .total.minute = place.minute};
    uint8_t version = reader_u8(&r);
    head.cut = reader_u64(&r);
    head.keys = reader_varint(&r);
    uint64_t rows = reader_varint(&r);
    head.total.counted = reader_varint(&r);
    head.total.duplicate = reader_varint(&r);
    head.late = reader_varint(&r);
    head.total.digest = reader_u64(&r);
    if (!reader_at_end(&r) || version != MINUTE_SNAPSHOT_VERSION || rows > UINT32_MAX ||
        head.keys != head.total.counted || head.late > head.total.counted)
        return ERR_KV_CORRUPT;
    head.total.rows = (uint32_t)rows;
    *out = head;
    return ERR_OK;
}

void minute_rows_key(uint8_t out[MINUTE_ROWS_KEY_BYTES], uint16_t partition, uint32_t minute,
                     uint64_t ad_hash)
{
    struct minute_place place = {partition, minute, MINUTE_ROWS};
    minute_place_write(out, &place);
    bytes_store_u64(out + MINUTE_PREFIX_BYTES, ad_hash);
}

bool minute_rows_add(struct minute_rows_writer *w, const struct minute_row *row)
{
    uint64_t hash = hash_ad(row->ad_id);
    CHECK(row->ad_id.length >= 1 && row->ad_id.length <= LIMIT_ID_BYTES);
    CHECK(row->sketch.length <= HLL_BYTES_MAX && row->late <= row->counted);
    CHECK(w->count == 0 || hash > w->last_hash);
    if (w->count == 0) {
        buf_clear(&w->value);
        buf_put_u8(&w->value, MINUTE_SNAPSHOT_VERSION);
        buf_put_u32(&w->value, 0); /* the count; minute_rows_seal knows it */
    }
    if (w->value.length + ROW_BYTES_MAX + row->sketch.length + 8 > MINUTE_ROWS_BYTES_MAX)
        return false;
    buf_put_block(&w->value, row->ad_id);
    buf_put_varint(&w->value, row->counted);
    buf_put_varint(&w->value, row->duplicate);
    buf_put_varint(&w->value, row->late);
    buf_put_block(&w->value, row->sketch);
    w->count++;
    w->last_hash = hash;
    return true;
}

void minute_rows_seal(struct minute_rows_writer *w, uint8_t out_key[MINUTE_ROWS_KEY_BYTES])
{
    CHECK(w->count >= 1 && w->value.length > ROWS_HEAD_BYTES);
    minute_rows_key(out_key, w->partition, w->minute, w->last_hash);
    bytes_store_u32(w->value.data + 1, w->count);
    struct span key = span_of(out_key, MINUTE_ROWS_KEY_BYTES);
    buf_put_u64(&w->value, minute_checksum(key, buf_span(&w->value)));
}

void minute_rows_next(struct minute_rows_writer *w)
{
    w->count = 0;
    buf_clear(&w->value);
}

void minute_rows_done(struct minute_rows_writer *w)
{
    buf_done(&w->value);
    *w = (struct minute_rows_writer){0};
}

static bool read_row(struct reader *r, struct minute_row *out)
{
    out->ad_id = reader_block(r, LIMIT_ID_BYTES);
    out->counted = reader_varint(r);
    out->duplicate = reader_varint(r);
    out->late = reader_varint(r);
    out->sketch = reader_block(r, HLL_BYTES_MAX);
    if (r->failed || out->ad_id.length == 0 || out->late > out->counted)
        return false;
    out->ad_hash = hash_ad(out->ad_id);
    return true;
}

/* Nothing of a value is believed before all of it is found good. */
static bool rows_are_good(struct reader r, uint32_t count, uint64_t last_hash)
{
    struct hll sketch = {0};
    struct minute_row row = {0};
    uint64_t hash = 0;
    bool good = count >= 1;
    for (uint32_t i = 0; i < count && good; i++) {
        good = read_row(&r, &row) && (i == 0 || row.ad_hash > hash) &&
               hll_read(&sketch, row.sketch) == ERR_OK;
        hash = row.ad_hash;
    }
    hll_done(&sketch);
    return good && reader_at_end(&r) && hash == last_hash;
}

enum err minute_rows_read(struct span key, struct span value,
                          void (*take)(void *context, const struct minute_row *row), void *context)
{
    struct minute_place place;
    struct reader r;
    if (!minute_place_read(&place, key) || place.kind != MINUTE_ROWS ||
        key.length != MINUTE_ROWS_KEY_BYTES || !open_value(key, value, &r))
        return ERR_KV_CORRUPT;
    uint8_t version = reader_u8(&r);
    uint32_t count = reader_u32(&r);
    if (r.failed || version != MINUTE_SNAPSHOT_VERSION ||
        !rows_are_good(r, count, bytes_load_u64(key.data + MINUTE_PREFIX_BYTES)))
        return ERR_KV_CORRUPT;
    for (uint32_t i = 0; i < count; i++) {
        struct minute_row row;
        CHECK(read_row(&r, &row));
        take(context, &row);
    }
    return ERR_OK;
}
