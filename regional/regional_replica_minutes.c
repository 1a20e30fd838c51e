/* SPDX-License-Identifier: Apache-2.0
 * regional_replica_minutes: closed minutes in the store: moved there with a cut, read back for late
 * clicks, wants and restarts. Decision 0008.
 *
 *   names    see ad_names.h
 *   minutes  see minute_chunk.h and minute_snapshot.h */
#include "regional/core/horizon_page.h"
#include "regional/core/redo.h"
#include "regional/regional_replica_parts.h"

#include <stdlib.h>

static enum err load_names(struct kv_txn *txn, struct part *p)
{
    uint8_t key[AD_NAMES_KEY_BYTES + 1] = {0};
    uint8_t key_length = AD_NAMES_KEY_BYTES;
    struct span found, value;
    ad_names_key(key, p->fold->options.partition, 0);
    while (kv_seek(txn, CUT_TABLE_NAMES, span_of(key, key_length), &found, &value)) {
        if (found.length != AD_NAMES_KEY_BYTES)
            return ERR_KV_CORRUPT;
        if (bytes_load_u16(found.data) != p->fold->options.partition)
            break;
        enum err err = ad_names_read(&p->fold->names, found, value, p->fold->retired_below);
        if (err != ERR_OK)
            return err;
        /* The next key is the least that is greater. */
        memcpy(key, found.data, AD_NAMES_KEY_BYTES);
        key[AD_NAMES_KEY_BYTES] = 0;
        key_length = AD_NAMES_KEY_BYTES + 1;
    }
    return ERR_OK;
}

/* All rows values of a minute, in order. */
static enum err each_rows_value(struct kv_txn *txn, uint16_t partition, uint32_t minute,
                                void (*take)(void *context, const struct minute_row *row),
                                void *context)
{
    const struct minute_place place = {partition, minute, MINUTE_ROWS};
    uint8_t key[MINUTE_ROWS_KEY_BYTES];
    struct span found, value;
    minute_rows_key(key, partition, minute, 0);
    while (kv_seek(txn, CUT_TABLE_MINUTES, span_of(key, sizeof(key)), &found, &value) &&
           minute_place_holds(&place, found)) {
        enum err err = minute_rows_read(found, value, take, context);
        if (err != ERR_OK)
            return err;
        uint64_t last = bytes_load_u64(found.data + MINUTE_PREFIX_BYTES);
        if (last == UINT64_MAX)
            break;
        minute_rows_key(key, partition, minute, last + 1);
    }
    return ERR_OK;
}

/* Heads alone: what a minute holds is read when somebody asks. */
static enum err load_heads(struct kv_txn *txn, struct part *p)
{
    struct fold *f = p->fold;
    struct minute_place place = {f->options.partition, f->retired_below, MINUTE_HEAD};
    uint8_t key[MINUTE_HEAD_KEY_BYTES];
    struct span found, value;
    for (;;) {
        minute_place_write(key, &place);
        if (!kv_seek(txn, CUT_TABLE_MINUTES, span_of(key, sizeof(key)), &found, &value))
            return ERR_OK;
        struct minute_head head;
        if (!minute_place_read(&place, found))
            return ERR_KV_CORRUPT;
        if (place.partition != f->options.partition)
            return ERR_OK;
        enum err err = minute_head_read(&head, found, value);
        /* A minute moves when all of it was told. */
        if (err != ERR_OK || head.cut > f->partial_cut || place.minute == UINT32_MAX)
            return ERR_KV_CORRUPT;
        (void)horizon_page_head(&f->horizon, &head);
        place = (struct minute_place){f->options.partition, head.total.minute + 1, MINUTE_HEAD};
    }
}

enum err replica_minutes_load(struct kv_txn *txn, struct part *p)
{
    if (p->fold->cut == 0)
        return ERR_OK;
    enum err err = load_names(txn, p);
    return err == ERR_OK ? load_heads(txn, p) : err;
}

