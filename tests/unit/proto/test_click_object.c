/* SPDX-License-Identifier: Apache-2.0
 * click_object: the rules of a click's fields, each at its boundary. */
#include "tests/unit/proto/click_json_given.h"

#include "proto/click_object.h"

#include <stdio.h>

#define CLICK(timestamp, rest)                                                                     \
    "{\"ad_id\":\"a\",\"user_id\":\"u\",\"timestamp\":" timestamp rest "}"

static void expect_one(const char *text, enum click_json_fault fault, const char *field)
{
    struct scan s = scan_document(text);
    cr_assert(s.count == 1 && s.body_fault == CLICK_JSON_OK, "%s: %zu clicks, body %s", text,
              s.count, click_json_fault_token(s.body_fault));
    expect_fault(text, &s.clicks[0], fault, field);
    scan_done(&s);
}

/* {"ad_id":"a","user_id":"u","timestamp":1,"<field>":"<length times c>"}, without the field it
 * replaces */
static void expect_length(const char *field, const char *unit, size_t count,
                          enum click_json_fault fault)
{
    struct buf text = {0};
    static const char *const required[] = {"ad_id", "user_id"};
    buf_put(&text, "{\"timestamp\":1", 14);
    for (size_t i = 0; i < countof(required); i++)
        if (strcmp(required[i], field) != 0) {
            buf_put(&text, ",\"", 2);
            buf_put(&text, required[i], strlen(required[i]));
            buf_put(&text, "\":\"x\"", 5);
        }
    buf_put(&text, ",\"", 2);
    buf_put(&text, field, strlen(field));
    buf_put(&text, "\":\"", 3);
    for (size_t i = 0; i < count; i++)
        buf_put(&text, unit, strlen(unit));
    buf_put(&text, "\"}", 2);
    buf_put_u8(&text, 0);
    expect_one((const char *)text.data, fault, fault == CLICK_JSON_OK ? NULL : field);
    buf_done(&text);
}

Test(click_object, gives_every_field_as_sent)
{
    struct scan s =
        scan_document("{\"ad_id\":\"ad-1\",\"user_id\":\"us\\u00e9r\",\"timestamp\":1700000000,"
                      "\"ip_address\":\"2001:db8::1\",\"user_agent\":\"Moz \\\"x\\\"\","
                      "\"click_id\":\"c\xc3\xa9\",\"home\":\"eu\",\"extra\":{\"a\":[1]}}");
    cr_assert(s.count == 1 && s.clicks[0].fault == CLICK_JSON_OK);
    const struct click_json_click *c = &s.clicks[0];
    expect_text(c->ad_id, "ad-1");
    expect_text(c->user_id, "us\xc3\xa9r");
    expect_text(c->ip_address, "2001:db8::1");
    expect_text(c->user_agent, "Moz \"x\"");
    expect_text(c->click_id, "c\xc3\xa9");
    expect_text(c->home, "eu");
    cr_expect(c->timestamp == 1700000000 && c->index == 0 && c->offset == 0);
    cr_expect(c->ad_id.data == s.body + 10, "a text without escapes is borrowed from the body");
    scan_done(&s);
}

Test(click_object, absent_null_and_empty_optional_fields_are_told_apart)
{
    struct scan s = scan_document(CLICK("5", ""));
    expect_text(s.clicks[0].ip_address, NULL);
    expect_text(s.clicks[0].user_agent, NULL);
    expect_text(s.clicks[0].click_id, NULL);
    expect_text(s.clicks[0].home, NULL);
    scan_done(&s);
    s = scan_document(
        CLICK("5", ",\"ip_address\":null,\"user_agent\":null,\"click_id\":null,\"home\":null"));
    cr_expect(s.clicks[0].fault == CLICK_JSON_OK);
    expect_text(s.clicks[0].ip_address, NULL);
    expect_text(s.clicks[0].user_agent, NULL);
    expect_text(s.clicks[0].click_id, NULL);
    expect_text(s.clicks[0].home, NULL);
    scan_done(&s);
    s = scan_document(CLICK("5", ",\"ip_address\":\"\",\"user_agent\":\"\""));
    cr_expect(s.clicks[0].fault == CLICK_JSON_OK);
    expect_text(s.clicks[0].ip_address, "");
    expect_text(s.clicks[0].user_agent, "");
    scan_done(&s);
}

