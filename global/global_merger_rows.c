/* SPDX-License-Identifier: Apache-2.0
 * global_merger_rows: names and rows of one partial into NAME, PAGE and SKETCH, and the change into
 * the books. */
#include "global/global_merger_state.h"

#include "common/base/hash.h"

#include <stdlib.h>

static enum err take_names(struct merger_message *message)
{
    struct merger *m = message->merger;
    const struct partial *p = message->partial;
    for (uint32_t i = 0; i < p->name_count; i++) {
        const struct partial_name *name = &p->names[i];
        if (hash_ad(name->ad_id) != name->ad_hash) {
            m->view.refused++;
            continue;
        }
        struct span known;
        struct leaf_key key = leaf_key_name(name->ad_hash);
        /* The name proves itself by its hash: no seal. */
        if (!kv_get(m->txn, LEAF_TABLE_NAME, leaf_key_span(&key), &known)) {
            merger_store_put_name(m, name->ad_hash, name->ad_id);
        } else if (!span_equal(known, name->ad_id)) {
            m->view.collisions++;
            continue;
        }
        merger_totals_unwant(message, WANT_LIST_NAME, name->ad_hash);
    }
    return ERR_OK;
}

static void want_name(struct merger_message *message, uint64_t ad_hash)
{
    struct span name;
    struct leaf_key key = leaf_key_name(ad_hash);
    if (!kv_get(message->merger->txn, LEAF_TABLE_NAME, leaf_key_span(&key), &name))
        merger_totals_want(message, WANT_LIST_NAME, ad_hash, false, WANT_LIST_FIRST_MS);
}

static struct completeness_row row_of(const struct page_entry *e, uint64_t ad_hash, uint32_t hour,
                                      struct span sketch)
{
    return (struct completeness_row){
        .counted = e->counted,
        .duplicate = e->duplicate,
        .digest = merge_digest(e, ad_hash, hour, sketch),
    };
}

static bool same_entry(const struct page_entry *a, const struct page_entry *b)
{
    bool same = a->has_sketch == b->has_sketch && a->generation == b->generation &&
                a->counted == b->counted && a->duplicate == b->duplicate && a->late == b->late;
    for (unsigned i = 0; i < PARTIAL_FLAG_SLOTS; i++)
        same = same && a->flagged[i] == b->flagged[i];
    return same;
}

/* The stored sketch of an entry, copied: the next put would take it away. */
static enum err load_sketch(struct merger_message *message, const struct partial_row *row,
                            bool has_sketch)
{
    struct merger *m = message->merger;
    buf_clear(&m->old_sketch);
    if (!has_sketch)
        return ERR_OK;
    enum err err = ERR_OK;
    struct span body;
    struct leaf_key key =
        leaf_key_sketch(row->ad_hash, row->minute, message->river->id, message->partial->partition);
    if (!merger_store_get(m, LEAF_TABLE_SKETCH, key, &body, &err))
        return ERR_KV_CORRUPT; /* the page says that there is one */
    buf_put(&m->old_sketch, body.data, body.length);
    return ERR_OK;
}

/* The estimate of all sketches of the row's minute: ours as it is now, and those of the others as
 * they are stored. Sketches only grow, but a row of a higher generation may take one away. */
static enum err count_users(struct merger_message *message, const struct partial_row *row)
{
    struct merger *m = message->merger;
    enum err err = ERR_OK;
    hll_clear(&m->sketches[0]);
    if (m->new_sketch.length > 0)
        err = hll_read(&m->sketches[0], buf_span(&m->new_sketch));
    for (uint32_t i = 0; err == ERR_OK && i < m->page.count; i++) {
        const struct page_entry *e = &m->page.entries[i];
        struct span body;
        bool ours = e->region == message->river->id && e->partition == message->partial->partition;
        if (ours || !e->has_sketch || e->minute != row->minute % PAGE_MINUTES)
            continue;
        struct leaf_key key = leaf_key_sketch(row->ad_hash, row->minute, e->region, e->partition);
        if (!merger_store_get(m, LEAF_TABLE_SKETCH, key, &body, &err))
            return ERR_KV_CORRUPT; /* the page says that there is one */
        err = hll_read(&m->sketches[1], body);
        (void)hll_merge(&m->sketches[0], &m->sketches[1]);
    }
    m->page.users[row->minute % PAGE_MINUTES] = hll_estimate(&m->sketches[0]);
    return err == ERR_OK ? ERR_OK : ERR_KV_CORRUPT;
}

