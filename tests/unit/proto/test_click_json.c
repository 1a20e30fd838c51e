/* SPDX-License-Identifier: Apache-2.0
 * click_json: bodies: an object, an array, lines; and what one fault takes with it. */
#include "tests/unit/proto/click_json_given.h"

#define GOOD(ad) "{\"ad_id\":\"" ad "\",\"user_id\":\"u\",\"timestamp\":1700000000}"

static void expect_body_fault(const char *text, enum click_json_fault fault)
{
    struct scan s = scan_document(text);
    cr_expect(s.body_fault == fault, "%s: %s", text, click_json_fault_token(s.body_fault));
    scan_done(&s);
}

Test(click_json, one_object_is_one_click)
{
    struct scan s = scan_document(" " GOOD("a") "\r\n ");
    cr_expect(s.count == 1 && s.body_fault == CLICK_JSON_OK);
    cr_expect(s.clicks[0].fault == CLICK_JSON_OK && s.clicks[0].offset == 1);
    scan_done(&s);
}

Test(click_json, an_array_gives_its_clicks_in_order)
{
    struct scan s = scan_document("[" GOOD("a") "," GOOD("b") " ,\n" GOOD("c") "]");
    cr_assert(s.count == 3 && s.body_fault == CLICK_JSON_OK);
    expect_text(s.clicks[0].ad_id, "a");
    expect_text(s.clicks[1].ad_id, "b");
    expect_text(s.clicks[2].ad_id, "c");
    cr_expect(s.clicks[0].index == 0 && s.clicks[1].index == 1 && s.clicks[2].index == 2);
    scan_done(&s);
}

Test(click_json, an_empty_array_holds_no_click_and_is_no_fault)
{
    struct scan s = scan_document(" [ ] ");
    cr_expect(s.count == 0 && s.body_fault == CLICK_JSON_OK);
    scan_done(&s);
}

Test(click_json, one_bad_click_among_99_good_ones_refuses_itself_alone)
{
    static const char *const bad[] = {
        "{}", "5", "null", "[]", "\"x\"", "{\"ad_id\":\"\"}", "{\"a\":1,\"a\":2}"};
    for (size_t b = 0; b < countof(bad); b++) {
        struct buf text = {0};
        for (unsigned i = 0; i < 100; i++) {
            const char *click = i == 37 ? bad[b] : GOOD("a");
            buf_put_u8(&text, i == 0 ? '[' : ',');
            buf_put(&text, click, strlen(click));
        }
        buf_put_u8(&text, ']');
        struct scan s = scan_span(buf_span(&text), CLICK_JSON_DOCUMENT);
        cr_assert(s.count == 100 && s.body_fault == CLICK_JSON_OK);
        for (uint32_t i = 0; i < 100; i++) {
            cr_expect((s.clicks[i].fault == CLICK_JSON_OK) == (i != 37), "%s", bad[b]);
            cr_expect(s.clicks[i].index == i);
        }
        scan_done(&s);
        buf_done(&text);
    }
}

Test(click_json, an_element_that_is_no_object_tells_its_kind)
{
    static const enum click_json_kind kinds[] = {CLICK_JSON_NULL, CLICK_JSON_BOOLEAN,
                                                 CLICK_JSON_NUMBER, CLICK_JSON_STRING,
                                                 CLICK_JSON_ARRAY};
    struct scan s = scan_document("[null,true,-1.5e3,\"\\ud83d\\ude00\",[[{}]]]");
    cr_assert(s.count == 5);
    for (size_t i = 0; i < countof(kinds); i++) {
        expect_fault("element", &s.clicks[i], CLICK_JSON_NOT_OBJECT, NULL);
        cr_expect(s.clicks[i].kind == kinds[i]);
    }
    scan_done(&s);
}

Test(click_json, a_scalar_document_is_well_formed_but_no_object)
{
    expect_body_fault("5", CLICK_JSON_NOT_OBJECT);
    expect_body_fault(" \"x\" ", CLICK_JSON_NOT_OBJECT);
    expect_body_fault("null", CLICK_JSON_NOT_OBJECT);
    expect_body_fault("false\n", CLICK_JSON_NOT_OBJECT);
    expect_body_fault("05", CLICK_JSON_SYNTAX);
    expect_body_fault("5 5", CLICK_JSON_SYNTAX);
    expect_body_fault("nullx", CLICK_JSON_SYNTAX);
}

