/* SPDX-License-Identifier: Apache-2.0
 * global_merger_store: what the merger keeps in memory from its store, and how it gets there and
 * back. */
#include "global/global_merger_state.h"

#include <stdlib.h>

#define STORE_VERSION 2

void merger_store_put(struct merger *m, enum leaf_table table, struct leaf_key key,
                      struct buf *value)
{
    leaf_seal(value);
    kv_put(m->txn, table, leaf_key_span(&key), buf_span(value));
}

bool merger_store_get(struct merger *m, enum leaf_table table, struct leaf_key key,
                      struct span *out_body, enum err *err)
{
    struct span value;
    if (!kv_get(m->txn, table, leaf_key_span(&key), &value))
        return false;
    if (leaf_open(value, out_body))
        return true;
    *err = ERR_KV_CORRUPT;
    return false;
}

struct standing_partition *merger_store_partition(struct merger_river *river, uint16_t partition)
{
    CHECK(partition < LIMIT_PARTITIONS);
    if (river->partitions[partition] == NULL)
        river->partitions[partition] = base_zalloc(1, sizeof(struct standing_partition));
    return river->partitions[partition];
}

/* Drops what was learnt since the last commit, so that load can start afresh. */
void merger_store_forget(struct merger *m)
{
    for (uint32_t i = 0; i < m->options.region_count; i++) {
        struct merger_river *river = &m->rivers[i];
        for (uint32_t p = 0; p < LIMIT_PARTITIONS; p++) {
            if (river->partitions[p] == NULL)
                continue;
            standing_partition_done(river->partitions[p]);
            free(river->partitions[p]);
            river->partitions[p] = NULL;
        }
        standing_card_done(&river->card);
        river->card_dirty = false;
        river->moved = false;
        river->position = (struct merger_position){0};
    }
    want_list_clear(&m->wants);
    m->whole_count = 0;
    m->whole_next = 0;
}

static enum err check_version(struct merger *m)
{
    struct span body;
    enum err err = ERR_OK;
    if (merger_store_get(m, LEAF_TABLE_META, leaf_key_version(), &body, &err)) {
        struct reader r = reader_of(body);
        uint32_t version = reader_u32(&r);
        return reader_at_end(&r) && version == STORE_VERSION ? ERR_OK : ERR_VERSION;
    }
    if (err != ERR_OK)
        return err;
    buf_clear(&m->value);
    buf_put_u32(&m->value, STORE_VERSION);
    merger_store_put(m, LEAF_TABLE_META, leaf_key_version(), &m->value);
    return ERR_OK;
}

static struct merger_river *river_of_id(struct merger *m, uint16_t id)
{
    for (uint32_t i = 0; i < m->options.region_count; i++)
        if (m->rivers[i].id == id)
            return &m->rivers[i];
    return NULL;
}

/* A region keeps the id that it was given first, wherever the configuration lists it. */
static enum err load_regions(struct merger *m)
{
    uint16_t next_id = 1;
    for (uint32_t i = 0; i < m->options.region_count; i++)
        m->rivers[i].id = 0;
    struct leaf_key start = leaf_key_region(0);
    struct span key = leaf_key_span(&start);
    struct span value;
    while (kv_seek(m->txn, LEAF_TABLE_REGION, key, &key, &value)) {
        struct span body;
        struct standing_card card = {.watermark_ms = 0};
        uint16_t id;
        if (!leaf_region_of_key(key, &id) || !leaf_open(value, &body) ||
            standing_card_read(&card, body) != ERR_OK)
            return ERR_KV_CORRUPT;
        next_id = (uint16_t)(id + 1);
        bool ours = false;
        for (uint32_t i = 0; i < m->options.region_count && !ours; i++) {
            if (strcmp(m->rivers[i].name, card.name) != 0)
                continue;
            m->rivers[i].id = id;
            m->rivers[i].card = card;
            ours = true;
        }
        if (!ours)
            standing_card_done(&card);
        start = leaf_key_region(next_id);
        key = leaf_key_span(&start);
    }
    for (uint32_t i = 0; i < m->options.region_count; i++) {
        struct merger_river *river = &m->rivers[i];
        if (river->id != 0)
            continue;
        river->id = next_id++;
        memcpy(river->card.name, river->name, sizeof(river->card.name));
        buf_clear(&m->value);
        standing_card_put(&river->card, &m->value);
        merger_store_put(m, LEAF_TABLE_REGION, leaf_key_region(river->id), &m->value);
    }
    return ERR_OK;
}

static enum err load_positions(struct merger *m)
{
    for (uint32_t i = 0; i < m->options.region_count; i++) {
        struct merger_river *river = &m->rivers[i];
        struct span body;
        enum err err = ERR_OK;
        if (!merger_store_get(m, LEAF_TABLE_META, leaf_key_position(river->id), &body, &err)) {
            if (err != ERR_OK)
                return err;
            continue;
        }
        struct reader r = reader_of(body);
        river->position.seq = reader_u64(&r);
        river->position.digest = reader_u64(&r);
        if (!reader_at_end(&r))
            return ERR_KV_CORRUPT;
    }
    return ERR_OK;
}

/* Steps a scan to the key behind `key`. `storage` holds it: the span handed out dies with the next
 * call. */
static struct span key_behind(struct span key, struct leaf_key *storage)
{
    CHECK(key.length + 1 <= sizeof(storage->data));
    memmove(storage->data, key.data, key.length);
    storage->data[key.length] = 0;
    storage->length = key.length + 1;
    return leaf_key_span(storage);
}

