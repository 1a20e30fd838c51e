/* SPDX-License-Identifier: Apache-2.0
 * An event brings a client from any earlier state to what was seen, and says nothing twice. */
#include "global/core/live.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>

#define MINUTES 4u
#define START   (1000u * 60)

static const struct span ids[] = {{(const uint8_t *)"shoe \"7\"", 8}, {(const uint8_t *)"hat", 3}};
static const struct stats_json_watermark marks[] = {{"us", START + 100}, {"eu", 0}};
static const struct stats_json_missing missing[] = {{"eu", "eu-e1"}};
static const struct stats_json_answer standing = {
    .as_of = START + 130, .watermarks = marks, .watermark_count = 2};

/* All ads alike: minute i from `first` on has `clicks` + i clicks. */
static void see(struct live *l, uint32_t ads, uint64_t first, uint64_t clicks)
{
    struct stats_json_point points[MINUTES];
    for (uint32_t i = 0; i < MINUTES; i++)
        points[i] =
            (struct stats_json_point){.timestamp = first + 60 * i, .click_count = clicks + i};
    for (uint32_t ad = 0; ad < ads; ad++)
        live_see(l, ad, points);
}

static char *event(const struct live *l, const struct stats_json_answer *s)
{
    static struct buf out;
    buf_clear(&out);
    live_put(l, ids, s, &out);
    buf_put_u8(&out, 0);
    return (char *)out.data;
}

/* The data of the event. */
static json_t *data_of(const struct live *l, const struct stats_json_answer *s)
{
    char *text = strstr(event(l, s), "\ndata: ");
    cr_assert_not_null(text);
    char *end = strstr(text, "\n\n");
    cr_assert(end != NULL && end[2] == '\0', "an event ends with one empty line: %s", text);
    cr_assert_null(memchr(text + 7, '\n', (size_t)(end - text - 7)), "data is one line");
    json_t *root = json_loadb(text + 7, (size_t)(end - text - 7), JSON_REJECT_DUPLICATES, NULL);
    cr_assert_not_null(root, "%s", text);
    return root;
}

static size_t points_of(json_t *root, size_t ad)
{
    return json_array_size(
        json_object_get(json_array_get(json_object_get(root, "ads"), ad), "data"));
}

static size_t ads_of(json_t *root)
{
    return json_array_size(json_object_get(root, "ads"));
}

Test(live, the_first_event_states_everything)
{
    struct live *l = live_new(2, MINUTES);
    see(l, 2, START, 7);
    cr_assert(live_has_news(l, &standing));

    cr_assert_eq(strncmp(event(l, &standing), "event: counts\nid: ", 18), 0);
    json_t *root = data_of(l, &standing);

    cr_assert_eq(ads_of(root), 2);
    cr_assert_eq(points_of(root, 0), MINUTES);
    cr_assert_eq(points_of(root, 1), MINUTES);
    json_t *ad = json_array_get(json_object_get(root, "ads"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(ad, "ad_id")), "shoe \"7\"");
    cr_assert_eq(json_integer_value(json_object_get(root, "as_of")), START + 130);
    json_decref(root);
    live_free(l);
}

Test(live, what_was_given_is_not_said_again)
{
    struct live *l = live_new(2, MINUTES);
    see(l, 2, START, 7);
    live_given(l, &standing);

    cr_assert_not(live_has_news(l, &standing));
    json_t *root = data_of(l, &standing);
    cr_assert_eq(ads_of(root), 0);
    json_decref(root);
    live_free(l);
}

Test(live, an_event_that_was_not_taken_is_made_up_for_by_the_next)
{
    struct live *l = live_new(1, MINUTES);
    see(l, 1, START, 7);
    live_given(l, &standing);
    see(l, 1, START, 8);
    cr_assert(live_has_news(l, &standing)); /* not taken */
    see(l, 1, START + 60, 9);

    json_t *root = data_of(l, &standing);

    /* 9 10 11 12 against 8 9 10 and none */
    cr_assert_eq(points_of(root, 0), MINUTES);
    json_decref(root);
    live_free(l);
}

