/* SPDX-License-Identifier: Apache-2.0
 * kv_lmdb: the kv port on LMDB; an error sticks to the transaction until its end, an unsound store
 * to the process. Audience: see kv_lmdb.h. */
#include "common/run/kv_lmdb.h"

#include "common/base/hash.h"
#include "common/run/kv_folder.h"
#include "common/run/log.h"
#include "common/run/mapped_pages.h"

#include <errno.h>
#include <lmdb.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CHECKSUM_BYTES 8
#define KEY_BYTES_MAX  511
/* What the tree itself makes resident, a transaction: the kernel maps 64 KiB around each page. */
#define READ_BYTES  (64u << 10)
#define WRITE_BYTES (512u << 10)
/* A walk through the free list that takes longer is made less often, but often enough for an edge
 * to see that its spool has room again. */
#define WALK_LONG_US      1000u
#define WALK_APART_MAX_US 3000000u

struct store {
    struct kv_port port;
    MDB_env *env;
    struct kv_folder folder;
    uint64_t map_bytes, page_bytes;
    unsigned table_count;
    MDB_dbi *tables;
    struct mapped_pages pages;
    _Atomic uint64_t read_bytes;                       /* since the last look */
    _Atomic uint64_t unused_pages, walked_us, walk_us; /* of the free list, when, and how long */
    atomic_int unfit;  /* enum err; once not ERR_OK, every begin and commit says so */
    atomic_int writer; /* thread id of the open write transaction, or 0 */
};

struct txn {
    struct kv_txn base;
    MDB_txn *lmdb;
    bool write;
    bool spans_out; /* a get or seek has handed out a span since the last change */
    enum err err;
    uint64_t read_bytes;
    struct buf copied;
    MDB_cursor *cursors[]; /* one a table, opened at its first seek */
};

static struct store *store_of(struct kv_port *kv)
{
    return container_of(kv, struct store, port);
}

static struct txn *txn_of(struct kv_txn *txn)
{
    return container_of(txn, struct txn, base);
}

/* A positive code is errno of a page write, of the sync or of the meta page. After a failed
 * fdatasync the kernel may have marked the lost pages clean, so that a second sync "succeeds": the
 * outcome of this commit is unknown and stays so. A commit that met a full disk is another matter:
 * see full_disk. */
static enum err err_of(int code)
{
    switch (code) {
    case MDB_SUCCESS:
        return ERR_OK;
    case MDB_MAP_FULL:
        return ERR_KV_FULL;
    case MDB_READERS_FULL:
        return ERR_KV_BUSY;
    case MDB_TXN_FULL:
        return ERR_LIMIT;
    case MDB_CORRUPTED:
    case MDB_PANIC:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
    case MDB_MAP_RESIZED:
    case MDB_CURSOR_FULL:
    case MDB_PAGE_FULL:
        return ERR_KV_CORRUPT;
    default:
        return code > 0 ? ERR_KV_IO : ERR_SYSTEM;
    }
}

static enum err fail(struct store *s, const char *doing, int code)
{
    enum err err = err_of(code);
    if (err_class(err) == ERR_CLASS_STOP) {
        int none = ERR_OK;
        (void)atomic_compare_exchange_strong(&s->unfit, &none, (int)err);
        log_error("store is unfit", log_text("path", s->folder.path), log_text("doing", doing),
                  log_text("reason", mdb_strerror(code)));
    }
    return err;
}

static void txn_fail(struct txn *t, const char *doing, int code)
{
    CHECK(code != MDB_SUCCESS);
    if (t->err == ERR_OK)
        t->err = fail(store_of(t->base.kv), doing, code);
}

static void damaged(struct txn *t, unsigned table)
{
    struct store *s = store_of(t->base.kv);
    int none = ERR_OK;
    (void)atomic_compare_exchange_strong(&s->unfit, &none, (int)ERR_KV_CORRUPT);
    log_error("store is damaged: checksum of a value", log_text("path", s->folder.path),
              log_u64("table", table));
    t->err = ERR_KV_CORRUPT;
}

/* Seeded by table and key, so that a sound value in the wrong place is noticed as well. */
static uint64_t checksum(unsigned table, struct span key, struct span value)
{
    return hash_checksum(value, hash_checksum(key, (uint64_t)table + 1));
}

/* Takes the checksum off a stored value; LMDB itself does not notice a flipped bit. */
static bool open_value(struct txn *t, unsigned table, struct span key, const MDB_val *stored,
                       struct span *out_value)
{
    if (stored->mv_size < CHECKSUM_BYTES) {
        damaged(t, table);
        return false;
    }
    struct span value = span_of(stored->mv_data, stored->mv_size - CHECKSUM_BYTES);
    if (bytes_load_u64(value.data + value.length) != checksum(table, key, value)) {
        damaged(t, table);
        return false;
    }
    t->spans_out = true;
    t->read_bytes += stored->mv_size;
    *out_value = value;
    return true;
}

