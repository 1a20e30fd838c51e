/* SPDX-License-Identifier: Apache-2.0
 * What an operator reads: tables that say what the JSON says, exit codes, and a terminal that no
 * answer drives. */
#include "common/run/options.h"
#include "regional/ctl/ctl_base.h"
#include "regional/ctl/ctl_http.h"
#include "regional/ctl/ctl_tables.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

static char shown[4096];
static FILE *capture;

static void setup(void)
{
    capture = tmpfile();
    cr_assert_not_null(capture);
    cr_assert_geq(dup2(fileno(capture), STDOUT_FILENO), 0);
    cr_assert_geq(dup2(fileno(capture), STDERR_FILENO), 0);
}

static void teardown(void)
{
    (void)fclose(capture);
}

TestSuite(ctl_tables, .init = setup, .fini = teardown, .timeout = 30);

static const char *what_was_shown(void)
{
    (void)fflush(stdout);
    ssize_t length = pread(fileno(capture), shown, sizeof(shown) - 1, 0);
    shown[length < 0 ? 0 : length] = '\0';
    return shown;
}

static void expect_shown(const char *words)
{
    cr_assert_not_null(strstr(what_was_shown(), words), "%s in %s", words, shown);
}

static int show(enum ctl_table table, const char *json)
{
    return ctl_tables_show(table, span_of_text(json), false);
}

Test(ctl_tables, stats_state_each_window_and_the_sum)
{
    int code =
        show(CTL_TABLE_STATS, "{\"ad_id\":\"shoe\",\"as_of\":1700000000,\"data\":["
                              "{\"timestamp\":1699999200,\"click_count\":5,\"unique_users\":4,"
                              "\"complete\":true,\"final\":false},"
                              "{\"timestamp\":1699999260,\"click_count\":9007199254740993,"
                              "\"unique_users\":null,\"complete\":false,\"final\":false}]}");

    cr_assert_eq(code, 0);
    expect_shown("2023-11-14 22:00:00                5             4  yes       no\n");
    expect_shown("2023-11-14 22:01:00  9007199254740993             -  no        no\n");
    expect_shown("9007199254740998 clicks of shoe, 1 windows of 2 not complete, "
                 "as of 2023-11-14 22:13:20 UTC\n");
}

Test(ctl_tables, a_name_does_not_drive_the_terminal)
{
    int code = show(CTL_TABLE_TOP, "{\"as_of\":1,\"complete\":true,\"final\":false,\"ads\":["
                                   "{\"ad_id\":\"\\u001b[31m\\u009b7\\u007f\\u00e9\\n\","
                                   "\"click_count\":3},{\"ad_id\":null,\"click_count\":2}]}");

    cr_assert_eq(code, 0);
    expect_shown("   1                3  \\x1b[31m\\x9b7\\x7f\xc3\xa9\\x0a\n");
    expect_shown("   2                2  -\n");
    expect_shown("complete, as of 1970-01-01 00:00:01 UTC\n");
}

Test(ctl_tables, one_click_that_nothing_explains_is_a_no)
{
    static const char open_books[] =
        "{\"as_of\":1,\"unexplained\":1,\"totals\":{\"folded\":8,\"unexplained\":1},\"lines\":["
        "{\"region\":\"us\",\"partition\":2,\"replica\":\"us-r1\",\"folded\":8,\"counted\":7,"
        "\"duplicate\":0,\"carried\":0,\"in_flight\":0,\"unexplained\":1}]}";
    static const char closed[] = "{\"as_of\":1,\"unexplained\":0,\"totals\":{},\"lines\":[]}";

    cr_assert_eq(show(CTL_TABLE_BALANCE, open_books), CTL_EXIT_NO);
    expect_shown("   2  us                us-r1                          8               7  ");
    expect_shown("1 unexplained, ");
    cr_assert_eq(ctl_tables_show(CTL_TABLE_BALANCE, span_of_text(open_books), true), CTL_EXIT_NO);
    cr_assert_eq(show(CTL_TABLE_BALANCE, closed), 0);
}