Test(click_json, text_that_is_not_json_refuses_the_whole_document)
{
    static const char *const texts[] = {
        "",
        " ",
        "\n",
        "hello",
        "\xef\xbb\xbf" GOOD("a"),
        "[",
        "{",
        "[" GOOD("a"),
        "[" GOOD("a") ",",
        "[" GOOD("a") ",]",
        "[," GOOD("a") "]",
        "[" GOOD("a") " " GOOD("b") "]",
        GOOD("a") "x",
        GOOD("a") "]",
        GOOD("a") GOOD("b"),
        GOOD("a") " " GOOD("b"),
        GOOD("a") "," GOOD("b"),
        GOOD("a") "\n[]",
        GOOD("a") "\n5",
        "[" GOOD("a") "]\n" GOOD("b"),
        "[]]",
        "[][]",
        "[] 1",
        "{\"ad_id\":\"a\",}",
        "{\"ad_id\":NaN}",
        "{\"timestamp\":01}",
        "{\"timestamp\":+1}",
        "{\"timestamp\":1.}",
        "{\"timestamp\":.5}",
        "{\"timestamp\":1e}",
        "{'ad_id':'a'}",
        "{\"ad_id\":\"a\nb\"}",
        "{\"ad_id\":\"a\" /* c */}",
        "ad_id=a&user_id=u",
    };
    for (size_t i = 0; i < countof(texts); i++)
        expect_body_fault(texts[i], CLICK_JSON_SYNTAX);
    expect_body_fault("[" GOOD("a") "," GOOD("\xff") "]", CLICK_JSON_UTF8);
    expect_body_fault("[" GOOD("a") "," GOOD("\\ud800") "]", CLICK_JSON_UTF8);
    expect_body_fault("{\"\xc0\x80\":1}", CLICK_JSON_UTF8);
}

Test(click_json, a_fault_at_the_end_is_told_after_the_clicks_before_it)
{
    struct scan s = scan_document("[" GOOD("a") "," GOOD("b") ",}");
    cr_expect(s.count == 2 && s.body_fault == CLICK_JSON_SYNTAX);
    cr_expect(s.body_offset == 2 * (sizeof(GOOD("a")) - 1) + 3, "%zu", s.body_offset);
    scan_done(&s);
}

Test(click_json, a_click_nested_100_deep_ends_the_scan)
{
    struct buf text = {0};
    const char head[] = "[{\"x\":";
    buf_put(&text, head, sizeof(head) - 1);
    for (unsigned i = 0; i < 100; i++)
        buf_put_u8(&text, '[');
    for (unsigned i = 0; i < 100; i++)
        buf_put_u8(&text, ']');
    buf_put(&text, "}]", 2);
    struct scan s = scan_span(buf_span(&text), CLICK_JSON_DOCUMENT);
    cr_expect(s.count == 0 && s.body_fault == CLICK_JSON_DEPTH);
    cr_expect(s.body_offset == sizeof(head) - 1 + LIMIT_JSON_DEPTH - 2);
    scan_done(&s);

    text.data[0] = ' ';
    text.length--;
    buf_put(&text, "\n" GOOD("a"), sizeof("\n" GOOD("a")) - 1);
    s = scan_span(buf_span(&text), CLICK_JSON_LINES);
    cr_assert(s.count == 2 && s.body_fault == CLICK_JSON_OK);
    cr_expect(s.clicks[0].fault == CLICK_JSON_DEPTH && s.clicks[1].fault == CLICK_JSON_OK);
    scan_done(&s);
    buf_done(&text);
}

Test(click_json, limit_json_depth_counts_the_array_and_the_click)
{
    for (unsigned extra = 0; extra <= 1; extra++) {
        struct buf text = {0};
        unsigned inner = LIMIT_JSON_DEPTH - 2 + extra;
        buf_put(&text, "[{\"x\":", 6);
        for (unsigned i = 0; i < inner; i++)
            buf_put_u8(&text, '[');
        for (unsigned i = 0; i < inner; i++)
            buf_put_u8(&text, ']');
        buf_put(&text, "}]", 2);
        struct scan s = scan_span(buf_span(&text), CLICK_JSON_DOCUMENT);
        cr_expect(s.body_fault == (extra == 0 ? CLICK_JSON_OK : CLICK_JSON_DEPTH));
        scan_done(&s);
        buf_done(&text);
    }
}

Test(click_json, each_line_stands_alone)
{
    static const struct {
        const char *line;
        enum click_json_fault fault;
    } rows[] = {
        {GOOD("a"), CLICK_JSON_OK},
        {"{\"ad_id\":\"a", CLICK_JSON_SYNTAX},
        {GOOD("b"), CLICK_JSON_OK},
        {"]", CLICK_JSON_SYNTAX},
        {"[" GOOD("x") "]", CLICK_JSON_NOT_OBJECT},
        {"5", CLICK_JSON_NOT_OBJECT},
        {"{\"ad_id\":\"\xff\"}", CLICK_JSON_UTF8},
        {GOOD("c") "\r", CLICK_JSON_OK},
        {GOOD("x") GOOD("y"), CLICK_JSON_SYNTAX},
        {"hello", CLICK_JSON_SYNTAX},
        {GOOD("x") ",", CLICK_JSON_SYNTAX},
        {"{}", CLICK_JSON_FIELD_MISSING},
        {"\"\\ud800\"", CLICK_JSON_UTF8},
        {"  " GOOD("d") "  ", CLICK_JSON_OK},
        {"{", CLICK_JSON_SYNTAX},
        {GOOD("e"), CLICK_JSON_OK},
    };
    struct buf text = {0};
    size_t starts[countof(rows)];
    for (size_t i = 0; i < countof(rows); i++) {
        starts[i] = text.length;
        buf_put(&text, rows[i].line, strlen(rows[i].line));
        buf_put(&text, i % 3 == 0 ? "\n \t\r\n\n" : "\n", i % 3 == 0 ? 6 : 1);
    }
    for (unsigned cut = 0; cut <= 1; cut++) {
        text.length -= cut; /* the last newline may be missing */
        struct scan s = scan_span(buf_span(&text), CLICK_JSON_LINES);
        cr_assert(s.count == countof(rows) && s.body_fault == CLICK_JSON_OK, "%zu", s.count);
        for (size_t i = 0; i < countof(rows); i++) {
            cr_expect(s.clicks[i].fault == rows[i].fault, "%s: %s", rows[i].line,
                      click_json_fault_token(s.clicks[i].fault));
            cr_expect(s.clicks[i].index == i);
            cr_expect(s.clicks[i].offset >= starts[i] &&
                      s.clicks[i].offset <= starts[i] + strlen(rows[i].line));
        }
        scan_done(&s);
    }
    buf_done(&text);
}

