/* SPDX-License-Identifier: Apache-2.0
 * Pages hold each row once, in order; what is not asked for in pages is whole or refused. */
#include "global/core/query_span.h"

#include "zone_given.h"

#include <stdio.h>

static struct query q, slice;
static struct query_fault fault;
static struct zone zone;
static struct buf edges;

static void fini(void)
{
    zone_done(&zone);
    buf_done(&edges);
}

TestSuite(query_span, .fini = fini, .timeout = 30);

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

static void expect_local_fault(const char *rule, const char *text, const char *parameter,
                               const char *words)
{
    zone_done(&zone);
    zone = zone_given_rule(rule);
    expect_ok(text);
    cr_assert_not(query_localise(&q, &zone, &edges, &fault), "%s", text);
    cr_assert_str_eq(fault.parameter, parameter, "%s: %s: %s", text, fault.parameter, fault.rule);
    cr_assert_not_null(strstr(fault.rule, words), "%s: %s: %s", text, fault.parameter, fault.rule);
}

Test(query_span, a_query_without_a_limit_is_one_whole_answer)
{
    char cursor[QUERY_CURSOR_CHARS + 1];
    expect_ok("ad_id=a&ad_id=bc&window=1m&start=600&end=1200");
    cr_assert(q.ad_count == 2 && q.first_row == 0 && q.last_row == 20 && !q.paged);
    cr_assert_eq(query_slice(&q, 0, &slice), 10);
    cr_assert_str_eq(slice.ad_id, "a");
    cr_assert(slice.start_minute == 10 && slice.end_minute == 20 && slice.points == 10);
    cr_assert_eq(query_slice(&q, 10, &slice), 10);
    cr_assert_str_eq(slice.ad_id, "bc");
    cr_assert_eq(slice.ad_id_length, 2);
    cr_assert(slice.start_minute == 10 && slice.end_minute == 20 && slice.points == 10);
    cr_assert_eq(query_slice(&q, 20, &slice), 0);
    cr_assert_not(query_next(&q, cursor));
}

/* Walks all pages; returns how many. */
static unsigned walk(const char *text, bool local)
{
    char cursor[QUERY_CURSOR_CHARS + 1] = "";
    unsigned pages = 0;
    uint32_t wanted = 0;
    for (;; pages++) {
        char page[512];
        (void)snprintf(page, sizeof(page), "%s%s%s", text, pages > 0 ? "&cursor=" : "", cursor);
        expect_ok(page);
        if (local)
            cr_assert(query_localise(&q, &zone, &edges, &fault), "%s", fault.rule);
        uint32_t count;
        uint32_t rows = 0;
        for (uint32_t row = q.first_row; (count = query_slice(&q, row, &slice)) > 0; row += count)
            for (uint32_t i = 0; i < count; i++, rows++) {
                cr_assert_eq(slice.ad_id[0], 'a' + (int)((wanted + rows) / q.points));
                cr_assert_eq(query_minute_of(&slice, i),
                             query_minute_of(&q, (wanted + rows) % q.points));
                cr_assert_eq(query_point_of(&slice, query_minute_of(&slice, i)), i);
                cr_assert_eq(query_point_of(&slice, query_minute_of(&slice, i + 1) - 1), i);
            }
        cr_assert_leq(rows, q.limit);
        wanted += rows;
        if (!query_next(&q, cursor))
            break;
        cr_assert_eq(rows, q.limit, "only the last page may be short");
    }
    cr_assert_eq(wanted, q.points * q.ad_count);
    return pages + 1;
}

Test(query_span, pages_hold_each_row_once)
{
    for (unsigned limit = 1; limit <= 31; limit++) {
        char text[128];
        (void)snprintf(text, sizeof(text),
                       "ad_id=a&ad_id=b&ad_id=c&window=5m&start=0&end=3000&limit=%u", limit);
        cr_assert_eq(walk(text, false), (30 + limit - 1) / limit);
    }
    zone = zone_given_rule(ZONE_GIVEN_LORD_HOWE);
    cr_assert_eq(walk("ad_id=a&ad_id=b&window=1h&tz=Australia/Lord_Howe&start=1775311200&"
                      "end=1775399400&limit=7",
                      true),
                 8);
    cr_assert_eq(q.points, 25, "01, the second half of it again, 02 to 23, and 00");
}