/* Seeks for each need; one value answers all that lie in it. A seek that finds nothing may also
 * have failed: whoever ends the transaction hears of it, and folds nothing before that. */
static enum err answer(struct kv_txn *txn, struct part *p, const struct fold_needs *needs,
                       uint64_t *out_reads, uint64_t *out_bytes)
{
    uint32_t answered = 0;
    for (uint32_t i = 0; i < needs->count; i += answered) {
        const struct fold_need *need = &needs->items[i];
        struct span found = {NULL, 0}, value = {NULL, 0};
        (void)kv_seek(txn, CUT_TABLE_MINUTES, span_of(need->key, need->length), &found, &value);
        enum err err = fold_look_found(p->fold, need, needs->count - i, found, value, &answered);
        if (err != ERR_OK)
            return err;
        (*out_reads)++;
        *out_bytes += value.length;
    }
    return ERR_OK;
}

enum err replica_minutes_look(struct replica *r, struct part *p, const struct fold_message *m)
{
    const struct fold_needs *needs = fold_look(p->fold, m);
    struct kv_txn *txn;
    if (needs->count == 0)
        return ERR_OK;
    enum err err = kv_begin(r->options.kv, false, &txn);
    if (err != ERR_OK)
        return err;
    uint64_t reads = 0, bytes = 0;
#ifndef TRIBUTARY_BREAK_LATE_WITHOUT_CHUNK
    err = answer(txn, p, needs, &reads, &bytes);
#endif
    enum err sticky = kv_abort(&txn);
    r->reads += (unsigned)reads;
    r->totals.store_reads += reads;
    r->totals.store_read_bytes += bytes;
    return sticky != ERR_OK ? sticky : err;
}

enum err replica_minutes_look_redo(struct kv_txn *txn, struct part *p, struct span key,
                                   struct span value)
{
    const struct fold_needs *needs;
    uint64_t reads = 0, bytes = 0;
    enum err err = fold_look_redo(p->fold, key, value, &needs);
    return err == ERR_OK ? answer(txn, p, needs, &reads, &bytes) : err;
}

/* --- moving --- */

static void put_value(void *context, struct span key, struct span value)
{
    kv_put(context, CUT_TABLE_MINUTES, key, value);
}

/* The entry for `key` in the place, copied, since the next put takes it away. */
struct entry {
    struct buf key, value;
    bool is_there;
};

static void find_entry(struct kv_txn *txn, const struct minute_place *place, struct span key,
                       struct entry *e)
{
    struct span found, value;
    buf_clear(&e->key);
    buf_clear(&e->value);
    e->is_there =
        kv_seek(txn, CUT_TABLE_MINUTES, key, &found, &value) && minute_place_holds(place, found);
    if (!e->is_there)
        return;
    buf_put(&e->key, found.data, found.length);
    buf_put(&e->value, value.data, value.length);
}

static enum err move_keys(struct kv_txn *txn, const struct minute_move *m,
                          const struct minute_sizes *sizes, uint64_t *out_added)
{
    const struct minute_place place = {m->head.partition, m->head.total.minute, MINUTE_KEYS};
    const struct minute_sink sink = {put_value, txn};
    const uint32_t count = (uint32_t)(m->keys.length / HASH_CLICK_BYTES);
    struct entry e = {0};
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < count && err == ERR_OK;) {
        const uint8_t *keys = m->keys.data + (size_t)i * HASH_CLICK_BYTES;
        uint8_t wanted[MINUTE_CHUNK_KEY_BYTES];
        struct minute_chunk chunk;
        minute_chunk_key(wanted, place.partition, place.minute, keys);
        find_entry(txn, &place, span_of(wanted, sizeof(wanted)), &e);
        uint32_t upto = count - i;
        if (e.is_there) {
            err = minute_chunk_read(&chunk, buf_span(&e.key), buf_span(&e.value));
            if (err != ERR_OK)
                break;
            upto = minute_merge_keys_upto(keys, upto, e.key.data + MINUTE_PREFIX_BYTES);
        }
        *out_added +=
            minute_merge_keys(&place, e.is_there ? &chunk : NULL, keys, upto, sizes, &sink);
        i += upto;
    }
    buf_done(&e.key);
    buf_done(&e.value);
    return err;
}

