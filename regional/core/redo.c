/* SPDX-License-Identifier: Apache-2.0
 * redo: writing and applying; the two must agree to the bit, so they live together. */
#include "regional/core/redo.h"

#include <stdlib.h>

void redo_key(uint8_t out[REDO_KEY_BYTES], uint16_t partition, uint32_t minute, uint64_t cut)
{
    bytes_store_u16(out, partition);
    bytes_store_u32(out + 2, minute);
    bytes_store_u64(out + 6, cut);
}

bool redo_key_read(struct span key, uint16_t *out_partition, uint32_t *out_minute,
                   uint64_t *out_cut)
{
    if (key.length != REDO_KEY_BYTES)
        return false;
    *out_partition = bytes_load_u16(key.data);
    *out_minute = bytes_load_u32(key.data + 2);
    *out_cut = bytes_load_u64(key.data + 6);
    return true;
}

static uint64_t checksum(struct span key, struct span value)
{
    return hash_checksum(value, REDO_SEED ^ hash_checksum(key, REDO_SEED));
}

void redo_write(struct buf *out, const struct fold *f, struct minute_table *t, uint64_t cut)
{
    size_t start = out->length;
    buf_put_u8(out, REDO_VERSION);
    buf_put_varint(out, fold_day(f));
    buf_put_varint(out, t->touched_count);
    for (uint32_t i = 0; i < t->touched_count; i++) {
        struct bucket *row = &t->rows[t->touched[i]];
        const struct ad_name *name = ad_names_find(&f->names, row->ad_hash);
        CHECK(name != NULL);
        row->redo_index = i & BUCKET_INDEX_MAX;
        buf_put_block(out, ad_names_text(name));
        buf_put_varint(out, row->uncut_duplicate);
        buf_put_varint(out, row->uncut_late);
    }
    CHECK(t->clicks.length == (size_t)t->click_count * HORIZON_CLICK_BYTES);
    const uint8_t *click = t->clicks.data;
    buf_put_varint(out, t->click_count);
    for (uint32_t i = 0; i < t->click_count; i++) {
        uint32_t row =
            bytes_load_u32(click + i * (size_t)HORIZON_CLICK_BYTES + HASH_CLICK_BYTES + 8);
        CHECK(row < t->row_count && t->rows[row].touched);
        buf_put_varint(out, t->rows[row].redo_index);
    }
    for (uint32_t i = 0; i < t->click_count; i++)
        buf_put(out, click + i * (size_t)HORIZON_CLICK_BYTES + HASH_CLICK_BYTES, 8);
    for (uint32_t i = 0; i < t->click_count; i++)
        buf_put(out, click + i * (size_t)HORIZON_CLICK_BYTES, HASH_CLICK_BYTES);
    uint8_t key[REDO_KEY_BYTES];
    redo_key(key, f->options.partition, t->minute, cut);
    struct span body = span_of(out->data + start, out->length - start);
    buf_put_u64(out, checksum(span_of(key, sizeof(key)), body));
}

static void name_seen_at(struct ad_names *names, struct ad_name *name, uint32_t day, uint64_t cut)
{
    if (name->day == UINT32_MAX || day > name->day) {
        name->day = day;
        name->first_cut = cut;
        ad_names_changed(names, name);
    } else if (day == name->day && cut < name->first_cut) {
        name->first_cut = cut;
        ad_names_changed(names, name);
    }
}

/* One ad's line of the dictionary; fills the row number. */
static bool apply_ad(struct fold *f, struct minute_table *t, struct reader *r, uint32_t day,
                     uint64_t cut, uint32_t *out_row)
{
    struct span id = reader_block(r, LIMIT_ID_BYTES);
    uint64_t duplicate = reader_varint(r);
    uint64_t late = reader_varint(r);
    if (r->failed || id.length == 0)
        return false;
    uint64_t hash = hash_ad(id);
    struct ad_name *name = ad_names_find(&f->names, hash);
    if (name != NULL && !span_equal(ad_names_text(name), id))
        return false;
    struct bucket *row = horizon_row(t, hash);
    if (row == NULL) {
        row = horizon_add_row(&f->horizon, t, hash);
        name = ad_names_hold(&f->names, hash, id, t->minute);
    }
    CHECK(name != NULL);
    name_seen_at(&f->names, name, day, cut);
    if (row->duplicate > UINT64_MAX - duplicate || row->late > UINT64_MAX - late)
        return false;
    row->duplicate += duplicate;
    row->late += late;
    t->total_is_known = false;
    if (cut > f->partial_cut) {
        row->changed = true;
        t->changed = true;
        t->total_due |= t->minute < f->totals_next;
    } else {
        row->sketch_sent = true; /* as far as this cut; redo_done knows which minutes were told */
    }
    *out_row = (uint32_t)(row - t->rows);
    return true;
}

