/* SPDX-License-Identifier: Apache-2.0 */
#include "common/run/bus_nats_wire.h"

#define SUBJECT_BYTES_MAX 255
#define NAME_BYTES_MAX    64

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_blanks(struct reader *r)
{
    while (r->left > 0 && is_blank(*r->data))
        (void)reader_u8(r);
}

static bool take(struct reader *r, uint8_t wanted)
{
    skip_blanks(r);
    if (r->left == 0 || *r->data != wanted)
        return false;
    (void)reader_u8(r);
    return true;
}

/* Past a string whose opening quote was taken; its inside without the quotes. */
static bool take_string_rest(struct reader *r, struct span *out_inside)
{
    const uint8_t *start = r->data;
    while (r->left > 0) {
        uint8_t c = reader_u8(r);
        if (c == '"') {
            *out_inside = span_of(start, (size_t)(r->data - start) - 1);
            return true;
        }
        if (c == '\\')
            (void)reader_u8(r);
    }
    return false;
}

/* Past one value of any kind. Brackets are counted, not matched by kind: we look for what
 * comes behind the value, and never at what is in it. */
static bool take_value(struct reader *r, struct span *out_raw)
{
    skip_blanks(r);
    const uint8_t *start = r->data;
    size_t depth = 0;
    while (r->left > 0) {
        uint8_t c = *r->data;
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            break;
        (void)reader_u8(r);
        struct span inside;
        if (c == '"' && !take_string_rest(r, &inside))
            return false;
        if (c == '{' || c == '[')
            depth++;
        if (c == '}' || c == ']')
            depth--;
    }
    const uint8_t *end = r->data;
    while (end > start && is_blank(end[-1]))
        end--;
    *out_raw = span_of(start, (size_t)(end - start));
    return depth == 0 && end > start;
}

bool bus_nats_wire_field(struct span object, const char *name, struct span *out_raw)
{
    struct reader r = reader_of(object);
    if (!take(&r, '{') || take(&r, '}'))
        return false;
    do {
        struct span key;
        struct span raw;
        if (!take(&r, '"') || !take_string_rest(&r, &key) || !take(&r, ':') ||
            !take_value(&r, &raw))
            return false;
        if (span_equal(key, span_of_text(name))) {
            *out_raw = raw;
            return true;
        }
    } while (take(&r, ','));
    return false;
}

bool bus_nats_wire_first(struct span array, struct span *out_raw)
{
    struct reader r = reader_of(array);
    return take(&r, '[') && !take(&r, ']') && take_value(&r, out_raw);
}

bool bus_nats_wire_u64(struct span raw, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < raw.length; i++) {
        unsigned digit = (unsigned)raw.data[i] - '0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (raw.length == 0)
        return false;
    *out = value;
    return true;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* One escape behind its backslash; -1 if unknown or beyond ASCII. */
static int take_escape(struct reader *r)
{
    uint8_t kind = reader_u8(r);
    if (kind == '"' || kind == '\\' || kind == '/')
        return kind;
    if (kind != 'u')
        return -1;
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(reader_u8(r));
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value > 0 && value < 0x80 ? value : -1;
}

static bool unquote(struct span raw, struct span *out_inside)
{
    if (raw.length < 2 || raw.data[0] != '"' || raw.data[raw.length - 1] != '"')
        return false;
    *out_inside = span_of(raw.data + 1, raw.length - 2);
    return true;
}

bool bus_nats_wire_text(struct span raw, char *out, size_t size)
{
    struct span inside;
    if (!unquote(raw, &inside))
        return false;
    struct reader r = reader_of(inside);
    size_t length = 0;
    while (r.left > 0) {
        int c = reader_u8(&r);
        if (c == '\\')
            c = take_escape(&r);
        if (c <= 0 || r.failed || length + 1 >= size)
            return false;
        out[length++] = (char)c;
    }
    if (length >= size)
        return false;
    out[length] = '\0';
    return true;
}

static int base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

/* Four letters to `4 - padding - 1` bytes; unused bits must be zero, so that each content has
 * one spelling. */
static bool base64_group(const uint8_t *at, unsigned padding, struct buf *out)
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < 4; i++) {
        int value = i < 4 - padding ? base64_value(at[i]) : (at[i] == '=' ? 0 : -1);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
    }
    if ((bits & ((1u << (8 * padding)) - 1)) != 0)
        return false;
    for (unsigned i = 0; i < 3 - padding; i++)
        buf_put_u8(out, (uint8_t)(bits >> (16 - 8 * i)));
    return true;
}

bool bus_nats_wire_base64(struct span raw, struct buf *out)
{
    struct span text;
    if (!unquote(raw, &text) || text.length % 4 != 0)
        return false;
    buf_reserve(out, text.length / 4 * 3);
    for (size_t i = 0; i < text.length; i += 4) {
        unsigned padding = 0;
        if (i + 4 == text.length && text.data[i + 3] == '=')
            padding = text.data[i + 2] == '=' ? 2 : 1;
        if (!base64_group(text.data + i, padding, out))
            return false;
    }
    return true;
}

