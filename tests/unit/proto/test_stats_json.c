/* SPDX-License-Identifier: Apache-2.0
 * The answer has exactly the promised shape, and any JSON parser reads back what went in. */
#include "proto/stats_json.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>

TestSuite(stats_json, .timeout = 30);

static struct buf out;

static void fini(void)
{
    buf_done(&out);
}

static void expect_text(const char *wanted)
{
    buf_put_u8(&out, '\0');
    cr_assert_str_eq((const char *)out.data, wanted);
}

Test(stats_json, the_shape_is_the_promised_one, .fini = fini)
{
    const struct stats_json_point points[] = {
        {.timestamp = 1700000000,
         .click_count = 5,
         .unique_users = 4,
         .has_unique_users = true,
         .complete = true},
        {.timestamp = 1700000060, .click_count = 0, .final_ = true}};
    const struct stats_json_watermark watermarks[] = {{"us", 1700000060}, {"eu", 0}};
    const struct stats_json_missing missing[] = {{"us", "us-e2"}, {"eu", "eu-e1"}};
    const struct stats_json_answer answer = {.ad_id = span_of_text("x"),
                                             .window = "1m",
                                             .points = points,
                                             .point_count = 2,
                                             .as_of = 1700000065,
                                             .watermarks = watermarks,
                                             .watermark_count = 2,
                                             .missing = missing,
                                             .missing_count = 2};

    stats_json_put(&out, &answer);

    expect_text("{\"ad_id\":\"x\",\"window\":\"1m\",\"data\":["
                "{\"timestamp\":1700000000,\"click_count\":5,\"unique_users\":4,"
                "\"unique_users_error\":0.0163,\"complete\":true,\"final\":false},"
                "{\"timestamp\":1700000060,\"click_count\":0,\"unique_users\":null,"
                "\"unique_users_error\":null,\"complete\":false,\"final\":true}],"
                "\"as_of\":1700000065,\"watermarks\":{\"us\":1700000060,\"eu\":null},"
                "\"missing_edges\":[{\"region\":\"us\",\"edge\":\"us-e2\"},"
                "{\"region\":\"eu\",\"edge\":\"eu-e1\"}]}");
}

Test(stats_json, watermarks_alone_have_the_same_words, .fini = fini)
{
    const struct stats_json_watermark watermarks[] = {{"us", 7}};
    const struct stats_json_answer answer = {
        .as_of = 9, .watermarks = watermarks, .watermark_count = 1};

    stats_json_put_watermarks(&out, &answer);

    expect_text("{\"as_of\":9,\"watermarks\":{\"us\":7},\"missing_edges\":[]}");
}

Test(stats_json, every_ad_id_survives_a_parser, .fini = fini)
{
    char ad[160];
    for (unsigned c = 1; c < 0x80; c++) {
        (void)snprintf(ad, sizeof(ad), "a%cb\xc3\xa9\xf0\x9f\x98\x80", (char)c);
        const struct stats_json_answer answer = {.ad_id = span_of_text(ad), .window = "1d"};
        buf_clear(&out);
        stats_json_put(&out, &answer);
        json_t *root = json_loadb((const char *)out.data, out.length, JSON_REJECT_DUPLICATES, NULL);
        cr_assert_not_null(root, "%u", c);
        cr_assert_str_eq(json_string_value(json_object_get(root, "ad_id")), ad);
        cr_assert_eq(json_array_size(json_object_get(root, "data")), 0);
        json_decref(root);
    }
}

Test(stats_json, the_largest_numbers_are_written_in_full, .fini = fini)
{
    const struct stats_json_point point = {.timestamp = 253402300799,
                                           .click_count = UINT64_MAX,
                                           .unique_users = 10000000000000000000ULL,
                                           .has_unique_users = true};
    const struct stats_json_answer answer = {
        .ad_id = span_of_text("x"), .window = "1m", .points = &point, .point_count = 1};
    stats_json_put(&out, &answer);
    buf_put_u8(&out, '\0');
    cr_assert_not_null(strstr((const char *)out.data, "\"click_count\":18446744073709551615,"));
    cr_assert_not_null(strstr((const char *)out.data, "\"unique_users\":10000000000000000000,"));
    cr_assert_not_null(strstr((const char *)out.data, "\"timestamp\":253402300799,"));
}

Test(stats_json, several_ads_are_a_list_and_a_zone_is_named, .fini = fini)
{
    const struct stats_json_point point = {.timestamp = 60, .click_count = 2};
    struct stats_json_answer answer = {.ad_id = span_of_text("a"),
                                       .window = "1d",
                                       .zone = "Asia/Kolkata",
                                       .points = &point,
                                       .point_count = 1};
    stats_json_begin_several(&out, &answer);
    stats_json_put_one(&out, true, &answer);
    answer.ad_id = span_of_text("b");
    answer.point_count = 0;
    stats_json_put_one(&out, false, &answer);
    expect_text("{\"window\":\"1d\",\"tz\":\"Asia/Kolkata\",\"ads\":["
                "{\"ad_id\":\"a\",\"data\":[{\"timestamp\":60,\"click_count\":2,"
                "\"unique_users\":null,\"unique_users_error\":null,\"complete\":false,"
                "\"final\":false}]},{\"ad_id\":\"b\",\"data\":[]}");
}

Test(stats_json, points_in_a_row_are_those_that_stand_alone, .fini = fini)
{
    static const uint64_t times[] = {0,          60,         9960,  10000,      10020,
                                     19980,      20040,      99960, 1700009940, 1700010000,
                                     1700010060, 1699999980, 60};
    struct stats_json_point points[countof(times)];
    struct buf alone = {0};
    for (unsigned i = 0; i < countof(times); i++) {
        points[i] = (struct stats_json_point){.timestamp = times[i], .click_count = i * 7};
        char start[40];
        size_t at = alone.length;
        buf_put_u8(&alone, i == 0 ? '[' : ',');
        stats_json_put_point(&alone, &points[i]);
        (void)snprintf(start, sizeof(start), "{\"timestamp\":%llu,", (unsigned long long)times[i]);
        cr_assert_eq(memcmp(alone.data + at + 1, start, strlen(start)), 0);
    }
    buf_put_u8(&alone, ']');
    const struct stats_json_answer answer = {.points = points, .point_count = countof(points)};

    stats_json_put_points(&out, &answer);

    cr_assert(span_equal(buf_span(&out), buf_span(&alone)));
    buf_done(&alone);
}
