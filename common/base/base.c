/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/base.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void base_check_failed(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "level=fatal msg=\"check failed\" at=%s:%d check=\"%s\"\n", file, line,
                  condition);
    abort();
}

void *base_alloc(size_t bytes)
{
    void *pointer = malloc(bytes == 0 ? 1 : bytes);
    CHECK(pointer != NULL);
    return pointer;
}

void *base_zalloc(size_t count, size_t bytes_each)
{
    void *pointer = calloc(count == 0 ? 1 : count, bytes_each == 0 ? 1 : bytes_each);
    CHECK(pointer != NULL);
    return pointer;
}

void *base_realloc(void *pointer, size_t bytes)
{
    void *moved = realloc(pointer, bytes == 0 ? 1 : bytes);
    CHECK(moved != NULL);
    return moved;
}
