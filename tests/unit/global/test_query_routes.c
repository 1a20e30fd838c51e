/* SPDX-License-Identifier: Apache-2.0
 * Each route knows its own parameters; words, limits and cursors are exact or refused by name. */
#include "global/core/query.h"

#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(query_routes, .timeout = 30);

static struct query q;
static struct query_fault fault;

static void expect_ok(enum query_route route, const char *text)
{
    cr_assert(query_parse_for(route, text, &q, &fault), "%s: %s: %s", text, fault.parameter,
              fault.rule);
}

static void expect_fault(enum query_route route, const char *text, const char *parameter,
                         const char *words)
{
    cr_assert_not(query_parse_for(route, text, &q, &fault), "%s", text);
    cr_assert_str_eq(fault.parameter, parameter, "%s: %s: %s", text, fault.parameter, fault.rule);
    cr_assert_not_null(strstr(fault.rule, words), "%s: %s: %s", text, fault.parameter, fault.rule);
}

#define RANGE "start=60&end=180"

Test(query_routes, top_takes_a_range_of_minutes_and_a_limit)
{
    expect_ok(QUERY_TOP, RANGE);
    cr_assert(q.limit == 10 && q.start_minute == 1 && q.end_minute == 3 && q.points == 2);
    expect_ok(QUERY_TOP, RANGE "&limit=1000&consistency=complete");
    cr_assert(q.limit == 1000 && q.consistency == QUERY_COMPLETE);
    expect_fault(QUERY_TOP, "end=180", "start", "required");
    expect_fault(QUERY_TOP, RANGE "&ad_id=x", "ad_id", "known are start, end, consistency, limit");
    expect_fault(QUERY_TOP, RANGE "&cursor=0", "cursor", "unknown");
    expect_fault(QUERY_TOP, "start=61&end=180", "start", "aligned");
}

Test(query_routes, limits_are_whole_numbers_from_one_to_a_thousand)
{
    static const char *const bad[] = {"",
                                      "0",
                                      "0000",
                                      "1001",
                                      "10000",
                                      "00001",
                                      "-1",
                                      "1.5",
                                      "x",
                                      "1x",
                                      "/",
                                      ":",
                                      "100000000000000000000000000000"};
    for (unsigned i = 0; i < countof(bad); i++) {
        char text[96];
        (void)snprintf(text, sizeof(text), RANGE "&limit=%s", bad[i]);
        expect_fault(QUERY_TOP, text, "limit", "from 1 to 1000");
    }
    expect_ok(QUERY_ADS, "limit=1");
    cr_assert_eq(q.limit, 1);
    expect_ok(QUERY_ADS, "limit=0999");
    cr_assert_eq(q.limit, 999);
}

Test(query_routes, ads_go_on_behind_a_cursor)
{
    expect_ok(QUERY_ADS, "");
    cr_assert(q.limit == 100 && !q.has_cursor && q.prefix_length == 0);
    expect_ok(QUERY_ADS, "cursor=00fFa90123456789&prefix=acme%2D");
    cr_assert(q.has_cursor && q.cursor_name_length == 8);
    cr_assert_eq(memcmp(q.cursor_name, "\x00\xff\xa9\x01\x23\x45\x67\x89", 8), 0);
    cr_assert_str_eq(q.prefix, "acme-");
    cr_assert_eq(q.prefix_length, 5);
    char longest[2 * LIMIT_ID_BYTES + 16] = "cursor=";
    memset(longest + 7, 'e', 2 * LIMIT_ID_BYTES);
    expect_ok(QUERY_ADS, longest);
    cr_assert_eq(q.cursor_name_length, LIMIT_ID_BYTES);
    memcpy(longest + 7 + 2 * LIMIT_ID_BYTES, "ee", 2);
    expect_fault(QUERY_ADS, longest, "cursor", "`next`");
    expect_fault(QUERY_ADS, "cursor=%4", "cursor", "hexadecimal");
    static const char *const bad[] = {"",
                                      "0",
                                      "00ffa9012345678",
                                      "00ffa9012345678g",
                                      "g0ffa90123456789",
                                      "0-ffa90123456789",
                                      "00ffa9012345678G",
                                      "00ffa901234567%00"};
    for (unsigned i = 0; i < countof(bad); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "cursor=%s", bad[i]);
        expect_fault(QUERY_ADS, text, "cursor", "`next`");
    }
    expect_fault(QUERY_ADS, "prefix=", "prefix", "empty");
    expect_fault(QUERY_ADS, "start=60", "start", "known are limit, prefix, cursor");
}

