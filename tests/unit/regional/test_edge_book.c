/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/core/edge_book.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct segment_head run(uint64_t first, uint64_t last)
{
    return (struct segment_head){.first = first, .last = last};
}

static void expect(uint64_t floor, uint64_t first, uint64_t last, enum line_verdict expected,
                   uint64_t expected_skip)
{
    struct line l = {.floor = floor};
    struct segment_head h = run(first, last);
    uint64_t skip = 999;

    enum line_verdict verdict = line_judge(&l, &h, &skip);

    cr_assert_eq(verdict, expected, "floor %lu [%lu, %lu): %d", (unsigned long)floor,
                 (unsigned long)first, (unsigned long)last, (int)verdict);
    if (expected == LINE_TAKE)
        cr_assert_eq(skip, expected_skip);
}

Test(edge_book, a_segment_is_judged_by_the_floor_alone)
{
    expect(10, 10, 20, LINE_TAKE, 0);
    expect(10, 5, 20, LINE_TAKE, 5); /* straddles */
    expect(10, 9, 11, LINE_TAKE, 1);
    expect(10, 5, 10, LINE_REPEAT, 0);
    expect(10, 0, 3, LINE_REPEAT, 0);
    expect(10, 11, 20, LINE_GAP, 0);
    expect(10, 10, 10, LINE_TAKE, 0); /* heartbeat, up to date */
    expect(10, 9, 9, LINE_REPEAT, 0); /* an old heartbeat */
    expect(10, 11, 11, LINE_GAP, 0);  /* a heartbeat that tells of a gap */
    expect(0, 0, 0, LINE_TAKE, 0);
}

Test(edge_book, numbers_that_the_edge_no_longer_holds_are_not_guessed)
{
    struct line l = {.floor = 10};
    struct segment_head h = run(20, 30);
    uint64_t skip;

    h.low = 11;
    cr_assert_eq(line_judge(&l, &h, &skip), LINE_BELOW_LOW);
    cr_assert_eq(line_judge(NULL, &h, &skip), LINE_BELOW_LOW, "a line never heard of");
    h.low = 10;
    cr_assert_eq(line_judge(&l, &h, &skip), LINE_GAP);
    h.low = 11;
    l.written_off = true;
    cr_assert_eq(line_judge(&l, &h, &skip), LINE_BELOW_LOW, "a peer has them, given up or not");
}

Test(edge_book, the_clock_is_the_lesser_of_edge_and_message)
{
    struct segment_head h = {.clock_ms = 5000, .age_ms = 0};

    cr_assert_eq(line_clock(&h, 9000), 5000);
    cr_assert_eq(line_clock(&h, 4000), 4000, "a fast edge clock does no harm");
    h.age_ms = 1000;
    cr_assert_eq(line_clock(&h, 4000), 3000);
    h.age_ms = 10000;
    cr_assert_eq(line_clock(&h, 4000), 0);
}

Test(edge_book, edges_and_lines_are_kept_in_order)
{
    struct edge_book book = {0};
    const char *names[] = {"m", "a", "z", "k"};

    for (unsigned i = 0; i < countof(names); i++)
        cr_assert_not_null(edge_book_open(&book, names[i]));
    struct edge *e = edge_book_open(&book, "k");
    edge_book_open_line(e, 9, 1);
    edge_book_open_line(e, 3, 1);
    edge_book_open_line(e, 5, 1);

    cr_assert_eq(book.count, 4);
    for (uint32_t i = 1; i < book.count; i++)
        cr_assert_lt(strcmp(book.edges[i - 1].name, book.edges[i].name), 0);
    cr_assert_eq(e->lines[0].epoch, 3);
    cr_assert_eq(e->lines[2].epoch, 9);
    cr_assert_null(edge_book_line(e, 4));
    cr_assert_null(edge_book_find(&book, "b"));
    edge_book_done(&book);
}

Test(edge_book, edges_are_limited)
{
    struct edge_book book = {0};
    char name[16];

    for (unsigned i = 0; i < LIMIT_EDGES; i++) {
        (void)snprintf(name, sizeof(name), "e%u", i);
        cr_assert_not_null(edge_book_open(&book, name));
    }
    cr_assert_null(edge_book_open(&book, "one-more"));
    cr_assert_not_null(edge_book_open(&book, "e7"));
    edge_book_done(&book);
}

Test(edge_book, only_finished_lines_are_forgotten_and_late)
{
    const uint64_t day_ms = 24 * 3600 * 1000ULL;
    struct edge_book book = {0};
    struct edge *e = edge_book_open(&book, "a");
    edge_book_open_line(e, 1, 1000)->finished = true;
    edge_book_open_line(e, 2, 1000); /* unfinished */
    struct line *listed = edge_book_open_line(e, 3, 1000);
    listed->finished = true;
    listed->listed_ms = 8 * day_ms;
    e->newest_epoch = 4;

    edge_book_forget(&book, 1000 + 8 * day_ms, 1000 + 8 * day_ms);
    cr_assert_eq(e->line_count, 3, "not yet");
    edge_book_forget(&book, 9 * day_ms, 1000);
    cr_assert_eq(e->line_count, 3, "message time alone does not make us forget");
    edge_book_forget(&book, 1000, 9 * day_ms);
    cr_assert_eq(e->line_count, 3);
    edge_book_forget(&book, 9 * day_ms, 9 * day_ms);

    cr_assert_null(edge_book_line(e, 1));
    cr_assert_not_null(edge_book_line(e, 2));
    cr_assert_not_null(edge_book_line(e, 3));
    edge_book_done(&book);
}

Test(edge_book, floors_are_durable_only_after_the_commit)
{
    struct edge_book book = {0};
    struct edge *e = edge_book_open(&book, "a");
    struct line *l = edge_book_open_line(e, 1, 1);
    l->floor = 10;
    e->news = true;

    edge_book_cut(&book);
    l->floor = 20;
    cr_assert(!l->durable && l->durable_floor == 0 && !e->floor_due);
    edge_book_committed(&book);

    cr_assert(l->durable && e->floor_due);
    cr_assert_eq(l->durable_floor, 10, "of the cut, not of now");
    edge_book_done(&book);
}
