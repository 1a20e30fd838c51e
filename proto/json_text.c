/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/json_text.h"

#include "proto/json_scan.h"

#include <string.h>

_Static_assert(LIMIT_JSON_DEPTH <= 64, "one bit a level in a 64-bit word");

struct json_text json_text_of(struct span text)
{
    /* Never a null pointer: offsets are then always defined. */
    static const uint8_t nothing[1];
    const uint8_t *begin = text.length == 0 ? nothing : text.data;
    return (struct json_text){.begin = begin, .at = begin, .end = begin + text.length};
}

static bool fail_at(struct json_text *t, enum json_text_fault fault, const uint8_t *at)
{
    CHECK(fault != JSON_TEXT_OK && at >= t->begin && at <= t->end);
    if (t->fault == JSON_TEXT_OK) {
        t->fault = fault;
        t->fault_at = at;
    }
    return false;
}

bool json_text_fail(struct json_text *t, enum json_text_fault fault)
{
    return fail_at(t, fault, t->at);
}

size_t json_text_utf8(const uint8_t *data, const uint8_t *end)
{
    return json_scan_utf8(data, end);
}

struct span json_text_utf8_prefix(struct span text, size_t length_max)
{
    size_t length = 0;
    while (length < text.length) {
        size_t step = json_text_utf8(text.data + length, text.data + text.length);
        if (step == 0 || length + step > length_max)
            break;
        length += step;
    }
    return (struct span){text.data, length};
}

/* Value of a hex digit, or 16. */
static uint32_t hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return (uint32_t)(byte - '0');
    uint8_t lower = byte | 0x20;
    return lower >= 'a' && lower <= 'f' ? (uint32_t)(lower - 'a') + 10 : 16;
}

/* The code unit of "\uXXXX" at p, or UINT32_MAX. */
static uint32_t code_unit(const uint8_t *p, const uint8_t *end)
{
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return UINT32_MAX;
    uint32_t unit = 0;
    for (unsigned i = 2; i < 6; i++) {
        uint32_t digit = hex_digit(p[i]);
        if (digit == 16)
            return UINT32_MAX;
        unit = unit << 4 | digit;
    }
    return unit;
}

