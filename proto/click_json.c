/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/click_json.h"

#include "proto/click_object.h"

#include <stdlib.h>
#include <string.h>

enum state { STATE_START, STATE_ELEMENT, STATE_LINE, STATE_END };

struct click_json {
    struct json_text text;
    enum state state;
    bool first_element;
    bool lines_may_follow; /* a document's only object */
    uint32_t index;
    enum click_json_fault fault;
    size_t fault_offset;
    struct click_object_arena arena;
};

static const struct fault_row {
    const char *token, *words;
} fault_rows[CLICK_JSON_FAULTS] = {
    [CLICK_JSON_OK] = {"ok", "is accepted"},
    [CLICK_JSON_SYNTAX] = {"syntax", "must be JSON (RFC 8259)"},
    [CLICK_JSON_UTF8] = {"utf8", "must be UTF-8 without lone surrogates"},
    [CLICK_JSON_DEPTH] = {"depth", "must not be nested so deep"},
    [CLICK_JSON_NOT_OBJECT] = {"not_object", "must be an object"},
    [CLICK_JSON_DUPLICATE_KEY] = {"duplicate_key", "must not occur twice"},
    [CLICK_JSON_WRONG_KIND] = {"wrong_kind", "must be a value of another kind"},
    [CLICK_JSON_FIELD_MISSING] = {"field_missing", "must be present"},
    [CLICK_JSON_FIELD_EMPTY] = {"field_empty", "must not be empty"},
    [CLICK_JSON_FIELD_LONG] = {"field_long", "must not be so long"},
    [CLICK_JSON_NOT_INTEGER] = {"not_integer", "must be an integer without fraction or exponent"},
    [CLICK_JSON_NEGATIVE] = {"negative", "must not be negative"},
    [CLICK_JSON_TOO_LARGE] = {"too_large", "must not be later than the year 9999"},
    [CLICK_JSON_CLICK_LONG] = {"click_long", "must not be so long"},
    [CLICK_JSON_CONTROL] = {"control_character", "must not contain control characters"},
};

struct click_json *click_json_new(struct span body, enum click_json_format format)
{
    struct click_json *s = base_zalloc(1, sizeof(*s));
    s->text = json_text_of(body);
    s->lines_may_follow = format == CLICK_JSON_BEACON;
    s->state = format == CLICK_JSON_LINES ? STATE_LINE : STATE_START;
    return s;
}

void click_json_free(struct click_json *s)
{
    if (s == NULL)
        return;
    click_object_arena_done(&s->arena);
    free(s);
}

static size_t offset_of(const struct click_json *s, const uint8_t *at)
{
    return (size_t)(at - s->text.begin);
}

static enum click_json_fault fault_of(enum json_text_fault fault)
{
    switch (fault) {
    case JSON_TEXT_UTF8:
        return CLICK_JSON_UTF8;
    case JSON_TEXT_DEPTH:
        return CLICK_JSON_DEPTH;
    case JSON_TEXT_OK:
        return CLICK_JSON_OK;
    case JSON_TEXT_SYNTAX:
        break;
    }
    return CLICK_JSON_SYNTAX;
}

/* One element or line: a click, or something else that is refused alone. */
static bool scan_element(struct click_json *s, unsigned open, struct click_json_click *out)
{
    enum json_text_kind kind = json_text_kind(&s->text);
    size_t offset = offset_of(s, s->text.at);
    *out = (struct click_json_click){.index = s->index, .offset = offset};
    if (kind == JSON_TEXT_OBJECT)
        return click_object_scan(&s->text, &s->arena, open, out);
    if (!json_text_skip(&s->text, open))
        return false;
    out->fault = CLICK_JSON_NOT_OBJECT;
    out->kind = click_object_kind(kind);
    return true;
}

/* The body as a whole cannot be read (further). */
static bool end_body(struct click_json *s, enum click_json_fault fault, size_t offset)
{
    s->state = STATE_END;
    s->fault = fault;
    s->fault_offset = offset;
    return false;
}

static bool end_at_text_fault(struct click_json *s)
{
    CHECK(s->text.fault != JSON_TEXT_OK);
    return end_body(s, fault_of(s->text.fault), offset_of(s, s->text.fault_at));
}

/* Nothing but white space may follow a document's value. */
static bool expect_end(struct click_json *s)
{
    json_text_space(&s->text);
    if (s->text.at != s->text.end)
        return end_body(s, CLICK_JSON_SYNTAX, offset_of(s, s->text.at));
    s->state = STATE_END;
    return true;
}

