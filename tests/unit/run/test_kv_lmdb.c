/* SPDX-License-Identifier: Apache-2.0
 * What the kv port on LMDB promises while nothing fails: all or nothing, order, snapshots,
 * back-pressure, copies. */
#include "kv_store.h"

#include "common/base/rng.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

TestSuite(kv_lmdb, .init = setup, .fini = teardown, .timeout = 120);

/* A model of one table: which keys are there, and with what. */
enum { MODEL_KEYS = 400 };
struct model {
    uint32_t tag[MODEL_KEYS]; /* 0: absent; else decides length and content of the value */
};

static void model_key(uint32_t index, uint8_t out[200], size_t *out_length)
{
    memset(out, 'k', 200);
    bytes_store_u32(out, index);
    *out_length = 4 + index % 190; /* equal for equal index: long keys force branch pages */
}

Test(kv_lmdb, committed_data_survives_close_and_reopen)
{
    struct kv_port *kv = opened(folder, 1 << 20);
    given(kv, "a", "1");
    given(kv, "b", "");

    kv_lmdb_close(kv);
    kv = opened(folder, 1 << 20);

    expect(kv, "a", "1");
    expect(kv, "b", "");
    expect(kv, "c", NULL);
    kv_lmdb_close(kv);
}

Test(kv_lmdb, abort_leaves_no_trace)
{
    struct kv_port *kv = opened(folder, 1 << 20);
    given(kv, "a", "1");

    struct kv_txn *txn = begun(kv, true);
    put_text(txn, ALPHA, "a", "2");
    put_text(txn, ALPHA, "b", "2");
    kv_del(txn, ALPHA, span_of_text("a"));
    cr_assert_eq(kv_abort(&txn), ERR_OK);
    cr_assert_null(txn);

    expect(kv, "a", "1");
    expect(kv, "b", NULL);
    kv_lmdb_close(kv);
}

Test(kv_lmdb, tables_do_not_see_each_other)
{
    struct kv_port *kv = opened(folder, 1 << 20);

    struct kv_txn *txn = begun(kv, true);
    put_text(txn, ALPHA, "k", "in alpha");
    put_text(txn, BETA, "k", "in beta");
    kv_del(txn, BETA, span_of_text("k"));
    kv_del(txn, BETA, span_of_text("never there"));
    cr_assert_eq(kv_commit(&txn), ERR_OK);

    txn = begun(kv, false);
    expect_in(txn, ALPHA, "k", "in alpha");
    expect_in(txn, BETA, "k", NULL);
    (void)kv_abort(&txn);
    kv_lmdb_close(kv);
}

Test(kv_lmdb, a_full_map_rolls_everything_back_and_the_store_goes_on)
{
    struct kv_port *kv = opened(folder, 256 * 1024);
    given(kv, "kept", "1");
    static const uint8_t big[50000];

    struct kv_txn *txn = begun(kv, true);
    put_text(txn, ALPHA, "kept", "2");
    for (char key[] = "0"; key[0] < '9'; key[0]++)
        kv_put(txn, ALPHA, span_of_text(key), span_of(big, sizeof(big)));
    expect_in(txn, ALPHA, "0", NULL); /* after an error, reads say nothing */
    cr_assert_eq(kv_commit(&txn), ERR_KV_FULL);

    expect(kv, "kept", "1");
    expect(kv, "0", NULL);
    given(kv, "kept", "3");
    expect(kv, "kept", "3");
    cr_assert_eq(err_class(ERR_KV_FULL), ERR_CLASS_RETRY);
    kv_lmdb_close(kv);
}

