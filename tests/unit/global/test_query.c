/* SPDX-License-Identifier: Apache-2.0
 * A query is read exactly, or refused with the parameter and the rule. */
#include "global/core/query_span.h"

#include "common/base/rng.h"

#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(query, .timeout = 30);

static struct query q;
static struct query_fault fault;

static void expect_ok(const char *text)
{
    cr_assert(query_parse(text, &q, &fault), "%s: %s: %s", text, fault.parameter, fault.rule);
}

static void expect_fault(const char *text, const char *parameter, const char *words)
{
    cr_assert_not(query_parse(text, &q, &fault), "%s", text);
    cr_assert_str_eq(fault.parameter, parameter, "%s: %s: %s", text, fault.parameter, fault.rule);
    cr_assert_not_null(strstr(fault.rule, words), "%s: %s: %s", text, fault.parameter, fault.rule);
}

#define REST "&window=1m&start=60&end=120"

Test(query, a_plain_query_is_read)
{
    expect_ok("ad_id=ad-7&window=5m&start=1700000100&end=1700000700&consistency=complete");
    cr_assert_str_eq(q.ad_id, "ad-7");
    cr_assert_eq(q.ad_id_length, 4);
    cr_assert_eq(q.window, MINUTE_WINDOW_5M);
    cr_assert_eq(q.start_minute, 1700000100 / 60);
    cr_assert_eq(q.end_minute, 1700000700 / 60);
    cr_assert_eq(q.points, 2);
    cr_assert_eq(q.consistency, QUERY_COMPLETE);
}

Test(query, order_does_not_matter_and_empty_pairs_are_passed_over)
{
    expect_ok("&end=120&&start=0060&window=1m&ad_id=x&");
    cr_assert_eq(q.points, 1);
    cr_assert_eq(q.consistency, QUERY_EVENTUAL);
}

Test(query, ad_ids_are_percent_decoded_utf8)
{
    expect_ok("ad_id=%41%2B%26%3d%c3%A9" REST);
    cr_assert_str_eq(q.ad_id, "A+&=\xc3\xa9");
    expect_ok("ad_id=%F4%8F%BF%BF" REST);
    expect_ok("ad_id=\xe2\x82\xac" REST);
    static const char *const bad[] = {"%80",       "%C0%80",       "%C1%BF",       "%E0%80%80",
                                      "%ED%A0%80", "%F0%80%80%80", "%F4%90%80%80", "%F5%80%80%80",
                                      "%C3",       "%E2%82",       "x%FF"};
    for (unsigned i = 0; i < countof(bad); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), "ad_id=%s" REST, bad[i]);
        expect_fault(text, "ad_id", "valid UTF-8");
    }
    expect_fault("ad_id=a%00b" REST, "ad_id", "control");
    expect_fault("ad_id=a%7f" REST, "ad_id", "control");
    expect_fault("ad_id=a%0a" REST, "ad_id", "control");
}

Test(query, the_ad_id_has_the_length_that_clicks_allow)
{
    char text[1024];
    (void)snprintf(text, sizeof(text), "ad_id=%0*d" REST, LIMIT_ID_BYTES, 7);
    expect_ok(text);
    cr_assert_eq(q.ad_id_length, LIMIT_ID_BYTES);
    (void)snprintf(text, sizeof(text), "ad_id=%0*d" REST, LIMIT_ID_BYTES + 1, 7);
    expect_fault(text, "ad_id", "at most 128 bytes");
    expect_fault("ad_id=" REST, "ad_id", "must not be empty");
    expect_fault("ad_id" REST, "ad_id", "must not be empty");
}

Test(query, bad_percent_encoding_is_refused_everywhere)
{
    static const char *const bad[] = {"%", "%4", "%zz", "%4g", "a%"};
    for (unsigned i = 0; i < countof(bad); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), "ad_id=%s" REST, bad[i]);
        expect_fault(text, "ad_id", "hexadecimal");
        (void)snprintf(text, sizeof(text), "ad_id=x&window=%s&start=0&end=60", bad[i]);
        expect_fault(text, "window", "hexadecimal");
        (void)snprintf(text, sizeof(text), "ad_id=x&window=1m&end=60&start=%s", bad[i]);
        expect_fault(text, "start", "hexadecimal");
    }
    expect_fault("ad_id=a+b" REST, "ad_id", "ambiguous");
    expect_ok("ad_id=x&window=1%6D&start=%36%30&end=120");
}

Test(query, missing_unknown_and_repeated_parameters_are_named)
{
    expect_fault("", "ad_id", "required");
    expect_fault("window=1m&start=0&end=60", "ad_id", "required");
    expect_fault("ad_id=x&start=0&end=60", "window", "required");
    expect_fault("ad_id=x&window=1m&end=60", "start", "required");
    expect_fault("ad_id=x&window=1m&start=0", "end", "required");
    expect_fault("ad_id=x&from=1" REST, "from", "unknown parameter");
    expect_fault("Ad_id=x" REST, "Ad_id", "unknown parameter");
    expect_fault("ad%5Fid=x" REST, "ad?5Fid", "unknown parameter");
    expect_fault("=x" REST, "", "unknown parameter");
    expect_fault("ad_id=x&<b>\"=1" REST, "?b??", "unknown parameter");
    expect_fault("ad_id=x&ad_id=x" REST, "ad_id", "twice");
    expect_fault("ad_id=x&end=60" REST, "end", "once");
}

