/* SPDX-License-Identifier: Apache-2.0
 * Claims about abuse_budget. */
#include "common/run/abuse_budget.h"

#include <criterion/criterion.h>

static const struct {
    uint64_t burst;
    uint64_t per_second;
} expected[] = {
#define ROW(kind, burst, per_second) {(burst), (per_second)},
    ABUSE_TABLE(ROW)
#undef ROW
};

static struct abuse_budget given_budget(uint64_t now_ms)
{
    struct abuse_budget b;
    abuse_budget_init(&b, now_ms);
    return b;
}

Test(abuse_budget, each_kind_allows_its_burst_and_not_one_more)
{
    for (unsigned kind = 0; kind < ABUSE_KINDS; kind++) {
        struct abuse_budget b = given_budget(5000);

        cr_assert(abuse_budget_spend(&b, kind, expected[kind].burst, 5000));

        cr_assert(!abuse_budget_spend(&b, kind, 1, 5000));
    }
}

Test(abuse_budget, kinds_do_not_share_a_bucket)
{
    struct abuse_budget b = given_budget(0);

    cr_assert(!abuse_budget_spend(&b, ABUSE_PING, 1000000, 0));

    cr_assert(abuse_budget_spend(&b, ABUSE_SETTINGS, 1, 0));
}

Test(abuse_budget, refills_at_its_rate_and_never_above_the_burst)
{
    for (unsigned kind = 0; kind < ABUSE_KINDS; kind++) {
        struct abuse_budget b = given_budget(0);
        cr_assert(abuse_budget_spend(&b, kind, expected[kind].burst, 0));

        cr_assert(abuse_budget_spend(&b, kind, expected[kind].per_second, 1000));
        cr_assert(!abuse_budget_spend(&b, kind, 1, 1000));

        cr_assert(abuse_budget_spend(&b, kind, expected[kind].burst, UINT64_MAX));
        cr_assert(!abuse_budget_spend(&b, kind, 1, UINT64_MAX));
    }
}

Test(abuse_budget, a_client_that_keeps_pushing_gains_nothing)
{
    struct abuse_budget b = given_budget(0);
    cr_assert(abuse_budget_spend(&b, ABUSE_RESET_SENT, 100, 0));

    unsigned allowed = 0;
    for (uint64_t now = 1; now <= 10000; now++)
        allowed += abuse_budget_spend(&b, ABUSE_RESET_SENT, 1, now) ? 1 : 0;

    /* a refused spend empties the bucket */
    cr_assert_eq(allowed, 0);
}

Test(abuse_budget, a_client_within_its_rate_goes_on_for_ever)
{
    struct abuse_budget b = given_budget(0);

    for (uint64_t now = 0; now < 1000 * 3600; now += 100)
        cr_assert(abuse_budget_spend(&b, ABUSE_RESET_SENT, 1, now));
}

Test(abuse_budget, a_clock_that_goes_back_refills_nothing)
{
    struct abuse_budget b = given_budget(100000);
    cr_assert(abuse_budget_spend(&b, ABUSE_SETTINGS, 20, 100000));

    cr_assert(!abuse_budget_spend(&b, ABUSE_SETTINGS, 1, 0));
    cr_assert(!abuse_budget_spend(&b, ABUSE_SETTINGS, 1, 100000));
    cr_assert(abuse_budget_spend(&b, ABUSE_SETTINGS, 1, 101000));
}

Test(abuse_budget, kinds_have_names)
{
    cr_assert_str_eq(abuse_kind_name(ABUSE_RESET_RECEIVED), "ABUSE_RESET_RECEIVED");
}

static unsigned count_kind(struct span bytes, size_t piece, enum abuse_kind wanted)
{
    struct abuse_meter m;
    unsigned count = 0;
    abuse_meter_init(&m);
    for (size_t at = 0; at < bytes.length; at += piece) {
        struct span part = span_of(bytes.data + at, base_min_u64(piece, bytes.length - at));
        enum abuse_kind kind;
        while (abuse_meter_next(&m, &part, &kind))
            count += kind == wanted ? 1 : 0;
        cr_assert_eq(part.length, 0);
    }
    return count;
}

static void put_frame(struct buf *b, uint8_t type, uint8_t flags, uint8_t length)
{
    static const uint8_t payload[255] = {0};
    const uint8_t head[9] = {0, 0, length, type, flags, 0, 0, 0, 1};
    buf_put(b, head, sizeof(head));
    buf_put(b, payload, length);
}

Test(abuse_budget, the_meter_finds_every_frame_in_pieces_of_any_size)
{
    struct buf b = {0};
    buf_put(&b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    put_frame(&b, 4, 0, 12);  /* SETTINGS */
    put_frame(&b, 4, 1, 0);   /* its acknowledgement is free */
    put_frame(&b, 0, 0, 0);   /* empty DATA */
    put_frame(&b, 0, 1, 0);   /* the end of a body is free */
    put_frame(&b, 0, 0, 200); /* so is content */
    put_frame(&b, 6, 0, 8);   /* PING */
    put_frame(&b, 6, 1, 8);
    put_frame(&b, 9, 0, 0); /* CONTINUATION */
    put_frame(&b, 0xbb, 0, 255);
    put_frame(&b, 2, 0, 5);    /* PRIORITY */
    put_frame(&b, 0x10, 0, 5); /* PRIORITY_UPDATE */
    put_frame(&b, 3, 0, 4);    /* RST_STREAM */
    put_frame(&b, 8, 0, 4);    /* WINDOW_UPDATE */

    for (size_t piece = 1; piece <= b.length; piece++) {
        cr_expect_eq(count_kind(buf_span(&b), piece, ABUSE_SETTINGS), 1);
        cr_expect_eq(count_kind(buf_span(&b), piece, ABUSE_EMPTY_DATA), 1);
        cr_expect_eq(count_kind(buf_span(&b), piece, ABUSE_PING), 1);
        cr_expect_eq(count_kind(buf_span(&b), piece, ABUSE_CONTINUATION), 1);
        cr_expect_eq(count_kind(buf_span(&b), piece, ABUSE_UNKNOWN_FRAME), 1);
        cr_expect_eq(count_kind(buf_span(&b), piece, ABUSE_PRIORITY), 2);
        cr_expect_eq(count_kind(buf_span(&b), piece, ABUSE_RESET_RECEIVED), 1);
        cr_expect_eq(count_kind(buf_span(&b), piece, ABUSE_WINDOW_UPDATE), 1);
    }
    buf_done(&b);
}
