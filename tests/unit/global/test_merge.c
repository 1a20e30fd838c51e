/* SPDX-License-Identifier: Apache-2.0
 * Joining rows is idempotent, commutative, associative and monotone; a higher generation replaces.
 */
#include "global/core/merge.h"

#include "common/base/rng.h"

#include <criterion/criterion.h>

TestSuite(merge, .timeout = 60);

/* A row's whole value, as the driver keeps it: entry and sketch. */
struct value {
    bool used;
    struct page_entry entry;
    struct buf sketch;
};

static struct hll scratch[2];

static void join(struct value *v, const struct partial_row *row)
{
    struct buf joined = {0};
    v->entry.minute = row->minute % PAGE_MINUTES;
    enum merge_rank rank = merge_join(&v->entry, !v->used, row);
    v->used = true;
    if (rank == MERGE_OLDER)
        return;
    struct span kept = rank == MERGE_NEWER ? (struct span){0} : buf_span(&v->sketch);
    cr_assert_eq(merge_sketch(kept, row->sketch, scratch, &joined), ERR_OK);
    v->entry.has_sketch = joined.length > 0;
    buf_done(&v->sketch);
    v->sketch = joined;
}

static bool same(const struct value *a, const struct value *b)
{
    return a->entry.generation == b->entry.generation && a->entry.counted == b->entry.counted &&
           a->entry.duplicate == b->entry.duplicate && a->entry.late == b->entry.late &&
           memcmp(a->entry.flagged, b->entry.flagged, sizeof(a->entry.flagged)) == 0 &&
           span_equal(buf_span(&a->sketch), buf_span(&b->sketch));
}

#define ROWS 6
static struct buf sketches[ROWS];

static void random_rows(struct rng *rng, struct partial_row rows[ROWS])
{
    struct hll users = {0};
    for (unsigned i = 0; i < ROWS; i++) {
        hll_clear(&users);
        buf_clear(&sketches[i]);
        uint64_t n = rng_chance(rng, 300) ? 0 : rng_below(rng, rng_chance(rng, 100) ? 400 : 20);
        for (; n > 0; n--)
            (void)hll_add(&users, rng_next(rng));
        hll_put(&users, &sketches[i]);
        rows[i] = (struct partial_row){.minute = 61,
                                       .generation = rng_chance(rng, 200),
                                       .counted = rng_below(rng, 100),
                                       .duplicate = rng_below(rng, 100),
                                       .late = rng_below(rng, 100),
                                       .flagged = {rng_below(rng, 9), 0, rng_below(rng, 9), 0},
                                       .sketch = buf_span(&sketches[i])};
    }
    hll_done(&users);
}

static void done(void)
{
    hll_done(&scratch[0]);
    hll_done(&scratch[1]);
    for (unsigned i = 0; i < ROWS; i++)
        buf_done(&sketches[i]);
}

Test(merge, any_order_and_any_repetition_give_the_same_value, .fini = done)
{
    struct rng rng = {11};
    struct partial_row rows[ROWS];
    for (unsigned round = 0; round < 3000; round++) {
        random_rows(&rng, rows);
        struct value straight = {0};
        for (unsigned i = 0; i < ROWS; i++)
            join(&straight, &rows[i]);
        struct value shuffled = {0};
        unsigned seen = 0;
        while (seen != (1u << ROWS) - 1) {
            unsigned i = (unsigned)rng_below(&rng, ROWS);
            join(&shuffled, &rows[i]);
            seen |= 1u << i;
        }
        cr_assert(same(&straight, &shuffled), "round %u", round);
        buf_done(&straight.sketch);
        buf_done(&shuffled.sketch);
    }
}