static void store_sketch(struct merger_message *message, const struct partial_row *row)
{
    struct merger *m = message->merger;
    struct leaf_key key =
        leaf_key_sketch(row->ad_hash, row->minute, message->river->id, message->partial->partition);
    if (m->new_sketch.length == 0) {
        kv_del(m->txn, LEAF_TABLE_SKETCH, leaf_key_span(&key));
        return;
    }
    buf_clear(&m->value);
    buf_put(&m->value, m->new_sketch.data, m->new_sketch.length);
    merger_store_put(m, LEAF_TABLE_SKETCH, key, &m->value);
}

/* Joins one row into the open page and moves the books by the difference. */
static enum err take_row(struct merger_message *message, const struct partial_row *row,
                         bool *out_changed)
{
    struct merger *m = message->merger;
    uint32_t hour = row->minute / PAGE_MINUTES;
    bool made;
    struct page_entry *entry = page_at(&m->page, message->river->id, message->partial->partition,
                                       (uint8_t)(row->minute % PAGE_MINUTES), &made);
    enum err err = load_sketch(message, row, entry->has_sketch);
    struct minute_books_entry *book = merger_totals_book(message, row->minute, &err);
    if (err != ERR_OK)
        return err;
    /* A row without its book: the store is damaged, or has failed since the page was read and hands
     * out nothing now. */
    if (!made && book->book.own.rows == 0)
        return ERR_KV_CORRUPT;
    struct page_entry old = *entry;
    struct completeness_row before = row_of(&old, row->ad_hash, hour, buf_span(&m->old_sketch));

    enum merge_rank rank = merge_join(entry, made, row);
    m->view.rows++;
    if (rank == MERGE_OLDER) {
        m->view.rows_older++;
        return ERR_OK;
    }
    struct span kept = buf_span(&m->old_sketch);
    if (rank == MERGE_NEWER)
        kept.length = 0;
    if (merge_sketch(kept, row->sketch, m->sketches, &m->new_sketch) != ERR_OK)
        m->view.bad_sketches++; /* the row counts; its digest will not match, so it is asked for
                                   again */
    entry->has_sketch = m->new_sketch.length > 0;
    if (!made && same_entry(&old, entry) &&
        span_equal(buf_span(&m->old_sketch), buf_span(&m->new_sketch)))
        return ERR_OK;

    CHECK(rank == MERGE_NEWER || entry->counted >= old.counted);
    struct completeness_row after = row_of(entry, row->ad_hash, hour, buf_span(&m->new_sketch));
    completeness_change(&book->book.own, made ? NULL : &before, &after);
    message->standing->merged += after.counted - (made ? 0 : before.counted); /* a refold: less */
    book->dirty = true;
    if (!span_equal(buf_span(&m->old_sketch), buf_span(&m->new_sketch))) {
        err = count_users(message, row);
        store_sketch(message, row);
    }
    m->view.rows_changed++;
    *out_changed = true;
    return err;
}

/* What the message itself holds of a minute: a whole answer proves itself by these sums. */
static enum err count_message(struct merger_message *message, const struct partial_row *row)
{
    enum err err = ERR_OK;
    struct minute_books_entry *book = merger_totals_book(message, row->minute, &err);
    if (err != ERR_OK)
        return err;
    struct completeness_row sent = {row->counted, row->duplicate, partial_row_digest(row)};
    completeness_change(&book->message, NULL, &sent);
    return ERR_OK;
}

static int compare_rows(const void *a, const void *b, void *context)
{
    const struct partial_row *rows = context;
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;
    if (rows[left].ad_hash != rows[right].ad_hash)
        return rows[left].ad_hash < rows[right].ad_hash ? -1 : 1;
    if (rows[left].minute != rows[right].minute)
        return rows[left].minute < rows[right].minute ? -1 : 1;
    return left < right ? -1 : left > right;
}

