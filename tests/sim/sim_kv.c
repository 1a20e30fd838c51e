/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_kv.h"

#include <stdlib.h>

/* Changes are made in place and written down; an abort, a failed commit or a crash takes them back
 * in reverse. One transaction writes at a time; readers must not overlap a writer (one thread). */

struct entry {
    size_t key_length, value_length;
    uint8_t bytes[];
};

struct table {
    struct entry **entries; /* sorted by key */
    size_t count, capacity;
};

struct undo {
    unsigned table;
    struct entry *added;   /* is in the table now; NULL: was deleted */
    struct entry *removed; /* was in the table before; NULL: was absent */
};

struct sim_kv {
    struct kv_port port;
    struct table *tables;
    unsigned table_count;
    struct undo *undos;
    size_t undo_count, undo_capacity;
    struct sim_txn *writer;
    unsigned readers;
    unsigned fail_in;
    enum err fail_err;
    bool fail_applied;
    uint64_t commits, bytes, bytes_max;
    struct sim_fuse *fuse;
    struct sim_nth *nth;
};

struct sim_txn {
    struct kv_txn base;
    bool write;
    enum err err;
};

static struct sim_kv *sim_of(struct kv_port *kv)
{
    return container_of(kv, struct sim_kv, port);
}

static struct span entry_key(const struct entry *e)
{
    return span_of(e->bytes, e->key_length);
}