Test(live, a_window_that_moved_on_states_the_new_minutes_alone)
{
    struct live *l = live_new(1, MINUTES);
    see(l, 1, START, 7);
    live_given(l, &standing);
    see(l, 1, START + 120, 9);
    json_t *root = data_of(l, &standing);
    cr_assert_eq(points_of(root, 0), 2);
    json_decref(root);

    /* a clock that was set back shows older minutes again */
    see(l, 1, START - 60, 6);
    root = data_of(l, &standing);
    cr_assert_eq(points_of(root, 0), 1);
    json_decref(root);

    see(l, 1, START + 60 * MINUTES, 0);
    root = data_of(l, &standing);
    cr_assert_eq(points_of(root, 0), MINUTES);
    json_decref(root);
    live_free(l);
}

Test(live, every_member_of_a_point_is_news)
{
    struct stats_json_point base[MINUTES];
    for (uint32_t i = 0; i < MINUTES; i++)
        base[i] = (struct stats_json_point){.timestamp = START + 60 * i, .click_count = i};
    for (unsigned change = 0; change < 5; change++) {
        struct live *l = live_new(1, MINUTES);
        struct stats_json_point now[MINUTES];
        memcpy(now, base, sizeof(now));
        if (change == 4) /* a number that is not stated is none */
            now[1].unique_users = 5;
        live_see(l, 0, base);
        uint64_t before = live_version(l, ids);
        live_given(l, &standing);
        now[1].click_count += change == 0;
        now[1].complete = change == 1;
        now[1].final_ = change == 2;
        now[1].has_unique_users = change == 3;
        live_see(l, 0, now);

        cr_assert_eq(live_has_news(l, &standing), change < 4, "change %u", change);
        cr_assert_eq(live_version(l, ids) != before, change < 4, "change %u", change);
        live_free(l);
    }
}

Test(live, watermarks_and_missing_edges_are_news_and_the_time_is_not)
{
    struct live *l = live_new(1, MINUTES);
    struct stats_json_answer now = standing;
    struct stats_json_watermark later[] = {{"us", START + 101}, {"eu", 0}};
    see(l, 1, START, 7);
    live_given(l, &standing);

    now.as_of++;
    cr_assert_not(live_has_news(l, &now));
    now.watermarks = later;
    cr_assert(live_has_news(l, &now));
    live_given(l, &now);
    now.missing = missing;
    now.missing_count = 1;
    cr_assert(live_has_news(l, &now));
    json_t *root = data_of(l, &now);
    cr_assert_eq(ads_of(root), 0);
    cr_assert_eq(json_array_size(json_object_get(root, "missing_edges")), 1);
    json_decref(root);
    live_free(l);
}

Test(live, a_version_names_ads_window_and_counts)
{
    const struct span other[] = {ids[1], ids[0]};
    struct live *l = live_new(2, MINUTES), *again = live_new(2, MINUTES),
                *one = live_new(1, MINUTES);
    uint64_t read = 0;
    see(l, 2, START, 7);
    see(again, 2, START, 7);
    see(one, 1, START, 7);

    cr_assert_eq(live_version(l, ids), live_version(again, ids));
    cr_assert_neq(live_version(l, ids), live_version(l, other));
    cr_assert_neq(live_version(l, ids), live_version(one, ids));
    char *id = strstr(event(l, &standing), "\nid: ") + 5;
    id[16] = '\0';
    cr_assert(live_version_parse(id, &read));
    cr_assert_eq(read, live_version(l, ids));
    live_free(l);
    live_free(again);
    live_free(one);
    live_free(NULL);
}

Test(live, a_client_that_names_what_it_has_is_told_the_watermarks_alone)
{
    struct live *l = live_new(2, MINUTES);
    see(l, 2, START, 7);
    live_given(l, NULL);
    cr_assert(live_has_news(l, &standing));
    json_t *root = data_of(l, &standing);
    cr_assert_eq(ads_of(root), 0);
    json_decref(root);
    live_free(l);
}

Test(live, other_texts_are_no_version)
{
    static const char *const texts[] = {
        "", "123", "0123456789abcdeF", "0123456789abcde ", "0123456789abcdef0", "-123456789abcdef"};
    uint64_t version = 42;
    for (size_t i = 0; i < countof(texts); i++)
        cr_assert_not(live_version_parse(texts[i], &version), "%s", texts[i]);
    cr_assert_eq(version, 42);
    cr_assert(live_version_parse("00000000000000ff", &version));
    cr_assert_eq(version, 255);
}
