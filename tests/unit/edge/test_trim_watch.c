/* SPDX-License-Identifier: Apache-2.0
 * Claims about trim_watch: who is live, who is missing, and past whom nothing ever goes. */
#include "edge/core/trim_watch.h"

#include <criterion/criterion.h>

#define SILENT_MS 60000u
#define START_MS  1000000ULL
#define ARCHIVER  2u

/* Two folds and an archiver, on a bus that is up. */
static struct trim_watch given(void)
{
    struct trim_watch w;
    trim_watch_init(&w, SILENT_MS, 3, 1u << ARCHIVER, START_MS);
    trim_watch_link(&w, true, START_MS);
    return w;
}

/* Time passes as it does while the forwarder runs: somebody asks all the time. */
static void until(struct trim_watch *w, uint64_t now_ms)
{
    while (w->looked_ms + SILENT_MS / 8 < now_ms)
        trim_watch_waived(w, false, w->looked_ms + SILENT_MS / 8);
}

static uint32_t waived_at(struct trim_watch *w, uint64_t now_ms)
{
    until(w, now_ms);
    return trim_watch_waived(w, true, now_ms);
}

Test(trim_watch, a_fold_that_is_silent_for_long_is_passed_over_while_another_is_live)
{
    struct trim_watch w = given();
    trim_watch_heard(&w, 0, START_MS);
    trim_watch_heard(&w, 1, START_MS + 100);
    until(&w, START_MS + SILENT_MS);
    trim_watch_heard(&w, 0, START_MS + SILENT_MS);

    cr_expect_eq(waived_at(&w, START_MS + 99 + SILENT_MS), 0);
    cr_expect_eq(waived_at(&w, START_MS + 100 + SILENT_MS), 1u << 1);
}

Test(trim_watch, a_fold_never_heard_counts_from_the_start)
{
    struct trim_watch w = given();
    until(&w, START_MS + SILENT_MS - 1);
    trim_watch_heard(&w, 1, START_MS + SILENT_MS - 1);

    cr_expect_eq(waived_at(&w, START_MS + SILENT_MS - 1), 0);
    cr_expect_eq(waived_at(&w, START_MS + SILENT_MS), 1u << 0);
}

Test(trim_watch, nobody_is_passed_over_while_there_is_room)
{
    struct trim_watch w = given();
    until(&w, START_MS + 2 * SILENT_MS);
    trim_watch_heard(&w, 0, START_MS + 2 * SILENT_MS);

    cr_expect_eq(trim_watch_waived(&w, false, START_MS + 2 * SILENT_MS), 0);
    cr_expect_eq(trim_watch_waived(&w, true, START_MS + 2 * SILENT_MS), 1u << 1);
}

Test(trim_watch, without_a_live_fold_nobody_is_passed_over)
{
    struct trim_watch w = given();
    cr_expect_eq(waived_at(&w, START_MS + 3 * SILENT_MS), 0, "none was ever heard");

    trim_watch_heard(&w, 0, START_MS + 3 * SILENT_MS);
    cr_expect_eq(waived_at(&w, START_MS + 4 * SILENT_MS - 1), 1u << 1, "the last one is live");
    cr_expect_eq(waived_at(&w, START_MS + 4 * SILENT_MS), 0, "the last one is live no longer");
}

Test(trim_watch, an_archiver_is_never_passed_over_and_carries_nobody)
{
    struct trim_watch w = given();
    until(&w, START_MS + 2 * SILENT_MS);
    trim_watch_heard(&w, 0, START_MS + 2 * SILENT_MS);
    cr_expect_eq(waived_at(&w, START_MS + 2 * SILENT_MS), 1u << 1, "it was never heard");

    struct trim_watch other = given();
    until(&other, START_MS + 2 * SILENT_MS);
    trim_watch_heard(&other, ARCHIVER, START_MS + 2 * SILENT_MS);
    cr_expect_eq(waived_at(&other, START_MS + 2 * SILENT_MS), 0, "an archiver folds nothing");
}

Test(trim_watch, silence_of_the_bus_is_nobodys_silence)
{
    struct trim_watch w = given();
    uint64_t back_ms = START_MS + 2 * SILENT_MS;
    until(&w, back_ms - 10);
    trim_watch_heard(&w, 0, back_ms - 10);
    cr_expect_eq(waived_at(&w, back_ms - 10), 1u << 1);
    trim_watch_link(&w, false, back_ms - 9);
    cr_expect_eq(waived_at(&w, back_ms - 9), 0, "down");
    trim_watch_link(&w, true, back_ms);

    trim_watch_heard(&w, 0, back_ms);
    cr_expect_eq(waived_at(&w, back_ms), 0, "back just now");
    until(&w, back_ms + SILENT_MS - 1);
    trim_watch_heard(&w, 0, back_ms + SILENT_MS - 1);
    cr_expect_eq(waived_at(&w, back_ms + SILENT_MS - 1), 0);
    cr_expect_eq(waived_at(&w, back_ms + SILENT_MS), 1u << 1);
}

Test(trim_watch, who_did_not_listen_calls_nobody_silent)
{
    struct trim_watch w = given();
    uint64_t back_ms = START_MS + 10 * SILENT_MS;
    cr_expect_eq(trim_watch_waived(&w, true, START_MS), 0);

    trim_watch_heard(&w, 0, back_ms);
    cr_expect_eq(trim_watch_waived(&w, true, back_ms), 0, "we stood still, not the other fold");
    until(&w, back_ms + SILENT_MS);
    trim_watch_heard(&w, 0, back_ms + SILENT_MS);
    cr_expect_eq(waived_at(&w, back_ms + SILENT_MS), 1u << 1);
}

Test(trim_watch, limit_0_of_the_silence_means_never)
{
    struct trim_watch w;
    trim_watch_init(&w, 0, 2, 0, START_MS);
    trim_watch_link(&w, true, START_MS);
    trim_watch_heard(&w, 0, START_MS + 9 * SILENT_MS);

    cr_expect_eq(trim_watch_waived(&w, true, START_MS + 9 * SILENT_MS), 0);
}

Test(trim_watch, time_that_seems_to_go_back_makes_nobody_missing)
{
    struct trim_watch w = given();
    trim_watch_heard(&w, 0, START_MS + 5);
    trim_watch_heard(&w, 0, START_MS);
    cr_expect_eq(w.readers[0].heard_ms, START_MS + 5);
    trim_watch_link(&w, true, START_MS - 5);
    cr_expect_eq(w.since_ms, START_MS);

    cr_expect_eq(trim_watch_waived(&w, true, 0), 0);
}

Test(trim_watch, the_mode_begins_at_its_mark_and_ends_ten_points_below)
{
    cr_expect_not(trim_watch_pressed(false, 900, 1000, 90));
    cr_expect(trim_watch_pressed(false, 901, 1000, 90));
    cr_expect(trim_watch_pressed(true, 801, 1000, 90));
    cr_expect_not(trim_watch_pressed(true, 800, 1000, 90));
    cr_expect_not(trim_watch_pressed(true, 1000, 1000, 100), "100: never");
}
