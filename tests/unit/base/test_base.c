/* SPDX-License-Identifier: Apache-2.0
 * base: what holds for CHECK, the allocators and the small helpers. */
#include "common/base/base.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

struct outer {
    uint32_t before;
    uint64_t inner;
};

Test(base, a_failed_check_ends_the_process, .signal = SIGABRT)
{
    volatile int one = 1;
    CHECK(one == 2);
    exit(0);
}

Test(base, a_check_that_holds_does_nothing)
{
    int calls = 0;
    CHECK(++calls == 1);
    cr_assert_eq(calls, 1);
}

Test(base, allocating_nothing_still_gives_a_pointer)
{
    void *plain = base_alloc(0);
    void *zeroed = base_zalloc(0, 8);
    void *grown = base_realloc(NULL, 0);

    cr_assert_not_null(plain);
    cr_assert_not_null(zeroed);
    cr_assert_not_null(grown);
    free(plain);
    free(zeroed);
    free(grown);
}

Test(base, zalloc_gives_zeroes)
{
    uint8_t *bytes = base_zalloc(1000, 3);

    for (unsigned i = 0; i < 3000; i++)
        cr_assert_eq(bytes[i], 0);
    free(bytes);
}

#if !defined(__SANITIZE_ADDRESS__) &&                                                              \
    !defined(__SANITIZE_THREAD__) /* their calloc ends the process itself */
Test(base, zalloc_aborts_when_the_product_wraps, .signal = SIGABRT)
{
    volatile size_t half = SIZE_MAX / 2 + 1;
    free(base_zalloc(half, 4));
}
#endif

Test(base, container_of_finds_the_object_around_a_member)
{
    struct outer o = {.before = 7, .inner = 9};

    cr_assert_eq(container_of(&o.inner, struct outer, inner), &o);
}

Test(base, min_and_max_compare_the_whole_range)
{
    cr_assert_eq(base_min_u64(0, UINT64_MAX), 0);
    cr_assert_eq(base_max_u64(0, UINT64_MAX), UINT64_MAX);
    cr_assert_eq(base_min_u64(3, 3), 3);
}
