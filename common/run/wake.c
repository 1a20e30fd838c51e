/* SPDX-License-Identifier: Apache-2.0
 * wake: lets any thread wake one sleeping worker thread; an eventfd, so that a signal handler may
 * do it too. Audience: see wake.h. */
#include "common/run/wake.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct wake {
    int event;
};

static uint64_t now_ms(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct wake *wake_new(void)
{
    struct wake *w = base_zalloc(1, sizeof(*w));
    w->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(w->event >= 0);
    return w;
}

void wake_free(struct wake *w)
{
    if (w == NULL)
        return;
    (void)close(w->event);
    free(w);
}

void wake_signal(void *wake)
{
    const struct wake *w = wake;
    const uint64_t one = 1;
    int kept = errno;
    ssize_t wrote;
    do {
        wrote = write(w->event, &one, sizeof(one));
    } while (wrote < 0 && errno == EINTR);
    /* EAGAIN: the counter is at its end, so the sleeper is woken all the same. */
    CHECK(wrote == (ssize_t)sizeof(one) || errno == EAGAIN);
    errno = kept;
}

bool wake_wait(struct wake *w, uint32_t timeout_ms)
{
    const uint64_t deadline = now_ms() + timeout_ms;
    struct pollfd waited = {.fd = w->event, .events = POLLIN};
    for (;;) {
        uint64_t now = now_ms();
        uint64_t left = now < deadline ? deadline - now : 0;
        int ready = poll(&waited, 1, left > INT32_MAX ? INT32_MAX : (int)left);
        if (ready > 0)
            break;
        CHECK(ready == 0 || errno == EINTR);
        if (left == 0 || now_ms() >= deadline)
            return false;
    }
    uint64_t count;
    return read(w->event, &count, sizeof(count)) == (ssize_t)sizeof(count);
}
