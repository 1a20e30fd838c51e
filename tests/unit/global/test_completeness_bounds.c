/* SPDX-License-Identifier: Apache-2.0
 * What was met is remembered within bounds; a book that cannot have been written so is refused. */
#include "global/core/completeness.h"

#include "common/base/rng.h"

#include <criterion/criterion.h>

TestSuite(completeness_bounds, .timeout = 30);

static const struct partial_total some = {
    .minute = 7, .rows = 2, .counted = 10, .duplicate = 1, .digest = 99};

Test(completeness_bounds, more_than_announced_is_more_in_every_field)
{
    static const struct {
        struct completeness_sums own;
        bool exceeds;
    } cases[] = {
        {{2, 10, 1, 99}, false}, /* the same */
        {{3, 10, 1, 99}, true},  {{2, 11, 1, 99}, true}, {{2, 10, 2, 99}, true},
        {{2, 10, 1, 98}, true}, /* a sketch grew */
        {{1, 99, 9, 99}, false}, {{9, 9, 9, 99}, false}, {{9, 99, 0, 99}, false},
    };
    for (unsigned i = 0; i < countof(cases); i++)
        cr_assert_eq(completeness_sums_exceed(&cases[i].own, &some), cases[i].exceeds, "case %u",
                     i);
}

static struct partial_total nth(unsigned n)
{
    struct partial_total t = some;
    t.counted += n;
    return t;
}

/* So many states are known again, the newest; the one before them must be proven anew. */
Test(completeness_bounds, so_many_states_of_a_minute_are_known_again)
{
    struct completeness_book book = {.announced = false}, back;
    for (unsigned n = 0; n <= COMPLETENESS_MET_KEPT; n++) {
        struct partial_total t = nth(n);
        cr_assert_eq(completeness_judge(&book, &t, true, true), COMPLETENESS_MET);
    }
    struct buf bytes = {0};
    completeness_put(&book, &bytes);
    cr_assert_eq(completeness_read(&back, buf_span(&bytes)), ERR_OK);
    cr_assert_arr_eq(back.met, book.met, sizeof(book.met));
    for (unsigned n = 1; n <= COMPLETENESS_MET_KEPT; n++) {
        struct partial_total t = nth(n);
        struct completeness_book copy = back;
        cr_assert_eq(completeness_judge(&copy, &t, true, false), COMPLETENESS_MET, "state %u", n);
        cr_assert_arr_eq(copy.met, book.met, sizeof(book.met), "known: not remembered twice");
    }
    struct partial_total first = nth(0);
    cr_assert_eq(completeness_judge(&back, &first, true, false), COMPLETENESS_WANTED);
    buf_put_u8(&bytes, 0);
    cr_assert_eq(completeness_read(&back, buf_span(&bytes)), ERR_FORMAT, "one byte too many");
    buf_done(&bytes);
}

static enum err read_book(uint8_t what, uint64_t rows)
{
    struct buf bytes = {0};
    struct completeness_book book = {.own = {.rows = 77}};
    buf_put_u8(&bytes, what);
    buf_put_varint(&bytes, rows);
    buf_put_varint(&bytes, 1);
    buf_put_varint(&bytes, 1);
    buf_put_u64(&bytes, 1);
    enum err err = completeness_read(&book, buf_span(&bytes));
    cr_assert_eq(book.own.rows, err == ERR_OK ? rows : 77, "untouched on failure");
    buf_done(&bytes);
    return err;
}

Test(completeness_bounds, a_book_out_of_range_is_refused)
{
    cr_assert_eq(read_book(3, UINT32_MAX), ERR_OK);
    cr_assert_eq(read_book(3, UINT32_MAX + 1ULL), ERR_FORMAT);
    cr_assert_eq(read_book(4, 1), ERR_FORMAT);
}

Test(completeness_bounds, an_hour_out_of_range_is_refused)
{
    struct completeness_hour hour = {.bits = (1ULL << 60) - 1, .partitions = 3}, back = {0};
    struct buf bytes = {0};
    completeness_hour_put(&hour, &bytes);
    cr_assert_eq(completeness_hour_read(&back, buf_span(&bytes)), ERR_OK);
    cr_assert(back.bits == hour.bits && back.partitions == 3);

    buf_put_u8(&bytes, 0);
    cr_assert_eq(completeness_hour_read(&back, buf_span(&bytes)), ERR_TRAILING);
    for (unsigned i = 0; i < 2; i++) {
        buf_clear(&bytes);
        hour = (struct completeness_hour){.bits = i == 0 ? 1ULL << 60 : 1,
                                          .partitions = i == 0 ? 3 : 0};
        completeness_hour_put(&hour, &bytes);
        cr_assert_eq(completeness_hour_read(&back, buf_span(&bytes)), ERR_FORMAT);
        cr_assert_eq(back.partitions, 3, "untouched on failure");
    }
    buf_done(&bytes);
}

static bool mark(struct completeness_hour *hour, uint8_t minute, uint16_t first, uint16_t last)
{
    return completeness_hour_mark(hour, minute, (struct completeness_span){first, last});
}

Test(completeness_bounds, a_mark_of_an_older_map_changes_nothing_and_of_a_newer_starts_afresh)
{
    struct completeness_hour hour = {0};
    cr_assert(mark(&hour, 5, 4, 4));
    cr_assert_not(mark(&hour, 5, 4, 4), "marked before");
    cr_assert_not(mark(&hour, 6, 2, 2));
    cr_assert_eq(hour.bits, 1ULL << 5);
    cr_assert(mark(&hour, 5, 8, 8), "the same bit, of other partitions");
    cr_assert(hour.bits == 1ULL << 5 && hour.partitions == 8);
}

Test(completeness_bounds, an_hour_in_which_the_map_grows_keeps_what_was_marked_before)
{
    const struct completeness_span before = {4, 4}, growing = {4, 8}, after = {8, 8};
    struct completeness_hour hour = {0};
    cr_assert(mark(&hour, 5, 4, 4));
    cr_assert(completeness_hour_is_of(&hour, before));
    cr_assert(completeness_hour_is_of(&hour, growing), "no minute of the new step is marked yet");
    cr_assert(mark(&hour, 30, 4, 8));
    cr_assert(mark(&hour, 6, 4, 8), "a late one of the former step");
    cr_assert_eq(hour.bits, 1ULL << 5 | 1ULL << 30 | 1ULL << 6);
    cr_assert(completeness_hour_is_of(&hour, growing) && completeness_hour_is_of(&hour, after));
    cr_assert_not(completeness_hour_is_of(&hour, before));
}