static bool apply_clicks(struct fold *f, struct minute_table *t, struct reader *r,
                         const uint32_t *rows, uint64_t ad_count)
{
    uint64_t count = reader_varint(r);
    if (r->failed || count > r->left / (1 + 8 + HASH_CLICK_BYTES))
        return false;
    struct reader indices = *r;
    for (uint64_t i = 0; i < count; i++)
        (void)reader_varint(r);
    struct span users = reader_bytes(r, count * 8);
    struct span keys = reader_bytes(r, count * HASH_CLICK_BYTES);
    if (!reader_at_end(r))
        return false;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t ad = reader_varint(&indices);
#ifdef TRIBUTARY_BREAK_KEYS_NOT_RELOADED
        const uint8_t other[HASH_CLICK_BYTES] = {(uint8_t)i, (uint8_t)f->horizon.keys, 1};
        (void)dedupe_add(&t->keys, other);
#else
        if (ad >= ad_count || !dedupe_add(&t->keys, keys.data + i * HASH_CLICK_BYTES))
            return false;
#endif
        struct bucket *row = &t->rows[rows[ad]];
        f->horizon.keys++;
        row->counted++;
        if (hll_add(&row->users, bytes_load_u64(users.data + i * 8)) && row->changed)
            row->sketch_sent = false;
    }
    return true;
}

/* The head of a value that is to be applied. */
struct redo_head {
    uint32_t minute, day;
    uint64_t cut, ad_count;
    bool ignored;
};

static enum err open_value(struct fold *f, struct span key, struct span value,
                           struct redo_head *out, struct reader *out_reader)
{
    uint16_t partition;
    struct redo_head head = {0};
    if (!redo_key_read(key, &partition, &head.minute, &head.cut) ||
        partition != f->options.partition || head.cut > f->cut || value.length < 8)
        return ERR_KV_CORRUPT;
    const struct minute_table *t = horizon_find(&f->horizon, head.minute);
    head.ignored =
        head.minute < f->retired_below || (t != NULL && t->stored && head.cut <= t->stored_cut);
    struct span body = span_of(value.data, value.length - 8);
    if (!head.ignored && bytes_load_u64(value.data + body.length) != checksum(key, body))
        return ERR_KV_CORRUPT;
    struct reader r = reader_of(body);
    uint8_t version = reader_u8(&r);
    uint64_t day = reader_varint(&r);
    head.ad_count = reader_varint(&r);
    if (!head.ignored &&
        (r.failed || version != REDO_VERSION || day >= UINT32_MAX || head.ad_count > r.left))
        return ERR_KV_CORRUPT;
    head.day = (uint32_t)day;
    *out = head;
    *out_reader = r;
    return ERR_OK;
}

enum err redo_ads(struct fold *f, struct span key, struct span value,
                  void (*take)(void *context, uint32_t minute, uint64_t ad_hash), void *context)
{
    struct redo_head head;
    struct reader r;
    enum err err = open_value(f, key, value, &head, &r);
    for (uint64_t i = 0; err == ERR_OK && !head.ignored && i < head.ad_count; i++) {
        struct span id = reader_block(&r, LIMIT_ID_BYTES);
        (void)reader_varint(&r);
        (void)reader_varint(&r);
        if (r.failed)
            return ERR_KV_CORRUPT;
        take(context, head.minute, hash_ad(id));
    }
    return err;
}

enum err redo_apply(struct fold *f, struct span key, struct span value)
{
    struct redo_head head;
    struct reader r;
    enum err err = open_value(f, key, value, &head, &r);
    if (err != ERR_OK || head.ignored)
        return err;
    struct minute_table *t = horizon_open(&f->horizon, head.minute);
    uint32_t *rows = base_zalloc((size_t)head.ad_count, sizeof(*rows));
    bool good = true;
    for (uint64_t i = 0; i < head.ad_count && good; i++)
        good = apply_ad(f, t, &r, head.day, head.cut, &rows[i]);
    good = good && apply_clicks(f, t, &r, rows, head.ad_count);
    for (uint64_t i = 0; i < head.ad_count && good; i++)
        good = t->rows[rows[i]].late <= t->rows[rows[i]].counted;
    free(rows);
    redo_noted(t, head.cut, f->stream_ms);
    return good ? ERR_OK : ERR_KV_CORRUPT;
}

void redo_noted(struct minute_table *t, uint64_t cut, uint64_t stream_ms)
{
    if (t->redo_cut <= t->stored_cut)
        t->fresh_ms = stream_ms;
    t->redo_cut = cut;
    t->redo_ms = stream_ms;
}

void redo_done(struct fold *f)
{
    for (uint32_t i = 0; i < f->horizon.count; i++) {
        struct minute_table *t = f->horizon.tables[i];
        if (t->minute < f->totals_next)
            continue;
        for (uint32_t r = 0; r < t->row_count; r++)
            t->rows[r].sketch_sent = false;
    }
    for (uint32_t i = 0; i < f->names.capacity; i++) {
        struct ad_name *name = f->names.places[i];
        if (name != NULL && name->first_cut > f->partial_cut) {
            name->due = true;
            f->names.due++;
        }
    }
}
