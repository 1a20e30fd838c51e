/* SPDX-License-Identifier: Apache-2.0
 * load_base: memory, text buffers, clocks and seeded randomness of the load tool.
 * Shares nothing with the product on purpose: a checker must not repeat the bug of what it checks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load_buf {
    char *data; /* NUL-terminated when not NULL */
    size_t length, capacity;
};

_Noreturn void load_die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *load_alloc(size_t bytes); /* zeroed; never NULL */
void *load_realloc(void *pointer, size_t bytes);
char *load_copy(const char *text);

void load_buf_add(struct load_buf *b, const void *data, size_t length);
void load_buf_print(struct load_buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void load_buf_done(struct load_buf *b);
/* Whole file; dies with words when it cannot be read. */
struct load_buf load_read_file(const char *path);

uint64_t load_mono_us(void);
uint64_t load_wall_ms(void);

/* splitmix64: every stream of numbers follows from its seed. */
struct load_rand {
    uint64_t state;
};
uint64_t load_rand_next(struct load_rand *r);
/* Uniform in [0, bound), bound >= 1. */
uint64_t load_rand_below(struct load_rand *r, uint64_t bound);
bool load_rand_permille(struct load_rand *r, unsigned permille);
/* Unpredictable, from the system. */
uint64_t load_rand_system(void);

/* p in [0, 100] over `count` sorted values; 0 when there are none. Nearest rank. */
uint64_t load_percentile(const uint64_t *sorted, size_t count, double p);
int load_compare_u64(const void *a, const void *b);