Test(click_object, names_the_missing_field)
{
    expect_one("{}", CLICK_JSON_FIELD_MISSING, "ad_id");
    expect_one("{\"user_id\":\"u\",\"timestamp\":1}", CLICK_JSON_FIELD_MISSING, "ad_id");
    expect_one("{\"ad_id\":\"a\",\"timestamp\":1}", CLICK_JSON_FIELD_MISSING, "user_id");
    expect_one("{\"ad_id\":\"a\",\"user_id\":\"u\"}", CLICK_JSON_FIELD_MISSING, "timestamp");
    expect_one("{\"Ad_id\":\"a\",\"user_id\":\"u\",\"timestamp\":1}", CLICK_JSON_FIELD_MISSING,
               "ad_id");
    expect_one("{\"ad_id\\u0000\":\"a\",\"user_id\":\"u\",\"timestamp\":1}",
               CLICK_JSON_FIELD_MISSING, "ad_id");
}

Test(click_object, names_the_kind_that_was_sent_instead)
{
    static const char *const fields[] = {"ad_id",      "user_id",  "timestamp", "ip_address",
                                         "user_agent", "click_id", "home"};
    static const struct {
        const char *text;
        enum click_json_kind kind;
    } values[] = {
        {"null", CLICK_JSON_NULL},        {"true", CLICK_JSON_BOOLEAN},
        {"false", CLICK_JSON_BOOLEAN},    {"1.5", CLICK_JSON_NUMBER},
        {"\"1\"", CLICK_JSON_STRING},     {"[\"a\"]", CLICK_JSON_ARRAY},
        {"{\"a\":1}", CLICK_JSON_OBJECT},
    };
    for (size_t f = 0; f < countof(fields); f++) {
        for (size_t v = 0; v < countof(values); v++) {
            bool is_time = strcmp(fields[f], "timestamp") == 0;
            bool fits = values[v].kind == (is_time ? CLICK_JSON_NUMBER : CLICK_JSON_STRING) ||
                        (values[v].kind == CLICK_JSON_NULL && f > 2);
            if (fits)
                continue;
            char text[256];
            snprintf(text, sizeof(text), "{\"%s\":%s,\"x\":0}", fields[f], values[v].text);
            struct scan s = scan_document(text);
            cr_assert(s.count == 1);
            expect_fault(text, &s.clicks[0], CLICK_JSON_WRONG_KIND, fields[f]);
            cr_expect(s.clicks[0].kind == values[v].kind, "%s", text);
            cr_expect(s.clicks[0].offset == strlen(fields[f]) + 4, "%s", text);
            scan_done(&s);
        }
    }
}

Test(click_object, timestamp_is_an_integer_in_range)
{
    expect_one(CLICK("0", ""), CLICK_JSON_OK, NULL);
    expect_one(CLICK("253402300799999", ""), CLICK_JSON_OK, NULL);
    expect_one(CLICK("253402300800000", ""), CLICK_JSON_TOO_LARGE, "timestamp");
    expect_one(CLICK("18446744073709551615", ""), CLICK_JSON_TOO_LARGE, "timestamp");
    expect_one(CLICK("18446744073709551617", ""), CLICK_JSON_TOO_LARGE, "timestamp");
    expect_one(CLICK("1e3", ""), CLICK_JSON_NOT_INTEGER, "timestamp");
    expect_one(CLICK("1700000000.0", ""), CLICK_JSON_NOT_INTEGER, "timestamp");
    expect_one(CLICK("-1.5", ""), CLICK_JSON_NOT_INTEGER, "timestamp");
    expect_one(CLICK("-0", ""), CLICK_JSON_NOT_INTEGER, "timestamp");
    expect_one(CLICK("-5", ""), CLICK_JSON_NEGATIVE, "timestamp");
    expect_one(CLICK("-99999999999999999999999", ""), CLICK_JSON_NEGATIVE, "timestamp");
    expect_one(CLICK("\"1700000000\"", ""), CLICK_JSON_WRONG_KIND, "timestamp");
}

