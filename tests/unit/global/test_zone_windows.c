/* SPDX-License-Identifier: Apache-2.0
 * Windows begin where the clocks of a zone say so, over every change. */
#include "global/core/zone_windows.h"

#include "zone_given.h"

static struct zone zone;
static struct buf edges;

static void fini(void)
{
    zone_done(&zone);
    buf_done(&edges);
}

TestSuite(zone_windows, .fini = fini, .timeout = 30);

static uint32_t edge(unsigned i)
{
    uint32_t minute;
    cr_assert_lt(i * sizeof(minute), edges.length);
    memcpy(&minute, edges.data + i * sizeof(minute), sizeof(minute));
    return minute;
}

static void expect(enum minute_window window, uint64_t start_s, const unsigned *minutes,
                   unsigned count)
{
    uint64_t end_s = start_s;
    for (unsigned i = 0; i < count; i++)
        end_s += 60ULL * minutes[i];
    cr_assert_eq(zone_windows(&zone, window, start_s, end_s, &edges), ZONE_WINDOWS_OK);
    cr_assert_eq(edges.length, (count + 1) * sizeof(uint32_t));
    cr_assert_eq(edge(0), start_s / 60);
    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(edge(i + 1) - edge(i), minutes[i], "window %u has %u minutes", i,
                     edge(i + 1) - edge(i));
}

#define EXPECT(window, start_s, ...)                                                               \
    expect(MINUTE_WINDOW_##window, start_s, (const unsigned[]){__VA_ARGS__},                       \
           countof(((const unsigned[]){__VA_ARGS__})))

/* Instants are those of Python's zoneinfo. */
Test(zone_windows, days_of_new_york_have_23_and_25_hours)
{
    zone = zone_given_rule(ZONE_GIVEN_NEW_YORK);
    EXPECT(1D, 1772859600, 1440, 1380, 1440); /* 2026-03-07 to 2026-03-10 */
    EXPECT(1D, 1793419200, 1440, 1500, 1440); /* 2026-10-31 to 2026-11-03 */
}

Test(zone_windows, the_hour_that_comes_twice_is_two_windows)
{
    zone = zone_given_rule(ZONE_GIVEN_NEW_YORK);
    EXPECT(1H, 1793505600, 60, 60, 60, 60); /* 00, 01 EDT, 01 EST, 02 */
    EXPECT(1H, 1772949600, 60, 60, 60);     /* 01 EST, 03 EDT, 04 EDT */
}

Test(zone_windows, half_hours_make_short_hours_and_long_days)
{
    zone = zone_given_rule(ZONE_GIVEN_LORD_HOWE);
    EXPECT(1D, 1775221200, 1440, 1470, 1440); /* 2026-04-04 to 2026-04-07 */
    EXPECT(1D, 1790947800, 1440, 1410, 1440); /* 2026-10-03 to 2026-10-06 */
    EXPECT(1H, 1775311200, 60, 30, 60);       /* 01 at +11, from 01:30 at +10:30, 02 */
    EXPECT(1H, 1791037800, 60, 30, 60);       /* 01 at +10:30, 02:30 at +11, 03 */
    EXPECT(5M, 1775314500, 5, 5);
}

Test(zone_windows, hours_of_kolkata_begin_at_half_past)
{
    zone = zone_given_rule(ZONE_GIVEN_KOLKATA);
    EXPECT(1H, 1772865000, 60, 60);
    EXPECT(1D, 1772821800, 1440, 1440);
    cr_assert_eq(zone_windows(&zone, MINUTE_WINDOW_1H, 1772869200, 1772872800, &edges),
                 ZONE_WINDOWS_START);
}

Test(zone_windows, ends_that_are_no_edges_are_refused)
{
    zone = zone_given_rule(ZONE_GIVEN_NEW_YORK);
    for (uint64_t off = 1; off < 86400; off += 1799) {
        cr_assert_eq(
            zone_windows(&zone, MINUTE_WINDOW_1D, 1772859600 + off, 1772946000 + off * 2, &edges),
            ZONE_WINDOWS_START);
        cr_assert_eq(zone_windows(&zone, MINUTE_WINDOW_1D, 1772859600, 1772946000 + off, &edges),
                     off == 82800 ? ZONE_WINDOWS_OK : ZONE_WINDOWS_END);
    }
    cr_assert_eq(zone_windows(&zone, MINUTE_WINDOW_5M, 1772859660, 1772860000, &edges),
                 ZONE_WINDOWS_START);
    cr_assert_eq(zone_windows(&zone, MINUTE_WINDOW_5M, 1772859600, 1772859660, &edges),
                 ZONE_WINDOWS_END);
    cr_assert_eq(zone_windows(&zone, MINUTE_WINDOW_1H, 1772859600, 1772863199, &edges),
                 ZONE_WINDOWS_END);
}

/* At one minute past midnight clocks were set back by an hour (St. John's, 2010). */
Test(zone_windows, a_day_begins_at_the_first_of_two_midnights)
{
    static const int32_t east[] = {-9000, -12600};
    static const struct zone_given_change change[] = {{864000 + 9000 + 60, 1}};
    const struct zone_given g = {
        .east = east, .types = 2, .changes = change, .change_count = 1, .rule = ""};
    cr_assert_eq(zone_given_read(&g, &zone), ERR_OK);
    EXPECT(1D, 864000 - 86400 + 9000, 1440, 1500, 1440);
}

