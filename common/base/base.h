/* SPDX-License-Identifier: Apache-2.0
 * base: the few words every file speaks: fixed-width integers, CHECK, countof.
 * Audience: everyone. Pure. No state. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define countof(array) (sizeof(array) / sizeof((array)[0]))
#define WARN_UNUSED    __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_index, first_arg)                                                       \
    __attribute__((format(printf, format_index, first_arg)))

/* A programmer's mistake ends the process, in release builds too: for a billing
 * fold a dead replica is better than a wrong one, and replay is cheap by design. */
#define CHECK(condition) ((condition) ? (void)0 : base_check_failed(#condition, __FILE__, __LINE__))

/* Recovers the object that embeds `member` at `pointer`. */
#define container_of(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

_Noreturn void base_check_failed(const char *condition, const char *file, int line);

/* malloc, calloc and realloc that abort when memory is gone: we restart from LMDB
 * and the stream; untested "no memory" branches would be a lie. Never return NULL
 * (size 0 is rounded up to 1). Free with free(). */
void *base_alloc(size_t bytes);
void *base_zalloc(size_t count, size_t bytes_each);
void *base_realloc(void *pointer, size_t bytes);

static inline uint64_t base_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t base_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