static enum err load_partitions(struct merger *m)
{
    struct leaf_key at = leaf_key_region(0);
    struct span key = leaf_key_span(&at);
    struct span value;
    struct span body;
    uint16_t id;
    uint16_t partition;
    for (; kv_seek(m->txn, LEAF_TABLE_PARTITION, key, &key, &value); key = key_behind(key, &at)) {
        if (!leaf_partition_of_key(key, &id, &partition) || partition >= LIMIT_PARTITIONS ||
            !leaf_open(value, &body))
            return ERR_KV_CORRUPT;
        struct merger_river *river = river_of_id(m, id);
        if (river != NULL &&
            standing_partition_read(merger_store_partition(river, partition), body) != ERR_OK)
            return ERR_KV_CORRUPT;
    }
    at = leaf_key_region(0);
    key = leaf_key_span(&at);
    char name[LIMIT_READER_NAME_BYTES + 1];
    for (; kv_seek(m->txn, LEAF_TABLE_REPLICA, key, &key, &value); key = key_behind(key, &at)) {
        if (!leaf_replica_of_key(key, &id, &partition, name) || partition >= LIMIT_PARTITIONS ||
            !leaf_open(value, &body))
            return ERR_KV_CORRUPT;
        struct merger_river *river = river_of_id(m, id);
        if (river == NULL)
            continue;
        struct standing_partition *p = merger_store_partition(river, partition);
        if (p->replica_count == LIMIT_READERS)
            continue;
        struct standing_replica *r = &p->replicas[p->replica_count++];
        memcpy(r->replica, name, sizeof(name));
        if (standing_replica_read(r, body) != ERR_OK)
            return ERR_KV_CORRUPT;
    }
    return ERR_OK;
}

static enum err load_wants(struct merger *m)
{
    struct leaf_key at = leaf_key_region(0);
    struct span key = leaf_key_span(&at);
    struct span value;
    uint64_t now_ms = m->options.clock->mono_ms(m->options.clock);
    for (; kv_seek(m->txn, LEAF_TABLE_WANT, key, &key, &value); key = key_behind(key, &at)) {
        struct want_list_entry entry = {.due_ms = now_ms + WANT_LIST_FIRST_MS};
        struct span body;
        uint8_t kind;
        if (!leaf_want_of_key(key, &entry.region, &entry.partition, &kind, &entry.what) ||
            !leaf_open(value, &body) || (kind != WANT_LIST_MINUTE && kind != WANT_LIST_NAME))
            return ERR_KV_CORRUPT;
        struct reader r = reader_of(body);
        entry.kind = (enum want_list_kind)kind;
        entry.held = reader_u8(&r) != 0;
        struct span replica = reader_block(&r, LIMIT_READER_NAME_BYTES);
        if (!reader_at_end(&r))
            return ERR_KV_CORRUPT;
        memcpy(entry.replica, replica.data, replica.length);
        if (river_of_id(m, entry.region) != NULL)
            (void)want_list_add(&m->wants, &entry);
    }
    return ERR_OK;
}

void merger_store_put_name(struct merger *m, uint64_t ad_hash, struct span ad_id)
{
    struct leaf_key key = leaf_key_name(ad_hash);
    kv_put(m->txn, LEAF_TABLE_NAME, leaf_key_span(&key), ad_id);
    if (ad_id.length > 0) /* keys are not empty; nor are ids that an edge lets in */
        kv_put(m->txn, LEAF_TABLE_BY_NAME, ad_id, leaf_key_span(&key));
}

/* Stores that were written before there was BY_NAME get it at once, and whole. */
static enum err load_names(struct merger *m)
{
    static const uint8_t first;
    struct span key = span_of(&first, 1);
    struct span name;
    struct leaf_key at;
    if (kv_seek(m->txn, LEAF_TABLE_BY_NAME, key, &key, &name))
        return ERR_OK;
    key = span_of(&first, 1);
    for (; kv_seek(m->txn, LEAF_TABLE_NAME, key, &key, &name); key = key_behind(key, &at)) {
        uint8_t copy[LIMIT_ID_BYTES]; /* a put takes the span away */
        if (key.length != 8 || name.length > sizeof(copy))
            return ERR_KV_CORRUPT;
        uint64_t ad_hash = bytes_load_u64(key.data);
        memcpy(copy, name.data, name.length);
        size_t length = name.length;
        at = leaf_key_name(ad_hash);
        key = leaf_key_span(&at);
        if (length > 0)
            kv_put(m->txn, LEAF_TABLE_BY_NAME, span_of(copy, length), key);
    }
    return ERR_OK;
}

enum err merger_store_load(struct merger *m)
{
    CHECK(m->txn == NULL);
    merger_store_forget(m);
    enum err err = kv_begin(m->options.kv, true, &m->txn);
    if (err != ERR_OK)
        return err;
    err = check_version(m);
    if (err == ERR_OK)
        err = load_regions(m);
    if (err == ERR_OK)
        err = load_positions(m);
    if (err == ERR_OK)
        err = load_partitions(m);
    if (err == ERR_OK)
        err = load_wants(m);
    if (err == ERR_OK)
        err = load_names(m);
    if (err == ERR_OK)
        err = merger_retire_load(m);
    if (err == ERR_OK)
        return kv_commit(&m->txn);
    (void)kv_abort(&m->txn);
    return err;
}