/* (a + b) + c = a + (b + c): a joined value, sent on as a row, does what its parts did. */
Test(merge, joining_a_join_is_joining_its_parts, .fini = done)
{
    struct rng rng = {12};
    struct partial_row rows[ROWS];
    for (unsigned round = 0; round < 3000; round++) {
        random_rows(&rng, rows);
        struct value one_by_one = {0};
        struct value pair = {0};
        struct value grouped = {0};
        for (unsigned i = 0; i < 3; i++)
            join(&one_by_one, &rows[i]);
        join(&pair, &rows[1]);
        join(&pair, &rows[2]);
        struct partial_row as_row = {.minute = 61,
                                     .generation = pair.entry.generation,
                                     .counted = pair.entry.counted,
                                     .duplicate = pair.entry.duplicate,
                                     .late = pair.entry.late,
                                     .sketch = buf_span(&pair.sketch)};
        memcpy(as_row.flagged, pair.entry.flagged, sizeof(as_row.flagged));
        join(&grouped, &rows[0]);
        join(&grouped, &as_row);
        cr_assert(same(&one_by_one, &grouped), "round %u", round);
        buf_done(&one_by_one.sketch);
        buf_done(&pair.sketch);
        buf_done(&grouped.sketch);
    }
}

Test(merge, within_a_generation_nothing_ever_falls, .fini = done)
{
    struct rng rng = {13};
    struct partial_row rows[ROWS];
    for (unsigned round = 0; round < 2000; round++) {
        random_rows(&rng, rows);
        struct value v = {0};
        for (unsigned i = 0; i < ROWS; i++) {
            struct page_entry before = v.entry;
            join(&v, &rows[i]);
            cr_assert_geq(v.entry.generation, before.generation);
            if (v.entry.generation != before.generation)
                continue;
            cr_assert_geq(v.entry.counted, before.counted);
            cr_assert_geq(v.entry.duplicate, before.duplicate);
            cr_assert_geq(v.entry.late, before.late);
        }
        buf_done(&v.sketch);
    }
}

Test(merge, a_higher_generation_replaces_all_and_a_lower_one_counts_for_nothing, .fini = done)
{
    struct hll users = {0};
    (void)hll_add(&users, 1);
    hll_put(&users, &sketches[0]);
    struct partial_row old = {.minute = 5,
                              .counted = 100,
                              .duplicate = 7,
                              .flagged = {1, 2, 3, 4},
                              .sketch = buf_span(&sketches[0])};
    struct partial_row new_ = {.minute = 5, .generation = 1, .counted = 3};
    struct value v = {0};
    join(&v, &old);
    join(&v, &new_);
    join(&v, &old);

    cr_assert_eq(v.entry.generation, 1);
    cr_assert_eq(v.entry.counted, 3);
    cr_assert_eq(v.entry.duplicate, 0);
    cr_assert_eq(v.entry.flagged[3], 0);
    cr_assert_eq(v.sketch.length, 0);
    cr_assert_not(v.entry.has_sketch);
    hll_done(&users);
    buf_done(&v.sketch);
}

Test(merge, bytes_that_are_no_sketch_leave_the_stored_one, .fini = done)
{
    struct hll users = {0};
    struct buf out = {0};
    (void)hll_add(&users, 1);
    hll_put(&users, &sketches[0]);
    cr_assert_neq(merge_sketch(buf_span(&sketches[0]), span_of_text("\x07junk"), scratch, &out),
                  ERR_OK);
    cr_assert(span_equal(buf_span(&out), buf_span(&sketches[0])));
    hll_done(&users);
    buf_done(&out);
}

Test(merge, the_digest_of_a_stored_row_is_that_of_the_row_sent)
{
    struct partial_row row = {.ad_hash = 99,
                              .minute = 28333333,
                              .generation = 2,
                              .counted = 5,
                              .duplicate = 6,
                              .late = 7,
                              .flagged = {1, 0, 0, 9},
                              .sketch = span_of_text("any bytes")};
    struct page_entry e = {.minute = 28333333 % 60, .has_sketch = true};
    (void)merge_join(&e, true, &row);
    e.has_sketch = true;
    cr_assert_eq(merge_digest(&e, 99, 28333333 / 60, row.sketch), partial_row_digest(&row));
    e.late++;
    cr_assert_eq(merge_digest(&e, 99, 28333333 / 60, row.sketch), partial_row_digest(&row));
    e.duplicate++;
    cr_assert_neq(merge_digest(&e, 99, 28333333 / 60, row.sketch), partial_row_digest(&row));
}
