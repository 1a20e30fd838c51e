/* SPDX-License-Identifier: Apache-2.0
 * fold_look: needs are keys of the store, sorted; what comes back goes to horizon_page. */
#include "regional/core/fold_look.h"

#include "proto/subject.h"
#include "regional/core/horizon_page.h"
#include "regional/core/redo.h"

#include <stdlib.h>

void fold_look_done(struct fold_needs *needs)
{
    if (needs == NULL)
        return;
    free(needs->items);
    free(needs);
}

static struct fold_needs *no_needs(struct fold *f)
{
    if (f->needs == NULL)
        f->needs = base_zalloc(1, sizeof(*f->needs));
    f->needs->count = 0;
    return f->needs;
}

static struct fold_need *add_need(struct fold_needs *needs)
{
    if (needs->count == needs->capacity) {
        needs->capacity = needs->capacity == 0 ? 64 : needs->capacity * 2;
        needs->items = base_realloc(needs->items, needs->capacity * sizeof(*needs->items));
    }
    struct fold_need *need = &needs->items[needs->count++];
    *need = (struct fold_need){0};
    return need;
}

static void need_key(const struct fold *f, const struct minute_table *t, const uint8_t *key)
{
    if (!horizon_page_lacks_key(t, key))
        return;
    struct fold_need *need = add_need(f->needs);
    need->length = MINUTE_CHUNK_KEY_BYTES;
    minute_chunk_key(need->key, f->options.partition, t->minute, key);
#ifdef TRIBUTARY_BREAK_CHUNK_LOOKED_UP_WRONG
    need->key[MINUTE_PREFIX_BYTES] ^= 0x80;
#endif
}

static void need_row(const struct fold *f, struct minute_table *t, uint64_t ad_hash)
{
    if (!horizon_page_lacks_row(t, ad_hash))
        return;
    struct fold_need *need = add_need(f->needs);
    need->length = MINUTE_ROWS_KEY_BYTES;
    minute_rows_key(need->key, f->options.partition, t->minute, ad_hash);
}

static int by_key(const void *a, const void *b)
{
    const struct fold_need *x = a, *y = b;
    return memcmp(x->key, y->key, sizeof(x->key));
}

/* Bytes after the length are zero, and the kind in the prefix fixes the length: the whole key sorts
 * as the store sorts. */
static const struct fold_needs *sorted(struct fold_needs *needs)
{
    if (needs->count < 2)
        return needs;
    qsort(needs->items, needs->count, sizeof(*needs->items), by_key);
    uint32_t kept = 1;
    for (uint32_t i = 1; i < needs->count; i++) {
        if (by_key(&needs->items[i], &needs->items[kept - 1]) != 0)
            needs->items[kept++] = needs->items[i];
    }
    needs->count = kept;
    return needs;
}

/* Will the clicks of this segment be taken? True also where that is not sure: what is read for
 * nothing does no harm. */
static bool may_be_taken(const struct fold *f, const struct segment_head *head)
{
    const struct edge *edge = edge_book_find(&f->edges, head->edge);
    const struct line *l = edge == NULL ? NULL : edge_book_line(edge, head->epoch);
    uint64_t skip = 0;
    /* A line that was written off is judged anew when it comes back. */
    bool is_judged_anew = l != NULL && l->written_off;
    return is_judged_anew || line_judge(l, head, &skip) == LINE_TAKE;
}

const struct fold_needs *fold_look(struct fold *f, const struct fold_message *m)
{
    struct fold_needs *needs = no_needs(f);
    struct subject control = subject_control(f->options.region, f->options.partition);
    struct segment_head head;
    f->looked = m->data.data;
    f->segment_is_read = false;
    if (f->horizon.stored_count == 0 || strcmp(m->subject, control.text) == 0 ||
        segment_read_head(&head, m->data) != ERR_OK || !may_be_taken(f, &head) ||
        segment_read(&f->segment, m->data) != ERR_OK)
        return needs;
    f->segment_is_read = true;
    const uint32_t expired_below = fold_expired_below(f), last = f->horizon.stored_last;
    for (uint32_t i = 0; i < f->segment.click_count; i++) {
        const struct segment_hot *hot = &f->segment.hot[i];
        CHECK(hot->ad < f->segment.ad_count);
        if (hot->minute > last || hot->minute < expired_below)
            continue;
        struct minute_table *t = horizon_find(&f->horizon, hot->minute);
        if (t == NULL || !t->stored)
            continue;
        need_key(f, t, hot->key);
        need_row(f, t, hash_ad(f->segment.ads[hot->ad]));
    }
    return sorted(needs);
}

