/* SPDX-License-Identifier: Apache-2.0
 * click_json_given: scans a body whose copy ends where its memory ends, so that ASan sees a byte
 * too far. Audience: tests/unit/proto/test_click_json*, test_click_object. */
#pragma once

#include "proto/click_json.h"

#include <criterion/criterion.h>
#include <stdlib.h>

struct scan {
    uint8_t *body;
    struct click_json *scanner;
    size_t count;
    struct click_json_click *clicks;
    enum click_json_fault body_fault;
    size_t body_offset;
};

static inline struct scan scan_span(struct span text, enum click_json_format format)
{
    struct scan s = {.body = malloc(text.length == 0 ? 1 : text.length)};
    if (text.length > 0)
        memcpy(s.body, text.data, text.length);
    s.scanner =
        click_json_new((struct span){text.length == 0 ? NULL : s.body, text.length}, format);
    struct click_json_click click;
    while (click_json_next(s.scanner, &click)) {
        if ((s.count & (s.count - 1)) == 0) /* full at every power of two */
            s.clicks = realloc(s.clicks, (s.count == 0 ? 1 : 2 * s.count) * sizeof(*s.clicks));
        s.clicks[s.count++] = click;
    }
    cr_assert(!click_json_next(s.scanner, &click), "the end stays the end");
    s.body_fault = click_json_body_fault(s.scanner, &s.body_offset);
    return s;
}

static inline struct scan scan_document(const char *text)
{
    return scan_span(span_of_text(text), CLICK_JSON_DOCUMENT);
}

static inline struct scan scan_lines(const char *text)
{
    return scan_span(span_of_text(text), CLICK_JSON_LINES);
}

static inline void scan_done(struct scan *s)
{
    click_json_free(s->scanner);
    free(s->clicks);
    free(s->body);
    *s = (struct scan){0};
}

static inline void expect_text(struct span actual, const char *expected)
{
    if (expected == NULL) {
        cr_expect(actual.data == NULL && actual.length == 0, "should be absent");
        return;
    }
    cr_expect(actual.data != NULL, "should be present");
    cr_expect(span_equal(actual, span_of_text(expected)), "is \"%.*s\", not \"%s\"",
              (int)actual.length, (const char *)actual.data, expected);
}

static inline void expect_fault(const char *text, const struct click_json_click *click,
                                enum click_json_fault fault, const char *field)
{
    cr_expect(click->fault == fault, "%s: %s, not %s", text, click_json_fault_token(click->fault),
              click_json_fault_token(fault));
    if (field == NULL)
        cr_expect_null(click->field, "%s: %s", text, click->field);
    else
        cr_expect(click->field != NULL && strcmp(click->field, field) == 0, "%s: field is %s", text,
                  click->field == NULL ? "none" : click->field);
}
