/* SPDX-License-Identifier: Apache-2.0
 * A rule is read strictly, and says when clocks change in every year. */
#include "global/core/zone_rule.h"

#include <criterion/criterion.h>

TestSuite(zone_rule, .timeout = 30);

static struct zone_rule rule;

static void given(const char *text)
{
    cr_assert(zone_rule_read(span_of_text(text), &rule), "%s", text);
}

/* The offset holds up to and without `until_s`, and is another one from there. */
static void expect_east(int64_t at_s, int32_t east_s, int64_t until_s)
{
    int64_t until = 0;
    cr_assert_eq(zone_rule_east_at(&rule, at_s, &until), east_s, "at %lld", (long long)at_s);
    cr_assert_eq(until, until_s, "at %lld: until %lld", (long long)at_s, (long long)until);
}

/* Instants by an independent calendar (Python's zoneinfo). */
Test(zone_rule, new_york_changes_in_march_and_november)
{
    given("EST5EDT,M3.2.0,M11.1.0");
    expect_east(1772953199, -18000, 1772953200); /* 2026-03-08T07:00:00Z */
    expect_east(1772953200, -14400, 1793512800); /* 2026-11-01T06:00:00Z */
    expect_east(1793512799, -14400, 1793512800);
    expect_east(1793512800, -18000, 1805007600); /* 2027-03-14T07:00:00Z */
    expect_east(0, -18000, 5727600);             /* 1970-03-08T07:00:00Z */
    expect_east(-1, -18000, 5727600);
}

Test(zone_rule, lord_howe_changes_by_half_an_hour)
{
    given("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0");
    expect_east(1775314799, 39600, 1775314800); /* 2026-04-04T15:00:00Z */
    expect_east(1775314800, 37800, 1791041400); /* 2026-10-03T15:30:00Z */
    expect_east(1791041400, 39600, 1806764400); /* 2027-04-03T15:00:00Z */
}

Test(zone_rule, times_may_be_of_days_around)
{
    given("EET-2EEST,M3.4.4/50,M10.4.4/50"); /* Gaza, once */
    int64_t until;
    cr_assert_eq(zone_rule_east_at(&rule, 1774655999, &until), 7200); /* 2026-03-28T00:00:00Z */
    cr_assert_eq(until, 1774656000);
    cr_assert_eq(zone_rule_east_at(&rule, 1774656000, &until), 10800);
    given("<-02>2<-01>,M3.5.0/-1,M10.5.0/0");                          /* Nuuk */
    cr_assert_eq(zone_rule_east_at(&rule, 1774745999, &until), -7200); /* 2026-03-29T01:00:00Z */
    cr_assert_eq(until, 1774746000);
    cr_assert_eq(zone_rule_east_at(&rule, 1774746000, &until), -3600);
}

Test(zone_rule, days_are_counted_with_and_without_february_29)
{
    given("AAA0BBB,J60/0,J300/0");          /* March 1 in every year */
    expect_east(1709251199, 0, 1709251200); /* 2024-03-01 */
    expect_east(1740787199, 0, 1740787200); /* 2025-03-01 */
    given("AAA0BBB,59/0,300/0");            /* February 29, or March 1 */
    expect_east(1709164799, 0, 1709164800); /* 2024-02-29 */
    expect_east(1740787199, 0, 1740787200); /* 2025-03-01 */
    given("AAA0BBB,J59/0,J300/0");          /* February 28 */
    expect_east(1709078399, 0, 1709078400);
    given("AAA0BBB,M2.5.4/0,M3.5.4/0"); /* the last Thursday of a February with five: 2024-02-29 */
    expect_east(1709164799, 0, 1709164800);
    given("AAA0BBB,M2.1.0/0,M1.1.0/0"); /* centuries: 2000-02-06 and 2100-02-07 */
    expect_east(949795199, 0, 949795200);
    expect_east(4105641599, 0, 4105641600);
}

Test(zone_rule, a_summer_may_last_all_year)
{
    int64_t until;
    given("XXX3EDT4,0/0,J365/23");
    for (int64_t day = 0; day < 800; day++)
        cr_assert_eq(zone_rule_east_at(&rule, day * 86400, &until), -14400, "%lld", (long long)day);
}

Test(zone_rule, without_summer_nothing_changes)
{
    given("IST-5:30");
    expect_east(1793512800, 19800, INT64_MAX);
    given("<+0015>-00:15:30");
    expect_east(0, 930, INT64_MAX);
    given("ABC+24:59:59");
    expect_east(0, -89999, INT64_MAX);
}

Test(zone_rule, what_is_no_rule_is_refused)
{
    static const char *const bad[] = {
        "",
        "EST",
        "ES5",
        "5",
        "<ES>5",
        "<EST5",
        "<E$T>5",
        "EST25",
        "EST5:60",
        "EST5:0:60",
        "EST5:",
        "EST5 ",
        "EST12345",
        "EST5EDT",
        "EST5ED,M3.2.0,M11.1.0",
        "EST5EDT4",
        "EST5EDT,M3.2.0",
        "EST5EDT,M3.2.0,",
        "EST5EDT,M3.2.0,M11.1.0,",
        "EST5EDT,M0.2.0,M11.1.0",
        "EST5EDT,M13.2.0,M11.1.0",
        "EST5EDT,M3.0.0,M11.1.0",
        "EST5EDT,M3.6.0,M11.1.0",
        "EST5EDT,M3.2.7,M11.1.0",
        "EST5EDT,M3,2.0,M11.1.0",
        "EST5EDT,M3.2,0,M11.1.0",
        "EST5EDT,J0,J300",
        "EST5EDT,J366,J300",
        "EST5EDT,366,300",
        "EST5EDT,J60/168,J300",
        "EST5EDT,J60/,J300",
        "EST5EDT,x,J300",
    };
    for (unsigned i = 0; i < countof(bad); i++)
        cr_assert_not(zone_rule_read(span_of_text(bad[i]), &rule), "%s", bad[i]);
    given("EST5EDT4,M3.2.0/+2:30:15,M11.1.0/-167");
    cr_assert_eq(rule.start.second, 9015);
    cr_assert_eq(rule.end.second, -167 * 3600);
}

Test(zone_rule, a_date_that_spills_over_its_year_holds_until_the_next)
{
    /* Summer ends on January 8 of the next year, after the next one has begun on January 5. */
    int64_t until_s, same_s;
    given("AAA1BBB-0:15:30,4,365/167:59:59");
    for (int64_t at_s = 951782400; at_s < 1772953200; at_s += 40 * 86400) {
        int32_t east_s = zone_rule_east_at(&rule, at_s, &until_s);
        cr_assert_eq(zone_rule_east_at(&rule, until_s - 1, &same_s), east_s);
        cr_assert_eq(same_s, until_s);
    }
}