static void redo_ad(void *context, uint32_t minute, uint64_t ad_hash)
{
    struct fold *f = context;
    struct minute_table *t = horizon_find(&f->horizon, minute);
    if (t != NULL)
        need_row(f, t, ad_hash);
}

enum err fold_look_redo(struct fold *f, struct span key, struct span value,
                        const struct fold_needs **out)
{
    struct fold_needs *needs = no_needs(f);
    *out = needs;
    if (f->horizon.stored_count == 0)
        return ERR_OK;
    enum err err = redo_ads(f, key, value, redo_ad, f);
    (void)sorted(needs);
    return err;
}

struct found_rows {
    struct fold *fold;
    struct minute_table *table;
    const struct fold_need *needs;
    uint32_t count, at;
    enum err err;
};

static void take_row(void *context, const struct minute_row *row)
{
    struct found_rows *found = context;
    while (found->at < found->count &&
           bytes_load_u64(found->needs[found->at].key + MINUTE_PREFIX_BYTES) < row->ad_hash)
        found->at++;
    if (found->at == found->count || found->err != ERR_OK ||
        bytes_load_u64(found->needs[found->at].key + MINUTE_PREFIX_BYTES) != row->ad_hash)
        return;
    const struct fold *f = found->fold;
    const struct ad_name *name = ad_names_find(&f->names, row->ad_hash);
    if (name == NULL || !span_equal(ad_names_text(name), row->ad_id)) {
        found->err = ERR_KV_CORRUPT; /* a name outlives its rows, here and in the store */
        return;
    }
    found->err = horizon_page_row(&found->fold->horizon, found->table, row);
    /* It went to the store while its minute was open: its sketch is still to be told. */
    if (found->err == ERR_OK && found->table->minute >= f->totals_next)
        horizon_row(found->table, row->ad_hash)->sketch_sent = false;
}

enum err fold_look_found(struct fold *f, const struct fold_need *needs, uint32_t count,
                         struct span key, struct span value, uint32_t *out_answered)
{
    struct minute_place place;
    CHECK(count >= 1);
    bool known = minute_place_read(&place, span_of(needs[0].key, needs[0].length));
    struct minute_table *t = known ? horizon_find(&f->horizon, place.minute) : NULL;
    CHECK(t != NULL && t->stored);
    bool is_there = key.length > 0 && minute_place_holds(&place, key);
    uint32_t n = 1;
    while (n < count && memcmp(needs[n].key, needs[0].key, MINUTE_PREFIX_BYTES) == 0 &&
           (!is_there ||
            memcmp(needs[n].key, key.data, base_min_u64(needs[n].length, key.length)) <= 0))
        n++;
    *out_answered = n;
    if (!is_there)
        return ERR_OK; /* nothing at or after the first, so nothing after the others */
    if (place.kind == MINUTE_ROWS) {
        struct found_rows found = {.fold = f, .table = t, .needs = needs, .count = n};
        enum err err = minute_rows_read(key, value, take_row, &found);
        return err == ERR_OK ? found.err : err;
    }
    struct minute_chunk chunk;
    enum err err = minute_chunk_read(&chunk, key, value);
    for (uint32_t i = 0; i < n && err == ERR_OK; i++) {
        const uint8_t *click = needs[i].key + MINUTE_PREFIX_BYTES;
        if (minute_chunk_has(&chunk, click))
            horizon_page_key(&f->horizon, t, click);
    }
    return err;
}