Test(query_span, a_cursor_is_good_for_its_query_alone)
{
    char cursor[QUERY_CURSOR_CHARS + 1];
    char text[256];
    static const char *const others[] = {"ad_id=b&window=1m&start=600&end=1200&limit=3",
                                         "ad_id=a&window=5m&start=600&end=1200&limit=1",
                                         "ad_id=a&window=1m&start=540&end=1200&limit=3",
                                         "ad_id=a&window=1m&start=600&end=1260&limit=3",
                                         "ad_id=a&ad_id=b&window=1m&start=600&end=1200&limit=3"};
    expect_ok("ad_id=a&window=1m&start=600&end=1200&limit=3");
    cr_assert(query_next(&q, cursor));
    (void)snprintf(text, sizeof(text), "ad_id=a&window=1m&start=600&end=1200&limit=5&cursor=%s",
                   cursor);
    expect_ok(text); /* another size of page is no other query */
    cr_assert_eq(q.first_row, 3);
    for (unsigned i = 0; i < countof(others); i++) {
        (void)snprintf(text, sizeof(text), "%s&cursor=%s", others[i], cursor);
        expect_fault(text, "cursor", "to this query");
    }
    memcpy(cursor + 8, "0000000a", 8);
    (void)snprintf(text, sizeof(text), "ad_id=a&window=1m&start=600&end=1200&limit=3&cursor=%s",
                   cursor);
    expect_fault(text, "cursor", "to this query");
    expect_fault("ad_id=a&window=1m&start=600&end=1200&limit=3&cursor=12", "cursor", "`next`");
    expect_fault("ad_id=a&window=1m&start=600&end=1200&cursor=0000000000000003", "cursor",
                 "goes with a limit");
}

Test(query_span, what_is_too_long_names_its_limit)
{
    char text[4096] = "window=1m&start=0&end=60480";
    size_t used = strlen(text);
    for (unsigned i = 0; i < 10; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "&ad_id=a%u", i);
    expect_ok(text);
    (void)snprintf(text + used, sizeof(text) - used, "&ad_id=more");
    expect_fault(text, "end", "at most 10080, not 11088");
    (void)snprintf(text + used, sizeof(text) - used, "&ad_id=more&limit=10080");
    expect_ok(text);
    expect_fault("ad_id=a&window=1m&start=0&end=604860&limit=10081", "limit", "from 1 to 10080");
    expect_fault("ad_id=a&window=1m&start=0&end=604860", "end", "at most 10080 windows");
    expect_fault("ad_id=a&window=1m&start=0&end=63244800&limit=1&x", "x",
                 "known are ad_id, window");
    expect_ok("ad_id=a&window=1m&start=0&end=63244800&limit=1");
    expect_fault("ad_id=a&window=1m&start=0&end=63244860&limit=1", "end",
                 "at most 1054080 windows");
    expect_fault("ad_id=a&window=1m&start=0&end=63244860", "end", "at most 10080 windows");
    for (unsigned i = 0, at = 0; i <= LIMIT_QUERY_ADS; i++)
        at += (unsigned)snprintf(text + at, sizeof(text) - at, "ad_id=%u&", i);
    expect_fault(text, "ad_id", "at most 64 times");
    expect_fault("ad_id=a&ad_id=b&ad_id=a&window=1m&start=0&end=60", "ad_id", "twice");
}