Test(kv_lmdb, a_store_filled_to_the_brim_can_be_emptied_again)
{
    struct kv_port *kv = opened(folder, 1 << 20);
    static const uint8_t value[4000];
    uint32_t stored = 0;
    for (enum err err = ERR_OK; err == ERR_OK; stored += err == ERR_OK) {
        uint8_t key[4];
        bytes_store_u32(key, stored);
        struct kv_txn *txn = begun(kv, true);
        kv_put(txn, ALPHA, span_of(key, 4), span_of(value, sizeof(value)));
        err = kv_commit(&txn);
        cr_assert(err == ERR_OK || err == ERR_KV_FULL);
    }
    cr_assert_gt(stored, 100);
    uint64_t full, emptied, map;
    kv_lmdb_usage(kv, &full, &map);

    for (uint32_t i = 0; i < stored; i++) {
        uint8_t key[4];
        bytes_store_u32(key, i);
        struct kv_txn *txn = begun(kv, true);
        kv_del(txn, ALPHA, span_of(key, 4));
        cr_assert_eq(kv_commit(&txn), ERR_OK, "delete %u of %u", i, stored);
    }

    kv_lmdb_usage(kv, &emptied, &map);
    cr_assert_eq(map, 1 << 20);
    cr_assert_gt(full, map * 8 / 10);
    cr_assert_lt(emptied, map / 10, "%llu", (unsigned long long)emptied);
    kv_lmdb_close(kv);
}

Test(kv_lmdb, a_reader_keeps_its_snapshot_while_the_writer_commits)
{
    struct kv_port *kv = opened(folder, 1 << 20);
    given(kv, "a", "1");

    struct kv_txn *reader = begun(kv, false);
    expect_in(reader, ALPHA, "a", "1");
    given(kv, "a", "2");
    given(kv, "b", "2");

    expect_in(reader, ALPHA, "a", "1");
    expect_in(reader, ALPHA, "b", NULL);
    cr_assert_eq(kv_abort(&reader), ERR_OK);
    expect(kv, "a", "2");
    kv_lmdb_close(kv);
}

Test(kv_lmdb, seek_finds_the_first_key_not_below)
{
    struct kv_port *kv = opened(folder, 1 << 20);
    given(kv, "b", "1");
    given(kv, "d", "2");
    struct kv_txn *txn = begun(kv, false);
    struct span key, value;

    cr_assert(kv_seek(txn, ALPHA, span_of("", 0), &key, &value));
    cr_assert(span_equal(key, span_of_text("b")));
    cr_assert(kv_seek(txn, ALPHA, span_of_text("b"), &key, &value));
    cr_assert(span_equal(key, span_of_text("b")));
    cr_assert(kv_seek(txn, ALPHA, span_of_text("c"), &key, &value));
    cr_assert(span_equal(key, span_of_text("d")) && span_equal(value, span_of_text("2")));
    cr_assert_not(kv_seek(txn, ALPHA, span_of_text("e"), &key, &value));
    cr_assert_not(kv_seek(txn, BETA, span_of_text("a"), &key, &value));

    cr_assert_eq(kv_abort(&txn), ERR_OK);
    kv_lmdb_close(kv);
}

Test(kv_lmdb, what_was_just_read_may_be_written_back)
{
    struct kv_port *kv = opened(folder, 4 << 20);
    static uint8_t big[3000];
    for (char key[] = "a"; key[0] <= 'z'; key[0]++) {
        memset(big, key[0], sizeof(big));
        struct kv_txn *txn = begun(kv, true);
        kv_put(txn, ALPHA, span_of_text(key), span_of(big, 40 + 37U * (uint8_t)(key[0] - 'a')));
        cr_assert_eq(kv_commit(&txn), ERR_OK);
    }

    /* Every value under a longer key, straight from the page that the put rearranges. */
    struct kv_txn *txn = begun(kv, true);
    for (char from[] = "a", to[] = "a+"; from[0] <= 'z'; from[0]++, to[0]++) {
        struct span value;
        cr_assert(kv_get(txn, ALPHA, span_of_text(from), &value));
        kv_put(txn, ALPHA, span_of_text(to), value);
    }
    cr_assert_eq(kv_commit(&txn), ERR_OK);

    txn = begun(kv, false);
    for (char from[] = "a", to[] = "a+"; from[0] <= 'z'; from[0]++, to[0]++) {
        struct span one, two;
        cr_assert(kv_get(txn, ALPHA, span_of_text(from), &one));
        cr_assert(kv_get(txn, ALPHA, span_of_text(to), &two));
        cr_assert(span_equal(one, two));
        cr_assert_eq(two.data[0], from[0]);
    }
    (void)kv_abort(&txn);
    kv_lmdb_close(kv);
}

