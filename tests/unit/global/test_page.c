/* SPDX-License-Identifier: Apache-2.0
 * A page holds its rows in one canonical form, small, and refuses what it cannot have written. */
#include "global/core/page.h"

#include "common/base/rng.h"

#include <criterion/criterion.h>

TestSuite(page, .timeout = 30);

static struct page_entry random_entry(struct rng *rng)
{
    struct page_entry e = {.region = (uint16_t)rng_below(rng, 3),
                           .partition = (uint16_t)rng_below(rng, 2),
                           .minute = (uint8_t)rng_below(rng, 60)};
    unsigned what = (unsigned)rng_below(rng, 256);
    e.counted = rng_next(rng) >> rng_below(rng, 64);
    e.has_sketch = what & 1;
    e.generation = what & 2 ? (uint32_t)rng_next(rng) : 0;
    e.duplicate = what & 4 ? rng_next(rng) >> rng_below(rng, 64) : 0;
    e.late = what & 8 ? rng_below(rng, 1000) : 0;
    for (unsigned i = 0; i < PARTIAL_FLAG_SLOTS; i++)
        e.flagged[i] = what & (16u << i) ? rng_below(rng, 1000) : 0;
    return e;
}

static void put_entry(struct page *p, const struct page_entry *e)
{
    bool made;
    struct page_entry *at = page_at(p, e->region, e->partition, e->minute, &made);
    if (made)
        *at = *e;
}

static bool same(const struct page_entry *a, const struct page_entry *b)
{
    bool equal = a->region == b->region && a->partition == b->partition && a->minute == b->minute &&
                 a->has_sketch == b->has_sketch && a->generation == b->generation &&
                 a->counted == b->counted && a->duplicate == b->duplicate && a->late == b->late;
    return equal && memcmp(a->flagged, b->flagged, sizeof(a->flagged)) == 0;
}

Test(page, a_page_reads_back_as_it_was)
{
    struct rng rng = {3};
    struct buf bytes = {0};
    struct page p = {0};
    struct page back = {0};
    for (unsigned round = 0; round < 500; round++) {
        page_clear(&p);
        buf_clear(&bytes);
        for (uint64_t n = rng_below(&rng, 200); n > 0; n--) {
            struct page_entry e = random_entry(&rng);
            put_entry(&p, &e);
        }
        for (unsigned i = 0; i < PAGE_MINUTES; i++)
            p.users[i] = rng_next(&rng) >> rng_below(&rng, 64);
        page_put(&p, &bytes);
        cr_assert_eq(page_read(&back, buf_span(&bytes)), ERR_OK);
        cr_assert_eq(back.count, p.count);
        for (uint32_t i = 0; i < p.count; i++) {
            cr_assert(same(&back.entries[i], &p.entries[i]));
            if (p.entries[i].has_sketch)
                cr_assert_eq(back.users[p.entries[i].minute], p.users[p.entries[i].minute]);
        }
    }
    buf_done(&bytes);
    page_done(&p);
    page_done(&back);
}

Test(page, its_sums_are_those_of_a_walk)
{
    struct rng rng = {7};
    struct buf bytes = {0};
    struct page p = {0};
    struct page_sums sums;
    for (unsigned round = 0; round < 500; round++) {
        uint64_t counted[PAGE_MINUTES] = {0};
        uint64_t seen = 0;
        page_clear(&p);
        buf_clear(&bytes);
        for (uint64_t n = rng_below(&rng, 200); n > 0; n--) {
            struct page_entry e = random_entry(&rng);
            put_entry(&p, &e);
        }
        page_put(&p, &bytes);

        struct page_cursor cursor = page_cursor_of(buf_span(&bytes));
        struct page_entry e;
        while (page_next(&cursor, &e)) {
            counted[e.minute] += e.counted;
            seen |= UINT64_C(1) << e.minute;
        }
        cr_assert_eq(page_sum(buf_span(&bytes), &sums), ERR_OK);

        cr_assert_not(cursor.bad);
        cr_assert_not(page_next(&cursor, &e), "the end stays the end");
        cr_assert_not(cursor.bad);
        cr_assert_eq(memcmp(counted, sums.counted, sizeof(counted)), 0);
        cr_assert_eq(memcmp(cursor.users, sums.users, sizeof(sums.users)), 0);
        cr_assert_eq(sums.seen, seen);
        cr_assert_eq(sums.sketched, cursor.sketched);
        for (size_t length = 0; length < bytes.length; length++)
            cr_assert_neq(page_sum(span_of(bytes.data, length), &sums), ERR_OK, "%zu", length);
    }
    buf_done(&bytes);
    page_done(&p);
}

Test(page, sums_of_what_is_no_page_are_refused)
{
    struct page_sums sums;
    static const uint8_t bad[][8] = {
        {1, 1, 2, 0},             /* a group without rows */
        {1, 1, 2, 61},            /* more rows than minutes */
        {1, 1, 2, 1, 60, 0, 5},   /* beyond the hour */
        {1, 1, 2, 2, 7, 0, 5, 7}, /* the same minute again */
        {1, 1, 2, 1, 7, 1, 5},    /* a sketch, and no users */
    };
    for (unsigned i = 0; i < countof(bad); i++)
        cr_assert_eq(page_sum(span_of(bad[i], sizeof(bad[i]) - (i == 4)), &sums), ERR_FORMAT, "%u",
                     i);
}

