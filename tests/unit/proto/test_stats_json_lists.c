/* SPDX-License-Identifier: Apache-2.0
 * Top ads, lists of ads and books: the promised text, byte by byte. */
#include "proto/stats_json.h"

#include <criterion/criterion.h>
#include <jansson.h>

static struct buf out;

static void fini(void)
{
    buf_done(&out);
}

TestSuite(stats_json_lists, .fini = fini, .timeout = 30);

static void expect_text(const char *wanted)
{
    buf_put_u8(&out, '\0');
    cr_assert_str_eq((const char *)out.data, wanted);
    json_t *root = json_loads(wanted, JSON_REJECT_DUPLICATES, NULL);
    cr_assert_not_null(root, "a parser reads it");
    json_decref(root);
}

Test(stats_json_lists, top_ads_without_a_name_are_null)
{
    const struct stats_json_top_ad ads[] = {
        {.click_count = 9, .has_name = true, .ad_id_length = 3, .ad_id = "a\"b"},
        {.click_count = 5}};
    const struct stats_json_top top = {
        .start = 60, .end = 120, .complete = true, .ads = ads, .ad_count = 2};
    const struct stats_json_answer answer = {.as_of = 130};
    stats_json_put_top(&out, &top);
    stats_json_put_standing(&out, &answer);
    expect_text("{\"start\":60,\"end\":120,\"complete\":true,\"final\":false,\"ads\":["
                "{\"ad_id\":\"a\\\"b\",\"click_count\":9},{\"ad_id\":null,\"click_count\":5}],"
                "\"as_of\":130,\"watermarks\":{},\"missing_edges\":[]}");
}

/* Only what is complete may be left out: an open point without clicks says that it is open. */
Test(stats_json_lists, points_without_clicks_are_left_out_only_once_complete)
{
    const struct stats_json_point points[] = {
        {.timestamp = 60, .complete = true},
        {.timestamp = 120, .complete = false},
        {.timestamp = 180, .click_count = 1, .complete = true},
        {.timestamp = 240, .complete = true}};
    struct stats_json_answer answer = {.ad_id = span_of_text("x"),
                                       .window = "1m",
                                       .points = points,
                                       .point_count = 4,
                                       .fill_none = true};
    stats_json_put(&out, &answer);
    expect_text("{\"ad_id\":\"x\",\"window\":\"1m\",\"data\":["
                "{\"timestamp\":120,\"click_count\":0,\"unique_users\":null,"
                "\"unique_users_error\":null,\"complete\":false,\"final\":false},"
                "{\"timestamp\":180,\"click_count\":1,\"unique_users\":null,"
                "\"unique_users_error\":null,\"complete\":true,\"final\":false}],"
                "\"as_of\":0,\"watermarks\":{},\"missing_edges\":[]}");
}

Test(stats_json_lists, ads_and_lines_are_parted_by_commas)
{
    const struct stats_json_edge edges[] = {{.edge = "us-e1",
                                             .epoch = 0xfedcba9876543210ULL,
                                             .accepted = 9,
                                             .floor = 7,
                                             .in_flight = 2},
                                            {.edge = "us-e2", .missing = true}};
    const struct stats_json_line line = {
        .region = "us",
        .replica = "us-r1",
        .partition = 3,
        .replicas = 2,
        .stream_time = 60,
        .sums =
            {.folded = 7, .counted = 5, .duplicate = 1, .carried = 1, .in_flight = 2, .merged = 4},
        .edges = edges,
        .edge_count = 2};
    const struct stats_json_line bare = {.region = "eu", .replica = "eu-r1"};
    buf_put_u8(&out, '[');
    stats_json_put_ad(&out, true, span_of_text("a"), 60, 120);
    stats_json_put_ad(&out, false, span_of_text("b"), 180, 180);
    stats_json_put_line(&out, false, &line);
    stats_json_put_line(&out, false, &bare);
    buf_put_u8(&out, ']');
    expect_text("[{\"ad_id\":\"a\",\"first_seen\":60,\"last_seen\":120},"
                "{\"ad_id\":\"b\",\"first_seen\":180,\"last_seen\":180},"
                "{\"region\":\"us\",\"partition\":3,\"replica\":\"us-r1\",\"replicas\":2,"
                "\"stream_time\":60,\"folded\":7,\"counted\":5,\"duplicate\":1,\"carried\":1,"
                "\"unexplained\":0,\"in_flight\":2,\"merged\":4,\"edges\":["
                "{\"edge\":\"us-e1\",\"epoch\":\"fedcba9876543210\",\"accepted\":9,\"floor\":7,"
                "\"in_flight\":2,\"missing\":false},"
                "{\"edge\":\"us-e2\",\"epoch\":\"0000000000000000\",\"accepted\":0,\"floor\":0,"
                "\"in_flight\":0,\"missing\":true}]},"
                "{\"region\":\"eu\",\"partition\":0,\"replica\":\"eu-r1\",\"replicas\":0,"
                "\"stream_time\":0,\"folded\":0,\"counted\":0,\"duplicate\":0,\"carried\":0,"
                "\"unexplained\":0,\"in_flight\":0,\"merged\":0,\"edges\":[]}]");
}

Test(stats_json_lists, a_list_may_begin_with_a_line_and_sums_are_an_object)
{
    const struct stats_json_line line = {.region = "us", .replica = "r"};
    const struct stats_json_sums sums = {1, 2, 3, 4, 5, 6, 7};
    buf_put_u8(&out, '[');
    stats_json_put_line(&out, true, &line);
    buf_put_u8(&out, ',');
    stats_json_put_sums(&out, &sums);
    buf_put_u8(&out, ']');
    expect_text("[{\"region\":\"us\",\"partition\":0,\"replica\":\"r\",\"replicas\":0,"
                "\"stream_time\":0,\"folded\":0,\"counted\":0,\"duplicate\":0,\"carried\":0,"
                "\"unexplained\":0,\"in_flight\":0,\"merged\":0,\"edges\":[]},"
                "{\"folded\":1,\"counted\":2,\"duplicate\":3,\"carried\":4,\"unexplained\":5,"
                "\"in_flight\":6,\"merged\":7}]");
}
