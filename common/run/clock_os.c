/* SPDX-License-Identifier: Apache-2.0
 * clock_os: the clock port on the operating system.
 * Audience: see clock_os.h. */
#include "common/run/clock_os.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

static uint64_t read_ms(clockid_t id)
{
    struct timespec now;
    CHECK(clock_gettime(id, &now) == 0);
    CHECK(now.tv_sec >= 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t wall_ms(struct clock_port *clock)
{
    (void)clock;
    return read_ms(CLOCK_REALTIME);
}

/* BOOTTIME goes on while the machine is suspended: an age measured over a suspend must not look
 * young (design 3.6). */
static uint64_t mono_ms(struct clock_port *clock)
{
    (void)clock;
    return read_ms(CLOCK_BOOTTIME);
}

static void random_bytes(struct clock_port *clock, void *out, size_t length)
{
    (void)clock;
    uint8_t *at = out;
    while (length > 0) {
        ssize_t got = getrandom(at, length, 0);
        if (got < 0 && errno == EINTR)
            continue;
        CHECK(got > 0 && (size_t)got <= length);
        at += got;
        length -= (size_t)got;
    }
}

struct clock_port *clock_os(void)
{
    static struct clock_port port = {wall_ms, mono_ms, random_bytes};
    return &port;
}