static uint32_t rows_upto(const struct minute_row *rows, uint32_t count, uint64_t last_hash)
{
    uint32_t n = 0;
    while (n < count && rows[n].ad_hash <= last_hash)
        n++;
    return n;
}

static enum err move_rows(struct kv_txn *txn, const struct minute_move *m,
                          const struct minute_sizes *sizes)
{
    const struct minute_place place = {m->head.partition, m->head.total.minute, MINUTE_ROWS};
    const struct minute_sink sink = {put_value, txn};
    struct entry e = {0};
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < m->row_count && err == ERR_OK;) {
        uint8_t wanted[MINUTE_ROWS_KEY_BYTES];
        minute_rows_key(wanted, place.partition, place.minute, m->rows[i].ad_hash);
        find_entry(txn, &place, span_of(wanted, sizeof(wanted)), &e);
        uint32_t upto = m->row_count - i;
        if (e.is_there && e.key.length != MINUTE_ROWS_KEY_BYTES)
            err = ERR_KV_CORRUPT;
        else if (e.is_there)
            upto = rows_upto(m->rows + i, upto, bytes_load_u64(e.key.data + MINUTE_PREFIX_BYTES));
        if (err == ERR_OK)
            err = minute_merge_rows(&place, buf_span(&e.key), buf_span(&e.value), m->rows + i, upto,
                                    sizes, &sink);
        i += upto;
    }
    buf_done(&e.key);
    buf_done(&e.value);
    return err;
}

static void delete_redo(struct kv_txn *txn, const struct minute_head *head)
{
    uint8_t key[REDO_KEY_BYTES];
    struct span found, value;
    redo_key(key, head->partition, head->total.minute, 0);
    while (kv_seek(txn, CUT_TABLE_REDO, span_of(key, sizeof(key)), &found, &value)) {
        uint16_t partition;
        uint32_t minute;
        uint64_t cut;
        if (!redo_key_read(found, &partition, &minute, &cut) || partition != head->partition ||
            minute != head->total.minute || cut > head->cut)
            return;
        memcpy(key, found.data, sizeof(key));
        kv_del(txn, CUT_TABLE_REDO, span_of(key, sizeof(key)));
    }
}

static enum err move_minute(struct replica *r, struct kv_txn *txn, const struct minute_move *m)
{
    uint8_t key[MINUTE_HEAD_KEY_BYTES];
    struct minute_place place = {m->head.partition, m->head.total.minute, MINUTE_HEAD};
    struct minute_head before = {0};
    struct span value;
    enum err err = ERR_OK;
    minute_place_write(key, &place);
    if (kv_get(txn, CUT_TABLE_MINUTES, span_of(key, sizeof(key)), &value))
        err = minute_head_read(&before, span_of(key, sizeof(key)), value);
    uint64_t added = 0;
    if (err == ERR_OK)
        err = move_keys(txn, m, &r->options.sizes, &added);
    if (err == ERR_OK)
        err = move_rows(txn, m, &r->options.sizes);
    /* Each click counted since then has brought one key that the store did not have. If not, some
     * click was counted twice or its key is lost: better no replica than a wrong one. */
    if (err == ERR_OK && before.keys + added != m->head.keys)
        err = ERR_KV_CORRUPT;
    if (err != ERR_OK)
        return err;
    minute_head_write(&r->scratch, key, &m->head);
    kv_put(txn, CUT_TABLE_MINUTES, span_of(key, sizeof(key)), buf_span(&r->scratch));
    delete_redo(txn, &m->head);
    return ERR_OK;
}