Test(query_span, the_top_is_one_answer_whatever_its_limit)
{
    static const char *const texts[] = {"start=0&end=604800&limit=5", "start=0&end=604860&limit=5"};
    cr_assert(query_parse_for(QUERY_TOP, texts[0], &q, &fault));
    cr_assert(q.paged && q.ad_count == 0 && q.last_row == LIMIT_QUERY_POINTS);
    cr_assert_eq(query_slice(&q, 0, &slice), LIMIT_QUERY_POINTS);
    cr_assert_eq(slice.ad_id_length, 0);
    cr_assert_not(query_parse_for(QUERY_TOP, texts[1], &q, &fault));
    cr_assert_not_null(strstr(fault.rule, "at most 10080 windows of 1m, not 10081"), "%s",
                       fault.rule);
}

Test(query_span, local_windows_are_asked_for_at_their_edges)
{
    const char *berlin = "CET-1CEST,M3.5.0,M10.5.0/3";
    zone = zone_given_rule(berlin);
    expect_ok("ad_id=a&window=1d&tz=Europe/Berlin&start=1792879200&end=1792969200");
    cr_assert_eq(q.points, 0, "laid out later");
    cr_assert(query_localise(&q, &zone, &edges, &fault), "%s", fault.rule);
    cr_assert(q.points == 1 && q.end_minute - q.start_minute == 1500 && q.last_row == 1);
    cr_assert_eq(query_point_of(&q, q.end_minute - 1), 0);

    expect_ok("ad_id=a&window=1m&tz=Europe%2FBerlin&start=60&end=120");
    cr_assert(query_localise(&q, &zone, &edges, &fault));
    cr_assert(q.points == 1 && q.edges == NULL);

#define BERLIN "ad_id=a&tz=Europe/Berlin&window="
    expect_local_fault(berlin, BERLIN "1d&start=1792886400&end=1792972800", "start", "begins");
    expect_local_fault(berlin, BERLIN "1d&start=1792879200&end=1792965600", "end", "begins");
    expect_local_fault(berlin, BERLIN "1d&start=1792879200&end=1792879200", "end", "after start");
    expect_local_fault(berlin, BERLIN "1m&start=30&end=120", "start", "aligned");
    expect_local_fault(berlin, BERLIN "5m&start=0&end=3024300", "end",
                       "at most 10080 windows of 5m");
    expect_local_fault(berlin, BERLIN "5m&start=0&end=253402300800&limit=1", "end",
                       "at most 17568 windows of 5m");
    expect_local_fault(berlin, BERLIN "5m&start=0&end=5270700&limit=1", "end",
                       "at most 17568 windows of 5m, not 17569");
    expect_ok(BERLIN "5m&start=0&end=5270400&limit=1");
    cr_assert(query_localise(&q, &zone, &edges, &fault), "%s", fault.rule);
    cr_assert_eq(q.points, LIMIT_QUERY_LOCAL_WINDOWS);
    expect_ok(BERLIN "1m&start=0&end=63244800&limit=1");
    cr_assert(query_localise(&q, &zone, &edges, &fault), "minutes are the same everywhere");
    expect_local_fault("LMT0:44:30", BERLIN "1h&start=2670&end=6270", "tz", "whole minutes");
}

Test(query_span, names_of_zones_are_refused_before_any_file_is_looked_for)
{
    static const char *const bad[] = {"", "..%2F..%2Fetc%2Fpasswd", "Europe", "%00",
                                      "A234567890123456789012345678901234567890123456789"};
    for (unsigned i = 0; i < countof(bad); i++) {
        char text[160];
        (void)snprintf(text, sizeof(text), "ad_id=a&window=1m&start=0&end=60&tz=%s",
                       i == 2 ? "europe/berlin" : bad[i]);
        expect_fault(text, "tz", "IANA name");
    }
    expect_fault("ad_id=a&window=1m&start=0&end=60&tz=%4", "tz", "hexadecimal");
    expect_fault("ad_id=a&window=1m&start=0&end=60&limit=%4", "limit", "hexadecimal");
    expect_fault("ad_id=a&window=1m&start=0&end=60&tz=UTC&tz=UTC", "tz", "once");
}