Test(click_object, limit_id_bytes_bounds_the_ids)
{
    static const char *const ids[] = {"ad_id", "user_id", "click_id", "home"};
    for (size_t i = 0; i < countof(ids); i++) {
        expect_length(ids[i], "x", 0, CLICK_JSON_FIELD_EMPTY);
        expect_length(ids[i], "x", 1, CLICK_JSON_OK);
        expect_length(ids[i], "x", LIMIT_ID_BYTES, CLICK_JSON_OK);
        expect_length(ids[i], "x", LIMIT_ID_BYTES + 1, CLICK_JSON_FIELD_LONG);
        /* Bytes of the text meant, not of the text sent. */
        expect_length(ids[i], "\\u0041", LIMIT_ID_BYTES, CLICK_JSON_OK);
        expect_length(ids[i], "\\u0041", LIMIT_ID_BYTES + 1, CLICK_JSON_FIELD_LONG);
        expect_length(ids[i], "\xc3\xa9", LIMIT_ID_BYTES / 2, CLICK_JSON_OK);
        expect_length(ids[i], "\xc3\xa9", LIMIT_ID_BYTES / 2 + 1, CLICK_JSON_FIELD_LONG);
    }
}

Test(click_object, limit_ip_text_bytes_and_limit_user_agent_bytes_bound_their_fields)
{
    expect_length("ip_address", "1", LIMIT_IP_TEXT_BYTES, CLICK_JSON_OK);
    expect_length("ip_address", "1", LIMIT_IP_TEXT_BYTES + 1, CLICK_JSON_FIELD_LONG);
    expect_length("user_agent", "u", LIMIT_USER_AGENT_BYTES, CLICK_JSON_OK);
    expect_length("user_agent", "u", LIMIT_USER_AGENT_BYTES + 1, CLICK_JSON_FIELD_LONG);
    expect_length("user_agent", "\\t", LIMIT_USER_AGENT_BYTES, CLICK_JSON_OK);
}

Test(click_object, ids_hold_no_control_characters)
{
    static const char *const units[] = {"\\u0000", "\\n", "\\u001f", "\x7f", "\\u007F"};
    for (size_t i = 0; i < countof(units); i++) {
        expect_length("ad_id", units[i], 1, CLICK_JSON_CONTROL);
        expect_length("user_id", units[i], 2, CLICK_JSON_CONTROL);
        expect_length("click_id", units[i], 1, CLICK_JSON_CONTROL);
        expect_length("home", units[i], 1, CLICK_JSON_CONTROL);
    }
    expect_length("ad_id", " ", 1, CLICK_JSON_OK);
    expect_length("ad_id", "\xc2\x80", 1, CLICK_JSON_OK);
}

