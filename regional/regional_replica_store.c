/* SPDX-License-Identifier: Apache-2.0
 * regional_replica_store: the replica's tables: what is loaded at start, what one transaction
 * holds.
 *
 *   meta    "store"    version u8, store id u64, replica block
 *           "restored" present: the store was copied from elsewhere (see replica_mark_restored)
 *   state   partition u16 -> fold_state
 *   redo    see redo.h
 *   names, minutes  see regional_replica_minutes.c
 *   outbox  id u64 -> partition u16, the partial's message */
#include "proto/partial.h"
#include "regional/core/redo.h"
#include "regional/regional_replica_parts.h"

#include <stdlib.h>

#define META_VERSION      3 /* closed minutes and names have tables of their own */
#define OUTBOX_HEAD_BYTES 2u
/* Stores of versions 1 and 2 are adopted like copies; longer heads in the outbox of version 1. */
#define META_VERSION_1      1
#define OUTBOX_1_HEAD_BYTES 14u

const char *const replica_table_names[CUT_TABLES] = {
    [CUT_TABLE_META] = "meta",     [CUT_TABLE_STATE] = "state", [CUT_TABLE_REDO] = "redo",
    [CUT_TABLE_OUTBOX] = "outbox", [CUT_TABLE_NAMES] = "names", [CUT_TABLE_MINUTES] = "minutes",
};

static struct span meta_key(void)
{
    return span_of_text("store");
}

static struct span restored_key(void)
{
    return span_of_text("restored");
}

enum err replica_mark_restored(struct kv_port *kv)
{
    struct kv_txn *txn;
    enum err err = kv_begin(kv, true, &txn);
    if (err != ERR_OK)
        return err;
    kv_put(txn, CUT_TABLE_META, restored_key(), span_of_text("1"));
    return kv_commit(&txn);
}

static void put_meta(struct replica *r, struct kv_txn *txn)
{
    do
        r->options.clock->random(r->options.clock, &r->who.store_id, sizeof(r->who.store_id));
    while (r->who.store_id == 0);
    struct buf value = {0};
    buf_put_u8(&value, META_VERSION);
    buf_put_u64(&value, r->who.store_id);
    buf_put_block(&value, span_of_text(r->who.replica));
    kv_put(txn, CUT_TABLE_META, meta_key(), buf_span(&value));
    kv_del(txn, CUT_TABLE_META, restored_key());
    buf_done(&value);
}

static struct span outbox_message(struct span value, size_t head_bytes)
{
    return span_of(value.data + head_bytes, value.length - head_bytes);
}

static struct part *find_part(struct replica *r, uint16_t partition)
{
    for (uint32_t i = 0; i < r->options.partition_count; i++) {
        if (r->parts[i].fold->options.partition == partition)
            return &r->parts[i];
    }
    return NULL;
}

/* What a foreign outbox holds is told in our own name: whose it was may be gone, and minutes that
 * were retired since are nowhere else. Of partitions that are not ours others have the copy. */
static enum err sign_outbox(struct replica *r, struct kv_txn *txn, size_t head_bytes)
{
    uint8_t key[8] = {0};
    struct span found, value;
    struct buf signed_ = {0};
    enum err err = ERR_OK;
    while (err == ERR_OK &&
           kv_seek(txn, CUT_TABLE_OUTBOX, span_of(key, sizeof(key)), &found, &value)) {
        if (found.length != sizeof(key) || value.length < head_bytes) {
            err = ERR_KV_CORRUPT;
            break;
        }
        memcpy(key, found.data, sizeof(key));
        uint16_t partition = bytes_load_u16(value.data);
        if (find_part(r, partition) == NULL) {
            kv_del(txn, CUT_TABLE_OUTBOX, span_of(key, sizeof(key)));
        } else if (partial_resign(&r->scratch, outbox_message(value, head_bytes), r->who.replica,
                                  r->who.store_id) != ERR_OK) {
            err = ERR_KV_CORRUPT;
        } else {
            buf_clear(&signed_);
            buf_put_u16(&signed_, partition);
            buf_put(&signed_, r->scratch.data, r->scratch.length);
            kv_put(txn, CUT_TABLE_OUTBOX, span_of(key, sizeof(key)), buf_span(&signed_));
        }
        bytes_store_u64(key, bytes_load_u64(key) + 1);
    }
    buf_done(&signed_);
    return err;
}

