/* SPDX-License-Identifier: Apache-2.0
 * horizon: a sorted array of tables; a table is an array of rows and an index by ad hash. */
#include "regional/core/horizon.h"

#include <stdlib.h>

static void table_free(struct minute_table *t)
{
    for (uint32_t i = 0; i < t->row_count; i++)
        bucket_done(&t->rows[i]);
    free(t->rows_block);
    free(t->slots);
    free(t->touched);
    dedupe_done(&t->keys);
    buf_done(&t->clicks);
    free(t);
}

void horizon_done(struct horizon *h)
{
    for (uint32_t i = 0; i < h->count; i++)
        table_free(h->tables[i]);
    free(h->tables);
    *h = (struct horizon){0};
}

uint32_t horizon_first_from(const struct horizon *h, uint32_t minute)
{
    uint32_t low = 0, high = h->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (h->tables[middle]->minute < minute)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct minute_table *horizon_find(struct horizon *h, uint32_t minute)
{
    if (h->recent != NULL && h->recent->minute == minute)
        return h->recent;
    uint32_t at = horizon_first_from(h, minute);
    if (at == h->count || h->tables[at]->minute != minute)
        return NULL;
    h->recent = h->tables[at];
    return h->recent;
}

struct minute_table *horizon_open(struct horizon *h, uint32_t minute)
{
    struct minute_table *found = horizon_find(h, minute);
    if (found != NULL)
        return found;
    if (h->count == h->capacity) {
        h->capacity = h->capacity == 0 ? 16 : h->capacity * 2;
        h->tables = base_realloc(h->tables, h->capacity * sizeof(struct minute_table *));
    }
    uint32_t at = horizon_first_from(h, minute);
    memmove(h->tables + at + 1, h->tables + at, (h->count - at) * sizeof(struct minute_table *));
    struct minute_table *t = base_zalloc(1, sizeof(*t));
    t->minute = minute;
    h->tables[at] = t;
    h->count++;
    h->recent = t;
    return t;
}

/* Scaled, not masked, so that any capacity will do. From low bits: the high ones choose the
 * partition. */
static uint32_t home_of(const struct minute_table *t, uint64_t ad_hash)
{
    return (uint32_t)(((ad_hash & UINT32_MAX) * 0x9E3779B1u & UINT32_MAX) * t->slot_capacity >> 32);
}

static uint32_t *slot_of(const struct minute_table *t, uint64_t ad_hash)
{
    uint32_t at = home_of(t, ad_hash);
    while (t->slots[at] != 0 && t->rows[t->slots[at] - 1].ad_hash != ad_hash)
        at = at + 1 == t->slot_capacity ? 0 : at + 1;
    return &t->slots[at];
}

struct bucket *horizon_row(struct minute_table *t, uint64_t ad_hash)
{
    if (t->slot_capacity == 0)
        return NULL;
    uint32_t number = *slot_of(t, ad_hash);
    return number == 0 ? NULL : &t->rows[number - 1];
}

static void widen_slots(struct minute_table *t)
{
    t->slot_capacity = t->slot_capacity == 0 ? 16 : t->slot_capacity / 2 * 3;
    free(t->slots);
    t->slots = base_zalloc(t->slot_capacity, sizeof(*t->slots));
    for (uint32_t i = 0; i < t->row_count; i++)
        *slot_of(t, t->rows[i].ad_hash) = i + 1;
}

static char *line_after(char *p)
{
    return p + (64 - (uintptr_t)p % 64) % 64;
}

/* Many rows grow by an eighth: the allocator moves such blocks by page tables, and half of a
 * doubled block would be slack. */
static void widen_rows(struct minute_table *t)
{
    uint32_t before = t->row_capacity;
    t->row_capacity = before < 1024 ? (before == 0 ? 4 : before * 2) : before + before / 8;
    size_t shift = t->rows == NULL ? 0 : (size_t)((char *)t->rows - (char *)t->rows_block);
    t->rows_block =
        base_realloc(t->rows_block, (size_t)t->row_capacity * sizeof(struct bucket) + 63);
    char *rows = line_after(t->rows_block);
    if (t->row_count > 0 && rows != (char *)t->rows_block + shift)
        memmove(rows, (char *)t->rows_block + shift, t->row_count * sizeof(struct bucket));
    t->rows = (struct bucket *)(void *)rows;
}

struct bucket *horizon_add_row(struct horizon *h, struct minute_table *t, uint64_t ad_hash)
{
    CHECK(t->row_count < BUCKET_INDEX_MAX);
    if (t->row_count == t->row_capacity)
        widen_rows(t);
    if ((uint64_t)t->row_count * 8 >= (uint64_t)t->slot_capacity * 5)
        widen_slots(t);
    uint32_t *slot = slot_of(t, ad_hash);
    CHECK(*slot == 0);
    struct bucket *row = &t->rows[t->row_count];
    *row = (struct bucket){.ad_hash = ad_hash, .minute = t->minute};
    *slot = ++t->row_count;
    h->rows++;
    return row;
}

uint64_t horizon_bytes(const struct horizon *h)
{
    uint64_t bytes = h->capacity * sizeof(struct minute_table *);
    for (uint32_t i = 0; i < h->count; i++) {
        const struct minute_table *t = h->tables[i];
        bytes += sizeof(*t) + t->keys.bytes + t->clicks.capacity;
        bytes += (uint64_t)t->row_capacity * sizeof(*t->rows);
        bytes += ((uint64_t)t->slot_capacity + t->touched_capacity) * sizeof(uint32_t);
        for (uint32_t r = 0; r < t->row_count; r++)
            bytes += hll_heap_bytes(&t->rows[r].users);
    }
    return bytes;
}

void horizon_prefetch_slot(const struct minute_table *t, uint64_t ad_hash)
{
    if (t->slot_capacity > 0)
        __builtin_prefetch(&t->slots[home_of(t, ad_hash)]);
}

void horizon_prefetch_row(const struct minute_table *t, uint64_t ad_hash)
{
    uint32_t number = t->slot_capacity == 0 ? 0 : t->slots[home_of(t, ad_hash)];
    if (number > 0)
        __builtin_prefetch(&t->rows[number - 1], 1);
}

void horizon_touch(struct minute_table *t, struct bucket *row)
{
    t->changed = true;
    t->total_is_known = false;
    t->moving = false;
    if (row->touched)
        return;
    if (t->touched_count == t->touched_capacity) {
        t->touched_capacity = t->touched_capacity == 0 ? 16 : t->touched_capacity * 2;
        t->touched = base_realloc(t->touched, t->touched_capacity * sizeof(*t->touched));
    }
    row->touched = true;
    t->touched[t->touched_count++] = (uint32_t)(row - t->rows);
}

void horizon_log_click(struct minute_table *t, const struct bucket *row, const uint8_t *key,
                       uint64_t user_hash)
{
    CHECK(row->touched);
    struct buf *log = &t->clicks;
    if (log->capacity - log->length < HORIZON_CLICK_BYTES)
        buf_reserve(log, HORIZON_CLICK_BYTES);
    uint8_t *record = log->data + log->length;
    memcpy(record, key, HASH_CLICK_BYTES);
    bytes_store_u64(record + HASH_CLICK_BYTES, user_hash);
    bytes_store_u32(record + HASH_CLICK_BYTES + 8, (uint32_t)(row - t->rows));
    log->length += HORIZON_CLICK_BYTES;
    t->click_count++;
}

void horizon_cut(struct minute_table *t)
{
    for (uint32_t i = 0; i < t->touched_count; i++) {
        struct bucket *row = &t->rows[t->touched[i]];
        CHECK(row->touched);
        row->touched = false;
        row->uncut_duplicate = 0;
        row->uncut_late = 0;
    }
    t->touched_count = 0;
    t->click_count = 0;
    /* Old minutes are not touched again: keep no scratch for a whole day of them. */
    buf_done(&t->clicks);
}

const struct partial_total *horizon_total(struct minute_table *t)
{
    if (t->total_is_known)
        return &t->total;
    struct buf sketch = {0};
    struct partial_total total = t->rest;
    total.minute = t->minute;
    total.rows += t->row_count;
    for (uint32_t i = 0; i < t->row_count; i++) {
        buf_clear(&sketch);
        hll_put(&t->rows[i].users, &sketch);
        struct partial_row row = bucket_row(&t->rows[i], buf_span(&sketch));
        total.counted += row.counted;
        total.duplicate += row.duplicate;
        total.digest += partial_row_digest(&row);
    }
    buf_done(&sketch);
    t->total = total;
    t->total_is_known = true;
    return &t->total;
}

void horizon_retire(struct horizon *h, struct ad_names *names, uint32_t below)
{
    uint32_t gone = horizon_first_from(h, below);
    for (uint32_t i = 0; i < gone; i++) {
        struct minute_table *t = h->tables[i];
        CHECK(!t->changed && t->touched_count == 0);
        CHECK(h->rows >= t->row_count && h->keys >= dedupe_count(&t->keys));
        h->rows -= t->row_count;
        h->keys -= dedupe_count(&t->keys);
        h->stored_count -= t->stored;
        table_free(t);
    }
    ad_names_retire(names, below);
    if (gone == 0)
        return;
    h->count -= gone;
    memmove(h->tables, h->tables + gone, h->count * sizeof(struct minute_table *));
    h->recent = NULL;
}
