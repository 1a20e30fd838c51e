/* SPDX-License-Identifier: Apache-2.0
 * minute_books: the books of the minutes that one partial touches. */
#include "global/core/minute_books.h"

#include <stdlib.h>

void minute_books_clear(struct minute_books *books)
{
    if (books->count > 0)
        memset(books->slots, 0, books->capacity * sizeof(books->slots[0]));
    books->count = 0;
}

void minute_books_done(struct minute_books *books)
{
    free(books->slots);
    *books = (struct minute_books){0};
}

static struct minute_books_entry *slot_of(struct minute_books *books, uint32_t minute)
{
    uint32_t mask = books->capacity - 1;
    /* Minutes come in runs; a multiplication spreads a stride that would be a multiple of the
     * capacity. */
    uint32_t at = (minute * 2654435769u) & mask;
    while (books->slots[at].used && books->slots[at].minute != minute)
        at = (at + 1) & mask;
    return &books->slots[at];
}

static void grow(struct minute_books *books)
{
    struct minute_books old = *books;
    books->capacity = old.capacity == 0 ? 64 : old.capacity * 2;
    books->slots = base_zalloc(books->capacity, sizeof(books->slots[0]));
    for (uint32_t i = 0; i < old.capacity; i++)
        if (old.slots[i].used)
            *slot_of(books, old.slots[i].minute) = old.slots[i];
    free(old.slots);
}

struct minute_books_entry *minute_books_at(struct minute_books *books, uint32_t minute)
{
    if ((books->count + 1) * 2 > books->capacity)
        grow(books);
    struct minute_books_entry *entry = slot_of(books, minute);
    if (!entry->used) {
        *entry = (struct minute_books_entry){.minute = minute, .used = true};
        books->count++;
    }
    return entry;
}
