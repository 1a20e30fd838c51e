/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/core/fold_state.h"

#include "unit/regional/region_given.h"

static struct fold *given_used_fold(void)
{
    static const struct given_click clicks[] = {{.id = 1, .minute = GIVEN_MINUTE},
                                                {.id = 2, .minute = GIVEN_MINUTE}};
    struct fold *f = given_fold();
    when_control(f, CONTROL_ENROL, "us-e1", 0, GIVEN_START_MS);
    when_control(f, CONTROL_ENROL, "us-e2", 0, GIVEN_START_MS);
    struct segment_head h = given_head("us-e1", 9, 0, 2, GIVEN_START_MS);
    h.older_count = 1;
    h.older[0] = 4;
    cr_assert_eq(when_segment(f, &h, clicks, GIVEN_START_MS), ERR_OK);
    f->cut = 3;
    f->partial_cut = 2;
    return f;
}

Test(fold_state, what_is_written_is_read_and_written_again_alike)
{
    struct fold *f = given_used_fold(), *g = given_fold();
    struct buf first = {0}, second = {0};
    struct fold_position position = {12, 34}, read = {0};

    fold_state_write(&first, f, &position);
    cr_assert_eq(fold_state_read(g, &read, buf_span(&first)), ERR_OK);
    fold_state_write(&second, g, &read);

    cr_assert(span_equal(buf_span(&first), buf_span(&second)));
    cr_assert_eq(read.seq, 12);
    cr_assert_eq(g->edges.count, 2);
    cr_assert(edge_book_line(edge_book_find(&g->edges, "us-e1"), 9)->durable);
    cr_assert_eq(edge_book_line(edge_book_find(&g->edges, "us-e1"), 9)->durable_floor, 2);
    buf_done(&first);
    buf_done(&second);
    fold_free(f);
    fold_free(g);
}

Test(fold_state, every_flipped_bit_and_every_cut_end_is_refused)
{
    struct fold *f = given_used_fold();
    struct buf value = {0};
    struct fold_position position = {12, 34};
    fold_state_write(&value, f, &position);

    for (size_t bit = 0; bit < value.length * 8; bit++) {
        struct fold *g = given_fold();
        value.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_neq(fold_state_read(g, &position, buf_span(&value)), ERR_OK, "bit %zu", bit);
        value.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        fold_free(g);
    }
    for (size_t length = 0; length < value.length; length++) {
        struct fold *g = given_fold();
        cr_assert_eq(fold_state_read(g, &position, span_of(value.data, length)), ERR_KV_CORRUPT);
        fold_free(g);
    }
    buf_done(&value);
    fold_free(f);
}

Test(fold_state, another_partition_or_map_is_refused)
{
    struct fold *f = given_used_fold();
    struct buf value = {0};
    struct fold_position position = {0};
    fold_state_write(&value, f, &position);

    for (unsigned i = 0; i < 3; i++) {
        struct fold_options o = given_options();
        if (i == 0)
            o.partition = 2;
        else if (i == 1)
            o.partitions = 8;
        else
            memcpy(o.region, "eu", 3);
        struct fold *g = fold_new(&o);
        cr_assert_eq(fold_state_read(g, &position, buf_span(&value)), ERR_CONFIG);
        fold_free(g);
    }
    buf_done(&value);
    fold_free(f);
}
