/* SPDX-License-Identifier: Apache-2.0
 * json_text: the grammar, byte by byte. */
#include "common/base/rng.h"
#include "proto/json_text.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* Reads one value and nothing else, from memory that ends with the text. */
static enum json_text_fault verdict(struct span text, size_t *out_offset)
{
    uint8_t *copy = malloc(text.length == 0 ? 1 : text.length);
    memcpy(copy, text.data, text.length);
    struct json_text t = json_text_of((struct span){copy, text.length});
    json_text_space(&t);
    if (json_text_skip(&t, 0)) {
        json_text_space(&t);
        if (t.at != t.end)
            json_text_fail(&t, JSON_TEXT_SYNTAX);
    }
    enum json_text_fault fault = t.fault;
    if (out_offset != NULL)
        *out_offset = fault == JSON_TEXT_OK ? 0 : (size_t)(t.fault_at - t.begin);
    free(copy);
    return fault;
}

static void expect(const char *text, enum json_text_fault fault)
{
    enum json_text_fault actual = verdict(span_of_text(text), NULL);
    cr_expect(actual == fault, "%s: fault %d, not %d", text, actual, fault);
}

Test(json_text, accepts_what_rfc_8259_allows)
{
    static const char *const texts[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1",
        "10",
        "1.5",
        "0.5",
        "-0.0",
        "1e5",
        "1E+5",
        "1e-05",
        "0e0",
        "1.25e10",
        "99999999999999999999999999",
        "\"\"",
        "\"a\"",
        "\"\x7f\"",
        "[]",
        "[ ]",
        "{}",
        "{ }",
        "[1,2]",
        "[1 , [ ] ]",
        "{\"a\":1}",
        "{\"\":{}}",
        " \t\r\n1 \t\r\n",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uABCD\\uabcd\"",
        "\"\\ud83d\\ude00\"",
        ("\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4"
         "\x8f"
         "\xbf\xbf\""),
        "{\"a\":1,\"a\":2}",
        "[[],{},\"\",0,null]",
        "{\"a\":[{\"b\":[]}]}",
    };
    for (size_t i = 0; i < countof(texts); i++)
        expect(texts[i], JSON_TEXT_OK);
}

static const char *const refused_texts[] = {
    "",
    " ",
    "nul",
    "nullx",
    "NULL",
    "True",
    "tru",
    "falsy",
    "NaN",
    "Infinity",
    "-Infinity",
    "01",
    "-01",
    "00",
    "+1",
    "1.",
    ".5",
    "-.5",
    "-",
    "--1",
    "1e",
    "1e+",
    "1E-",
    "1.e5",
    "1.5.5",
    "0x10",
    "1_000",
    "1,",
    ",",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1,,2]",
    "[",
    "]",
    "[1",
    "[]]",
    "[}",
    "{",
    "}",
    "{]",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{,}",
    "{a:1}",
    "{1:1}",
    "{\"a\" 1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\":1",
    "{\"a\":",
    "{\"a",
    "{'a':1}",
    "'a'",
    "\"",
    "\"a",
    "\"\\",
    "\"\\\"",
    "\"\\x41\"",
    "\"\\u\"",
    "\"\\u12\"",
    "\"\\u123g\"",
    "\"\\U0041\"",
    "\"\\'\"",
    "\"\n\"",
    "\"\t\"",
    "\"\x01\"",
    "\"\x1f\"",
    "1 1",
    "{} {}",
    "[] x",
    "// c\n1",
    "1 // c",
    "/* c */ 1",
    "\xef\xbb\xbf{}",
    ("\xc2\xa0"
     "1"),
    "\v1",
    "\f1",
    "[1]\x01",
    "tr ue",
    "{\"a\":1}}",
    "[{]}",
};

Test(json_text, refuses_what_rfc_8259_does_not_allow)
{
    for (size_t i = 0; i < countof(refused_texts); i++)
        expect(refused_texts[i], JSON_TEXT_SYNTAX);
    cr_expect(verdict(span_of("1\0", 2), NULL) == JSON_TEXT_SYNTAX);
    cr_expect(verdict(span_of("\"\0\"", 3), NULL) == JSON_TEXT_SYNTAX);
    cr_expect(verdict(span_of("\"\\\0\"", 4), NULL) == JSON_TEXT_SYNTAX);
}

