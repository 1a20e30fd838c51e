/* SPDX-License-Identifier: Apache-2.0
 * admit: whatever kind came instead of the due one is named; an address that is none is none. */
#include "edge/core/admit.h"

#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(admit_kinds, .timeout = 30);

#define NOW_MS 1700000123456ULL

static const uint8_t secret[HASH_KEY_BYTES] = "0123456789abcdef";
static const char regions[1][LIMIT_REGION_NAME_BYTES + 1] = {"us"};

static struct admit_verdict judged(struct click_json_click click, const char *peer)
{
    const struct admit_rules rules = {.secret = secret,
                                      .regions = regions,
                                      .region_count = 1,
                                      .partitions = 4,
                                      .horizon_ms = 3600000};
    struct admit_request request = {.now_ms = NOW_MS};
    struct admit_verdict v;
    if (peer != NULL)
        request.peer_ip = span_of_text(peer);
    admit_click(&rules, &request, &click, &v);
    return v;
}

static struct click_json_click given_click(void)
{
    return (struct click_json_click){
        .timestamp = NOW_MS, .ad_id = span_of_text("ad-1"), .user_id = span_of_text("user-1")};
}

static void expect_words(enum click_json_fault fault, const char *field, enum click_json_kind kind,
                         const char *expected)
{
    struct click_json_click c = {.fault = fault, .field = field, .kind = kind, .offset = 17};
    struct admit_verdict v = judged(c, NULL);
    char text[256];
    admit_explain(&v, &c, text, sizeof(text));
    cr_expect_str_eq(text, expected);
}

Test(admit_kinds, names_whatever_kind_came_instead)
{
    static const struct {
        enum click_json_kind kind;
        const char *words;
    } rows[] = {{CLICK_JSON_MISSING, "missing"},   {CLICK_JSON_NULL, "null"},
                {CLICK_JSON_BOOLEAN, "a boolean"}, {CLICK_JSON_NUMBER, "a number"},
                {CLICK_JSON_STRING, "a string"},   {CLICK_JSON_ARRAY, "an array"},
                {CLICK_JSON_OBJECT, "an object"}};
    for (size_t i = 0; i < countof(rows); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "user_id: must be a string, not %s", rows[i].words);
        expect_words(CLICK_JSON_WRONG_KIND, "user_id", rows[i].kind, text);
    }
    expect_words(CLICK_JSON_FIELD_LONG, "ip_address", 0,
                 "ip_address: must not be longer than 45 bytes");
    expect_words(CLICK_JSON_UTF8, "user_id", 0,
                 "user_id: must be UTF-8 without lone surrogates (byte 17)");
    expect_words(CLICK_JSON_DEPTH, NULL, 0, "click: must not be nested so deep (byte 17)");
}

Test(admit_kinds, an_address_that_is_not_there_is_left_out)
{
    struct click_json_click c = given_click();
    struct admit_verdict v = judged(c, NULL);
    cr_expect(v.fault == ADMIT_OK && v.click.ip_address.length == 0);
    cr_expect(v.click.flags & CLICK_FLAG_IP_FILLED);
    c.ip_address = span_of_text("");
    cr_expect_eq(judged(c, NULL).fault, ADMIT_IP_INVALID, "an empty one was sent");
    static char longest[LIMIT_IP_TEXT_BYTES];
    memset(longest, '1', sizeof(longest));
    c.ip_address = span_of(longest, sizeof(longest));
    cr_expect_eq(judged(c, NULL).fault, ADMIT_IP_INVALID);
    c = given_click();
    cr_expect(span_equal(judged(c, "192.0.2.7").click.ip_address, span_of_text("192.0.2.7")));
}
