/* SPDX-License-Identifier: Apache-2.0
 * cut: redo values, partial, retirement, state: in this order, because each reads what the one
 * before has set. */
#include "regional/core/cut.h"

#include "regional/core/horizon_page.h"
#include "regional/core/redo.h"

#include <stdlib.h>

void cut_state_key(uint8_t out[2], uint16_t partition)
{
    bytes_store_u16(out, partition);
}

static struct cut_put *add_put(struct cut *c, enum cut_table table, const uint8_t *key,
                               uint8_t key_length)
{
    if (c->put_count == c->put_capacity) {
        c->put_capacity = c->put_capacity == 0 ? 8 : c->put_capacity * 2;
        c->puts = base_realloc(c->puts, c->put_capacity * sizeof(*c->puts));
    }
    struct cut_put *put = &c->puts[c->put_count++];
    *put = (struct cut_put){.table = table, .key_length = key_length};
    CHECK(key_length <= sizeof(put->key));
    memcpy(put->key, key, key_length);
    return put;
}

void cut_done(struct cut *c)
{
    for (uint32_t i = 0; i < c->put_count; i++)
        buf_done(&c->puts[i].value);
    free(c->puts);
    announce_messages_done(&c->partials);
    for (uint32_t i = 0; i < c->move_count; i++)
        minute_move_done(&c->moves[i]);
    *c = (struct cut){0};
}

static void put_redo(struct fold *f, struct cut *out)
{
    for (uint32_t i = 0; i < f->horizon.count; i++) {
        struct minute_table *t = f->horizon.tables[i];
        if (t->touched_count == 0)
            continue;
        uint8_t key[REDO_KEY_BYTES];
        redo_key(key, f->options.partition, t->minute, f->cut);
#ifdef TRIBUTARY_BREAK_REDO_BY_CUT_ALONE
        redo_key(key, f->options.partition, f->horizon.tables[0]->minute, f->cut);
#endif
        struct cut_put *put = add_put(out, CUT_TABLE_REDO, key, sizeof(key));
        redo_write(&put->value, f, t, f->cut);
        redo_noted(t, f->cut, f->stream_ms);
        horizon_cut(t);
    }
}

/* Redo values hold the names of their ads. So records are due only when redo values go, that is a
 * few times a minute, and each page of the store is written once for all of them. */
static void put_names(struct fold *f, struct cut *out)
{
    struct ad_names *names = &f->names;
    uint8_t key[AD_NAMES_KEY_BYTES];
    CHECK(names->due == 0 && f->partial_cut == f->cut);
    ad_names_sort_unsaved(names);
    for (size_t i = 0; i < names->dropped.length; i += 8) {
        ad_names_key(key, f->options.partition, bytes_load_u64(names->dropped.data + i));
        (void)add_put(out, CUT_TABLE_NAMES, key, sizeof(key));
    }
    for (uint32_t i = 0; i < names->unsaved_count; i++) {
        ad_names_key(key, f->options.partition, names->unsaved[i]->ad_hash);
        struct cut_put *put = add_put(out, CUT_TABLE_NAMES, key, sizeof(key));
        ad_names_write(&put->value, f->options.partition, names->unsaved[i], f->cut);
    }
    ad_names_saved(names);
}

/* Tables go when their minute is expired by the watermark *and* everything about it was told. */
static void retire(struct fold *f)
{
    uint32_t below = fold_expired_below(f);
    if (below > f->totals_next)
        below = f->totals_next;
    if (!f->totals_begun || below <= f->retired_below)
        return;
    horizon_retire(&f->horizon, &f->names, below);
    f->retired_below = below;
}

static bool move(struct fold *f, struct minute_table *t, struct cut *out)
{
    if (t->stored && t->redo_cut <= t->stored_cut) {
        horizon_page_out(&f->horizon, t); /* read back, and nothing came of it */
        return false;
    }
    minute_move_make(&out->moves[out->move_count++], f, t);
    return true;
}

/* Whole minutes go: what does not fit this cut goes with the next. */
static void move_closed(struct fold *f, struct cut *out)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < f->horizon.count && bytes < CUT_MOVE_BYTES; i++) {
        struct minute_table *t = f->horizon.tables[i];
        if (out->move_count == CUT_MOVES)
            return;
        if (minute_move_is_due(f, t) && move(f, t, out)) {
            const struct minute_move *m = &out->moves[out->move_count - 1];
            bytes += m->keys.length + m->bytes.length;
        }
    }
}

/* Over the bound: the largest first, open or closed, until the rest is below it. No count depends
 * on it; nothing waits for it either, so a flood slows the fold down and never stops it. */
static void move_largest(struct fold *f, struct cut *out)
{
    out->memory_bytes = horizon_bytes(&f->horizon) + ad_names_bytes(&f->names);
    uint64_t left = out->memory_bytes;
    for (uint32_t i = 0; i < out->move_count; i++)
        left -= base_min_u64(left, out->moves[i].keys.length + out->moves[i].bytes.length);
    while (out->move_count < CUT_MOVES && left > f->options.memory_bytes) {
        struct minute_table *largest = NULL;
        for (uint32_t i = 0; i < f->horizon.count; i++) {
            struct minute_table *t = f->horizon.tables[i];
            if (minute_move_may(t) &&
                (largest == NULL || minute_move_weight(t) > minute_move_weight(largest)))
                largest = t;
        }
        if (largest == NULL)
            return;
        left -= base_min_u64(left, minute_move_weight(largest));
        (void)move(f, largest, out);
    }
}

enum err cut_make(struct fold *f, const struct cut_request *request, struct cut *out)
{
    CHECK(f->books.folded == f->books.counted + f->books.duplicate + f->books.carried);
    CHECK(f->cut < UINT64_MAX);
    out->partition = f->options.partition;
    f->cut++;
    uint32_t retired_below = f->retired_below;
    put_redo(f, out);
    if (request->by_stream) {
        /* A partition that the map does not name yet has nothing to tell that the globe could
         * place.
         */
        if (fold_is_mapped(f) && announce_is_due(f, request->time_ms)) {
            enum err err = announce_partial(f, &request->who, request->time_ms, request->store,
                                            &out->partials);
            if (err != ERR_OK)
                return err;
            retire(f);
            move_closed(f, out);
            if (f->options.memory_bytes > 0)
                move_largest(f, out);
            if (out->move_count > 0 || f->retired_below != retired_below)
                put_names(f, out);
        }
        edge_book_forget(&f->edges, f->stream_ms, f->watermark_ms);
        f->cut_second = request->time_ms / 1000;
        f->uncut = false;
    }
    out->retired_below = f->retired_below;
    out->map = f->map;
    uint8_t key[2];
    cut_state_key(key, f->options.partition);
    struct cut_put *put = add_put(out, CUT_TABLE_STATE, key, sizeof(key));
    fold_state_write(&put->value, f, &request->position);
    edge_book_cut(&f->edges);
    return ERR_OK;
}