static int compare(struct span a, struct span b)
{
    size_t shorter = a.length < b.length ? a.length : b.length;
    int order = shorter == 0 ? 0 : memcmp(a.data, b.data, shorter);
    return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

/* Index of the first entry with key >= `key`. */
static size_t table_find(const struct table *t, struct span key)
{
    size_t low = 0, high = t->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(entry_key(t->entries[middle]), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool table_at(const struct table *t, size_t index, struct span key)
{
    return index < t->count && compare(entry_key(t->entries[index]), key) == 0;
}

/* Sets or, with e == NULL, removes; returns what was there before. */
static struct entry *table_set(struct table *t, struct span key, struct entry *e)
{
    size_t at = table_find(t, key);
    if (table_at(t, at, key)) {
        struct entry *before = t->entries[at];
        if (e != NULL) {
            t->entries[at] = e;
        } else {
            memmove(&t->entries[at], &t->entries[at + 1],
                    (t->count - at - 1) * sizeof(*t->entries));
            t->count--;
        }
        return before;
    }
    if (e == NULL)
        return NULL;
    if (t->count == t->capacity) {
        t->capacity = t->capacity == 0 ? 64 : t->capacity * 2;
        t->entries = base_realloc(t->entries, t->capacity * sizeof(*t->entries));
    }
    memmove(&t->entries[at + 1], &t->entries[at], (t->count - at) * sizeof(*t->entries));
    t->entries[at] = e;
    t->count++;
    return NULL;
}

static size_t entry_bytes(const struct entry *e)
{
    return e == NULL ? 0 : e->key_length + e->value_length;
}

static struct entry *entry_new(struct span key, struct span value)
{
    struct entry *e = base_alloc(sizeof(*e) + key.length + value.length);
    e->key_length = key.length;
    e->value_length = value.length;
    memcpy(e->bytes, key.data, key.length);
    if (value.length > 0)
        memcpy(e->bytes + key.length, value.data, value.length);
    return e;
}

static void undo_push(struct sim_kv *s, struct undo u)
{
    if (s->undo_count == s->undo_capacity) {
        s->undo_capacity = s->undo_capacity == 0 ? 64 : s->undo_capacity * 2;
        s->undos = base_realloc(s->undos, s->undo_capacity * sizeof(*s->undos));
    }
    s->undos[s->undo_count++] = u;
}

static void take_back(struct sim_kv *s)
{
    while (s->undo_count > 0) {
        struct undo u = s->undos[--s->undo_count];
        struct span key = entry_key(u.added != NULL ? u.added : u.removed);
        struct entry *now = table_set(&s->tables[u.table], key, u.removed);
        CHECK(now == u.added);
        s->bytes += entry_bytes(u.removed);
        s->bytes -= entry_bytes(u.added);
        free(u.added);
    }
}

static void keep(struct sim_kv *s)
{
    for (size_t i = 0; i < s->undo_count; i++)
        free(s->undos[i].removed);
    s->undo_count = 0;
}

static enum err sim_kv_begin(struct kv_port *kv, bool write, struct kv_txn **out_txn)
{
    struct sim_kv *s = sim_of(kv);
    CHECK(s->writer == NULL);
    CHECK(!write || s->readers == 0);
    enum err err = sim_nth_meet(s->nth, write ? SIM_CALL_BEGIN_WRITE : SIM_CALL_BEGIN_READ);
    if (err != ERR_OK)
        return err;
    struct sim_txn *t = base_zalloc(1, sizeof(*t));
    t->base.kv = kv;
    t->write = write;
    if (write)
        s->writer = t;
    else
        s->readers++;
    *out_txn = &t->base;
    return ERR_OK;
}

/* After an error, what is read is nothing: as in the real one. */
static bool may_go_on(struct kv_txn *txn, enum sim_call call)
{
    struct sim_txn *t = container_of(txn, struct sim_txn, base);
    if (t->err == ERR_OK)
        t->err = sim_nth_meet(sim_of(txn->kv)->nth, call);
    return t->err == ERR_OK;
}

static bool look_up(struct kv_txn *txn, unsigned table, struct span key, struct span *out_key,
                    struct span *out_value)
{
    struct sim_kv *s = sim_of(txn->kv);
    CHECK(table < s->table_count);
    const struct table *t = &s->tables[table];
    size_t at = table_find(t, key);
    if (at == t->count)
        return false;
    *out_key = entry_key(t->entries[at]);
    *out_value =
        span_of(t->entries[at]->bytes + t->entries[at]->key_length, t->entries[at]->value_length);
    return true;
}

static bool sim_kv_seek(struct kv_txn *txn, unsigned table, struct span key, struct span *out_key,
                        struct span *out_value)
{
    return may_go_on(txn, SIM_CALL_SEEK) && look_up(txn, table, key, out_key, out_value);
}

static bool sim_kv_get(struct kv_txn *txn, unsigned table, struct span key, struct span *out_value)
{
    struct span found, value;
    if (!may_go_on(txn, SIM_CALL_GET) || !look_up(txn, table, key, &found, &value) ||
        compare(found, key) != 0)
        return false;
    *out_value = value;
    return true;
}

static void change(struct kv_txn *txn, unsigned table, struct span key, struct entry *added)
{
    struct sim_kv *s = sim_of(txn->kv);
    struct entry *removed = table_set(&s->tables[table], key, added);
    s->bytes += entry_bytes(added);
    s->bytes -= entry_bytes(removed);
    if (added != NULL || removed != NULL)
        undo_push(s, (struct undo){table, added, removed});
}

static void sim_kv_put(struct kv_txn *txn, unsigned table, struct span key, struct span value)
{
    struct sim_kv *s = sim_of(txn->kv);
    struct sim_txn *t = container_of(txn, struct sim_txn, base);
    CHECK(t->write && table < s->table_count && key.length >= 1 && key.length <= 511);
    if (t->err == ERR_OK && s->bytes_max > 0 && s->bytes + key.length + value.length > s->bytes_max)
        t->err = ERR_KV_FULL;
    if (may_go_on(txn, SIM_CALL_PUT))
        change(txn, table, key, entry_new(key, value));
}

static void sim_kv_del(struct kv_txn *txn, unsigned table, struct span key)
{
    struct sim_txn *t = container_of(txn, struct sim_txn, base);
    CHECK(t->write && table < sim_of(txn->kv)->table_count);
    if (may_go_on(txn, SIM_CALL_DEL))
        change(txn, table, key, NULL);
}

static enum err sim_kv_end(struct kv_txn *txn, bool commit)
{
    struct sim_kv *s = sim_of(txn->kv);
    struct sim_txn *t = container_of(txn, struct sim_txn, base);
    enum err err = t->err;
    bool apply = commit && err == ERR_OK;
    if (t->write) {
        CHECK(s->writer == t);
        s->writer = NULL;
        if (apply && s->fail_in > 0 && --s->fail_in == 0) {
            err = s->fail_err;
            apply = s->fail_applied;
        }
        enum err nth = apply && err == ERR_OK ? sim_nth_meet(s->nth, SIM_CALL_COMMIT) : ERR_OK;
        if (nth != ERR_OK) {
            err = nth;
            apply = s->nth->applied;
        }
        if (apply && s->undo_count > 0 && !sim_fuse_burn(s->fuse))
            apply = false;
        if (s->fuse != NULL && s->fuse->blown)
            err = ERR_KV_IO; /* the process died in the commit, before it or after it took effect */
        if (apply) {
            keep(s);
            s->commits++;
        } else {
            take_back(s);
        }
    } else {
        CHECK(s->readers > 0);
        s->readers--;
    }
    free(t);
    return err;
}

struct kv_port *sim_kv_new(unsigned table_count)
{
    struct sim_kv *s = base_zalloc(1, sizeof(*s));
    s->port =
        (struct kv_port){sim_kv_begin, sim_kv_get, sim_kv_seek, sim_kv_put, sim_kv_del, sim_kv_end};
    s->tables = base_zalloc(table_count, sizeof(*s->tables));
    s->table_count = table_count;
    return &s->port;
}

void sim_kv_free(struct kv_port *kv)
{
    if (kv == NULL)
        return;
    struct sim_kv *s = sim_of(kv);
    sim_kv_crash(kv);
    for (unsigned i = 0; i < s->table_count; i++) {
        for (size_t j = 0; j < s->tables[i].count; j++)
            free(s->tables[i].entries[j]);
        free(s->tables[i].entries);
    }
    free(s->tables);
    free(s->undos);
    free(s);
}

void sim_kv_fail_commit(struct kv_port *kv, unsigned n, enum err err, bool applied)
{
    struct sim_kv *s = sim_of(kv);
    s->fail_in = n;
    s->fail_err = err;
    s->fail_applied = applied;
}

uint64_t sim_kv_commits(const struct kv_port *kv)
{
    return ((const struct sim_kv *)(const void *)kv)->commits;
}

void sim_kv_crash(struct kv_port *kv)
{
    struct sim_kv *s = sim_of(kv);
    if (s->writer != NULL) {
        take_back(s);
        free(s->writer);
        s->writer = NULL;
    }
    s->readers = 0;
    s->fail_in = 0;
}

struct kv_port *sim_kv_clone(const struct kv_port *kv)
{
    const struct sim_kv *s = (const struct sim_kv *)(const void *)kv;
    CHECK(s->writer == NULL);
    struct kv_port *copy = sim_kv_new(s->table_count);
    struct sim_kv *c = sim_of(copy);
    for (unsigned i = 0; i < s->table_count; i++) {
        for (size_t j = 0; j < s->tables[i].count; j++) {
            const struct entry *e = s->tables[i].entries[j];
            struct span key = entry_key(e);
            table_set(&c->tables[i], key,
                      entry_new(key, span_of(e->bytes + e->key_length, e->value_length)));
        }
    }
    c->bytes = s->bytes;
    c->bytes_max = s->bytes_max;
    return copy;
}

uint64_t sim_kv_entries(const struct kv_port *kv, unsigned table)
{
    const struct sim_kv *s = (const struct sim_kv *)(const void *)kv;
    CHECK(table < s->table_count);
    return s->tables[table].count;
}

uint64_t sim_kv_bytes(const struct kv_port *kv)
{
    return ((const struct sim_kv *)(const void *)kv)->bytes;
}

void sim_kv_fuse(struct kv_port *kv, struct sim_fuse *fuse)
{
    sim_of(kv)->fuse = fuse;
}

void sim_kv_limit(struct kv_port *kv, uint64_t bytes_max)
{
    sim_of(kv)->bytes_max = bytes_max;
}

void sim_kv_nth(struct kv_port *kv, struct sim_nth *nth)
{
    sim_of(kv)->nth = nth;
}
