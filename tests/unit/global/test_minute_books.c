/* SPDX-License-Identifier: Apache-2.0
 * A minute finds its book again, however many there are. */
#include "global/core/minute_books.h"

#include "common/base/rng.h"

#include <criterion/criterion.h>

Test(minute_books, each_minute_has_one_book_and_keeps_it)
{
    struct minute_books books = {0};
    struct rng rng = {2};
    for (unsigned i = 0; i < 5000; i++) {
        uint32_t minute = (uint32_t)rng_below(&rng, 1000) * 64;
        minute_books_at(&books, minute)->book.own.rows++;
    }
    uint32_t sum = 0;
    for (uint32_t i = 0; i < books.capacity; i++)
        sum += books.slots[i].book.own.rows;
    cr_assert_eq(sum, 5000);
    cr_assert_leq(books.count, 1000);
    cr_assert_eq(minute_books_at(&books, UINT32_MAX)->book.own.rows, 0);
    cr_assert_eq(minute_books_at(&books, 0)->minute, 0);

    minute_books_clear(&books);
    cr_assert_eq(minute_books_at(&books, 64)->book.own.rows, 0);
    cr_assert_eq(books.count, 1);
    minute_books_done(&books);
}