Test(query, windows_and_consistencies_are_exact_words)
{
    static const char *const bad[] = {"",   "1M",    "2m",    "1m1m1m1m1m1m1m1m1m",
                                      "60", "1m%00", "%001m", "1h "};
    for (unsigned i = 0; i < countof(bad); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), "ad_id=x&window=%s&start=0&end=60", bad[i]);
        expect_fault(text, "window", "1m, 5m, 1h, 1d");
    }
    expect_fault("ad_id=x&consistency=strong" REST, "consistency", "eventual, complete, final");
    expect_fault("ad_id=x&consistency=" REST, "consistency", "eventual, complete, final");
    expect_ok("ad_id=x&consistency=eventual" REST);
    expect_ok("ad_id=x&consistency=final" REST);
    cr_assert_eq(q.consistency, QUERY_FINAL);
}

Test(query, times_are_whole_seconds)
{
    static const char *const bad[] = {"",     "-60", "%2B60", "60.0", "6e1",
                                      "0x3c", "60s", "%2060", "now",  "-0"};
    for (unsigned i = 0; i < countof(bad); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), "ad_id=x&window=1m&start=%s&end=120", bad[i]);
        expect_fault(text, "start", "whole number");
        (void)snprintf(text, sizeof(text), "ad_id=x&window=1m&start=60&end=%s", bad[i]);
        expect_fault(text, "end", "whole number");
    }
    expect_fault("ad_id=x&window=1m&start=1700000040000&end=1700000100000", "start",
                 "not milliseconds");
    expect_fault("ad_id=x&window=1m&start=18446744073709551676&end=120", "start", "Unix seconds");
    expect_fault("ad_id=x&window=1m&start=99999999999999999999999999&end=120", "start",
                 "Unix seconds");
    expect_ok("ad_id=x&window=1d&start=253402214400&end=253402300800"); /* the end of 9999 */
    cr_assert_eq(q.points, 1);
    expect_fault("ad_id=x&window=1d&start=253402300800&end=253402387200", "end", "Unix seconds");
}

Test(query, ranges_are_aligned_forward_and_bounded)
{
    static const struct {
        const char *window;
        uint64_t seconds;
    } windows[] = {{"1m", 60}, {"5m", 300}, {"1h", 3600}, {"1d", 86400}};
    char text[128];
    for (unsigned i = 0; i < countof(windows); i++) {
        uint64_t s = windows[i].seconds;
        uint64_t start = 19675 * 86400ULL;
        for (int64_t off = -1; off <= 1; off++) {
            (void)snprintf(text, sizeof(text), "ad_id=x&window=%s&start=%llu&end=%llu",
                           windows[i].window, (unsigned long long)(start + off),
                           (unsigned long long)(start + 2 * s));
            if (off == 0)
                expect_ok(text);
            else
                expect_fault(text, "start", "aligned");
            (void)snprintf(text, sizeof(text), "ad_id=x&window=%s&start=%llu&end=%llu",
                           windows[i].window, (unsigned long long)start,
                           (unsigned long long)(start + 2 * s + off));
            if (off == 0)
                expect_ok(text);
            else
                expect_fault(text, "end", "aligned");
        }
        for (uint64_t points = LIMIT_QUERY_POINTS; points <= LIMIT_QUERY_POINTS + 1; points++) {
            (void)snprintf(text, sizeof(text), "ad_id=x&window=%s&start=%llu&end=%llu",
                           windows[i].window, (unsigned long long)start,
                           (unsigned long long)(start + points * s));
            if (points == LIMIT_QUERY_POINTS)
                expect_ok(text);
            else
                expect_fault(text, "end", "at most 10080 windows");
        }
        (void)snprintf(text, sizeof(text), "ad_id=x&window=%s&start=%llu&end=%llu",
                       windows[i].window, (unsigned long long)start, (unsigned long long)start);
        expect_fault(text, "end", "after start");
        (void)snprintf(text, sizeof(text), "ad_id=x&window=%s&start=%llu&end=%llu",
                       windows[i].window, (unsigned long long)(start + s),
                       (unsigned long long)start);
        expect_fault(text, "end", "after start");
    }
}

Test(query, an_over_long_query_is_refused)
{
    char text[LIMIT_QUERY_BYTES + 2];
    memset(text, '&', sizeof(text) - 1);
    text[LIMIT_QUERY_BYTES + 1] = '\0';
    expect_fault(text, "query", "at most 4096 bytes");
    text[LIMIT_QUERY_BYTES] = '\0';
    expect_fault(text, "ad_id", "required");
}

Test(query, every_minute_of_the_range_belongs_to_the_point_that_holds_it)
{
    expect_ok("ad_id=x&window=5m&start=1700000100&end=1700001600");
    for (uint32_t m = q.start_minute; m < q.end_minute; m++) {
        uint32_t point = query_point_of(&q, m);
        cr_assert_lt(point, q.points);
        cr_assert_leq(query_minute_of(&q, point), m);
        cr_assert_gt(query_minute_of(&q, point + 1), m);
        cr_assert_eq(query_minute_of(&q, point) % 5, 0);
    }
    cr_assert_eq(query_minute_of(&q, q.points), q.end_minute);
}

Test(query, noise_is_refused_without_harm)
{
    struct rng rng = {8};
    static const char alphabet[] = "ad_idwindowstartend=&%0123456789abcdef+-consistency\x80\xc3";
    char text[200];
    for (unsigned round = 0; round < 100000; round++) {
        size_t length = rng_below(&rng, sizeof(text) - 1);
        for (size_t i = 0; i < length; i++)
            text[i] = alphabet[rng_below(&rng, sizeof(alphabet) - 1)];
        text[length] = '\0';
        cr_assert_not(query_parse(text, &q, &fault));
        cr_assert_lt(strlen(fault.rule), sizeof(fault.rule));
    }
}
