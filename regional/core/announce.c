/* SPDX-License-Identifier: Apache-2.0
 * announce: a draft gathers rows, names and totals, and is closed into a message when it is full.
 */
#include "regional/core/announce.h"

#include <stdlib.h>

#define ROW_BYTES      64u /* bound of one row without its sketch, as varints */
#define NAME_BYTES     10u /* of a name without its text, at least */
#define EDGE_BYTES     64
#define EDGE_RECENT_MS (3600 * 1000ULL)
/* Minutes told again because late clicks changed them, in one partial, at most. */
#define CHANGED_MAX 2048u

_Static_assert(ANNOUNCE_BODY_BYTES + ANNOUNCE_EDGE_BYTES + HLL_BYTES_MAX <=
                   ANNOUNCE_MESSAGE_BYTES - 64 * 1024,
               "a draft fits its message, compressed or not");
_Static_assert(ANNOUNCE_CLOSING_MAX + ANNOUNCE_SLICE + CHANGED_MAX <= LIMIT_PARTIAL_TOTALS,
               "the totals of one partial fit");

_Static_assert(ANNOUNCE_BODY_BYTES / ROW_BYTES < LIMIT_PARTIAL_ROWS &&
                   ANNOUNCE_BODY_BYTES / NAME_BYTES < LIMIT_PARTIAL_ROWS,
               "a draft is full of bytes before it is full of rows or names");

struct draft {
    struct fold *fold;
    const struct announce_identity *who;
    struct announce_messages *out;
    struct partial_row *rows;
    size_t *sketch_at; /* offset of each row's sketch: the buffer moves while it grows */
    struct partial_name *names;
    struct partial_total *totals;
    uint32_t row_count, row_capacity, name_count, name_capacity, total_count, total_capacity;
    struct buf sketches;
    size_t bytes;
    bool whole; /* answers a want */
};

void announce_messages_done(struct announce_messages *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        buf_done(&m->items[i]);
    free(m->items);
    *m = (struct announce_messages){0};
}

static struct buf *next_message(struct announce_messages *m)
{
    if (m->count == m->capacity) {
        m->capacity = m->capacity == 0 ? 4 : m->capacity * 2;
        m->items = base_realloc(m->items, m->capacity * sizeof(*m->items));
    }
    m->items[m->count] = (struct buf){0};
    return &m->items[m->count++];
}

bool announce_is_due(const struct fold *f, uint64_t time_ms)
{
    uint64_t now_s = time_ms / 1000, last_s = f->partial_ms / 1000;
    return now_s < last_s || (now_s - last_s) * 1000 >= f->options.partial_interval_ms;
}

/* The books of one edge. */
static uint32_t put_edge(struct partial_edge *out, uint32_t room, const struct edge *e,
                         uint64_t now_ms, bool missing)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < e->line_count && count < room; i++) {
        const struct line *l = &e->lines[i];
        uint64_t last_ms = base_max_u64(l->heard_ms, l->listed_ms);
        bool is_recent = line_is_live(l) || now_ms < last_ms || now_ms - last_ms <= EDGE_RECENT_MS;
        if (!is_recent)
            continue;
        out[count] = (struct partial_edge){
            .epoch = l->epoch, .floor = l->floor, .accepted = l->accepted, .missing = missing};
        memcpy(out[count++].edge, e->name, sizeof(e->name));
    }
    if (count == 0 && missing && room > 0) {
        out[0] = (struct partial_edge){.missing = true};
        memcpy(out[count++].edge, e->name, sizeof(e->name));
    }
    return count;
}

/* Missing edges are named in every message, the others' books in the last one of a cut. An edge
 * that is back is named until that last message: only then do totals speak for what it has brought.
 */
static uint32_t put_edges(struct partial_edge *out, uint32_t room, const struct fold *f, bool all,
                          uint32_t *out_missing)
{
    uint32_t count = 0;
    for (unsigned pass = 0; pass < (all ? 2u : 1u); pass++) {
        for (uint32_t i = 0; i < f->edges.count; i++) {
            const struct edge *e = &f->edges.edges[i];
            bool missing = e->missing || (!all && e->told_missing);
            if (missing != (pass == 0))
                continue;
            *out_missing += missing;
            count += put_edge(out + count, room - count, e, f->stream_ms, missing);
        }
    }
    return count;
}

