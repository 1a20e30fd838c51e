/* SPDX-License-Identifier: Apache-2.0
 * minute_books: the books of the minutes that one partial touches, by minute: a small
 * open-addressing table. Audience: global core, drivers, tests. Pure. One thread at a time per
 * object. */
#pragma once

#include "global/core/completeness.h"

struct minute_books_entry {
    uint32_t minute;
    bool used;
    bool loaded; /* book was read from the store (or found absent there) */
    bool dirty;
    struct completeness_book book;
    struct completeness_sums message; /* of the rows of this minute in the message itself */
};

/* Zero-initialised is empty and valid; minute_books_done frees. */
struct minute_books {
    struct minute_books_entry *slots;
    uint32_t count, capacity; /* capacity: 0 or a power of two */
};

void minute_books_clear(struct minute_books *books);
void minute_books_done(struct minute_books *books);

/* The entry of `minute`, made (all zero but for minute and used) where absent. Valid until the next
 * call. */
struct minute_books_entry *minute_books_at(struct minute_books *books, uint32_t minute);
