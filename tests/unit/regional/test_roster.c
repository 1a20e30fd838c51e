/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/core/roster.h"

#include "unit/regional/region_given.h"

Test(roster, what_a_fold_knows_is_written_and_read)
{
    struct fold *f = given_fold();
    struct buf message = {0};
    struct roster out = {.part_count = 1}, in;
    static const struct given_click clicks[] = {{.id = 1, .minute = GIVEN_MINUTE}};
    when_control(f, CONTROL_ENROL, "us-e1", 0, GIVEN_START_MS);
    when_control(f, CONTROL_ENROL, "us-e2", 0, GIVEN_START_MS);
    struct segment_head h = given_head("us-e1", 9, 0, 1, GIVEN_START_MS);
    cr_assert_eq(when_segment(f, &h, clicks, GIVEN_START_MS), ERR_OK);
    (void)snprintf(out.replica, sizeof(out.replica), "us-r1");
    out.parts = base_zalloc(1, sizeof(*out.parts));
    roster_part_of(&out.parts[0], f, false);

    roster_write(&message, &out);
    cr_assert_eq(roster_read(&in, buf_span(&message)), ERR_OK);

    cr_assert_str_eq(in.replica, "us-r1");
    cr_assert_eq(in.part_count, 1);
    cr_assert_eq(in.parts[0].control_floor, 2);
    cr_assert_eq(in.parts[0].applied[1].nonce, 7);
    cr_assert_eq(in.parts[0].edge_count, 2);
    cr_assert_eq(in.parts[0].edges[0].clock_ms, GIVEN_START_MS);
    cr_assert_eq(in.parts[0].edges[0].folded, 1);
    cr_assert(!in.parts[0].edges[0].missing && in.parts[0].edges[1].missing);
    roster_done(&in);

    for (size_t length = 0; length < message.length; length++)
        cr_assert_neq(roster_read(&in, span_of(message.data, length)), ERR_OK);
    for (size_t bit = 0; bit < message.length * 8; bit++) {
        message.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_neq(roster_read(&in, buf_span(&message)), ERR_OK);
        message.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    roster_done(&out);
    buf_done(&message);
    fold_free(f);
}