static void close_message(struct draft *d, bool whole, bool last)
{
    const struct fold *f = d->fold;
    static const uint32_t room = ANNOUNCE_EDGE_BYTES / EDGE_BYTES;
    struct partial p = {
        .store_id = d->who->store_id,
        .partition = f->options.partition,
        .map = f->map,
        .cut = f->cut,
        .stream_ms = f->stream_ms,
        .watermark_ms = f->watermark_ms,
        .folded = f->books.folded,
        .counted = f->books.counted,
        .duplicate = f->books.duplicate,
        .carried = f->books.carried,
        .whole = whole,
        .row_count = d->row_count,
        .name_count = d->name_count,
        .total_count = d->total_count,
        .rows = d->rows,
        .names = d->names,
        .totals = d->totals,
    };
    memcpy(p.region, f->options.region, sizeof(p.region));
    memcpy(p.replica, d->who->replica, sizeof(p.replica));
    for (uint32_t i = 0; i < d->row_count; i++) {
        if (d->rows[i].sketch.length > 0)
            d->rows[i].sketch.data = d->sketches.data + d->sketch_at[i];
    }
    struct partial_edge *edges = base_alloc(room * sizeof(*edges));
    p.edges = edges;
    p.edge_count = put_edges(edges, room, f, last, &p.missing_count);
    struct buf *message = next_message(d->out);
    partial_write(message, &p);
    CHECK(message->length <= ANNOUNCE_MESSAGE_BYTES);
    free(edges);
    d->row_count = d->name_count = d->total_count = 0;
    d->bytes = 0;
    buf_clear(&d->sketches);
}

static void draft_done(struct draft *d)
{
    free(d->rows);
    free(d->sketch_at);
    free(d->names);
    free(d->totals);
    buf_done(&d->sketches);
}

static void add_row(struct draft *d, const struct bucket *b, bool with_sketch)
{
    if (d->row_count == d->row_capacity) {
        d->row_capacity = d->row_capacity == 0 ? 256 : d->row_capacity * 2;
        d->rows = base_realloc(d->rows, d->row_capacity * sizeof(*d->rows));
        d->sketch_at = base_realloc(d->sketch_at, d->row_capacity * sizeof(*d->sketch_at));
    }
    size_t at = d->sketches.length;
    if (with_sketch)
        hll_put(&b->users, &d->sketches);
    size_t length = d->sketches.length - at;
    d->sketch_at[d->row_count] = at;
    d->rows[d->row_count++] = bucket_row(b, (struct span){NULL, length});
    d->bytes += ROW_BYTES + length;
}

static void add_name(struct draft *d, const struct ad_name *name)
{
    if (d->name_count == d->name_capacity) {
        d->name_capacity = d->name_capacity == 0 ? 64 : d->name_capacity * 2;
        d->names = base_realloc(d->names, d->name_capacity * sizeof(*d->names));
    }
    d->names[d->name_count++] = (struct partial_name){name->ad_hash, ad_names_text(name)};
    d->bytes += NAME_BYTES + name->length;
}

static void add_total(struct draft *d, uint32_t minute)
{
    if (d->total_count == d->total_capacity) {
        d->total_capacity = d->total_capacity == 0 ? 64 : d->total_capacity * 2;
        d->totals = base_realloc(d->totals, d->total_capacity * sizeof(*d->totals));
    }
    struct minute_table *t = horizon_find(&d->fold->horizon, minute);
#ifdef TRIBUTARY_BREAK_TOTALS_OF_TOUCHED_MINUTES
    if (t == NULL)
        return;
#endif
    d->totals[d->total_count++] =
        t == NULL ? (struct partial_total){.minute = minute} : *horizon_total(t);
}

static void make_room(struct draft *d)
{
    if (d->bytes >= ANNOUNCE_BODY_BYTES)
        close_message(d, d->whole, false);
}

static int by_hash(const void *left, const void *right)
{
    const struct bucket *a = *(struct bucket *const *)left, *b = *(struct bucket *const *)right;
    return a->ad_hash < b->ad_hash ? -1 : a->ad_hash > b->ad_hash;
}

static void tell_row(struct draft *d, struct bucket *b, bool is_closed)
{
    make_room(d);
    add_row(d, b, is_closed && !b->sketch_sent);
    b->changed = false;
    b->sketch_sent = is_closed;
}

static uint32_t take_due_rows(struct minute_table *t, struct bucket **out)
{
    uint32_t count = 0;
    for (uint32_t r = 0; t != NULL && r < t->row_count; r++) {
        if (t->rows[r].changed || !t->rows[r].sketch_sent)
            out[count++] = &t->rows[r];
    }
    return count;
}

/* Rows of a closed minute, in order of hash: in which order they lie in memory, and whether they
 * do, depends on when the minute was stored. */