Test(json_text, refuses_lone_surrogates)
{
    static const char *const texts[] = {
        "\"\\ud800\"",        "\"\\udbff\"",
        "\"\\udc00\"",        "\"\\udfff\"",
        "\"\\ud800\\ud800\"", "\"\\ud800x\"",
        "\"\\ud800\\n\"",     "\"\\udc00\\ud800\"",
        "\"\\uD83D\\u0041\"", "\"\\ud800",
        "\"\\ud800\\u12\"",   "\"\xed\xa0\x80\"",
        "\"\xed\xbf\xbf\"",   "\"\xed\xa0\xbd\xed\xb8\x80\"",
    };
    for (size_t i = 0; i < countof(texts); i++)
        expect(texts[i], JSON_TEXT_UTF8);
}

Test(json_text, refuses_bad_utf8)
{
    static const char *const texts[] = {
        "\"\x80\"",
        "\"\xbf\"",
        "\"\xc0\x80\"",
        "\"\xc1\xbf\"",
        "\"\xc2\"",
        "\"\xc2",
        "\"\xe0\x80\x80\"",
        "\"\xe0\x9f\xbf\"",
        "\"\xe1\x80\"",
        "\"\xe1\x80",
        "\"\xf0\x80\x80\x80\"",
        "\"\xf0\x8f\xbf\xbf\"",
        "\"\xf1\x80\x80\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xf5\x80\x80\x80\"",
        "\"\xff\"",
        "\"\xfe\"",
        "\"\xf8\x88\x80\x80\x80\"",
        "\"\xc2\xc2\x80\"",
        "\"\xe1\x80\xc0\"",
        "{\"\xff\":1}",
    };
    for (size_t i = 0; i < countof(texts); i++)
        expect(texts[i], JSON_TEXT_UTF8);
}

