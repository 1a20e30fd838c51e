/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/core/archive_book.h"

#include "common/base/rng.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct segment_head head_of(uint64_t first, uint64_t last, uint64_t low)
{
    return (struct segment_head){.epoch = 9, .first = first, .last = last, .low = low};
}

static struct archive_wish take(struct archive_line *l, uint64_t first, uint64_t last, uint64_t low)
{
    struct segment_head h = head_of(first, last, low);
    struct archive_wish w;
    archive_line_take(l, &h, 1000, false, &w);
    return w;
}

static void expect_runs(const struct archive_wish *w, uint32_t count, uint64_t first, uint64_t last)
{
    cr_assert_eq(w->count, count);
    if (count > 0)
        cr_assert(w->runs[0].first == first && w->runs[0].last == last, "[%lu, %lu)",
                  (unsigned long)w->runs[0].first, (unsigned long)w->runs[0].last);
}

Test(archive_book, a_segment_at_the_floor_is_taken_below_it_is_a_repeat_and_straddling_from_it_on)
{
    struct archive_line l = {0};

    struct archive_wish w = take(&l, 0, 10, 0);
    expect_runs(&w, 1, 0, 10);
    w = take(&l, 0, 10, 0);
    expect_runs(&w, 0, 0, 0);
    w = take(&l, 5, 15, 0);
    expect_runs(&w, 1, 10, 15);
    cr_assert_eq(l.floor, 15);
    cr_assert(!w.gap && !archive_line_has_gap(&l));
}

Test(archive_book, what_lies_above_a_gap_is_kept_once_and_joined_when_the_gap_is_filled)
{
    struct archive_line l = {.floor = 10};

    struct archive_wish w = take(&l, 20, 30, 0);
    expect_runs(&w, 1, 20, 30);
    cr_assert(w.gap && archive_line_has_gap(&l));
    cr_assert_eq(l.floor, 10, "a floor speaks of all below it");
    w = take(&l, 30, 35, 0);
    expect_runs(&w, 1, 30, 35);
    w = take(&l, 22, 31, 0);
    expect_runs(&w, 0, 0, 0);
    w = take(&l, 50, 60, 0);
    cr_assert(w.count == 0 && w.beyond, "a second island is sent again");
    w = take(&l, 5, 15, 0);
    expect_runs(&w, 1, 10, 15);
    w = take(&l, 15, 40, 0);
    cr_assert_eq(w.count, 2);
    cr_assert(w.runs[0].first == 15 && w.runs[0].last == 20);
    cr_assert(w.runs[1].first == 35 && w.runs[1].last == 40);
    cr_assert_eq(l.floor, 40);
    cr_assert(archive_line_has_gap(&l), "50 was heard");
    w = take(&l, 40, 60, 0);
    expect_runs(&w, 1, 40, 60);
    cr_assert(!archive_line_has_gap(&l));
}

Test(archive_book, an_island_grows_downwards_too)
{
    struct archive_line l = {0};
    (void)take(&l, 20, 30, 0);

    struct archive_wish w = take(&l, 15, 35, 0);

    cr_assert_eq(w.count, 2);
    cr_assert(w.runs[0].first == 15 && w.runs[0].last == 20);
    cr_assert(w.runs[1].first == 30 && w.runs[1].last == 35);
    cr_assert(l.island_first == 15 && l.island_last == 35);
    w = take(&l, 3, 10, 0);
    cr_assert(w.count == 0 && w.beyond);
}

Test(archive_book, a_heartbeat_beyond_the_floor_is_a_gap_and_brings_nothing)
{
    struct archive_line l = {.floor = 10};
    struct archive_wish w = take(&l, 12, 12, 0);
    cr_assert(w.gap && w.count == 0 && archive_line_has_gap(&l));
    w = take(&l, 10, 10, 0);
    cr_assert(!w.gap && w.count == 0);
}

