/* SPDX-License-Identifier: Apache-2.0
 * A written time is the second it says, against the C library's calendar, or is refused. */
#include "global/core/query_time.h"

#include "common/base/rng.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <time.h>

Test(query_time, every_second_agrees_with_the_library)
{
    struct rng rng = {.state = 11};

    for (unsigned i = 0; i < 20000; i++) {
        time_t wanted = (time_t)rng_below(&rng, 253402300800ULL);
        struct tm parts;
        char text[40];
        uint64_t found = 0;
        cr_assert_not_null(gmtime_r(&wanted, &parts));
        cr_assert_gt(strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts), 0);
        cr_assert(query_time_rfc3339(span_of_text(text), &found), "%s", text);
        cr_assert_eq(found, (uint64_t)wanted, "%s", text);
    }
}

Test(query_time, offsets_and_zero_fractions)
{
    static const struct {
        const char *text;
        uint64_t seconds;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01t00:00:00z", 0},
        {"1970-01-01T05:30:00+05:30", 0},
        {"1969-12-31T19:00:00-05:00", 0},
        {"2024-02-29T12:00:00.000Z", 1709208000},
        {"2000-02-29T00:00:00-00:00", 951782400},
        {"9999-12-31T23:59:59Z", 253402300799},
        {"9999-12-31T23:00:00-01:00", 253402300800},
    };
    for (unsigned i = 0; i < countof(good); i++) {
        uint64_t found = 1;
        cr_assert(query_time_rfc3339(span_of_text(good[i].text), &found), "%s", good[i].text);
        cr_assert_eq(found, good[i].seconds, "%s", good[i].text);
    }
}

Test(query_time, what_is_no_time_is_refused)
{
    static const char *const bad[] = {
        "",
        "2026",
        "2026-01-31",
        "2026-01-31T00:00:00",
        "2026-01-31 00:00:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-32T00:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T00:60:00Z",
        "2026-06-30T23:59:60Z",
        "2026-01-31T00:00:00.5Z",
        "2026-01-31T00:00:00.Z",
        "2026-01-31T00:00:00+0100",
        "2026-01-31T00:00:00+24:00",
        "2026-01-31T00:00:00+23:60",
        "2026-01-31T00:00:00x00:00",
        "2026-01-31T00:00:00.000",
        "2026/01-31T00:00:00Z",
        "2026-01-31T00.00:00Z",
        "202:-01-31T00:00:00Z",
        "202/-01-31T00:00:00Z",
        "2026-01-31T00:00:00Zx",
        "2026-1-31T00:00:00Z",
        "-026-01-31T00:00:00Z",
        "1970-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
    };
    for (unsigned i = 0; i < countof(bad); i++) {
        uint64_t found = 7;
        cr_assert_not(query_time_rfc3339(span_of_text(bad[i]), &found), "%s", bad[i]);
        cr_assert_eq(found, 7);
    }
}