static void sort_rows(struct merger *m, const struct partial *p)
{
    if (p->row_count > m->row_capacity) {
        m->row_capacity = p->row_count;
        m->row_order = base_realloc(m->row_order, m->row_capacity * sizeof(m->row_order[0]));
    }
    for (uint32_t i = 0; i < p->row_count; i++)
        m->row_order[i] = i;
    if (p->row_count > 1)
        qsort_r(m->row_order, p->row_count, sizeof(m->row_order[0]), compare_rows, p->rows);
}

static enum err open_page(struct merger *m, uint64_t ad_hash, uint32_t hour)
{
    enum err err = ERR_OK;
    struct span body;
    page_clear(&m->page);
    if (!merger_store_get(m, LEAF_TABLE_PAGE, leaf_key_page(ad_hash, hour), &body, &err))
        return err;
    return page_read(&m->page, body) == ERR_OK ? ERR_OK : ERR_KV_CORRUPT;
}

/* The page's sum takes its place among the hours of its day. Set, not added: a refold may lower it.
 */
static enum err roll_up(struct merger *m, uint64_t ad_hash, uint32_t hour)
{
    struct leaf_key key = leaf_key_rollup(ad_hash, hour / ROLLUP_HOURS);
    struct rollup day = {.present = 0};
    struct span body;
    enum err err = ERR_OK;
    uint64_t clicks = 0;
    for (uint32_t i = 0; i < m->page.count; i++)
        clicks += m->page.entries[i].counted;
    if (merger_store_get(m, LEAF_TABLE_ROLLUP, key, &body, &err) &&
        rollup_read(&day, body) != ERR_OK)
        err = ERR_KV_CORRUPT;
    if (err != ERR_OK || !rollup_set(&day, hour % ROLLUP_HOURS, clicks))
        return err;
    buf_clear(&m->value);
    rollup_put(&day, &m->value);
    merger_store_put(m, LEAF_TABLE_ROLLUP, key, &m->value);
    return ERR_OK;
}

/* Rows of an hour that is kept no longer: with its page gone they would count anew from nothing. */
static void refuse_page(struct merger_message *message, uint64_t ad_hash, uint32_t hour,
                        uint32_t *at)
{
    const struct partial *p = message->partial;
    for (; *at < p->row_count; (*at)++) {
        const struct partial_row *row = &p->rows[message->merger->row_order[*at]];
        if (row->ad_hash != ad_hash || row->minute / PAGE_MINUTES != hour)
            break;
        message->merger->view.rows_retired++;
    }
}

/* All rows of one ad and hour: the page is read once and written once. Returns the index behind
 * them. */
static enum err take_page(struct merger_message *message, uint32_t *at)
{
    struct merger *m = message->merger;
    const struct partial *p = message->partial;
    const struct partial_row *first = &p->rows[m->row_order[*at]];
    uint32_t hour = first->minute / PAGE_MINUTES;
    bool changed = false;
    if (hour < m->horizon.minute / PAGE_MINUTES) {
        refuse_page(message, first->ad_hash, hour, at);
        return ERR_OK;
    }
    want_name(message, first->ad_hash);
    enum err err = open_page(m, first->ad_hash, hour);
    for (; err == ERR_OK && *at < p->row_count; (*at)++) {
        const struct partial_row *row = &p->rows[m->row_order[*at]];
        if (row->ad_hash != first->ad_hash || row->minute / PAGE_MINUTES != hour)
            break;
        err = take_row(message, row, &changed);
        if (err == ERR_OK && p->whole)
            err = count_message(message, row);
    }
    if (err != ERR_OK || !changed)
        return err;
    buf_clear(&m->value);
    page_put(&m->page, &m->value);
    merger_store_put(m, LEAF_TABLE_PAGE, leaf_key_page(first->ad_hash, hour), &m->value);
    return roll_up(m, first->ad_hash, hour);
}

enum err merger_rows_take(struct merger_message *message)
{
    struct merger *m = message->merger;
    enum err err = take_names(message);
    sort_rows(m, message->partial);
    for (uint32_t at = 0; err == ERR_OK && at < message->partial->row_count;)
        err = take_page(message, &at);
    return err;
}