static enum err load_state(struct replica *r, struct kv_txn *txn, struct part *p)
{
    uint8_t key[2];
    struct span value;
    cut_state_key(key, p->fold->options.partition);
    if (!kv_get(txn, CUT_TABLE_STATE, span_of(key, sizeof(key)), &value))
        return ERR_OK;
    enum err err = fold_state_read(p->fold, &p->position, value);
    if (err != ERR_OK)
        return err;
    p->retired_below = p->fold->retired_below;
    p->map_durable = p->fold->map;
    replica_note(r, &(struct replica_note){.kind = REPLICA_LOADED,
                                           .partition = p->fold->options.partition,
                                           .seq = p->position.seq});
    return ERR_OK;
}

static enum err load_redo(struct kv_txn *txn, struct part *p)
{
    if (p->fold->cut == 0)
        return ERR_OK;
    uint8_t key[REDO_KEY_BYTES + 1];
    uint8_t key_length = REDO_KEY_BYTES;
    redo_key(key, p->fold->options.partition, p->fold->retired_below, 0);
    struct span found, value;
    while (kv_seek(txn, CUT_TABLE_REDO, span_of(key, key_length), &found, &value)) {
        uint16_t partition;
        uint32_t minute;
        uint64_t cut;
        if (!redo_key_read(found, &partition, &minute, &cut))
            return ERR_KV_CORRUPT;
        if (partition != p->fold->options.partition)
            break;
        enum err err = replica_minutes_look_redo(txn, p, found, value);
        if (err == ERR_OK)
            err = redo_apply(p->fold, found, value);
        if (err != ERR_OK)
            return err;
        /* The next key is the least that is greater. */
        memcpy(key, found.data, REDO_KEY_BYTES);
        key[REDO_KEY_BYTES] = 0;
        key_length = REDO_KEY_BYTES + 1;
    }
    redo_done(p->fold);
    return ERR_OK;
}

static enum err load_outbox(struct replica *r, struct kv_txn *txn)
{
    uint8_t key[8] = {0};
    struct span found, value;
    uint64_t next = 0;
    while (kv_seek(txn, CUT_TABLE_OUTBOX, span_of(key, sizeof(key)), &found, &value)) {
        if (found.length != sizeof(key))
            return ERR_KV_CORRUPT;
        uint64_t id = bytes_load_u64(found.data);
        replica_outbox_add(r, id);
        next = id + 1;
        bytes_store_u64(key, next);
    }
    r->outbox_next_id = base_max_u64(next, 1);
    return ERR_OK;
}

/* In one write transaction: whose store is this, and what does it hold? */
static enum err load(struct replica *r, struct kv_txn *txn, struct replica_note *note)
{
    struct span value, restored;
    bool is_new = !kv_get(txn, CUT_TABLE_META, meta_key(), &value);
    bool is_ours = false;
    size_t head_bytes = OUTBOX_HEAD_BYTES;
    if (!is_new) {
        struct reader m = reader_of(value);
        uint8_t version = reader_u8(&m);
        r->who.store_id = reader_u64(&m);
        struct span replica = reader_block(&m, LIMIT_READER_NAME_BYTES);
        if (!reader_at_end(&m) || version < META_VERSION_1 || version > META_VERSION)
            return ERR_KV_CORRUPT;
        if (version == META_VERSION_1)
            head_bytes = OUTBOX_1_HEAD_BYTES;
        is_ours = version == META_VERSION && span_equal(replica, span_of_text(r->who.replica)) &&
                  !kv_get(txn, CUT_TABLE_META, restored_key(), &restored);
    }
    enum err err = ERR_OK;
    if (!is_ours) {
        put_meta(r, txn);
        err = sign_outbox(r, txn, head_bytes);
        *note = (struct replica_note){.kind = is_new ? REPLICA_NEW_STORE : REPLICA_ADOPTED_STORE,
                                      .store_id = r->who.store_id};
    }
    for (uint32_t i = 0; i < r->options.partition_count && err == ERR_OK; i++) {
        struct part *p = &r->parts[i];
        err = load_state(r, txn, p);
        if (err == ERR_OK)
            err = replica_minutes_load(txn, p);
        if (err == ERR_OK)
            err = load_redo(txn, p);
    }
    return err == ERR_OK ? load_outbox(r, txn) : err;
}