/* After a document's only object: its end, or the next line of NDJSON. */
static bool after_object(struct click_json *s)
{
    const uint8_t *end = s->text.at;
    json_text_space(&s->text);
    size_t gap = (size_t)(s->text.at - end);
    if (s->lines_may_follow && json_text_kind(&s->text) == JSON_TEXT_OBJECT &&
        memchr(end, '\n', gap) != NULL) {
        s->state = STATE_LINE;
        return true;
    }
    return expect_end(s);
}

static bool next_in_array(struct click_json *s, struct click_json_click *out)
{
    enum json_text_step step = json_text_item(&s->text, ']', s->first_element);
    if (step == JSON_TEXT_STEP_FAULT)
        return end_at_text_fault(s);
    if (step == JSON_TEXT_STEP_END) {
        (void)expect_end(s);
        return false;
    }
    s->first_element = false;
    if (!scan_element(s, 1, out))
        return end_at_text_fault(s);
    s->index++;
    return true;
}

static bool next_at_start(struct click_json *s, struct click_json_click *out)
{
    json_text_space(&s->text);
    if (json_text_kind(&s->text) == JSON_TEXT_ARRAY) {
        CHECK(json_text_enter(&s->text, 0));
        s->state = STATE_ELEMENT;
        s->first_element = true;
        return next_in_array(s, out);
    }
    if (!scan_element(s, 0, out))
        return end_at_text_fault(s);
    if (out->fault == CLICK_JSON_NOT_OBJECT)
        return expect_end(s) && end_body(s, CLICK_JSON_NOT_OBJECT, out->offset);
    if (!after_object(s))
        return false;
    s->index++;
    return true;
}

/* JSON has no raw newline inside a string, so a line ends where the byte is; each stands alone. */
static bool next_line(struct click_json *s, struct click_json_click *out)
{
    struct json_text *t = &s->text;
    const uint8_t *body_end = t->end;
    json_text_space(t); /* blank lines, too */
    if (t->at == body_end) {
        s->state = STATE_END;
        return false;
    }
    const uint8_t *newline = memchr(t->at, '\n', (size_t)(body_end - t->at));
    t->end = newline != NULL ? newline : body_end;
    if (scan_element(s, 0, out)) {
        json_text_space(t);
        if (t->at != t->end)
            (void)json_text_fail(t, JSON_TEXT_SYNTAX);
    }
    if (t->fault != JSON_TEXT_OK) {
        *out = (struct click_json_click){
            .index = s->index, .fault = fault_of(t->fault), .offset = offset_of(s, t->fault_at)};
        t->fault = JSON_TEXT_OK;
    }
    t->at = t->end;
    t->end = body_end;
    s->index++;
    return true;
}

bool click_json_next(struct click_json *s, struct click_json_click *out)
{
    bool found = false;
    switch (s->state) {
    case STATE_START:
        found = next_at_start(s, out);
        break;
    case STATE_ELEMENT:
        found = next_in_array(s, out);
        break;
    case STATE_LINE:
        found = next_line(s, out);
        break;
    case STATE_END:
        break;
    }
    CHECK(s->text.at <= s->text.end);
    return found;
}

enum click_json_fault click_json_body_fault(const struct click_json *s, size_t *out_offset)
{
    CHECK(s->state == STATE_END);
    if (out_offset != NULL)
        *out_offset = s->fault_offset;
    return s->fault;
}

const char *click_json_fault_words(enum click_json_fault fault)
{
    CHECK((unsigned)fault < CLICK_JSON_FAULTS);
    return fault_rows[fault].words;
}

const char *click_json_fault_token(enum click_json_fault fault)
{
    CHECK((unsigned)fault < CLICK_JSON_FAULTS);
    return fault_rows[fault].token;
}

const char *click_json_kind_name(enum click_json_kind kind)
{
    static const char *const names[] = {
        [CLICK_JSON_MISSING] = "missing", [CLICK_JSON_NULL] = "null",
        [CLICK_JSON_BOOLEAN] = "boolean", [CLICK_JSON_NUMBER] = "number",
        [CLICK_JSON_STRING] = "string",   [CLICK_JSON_ARRAY] = "array",
        [CLICK_JSON_OBJECT] = "object",
    };
    CHECK((unsigned)kind < countof(names));
    return names[kind];
}
