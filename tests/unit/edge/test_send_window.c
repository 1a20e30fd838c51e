/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/core/send_window.h"

#include <criterion/criterion.h>

static struct send_window given(uint64_t low, uint64_t end, uint32_t readers)
{
    struct send_window w;
    send_window_init(&w, low, end, false, readers);
    return w;
}

static bool floor_of(struct send_window *w, uint32_t reader, uint64_t floor, bool gap, uint64_t now)
{
    uint32_t bytes;
    struct send_reader said = {.store_id = 7, .floor = floor};
    return send_window_floor(w, reader, &said, gap, now, &bytes);
}

Test(send_window, trims_below_the_minimum_of_all_readers)
{
    struct send_window w = given(0, 100, 2);

    floor_of(&w, 0, 80, false, 0);
    cr_assert_eq(send_window_trim(&w, 0), 0, "a reader that was never heard holds everything");

    floor_of(&w, 1, 30, false, 0);
    cr_assert_eq(send_window_trim(&w, 0), 30);

    floor_of(&w, 1, 90, false, 0);
    cr_assert_eq(send_window_trim(&w, 0), 80);
}

Test(send_window, a_floor_never_falls_but_for_a_new_store)
{
    struct send_window w = given(0, 100, 1);
    uint32_t bytes;

    send_window_floor(&w, 0, &(struct send_reader){.store_id = 7, .floor = 60}, false, 0, &bytes);
    send_window_floor(&w, 0, &(struct send_reader){.store_id = 7, .floor = 40}, false, 0, &bytes);
    cr_assert_eq(send_window_trim(&w, 0), 60);

    send_window_floor(&w, 0, &(struct send_reader){.store_id = 8, .floor = 10}, false, 0, &bytes);
    cr_assert_eq(send_window_trim(&w, 0), 10);
}

Test(send_window, a_floor_beyond_the_last_number_is_ignored_except_on_an_older_line)
{
    struct send_window w = given(0, 100, 1), older;
    send_window_init(&older, 0, 100, true, 1);

    floor_of(&w, 0, 101, false, 0);
    floor_of(&older, 0, 101, false, 0);

    cr_assert_eq(send_window_trim(&w, 0), 0);
    cr_assert_eq(send_window_trim(&older, 0), 100);
}

Test(send_window, acknowledges_in_order_only)
{
    struct send_window w = given(0, 30, 1);
    send_window_sent(&w, 1, 10, 100, true);
    send_window_sent(&w, 2, 20, 100, true);

    cr_assert_eq(send_window_acked(&w, 2), 100);
    cr_assert_eq(w.acked, 0, "the quorum has [10, 20) but not yet [0, 10)");

    cr_assert_eq(send_window_acked(&w, 1), 100);
    cr_assert_eq(w.acked, 20);
    cr_assert_eq(send_window_acked(&w, 1), 0, "an answer counts once");
}

Test(send_window, an_unanswered_publish_goes_back_and_takes_later_ones_along)
{
    struct send_window w = given(0, 30, 1);
    send_window_sent(&w, 1, 10, 100, true);
    send_window_sent(&w, 2, 20, 50, true);
    send_window_sent(&w, 3, 30, 50, true);
    send_window_acked(&w, 1);

    cr_assert_eq(send_window_failed(&w, 2), 100);
    cr_assert_eq(w.next, 10);
    cr_assert_eq(w.flight_count, 0);

    cr_assert_eq(send_window_acked(&w, 3), 0, "an answer to a forgotten flight means nothing");
    cr_assert_eq(w.acked, 10);
}

Test(send_window, a_slow_reader_is_never_flow_control)
{
    struct send_window w = given(0, 30, 2);
    send_window_sent(&w, 1, 30, 100, true);
    send_window_acked(&w, 1);

    cr_assert_not(floor_of(&w, 0, 0, false, 1000), "behind is no gap");
    cr_assert_eq(w.next, 30);
}

Test(send_window, a_gap_goes_back_once_until_the_repair_can_have_arrived)
{
    struct send_window w = given(0, 30, 1);
    send_window_sent(&w, 1, 30, 100, true);
    send_window_acked(&w, 1);

    cr_assert(floor_of(&w, 0, 5, true, 1000));
    cr_assert_eq(w.next, 5);

    send_window_sent(&w, 2, 30, 100, true);
    cr_assert_not(floor_of(&w, 0, 5, true, 1000 + SEND_WINDOW_BACK_MS - 1));
    cr_assert(floor_of(&w, 0, 5, true, 1000 + SEND_WINDOW_BACK_MS));
}

Test(send_window, never_goes_back_below_what_the_spool_holds)
{
    struct send_window w = given(0, 30, 1);
    send_window_sent(&w, 1, 30, 100, true);
    send_window_trimmed(&w, 20);

    cr_assert(floor_of(&w, 0, 5, true, 0));
    cr_assert_eq(w.next, 20);
}