static void model_expect_seek(struct kv_txn *txn, const struct model *m, uint32_t from)
{
    uint8_t key[200], value[12000];
    size_t length;
    model_key(from, key, &length);
    struct span found_key, found_value;
    bool found = kv_seek(txn, ALPHA, span_of(key, length), &found_key, &found_value);
    while (from < MODEL_KEYS && m->tag[from] == 0)
        from++;
    cr_assert_eq(found, from < MODEL_KEYS);
    if (!found)
        return;
    model_key(from, key, &length);
    cr_assert(span_equal(found_key, span_of(key, length)));
    cr_assert(span_equal(found_value, model_value(m->tag[from], value)));
}

Test(kv_lmdb, cached_cursors_agree_with_a_model_through_puts_and_deletes)
{
    struct kv_port *kv = opened(folder, 64 << 20);
    struct rng rng = {20260101};
    struct model committed = {{0}};
    for (unsigned round = 0; round < 60; round++) {
        struct kv_txn *txn = begun(kv, true);
        struct model m = committed;
        uint32_t put_in_1000 = round % 3 == 2 ? 100 : 500;
        for (unsigned step = 0; step < 400; step++) {
            uint32_t index = (uint32_t)rng_below(&rng, MODEL_KEYS);
            uint8_t key[200], value[12000];
            size_t length;
            model_key(index, key, &length);
            if (rng_chance(&rng, 400)) {
                model_expect_seek(txn, &m, index);
            } else if (rng_chance(&rng, put_in_1000)) {
                m.tag[index] = (uint32_t)rng_below(&rng, 1 << 30) + 1;
                kv_put(txn, ALPHA, span_of(key, length), model_value(m.tag[index], value));
            } else {
                m.tag[index] = 0;
                kv_del(txn, ALPHA, span_of(key, length));
            }
        }
        if (rng_chance(&rng, 250)) {
            cr_assert_eq(kv_abort(&txn), ERR_OK);
            continue;
        }
        cr_assert_eq(kv_commit(&txn), ERR_OK);
        committed = m;
    }
    struct kv_txn *txn = begun(kv, false);
    for (uint32_t i = 0; i < MODEL_KEYS; i++)
        model_expect_seek(txn, &committed, i);
    cr_assert_eq(kv_abort(&txn), ERR_OK);
    kv_lmdb_close(kv);
}

Test(kv_lmdb, the_same_folder_is_not_opened_twice)
{
    struct kv_port *kv = opened(folder, 1 << 20);
    struct kv_port *second = NULL;
    struct kv_lmdb_options options = {
        .path = folder, .map_bytes = 1 << 20, .tables = table_names, .table_count = 2};

    struct scratch_stderr captured = scratch_stderr_begin();
    pid_t child = fork();
    if (child == 0)
        _exit(kv_lmdb_open(&options, &second) == ERR_SYSTEM ? 0 : 1);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    enum err here = kv_lmdb_open(&options, &second);
    char *said = scratch_stderr_end(captured);

    cr_assert_eq(status, 0);
    cr_assert_eq(here, ERR_SYSTEM);
    cr_assert_not_null(strstr(said, "another process is using it"), "%s", said);
    free(said);
    kv_lmdb_close(kv);
    kv_lmdb_close(opened(folder, 1 << 20));
}

Test(kv_lmdb, folder_and_file_are_private)
{
    const char *path = scratch_path(folder, "new/deep");
    (void)umask(0);
    kv_lmdb_close(opened(path, 1 << 20));

    struct stat stat_of;
    cr_assert_eq(stat(path, &stat_of), 0);
    cr_assert_eq(stat_of.st_mode & 07777, 0700);
    cr_assert_eq(stat(scratch_path(path, "data.mdb"), &stat_of), 0);
    cr_assert_eq(stat_of.st_mode & 07777, 0600);
}

Test(kv_lmdb, too_many_readers_are_a_later_not_a_never)
{
    struct kv_port *kv = NULL;
    struct kv_lmdb_options options = {.path = folder,
                                      .map_bytes = 1 << 20,
                                      .tables = table_names,
                                      .table_count = 2,
                                      .readers_max = 3};
    cr_assert_eq(kv_lmdb_open(&options, &kv), ERR_OK);
    struct kv_txn *readers[3], *fourth = NULL;
    for (unsigned i = 0; i < 3; i++)
        readers[i] = begun(kv, false);

    enum err refused = kv_begin(kv, false, &fourth);
    (void)kv_abort(&readers[0]);
    enum err later = kv_begin(kv, false, &fourth);

    cr_assert_eq(refused, ERR_KV_BUSY);
    cr_assert_eq(later, ERR_OK);
    (void)kv_abort(&fourth);
    (void)kv_abort(&readers[1]);
    (void)kv_abort(&readers[2]);
    kv_lmdb_check_readers(kv);
    kv_lmdb_close(kv);
}

