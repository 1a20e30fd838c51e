/* SPDX-License-Identifier: Apache-2.0
 * Claims about commit_pace: who waits for a transaction, and how long. */
#include "edge/core/commit_pace.h"

#include <criterion/criterion.h>

#define NOW_US 5000000ULL
#define MANY   COMMIT_PACE_LATE_CLICKS_MIN

Test(commit_pace, a_lone_click_begins_its_transaction_at_once)
{
    cr_expect_eq(commit_pace_wait_us(0, NOW_US, 1), 0, "the first of all");
    cr_expect_eq(commit_pace_wait_us(NOW_US - COMMIT_PACE_US, NOW_US, 1), 0);
}

Test(commit_pace, under_load_a_transaction_waits_out_the_rest_of_the_pace)
{
    cr_expect_eq(commit_pace_wait_us(NOW_US, NOW_US, 1), COMMIT_PACE_US);
    cr_expect_eq(commit_pace_wait_us(NOW_US - 1000, NOW_US, 1), COMMIT_PACE_US - 1000);
    cr_expect_eq(commit_pace_wait_us(NOW_US - COMMIT_PACE_US + 1, NOW_US, 1), 1);
}

Test(commit_pace, enough_clicks_do_not_wait)
{
    cr_expect_gt(commit_pace_wait_us(NOW_US, NOW_US, COMMIT_PACE_CLICKS - 1), 0);
    cr_expect_eq(commit_pace_wait_us(NOW_US, NOW_US, COMMIT_PACE_CLICKS), 0);
}

Test(commit_pace, a_clock_that_jumps_holds_nobody_longer_than_the_pace)
{
    cr_expect_eq(commit_pace_wait_us(NOW_US + 3600000000ULL, NOW_US, 1), COMMIT_PACE_US);
    cr_expect_eq(commit_pace_wait_us(UINT64_MAX, 0, 1), COMMIT_PACE_US);
    cr_expect_eq(commit_pace_wait_us(0, UINT64_MAX, 1), 0);
}

Test(commit_pace, many_clicks_that_wait_too_long_are_late)
{
    cr_expect_not(commit_pace_is_late(1000, 1050, MANY, 50), "as long as allowed");
    cr_expect(commit_pace_is_late(1000, 1051, MANY, 50));
}

Test(commit_pace, few_clicks_are_never_late_and_without_a_limit_nobody_is)
{
    cr_expect_not(commit_pace_is_late(1000, 9000, MANY - 1, 50));
    cr_expect_not(commit_pace_is_late(1000, 9000, MANY, 0));
}

Test(commit_pace, an_oldest_of_the_future_is_not_late)
{
    cr_expect_not(commit_pace_is_late(1001, 1000, MANY, 50));
}