Test(archive_book, numbers_that_no_edge_holds_any_more_are_a_hole_that_is_counted)
{
    struct archive_line l = {.floor = 10};
    (void)take(&l, 20, 30, 0);

    struct archive_wish w = take(&l, 40, 50, 25);
    cr_assert_eq(w.skipped, 10, "from 10 to 20; not %lu", (unsigned long)w.skipped);
    cr_assert_eq(l.floor, 30, "joined");
    w = take(&l, 60, 70, 45);
    cr_assert_eq(w.skipped, 10, "from 30 to 40; not %lu", (unsigned long)w.skipped);
    cr_assert_eq(l.floor, 50);

    struct archive_line fresh = {0};
    struct segment_head h = head_of(100, 110, 90);
    archive_line_take(&fresh, &h, 1000, true, &w);
    cr_assert_eq(w.skipped, 0, "a line that is new begins where it may");
    cr_assert(fresh.floor == 90 && fresh.island_first == 100);
}

Test(archive_book, a_line_ends_where_all_of_it_is_taken)
{
    struct archive_line l = {0};
    struct archive_wish w;
    struct segment_head fin = head_of(10, 11, 0);
    fin.fin = true;
    archive_line_take(&l, &fin, 1000, false, &w);
    cr_assert(!archive_line_is_finished(&l), "0 to 10 are missing");
    (void)take(&l, 0, 10, 0);
    cr_assert(archive_line_is_finished(&l));
    struct segment_head beat = head_of(11, 11, 0);
    archive_line_take(&l, &beat, 1000, false, &w);
    cr_assert(archive_line_is_finished(&l), "a message read again proves no life");
    archive_line_take(&l, &beat, 1001, false, &w);
    cr_assert(!archive_line_is_finished(&l), "whoever beats after its end is alive");
    archive_line_take(&l, &fin, 1002, false, &w);
    cr_assert(archive_line_is_finished(&l));
    (void)take(&l, 11, 12, 0);
    cr_assert(!archive_line_is_finished(&l) && l.floor == 12, "a copy goes on");
}

Test(archive_book, a_line_without_numbers_ends_too_and_a_copys_end_counts_at_the_floor_alone)
{
    struct archive_line l = {0};
    struct archive_wish w;
    struct segment_head fin = head_of(0, 0, 0);
    fin.fin = true;
    archive_line_take(&l, &fin, 1000, true, &w);
    cr_assert(archive_line_is_finished(&l));

    l = (struct archive_line){.floor = 10};
    fin = head_of(20, 21, 0);
    fin.fin = true;
    archive_line_take(&l, &fin, 1000, false, &w);
    fin = head_of(5, 5, 0);
    fin.fin = true;
    archive_line_take(&l, &fin, 1000, false, &w);
    cr_assert(!archive_line_is_finished(&l));
    fin = head_of(10, 10, 0);
    fin.fin = true;
    archive_line_take(&l, &fin, 1000, false, &w);
    cr_assert(archive_line_is_finished(&l), "a copy ends where we stand");
}

/* Whatever comes in whatever order: nothing is taken twice, the floor is below the first number
 * that is missing, and when all has been sent again all is taken. */
Test(archive_book, random_segments_are_taken_once_and_floors_never_lie)
{
    enum { NUMBERS = 200 };
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct rng r = {seed};
        struct archive_line l = {0};
        unsigned taken[NUMBERS] = {0};
        for (unsigned i = 0; i < 60; i++) {
            uint64_t first = i < 50 ? rng_below(&r, NUMBERS) : l.floor;
            uint64_t last = first + (i < 50 ? rng_below(&r, 30) : NUMBERS - first);
            last = last > NUMBERS ? NUMBERS : last;
            struct archive_wish w = take(&l, first, last, 0);
            for (uint32_t k = 0; k < w.count; k++) {
                cr_assert(w.runs[k].first >= first && w.runs[k].last <= last);
                for (uint64_t n = w.runs[k].first; n < w.runs[k].last; n++)
                    cr_assert_eq(++taken[n], 1, "seed %lu: %lu twice", (unsigned long)seed,
                                 (unsigned long)n);
            }
            for (uint64_t n = 0; n < l.floor; n++)
                cr_assert_eq(taken[n], 1, "seed %lu: floor %lu, but not %lu", (unsigned long)seed,
                             (unsigned long)l.floor, (unsigned long)n);
        }
        cr_assert_eq(l.floor, NUMBERS);
        cr_assert(!archive_line_has_gap(&l));
    }
}