enum err replica_store_load(struct replica *r)
{
    struct kv_txn *txn;
    enum err err = kv_begin(r->options.kv, true, &txn);
    if (err != ERR_OK)
        return err;
    struct replica_note note = {.kind = REPLICA_LOADED};
    err = load(r, txn, &note);
    if (err != ERR_OK) {
        (void)kv_abort(&txn);
        return err;
    }
    err = kv_commit(&txn);
    if (err == ERR_OK && note.kind != REPLICA_LOADED)
        replica_note(r, &note);
    return err;
}

bool replica_store_has_work(const struct replica *r, uint64_t now_ms)
{
    /* What left the outbox is deleted with the next cut; only without one is it worth a flush of
     * its own. */
    return r->commit_failed || r->cut_count > 0 || r->outbox_done >= REPLICA_DELETES ||
           (r->outbox_done > 0 && now_ms - r->commit_ms >= REPLICA_CLEAN_MS);
}

static enum err put_cut(struct replica *r, struct kv_txn *txn, const struct cut *c,
                        uint64_t first_id)
{
    for (uint32_t i = 0; i < c->put_count; i++) {
        const struct cut_put *put = &c->puts[i];
        struct span key = span_of(put->key, put->key_length);
        if (put->value.length > 0)
            kv_put(txn, put->table, key, buf_span(&put->value));
        else
            kv_del(txn, put->table, key);
    }
#ifndef TRIBUTARY_BREAK_CUT_WITHOUT_OUTBOX
    for (uint32_t i = 0; i < c->partials.count; i++) {
        uint8_t key[8];
        bytes_store_u64(key, first_id + i);
        buf_clear(&r->scratch);
        buf_put_u16(&r->scratch, c->partition);
        buf_put(&r->scratch, c->partials.items[i].data, c->partials.items[i].length);
        kv_put(txn, CUT_TABLE_OUTBOX, span_of(key, sizeof(key)), buf_span(&r->scratch));
    }
#else
    (void)first_id;
#endif
    return replica_minutes_move(r, txn, c);
}

static void delete_done(struct replica *r, struct kv_txn *txn)
{
    for (uint32_t i = 0; i < r->outbox_count; i++) {
        uint8_t key[8];
        if (r->outbox[i].state != OUTBOX_DONE)
            continue;
        bytes_store_u64(key, r->outbox[i].id);
        kv_del(txn, CUT_TABLE_OUTBOX, span_of(key, sizeof(key)));
    }
}

/* A bounded number of redo values, and then of values of stored minutes, below what a committed
 * state has retired. Returns how far it came. */
static uint32_t delete_retired(struct kv_txn *txn, const struct part *p)
{
    uint8_t key[REDO_KEY_BYTES];
    redo_key(key, p->fold->options.partition, 0, 0);
    struct span found, value;
    for (unsigned i = 0; i < REPLICA_DELETES; i++) {
        uint16_t partition;
        uint32_t minute;
        uint64_t cut;
        if (!kv_seek(txn, CUT_TABLE_REDO, span_of(key, sizeof(key)), &found, &value) ||
            !redo_key_read(found, &partition, &minute, &cut) ||
            partition != p->fold->options.partition || minute >= p->retired_below)
            return replica_minutes_delete(txn, p) ? p->retired_below : p->cleaned_below;
        memcpy(key, found.data, sizeof(key));
        kv_del(txn, CUT_TABLE_REDO, span_of(key, sizeof(key)));
    }
    return p->cleaned_below;
}