Test(zone_windows, a_midnight_that_is_skipped_begins_the_day_when_it_is_over)
{
    static const int32_t east[] = {-10800, -7200};
    static const struct zone_given_change change[] = {{864000 + 10800, 1}}; /* Sao Paulo, once */
    const struct zone_given g = {
        .east = east, .types = 2, .changes = change, .change_count = 1, .rule = ""};
    cr_assert_eq(zone_given_read(&g, &zone), ERR_OK);
    EXPECT(1D, 864000 - 86400 + 10800, 1440, 1380, 1440);
}

Test(zone_windows, midnight_that_comes_twice_begins_the_day_once)
{
    static const int32_t east[] = {-7200, -10800};
    /* At 00:30 the clock goes back to 23:30. */
    static const struct zone_given_change change[] = {{864000 + 7200 + 1800, 1}};
    const struct zone_given g = {
        .east = east, .types = 2, .changes = change, .change_count = 1, .rule = ""};
    cr_assert_eq(zone_given_read(&g, &zone), ERR_OK);
    EXPECT(1D, 864000 - 86400 + 7200, 1440, 1500, 1440);
    cr_assert_eq(zone_windows(&zone, MINUTE_WINDOW_1D, 864000 + 10800, 950400 + 10800, &edges),
                 ZONE_WINDOWS_START, "the second midnight begins nothing");
}

Test(zone_windows, a_date_that_was_skipped_is_no_window)
{
    static const int32_t east[] = {-36000, 50400};
    /* Apia: 2011-12-30 was not. */
    static const struct zone_given_change change[] = {{1325239200, 1}};
    const struct zone_given g = {
        .east = east, .types = 2, .changes = change, .change_count = 1, .rule = ""};
    cr_assert_eq(zone_given_read(&g, &zone), ERR_OK);
    EXPECT(1D, 1325239200 - 86400, 1440, 1440);
}

Test(zone_windows, a_change_within_a_minute_is_refused)
{
    static const int32_t east[] = {-2670, 0}; /* Monrovia to 1972 */
    static const struct zone_given_change change[] = {{63593070, 1}};
    const struct zone_given g = {
        .east = east, .types = 2, .changes = change, .change_count = 1, .rule = ""};
    cr_assert_eq(zone_given_read(&g, &zone), ERR_OK);
    cr_assert_eq(zone_windows(&zone, MINUTE_WINDOW_1H, 63589470, 63594000, &edges),
                 ZONE_WINDOWS_RAGGED);
    cr_assert_eq(zone_windows(&zone, MINUTE_WINDOW_1D, 63504000 + 2670 - 86400, 63590400, &edges),
                 ZONE_WINDOWS_RAGGED);
    EXPECT(1H, 63594000, 60);
    zone_done(&zone);
    static const int32_t later[] = {0, -2670};
    const struct zone_given h = {
        .east = later, .types = 2, .changes = change, .change_count = 1, .rule = ""};
    cr_assert_eq(zone_given_read(&h, &zone), ERR_OK);
    cr_assert_eq(zone_windows(&zone, MINUTE_WINDOW_1H, 63590400, 63600270, &edges),
                 ZONE_WINDOWS_RAGGED);
}

Test(zone_windows, a_rule_that_changes_to_itself_makes_no_edges)
{
    zone = zone_given_rule("XXX3EDT4,0/0,J365/23");
    EXPECT(1H, 1767225600 - 3600, 60, 60, 60, 60, 60, 60);
    EXPECT(1D, 1767225600 + 4 * 3600 - 86400, 1440, 1440, 1440);
    zone_done(&zone);
    zone = zone_given_rule("AAA0BBB0,M3.2.0,M11.1.0");
    EXPECT(1H, 1772949600, 60, 60, 60);
}

Test(zone_windows, edges_tile_the_years)
{
    static const char *const rules[] = {ZONE_GIVEN_NEW_YORK, ZONE_GIVEN_LORD_HOWE,
                                        ZONE_GIVEN_KOLKATA, "<-02>2<-01>,M3.5.0/-1,M10.5.0/0"};
    static const enum minute_window windows[] = {MINUTE_WINDOW_5M, MINUTE_WINDOW_1H,
                                                 MINUTE_WINDOW_1D};
    for (unsigned i = 0; i < countof(rules); i++) {
        zone = zone_given_rule(rules[i]);
        int64_t until;
        int64_t east_s = zone_east_at(&zone, 1735689600, &until);
        int64_t ends_s = zone_east_at(&zone, 1798761600, &until);
        for (unsigned w = 0; w < countof(windows); w++) {
            uint64_t start_s = (uint64_t)(1735689600 - east_s); /* 2025-01-01, local */
            uint64_t end_s = (uint64_t)(1798761600 - ends_s);   /* 2027-01-01, local */
            cr_assert_eq(zone_windows(&zone, windows[w], start_s, end_s, &edges), ZONE_WINDOWS_OK);
            unsigned count = (unsigned)(edges.length / sizeof(uint32_t)) - 1;
            if (windows[w] == MINUTE_WINDOW_1D)
                cr_assert_eq(count, 730, "%s: %u days", rules[i], count);
            for (unsigned e = 0; e < count; e++)
                cr_assert_gt(edge(e + 1), edge(e));
            cr_assert_eq(edge(count), end_s / 60);
        }
        zone_done(&zone);
    }
}
