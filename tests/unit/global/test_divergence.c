/* SPDX-License-Identifier: Apache-2.0 */
#include "global/core/divergence.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct divergence *d;
static struct divergence_claim other;

static void setup(void)
{
    d = calloc(1, sizeof(*d));
    memset(&other, 0, sizeof(other));
}

static void teardown(void)
{
    free(d);
}

TestSuite(divergence, .init = setup, .fini = teardown);

static struct partial_total total_of(uint32_t rows, uint64_t counted, uint64_t duplicate,
                                     uint64_t digest)
{
    return (struct partial_total){
        .minute = 1000, .rows = rows, .counted = counted, .duplicate = duplicate, .digest = digest};
}

static enum divergence_verdict verdict_on(const char *replica, uint64_t stream_ms,
                                          struct partial_total total)
{
    struct partial p = {.partition = 3, .stream_ms = stream_ms};
    (void)snprintf(p.replica, sizeof(p.replica), "%s", replica);
    return divergence_take(d, 1, &p, &total, &other);
}

static bool says(const char *replica, uint64_t stream_ms, struct partial_total total)
{
    return verdict_on(replica, stream_ms, total) == DIVERGENCE_CONTRADICTS;
}

Test(divergence, replicas_that_agree_or_lag_do_not_contradict_each_other)
{
    cr_expect_eq(verdict_on("us-r1", 10000, total_of(2, 10, 1, 77)), DIVERGENCE_ALONE);
    cr_expect_eq(verdict_on("us-r2", 90000, total_of(2, 10, 1, 77)), DIVERGENCE_EQUAL);
    cr_expect_eq(verdict_on("us-r1", 91000, total_of(2, 12, 1, 78)), DIVERGENCE_BEHIND);
    cr_expect_eq(verdict_on("us-r2", 90500, total_of(2, 10, 1, 77)), DIVERGENCE_BEHIND);
    cr_expect_eq(verdict_on("us-r1", 95000, total_of(2, 9, 1, 76)), DIVERGENCE_BEHIND,
                 "5 s are no proof");
}

Test(divergence, less_after_more_is_named)
{
    cr_expect_not(says("us-r1", 10000, total_of(2, 10, 1, 77)));

    cr_expect(says("us-r2", 15001, total_of(2, 9, 1, 76)));

    cr_expect_str_eq(other.replica, "us-r1");
    cr_expect_eq(other.total.counted, 10);
    cr_expect(says("us-r1", 10000, total_of(2, 10, 1, 77)), "and the other way round");
    cr_expect_str_eq(other.replica, "us-r2");
}

Test(divergence, less_is_named_however_often_both_repeat_themselves)
{
    bool named = false;
    for (uint64_t ms = 10000; ms <= 16000; ms += 1000) {
        cr_expect_eq(named, ms > 15500);
        (void)says("us-r1", ms, total_of(2, 10, 1, 77));
        named = says("us-r2", ms + 1, total_of(2, 9, 1, 76));
    }
    cr_expect(named);
    cr_expect_not(says("us-r2", 17000, total_of(2, 10, 1, 77)), "it has found it after all");
}

Test(divergence, of_three_replicas_the_last_two_are_compared)
{
    cr_expect_eq(verdict_on("us-r1", 10000, total_of(2, 10, 1, 77)), DIVERGENCE_ALONE);
    cr_expect_eq(verdict_on("us-r2", 10000, total_of(2, 10, 1, 77)), DIVERGENCE_EQUAL);
    cr_expect_eq(verdict_on("us-r3", 10000, total_of(2, 10, 1, 78)), DIVERGENCE_CONTRADICTS);
    cr_expect_str_eq(other.replica, "us-r2");
    cr_expect_eq(verdict_on("us-r1", 10000, total_of(2, 10, 1, 77)), DIVERGENCE_CONTRADICTS);
    cr_expect_str_eq(other.replica, "us-r3");
}

Test(divergence, more_of_one_and_less_of_another_is_named_at_once)
{
    cr_expect_not(says("us-r1", 10000, total_of(2, 10, 1, 77)));
    cr_expect(says("us-r2", 10000, total_of(2, 9, 2, 76)));
    cr_expect(says("us-r3", 10000, total_of(3, 8, 2, 75)));
    cr_expect(says("us-r4", 10000, total_of(2, 8, 3, 75)));
}

Test(divergence, equal_sums_of_unequal_rows_are_named_at_once)
{
    cr_expect_not(says("us-r1", 10000, total_of(2, 10, 1, 77)));
    cr_expect(says("us-r2", 10000, total_of(2, 10, 1, 78)));
}

Test(divergence, other_minutes_partitions_and_regions_are_apart)
{
    struct partial p = {.partition = 3, .stream_ms = 20000, .replica = "us-r2"};
    struct partial_total t = total_of(2, 1, 1, 5);
    /* All that share a place with (1, 3, 1000), and do not push it out of sight. */
    cr_expect_not(says("us-r1", 10000, total_of(2, 10, 1, 77)));
    for (uint32_t i = 0; i < 4 * DIVERGENCE_MINUTES; i++) {
        t.minute = 1001 + i;
        cr_expect_eq(divergence_take(d, 1, &p, &t, &other), DIVERGENCE_ALONE);
        t.minute = 1000;
        cr_expect_eq(divergence_take(d, (uint16_t)(2 + i % 60000), &p, &t, &other),
                     DIVERGENCE_ALONE);
        p.partition = (uint16_t)(4 + i % 1000);
        cr_expect_eq(divergence_take(d, 1, &p, &t, &other), DIVERGENCE_ALONE);
        p.partition = 3;
    }
    cr_expect_not(says("us-r2", 20000, total_of(2, 1, 1, 5)), "it was pushed out");
}