/* `width` digits, at most 9; false if there are others among them. */
static bool digits(struct reader *r, unsigned width, uint32_t *out)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < width; i++) {
        uint8_t c = reader_u8(r);
        if (r->failed || c < '0' || c > '9')
            return false;
        value = value * 10 + (uint32_t)(c - '0');
    }
    *out = value;
    return true;
}

/* A number and the sign behind it. */
static bool part(struct reader *r, unsigned width, char sign, uint32_t max, uint32_t *out)
{
    return digits(r, width, out) && *out <= max && reader_u8(r) == (uint8_t)sign && !r->failed;
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar, years counted from March. */
static uint64_t days_of(uint32_t year, uint32_t month, uint32_t day)
{
    uint32_t y = month <= 2 ? year - 1 : year;
    uint32_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return (uint64_t)y * 365 + y / 4 - y / 100 + y / 400 + of_year - 719468;
}

bool bus_nats_wire_time(struct span raw, uint64_t *out_ms)
{
    struct span text;
    uint32_t year, month, day, hour, minute, second, thousandth = 0;
    if (!unquote(raw, &text))
        return false;
    struct reader r = reader_of(text);
    if (!part(&r, 4, '-', 9999, &year) || !part(&r, 2, '-', 12, &month) ||
        !part(&r, 2, 'T', 31, &day) || !part(&r, 2, ':', 23, &hour) ||
        !part(&r, 2, ':', 59, &minute) || !digits(&r, 2, &second) || second > 60 || year < 1970 ||
        month == 0 || day == 0)
        return false;
    uint8_t c = reader_u8(&r);
    if (c == '.') {
        /* Trailing zeros are not written: ".5" is half a second. */
        for (uint32_t unit = 100; (c = reader_u8(&r)) >= '0' && c <= '9' && !r.failed; unit /= 10)
            thousandth += (uint32_t)(c - '0') * unit;
    }
    if (c != 'Z' || r.failed || r.left > 0)
        return false;
    uint64_t seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    *out_ms = seconds * 1000 + thousandth;
    return true;
}

uint64_t bus_nats_wire_error(struct span answer)
{
    struct span error;
    struct span raw;
    uint64_t code = 0;
    if (!bus_nats_wire_field(answer, "error", &error))
        return 0;
    if (bus_nats_wire_field(error, "err_code", &raw) && bus_nats_wire_u64(raw, &code) && code > 0)
        return code;
    return 1;
}

bool bus_nats_wire_ack(struct span answer, struct bus_nats_wire_ack *out)
{
    struct span raw;
    /* An error also carries "seq":0, so the error is looked for first. */
    uint64_t code = bus_nats_wire_error(answer);
    if (code != 0) {
        *out = (struct bus_nats_wire_ack){.code = code};
        return true;
    }
    uint64_t seq = 0;
    if (!bus_nats_wire_field(answer, "stream", &raw) || !bus_nats_wire_field(answer, "seq", &raw) ||
        !bus_nats_wire_u64(raw, &seq) || seq == 0)
        return false;
    *out = (struct bus_nats_wire_ack){.stored = true, .seq = seq};
    return true;
}

bool bus_nats_wire_delivery(const char *reply, struct bus_nats_wire_delivery *out)
{
    enum { TOKENS_MAX = 16, SHORT_FORM = 9, LONG_FORM = 11 };
    struct span tokens[TOKENS_MAX];
    size_t count = 0;
    const char *at = reply;
    for (;;) {
        const char *dot = strchr(at, '.');
        size_t length = dot == NULL ? strlen(at) : (size_t)(dot - at);
        if (count == TOKENS_MAX)
            return false;
        tokens[count++] = span_of(at, length);
        if (dot == NULL)
            break;
        at = dot + 1;
    }
    if ((count != SHORT_FORM && count < LONG_FORM) || !span_equal(tokens[0], span_of_text("$JS")) ||
        !span_equal(tokens[1], span_of_text("ACK")))
        return false;
    size_t stream = count == SHORT_FORM ? 2 : 4;
    struct bus_nats_wire_delivery d;
    if (!bus_nats_wire_u64(tokens[stream + 3], &d.stream_seq) ||
        !bus_nats_wire_u64(tokens[stream + 4], &d.consumer_seq) ||
        !bus_nats_wire_u64(tokens[stream + 5], &d.time_ns) ||
        !bus_nats_wire_u64(tokens[stream + 6], &d.pending))
        return false;
    *out = d;
    return true;
}

bool bus_nats_wire_subject_ok(const char *subject)
{
    size_t length = strlen(subject);
    if (length == 0 || length > SUBJECT_BYTES_MAX || subject[0] == '.' ||
        subject[length - 1] == '.' || strstr(subject, "..") != NULL)
        return false;
    for (size_t i = 0; i < length; i++) {
        uint8_t c = (uint8_t)subject[i];
        if (c <= ' ' || c == 0x7f)
            return false;
    }
    return true;
}

bool bus_nats_wire_name_ok(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '_' && c != '-')
            return false;
    }
    return true;
}
