/* SPDX-License-Identifier: Apache-2.0
 * json_text: a cursor over strict JSON text (RFC 8259, UTF-8 by RFC 3629): strings, numbers, whole
 * values. Audience: proto, edge/core, tests. Pure. One thread at a time per cursor.
 *
 * The first fault sticks: the cursor stays there and the caller stops. No recursion, no allocation:
 * a value is skipped with one bit a level, and LIMIT_JSON_DEPTH bounds the levels. Leading zeros
 * ("01") and words such as "nullx" need no rule of their own: what follows a value must be its
 * delimiter, and that is what fails. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "proto/json_scan.h"

enum json_text_fault { JSON_TEXT_OK, JSON_TEXT_SYNTAX, JSON_TEXT_UTF8, JSON_TEXT_DEPTH };

enum json_text_kind {
    JSON_TEXT_NONE, /* no value begins here */
    JSON_TEXT_NULL,
    JSON_TEXT_BOOLEAN,
    JSON_TEXT_NUMBER,
    JSON_TEXT_STRING,
    JSON_TEXT_ARRAY,
    JSON_TEXT_OBJECT,
};

struct json_text {
    const uint8_t *begin, *at, *end;
    enum json_text_fault fault;
    const uint8_t *fault_at; /* where fault is not OK: the first byte that cannot be */
};

struct json_text_string {
    struct span raw; /* between the quotes, valid UTF-8 and escapes */
    bool escaped;    /* raw differs from the text it stands for */
};

struct json_text_number {
    bool integer;   /* neither fraction nor exponent */
    bool negative;  /* has a minus sign, also "-0" */
    uint64_t value; /* of an integer, without its sign; UINT64_MAX where it does not fit */
};

struct json_text json_text_of(struct span text);

/* Marks a fault at the cursor and returns false, for callers that expect something of their own. */
bool json_text_fail(struct json_text *t, enum json_text_fault fault);

static inline void json_text_space(struct json_text *t)
{
    const uint8_t *p = t->at;
    while (p < t->end && *p <= ' ' && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    t->at = p;
}

/* What the byte at the cursor begins; looks at nothing else. */
static inline enum json_text_kind json_text_kind(const struct json_text *t)
{
    if (t->at == t->end)
        return JSON_TEXT_NONE;
    switch (*t->at) {
    case '"':
        return JSON_TEXT_STRING;
    case '{':
        return JSON_TEXT_OBJECT;
    case '[':
        return JSON_TEXT_ARRAY;
    case 't':
    case 'f':
        return JSON_TEXT_BOOLEAN;
    case 'n':
        return JSON_TEXT_NULL;
    default:
        return *t->at == '-' || (*t->at >= '0' && *t->at <= '9') ? JSON_TEXT_NUMBER
                                                                 : JSON_TEXT_NONE;
    }
}

/* Reads a value of that kind; the cursor must stand at its first byte. False: t->fault is set, *out
 * untouched. */
bool json_text_number(struct json_text *t, struct json_text_number *out);

/* The rest of a string from p on: its end, or what json_scan_text stopped at. */
bool json_text_string_rest(struct json_text *t, const uint8_t *p, struct json_text_string *out);

static inline bool json_text_string(struct json_text *t, struct json_text_string *out)
{
    CHECK(t->at < t->end && *t->at == '"');
    const uint8_t *begin = t->at + 1;
    const uint8_t *p = json_scan_text(begin, t->end);
    if (p == t->end || *p != '"')
        return json_text_string_rest(t, p, out);
    *out = (struct json_text_string){{begin, (size_t)(p - begin)}, false};
    t->at = p + 1;
    return true;
}

/* Reads over any one value at the cursor, `open` containers being open around it. */
bool json_text_skip(struct json_text *t, unsigned open);

/* Enters the array or object at the cursor, `open` containers being open around it. */
bool json_text_enter(struct json_text *t, unsigned open);

/* Inside a container that ends with `close`: moves to its next item, or past its end. */
enum json_text_step { JSON_TEXT_STEP_FAULT, JSON_TEXT_STEP_ITEM, JSON_TEXT_STEP_END };
static inline enum json_text_step json_text_item(struct json_text *t, char close, bool first)
{
    json_text_space(t);
    if (t->at < t->end && *t->at == (uint8_t)close) {
        t->at++;
        return JSON_TEXT_STEP_END;
    }
    if (first)
        return JSON_TEXT_STEP_ITEM;
    if (t->at == t->end || *t->at != ',') {
        json_text_fail(t, JSON_TEXT_SYNTAX);
        return JSON_TEXT_STEP_FAULT;
    }
    t->at++;
    json_text_space(t);
    return JSON_TEXT_STEP_ITEM;
}

/* At an object's item: reads the key and the colon; the cursor then stands at the value. False:
 * *out means nothing (it is not copied: a copy of what was just written stalls the processor). */
static inline bool json_text_key(struct json_text *t, struct json_text_string *out)
{
    if (t->at == t->end || *t->at != '"')
        return json_text_fail(t, JSON_TEXT_SYNTAX);
    if (!json_text_string(t, out))
        return false;
    json_text_space(t);
    if (t->at == t->end || *t->at != ':')
        return json_text_fail(t, JSON_TEXT_SYNTAX);
    t->at++;
    json_text_space(t);
    return true;
}

/* Writes the text that a string stands for; `out` has room for raw.length bytes. Returns its
 * length. */
size_t json_text_unescape(struct span raw, uint8_t *out);

/* Length of the one well-formed UTF-8 sequence that begins at data, 0 if there is none. */
size_t json_text_utf8(const uint8_t *data, const uint8_t *end);

/* The longest beginning of `text` that is UTF-8 and no longer than length_max. */
struct span json_text_utf8_prefix(struct span text, size_t length_max);