Test(archive_book, edges_and_lines_are_found_again_and_their_number_is_bounded)
{
    struct archive_book book = {0};
    char name[16];
    for (unsigned i = 0; i < LIMIT_EDGES; i++) {
        (void)snprintf(name, sizeof(name), "e%u", (i * 2654435761u) % 1000003);
        cr_assert_not_null(archive_book_open(&book, name));
    }
    cr_assert_null(archive_book_open(&book, "one-more"));
    for (uint32_t i = 1; i < book.count; i++)
        cr_assert_lt(strcmp(book.edges[i - 1].name, book.edges[i].name), 0);
    cr_assert_eq(archive_book_open(&book, name), archive_book_find(&book, name));
    cr_assert_null(archive_book_find(&book, "one-more"));
    struct archive_edge *e = &book.edges[7];
    for (uint64_t epoch = 20; epoch > 0; epoch--)
        archive_book_open_line(e, epoch * 3)->floor = epoch;
    cr_assert_eq(e->line_count, 20);
    for (uint64_t epoch = 1; epoch <= 20; epoch++)
        cr_assert_eq(archive_book_line(e, epoch * 3)->floor, epoch);
    cr_assert_null(archive_book_line(e, 4));
    cr_assert_eq(archive_book_open_line(e, 3)->floor, 1);
    archive_book_done(&book);
}

Test(archive_book, finished_lines_are_forgotten_when_both_clocks_say_so)
{
    struct archive_book book = {0};
    struct archive_edge *e = archive_book_open(&book, "us-e1");
    *archive_book_open_line(e, 1) =
        (struct archive_line){.epoch = 1, .floor = 5, .ended = true, .end = 5, .heard_ms = 1000};
    *archive_book_open_line(e, 2) = (struct archive_line){.epoch = 2, .floor = 5, .heard_ms = 1000};

    archive_book_forget(&book, ARCHIVE_FORGET_MS + 2000, 2000);
    archive_book_forget(&book, 2000, ARCHIVE_FORGET_MS + 2000);
    archive_book_forget(&book, ARCHIVE_FORGET_MS + 1000, ARCHIVE_FORGET_MS + 1000);
    archive_book_forget(&book, 0, 0);
    cr_assert_eq(e->line_count, 2);
    archive_book_forget(&book, ARCHIVE_FORGET_MS + 1001, ARCHIVE_FORGET_MS + 1001);
    cr_assert(e->line_count == 1 && e->lines[0].epoch == 2);
    archive_book_done(&book);
}

Test(archive_book, floors_are_durable_only_by_the_commit_of_their_cut)
{
    struct archive_book book = {0};
    struct archive_edge *e = archive_book_open(&book, "us-e1");
    struct archive_line *l = archive_book_open_line(e, 1);
    l->floor = 5;
    e->news = true;

    archive_book_cut(&book);
    l->floor = 8;
    cr_assert(!l->durable && !e->floor_due);
    archive_book_committed(&book);
    cr_assert(l->durable && l->durable_floor == 5 && e->floor_due && !l->durable_finished);
    l->ended = true;
    l->end = 8;
    archive_book_cut(&book);
    archive_book_committed(&book);
    cr_assert(l->durable_floor == 8 && l->durable_finished);
    archive_book_done(&book);
}
