/* SPDX-License-Identifier: Apache-2.0
 * The form of a line, and the limit of one message, with time as an argument. */
#include "common/run/log_line.h"

#include <criterion/criterion.h>
#include <stdio.h>

Test(log_line, the_stamp_is_utc_with_milliseconds)
{
    struct buf line = {0};

    log_line_put(&line, 1795514400123ULL, LOG_ERROR, "a b", "m", NULL, 0);

    const char *wanted = "ts=2026-11-24T10:00:00.123Z level=error prog=\"a b\" msg=m\n";
    cr_assert(span_equal(buf_span(&line), span_of_text(wanted)), "%.*s", (int)line.length,
              (const char *)line.data);
    buf_done(&line);
}

Test(log_line, a_message_may_come_LOG_LINE_PER_SECOND_times_a_second)
{
    static struct log_line_rate rate;
    unsigned admitted = 0, next_second = 0;

    for (unsigned i = 0; i < 100; i++)
        admitted += log_line_admit(&rate, "m", 5000 + i);
    bool other = log_line_admit(&rate, "n", 5999);
    for (unsigned i = 0; i < 100; i++)
        next_second += log_line_admit(&rate, "m", 6000);

    cr_assert_eq(admitted, LOG_LINE_PER_SECOND);
    cr_assert_eq(next_second, LOG_LINE_PER_SECOND);
    cr_assert(other);
}

Test(log_line, what_was_suppressed_is_told_once_in_a_later_second)
{
    static struct log_line_rate rate;
    struct log_line_watched w = {0};
    for (unsigned i = 0; i < LOG_LINE_PER_SECOND + 7; i++)
        (void)log_line_admit(&rate, "m", 5000);

    bool too_early = log_line_suppressed(&rate, 5999, &w);
    bool told = log_line_suppressed(&rate, 6000, &w);
    bool again = log_line_suppressed(&rate, 6001, &w);

    cr_assert_not(too_early);
    cr_assert(told);
    cr_assert_str_eq(w.message, "m");
    cr_assert_eq(w.suppressed, 7);
    cr_assert_not(again);
}

Test(log_line, more_messages_than_places_are_let_through_and_forget_no_count)
{
    static struct log_line_rate rate;
    static char names[LOG_LINE_MESSAGES + 10][8];
    for (unsigned i = 0; i < LOG_LINE_PER_SECOND + 3; i++)
        (void)log_line_admit(&rate, "flood", 5000);

    for (unsigned i = 0; i < LOG_LINE_MESSAGES + 10; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "m%u", i);
        cr_assert(log_line_admit(&rate, names[i], 5000));
    }
    for (unsigned i = 0; i < LOG_LINE_MESSAGES + 10; i++)
        cr_assert(log_line_admit(&rate, names[i], 7000));

    struct log_line_watched w = {0};
    cr_assert(log_line_suppressed(&rate, 7000, &w));
    cr_assert_str_eq(w.message, "flood");
    cr_assert_eq(w.suppressed, 3);
}