/* LMDB does not write through a key or value that it is given to read. */
static MDB_val val_of(struct span s)
{
    union {
        const void *from;
        void *to;
    } data = {.from = s.data};
    return (MDB_val){.mv_size = s.length, .mv_data = data.to};
}

static enum err begin(struct kv_port *kv, bool write, struct kv_txn **out_txn)
{
    struct store *s = store_of(kv);
    enum err unfit = (enum err)atomic_load(&s->unfit);
    if (unfit != ERR_OK)
        return unfit;
    const int self = (int)syscall(SYS_gettid);
    /* A second write transaction of one thread would wait for itself. */
    CHECK(!write || atomic_load(&s->writer) != self);
    struct txn *t = base_zalloc(1, sizeof(*t) + s->table_count * sizeof(MDB_cursor *));
    int code = mdb_txn_begin(s->env, NULL, write ? 0 : MDB_RDONLY, &t->lmdb);
    if (code != MDB_SUCCESS) {
        free(t);
        return fail(s, "begin", code);
    }
    if (write)
        atomic_store(&s->writer, self);
    t->base.kv = kv;
    t->write = write;
    *out_txn = &t->base;
    return ERR_OK;
}

static bool get(struct kv_txn *txn, unsigned table, struct span key, struct span *out_value)
{
    struct txn *t = txn_of(txn);
    struct store *s = store_of(txn->kv);
    CHECK(table < s->table_count);
    CHECK(key.length >= 1 && key.length <= KEY_BYTES_MAX);
    if (t->err != ERR_OK)
        return false;
    MDB_val k = val_of(key), v;
    int code = mdb_get(t->lmdb, s->tables[table], &k, &v);
    if (code == MDB_SUCCESS)
        return open_value(t, table, key, &v, out_value);
    if (code != MDB_NOTFOUND)
        txn_fail(t, "get", code);
    return false;
}

static bool seek(struct kv_txn *txn, unsigned table, struct span key, struct span *out_key,
                 struct span *out_value)
{
    struct txn *t = txn_of(txn);
    struct store *s = store_of(txn->kv);
    CHECK(table < s->table_count && key.length <= KEY_BYTES_MAX);
    if (t->err != ERR_OK)
        return false;
    int code = MDB_SUCCESS;
    if (t->cursors[table] == NULL)
        code = mdb_cursor_open(t->lmdb, s->tables[table], &t->cursors[table]);
    MDB_val k = val_of(key), v;
    if (code == MDB_SUCCESS)
        code =
            mdb_cursor_get(t->cursors[table], &k, &v, key.length == 0 ? MDB_FIRST : MDB_SET_RANGE);
    if (code != MDB_SUCCESS) {
        if (code != MDB_NOTFOUND)
            txn_fail(t, "seek", code);
        return false;
    }
    struct span found = span_of(k.mv_data, k.mv_size);
    if (!open_value(t, table, found, &v, out_value))
        return false;
    *out_key = found;
    return true;
}

/* A caller may put what it just got: LMDB moves the entries of a page while it makes room, so such
 * spans are copied first. Transactions that only put never pay for it. */
static void unalias(struct txn *t, struct span *key, struct span *value)
{
    if (!t->spans_out)
        return;
    buf_clear(&t->copied);
    buf_reserve(&t->copied, key->length + value->length);
    buf_put(&t->copied, key->data, key->length);
    buf_put(&t->copied, value->data, value->length);
    key->data = t->copied.data;
    value->data = t->copied.data + key->length;
    t->spans_out = false;
}

static void put(struct kv_txn *txn, unsigned table, struct span key, struct span value)
{
    struct txn *t = txn_of(txn);
    struct store *s = store_of(txn->kv);
    CHECK(t->write && table < s->table_count);
    CHECK(key.length >= 1 && key.length <= KEY_BYTES_MAX && value.length <= UINT32_MAX / 2);
    if (t->err != ERR_OK)
        return;
    unalias(t, &key, &value);
    MDB_val k = val_of(key), v = {.mv_size = value.length + CHECKSUM_BYTES};
    int code = mdb_put(t->lmdb, s->tables[table], &k, &v, MDB_RESERVE);
    if (code != MDB_SUCCESS) {
        txn_fail(t, "put", code);
        return;
    }
    CHECK(v.mv_size == value.length + CHECKSUM_BYTES);
    uint8_t *at = v.mv_data;
    if (value.length > 0)
        memcpy(at, value.data, value.length);
    bytes_store_u64(at + value.length, checksum(table, key, value));
}

