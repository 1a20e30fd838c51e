/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/core/watermark.h"

#include <criterion/criterion.h>

#define T 1000000000ULL

static struct edge *given_edge(struct edge_book *book, const char *name, uint64_t clock_ms)
{
    struct edge *e = edge_book_open(book, name);
    e->enrolled = true;
    e->newest_epoch = 1;
    struct line *l = edge_book_open_line(e, 1, T);
    l->heard = true;
    l->clock_ms = clock_ms;
    return e;
}

Test(watermark, it_is_the_least_clock_of_the_enrolled_edges)
{
    struct edge_book book = {0};
    given_edge(&book, "a", T - 10);
    given_edge(&book, "b", T - 30);
    given_edge(&book, "c", T - 90)->enrolled = false;

    cr_assert_eq(watermark_advance(&book, T, 0), T - 30);
    edge_book_done(&book);
}

Test(watermark, it_never_goes_back_nor_beyond_the_message)
{
    struct edge_book book = {0};
    struct edge *a = given_edge(&book, "a", T + 500);

    cr_assert_eq(watermark_advance(&book, T, 0), T, "capped by the message's time");
    a->lines[0].clock_ms = T - 100;
    cr_assert_eq(watermark_advance(&book, T, T), T);
    edge_book_done(&book);
}

Test(watermark, without_any_edge_it_stays)
{
    struct edge_book book = {0};

    cr_assert_eq(watermark_advance(&book, T, 123), 123);
    edge_book_open(&book, "never-heard")->enrolled = true;
    cr_assert_eq(watermark_advance(&book, T, 123), 123);
    cr_assert(book.edges[0].missing);
    edge_book_done(&book);
}

Test(watermark, a_silent_edge_lets_go_but_is_missed)
{
    struct edge_book book = {0};
    struct edge *a = given_edge(&book, "a", T);
    struct edge *b = given_edge(&book, "b", T + LIMIT_SILENT_MS + 1);
    b = edge_book_find(&book, "b");
    a = edge_book_find(&book, "a");
    b->lines[0].heard_ms = T + LIMIT_SILENT_MS + 1;

    cr_assert_eq(watermark_advance(&book, T + LIMIT_SILENT_MS, T - 5), T, "90 s is not too long");
    cr_assert(!a->missing);
    uint64_t now_ms = T + LIMIT_SILENT_MS + 1;
    uint64_t w = watermark_advance(&book, now_ms, T);

    cr_assert_eq(w, now_ms);
    cr_assert(a->missing);
    /* It is back, but behind: still missed, and not waited for. */
    a->lines[0].heard_ms = now_ms + 10;
    a->lines[0].clock_ms = w - 1;
    b->lines[0].clock_ms = now_ms + 10;
    w = watermark_advance(&book, now_ms + 10, w);
    cr_assert(a->missing);
    cr_assert_eq(w, now_ms + 10);
    /* It has caught up. */
    a->lines[0].clock_ms = w;
    b->lines[0].clock_ms = w + 100;
    w = watermark_advance(&book, w + 100, w);
    cr_assert(!a->missing);
    cr_assert_eq(w, now_ms + 10, "and holds the watermark again");
    edge_book_done(&book);
}

Test(watermark, an_edge_without_a_live_epoch_is_missed)
{
    struct edge_book book = {0};
    struct edge *a = given_edge(&book, "a", T);
    a->lines[0].finished = true;

    cr_assert_eq(watermark_advance(&book, T, 5), 5);
    cr_assert(a->missing);
    edge_book_done(&book);
}

Test(watermark, an_edge_whose_newest_epoch_was_not_heard_is_missed)
{
    struct edge_book book = {0};
    struct edge *a = given_edge(&book, "a", T);
    a->newest_epoch = 2;

    watermark_advance(&book, T, 5);
    cr_assert(a->missing);
    edge_book_open_line(a, 2, T); /* listed is not heard */
    watermark_advance(&book, T, 5);
    cr_assert(a->missing);
    edge_book_line(a, 2)->heard = true;
    edge_book_line(a, 2)->clock_ms = T;
    watermark_advance(&book, T, 5);
    cr_assert(!a->missing);
    edge_book_done(&book);
}

Test(watermark, an_older_epoch_holds_the_clock_until_it_is_silent)
{
    struct edge_book book = {0};
    struct edge *a = given_edge(&book, "a", T);
    edge_book_open_line(a, 9, T); /* listed: clock 0 */

    cr_assert_eq(watermark_advance(&book, T, T - 100), T - 100, "held");
    cr_assert(!a->missing);
    edge_book_line(a, 1)->heard_ms = T + LIMIT_SILENT_MS + 1;
    watermark_advance(&book, T + LIMIT_SILENT_MS + 1, T - 100);
    cr_assert(a->missing, "it must not hold for ever");
    edge_book_done(&book);
}

Test(watermark, an_edge_given_up_is_neither_waited_for_nor_missed)
{
    struct edge_book book = {0};
    struct edge *a = given_edge(&book, "a", T - 1000);
    given_edge(&book, "b", T);
    a = edge_book_find(&book, "a");
    a->given_up = true;
    a->missing = true;

    cr_assert_eq(watermark_advance(&book, T, 0), T);
    cr_assert(!edge_book_find(&book, "a")->missing);
    edge_book_done(&book);
}

Test(watermark, minutes_close_after_end_and_lateness)
{
    cr_assert_eq(watermark_closed_below(0, 10000), 0);
    cr_assert_eq(watermark_closed_below(5 * 60000 + 9999, 10000), 4, "minute 4 ends at 5:00");
    cr_assert_eq(watermark_closed_below(5 * 60000 + 10000, 10000), 5);
    cr_assert_eq(watermark_expired_below(100 * 60000ULL, 60), 40);
    cr_assert_eq(watermark_expired_below(59 * 60000ULL, 60), 0);
}
