/* SPDX-License-Identifier: Apache-2.0
 * Rows say what the JSON says, in the words of their form. */
#include "proto/stats_rows.h"

#include <criterion/criterion.h>

static struct buf out;

static void fini(void)
{
    buf_done(&out);
}

TestSuite(stats_rows, .fini = fini, .timeout = 30);

static void expect_text(const char *wanted)
{
    buf_put_u8(&out, '\0');
    cr_assert_str_eq((const char *)out.data, wanted);
}

static const struct stats_json_point points[] = {
    {.timestamp = 60,
     .click_count = 5,
     .unique_users = 4,
     .has_unique_users = true,
     .complete = true,
     .final_ = true},
    {.timestamp = 120, .has_unique_users = true, .complete = true},
    {.timestamp = 180, .click_count = 7}};

static struct stats_json_answer given(const char *ad_id, bool fill_none)
{
    return (struct stats_json_answer){.ad_id = span_of_text(ad_id),
                                      .window = "1m",
                                      .points = points,
                                      .point_count = countof(points),
                                      .fill_none = fill_none};
}

Test(stats_rows, csv_has_names_quoted_ids_and_nothing_for_null)
{
    struct stats_json_answer answer = given("=a\"b,\xc3\xa9", false);
    stats_rows_begin(&out, STATS_ROWS_CSV);
    stats_rows_put(&out, STATS_ROWS_CSV, &answer);
    expect_text("ad_id,timestamp,click_count,unique_users,unique_users_error,complete,final\r\n"
                "\"=a\"\"b,\xc3\xa9\",60,5,4,0.0163,true,true\r\n"
                "\"=a\"\"b,\xc3\xa9\",120,0,0,0.0163,true,false\r\n"
                "\"=a\"\"b,\xc3\xa9\",180,7,,,false,false\r\n");
}

Test(stats_rows, ndjson_is_an_object_a_line)
{
    struct stats_json_answer answer = given("a\"b", true);
    stats_rows_begin(&out, STATS_ROWS_NDJSON);
    stats_rows_put(&out, STATS_ROWS_NDJSON, &answer);
    expect_text("{\"ad_id\":\"a\\\"b\",\"timestamp\":60,\"click_count\":5,\"unique_users\":4,"
                "\"unique_users_error\":0.0163,\"complete\":true,\"final\":true}\n"
                "{\"ad_id\":\"a\\\"b\",\"timestamp\":180,\"click_count\":7,\"unique_users\":null,"
                "\"unique_users_error\":null,\"complete\":false,\"final\":false}\n");
}

Test(stats_rows, what_fill_leaves_out_is_left_out_of_csv_too)
{
    struct stats_json_answer answer = given("x", true);
    stats_rows_put(&out, STATS_ROWS_CSV, &answer);
    expect_text("\"x\",60,5,4,0.0163,true,true\r\n\"x\",180,7,,,false,false\r\n");
}

Test(stats_rows, the_top_ads_are_rows_too)
{
    const struct stats_json_top_ad ads[] = {
        {.click_count = 9, .has_name = true, .ad_id_length = 3, .ad_id = "a\"b"},
        {.click_count = 5}};
    const struct stats_json_top top = {.ads = ads, .ad_count = 2};
    stats_rows_put_top(&out, STATS_ROWS_CSV, &top);
    stats_rows_put_top(&out, STATS_ROWS_NDJSON, &top);
    expect_text("ad_id,click_count\r\n\"a\"\"b\",9\r\n,5\r\n"
                "{\"ad_id\":\"a\\\"b\",\"click_count\":9}\n{\"ad_id\":null,\"click_count\":5}\n");
}