struct writing {
    struct kv_port *kv;
    atomic_bool stop;
    atomic_uint commits;
};

/* Keeps "left" + "right" = 1000 in every commit. */
static void *keep_writing(void *context)
{
    struct writing *w = context;
    for (uint32_t i = 0; !atomic_load(&w->stop); i++) {
        uint8_t left[4], right[4];
        bytes_store_u32(left, i % 1000);
        bytes_store_u32(right, 1000 - i % 1000);
        struct kv_txn *txn = begun(w->kv, true);
        kv_put(txn, ALPHA, span_of_text("left"), span_of(left, 4));
        kv_put(txn, BETA, span_of_text("right"), span_of(right, 4));
        cr_assert_eq(kv_commit(&txn), ERR_OK);
        atomic_fetch_add(&w->commits, 1);
    }
    return NULL;
}

static void expect_balanced(struct kv_port *kv)
{
    struct kv_txn *txn = begun(kv, false);
    struct span left, right;
    cr_assert(kv_get(txn, ALPHA, span_of_text("left"), &left));
    cr_assert(kv_get(txn, BETA, span_of_text("right"), &right));
    cr_assert_eq(bytes_load_u32(left.data) + bytes_load_u32(right.data), 1000);
    (void)kv_abort(&txn);
}

Test(kv_lmdb, a_copy_is_one_consistent_moment_while_writes_go_on)
{
    struct writing w = {.kv = opened(scratch_path(folder, "source"), 32 << 20)};
    static uint8_t padding[100000];
    for (char key[] = "A"; key[0] <= 'T'; key[0]++) {
        struct kv_txn *txn = begun(w.kv, true);
        memset(padding, key[0], sizeof(padding));
        kv_put(txn, BETA, span_of_text(key), span_of(padding, sizeof(padding)));
        cr_assert_eq(kv_commit(&txn), ERR_OK);
    }
    pthread_t writer;
    cr_assert_eq(pthread_create(&writer, NULL, keep_writing, &w), 0);
    while (atomic_load(&w.commits) < 3)
        expect(w.kv, "nothing", NULL);

    const char *target = scratch_path(folder, "target");
    cr_assert_eq(mkdir(target, 0700), 0);
    int file = open(scratch_path(target, "data.mdb"), O_WRONLY | O_CREAT | O_EXCL, 0600);
    enum err err = kv_lmdb_copy(w.kv, file);
    (void)close(file);
    unsigned commits = atomic_load(&w.commits);
    while (atomic_load(&w.commits) < commits + 3)
        expect_balanced(w.kv);
    atomic_store(&w.stop, true);
    cr_assert_eq(pthread_join(writer, NULL), 0);

    cr_assert_eq(err, ERR_OK);
    struct kv_port *copy = opened(target, 32 << 20);
    expect_balanced(copy);
    struct kv_txn *txn = begun(copy, true);
    for (char key[] = "A"; key[0] <= 'T'; key[0]++) {
        struct span value;
        memset(padding, key[0], sizeof(padding));
        cr_assert(kv_get(txn, BETA, span_of_text(key), &value));
        cr_assert(span_equal(value, span_of(padding, sizeof(padding))));
    }
    put_text(txn, ALPHA, "own", "life");
    cr_assert_eq(kv_commit(&txn), ERR_OK);
    kv_lmdb_close(copy);
    kv_lmdb_close(w.kv);
}

Test(kv_lmdb, a_second_write_transaction_of_one_thread_dies_at_once)
{
    struct scratch_stderr captured = scratch_stderr_begin();
    pid_t child = fork();
    if (child == 0) {
        struct kv_txn *first = begun(opened(folder, 1 << 20), true), *second = NULL;
        (void)kv_begin(first->kv, true, &second);
        _exit(0);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    char *said = scratch_stderr_end(captured);

    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    cr_assert_not_null(strstr(said, "check failed"));
    free(said);
}
