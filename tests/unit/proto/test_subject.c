/* SPDX-License-Identifier: Apache-2.0
 * subject: names as documented; none that could reach into another's. */
#include "proto/subject.h"

#include <criterion/criterion.h>
#include <signal.h>

Test(subject, names_are_as_documented)
{
    cr_assert_str_eq(subject_clicks_stream("us", 3).text, "CLICKS_us_3");
    cr_assert_str_eq(subject_clicks_all("us", 3).text, "clicks.us.3.>");
    cr_assert_str_eq(subject_segment("us", 3, "us-e1").text, "clicks.us.3.edge.us-e1");
    cr_assert_str_eq(subject_control("us", 3).text, "clicks.us.3.control");
    cr_assert_str_eq(subject_tick("us", 3, "fold-a").text, "clicks.us.3.tick.fold-a");
    cr_assert_str_eq(subject_floors("us", "us-e1", "fold-a").text, "floors.us.us-e1.fold-a");
    cr_assert_str_eq(subject_floors_of_edge("us", "us-e1").text, "floors.us.us-e1.*");
    cr_assert_str_eq(subject_partials_stream("eu").text, "PARTIALS_eu");
    cr_assert_str_eq(subject_partials_all("eu").text, "partials.eu.>");
    cr_assert_str_eq(subject_partial("eu", 0, "fold-a").text, "partials.eu.0.fold-a");
    cr_assert_str_eq(subject_want("eu", "fold-a").text, "want.eu.fold-a");
    cr_assert_str_eq(subject_roster("eu").text, "roster.eu");
}

Test(subject, the_longest_names_fit)
{
    const char *region = "abcdefghijklmno", *edge = "abcdefghijklmnopqrstuvwxyzabcde";
    cr_assert(subject_name_is_valid(region, LIMIT_REGION_NAME_BYTES));
    cr_assert(subject_name_is_valid(edge, LIMIT_EDGE_NAME_BYTES));
    cr_assert_str_eq(subject_floors(region, edge, edge).text,
                     "floors.abcdefghijklmno.abcdefghijklmnopqrstuvwxyzabcde."
                     "abcdefghijklmnopqrstuvwxyzabcde");
    cr_assert(subject_is_from_edge(subject_segment(region, LIMIT_PARTITIONS - 1, edge).text, edge));
}

Test(subject, a_wildcard_in_a_name_is_a_mistake, .signal = SIGABRT)
{
    (void)subject_segment("us", 3, ">");
}

Test(subject, a_partition_beyond_the_limit_is_a_mistake, .signal = SIGABRT)
{
    (void)subject_clicks_stream("us", LIMIT_PARTITIONS);
}

Test(subject, valid_names_are_lower_case_words)
{
    static const char *const good[] = {"a", "us", "us-e1", "z9", "a-", "a--b"};
    static const char *const bad[] = {"",   "-a", "9a",  "A",   "aB",       "a.b", "a b",
                                      "a*", ">",  "a_b", "a\n", "\xc3\xa4", "a/"};
    for (unsigned i = 0; i < countof(good); i++)
        cr_assert(subject_name_is_valid(good[i], 5), "%s", good[i]);
    for (unsigned i = 0; i < countof(bad); i++)
        cr_assert_not(subject_name_is_valid(bad[i], 5), "%s", bad[i]);
    cr_assert_not(subject_name_is_valid("abcdef", 5));
}

Test(subject, only_the_exact_subject_of_an_edge_is_from_it)
{
    static const char *const foreign[] = {
        "clicks.us.3.edge.us-e2",
        "clicks.us.3.edge.us-e",
        "clicks.us.3.edge.us-e11",
        "clicks.us.3.edge.",
        "clicks.us.3.edge",
        "clicks.us.3.tick.us-e1",
        "clicks.us.3.control",
        "clicks.us..edge.us-e1",
        "clicks..3.edge.us-e1",
        "clicks.us.x.edge.us-e1",
        "clicks.us.3x.edge.us-e1",
        "clicks.us.3.4.edge.us-e1",
        "xclicks.us.3.edge.us-e1",
        "clicks.us.3.edge.a.us-e1",
        "clicks.us.3.edge.us-e1.b",
        "floors.us.3.edge.us-e1",
        "",
        "clicks.us.123456.edge.us-e1",
        "clicks.abcdefghijklmnop.3.edge.us-e1",
    };
    cr_assert(subject_is_from_edge("clicks.us.3.edge.us-e1", "us-e1"));
    cr_assert(subject_is_from_edge("clicks.eu.1023.edge.us-e1", "us-e1"));
    for (unsigned i = 0; i < countof(foreign); i++)
        cr_assert_not(subject_is_from_edge(foreign[i], "us-e1"), "%s", foreign[i]);
    cr_assert_not(subject_is_from_edge("clicks.us.3.edge.", ""));
}
