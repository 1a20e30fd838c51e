/* SPDX-License-Identifier: Apache-2.0
 * load_base: memory, text buffers, clocks and seeded randomness of the load tool. */
#include "load_base.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

void load_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("tributary-load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(70);
}

void *load_alloc(size_t bytes)
{
    void *pointer = calloc(1, bytes ? bytes : 1);
    if (!pointer)
        load_die("out of memory");
    return pointer;
}

void *load_realloc(void *pointer, size_t bytes)
{
    void *grown = realloc(pointer, bytes ? bytes : 1);
    if (!grown)
        load_die("out of memory");
    return grown;
}

char *load_copy(const char *text)
{
    size_t length = strlen(text) + 1;
    return memcpy(load_alloc(length), text, length);
}

static void reserve(struct load_buf *b, size_t extra)
{
    size_t needed = b->length + extra + 1;
    if (needed <= b->capacity)
        return;
    b->capacity = needed < 256 ? 256 : needed * 2;
    b->data = load_realloc(b->data, b->capacity);
}

void load_buf_add(struct load_buf *b, const void *data, size_t length)
{
    reserve(b, length);
    if (length)
        memcpy(b->data + b->length, data, length);
    b->length += length;
    b->data[b->length] = 0;
}

void load_buf_print(struct load_buf *b, const char *format, ...)
{
    reserve(b, 512);
    for (;;) {
        size_t room = b->capacity - b->length;
        va_list arguments;
        va_start(arguments, format);
        int length = vsnprintf(b->data + b->length, room, format, arguments);
        va_end(arguments);
        if (length < 0)
            load_die("cannot format text");
        if ((size_t)length < room) {
            b->length += (size_t)length;
            return;
        }
        reserve(b, (size_t)length + 1);
    }
}

void load_buf_done(struct load_buf *b)
{
    free(b->data);
    *b = (struct load_buf){0};
}

struct load_buf load_read_file(const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file)
        load_die("cannot read %s: %s", path, strerror(errno));
    struct load_buf content = {0};
    for (;;) {
        reserve(&content, 1 << 16);
        size_t got = fread(content.data + content.length, 1, 1 << 16, file);
        content.length += got;
        content.data[content.length] = 0;
        if (got == 0)
            break;
    }
    if (ferror(file))
        load_die("cannot read %s: %s", path, strerror(errno));
    fclose(file);
    return content;
}

static uint64_t read_clock(clockid_t id, uint64_t per_second)
{
    struct timespec t;
    if (clock_gettime(id, &t) != 0)
        load_die("no clock");
    return (uint64_t)t.tv_sec * per_second + (uint64_t)t.tv_nsec / (1000000000 / per_second);
}

uint64_t load_mono_us(void)
{
    return read_clock(CLOCK_MONOTONIC, 1000000);
}

uint64_t load_wall_ms(void)
{
    return read_clock(CLOCK_REALTIME, 1000);
}

uint64_t load_rand_next(struct load_rand *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t load_rand_below(struct load_rand *r, uint64_t bound)
{
    return load_rand_next(r) % bound; /* the bias is below 2^-40 for bounds used here */
}

bool load_rand_permille(struct load_rand *r, unsigned permille)
{
    return load_rand_below(r, 1000) < permille;
}

uint64_t load_rand_system(void)
{
    uint64_t value;
    if (getrandom(&value, sizeof value, 0) != sizeof value)
        load_die("no randomness: %s", strerror(errno));
    return value;
}

uint64_t load_percentile(const uint64_t *sorted, size_t count, double p)
{
    if (count == 0)
        return 0;
    double rank = ceil(p / 100.0 * (double)count);
    size_t index = rank < 1 ? 0 : (size_t)rank - 1;
    return sorted[index < count ? index : count - 1];
}

int load_compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}