/* An encoder of its own: nothing of the code under test. */
static size_t encode(uint32_t point, size_t length, uint8_t out[4])
{
    static const uint8_t leads[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    if (length == 1) {
        out[0] = (uint8_t)point;
        return 1;
    }
    for (size_t i = length; i-- > 1; point >>= 6)
        out[i] = 0x80 | (point & 0x3f);
    out[0] = leads[length] | (uint8_t)point;
    return length;
}

Test(json_text, utf8_is_right_for_every_code_point_in_every_length)
{
    static const uint32_t first_of[5] = {0, 0, 0x80, 0x800, 0x10000};
    static const uint32_t end_of[5] = {0, 0x80, 0x800, 0x10000, 0x200000};
    for (size_t length = 1; length <= 4; length++) {
        for (uint32_t point = 0; point < end_of[length]; point++) {
            bool valid = point >= first_of[length] && point <= 0x10ffff &&
                         !(point >= 0xd800 && point <= 0xdfff);
            uint8_t bytes[4];
            encode(point, length, bytes);
            size_t actual = json_text_utf8(bytes, bytes + length);
            cr_assert(actual == (valid ? length : 0), "U+%04X in %zu bytes: %zu", point, length,
                      actual);
            if (length > 1)
                cr_assert(json_text_utf8(bytes, bytes + length - 1) == 0);
        }
    }
}

Test(json_text, unescapes_every_code_point)
{
    for (uint32_t point = 0; point <= 0x10ffff; point++) {
        if (point >= 0xd800 && point <= 0xdfff)
            continue;
        char text[16];
        uint32_t above = point - 0x10000;
        int length = point < 0x10000 ? snprintf(text, sizeof(text), "\\u%04x", point)
                                     : snprintf(text, sizeof(text), "\\u%04X\\u%04x",
                                                0xd800 + (above >> 10), 0xdc00 + (above & 0x3ff));
        uint8_t expected[4];
        uint8_t actual[16];
        size_t size = encode(point,
                             point < 0x80      ? 1
                             : point < 0x800   ? 2
                             : point < 0x10000 ? 3
                                               : 4,
                             expected);
        size_t got = json_text_unescape(span_of(text, (size_t)length), actual);
        cr_assert(got == size && memcmp(expected, actual, size) == 0, "U+%04X", point);
    }
}

Test(json_text, unescapes_the_short_escapes)
{
    const char *raw = "a\\\"b\\\\c\\/d\\be\\ff\\ng\\rh\\ti\\u0041\xc3\xa9";
    uint8_t out[64];
    size_t length = json_text_unescape(span_of_text(raw), out);
    cr_expect(span_equal(span_of(out, length), span_of_text("a\"b\\c/d\be\ff\ng\rh\tiA\xc3\xa9")));
}

Test(json_text, sees_a_special_byte_at_every_place_of_a_word)
{
    static const struct {
        const char *bytes;
        size_t length;
        enum json_text_fault fault;
    } specials[] = {
        {"\"", 1, JSON_TEXT_SYNTAX}, {"\\", 1, JSON_TEXT_SYNTAX}, {"\x1f", 1, JSON_TEXT_SYNTAX},
        {"\0", 1, JSON_TEXT_SYNTAX}, {"\xff", 1, JSON_TEXT_UTF8}, {"\x80", 1, JSON_TEXT_UTF8},
        {"\x7f", 1, JSON_TEXT_OK},   {" ", 1, JSON_TEXT_OK},      {"\xc3\xa9", 2, JSON_TEXT_OK},
        {"!", 1, JSON_TEXT_OK},      {"#", 1, JSON_TEXT_OK},      {"[", 1, JSON_TEXT_OK},
        {"]", 1, JSON_TEXT_OK},
    };
    for (size_t i = 0; i < countof(specials); i++) {
        for (size_t at = 0; at <= 24; at++) {
            char text[64] = "\"";
            memset(text + 1, 'z', 30);
            memcpy(text + 1 + at, specials[i].bytes, specials[i].length);
            text[31] = '"';
            size_t offset;
            enum json_text_fault fault = verdict(span_of(text, 32), &offset);
            cr_expect(fault == specials[i].fault, "special %zu at %zu: %d", i, at, fault);
            /* A quote ends the string there; a backslash takes the z behind it; the rest cannot be
             * where it is. */
            if (fault != JSON_TEXT_OK)
                cr_expect(offset == (specials[i].bytes[0] == '"' ? at + 2 : at + 1));
        }
    }
}

Test(json_text, reads_numbers_without_floats)
{
    static const struct {
        const char *text;
        bool integer, negative;
        uint64_t value;
    } rows[] = {
        {"0", true, false, 0},
        {"-0", true, true, 0},
        {"-17", true, true, 17},
        {"9007199254740993", true, false, 9007199254740993ULL},
        {"18446744073709551614", true, false, UINT64_MAX - 1},
        {"18446744073709551615", true, false, UINT64_MAX},
        {"18446744073709551616", true, false, UINT64_MAX},
        {"99999999999999999999999999999999999999999999", true, false, UINT64_MAX},
        {"184467440737095516150", true, false, UINT64_MAX},
    };
    static const char *const others[] = {"1.0", "1e3", "1E0", "-0.0", "0e5"};
    for (size_t i = 0; i < countof(rows); i++) {
        struct json_text t = json_text_of(span_of_text(rows[i].text));
        struct json_text_number n;
        cr_assert(json_text_number(&t, &n));
        cr_expect(n.integer == rows[i].integer && n.negative == rows[i].negative &&
                      n.value == rows[i].value && t.at == t.end,
                  "%s: %llu", rows[i].text, (unsigned long long)n.value);
    }
    for (size_t i = 0; i < countof(others); i++) {
        struct json_text t = json_text_of(span_of_text(others[i]));
        struct json_text_number n;
        cr_expect(json_text_number(&t, &n) && !n.integer && t.at == t.end, "%s", others[i]);
    }
}

static void nest(struct buf *out, unsigned depth, bool objects, bool closed)
{
    buf_clear(out);
    for (unsigned i = 0; i < depth; i++)
        buf_put(out, objects ? "{\"a\":" : "[", objects ? 5 : 1);
    buf_put(out, objects ? "1" : " ", 1);
    for (unsigned i = 0; closed && i < depth; i++)
        buf_put_u8(out, objects ? '}' : ']');
}

Test(json_text, limit_json_depth_is_the_deepest_accepted)
{
    struct buf text = {0};
    for (unsigned objects = 0; objects <= 1; objects++) {
        nest(&text, LIMIT_JSON_DEPTH, objects, true);
        cr_expect(verdict(buf_span(&text), NULL) == JSON_TEXT_OK);
        nest(&text, LIMIT_JSON_DEPTH + 1, objects, true);
        cr_expect(verdict(buf_span(&text), NULL) == JSON_TEXT_DEPTH);
        nest(&text, 100, objects, true);
        cr_expect(verdict(buf_span(&text), NULL) == JSON_TEXT_DEPTH);
        nest(&text, 1000000, objects, false);
        cr_expect(verdict(buf_span(&text), NULL) == JSON_TEXT_DEPTH);

        nest(&text, LIMIT_JSON_DEPTH - 2, objects, true);
        struct json_text t = json_text_of(buf_span(&text));
        cr_expect(json_text_skip(&t, 2));
        t = json_text_of(buf_span(&text));
        cr_expect(!json_text_skip(&t, 3) && t.fault == JSON_TEXT_DEPTH);
    }
    buf_done(&text);
}

Test(json_text, depth_counts_what_is_open_not_what_was)
{
    struct buf text = {0};
    buf_put_u8(&text, '[');
    for (unsigned i = 0; i < 1000; i++)
        buf_put(&text, "[[]],{\"a\":{}},", 14);
    buf_put(&text, "0]", 2);
    cr_expect(verdict(buf_span(&text), NULL) == JSON_TEXT_OK);
    buf_done(&text);
}

Test(json_text, tells_the_byte_at_fault)
{
    static const struct {
        const char *text;
        size_t offset;
    } rows[] = {
        {"", 0},         {"[1,}", 3},  {"{\"a\":1,}", 7}, {"\"ab\xff\"", 3}, {"01", 1},
        {"\"a\\q\"", 2}, {"\"abc", 4}, {"[1 2]", 3},      {"1.x", 2},        {"[nulx]", 1},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        size_t offset;
        cr_expect(verdict(span_of_text(rows[i].text), &offset) != JSON_TEXT_OK);
        cr_expect(offset == rows[i].offset, "%s: %zu", rows[i].text, offset);
    }
}

Test(json_text, the_first_fault_sticks)
{
    struct json_text t = json_text_of(span_of_text("[1}"));
    cr_expect(!json_text_skip(&t, 0));
    const uint8_t *at = t.fault_at;
    cr_expect(!json_text_fail(&t, JSON_TEXT_DEPTH));
    cr_expect(t.fault == JSON_TEXT_SYNTAX && t.fault_at == at);
}

Test(json_text, no_proper_beginning_of_a_document_is_one)
{
    const char *text =
        "{\"a\":[1.5e-3,\"\\ud83d\\ude00\xf0\x9f\x98\x80\",{\"b\":null}],\"c\":true}";
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++)
        cr_expect(verdict(span_of(text, i), NULL) != JSON_TEXT_OK, "%zu bytes", i);
    cr_expect(verdict(span_of(text, length), NULL) == JSON_TEXT_OK);
}

Test(json_text, utf8_prefix_cuts_before_what_does_not_fit)
{
    static const struct {
        const char *text;
        size_t max, length;
    } rows[] = {
        {"abc", 10, 3},
        {"abc", 2, 2},
        {"abc", 0, 0},
        {"a\xc3\xa9z", 2, 1},
        {"a\xc3\xa9z", 3, 3},
        {"a\xff"
         "b",
         10, 1},
        {"\xc3", 10, 0},
        {"", 5, 0},
        {"\xf0\x9f\x98\x80", 3, 0},
        {"\xf0\x9f\x98\x80", 4, 4},
    };
    for (size_t i = 0; i < countof(rows); i++)
        cr_expect(json_text_utf8_prefix(span_of_text(rows[i].text), rows[i].max).length ==
                      rows[i].length,
                  "row %zu", i);
}