Test(click_json, lines_without_a_click_are_no_fault)
{
    static const char *const texts[] = {"", "\n", " \r\n\t\n"};
    for (size_t i = 0; i < countof(texts); i++) {
        struct scan s = scan_lines(texts[i]);
        cr_expect(s.count == 0 && s.body_fault == CLICK_JSON_OK);
        scan_done(&s);
    }
}

Test(click_json, a_document_is_one_json_text)
{
    expect_body_fault(GOOD("a") "\n" GOOD("b"), CLICK_JSON_SYNTAX);
    expect_body_fault(GOOD("a") "\n[]", CLICK_JSON_SYNTAX);
    expect_body_fault("[]\n" GOOD("b"), CLICK_JSON_SYNTAX);
}

Test(click_json, a_beacon_goes_on_as_lines_after_an_object_and_a_newline)
{
    struct scan s = scan_span(span_of_text("\n" GOOD("a") " \r\n" GOOD("b") "\n\nbad\n" GOOD("c")),
                              CLICK_JSON_BEACON);
    cr_assert(s.count == 4 && s.body_fault == CLICK_JSON_OK);
    expect_text(s.clicks[0].ad_id, "a");
    expect_text(s.clicks[1].ad_id, "b");
    cr_expect(s.clicks[2].fault == CLICK_JSON_SYNTAX && s.clicks[2].index == 2);
    expect_text(s.clicks[3].ad_id, "c");
    scan_done(&s);
}

Test(click_json, every_beginning_of_a_body_is_handled)
{
    const char *text =
        "[{\"ad_id\":\"\\u00e9\xc3\xa9\",\"user_id\":\"u\",\"timestamp\":17e1,\"x\":[null]},"
        "{\"ad_id\":\"a\",\"user_id\":\"u\",\"timestamp\":1}]";
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        struct scan s = scan_span(span_of(text, i), CLICK_JSON_DOCUMENT);
        cr_expect(s.body_fault == CLICK_JSON_SYNTAX || s.body_fault == CLICK_JSON_UTF8, "%zu", i);
        cr_expect(s.body_offset == i || s.body_fault == CLICK_JSON_UTF8 ||
                      text[s.body_offset] == '\\' || strchr("nu", text[s.body_offset]) != NULL,
                  "%zu bytes: the fault is at their end, or at a word or escape cut short", i);
        scan_done(&s);
        s = scan_span(span_of(text, i), CLICK_JSON_LINES);
        cr_expect(s.body_fault == CLICK_JSON_OK && s.count == (i == 0 ? 0 : 1));
        scan_done(&s);
    }
}

Test(click_json, a_batch_over_the_limit_is_scanned_not_judged)
{
    struct buf text = {0};
    for (unsigned i = 0; i < LIMIT_BATCH_CLICKS + 1; i++) {
        buf_put_u8(&text, i == 0 ? '[' : ',');
        buf_put(&text, GOOD("a"), sizeof(GOOD("a")) - 1);
    }
    buf_put_u8(&text, ']');
    struct scan s = scan_span(buf_span(&text), CLICK_JSON_DOCUMENT);
    cr_expect(s.count == LIMIT_BATCH_CLICKS + 1 && s.body_fault == CLICK_JSON_OK);
    cr_expect(s.clicks[LIMIT_BATCH_CLICKS].index == LIMIT_BATCH_CLICKS);
    scan_done(&s);
    buf_done(&text);
}

Test(click_json, words_and_tokens_are_there_and_tokens_differ)
{
    for (unsigned i = 0; i < CLICK_JSON_FAULTS; i++) {
        cr_expect(strlen(click_json_fault_words(i)) > 0);
        cr_expect(strlen(click_json_fault_token(i)) > 0);
        for (unsigned j = 0; j < i; j++)
            cr_expect(strcmp(click_json_fault_token(i), click_json_fault_token(j)) != 0);
    }
    cr_expect(strcmp(click_json_kind_name(CLICK_JSON_ARRAY), "array") == 0);
    click_json_free(NULL);
}
