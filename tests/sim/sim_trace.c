/* SPDX-License-Identifier: Apache-2.0
 * sim_trace: the story of a run, and its hash: equal seeds must tell equal stories. */
#include "tests/sim/sim_world.h"

#include <stdarg.h>

static void mix(struct sim_world *w, const void *data, size_t length)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < length; i++)
        w->hash = (w->hash ^ bytes[i]) * 1099511628211ULL;
}

void sim_trace_numbers(struct sim_world *w, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t numbers[] = {a, b, c, w->now_ms};
    for (size_t i = 0; i < countof(numbers); i++)
        w->hash = (w->hash ^ numbers[i] ^ numbers[i] >> 29) * 0x9E3779B97F4A7C15ULL;
}

void sim_trace(struct sim_world *w, const char *who, const char *format, ...)
{
    char line[320];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    CHECK(length >= 0);
    mix(w, line, strlen(line));
    mix(w, &w->now_ms, sizeof(w->now_ms));
    if (w->trace != NULL)
        fprintf(w->trace, "[%9.3f s] %-8s > %s\n", (double)w->now_ms / 1000, who, line);
}

void sim_violation(struct sim_world *w, const char *checker, const char *format, ...)
{
    if (w->violation[0] != '\0')
        return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(w->violation, sizeof(w->violation), format, arguments);
    va_end(arguments);
    w->checker = checker;
    sim_trace(w, "checker", "VIOLATION of %s: %s", checker, w->violation);
}
