/* SPDX-License-Identifier: Apache-2.0
 * A minute is complete by a match or a whole answer, never while an edge is missing, and for good.
 */
#include "global/core/completeness.h"

#include "common/base/minute.h"
#include "common/base/rng.h"

#include <criterion/criterion.h>

TestSuite(completeness, .timeout = 30);

static const struct partial_total some = {
    .minute = 7, .rows = 2, .counted = 10, .duplicate = 1, .digest = 99};

static struct completeness_book book_like(const struct partial_total *t)
{
    return (struct completeness_book){.own = {t->rows, t->counted, t->duplicate, t->digest}};
}

Test(completeness, a_match_completes)
{
    struct completeness_book book = book_like(&some);
    cr_assert_eq(completeness_judge(&book, &some, true, false), COMPLETENESS_MET);
    cr_assert(book.complete && book.announced);
}

Test(completeness, any_single_difference_is_wanted)
{
    for (unsigned i = 0; i < 4; i++) {
        struct completeness_book book = book_like(&some);
        book.own.rows += i == 0;
        book.own.counted += i == 1;
        book.own.duplicate += i == 2;
        book.own.digest += i == 3;
        cr_assert_eq(completeness_judge(&book, &some, true, false), COMPLETENESS_WANTED);
        cr_assert(book.announced && !book.complete);
    }
}

Test(completeness, a_whole_answer_completes_what_can_never_match)
{
    struct completeness_book book = {.own = {9, 90, 9, 9}};
    cr_assert_eq(completeness_judge(&book, &some, true, true), COMPLETENESS_MET);
    cr_assert(book.complete);
    /* and its totals are known from then on */
    cr_assert_eq(completeness_judge(&book, &some, true, false), COMPLETENESS_MET);
}

Test(completeness, with_an_edge_missing_a_match_is_held)
{
    struct completeness_book book = book_like(&some);
    cr_assert_eq(completeness_judge(&book, &some, false, false), COMPLETENESS_HELD);
    cr_assert_not(book.complete);
    cr_assert_eq(completeness_judge(&book, &some, true, false), COMPLETENESS_MET);
    cr_assert(book.complete);
}

Test(completeness, complete_stays_complete)
{
    struct completeness_book book = book_like(&some);
    (void)completeness_judge(&book, &some, true, false);
    struct partial_total other = some;
    other.counted++;
    cr_assert_eq(completeness_judge(&book, &other, true, false), COMPLETENESS_WANTED);
    cr_assert(book.complete);
    cr_assert_eq(completeness_judge(&book, &some, false, false), COMPLETENESS_MET);
}

Test(completeness, totals_met_once_are_met_when_a_slower_replica_says_them)
{
    struct completeness_book book = book_like(&some);
    (void)completeness_judge(&book, &some, true, false);
    book.own.counted += 5; /* late clicks */
    cr_assert_eq(completeness_judge(&book, &some, true, false), COMPLETENESS_MET);
}

Test(completeness, the_books_follow_any_run_of_changes)
{
    struct rng rng = {5};
    struct completeness_row rows[20];
    bool there[20] = {false};
    struct completeness_sums sums = {0};
    for (unsigned i = 0; i < 2000; i++) {
        unsigned at = (unsigned)rng_below(&rng, 20);
        struct completeness_row changed = {rng_below(&rng, 1000), rng_below(&rng, 1000),
                                           rng_next(&rng)};
        completeness_change(&sums, there[at] ? &rows[at] : NULL, &changed);
        rows[at] = changed;
        there[at] = true;
        struct partial_total total = {0};
        for (unsigned j = 0; j < 20; j++) {
            if (!there[j])
                continue;
            total.rows++;
            total.counted += rows[j].counted;
            total.duplicate += rows[j].duplicate;
            total.digest += rows[j].digest;
        }
        cr_assert(completeness_sums_match(&sums, &total));
    }
}

Test(completeness, nothing_is_announced_before_the_end_of_its_minute)
{
    uint64_t end_ms = minute_start_ms(101);
    cr_assert_not(completeness_may_announce(100, end_ms - 1));
    cr_assert(completeness_may_announce(100, end_ms));
    cr_assert_eq(completeness_due_before(0), 0);
    cr_assert_eq(completeness_due_before(MINUTE_MS), 0);
    /* minute 100 ends at 101:00 and is overdue at 102:00 */
    cr_assert_eq(completeness_due_before(minute_start_ms(102) - 1), 100);
    cr_assert_eq(completeness_due_before(minute_start_ms(102)), 101);
}

Test(completeness, a_book_reads_back_and_no_truncation_does)
{
    struct completeness_book book = {.own = {3, UINT64_MAX, 5, 0x123456789},
                                     .announced = true,
                                     .complete = true,
                                     .met = {7, 8, 9}};
    struct completeness_book back = {0};
    struct buf bytes = {0};
    completeness_put(&book, &bytes);
    cr_assert_eq(completeness_read(&back, buf_span(&bytes)), ERR_OK);
    cr_assert(memcmp(&back.own, &book.own, sizeof(back.own)) == 0);
    cr_assert(back.announced && back.complete && back.met[2] == 9 && back.met[3] == 0);
    /* States may be cut off only where a shorter list of them ends. */
    for (size_t length = 0; length < bytes.length; length++)
        if ((bytes.length - length) % 8 != 0 || length < bytes.length - 24)
            cr_assert_neq(completeness_read(&back, span_of(bytes.data, length)), ERR_OK);
    buf_done(&bytes);
}

Test(completeness, an_hour_marks_minutes_and_a_larger_map_begins_anew)
{
    struct completeness_hour hour = {0};
    cr_assert(completeness_hour_mark(&hour, 0, (struct completeness_span){4, 4}));
    cr_assert(completeness_hour_mark(&hour, 59, (struct completeness_span){4, 4}));
    cr_assert_not(completeness_hour_mark(&hour, 59, (struct completeness_span){4, 4}));
    cr_assert_eq(hour.bits, 1 | UINT64_C(1) << 59);
    cr_assert(completeness_hour_mark(&hour, 5, (struct completeness_span){8, 8}));
    cr_assert_eq(hour.bits, UINT64_C(1) << 5);
    cr_assert_not(completeness_hour_mark(&hour, 6, (struct completeness_span){4, 4}));
    cr_assert_eq(hour.bits, UINT64_C(1) << 5);

    struct buf bytes = {0};
    struct completeness_hour back;
    completeness_hour_put(&hour, &bytes);
    cr_assert_eq(completeness_hour_read(&back, buf_span(&bytes)), ERR_OK);
    cr_assert(back.bits == hour.bits && back.partitions == 8);
    buf_put_u8(&bytes, 0);
    cr_assert_eq(completeness_hour_read(&back, buf_span(&bytes)), ERR_TRAILING);
    cr_assert_eq(completeness_hour_read(&back, span_of(bytes.data, 9)), ERR_TRUNCATED);
    buf_done(&bytes);
}
