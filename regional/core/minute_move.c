/* SPDX-License-Identifier: Apache-2.0
 * minute_move: the copy; bytes first, then the rows that point into them. */
#include "regional/core/minute_move.h"

#include "regional/core/horizon_page.h"

#include <stdlib.h>

static bool has_passed(const struct fold *f, uint64_t since_ms, uint64_t ms)
{
    return f->stream_ms < since_ms || f->stream_ms - since_ms >= ms;
}

bool minute_move_may(const struct minute_table *t)
{
    if (t->moving || t->changed || t->touched_count > 0)
        return false;
    return t->row_count > 0 || dedupe_count(&t->keys) > 0;
}

uint64_t minute_move_weight(const struct minute_table *t)
{
    uint64_t bytes = t->keys.bytes + (uint64_t)t->row_capacity * sizeof(*t->rows);
    return bytes + ((uint64_t)t->slot_capacity + t->touched_capacity) * sizeof(uint32_t);
}

bool minute_move_is_due(const struct fold *f, const struct minute_table *t)
{
    const uint64_t settle_ms = f->options.settle_ms;
    if (settle_ms == 0 || t->minute >= f->totals_next || t->total_due || !minute_move_may(t))
        return false;
    return has_passed(f, t->redo_ms, settle_ms) ||
           has_passed(f, t->fresh_ms, settle_ms * MINUTE_MOVE_PATIENCE);
}

static int by_hash(const void *left, const void *right)
{
    const struct bucket *a = *(struct bucket *const *)left, *b = *(struct bucket *const *)right;
    return a->ad_hash < b->ad_hash ? -1 : a->ad_hash > b->ad_hash;
}

static void copy_rows(struct minute_move *m, const struct fold *f, struct minute_table *t)
{
    struct bucket **sorted = base_zalloc(t->row_count, sizeof(struct bucket *));
    for (uint32_t i = 0; i < t->row_count; i++)
        sorted[i] = &t->rows[i];
    if (t->row_count > 1)
        qsort(sorted, t->row_count, sizeof(struct bucket *), by_hash);
    m->row_count = t->row_count;
    m->rows = base_zalloc(t->row_count, sizeof(*m->rows));
    for (uint32_t i = 0; i < t->row_count; i++) {
        const struct bucket *b = sorted[i];
        const struct ad_name *name = ad_names_find(&f->names, b->ad_hash);
        CHECK(name != NULL && !b->changed);
        size_t at = m->bytes.length;
        buf_put(&m->bytes, name->text, name->length);
        hll_put(&b->users, &m->bytes);
        m->rows[i] = (struct minute_row){
            .ad_hash = b->ad_hash,
            .counted = b->counted,
            .duplicate = b->duplicate,
            .late = b->late,
            .ad_id = {NULL, name->length},
            .sketch = {NULL, m->bytes.length - at - name->length},
        };
        m->head.late += b->late;
    }
    const uint8_t *next = m->bytes.data;
    for (uint32_t i = 0; i < t->row_count; i++) {
        m->rows[i].ad_id.data = next;
        m->rows[i].sketch.data = next + m->rows[i].ad_id.length;
        next = m->rows[i].sketch.data + m->rows[i].sketch.length;
    }
    free(sorted);
}

void minute_move_make(struct minute_move *m, const struct fold *f, struct minute_table *t)
{
    const struct partial_total *total = horizon_total(t);
    *m = (struct minute_move){.head = {.partition = f->options.partition,
                                       .cut = f->cut,
                                       .keys = total->counted,
                                       .late = t->rest_late,
                                       .total = *total}};
    size_t count = dedupe_count(&t->keys);
    buf_reserve(&m->keys, count * HASH_CLICK_BYTES);
    m->keys.length = count * HASH_CLICK_BYTES;
    dedupe_copy(&t->keys, m->keys.data);
    minute_chunk_sort(m->keys.data, count);
    copy_rows(m, f, t);
    t->moving = true;
}

void minute_move_done(struct minute_move *m)
{
    buf_done(&m->keys);
    free(m->rows);
    buf_done(&m->bytes);
    *m = (struct minute_move){0};
}

void minute_move_commit(struct fold *f, const struct minute_move *m)
{
    struct minute_table *t = horizon_find(&f->horizon, m->head.total.minute);
    if (t == NULL || !t->moving)
        return;
    t->stored_cut = m->head.cut;
    horizon_page_out(&f->horizon, t);
}
