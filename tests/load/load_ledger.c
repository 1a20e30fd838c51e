/* SPDX-License-Identifier: Apache-2.0
 * load_ledger: the writer. One thread appends and syncs in groups; nobody waits for the disk but
 * the bytes to send. */
#include "load_ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct load_ledger {
    int file, event;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct load_buf waiting;
    uint64_t added;
    bool closing;
    _Atomic uint64_t durable, syncs;
};

static void write_all(int file, const struct load_buf *b)
{
    for (size_t done = 0; done < b->length;) {
        ssize_t n = write(file, b->data + done, b->length - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            load_die("cannot write the ledger: %s", strerror(errno));
        done += (size_t)n;
    }
    if (fdatasync(file) != 0)
        load_die("cannot sync the ledger: %s", strerror(errno));
}

static void *run(void *context)
{
    struct load_ledger *l = context;
    struct load_buf batch = {0};
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (l->waiting.length == 0 && !l->closing)
            pthread_cond_wait(&l->work, &l->lock);
        if (l->waiting.length == 0)
            break;
        struct load_buf swapped = l->waiting;
        l->waiting = batch;
        l->waiting.length = 0;
        batch = swapped;
        uint64_t reached = l->added;
        pthread_mutex_unlock(&l->lock);
        write_all(l->file, &batch);
        atomic_store(&l->durable, reached);
        atomic_fetch_add(&l->syncs, 1);
        uint64_t one = 1;
        if (write(l->event, &one, sizeof one) != sizeof one)
            load_die("eventfd: %s", strerror(errno));
        pthread_mutex_lock(&l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    load_buf_done(&batch);
    return NULL;
}

struct load_ledger *load_ledger_open(const char *path, uint64_t run_id)
{
    struct load_ledger *l = load_alloc(sizeof *l);
    l->file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (l->file < 0)
        load_die("cannot open %s: %s", path, strerror(errno));
    l->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->event < 0)
        load_die("eventfd: %s", strerror(errno));
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    if (pthread_create(&l->thread, NULL, run, l) != 0)
        load_die("cannot start a thread");
    struct load_buf line = {0};
    load_buf_print(&line, "T %016" PRIx64 "\n", run_id);
    load_ledger_add(l, &line);
    load_buf_done(&line);
    return l;
}

uint64_t load_ledger_add(struct load_ledger *l, const struct load_buf *lines)
{
    pthread_mutex_lock(&l->lock);
    load_buf_add(&l->waiting, lines->data, lines->length);
    uint64_t reached = l->added += lines->length;
    pthread_cond_signal(&l->work);
    pthread_mutex_unlock(&l->lock);
    return reached;
}

uint64_t load_ledger_durable(const struct load_ledger *l)
{
    return atomic_load(&l->durable);
}

uint64_t load_ledger_syncs(const struct load_ledger *l)
{
    return atomic_load(&l->syncs);
}

int load_ledger_fd(const struct load_ledger *l)
{
    return l->event;
}

void load_ledger_heard(struct load_ledger *l)
{
    uint64_t count;
    if (read(l->event, &count, sizeof count) < 0 && errno != EAGAIN)
        load_die("eventfd: %s", strerror(errno));
}

void load_ledger_close(struct load_ledger *l)
{
    pthread_mutex_lock(&l->lock);
    l->closing = true;
    pthread_cond_signal(&l->work);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    close(l->event);
    close(l->file);
    load_buf_done(&l->waiting);
    free(l);
}