static void tell_sorted(struct draft *d, struct minute_table *t, struct minute_table *rest)
{
    size_t most = (size_t)t->row_count + (rest == NULL ? 0 : rest->row_count);
    struct bucket **rows = base_zalloc(most, sizeof(struct bucket *));
    uint32_t count = take_due_rows(t, rows);
    count += take_due_rows(rest, rows + count);
    if (count > 1)
        qsort(rows, count, sizeof(struct bucket *), by_hash);
    for (uint32_t r = 0; r < count; r++)
        tell_row(d, rows[r], true);
    free(rows);
}

/* The rows of a stored minute that are not in memory; nothing is changed before they are there. */
static enum err load_rest(const struct announce_store *store, const struct minute_table *t,
                          struct horizon *out)
{
    if (t->rest.rows == 0)
        return ERR_OK;
    enum err err = store->load(store->context, t, out);
    return err == ERR_OK && out->rows != t->rest.rows ? ERR_KV_CORRUPT : err;
}

/* A minute that closes: all rows whose sketch was not told as it is. Those that went to the store
 * while it was open are among them. */
static enum err tell_closing(struct draft *d, struct minute_table *t,
                             const struct announce_store *store)
{
    struct horizon rest = {0};
    enum err err = load_rest(store, t, &rest);
    if (err == ERR_OK)
        tell_sorted(d, t, horizon_find(&rest, t->minute));
    horizon_done(&rest);
    return err;
}

/* Rows that changed; of minutes that are closed from now on, also those whose sketch was not told
 * as it is. */
static enum err add_changed_rows(struct draft *d, uint32_t closed_before, uint32_t closed_now,
                                 const struct announce_store *store)
{
    struct horizon *h = &d->fold->horizon;
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < h->count && err == ERR_OK; i++) {
        struct minute_table *t = h->tables[i];
        if (t->minute < closed_before) {
            if (t->changed)
                tell_sorted(d, t, NULL);
        } else if (t->minute < closed_now) {
            err = tell_closing(d, t, store);
        } else if (t->changed) {
            for (uint32_t r = 0; r < t->row_count; r++) {
                if (t->rows[r].changed)
                    tell_row(d, &t->rows[r], false);
            }
        }
        t->changed = false;
    }
    return err;
}

static void add_due_names(struct draft *d)
{
    uint32_t count = d->fold->names.due;
    struct ad_name **due = base_zalloc(count, sizeof(struct ad_name *));
    ad_names_take_due(&d->fold->names, due);
    for (uint32_t i = 0; i < count; i++) {
        make_room(d);
        add_name(d, due[i]);
    }
    free(due);
}

/* Closed minutes that late clicks have changed since they were told; then a slice of the horizon in
 * turn. */
static void add_totals_again(struct draft *d, uint32_t closed_before)
{
    struct fold *f = d->fold;
    uint32_t changed = 0;
    for (uint32_t i = 0; i < f->horizon.count && changed < CHANGED_MAX; i++) {
        struct minute_table *t = f->horizon.tables[i];
        if (t->total_due && t->minute < closed_before) {
            add_total(d, t->minute);
            t->total_due = false;
            changed++;
        }
    }
    /* Minutes from before the watermark was seen first are never closed by it, but late clicks may
     * lie in them, and the partial that told them may be lost like any other: they take their turn
     * as well. */
    uint32_t first = f->totals_first;
    if (f->horizon.count > 0 && f->horizon.tables[0]->minute < first)
        first = f->horizon.tables[0]->minute;
    first = first > f->retired_below ? first : f->retired_below;
    uint32_t slice = ANNOUNCE_SLICE;
    if (first >= closed_before)
        return;
    if (slice > closed_before - first)
        slice = closed_before - first;
    for (uint32_t i = 0; i < slice; i++) {
        if (f->slice_next < first || f->slice_next >= closed_before)
            f->slice_next = first;
        uint32_t minute = f->slice_next++;
        bool told = false;
        for (uint32_t t = 0; t < changed && !told; t++)
            told = d->totals[t].minute == minute;
        if (!told)
            add_total(d, minute);
    }
}

/* How far totals are told from now on: every minute that the watermark has passed, empty ones too,
 * from the first that this fold saw it at. */
static uint32_t begin_totals(struct fold *f)
{
    uint32_t closed = fold_closed_below(f);
    if (f->watermark_ms == 0)
        return f->totals_next;
    fold_begin_totals(f);
    /* A leap over more than any horizon comes from a clock that was never right: those minutes stay
     * untold. */
    if (closed > f->totals_next && closed - f->totals_next > LIMIT_HORIZON_MINUTES)
        f->totals_first = f->totals_next = closed - LIMIT_HORIZON_MINUTES;
    /* A restart with a longer lateness may put it behind what was told. */
    uint32_t rest = closed > f->totals_next ? closed - f->totals_next : 0;
    return f->totals_next + (rest > ANNOUNCE_CLOSING_MAX ? ANNOUNCE_CLOSING_MAX : rest);
}