Test(query_routes, a_resource_without_parameters_says_so)
{
    expect_ok(QUERY_NOTHING, "");
    expect_ok(QUERY_NOTHING, "&&");
    expect_fault(QUERY_NOTHING, "ad_id=x", "ad_id", "takes no parameters");
    /* A name comes back as far as it is plain, cut to what a person needs. */
    expect_fault(QUERY_NOTHING, "aZ09_-.{[:!`@/=1", "aZ09_-.???????", "takes no parameters");
    expect_fault(QUERY_NOTHING, "abcdefghijklmnopqrstuvwxyz0123456789=1",
                 "abcdefghijklmnopqrstuvwxyz01234", "takes no parameters");
}

#define STATS "ad_id=x&window=1m&" RANGE

Test(query_routes, fill_is_zero_or_none)
{
    expect_ok(QUERY_STATS, STATS "&fill=none");
    cr_assert(q.fill_none);
    expect_ok(QUERY_STATS, STATS "&fill=zero");
    cr_assert_not(q.fill_none);
    expect_fault(QUERY_STATS, STATS "&fill=null", "fill", "zero, none");
    expect_fault(QUERY_STATS, STATS "&fill=nonenonenonenonenonenonenone", "fill", "zero, none");
}

Test(query_routes, words_longer_than_any_are_no_words)
{
    expect_fault(QUERY_STATS, "ad_id=x&window=1m1m1m1m1m1m1m1m1m1m1m1m1m&" RANGE, "window",
                 "1m, 5m");
    expect_fault(QUERY_STATS, STATS "&consistency=complete%00", "consistency", "final");
    expect_fault(QUERY_STATS, STATS "&consistency=completecompletecomplete", "consistency",
                 "final");
}

Test(query_routes, times_may_be_written_out)
{
    expect_ok(QUERY_TOP, "start=1970-01-01T00:01:00Z&end=1970-01-01T01:03:00%2B01:00");
    cr_assert(q.start_minute == 1 && q.end_minute == 3);
    expect_fault(QUERY_TOP, "start=1970-01-01&end=180", "start", "RFC 3339");
    expect_fault(QUERY_TOP, "start=197-&end=180", "start", "whole number");
    /* Longer than any time: 41 characters, digits or not. */
    expect_fault(QUERY_TOP, "start=00000000000000000000000000000000000000060&end=180", "start",
                 "not milliseconds");
    expect_fault(QUERY_TOP, "start=1970-01-01T00:01:00.00000000000000000000Z&end=180", "start",
                 "not milliseconds");
    expect_fault(QUERY_TOP, "start=253402300801&end=180", "start", "not milliseconds");
}

Test(query_routes, percent_digits_are_hexadecimal_and_nothing_else)
{
    static const char *const bad[] = {"%-4", "%4-", "%G0", "%0G", "%g0",
                                      "%`0", "%@1", "%:1", "%/1", "%1"};
    for (unsigned i = 0; i < countof(bad); i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "prefix=%s", bad[i]);
        expect_fault(QUERY_ADS, text, "prefix", "hexadecimal");
    }
    expect_fault(QUERY_ADS, "prefix=%E2%82A", "prefix", "UTF-8");
    expect_fault(QUERY_ADS, "prefix=%E2%82%C0", "prefix", "UTF-8");
    char text[512] = "prefix=";
    memset(text + 7, 'a', LIMIT_ID_BYTES + 3);
    expect_fault(QUERY_ADS, text, "prefix", "at most 128");
}

Test(query_routes, a_stream_takes_ads_and_minutes)
{
    expect_ok(QUERY_STREAM, "ad_id=x");
    cr_assert(q.ad_count == 1 && q.minutes == 60);
    expect_ok(QUERY_STREAM, "ad_id=x&minutes=180&ad_id=y");
    cr_assert(q.ad_count == 2 && q.minutes == 180);
    expect_ok(QUERY_STREAM, "minutes=1&ad_id=x");
    cr_assert_eq(q.minutes, 1);
    expect_fault(QUERY_STREAM, "minutes=1", "ad_id", "required");
    static const char *const bad[] = {"", "0", "000", "181", "1000", "0060", "6x", "x"};
    for (size_t i = 0; i < countof(bad); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "ad_id=x&minutes=%s", bad[i]);
        expect_fault(QUERY_STREAM, text, "minutes", "from 1 to 180");
    }
    expect_fault(QUERY_STREAM, "ad_id=x&minutes=5&minutes=5", "minutes", "once");
    expect_fault(QUERY_STREAM, "ad_id=x&window=1m", "window", "known are ad_id, minutes");
    expect_fault(QUERY_STREAM,
                 "ad_id=1&ad_id=2&ad_id=3&ad_id=4&ad_id=5&ad_id=6&ad_id=7&ad_id=8&ad_id=9", "ad_id",
                 "at most 8 times");
    expect_fault(QUERY_STATS, RANGE "&ad_id=x&window=1m&minutes=5", "minutes", "unknown");
}