Test(click_object, refuses_duplicate_keys_after_unescaping)
{
    expect_one(CLICK("1", ",\"ad_id\":\"a\""), CLICK_JSON_DUPLICATE_KEY, "ad_id");
    expect_one(CLICK("1", ",\"ad\\u005fid\":\"a\""), CLICK_JSON_DUPLICATE_KEY, "ad_id");
    expect_one(CLICK("1", ",\"\\u0061\\u0064_id\":5"), CLICK_JSON_DUPLICATE_KEY, "ad_id");
    expect_one(CLICK("1", ",\"timestamp\":1"), CLICK_JSON_DUPLICATE_KEY, "timestamp");
    expect_one(CLICK("1", ",\"home\":null,\"home\":\"eu\""), CLICK_JSON_DUPLICATE_KEY, "home");
    expect_one(CLICK("1", ",\"x\":1,\"x\":1"), CLICK_JSON_DUPLICATE_KEY, NULL);
    expect_one(CLICK("1", ",\"\":1,\"\":1"), CLICK_JSON_DUPLICATE_KEY, NULL);
    expect_one(CLICK("1", ",\"x\\u0000y\":1,\"x\\u0000z\":1,\"x\":2"), CLICK_JSON_OK, NULL);
    expect_one(CLICK("1", ",\"x\":{\"ad_id\":1,\"ad_id\":2}"), CLICK_JSON_OK, NULL);
}

Test(click_object, watches_the_first_16_unknown_keys_for_duplicates)
{
    for (unsigned repeated = 0; repeated < 18; repeated++) {
        char text[512] = "{\"ad_id\":\"a\",\"user_id\":\"u\",\"timestamp\":1";
        for (unsigned i = 0; i < 18; i++)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), ",\"k%u\":%u", i, i);
        snprintf(text + strlen(text), sizeof(text) - strlen(text), ",\"k%u\":0}", repeated);
        expect_one(text, repeated < 16 ? CLICK_JSON_DUPLICATE_KEY : CLICK_JSON_OK, NULL);
    }
}

Test(click_object, tells_the_first_fault_and_gives_no_values_with_it)
{
    struct scan s =
        scan_document("{\"ad_id\":\"a\",\"user_id\":7,\"timestamp\":-1,\"click_id\":\"c\"}");
    expect_fault("two faults", &s.clicks[0], CLICK_JSON_WRONG_KIND, "user_id");
    expect_text(s.clicks[0].ad_id, NULL);
    expect_text(s.clicks[0].click_id, NULL);
    cr_expect(s.clicks[0].timestamp == 0);
    scan_done(&s);
}

Test(click_object, limit_click_bytes_bounds_the_text_of_a_click)
{
    static const char head[] = "{\"ad_id\":\"a\",\"user_id\":\"u\",\"timestamp\":1,\"x\":\"";
    for (size_t extra = 0; extra <= 1; extra++) {
        struct buf text = {0};
        buf_put(&text, head, sizeof(head) - 1);
        while (text.length < LIMIT_CLICK_BYTES - 2 + extra)
            buf_put_u8(&text, 'x');
        buf_put(&text, "\"}\n   ", 6);
        buf_put_u8(&text, 0);
        expect_one((const char *)text.data, extra == 0 ? CLICK_JSON_OK : CLICK_JSON_CLICK_LONG,
                   NULL);
        buf_done(&text);
    }
}

Test(click_object, many_long_escaped_texts_share_the_arena)
{
    struct buf text = {0};
    buf_put_u8(&text, '[');
    for (unsigned i = 0; i < 500; i++) {
        char click[128];
        int length = snprintf(click, sizeof(click),
                              "%s{\"ad_id\":\"\\u0061%u\",\"user_id\":\"\\t\",\"\\u0078",
                              i > 0 ? "," : "", i);
        buf_put(&text, click, (size_t)length);
        for (unsigned k = 0; k < 100 * (i % 64); k++)
            buf_put_u8(&text, 'k');
        buf_put(&text, "\":1}", 4);
    }
    buf_put_u8(&text, ']');
    struct scan s = scan_span(buf_span(&text), CLICK_JSON_DOCUMENT);
    cr_expect(s.count == 500 && s.body_fault == CLICK_JSON_OK);
    for (size_t i = 0; i < s.count; i++)
        expect_fault("control", &s.clicks[i], CLICK_JSON_CONTROL, "user_id");
    scan_done(&s);
    buf_done(&text);
}