static enum err commit(struct replica *r, bool with_cuts)
{
    struct kv_txn *txn;
    enum err err = kv_begin(r->options.kv, true, &txn);
    if (err != ERR_OK)
        return err;
    delete_done(r, txn);
    for (uint32_t i = 0; i < r->options.partition_count; i++) {
        struct part *p = &r->parts[i];
        p->cleaning_below =
            p->cleaned_below < p->retired_below ? delete_retired(txn, p) : p->cleaned_below;
    }
    uint64_t id = r->outbox_next_id;
    for (uint32_t i = 0; with_cuts && i < r->cut_count && err == ERR_OK; i++) {
        err = put_cut(r, txn, &r->cuts[i], id);
        id += r->cuts[i].partials.count;
    }
    if (err != ERR_OK) {
        /* What was read was not what it must be; unless the transaction had failed before. */
        enum err sticky = kv_abort(&txn);
        return sticky != ERR_OK ? sticky : err;
    }
    err = kv_commit(&txn);
    if (err != ERR_OK)
        return err;
    r->totals.commits++;
    for (uint32_t i = 0; i < r->options.partition_count; i++)
        r->parts[i].cleaned_below = r->parts[i].cleaning_below;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->outbox_count; i++) {
        if (r->outbox[i].state != OUTBOX_DONE)
            r->outbox[kept++] = r->outbox[i];
    }
    r->outbox_count = kept;
    r->outbox_done = 0;
    return ERR_OK;
}

#ifdef TRIBUTARY_BREAK_CUT_WITHOUT_OUTBOX
static void publish_at_once(struct replica *r, const struct cut *c)
{
    struct subject to = subject_partial(r->options.region, c->partition, r->options.replica);
    for (uint32_t i = 0; i < c->partials.count; i++)
        (void)bus_publish(r->options.bus, to.text, NULL, buf_span(&c->partials.items[i]),
                          replica_token(TOKEN_ANSWER, 0));
}
#endif

enum err replica_store_commit(struct replica *r, uint64_t now_ms)
{
    r->commit_ms = now_ms;
#ifdef TRIBUTARY_BREAK_REDO_GONE_BEFORE_CHUNKS
    replica_minutes_delete_redo(r);
#endif
    enum err err = commit(r, true);
    if (err == ERR_KV_FULL) {
        /* Room may come from what is done with; it must not wait for what does not fit. */
        r->totals.store_full++;
        if (!r->commit_failed)
            replica_note(r, &(struct replica_note){.kind = REPLICA_STORE_FULL, .err = err});
        enum err freed = commit(r, false);
        return err_class(freed) == ERR_CLASS_STOP ? freed : err;
    }
    if (err != ERR_OK)
        return err;
    for (uint32_t i = 0; i < r->cut_count; i++) {
        struct cut *c = &r->cuts[i];
        struct part *p = find_part(r, c->partition);
        CHECK(p != NULL);
        edge_book_committed(&p->fold->edges);
        p->retired_below = c->retired_below;
        for (uint32_t m = 0; m < c->move_count; m++)
            minute_move_commit(p->fold, &c->moves[m]);
        r->totals.moves += c->move_count;
        p->map_durable = c->map;
#ifdef TRIBUTARY_BREAK_CUT_WITHOUT_OUTBOX
        publish_at_once(r, c);
#else
        for (uint32_t m = 0; m < c->partials.count; m++)
            replica_outbox_add(r, r->outbox_next_id++);
#endif
        cut_done(c);
    }
    r->cut_count = 0;
    return ERR_OK;
}

enum err replica_store_outbox(struct replica *r, struct kv_txn *txn, uint64_t id,
                              uint16_t *out_partition, struct buf *out)
{
    (void)r;
    uint8_t key[8];
    struct span value;
    bytes_store_u64(key, id);
    if (!kv_get(txn, CUT_TABLE_OUTBOX, span_of(key, sizeof(key)), &value))
        return ERR_NOT_FOUND;
    if (value.length < OUTBOX_HEAD_BYTES)
        return ERR_KV_CORRUPT;
    struct span message = outbox_message(value, OUTBOX_HEAD_BYTES);
    *out_partition = bytes_load_u16(value.data);
    buf_clear(out);
    buf_put(out, message.data, message.length);
    return ERR_OK;
}
