/* SPDX-License-Identifier: Apache-2.0
 * What the kv port on LMDB promises when the disk, the process or the file fails. */
#include "kv_store.h"

#include "common/base/rng.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The calls through which LMDB makes a commit durable, counted, and failing on wish. The program's
 * own functions come before those of the C library. */
static atomic_uint syncs, durable_metas;
static atomic_int fail_sync_with, fail_write_with; /* errno of the next call; one shot */

int fdatasync(int file)
{
    atomic_fetch_add(&syncs, 1);
    errno = atomic_exchange(&fail_sync_with, 0);
    return errno != 0 ? -1 : (int)syscall(SYS_fdatasync, file);
}

ssize_t pwrite(int file, const void *data, size_t length, off_t at)
{
    if (at < 8192 && (fcntl(file, F_GETFL) & O_DSYNC) != 0)
        atomic_fetch_add(&durable_metas, 1);
    errno = atomic_exchange(&fail_write_with, 0);
    return errno != 0 ? -1 : syscall(SYS_pwrite64, file, data, length, at);
}

TestSuite(kv_lmdb_faults, .init = setup, .fini = teardown, .timeout = 120);

Test(kv_lmdb_faults, a_file_that_is_no_store_is_refused)
{
    char text[10000];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    scratch_file(folder, "data.mdb", text, 0600);
    struct kv_port *kv = NULL;
    struct kv_lmdb_options options = {
        .path = folder, .map_bytes = 1 << 20, .tables = table_names, .table_count = 2};

    enum err err = kv_lmdb_open(&options, &kv);

    cr_assert_eq(err, ERR_KV_CORRUPT);
    cr_assert_null(kv);
}

/* Writes `length` bytes over every place of the data file that begins with `from`. */
static void overwrite(const char *from, const void *to, size_t length)
{
    static uint8_t bytes[1 << 20];
    int file = open(scratch_path(folder, "data.mdb"), O_RDWR);
    ssize_t size = pread(file, bytes, sizeof(bytes), 0);
    unsigned written = 0;
    for (ssize_t i = 0; i + (ssize_t)length < size; i++)
        if (memcmp(bytes + i, from, strlen(from)) == 0)
            written += pwrite(file, to, length, i) == (ssize_t)length;
    cr_assert_geq(written, 1);
    (void)close(file);
}

Test(kv_lmdb_faults, a_flipped_bit_stops_the_store)
{
    struct kv_port *kv = opened(folder, 1 << 20);
    given(kv, "money", "twelve clicks and no more");
    given(kv, "other", "sound");
    kv_lmdb_close(kv);
    overwrite("twelve", "twenty", 6);

    kv = opened(folder, 1 << 20);
    struct kv_txn *txn = begun(kv, true);
    struct span value;
    cr_assert_not(kv_get(txn, ALPHA, span_of_text("money"), &value));
    put_text(txn, ALPHA, "money", "none at all");
    enum err err = kv_commit(&txn);

    cr_assert_eq(err, ERR_KV_CORRUPT);
    cr_assert_eq(kv_begin(kv, false, &txn), ERR_KV_CORRUPT); /* not only that transaction */
    kv_lmdb_close(kv);
}

Test(kv_lmdb_faults, a_sound_value_under_a_wrong_key_is_noticed)
{
    struct kv_port *kv = opened(folder, 1 << 20);
    given(kv, "one", "the first value");
    given(kv, "two", "another  value!");
    struct kv_txn *txn = begun(kv, false);
    struct span value, key;
    uint8_t record[15 + 8];
    cr_assert(kv_get(txn, ALPHA, span_of_text("one"), &value));
    memcpy(record, value.data, sizeof(record)); /* the checksum follows the value */
    (void)kv_abort(&txn);
    kv_lmdb_close(kv);
    overwrite("another  value!", record, sizeof(record));

    kv = opened(folder, 1 << 20);
    txn = begun(kv, false);
    cr_assert(kv_get(txn, ALPHA, span_of_text("one"), &value));
    cr_assert_not(kv_seek(txn, ALPHA, span_of_text("two"), &key, &value));

    cr_assert_eq(kv_abort(&txn), ERR_KV_CORRUPT);
    kv_lmdb_close(kv);
}

Test(kv_lmdb_faults, a_copy_into_a_broken_pipe_does_not_hurt_the_store)
{
    struct kv_port *kv = opened(folder, 1 << 20);
    given(kv, "a", "1");
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    (void)close(ends[0]);
    (void)signal(SIGPIPE, SIG_IGN);

    enum err err = kv_lmdb_copy(kv, ends[1]);

    cr_assert_eq(err, ERR_SYSTEM);
    given(kv, "a", "2");
    expect(kv, "a", "2");
    (void)close(ends[1]);
    kv_lmdb_close(kv);
}

/* Commit i holds a record of its own and the new total; each is told through the pipe once it is
 * committed. */
static _Noreturn void write_until_killed(int told)
{
    struct kv_port *kv = opened(folder, 64 << 20);
    uint64_t next = 0;
    struct kv_txn *txn = begun(kv, true);
    struct span value;
    if (kv_get(txn, BETA, span_of_text("total"), &value))
        next = bytes_load_u64(value.data);
    (void)kv_abort(&txn);
    for (;; next++) {
        uint8_t key[8], total[8], record[12000];
        bytes_store_u64(key, next);
        bytes_store_u64(total, next + 1);
        txn = begun(kv, true);
        kv_put(txn, ALPHA, span_of(key, 8), model_value((uint32_t)next * 5 + 5, record));
        kv_put(txn, BETA, span_of_text("total"), span_of(total, 8));
        if (kv_commit(&txn) != ERR_OK || write(told, &next, sizeof(next)) != sizeof(next))
            _exit(1);
    }
}