Test(send_window, small_when_idle_large_when_busy)
{
    struct send_window w = given(0, 10, 1);
    cr_assert(send_window_open(&w, false), "idle: at once");

    send_window_sent(&w, 1, 10, 100, false);
    send_window_grow(&w, 20);
    cr_assert_not(send_window_open(&w, false), "one small one is under way");
    cr_assert(send_window_open(&w, true), "a full one need not wait");

    send_window_acked(&w, 1);
    cr_assert(send_window_open(&w, false));
}

Test(send_window, limit_of_flights)
{
    struct send_window w = given(0, 1000, 1);
    for (uint64_t i = 0; i < SEND_WINDOW_FLIGHTS; i++)
        send_window_sent(&w, i + 1, i + 1, 1, true);

    cr_assert_not(send_window_open(&w, true));
    send_window_acked(&w, 1);
    cr_assert(send_window_open(&w, true));
}

Test(send_window, an_older_line_is_over_when_every_reader_knows_its_end)
{
    struct send_window w;
    uint32_t bytes;
    send_window_init(&w, 0, 10, true, 2);
    struct send_reader all = {.store_id = 7, .floor = 10}, knows = all, beyond = all;
    knows.finished = true;
    beyond.floor = 11;

    send_window_floor(&w, 0, &knows, false, 0, &bytes);
    send_window_floor(&w, 1, &all, false, 0, &bytes);
    cr_assert_not(send_window_over(&w), "one has consumed all, but may wait for more");

    send_window_floor(&w, 1, &beyond, false, 0, &bytes);
    cr_assert(send_window_over(&w), "beyond the end means all");
}

Test(send_window, a_refusal_behind_an_answer_takes_only_what_is_unanswered_along)
{
    struct send_window w = given(0, 40, 1);
    send_window_sent(&w, 1, 10, 100, true);
    send_window_sent(&w, 2, 20, 50, false);
    send_window_sent(&w, 3, 30, 25, true);
    send_window_sent(&w, 4, 40, 12, true);
    send_window_acked(&w, 3); /* stored, behind two that are under way */
    cr_assert_not(send_window_open(&w, false));

    cr_assert_eq(send_window_failed(&w, 99), 0, "a token of nothing");
    cr_assert_eq(send_window_failed(&w, 3), 0, "answered before");
    cr_assert_eq(send_window_failed(&w, 2), 62, "the answered one had left already");
    cr_assert_eq(w.next, 10);
    cr_assert_eq(w.flight_count, 1);
    cr_assert_eq(send_window_acked(&w, 1), 100);
    cr_assert_eq(w.acked, 10);
}

Test(send_window, small_ones_that_were_answered_hold_nothing_back)
{
    struct send_window w = given(0, 30, 1);
    send_window_sent(&w, 1, 10, 100, true);
    send_window_sent(&w, 2, 20, 50, false);
    cr_assert_not(send_window_open(&w, false));
    send_window_acked(&w, 2); /* waits for the one before, but is no longer under way */
    cr_assert_eq(w.flight_count, 2);
    cr_assert(send_window_open(&w, false));
}

Test(send_window, a_refusal_of_what_was_consumed_meanwhile_sends_nothing_again)
{
    struct send_window w = given(0, 30, 1);
    send_window_sent(&w, 1, 10, 100, true);
    send_window_sent(&w, 2, 20, 50, true);
    send_window_trimmed(&w, 10);
    cr_assert_eq(send_window_failed(&w, 1), 100);
    cr_assert_eq(w.next, 20);
    cr_assert_eq(w.flight_count, 1);
    /* Half consumed: only the rest goes out again. */
    send_window_trimmed(&w, 15);
    cr_assert_eq(send_window_failed(&w, 2), 50);
    cr_assert_eq(w.next, 15);
}

/* A gap that a reader reports while what it lacks was never sent from here: nothing to go back to.
 */
Test(send_window, a_gap_beyond_what_was_sent_is_no_reason_to_go_back)
{
    struct send_window w = given(0, 30, 1);
    send_window_sent(&w, 1, 10, 100, true);
    cr_assert_not(floor_of(&w, 0, 10, true, 0));
    cr_assert_not(floor_of(&w, 0, 20, true, 0));
    cr_assert_eq(w.next, 10);
}

Test(send_window, a_line_is_over_by_every_reader_s_word_and_no_other)
{
    struct send_window w;
    uint32_t bytes;
    send_window_init(&w, 0, 10, false, 1);
    struct send_reader done = {.store_id = 7, .floor = 10, .finished = true};
    send_window_floor(&w, 0, &done, false, 0, &bytes);
    cr_assert_not(send_window_over(&w), "more may be numbered");
    send_window_init(&w, 0, 10, true, 2);
    send_window_floor(&w, 0, &done, false, 0, &bytes);
    cr_assert_not(send_window_over(&w), "one was never heard");
    done.floor = 9;
    send_window_floor(&w, 1, &done, false, 0, &bytes);
    cr_assert_not(send_window_over(&w), "an end below the end is none");
}