static void del(struct kv_txn *txn, unsigned table, struct span key)
{
    struct txn *t = txn_of(txn);
    struct store *s = store_of(txn->kv);
    CHECK(t->write && table < s->table_count);
    CHECK(key.length >= 1 && key.length <= KEY_BYTES_MAX);
    if (t->err != ERR_OK)
        return;
    struct span none = {0};
    unalias(t, &key, &none);
    MDB_val k = val_of(key);
    int code = mdb_del(t->lmdb, s->tables[table], &k, NULL);
    if (code != MDB_SUCCESS && code != MDB_NOTFOUND)
        txn_fail(t, "del", code);
}

/* A commit writes its pages where no meta page points yet, syncs them, and writes the meta page
 * last. Where the disk is full before that, the transaction left no trace, and a later one writes
 * anew whatever it uses. At the meta page itself LMDB gives the whole environment up, and says so
 * at every begin from then on. (A write cut short it reports as EIO: that stops the process.) */
static bool full_disk(struct store *s, int code)
{
    MDB_txn *probe;
    if ((code != ENOSPC && code != EDQUOT) ||
        mdb_txn_begin(s->env, NULL, MDB_RDONLY, &probe) != MDB_SUCCESS)
        return false;
    mdb_txn_abort(probe);
    return true;
}

static enum err end(struct kv_txn *txn, bool commit)
{
    struct txn *t = txn_of(txn);
    struct store *s = store_of(txn->kv);
    for (unsigned i = 0; i < s->table_count; i++)
        if (t->cursors[i] != NULL)
            mdb_cursor_close(t->cursors[i]);
    enum err err = t->err;
    /* Another thread may have found damage meanwhile: nothing more is promised from this store. */
    if (err == ERR_OK && commit)
        err = (enum err)atomic_load(&s->unfit);
    if (t->write)
        atomic_store(&s->writer, 0);
    if (commit && err == ERR_OK && t->write) {
        int code = mdb_txn_commit(t->lmdb);
        if (code != MDB_SUCCESS)
            err = full_disk(s, code) ? ERR_KV_FULL : fail(s, "commit", code);
    } else {
        mdb_txn_abort(t->lmdb);
    }
    mapped_pages_touched(&s->pages, t->read_bytes + (t->write ? WRITE_BYTES : READ_BYTES));
    buf_done(&t->copied);
    free(t);
    return err;
}

static enum err open_tables(struct store *s, const struct kv_lmdb_options *options)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(s->env, NULL, 0, &txn);
    if (code != MDB_SUCCESS)
        return fail(s, "begin", code);
    for (unsigned i = 0; i < s->table_count && code == MDB_SUCCESS; i++)
        code = mdb_dbi_open(txn, options->tables[i], MDB_CREATE, &s->tables[i]);
    if (code != MDB_SUCCESS) {
        mdb_txn_abort(txn);
        return fail(s, "open table", code);
    }
    code = mdb_txn_commit(txn);
    return code == MDB_SUCCESS ? ERR_OK : fail(s, "commit", code);
}

static enum err open_env(struct store *s, const struct kv_lmdb_options *options)
{
    int code = mdb_env_create(&s->env);
    CHECK(code == MDB_SUCCESS);
    CHECK(mdb_env_set_maxdbs(s->env, s->table_count) == MDB_SUCCESS);
    CHECK(mdb_env_set_maxreaders(s->env, options->readers_max == 0 ? 126 : options->readers_max) ==
          MDB_SUCCESS);
    code = mdb_env_set_mapsize(s->env, (size_t)s->map_bytes);
    if (code == MDB_SUCCESS)
        code = mdb_env_open(s->env, s->folder.path, MDB_NOTLS, 0600);
    int dead = 0;
    if (code == MDB_SUCCESS)
        code = mdb_reader_check(s->env, &dead);
    if (code != MDB_SUCCESS)
        return fail(s, "open", code);
    MDB_envinfo info;
    MDB_stat stat;
    CHECK(mdb_env_info(s->env, &info) == MDB_SUCCESS && mdb_env_stat(s->env, &stat) == MDB_SUCCESS);
    CHECK(mdb_env_get_maxkeysize(s->env) == KEY_BYTES_MAX);
    s->map_bytes = info.me_mapsize;
    s->page_bytes = stat.ms_psize;
    mapped_pages_find(&s->pages, s->folder.path, "data.mdb", options->resident_bytes_max);
    enum err err = open_tables(s, options);
    if (err == ERR_OK && !kv_folder_sync(&s->folder))
        err = fail(s, "sync of the folder", errno);
    return err;
}