#ifdef TRIBUTARY_BREAK_REDO_GONE_BEFORE_CHUNKS
void replica_minutes_delete_redo(struct replica *r)
{
    struct kv_txn *txn;
    if (r->cut_count == 0 || kv_begin(r->options.kv, true, &txn) != ERR_OK)
        return;
    for (uint32_t c = 0; c < r->cut_count; c++)
        for (uint32_t i = 0; i < r->cuts[c].move_count; i++)
            delete_redo(txn, &r->cuts[c].moves[i].head);
    (void)kv_commit(&txn);
}
#endif

enum err replica_minutes_move(struct replica *r, struct kv_txn *txn, const struct cut *c)
{
    for (uint32_t i = 0; i < c->move_count; i++) {
        enum err err = move_minute(r, txn, &c->moves[i]);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

bool replica_minutes_delete(struct kv_txn *txn, const struct part *p)
{
    struct minute_place place = {p->fold->options.partition, 0, MINUTE_HEAD};
    uint8_t key[MINUTE_CHUNK_KEY_BYTES] = {0};
    size_t length = MINUTE_PREFIX_BYTES;
    struct span found, value;
    minute_place_write(key, &place);
    for (unsigned i = 0; i < REPLICA_DELETES; i++) {
        if (!kv_seek(txn, CUT_TABLE_MINUTES, span_of(key, length), &found, &value) ||
            !minute_place_read(&place, found) || place.partition != p->fold->options.partition ||
            place.minute >= p->retired_below || found.length > sizeof(key))
            return true;
        length = found.length;
        memcpy(key, found.data, length);
        kv_del(txn, CUT_TABLE_MINUTES, span_of(key, length));
    }
    return false;
}

/* --- answers --- */

static void take_rest_row(void *context, const struct minute_row *row)
{
    struct replica_rest *w = context;
    /* horizon_row only looks. */
    struct minute_table *in_memory = (struct minute_table *)(uintptr_t)w->table;
    if (w->err != ERR_OK || horizon_row(in_memory, row->ad_hash) != NULL)
        return;
    struct minute_table *t = horizon_open(w->out, w->table->minute);
    if (horizon_row(t, row->ad_hash) != NULL) {
        w->err = ERR_KV_CORRUPT;
        return;
    }
    struct bucket *b = horizon_add_row(w->out, t, row->ad_hash);
    b->counted = row->counted;
    b->duplicate = row->duplicate;
    b->late = row->late;
    w->err = hll_read(&b->users, row->sketch);
}

static enum err load_rest(void *context, const struct minute_table *t, struct horizon *out)
{
    struct replica_rest *w = context;
    w->table = t;
    w->out = out;
    CHECK(w->txn != NULL);
    enum err err = each_rows_value(w->txn, w->partition, t->minute, take_rest_row, w);
    return err == ERR_OK ? w->err : err;
}

enum err replica_minutes_rest(struct replica *r, struct part *p, bool reads,
                              struct replica_rest *out)
{
    *out =
        (struct replica_rest){.store = {load_rest, out}, .partition = p->fold->options.partition};
    return reads ? kv_begin(r->options.kv, false, &out->txn) : ERR_OK;
}

enum err replica_minutes_rest_done(struct replica_rest *rest, enum err err)
{
    if (rest->txn == NULL)
        return err;
    enum err sticky = kv_abort(&rest->txn);
    return sticky != ERR_OK ? sticky : err;
}

enum err replica_minutes_whole(struct replica *r, struct part *p,
                               const struct announce_wanted *wanted, struct announce_messages *out)
{
    struct replica_rest rest;
    enum err err = replica_minutes_rest(r, p, p->fold->horizon.stored_count > 0, &rest);
    if (err != ERR_OK)
        return err;
    err = announce_whole(p->fold, &r->who, wanted, &rest.store, out);
    return replica_minutes_rest_done(&rest, err);
}
