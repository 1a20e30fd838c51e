/* SPDX-License-Identifier: Apache-2.0
 * column: deltas, texts and dictionaries come back; bounds hold. */
#include "common/base/rng.h"
#include "proto/column.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>

/* A number of any size. */
static uint64_t some_number(struct rng *rng)
{
    uint64_t value = rng_next(rng);
    return value >> rng_below(rng, 64);
}

Test(column, deltas_come_back_over_the_whole_range)
{
    static const uint64_t values[] = {0, 1, 0, UINT64_MAX, 0, 1ULL << 63, (1ULL << 63) - 1,
                                      5, 5, 4};
    struct buf b = {0};
    uint64_t previous = 0;
    for (unsigned i = 0; i < countof(values); i++)
        column_put_delta(&b, &previous, values[i]);
    struct rng rng = {1};
    for (unsigned i = 0; i < 1000; i++)
        column_put_delta(&b, &previous, some_number(&rng));

    struct reader r = reader_of(buf_span(&b));
    previous = 0;
    for (unsigned i = 0; i < countof(values); i++)
        cr_assert_eq(column_delta(&r, &previous), values[i]);
    rng = (struct rng){1};
    for (unsigned i = 0; i < 1000; i++)
        cr_assert_eq(column_delta(&r, &previous), some_number(&rng));
    cr_assert(reader_at_end(&r));
    buf_done(&b);
}

Test(column, a_small_step_either_way_takes_one_byte)
{
    struct buf b = {0};
    uint64_t previous = 1000000;
    column_put_delta(&b, &previous, 1000063);
    column_put_delta(&b, &previous, 999999);
    cr_assert_eq(b.length, 1 + 1);
    buf_done(&b);
}

struct record {
    uint32_t before;
    struct span text;
    uint64_t after;
};

Test(column, texts_come_back_from_an_array_of_records)
{
    static const char *const words[] = {"", "a", "some words", ""};
    struct record records[4] = {0}, back[4] = {0};
    for (unsigned i = 0; i < 4; i++)
        records[i].text = span_of_text(words[i]);
    struct buf b = {0};
    column_put_texts(&b, &records[0].text, sizeof(records[0]), 4);

    struct reader r = reader_of(buf_span(&b));
    cr_assert_eq(column_read_texts(&r, &back[0].text, sizeof(back[0]), 4, 0, 10), ERR_OK);
    cr_assert(reader_at_end(&r));
    for (unsigned i = 0; i < 4; i++) {
        cr_assert(span_equal(back[i].text, records[i].text));
        cr_assert_eq(back[i].after, 0);
    }
    buf_done(&b);
}

Test(column, texts_outside_their_bounds_are_over_the_limit)
{
    struct span texts[2] = {span_of_text("ab"), span_of_text("abc")}, back[2];
    struct buf b = {0};
    column_put_texts(&b, texts, sizeof(*texts), 2);

    struct reader r = reader_of(buf_span(&b));
    cr_assert_eq(column_read_texts(&r, back, sizeof(*back), 2, 0, 2), ERR_LIMIT);
    r = reader_of(buf_span(&b));
    cr_assert_eq(column_read_texts(&r, back, sizeof(*back), 2, 3, 3), ERR_LIMIT);
    for (size_t cut = 0; cut < b.length; cut++) {
        r = reader_of(span_of(b.data, cut));
        cr_assert_eq(column_read_texts(&r, back, sizeof(*back), 2, 0, 3), ERR_FORMAT);
    }
    buf_done(&b);
}

Test(column, a_dictionary_numbers_texts_by_first_sight)
{
    for (uint64_t seed = 0; seed < 3; seed++) {
        struct column_dict d;
        column_dict_init(&d, 4, seed);
        cr_assert_eq(column_dict_index(&d, span_of_text("b")), 0);
        cr_assert_eq(column_dict_index(&d, span_of_text("a")), 1);
        cr_assert_eq(column_dict_index(&d, span_of_text("b")), 0);
        cr_assert_eq(column_dict_index(&d, span_of_text("")), 2);
        cr_assert_eq(column_dict_index(&d, span_of_text("a")), 1);
        struct buf b = {0};
        column_dict_put(&d, &b);
        cr_assert(span_equal(buf_span(&b), span_of("\3\1\1\0ba", 6)));
        buf_done(&b);
        column_dict_done(&d);
    }
}

Test(column, a_dictionary_holds_as_many_as_it_was_made_for)
{
    enum { MANY = 4096 };
    static char names[MANY][8];
    struct column_dict d;
    column_dict_init(&d, MANY, 42);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < MANY; i++) {
            int length = snprintf(names[i], sizeof(names[i]), "n%u", i);
            cr_assert_eq(column_dict_index(&d, span_of(names[i], (size_t)length)), i);
        }
    }
    cr_assert_eq(d.count, MANY);
    column_dict_done(&d);
}

Test(column, one_text_too_many_is_a_mistake, .signal = SIGABRT)
{
    struct column_dict d;
    column_dict_init(&d, 1, 0);
    (void)column_dict_index(&d, span_of_text("a"));
    (void)column_dict_index(&d, span_of_text("b"));
}
