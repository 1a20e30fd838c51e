/* SPDX-License-Identifier: Apache-2.0
 * minute: event time to minute, and windows. */
#include "common/base/limits.h"
#include "common/base/minute.h"

#include <criterion/criterion.h>

Test(minute, a_minute_begins_at_its_first_millisecond)
{
    cr_assert_eq(minute_of_ms(0), 0);
    cr_assert_eq(minute_of_ms(59999), 0);
    cr_assert_eq(minute_of_ms(60000), 1);
    cr_assert_eq(minute_start_ms(1), 60000);
}

Test(minute, start_and_minute_agree_at_both_ends_of_time)
{
    uint32_t last = minute_of_ms(LIMIT_TIMESTAMP_MS_MAX);

    cr_assert_eq(minute_of_ms(minute_start_ms(last)), last);
    cr_assert_eq(LIMIT_TIMESTAMP_MS_MAX - minute_start_ms(last), 59999);
    cr_assert_eq(minute_start_ms(UINT32_MAX), UINT32_MAX * 60000ULL);
}

Test(minute, each_window_has_a_name_and_a_length)
{
    static const struct {
        const char *name;
        uint32_t minutes;
    } windows[] = {{"1m", 1}, {"5m", 5}, {"1h", 60}, {"1d", 1440}};

    for (unsigned i = 0; i < countof(windows); i++) {
        enum minute_window window;
        cr_assert(minute_window_parse(windows[i].name, &window));
        cr_assert_str_eq(minute_window_name(window), windows[i].name);
        cr_assert_eq(minute_window_minutes(window), windows[i].minutes);
    }
}

Test(minute, other_window_names_are_refused)
{
    static const char *const names[] = {"", "m", "1", "1M", "1m ", " 1m", "2m", "60m", "1w", "1mm"};
    for (unsigned i = 0; i < countof(names); i++) {
        enum minute_window window = MINUTE_WINDOW_1H;
        cr_assert_not(minute_window_parse(names[i], &window), "%s", names[i]);
        cr_assert_eq(window, MINUTE_WINDOW_1H);
    }
}