enum err kv_lmdb_open(const struct kv_lmdb_options *options, struct kv_port **out)
{
    CHECK(options->table_count >= 1 && options->map_bytes > 0);
    struct kv_folder folder;
    enum err err = kv_folder_take(options->path, &folder);
    if (err != ERR_OK)
        return err;
    struct store *s = base_zalloc(1, sizeof(*s));
    s->port = (struct kv_port){begin, get, seek, put, del, end};
    s->folder = folder;
    s->table_count = options->table_count;
    s->tables = base_zalloc(s->table_count, sizeof(*s->tables));
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    s->map_bytes = (options->map_bytes + page - 1) / page * page;
    err = open_env(s, options);
    if (err != ERR_OK) {
        log_error("cannot open store", log_text("path", options->path), log_err(err));
        kv_lmdb_close(&s->port);
        return err;
    }
    *out = &s->port;
    return ERR_OK;
}

void kv_lmdb_close(struct kv_port *kv)
{
    if (kv == NULL)
        return;
    struct store *s = store_of(kv);
    CHECK(atomic_load(&s->writer) == 0);
    mdb_env_close(s->env);
    kv_folder_release(&s->folder);
    free(s->tables);
    free(s);
}

/* The free list is table 0; each value starts with the count of its pages. One step a freeing
 * transaction that is not yet recycled: few, while readers are short, but thousands after gigabytes
 * were deleted. */
static uint64_t free_pages(struct store *s, MDB_txn *txn)
{
    MDB_cursor *cursor;
    int code = mdb_cursor_open(txn, 0, &cursor);
    if (code != MDB_SUCCESS) {
        (void)fail(s, "usage", code);
        return 0;
    }
    uint64_t pages = 0;
    MDB_val key, value;
    while ((code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == MDB_SUCCESS) {
        size_t count;
        CHECK(value.mv_size >= sizeof(count));
        memcpy(&count, value.mv_data, sizeof(count));
        pages += count;
        mapped_pages_touched(&s->pages, READ_BYTES);
    }
    mdb_cursor_close(cursor);
    if (code != MDB_NOTFOUND)
        (void)fail(s, "usage", code);
    return pages;
}

static uint64_t mono_us(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* A walk that takes long is not made often: where the free list is so long there is room. */
static uint64_t unused_pages(struct store *s, MDB_txn *txn)
{
    uint64_t begun_us = mono_us(), took_us = atomic_load(&s->walk_us);
    uint64_t apart_us = base_min_u64(20 * took_us, WALK_APART_MAX_US);
    if (took_us >= WALK_LONG_US && begun_us - atomic_load(&s->walked_us) < apart_us)
        return atomic_load(&s->unused_pages);
    uint64_t pages = free_pages(s, txn), ended_us = mono_us();
    atomic_store(&s->unused_pages, pages);
    atomic_store(&s->walked_us, ended_us);
    atomic_store(&s->walk_us, ended_us - begun_us);
    return pages;
}

void kv_lmdb_usage(struct kv_port *kv, uint64_t *out_used_bytes, uint64_t *out_map_bytes)
{
    struct store *s = store_of(kv);
    uint64_t used = 0;
    MDB_txn *txn;
    int code = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    if (code == MDB_SUCCESS) {
        uint64_t unused = unused_pages(s, txn);
        MDB_envinfo info;
        CHECK(mdb_env_info(s->env, &info) == MDB_SUCCESS);
        /* A commit between the two reads can only make the file longer. */
        uint64_t pages = (uint64_t)info.me_last_pgno + 1;
        used = (pages > unused ? pages - unused : 0) * s->page_bytes;
        mdb_txn_abort(txn);
    } else {
        (void)fail(s, "usage", code);
    }
    *out_used_bytes = used;
    *out_map_bytes = s->map_bytes;
}

enum err kv_lmdb_copy(struct kv_port *kv, int file)
{
    struct store *s = store_of(kv);
    enum err unfit = (enum err)atomic_load(&s->unfit);
    if (unfit != ERR_OK)
        return unfit;
    int code = mdb_env_copyfd2(s->env, file, MDB_CP_COMPACT);
    if (code == MDB_SUCCESS)
        return ERR_OK;
    /* An errno here is the target's: a full disk or a peer that went away says nothing about this
     * store. */
    if (code > 0) {
        log_warn("copy of the store failed", log_text("path", s->folder.path),
                 log_text("reason", mdb_strerror(code)));
        return ERR_SYSTEM;
    }
    return fail(s, "copy", code);
}

void kv_lmdb_check_readers(struct kv_port *kv)
{
    struct store *s = store_of(kv);
    int dead = 0;
    int code = mdb_reader_check(s->env, &dead);
    if (code != MDB_SUCCESS)
        (void)fail(s, "reader check", code);
    else if (dead > 0)
        log_warn("cleared dead readers", log_text("path", s->folder.path),
                 log_u64("count", (uint64_t)dead));
}
