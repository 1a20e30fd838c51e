/* SPDX-License-Identifier: Apache-2.0
 * crash_points: preloaded into a program of ours by tests alone (LD_PRELOAD): counts the calls
 * whose effect outlives the process or is seen by others, and at the n-th one kills, cuts the power
 * of the disk, or fails the call. Audience: tests/crash. No program links it.
 *
 * TRIBUTARY_CRASH_PAGE names a file of one page, shared with whoever started the program: */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096 };
/* As crash_points.py has them. */
enum action { COUNT, KILL_BEFORE, KILL_AFTER, POWER_CUT, FAIL_EIO, FAIL_ENOSPC };
enum kind { WRITE, SYNC, NAME, SEND, KINDS };

struct page {
    _Atomic uint64_t count;   /* boundaries so far */
    _Atomic uint64_t at;      /* act at this one; 0: never */
    _Atomic uint64_t action;  /* enum action */
    _Atomic uint64_t counted; /* bit of each kind that is a boundary now */
    _Atomic uint64_t hit;     /* 1 + kind of the boundary at which it was acted */
    _Atomic uint64_t by_kind[KINDS];
    char mount_point[1024]; /* of the disk whose power is cut */
};

static struct page *page;

__attribute__((constructor)) static void open_page(void)
{
    const char *path = getenv("TRIBUTARY_CRASH_PAGE");
    int file = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return;
    void *map = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    (void)close(file);
    (void)unsetenv("TRIBUTARY_CRASH_PAGE"); /* for this program alone */
    (void)unsetenv("LD_PRELOAD");
    if (map != MAP_FAILED)
        page = map;
}

static _Noreturn void die(void)
{
    (void)syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

/* ext4's shutdown without a flush: what was not synced is gone. */
static void cut_power(void)
{
    const uint32_t no_flush = 2;
    int file = open(page->mount_point, O_RDONLY | O_CLOEXEC);
    if (file < 0 || ioctl(file, _IOR('X', 125, uint32_t), &no_flush) != 0)
        atomic_store(&page->hit, 99); /* the test says so */
}

/* What to do with this call. */
enum verdict { GO_ON, FAIL, DIE_AFTER };

static enum verdict boundary(enum kind kind)
{
    if (page == NULL || (atomic_load(&page->counted) & 1u << kind) == 0)
        return GO_ON;
    uint64_t n = atomic_fetch_add(&page->count, 1) + 1;
    atomic_fetch_add(&page->by_kind[kind], 1);
    if (n != atomic_load(&page->at))
        return GO_ON;
    atomic_store(&page->hit, 1 + (uint64_t)kind);
    switch ((enum action)atomic_load(&page->action)) {
    case KILL_BEFORE:
        die();
    case POWER_CUT:
        cut_power();
        die();
    case KILL_AFTER:
        return DIE_AFTER;
    case FAIL_EIO:
        errno = EIO;
        return FAIL;
    case FAIL_ENOSPC:
        errno = ENOSPC;
        return FAIL;
    case COUNT:
        break;
    }
    return GO_ON;
}

/* write(2) and its like go to sockets, to files, and to what wakes a thread. */
static enum verdict boundary_of(int file)
{
    struct stat status;
    if (page == NULL || file == STDERR_FILENO || fstat(file, &status) != 0)
        return GO_ON;
    if (S_ISSOCK(status.st_mode))
        return boundary(SEND);
    return S_ISREG(status.st_mode) ? boundary(WRITE) : GO_ON;
}

/* Defines NAME, which asks first. */
#define AROUND(type, name, verdict_now, parameters, ...)                                           \
    type name parameters;                                                                          \
    type name parameters                                                                           \
    {                                                                                              \
        static type(*real) parameters;                                                             \
        if (real == NULL)                                                                          \
            *(void **)&real = dlsym(RTLD_NEXT, #name);                                             \
        enum verdict verdict = verdict_now;                                                        \
        if (verdict == FAIL)                                                                       \
            return -1;                                                                             \
        type result = real(__VA_ARGS__);                                                           \
        if (verdict == DIE_AFTER)                                                                  \
            die();                                                                                 \
        return result;                                                                             \
    }

AROUND(ssize_t, write, boundary_of(file), (int file, const void *bytes, size_t size), file, bytes,
       size)
AROUND(ssize_t, writev, boundary_of(file), (int file, const struct iovec *parts, int count), file,
       parts, count)
AROUND(ssize_t, pwrite, boundary(WRITE), (int file, const void *bytes, size_t size, off_t at), file,
       bytes, size, at)
AROUND(ssize_t, pwrite64, boundary(WRITE), (int file, const void *bytes, size_t size, off64_t at),
       file, bytes, size, at)
AROUND(ssize_t, pwritev, boundary(WRITE),
       (int file, const struct iovec *parts, int count, off_t at), file, parts, count, at)
AROUND(int, fdatasync, boundary(SYNC), (int file), file)
AROUND(int, fsync, boundary(SYNC), (int file), file)
AROUND(int, msync, boundary(SYNC), (void *from, size_t size, int flags), from, size, flags)
AROUND(int, ftruncate, boundary(NAME), (int file, off_t size), file, size)
AROUND(int, rename, boundary(NAME), (const char *from, const char *to), from, to)
AROUND(int, unlink, boundary(NAME), (const char *path), path)
AROUND(int, renameat, boundary(NAME), (int from, const char *source, int to, const char *target),
       from, source, to, target)
AROUND(int, unlinkat, boundary(NAME), (int folder, const char *path, int flags), folder, path,
       flags)
AROUND(int, mkdirat, boundary(NAME), (int folder, const char *path, mode_t mode), folder, path,
       mode)
AROUND(ssize_t, send, boundary_of(file), (int file, const void *bytes, size_t size, int flags),
       file, bytes, size, flags)
AROUND(ssize_t, sendto, boundary_of(file),
       (int file, const void *bytes, size_t size, int flags, const struct sockaddr *to,
        socklen_t to_size),
       file, bytes, size, flags, to, to_size)
AROUND(ssize_t, sendmsg, boundary_of(file), (int file, const struct msghdr *message, int flags),
       file, message, flags)