static bool is_high_surrogate(uint32_t unit)
{
    return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low_surrogate(uint32_t unit)
{
    return unit >= 0xdc00 && unit <= 0xdfff;
}

/* Checks one escape; returns its length, or 0 with the fault. */
static size_t escape_length(const uint8_t *p, const uint8_t *end, enum json_text_fault *out_fault)
{
    *out_fault = JSON_TEXT_SYNTAX;
    if (end - p < 2)
        return 0;
    if (p[1] != 'u')
        return p[1] != '\0' && strchr("\"\\/bfnrt", p[1]) != NULL ? 2 : 0;
    uint32_t unit = code_unit(p, end);
    if (unit == UINT32_MAX)
        return 0;
    if (is_high_surrogate(unit)) {
        if (is_low_surrogate(code_unit(p + 6, end)))
            return 12;
        *out_fault = JSON_TEXT_UTF8;
        return 0;
    }
    if (is_low_surrogate(unit)) {
        *out_fault = JSON_TEXT_UTF8;
        return 0;
    }
    return 6;
}

bool json_text_string_rest(struct json_text *t, const uint8_t *p, struct json_text_string *out)
{
    const uint8_t *begin = t->at + 1;
    bool escaped = false;
    CHECK(p >= begin && p <= t->end);
    for (;;) {
        if (p == t->end)
            return fail_at(t, JSON_TEXT_SYNTAX, p);
        if (*p == '"')
            break;
        if (*p != '\\') /* a raw control character, or no UTF-8 */
            return fail_at(t, *p < 0x20 ? JSON_TEXT_SYNTAX : JSON_TEXT_UTF8, p);
        enum json_text_fault fault;
        size_t length = escape_length(p, t->end, &fault);
        if (length == 0)
            return fail_at(t, fault, p);
        escaped = true;
        p = json_scan_text(p + length, t->end);
    }
    *out = (struct json_text_string){{begin, (size_t)(p - begin)}, escaped};
    t->at = p + 1;
    return true;
}

static const uint8_t *digits_end(const uint8_t *p, const uint8_t *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

/* Value of the digits [p, end), UINT64_MAX where it does not fit. */
static uint64_t digits_value(const uint8_t *p, const uint8_t *end)
{
    uint64_t value = 0;
    const uint8_t *sure = end - p > 19 ? p + 19 : end; /* 10^19 - 1 fits */
    for (; p < sure; p++)
        value = value * 10 + (uint64_t)(*p - '0');
    for (; p < end; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return UINT64_MAX;
        value = value * 10 + digit;
    }
    return value;
}

bool json_text_number(struct json_text *t, struct json_text_number *out)
{
    CHECK(json_text_kind(t) == JSON_TEXT_NUMBER);
    struct json_text_number number = {.integer = true, .negative = *t->at == '-'};
    const uint8_t *first = t->at + (number.negative ? 1 : 0);
    const uint8_t *p = digits_end(first, t->end);
    if (p == first)
        return fail_at(t, JSON_TEXT_SYNTAX, p);
    if (*first == '0') /* "01": the 1 is left over and fails as a delimiter */
        p = first + 1;
    number.value = digits_value(first, p);
    if (p < t->end && *p == '.') {
        const uint8_t *fraction = p + 1;
        p = digits_end(fraction, t->end);
        if (p == fraction)
            return fail_at(t, JSON_TEXT_SYNTAX, p);
        number.integer = false;
    }
    if (p < t->end && (*p == 'e' || *p == 'E')) {
        const uint8_t *exponent = p + 1;
        if (exponent < t->end && (*exponent == '+' || *exponent == '-'))
            exponent++;
        p = digits_end(exponent, t->end);
        if (p == exponent)
            return fail_at(t, JSON_TEXT_SYNTAX, p);
        number.integer = false;
    }
    *out = number;
    t->at = p;
    return true;
}

static bool skip_word(struct json_text *t, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(t->end - t->at) < length || memcmp(t->at, word, length) != 0)
        return json_text_fail(t, JSON_TEXT_SYNTAX);
    t->at += length;
    return true;
}

/* A value that is no container. */
static bool skip_plain(struct json_text *t)
{
    struct json_text_string string;
    struct json_text_number number;
    switch (json_text_kind(t)) {
    case JSON_TEXT_STRING:
        return json_text_string(t, &string);
    case JSON_TEXT_NUMBER:
        return json_text_number(t, &number);
    case JSON_TEXT_NULL:
        return skip_word(t, "null");
    case JSON_TEXT_BOOLEAN:
        return skip_word(t, *t->at == 't' ? "true" : "false");
    case JSON_TEXT_NONE:
    case JSON_TEXT_ARRAY:
    case JSON_TEXT_OBJECT:
        break;
    }
    return json_text_fail(t, JSON_TEXT_SYNTAX);
}

bool json_text_enter(struct json_text *t, unsigned open)
{
    CHECK(t->at < t->end && (*t->at == '{' || *t->at == '['));
    if (open >= LIMIT_JSON_DEPTH)
        return json_text_fail(t, JSON_TEXT_DEPTH);
    t->at++;
    return true;
}

bool json_text_skip(struct json_text *t, unsigned open)
{
    CHECK(open <= LIMIT_JSON_DEPTH);
    uint64_t objects = 0; /* bit 0: is the innermost open container an object? */
    unsigned levels = 0;
    for (;;) {
        enum json_text_kind kind = json_text_kind(t);
        bool entered = kind == JSON_TEXT_ARRAY || kind == JSON_TEXT_OBJECT;
        if (entered) {
            if (!json_text_enter(t, open + levels))
                return false;
            objects = objects << 1 | (kind == JSON_TEXT_OBJECT ? 1 : 0);
            levels++;
        } else if (!skip_plain(t)) {
            return false;
        }
        /* Close what ends here; stop at the next item of what is still open. */
        for (bool first = entered; levels > 0; first = false) {
            enum json_text_step step = json_text_item(t, objects & 1 ? '}' : ']', first);
            if (step == JSON_TEXT_STEP_FAULT)
                return false;
            if (step == JSON_TEXT_STEP_ITEM)
                break;
            objects >>= 1;
            levels--;
        }
        if (levels == 0)
            return true;
        struct json_text_string key;
        if ((objects & 1) != 0 && !json_text_key(t, &key))
            return false;
    }
}

static size_t put_utf8(uint8_t *out, uint32_t point)
{
    if (point < 0x80) {
        out[0] = (uint8_t)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (uint8_t)(0xc0 | point >> 6);
        out[1] = (uint8_t)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (uint8_t)(0xe0 | point >> 12);
        out[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (point & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | point >> 18);
    out[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
    out[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
    out[3] = (uint8_t)(0x80 | (point & 0x3f));
    return 4;
}

static uint8_t short_escape(uint8_t letter)
{
    switch (letter) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return letter; /* quote, backslash, slash */
    }
}

size_t json_text_unescape(struct span raw, uint8_t *out)
{
    const uint8_t *p = raw.data;
    const uint8_t *end = raw.data + raw.length;
    uint8_t *q = out;
    while (p < end) {
        if (*p != '\\') {
            *q++ = *p++;
            continue;
        }
        CHECK(end - p >= 2);
        if (p[1] != 'u') {
            *q++ = short_escape(p[1]);
            p += 2;
            continue;
        }
        uint32_t point = code_unit(p, end);
        CHECK(point != UINT32_MAX);
        p += 6;
        if (is_high_surrogate(point)) {
            uint32_t low = code_unit(p, end);
            CHECK(is_low_surrogate(low));
            point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
            p += 6;
        }
        q += put_utf8(q, point);
    }
    CHECK((size_t)(q - out) <= raw.length);
    return (size_t)(q - out);
}