static uint64_t run_and_kill(uint64_t commits_wanted, unsigned spins)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)close(ends[0]);
        write_until_killed(ends[1]);
    }
    (void)close(ends[1]);
    uint64_t last = 0, got = 0;
    while (got < commits_wanted && read(ends[0], &last, sizeof(last)) == sizeof(last))
        got++;
    for (volatile unsigned i = 0; i < spins; i++) {
    }
    cr_assert_eq(kill(child, SIGKILL), 0);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status));
    while (read(ends[0], &last, sizeof(last)) == sizeof(last))
        got++;
    (void)close(ends[0]);
    cr_assert_geq(got, commits_wanted);
    return last;
}

Test(kv_lmdb_faults, kill_9_of_the_writer_keeps_every_acknowledged_commit)
{
    struct rng rng = {7};
    for (unsigned round = 0; round < 12; round++) {
        uint64_t last = run_and_kill(1 + rng_below(&rng, 12), (unsigned)rng_below(&rng, 2000000));

        struct kv_port *kv = opened(folder, 64 << 20);
        struct kv_txn *txn = begun(kv, false);
        struct span value, key_found;
        cr_assert(kv_get(txn, BETA, span_of_text("total"), &value));
        const uint64_t total = bytes_load_u64(value.data);
        cr_assert_geq(total, last + 1);
        cr_assert_leq(total, last + 2); /* one commit may have been done and not told */
        uint8_t key[8], record[12000];
        for (uint64_t i = 0; i < total; i++) {
            bytes_store_u64(key, i);
            cr_assert(kv_get(txn, ALPHA, span_of(key, 8), &value));
            cr_assert(span_equal(value, model_value((uint32_t)i * 5 + 5, record)));
        }
        bytes_store_u64(key, total);
        cr_assert_not(kv_seek(txn, ALPHA, span_of(key, 8), &key_found, &value));
        cr_assert_eq(kv_abort(&txn), ERR_OK);
        kv_lmdb_close(kv);
    }
}

Test(kv_lmdb_faults, every_commit_is_synced_before_it_returns)
{
    struct kv_port *kv = opened(folder, 1 << 20);

    for (unsigned i = 0; i < 10; i++) {
        unsigned before = atomic_load(&syncs), metas = atomic_load(&durable_metas);
        given(kv, "a", "1");
        cr_assert_geq(atomic_load(&syncs), before + 1);
        cr_assert_geq(atomic_load(&durable_metas), metas + 1);
    }

    kv_lmdb_close(kv);
}

static void expect_unfit(const char *value_afterwards)
{
    struct kv_port *kv = opened(folder, 1 << 20);
    struct kv_txn *txn = begun(kv, true);
    put_text(txn, ALPHA, "a", "2");

    enum err err = kv_commit(&txn);

    cr_assert_eq(err, ERR_KV_IO);
    cr_assert_eq(err_class(err), ERR_CLASS_STOP);
    cr_assert_eq(kv_begin(kv, true, &txn), ERR_KV_IO);
    cr_assert_eq(kv_begin(kv, false, &txn), ERR_KV_IO);
    kv_lmdb_close(kv);
    kv = opened(folder, 1 << 20);
    expect(kv, "a", value_afterwards);
    given(kv, "a", "3");
    expect(kv, "a", "3");
    kv_lmdb_close(kv);
}

Test(kv_lmdb_faults, after_a_failed_sync_or_write_the_store_promises_nothing_more)
{
    struct kv_port *kv = opened(folder, 1 << 20);
    given(kv, "a", "1");
    kv_lmdb_close(kv);

    atomic_store(&fail_sync_with, EIO);
    expect_unfit("1");
    kv = opened(folder, 1 << 20);
    given(kv, "a", "1");
    kv_lmdb_close(kv);
    atomic_store(&fail_write_with, EIO);
    expect_unfit("1");
}

static void expect_full(struct kv_port *kv)
{
    struct kv_txn *txn = begun(kv, true);
    put_text(txn, ALPHA, "a", "2");

    enum err err = kv_commit(&txn);

    cr_assert_eq(err, ERR_KV_FULL);
    expect(kv, "a", "1");
}

Test(kv_lmdb_faults, a_full_disk_refuses_the_commit_and_the_store_goes_on)
{
    static const int reasons[] = {ENOSPC, EDQUOT};
    for (size_t i = 0; i < countof(reasons); i++) {
        struct kv_port *kv = opened(folder, 1 << 20);
        given(kv, "a", "1");

        atomic_store(&fail_sync_with, reasons[i]);
        expect_full(kv);

        given(kv, "a", "3");
        kv_lmdb_close(kv);
        kv = opened(folder, 1 << 20);
        expect(kv, "a", "3");
        kv_lmdb_close(kv);
    }
}

/* The meta page is what makes a commit so: LMDB gives the environment up, and so do we. */
Test(kv_lmdb_faults, a_full_disk_at_the_meta_page_stops_the_store)
{
    struct kv_port *kv = opened(folder, 1 << 20);
    given(kv, "a", "1");
    kv_lmdb_close(kv);

    atomic_store(&fail_write_with, ENOSPC);

    expect_unfit("1");
}
