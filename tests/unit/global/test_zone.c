/* SPDX-License-Identifier: Apache-2.0
 * A zone's file is read as it is, or refused; its name cannot leave the database. */
#include "zone_given.h"

TestSuite(zone, .timeout = 30);

static struct zone zone;

static void fini(void)
{
    zone_done(&zone);
}

static void expect_east(int64_t at_s, int32_t east_s, int64_t until_s)
{
    int64_t until = 0;
    cr_assert_eq(zone_east_at(&zone, at_s, &until), east_s, "at %lld", (long long)at_s);
    cr_assert_eq(until, until_s, "at %lld: until %lld", (long long)at_s, (long long)until);
}

static const int32_t east[] = {-17762, -18000, -14400, -18000};
static const struct zone_given_change changes[] = {{-100, 1}, {50, 2}, {70, 3}, {90, 1}};

Test(zone, changes_hold_from_their_instant_on, .fini = fini)
{
    const struct zone_given g = {
        .east = east, .types = 4, .changes = changes, .change_count = 4, .rule = ""};
    cr_assert_eq(zone_given_read(&g, &zone), ERR_OK);
    expect_east(INT64_MIN, -17762, -100);
    expect_east(-101, -17762, -100);
    expect_east(-100, -18000, 50);
    expect_east(49, -18000, 50);
    expect_east(50, -14400, 70);
    /* The last one only renames the time. */
    expect_east(70, -18000, ZONE_FOREVER);
    expect_east(INT64_MAX, -18000, ZONE_FOREVER);
}

Test(zone, behind_the_last_change_the_rule_holds, .fini = fini)
{
    const struct zone_given g = {
        .east = east, .types = 4, .changes = changes, .change_count = 4, .rule = "EST5"};
    cr_assert_eq(zone_given_read(&g, &zone), ERR_OK);
    expect_east(60, -14400, 70);
    expect_east(70, -18000, 90); /* until the rule, which says the same */
    expect_east(90, -18000, ZONE_FOREVER);
    cr_assert(zone.has_rule);
}

Test(zone, a_zone_may_have_no_change_at_all, .fini = fini)
{
    const struct zone_given g = {.east = east, .types = 1, .rule = "<-00>0"};
    cr_assert_eq(zone_given_read(&g, &zone), ERR_OK);
    expect_east(0, 0, ZONE_FOREVER);
    zone_done(&zone);
    const struct zone_given bare = {.east = east, .types = 1, .rule = ""};
    cr_assert_eq(zone_given_read(&bare, &zone), ERR_OK);
    expect_east(0, -17762, ZONE_FOREVER);
}

Test(zone, what_is_no_zone_is_refused)
{
    static const int32_t far[] = {0, ZONE_EAST_MAX + 1};
    static const int32_t far_west[] = {-ZONE_EAST_MAX - 1};
    static const struct zone_given_change back[] = {{50, 1}, {50, 2}};
    static const struct zone_given_change unknown[] = {{50, 4}};
    static struct zone_given_change many[ZONE_CHANGES_MAX + 1];
    const struct {
        struct zone_given g;
        enum err err;
    } rows[] = {
        {{.version = '1', .east = east, .types = 4, .rule = ""}, ERR_VERSION},
        {{.east = east, .types = 0, .rule = ""}, ERR_FORMAT},
        {{.east = east, .types = 4, .leaps = 1, .rule = ""}, ERR_FORMAT},
        {{.east = far, .types = 2, .rule = ""}, ERR_FORMAT},
        {{.east = far_west, .types = 1, .rule = ""}, ERR_FORMAT},
        {{.east = east, .types = 4, .changes = back, .change_count = 2, .rule = ""}, ERR_FORMAT},
        {{.east = east, .types = 4, .changes = unknown, .change_count = 1, .rule = ""}, ERR_FORMAT},
        {{.east = east, .types = 4, .changes = many, .change_count = countof(many), .rule = ""},
         ERR_LIMIT},
        {{.east = east, .types = 4, .rule = NULL}, ERR_FORMAT},
        {{.east = east, .types = 4, .rule = "EST"}, ERR_FORMAT},
        {{.east = east, .types = 4, .rule = "EST5\n"}, ERR_FORMAT},
    };
    for (unsigned i = 0; i < countof(rows); i++) {
        cr_assert_eq(zone_given_read(&rows[i].g, &zone), rows[i].err, "row %u", i);
        cr_assert(zone.changes == NULL && zone.change_count == 0);
    }
}

Test(zone, truncated_or_with_other_bytes_it_is_refused_without_harm)
{
    const struct zone_given g = {.east = east,
                                 .types = 4,
                                 .changes = changes,
                                 .change_count = 4,
                                 .rule = ZONE_GIVEN_NEW_YORK};
    struct buf bytes = {0};
    zone_given_bytes(&g, &bytes);
    for (size_t length = 0; length < bytes.length; length++)
        cr_assert_neq(zone_read(&zone, span_of(bytes.data, length)), ERR_OK, "%zu", length);
    cr_assert_eq(
        zone_read(&zone, span_of_text("TZjf2............................................")),
        ERR_MAGIC);
    for (size_t i = 0; i < bytes.length; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes.data[i] ^= (uint8_t)(1u << bit);
            if (zone_read(&zone, buf_span(&bytes)) == ERR_OK)
                zone_done(&zone);
            bytes.data[i] ^= (uint8_t)(1u << bit);
        }
    bytes.data[bytes.length - 1] = ' ';
    cr_assert_eq(zone_read(&zone, buf_span(&bytes)), ERR_FORMAT);
    bytes.data[bytes.length - 1] = '\n';
    bytes.data[bytes.length - strlen(ZONE_GIVEN_NEW_YORK) - 2] = ' ';
    cr_assert_eq(zone_read(&zone, buf_span(&bytes)), ERR_FORMAT);
    buf_done(&bytes);
}

Test(zone, names_cannot_leave_the_database)
{
    static const char *const good[] = {
        "UTC",     "Etc/GMT+12",          "America/Argentina/Buenos_Aires",
        "NZ-CHAT", "Etc/GMT-14",          "America/North_Dakota/New_Salem",
        "EST5EDT", "Africa/Dar_es_Salaam"};
    static const char *const bad[] = {"",
                                      "..",
                                      "../etc/passwd",
                                      "/etc/passwd",
                                      "Europe/../../etc",
                                      "Europe/",
                                      "Europe//Berlin",
                                      "europe/Berlin",
                                      "Europe/berlin",
                                      "posix/Europe/Berlin",
                                      "right/UTC",
                                      "Europe/Ber.lin",
                                      "Europe/Ber lin",
                                      "Europe\\Berlin",
                                      "\xc3\x84",
                                      "+1",
                                      "A2345678901234567890123456789012345678901234567890"};
    for (unsigned i = 0; i < countof(good); i++)
        cr_assert(zone_name_is_valid(span_of_text(good[i])), "%s", good[i]);
    for (unsigned i = 0; i < countof(bad); i++)
        cr_assert_not(zone_name_is_valid(span_of_text(bad[i])), "%s", bad[i]);
    cr_assert_not(zone_name_is_valid(span_of("UT\0C", 4)));
}