bool announce_reads(const struct fold *f)
{
    bool reads = false;
    for (uint32_t i = f->horizon.count; i > 0 && !reads; i--) {
        const struct minute_table *t = f->horizon.tables[i - 1];
        if (t->minute < f->totals_next)
            break;
        reads = t->rest.rows > 0;
    }
    return reads;
}

enum err announce_partial(struct fold *f, const struct announce_identity *who, uint64_t time_ms,
                          const struct announce_store *store, struct announce_messages *out)
{
    struct draft d = {.fold = f, .who = who, .out = out};
    uint32_t closed_now = begin_totals(f);
    uint32_t closed_before = f->totals_next;
    enum err err = add_changed_rows(&d, closed_before, closed_now, store);
    if (err != ERR_OK) {
        draft_done(&d);
        return err;
    }
    add_due_names(&d);
    add_totals_again(&d, closed_before);
    for (uint32_t minute = closed_before; minute < closed_now; minute++) {
        struct minute_table *t = horizon_find(&f->horizon, minute);
        if (t != NULL)
            t->total_due = false;
        add_total(&d, minute);
    }
    f->totals_next = closed_now;
    f->partial_ms = time_ms;
    f->partial_cut = f->cut;
    close_message(&d, false, true);
    for (uint32_t i = 0; i < f->edges.count; i++)
        f->edges.edges[i].told_missing = f->edges.edges[i].missing;
    draft_done(&d);
    return ERR_OK;
}

/* A minute that is asked for: its rows in memory, and those that only the store holds. */
struct wanted {
    struct minute_table *table, *rest; /* either may be NULL */
};

static size_t rows_bytes_max(const struct minute_table *t)
{
    size_t bytes = 0;
    for (uint32_t r = 0; t != NULL && r < t->row_count; r++) {
        const struct hll *h = &t->rows[r].users;
        bytes += ROW_BYTES + (hll_is_dense(h) ? HLL_BYTES_MAX : 1 + 5 * (size_t)h->token_count);
    }
    return bytes;
}

static void add_rows(struct draft *d, struct minute_table *t, bool large)
{
    for (uint32_t r = 0; t != NULL && r < t->row_count; r++) {
        if (large)
            make_room(d);
        add_row(d, &t->rows[r], true);
    }
}

static void add_wanted(struct draft *d, const struct wanted *w, uint32_t minute)
{
    size_t bytes = rows_bytes_max(w->table) + rows_bytes_max(w->rest);
    bool is_large = bytes > ANNOUNCE_BODY_BYTES;
    if (d->total_count > 0 && d->bytes + bytes > ANNOUNCE_BODY_BYTES)
        close_message(d, true, false);
    add_rows(d, w->table, is_large);
    add_rows(d, w->rest, is_large);
    add_total(d, minute);
    if (is_large)
        close_message(d, true, false);
}

static void add_names(struct draft *d, const uint64_t *names, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct ad_name *name = ad_names_find(&d->fold->names, names[i]);
        if (name == NULL)
            continue;
        make_room(d);
        add_name(d, name);
    }
    if (d->name_count > 0)
        close_message(d, false, false);
}

enum err announce_whole(struct fold *f, const struct announce_identity *who,
                        const struct announce_wanted *wanted, const struct announce_store *store,
                        struct announce_messages *out)
{
    struct draft d = {.fold = f, .who = who, .out = out};
    enum err err = ERR_OK;
    add_names(&d, wanted->names, wanted->name_count);
    d.whole = true;
    for (uint32_t i = 0; i < wanted->minute_count && out->count < ANNOUNCE_ANSWERS_MAX; i++) {
        uint32_t minute = wanted->minutes[i];
        if (minute >= f->totals_next || minute < f->retired_below)
            continue;
        struct horizon rest = {0};
        struct wanted w = {.table = horizon_find(&f->horizon, minute)};
        err = w.table == NULL ? ERR_OK : load_rest(store, w.table, &rest);
        w.rest = horizon_find(&rest, minute);
        if (err == ERR_OK)
            add_wanted(&d, &w, minute);
        horizon_done(&rest);
        if (err != ERR_OK)
            break;
    }
    if (d.total_count > 0)
        close_message(&d, true, false);
    draft_done(&d);
    return err;
}