Test(ctl_tables, a_missing_edge_or_watermark_is_a_no)
{
    cr_assert_eq(show(CTL_TABLE_WATERMARKS,
                      "{\"as_of\":90,\"watermarks\":{\"us\":60},\"missing_edges\":[]}"),
                 0);
    expect_shown("us                1970-01-01 00:01:00  30 s\n");
    cr_assert_eq(show(CTL_TABLE_WATERMARKS,
                      "{\"as_of\":90,\"watermarks\":{\"us\":60,\"eu\":null},\"missing_edges\":[]}"),
                 CTL_EXIT_NO);
    expect_shown("none yet\n");
    cr_assert_eq(show(CTL_TABLE_WATERMARKS, "{\"as_of\":90,\"watermarks\":{\"us\":60},"
                                            "\"missing_edges\":[{\"region\":\"us\","
                                            "\"edge\":\"us-e1\"}]}"),
                 CTL_EXIT_NO);
    expect_shown("missing: edge us-e1 of region us\n");
}

Test(ctl_tables, a_page_of_ads_says_how_to_go_on)
{
    cr_assert_eq(show(CTL_TABLE_ADS, "{\"ads\":[{\"ad_id\":\"shoe\",\"first_seen\":60,"
                                     "\"last_seen\":120}],\"next\":\"00ff00ff00ff00ff\"}"),
                 0);
    expect_shown("1970-01-01 00:01:00  1970-01-01 00:02:00  shoe\n"
                 "more: --cursor 00ff00ff00ff00ff\n");
}

Test(ctl_tables, what_is_no_answer_is_never_a_yes)
{
    static const char *const wrong[] = {"",
                                        "{",
                                        "[]",
                                        "{}",
                                        "{\"unexplained\":0}",
                                        "{\"unexplained\":0,\"lines\":{}}",
                                        "{\"lines\":[]}",
                                        "{\"unexplained\":1,\"unexplained\":0,\"lines\":[]}"};
    for (unsigned i = 0; i < countof(wrong); i++)
        cr_assert_eq(show(CTL_TABLE_BALANCE, wrong[i]), EXIT_CODE_TEMPORARY, "%s", wrong[i]);
    expect_shown("not the answer of a globe\n");
}

Test(ctl_tables, a_status_has_one_meaning)
{
    static const struct {
        long status;
        int code;
    } known[] = {{400, EXIT_CODE_USAGE},      {401, CTL_EXIT_NOT_ALLOWED},
                 {403, CTL_EXIT_NOT_ALLOWED}, {409, CTL_EXIT_NO},
                 {404, EXIT_CODE_TEMPORARY},  {429, EXIT_CODE_TEMPORARY},
                 {503, EXIT_CODE_TEMPORARY},  {302, EXIT_CODE_TEMPORARY}};
    for (unsigned i = 0; i < countof(known); i++)
        cr_assert_eq(ctl_tables_problem(known[i].status, span_of_text("{\"detail\":\"late\"}")),
                     known[i].code);
    expect_shown("tributaryctl: the globe answers 409: late\n");
    (void)ctl_tables_problem(500, span_of_text("{\"detail\":\"\\u001b[2J\"}"));
    expect_shown("tributaryctl: the globe answers 500: not a problem of ours\n");
}

Test(ctl_tables, parameters_are_percent_encoded)
{
    struct buf path = {0};
    buf_put(&path, "/v1/stats", 9);

    ctl_http_put_parameter(&path, "ad_id", "a b+&=%\xc3\xa9~");
    ctl_http_put_parameter(&path, "start", "2026-11-24T00:00:00+01:00");

    buf_put_u8(&path, '\0');
    cr_assert_str_eq((const char *)path.data, "/v1/stats?ad_id=a%20b%2B%26%3D%25%C3%A9~"
                                              "&start=2026-11-24T00%3A00%3A00%2B01%3A00");
    buf_done(&path);
}

Test(ctl_tables, counts_are_whole_numbers_within_their_bound)
{
    static const char *const wrong[] = {"",   "0",   "-1",  "+1",  " 1",
                                        "1 ", "1.5", "0x1", "101", "18446744073709551617"};
    uint64_t count = 7;
    for (unsigned i = 0; i < countof(wrong); i++)
        cr_assert_not(ctl_parse_count(wrong[i], 100, &count), "%s", wrong[i]);
    cr_assert_eq(count, 7);
    cr_assert(ctl_parse_count("100", 100, &count));
    cr_assert_eq(count, 100);
}
