/* SPDX-License-Identifier: Apache-2.0
 * log: writes the lines, one write() each, so that lines of two threads or processes do not mix.
 * Audience: see log.h. */
#include "common/run/log.h"

#include "common/run/log_line.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

static struct {
    const char *program;
    _Atomic int lowest;   /* may change while threads log */
    pthread_mutex_t lock; /* guards rate; a leaf: nothing else is locked under it */
    struct log_line_rate rate;
} log_state = {"tributary", LOG_INFO, PTHREAD_MUTEX_INITIALIZER, {{{{0}, 0, 0, 0}}}};

static uint64_t read_ms(clockid_t id)
{
    struct timespec now;
    CHECK(clock_gettime(id, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void log_init(const char *program, enum log_level lowest)
{
    log_state.program = program;
    log_lowest(lowest);
}

void log_lowest(enum log_level lowest)
{
    atomic_store_explicit(&log_state.lowest, (int)lowest, memory_order_relaxed);
}

bool log_level_parse(const char *text, enum log_level *out)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (size_t i = 0; i < countof(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

static void write_line(enum log_level level, const char *message, const struct log_field *fields,
                       size_t count)
{
    struct buf line = {0};
    log_line_put(&line, read_ms(CLOCK_REALTIME), level, log_state.program, message, fields, count);
    ssize_t wrote;
    do {
        wrote = write(STDERR_FILENO, line.data, line.length);
    } while (wrote < 0 && errno == EINTR);
    buf_done(&line); /* a log that cannot be written has nobody to be told */
}

void log_write(enum log_level level, const char *message, const struct log_field *fields,
               size_t count)
{
    if ((int)level < atomic_load_explicit(&log_state.lowest, memory_order_relaxed))
        return;
    const int kept = errno; /* a log line must not change the story of its caller */
    const uint64_t now_ms = read_ms(CLOCK_MONOTONIC);
    for (bool told = false; !told;) {
        struct log_line_watched earlier;
        (void)pthread_mutex_lock(&log_state.lock);
        told = !log_line_suppressed(&log_state.rate, now_ms, &earlier);
        (void)pthread_mutex_unlock(&log_state.lock);
        if (!told)
            write_line(LOG_WARN, earlier.message,
                       (const struct log_field[]){log_u64("suppressed", earlier.suppressed)}, 1);
    }
    (void)pthread_mutex_lock(&log_state.lock);
    const bool admitted = log_line_admit(&log_state.rate, message, now_ms);
    (void)pthread_mutex_unlock(&log_state.lock);
    if (admitted)
        write_line(level, message, fields, count);
    errno = kept;
}