Test(page, the_order_of_insertion_leaves_no_trace)
{
    struct rng rng = {4};
    struct page_entry entries[100];
    struct page forth = {0};
    struct page back = {0};
    struct buf first = {0};
    struct buf second = {0};
    for (unsigned i = 0; i < 100; i++) {
        entries[i] = random_entry(&rng);
        put_entry(&forth, &entries[i]);
    }
    /* Where a key came twice the first one stayed: insert what stayed, from the end. */
    for (uint32_t i = forth.count; i-- > 0;)
        put_entry(&back, &forth.entries[(i * 37) % forth.count]);
    for (uint32_t i = 0; i < forth.count; i++)
        put_entry(&back, &forth.entries[i]);
    page_put(&forth, &first);
    page_put(&back, &second);
    cr_assert(span_equal(buf_span(&first), buf_span(&second)));
    buf_done(&first);
    buf_done(&second);
    page_done(&forth);
    page_done(&back);
}

Test(page, every_truncation_is_refused)
{
    struct rng rng = {5};
    struct page p = {0};
    struct page back = {0};
    struct buf bytes = {0};
    for (unsigned i = 0; i < 50; i++) {
        struct page_entry e = random_entry(&rng);
        put_entry(&p, &e);
    }
    page_put(&p, &bytes);
    for (size_t length = 0; length < bytes.length; length++) {
        cr_assert_neq(page_read(&back, span_of(bytes.data, length)), ERR_OK, "%zu", length);
        cr_assert_eq(back.count, 0);
    }
    buf_put_u8(&bytes, 0);
    cr_assert_neq(page_read(&back, buf_span(&bytes)), ERR_OK);
    buf_done(&bytes);
    page_done(&p);
    page_done(&back);
}

Test(page, noise_is_read_without_harm)
{
    struct rng rng = {6};
    struct page p = {0};
    uint8_t noise[64];
    for (unsigned round = 0; round < 50000; round++) {
        size_t length = rng_below(&rng, sizeof(noise));
        for (size_t i = 0; i < length; i++)
            noise[i] = (uint8_t)(rng_next(&rng) >> (rng_below(&rng, 2) * 6));
        enum err err = page_read(&p, span_of(noise, length));
        cr_assert(err == ERR_OK || p.count == 0);
        cr_assert_leq(p.count, 64);
    }
    page_done(&p);
}

Test(page, a_usual_row_costs_at_most_eight_bytes)
{
    struct page p = {0};
    struct buf bytes = {0};
    for (uint8_t minute = 0; minute < 60; minute++) {
        struct page_entry e = {.region = 1,
                               .partition = 3,
                               .minute = minute,
                               .has_sketch = true,
                               .counted = 1500,
                               .duplicate = 75,
                               .late = 2};
        put_entry(&p, &e);
    }
    page_put(&p, &bytes);
    cr_assert_leq(bytes.length, 60 * 8);
    buf_done(&bytes);
    page_done(&p);
}

Test(page, rows_out_of_order_or_twice_are_refused)
{
    struct page p = {0}, back = {0};
    struct buf one = {0}, two = {0};
    bool made;
    page_at(&p, 1, 2, 30, &made)->counted = 5;
    page_put(&p, &one);
    cr_assert_eq(one.data[0], 1, "one group");

    buf_put_varint(&two, 2); /* the same group twice: the same row twice */
    buf_put(&two, one.data + 1, one.length - 1);
    buf_put(&two, one.data + 1, one.length - 1);
    cr_assert_eq(page_read(&back, buf_span(&two)), ERR_FORMAT);
    cr_assert_eq(back.count, 0);

    two.data[two.length - (one.length - 1)] = 3; /* of another region behind it: two rows */
    cr_assert_eq(page_read(&back, buf_span(&two)), ERR_OK);
    cr_assert_eq(back.count, 2);
    page_done(&p);
    page_done(&back);
    buf_done(&one);
    buf_done(&two);
}

Test(page, a_generation_that_no_row_can_have_is_refused)
{
    struct page p = {0}, back = {0};
    struct buf bytes = {0}, longer = {0};
    bool made;
    page_at(&p, 1, 2, 30, &made)->generation = UINT32_MAX;
    page_put(&p, &bytes);
    cr_assert_eq(page_read(&back, buf_span(&bytes)), ERR_OK);
    cr_assert_eq(back.entries[0].generation, UINT32_MAX);

    buf_put(&longer, bytes.data, bytes.length - 5);
    buf_put_varint(&longer, (uint64_t)UINT32_MAX + 1);
    cr_assert_eq(page_read(&back, buf_span(&longer)), ERR_FORMAT);
    cr_assert_eq(back.count, 0);
    buf_done(&bytes);
    buf_done(&longer);
    page_done(&p);
    page_done(&back);
}
