/* SPDX-License-Identifier: Apache-2.0
 * click_json_oracle: seeded, mutated bodies; jansson says what is JSON and what the fields hold.
 *
 * Where jansson's verdict does not count, and why:
 *   - numbers beyond int64 or double: jansson gives up (json_error_numeric_overflow), RFC 8259 does
 * not;
 *   - U+0000 in a key: jansson cannot hold it (json_error_null_byte_in_key); in a value
 * JSON_ALLOW_NUL helps;
 *   - text deeper than LIMIT_JSON_DEPTH: we refuse, jansson goes on to 2048;
 *   - a raw NUL is nowhere JSON, but jansson 2.14 loses one that follows a number or a word ("60\0"
 * passes);
 *   - a beacon that goes on as lines after its first object: jansson must then agree on that
 * first one. */
#include "tests/unit/proto/click_json_given.h"

#include "common/base/rng.h"

#include <jansson.h>
#include <stdio.h>

#define CASES 400000

static const size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;

struct tally {
    size_t valid, invalid, clicks, refused, skipped, lines;
};

static void put(struct buf *out, const char *text)
{
    buf_put(out, text, strlen(text));
}

#define PICK(r, list) ((list)[rng_below((r), countof(list))])

static void put_space(struct rng *r, struct buf *out)
{
    static const char *const spaces[] = {"", "", "", "", "", "", " ", "\n", "\t", "\r\n", "  "};
    put(out, PICK(r, spaces));
}

static void put_string(struct rng *r, struct buf *out)
{
    static const char *const bits[] = {
        "a",
        "b",
        "ad-17",
        "Mozilla/5.0 (X11; Linux x86_64)",
        " ",
        "\\n",
        "\\\"",
        "\\\\",
        "\\/",
        "\\u0041",
        "\\u00e9",
        "\\ud83d\\ude00",
        "\xc3\xa9",
        "\xe2\x82\xac",
        "\xf0\x9f\x98\x80",
        "\\u0000",
        "\x7f",
        "\\t",
        "0123456789012345678901234567890123456789",
        "\\uffff",
        "2001:db8::1",
        "10.0.0.1",
        "_",
        "{",
        "]",
    };
    static const char *const bad[] = {
        "\\ud800", "\\udc00", "\xff",  "\xc0\x80",         "\xed\xa0\x80",   "\n",
        "\x01",    "\\x",     "\\u12", "\xf4\x90\x80\x80", "\\ud800\\u0041", "\xe2\x82"};
    buf_put_u8(out, '"');
    for (uint64_t n = rng_below(r, 5); n > 0; n--)
        put(out, rng_chance(r, 3) ? PICK(r, bad) : PICK(r, bits));
    buf_put_u8(out, '"');
}

static void put_number(struct rng *r, struct buf *out)
{
    static const char *const numbers[] = {
        "0",
        "-0",
        "1",
        "-1",
        "1700000000",
        "1700000000123",
        "253402300799999",
        "253402300800000",
        "1.5",
        "1e3",
        "-2.5E-3",
        "0.1",
        "9007199254740993",
        "9223372036854775807",
    };
    static const char *const bad[] = {"01",  "+1",  "1.",  ".5",  "1e", "-",
                                      "NaN", "0x1", "1e+", "--1", "00"};
    static const char *const huge[] = {"9223372036854775808", "-1e400", "99999999999999999999999"};
    put(out, rng_chance(r, 30)  ? PICK(r, bad)
             : rng_chance(r, 5) ? PICK(r, huge)
                                : PICK(r, numbers));
}

static void put_time(struct rng *r, struct buf *out)
{
    char text[32];
    snprintf(text, sizeof(text), "%llu", 1700000000ULL + rng_below(r, 100000));
    if (rng_chance(r, 100))
        put_number(r, out);
    else
        put(out, text);
}

static void put_value(struct rng *r, struct buf *out, unsigned depth);

static void put_items(struct rng *r, struct buf *out, bool object, unsigned depth)
{
    uint64_t count = rng_below(r, 4);
    buf_put_u8(out, object ? '{' : '[');
    for (uint64_t i = 0; i < count; i++) {
        put_space(r, out);
        if (object) {
            put_string(r, out);
            put_space(r, out);
            buf_put_u8(out, ':');
            put_space(r, out);
        }
        put_value(r, out, depth + 1);
        put_space(r, out);
        if (i + 1 < count || rng_chance(r, 8))
            buf_put_u8(out, ',');
    }
    put_space(r, out);
    buf_put_u8(out, object ? '}' : ']');
}

static void put_value(struct rng *r, struct buf *out, unsigned depth)
{
    static const char *const words[] = {"null", "true", "false", "nul", "True", "nullx"};
    if (rng_chance(r, 2)) { /* far down at once */
        uint64_t levels = rng_below(r, 40);
        for (uint64_t i = 0; i < levels; i++)
            buf_put_u8(out, '[');
        for (uint64_t i = 0; i < levels; i++)
            buf_put_u8(out, ']');
        if (levels > 0)
            return;
    }
    switch (rng_below(r, depth > 6 ? 3 : 5)) {
    case 0:
        put_string(r, out);
        return;
    case 1:
        put_number(r, out);
        return;
    case 2:
        put(out, words[rng_below(r, rng_chance(r, 50) ? countof(words) : 3)]);
        return;
    case 3:
        put_items(r, out, true, depth);
        return;
    default:
        put_items(r, out, false, depth);
        return;
    }
}

static void put_member(struct rng *r, struct buf *out, const char *key, bool first)
{
    put_space(r, out);
    if (!first)
        buf_put_u8(out, ',');
    put_space(r, out);
    buf_put_u8(out, '"');
    put(out, key);
    buf_put_u8(out, '"');
    put_space(r, out);
    buf_put_u8(out, ':');
    put_space(r, out);
    if (rng_chance(r, 60))
        put_value(r, out, 2);
    else if (strcmp(key, "timestamp") == 0)
        put_time(r, out);
    else if (strcmp(key, "ad_id") == 0 || strcmp(key, "user_id") == 0)
        put(out, rng_chance(r, 700) ? "\"x\\u0031\"" : "\"y\"");
    else
        put_string(r, out);
}

static void put_click(struct rng *r, struct buf *out)
{
    static const char *const required[] = {"ad_id", "user_id", "timestamp"};
    static const char *const optional[] = {"ip_address",  "user_agent", "click_id",
                                           "home",        "x",          "y",
                                           "ad\\u005fid", "Ad_id",      "user_agent"};
    bool first = true;
    buf_put_u8(out, '{');
    for (size_t i = 0; i < countof(required); i++) {
        if (rng_chance(r, 15))
            continue;
        put_member(r, out, required[i], first);
        first = false;
    }
    for (size_t i = 0; i < countof(optional); i++) {
        if (!rng_chance(r, i < 4 ? 500 : 80))
            continue;
        put_member(r, out, optional[i], first);
        first = false;
    }
    put_space(r, out);
    buf_put_u8(out, '}');
}

static void put_body(struct rng *r, struct buf *out)
{
    put_space(r, out);
    switch (rng_below(r, 8)) {
    case 0:
        put_value(r, out, 0);
        break;
    case 1:
        put_click(r, out);
        put(out, "\n");
        put_click(r, out);
        break;
    case 2:
    case 3:
        buf_put_u8(out, '[');
        for (uint64_t n = rng_below(r, 4), i = 0; i < n; i++) {
            if (i > 0)
                buf_put_u8(out, ',');
            put_space(r, out);
            if (rng_chance(r, 100))
                put_value(r, out, 1);
            else
                put_click(r, out);
        }
        buf_put_u8(out, ']');
        break;
    default:
        put_click(r, out);
        break;
    }
    put_space(r, out);
}

static void mutate(struct rng *r, struct buf *body)
{
    static const char bytes[] =
        "\"\\{}[],:0123456789eE+-.u \n\ttfn/\x00\x1f\x7f\x80\xc3\xed\xf4\xff";
    for (uint64_t n = rng_below(r, 4); n > 0 && body->length > 0; n--) {
        size_t at = (size_t)rng_below(r, body->length);
        switch (rng_below(r, 5)) {
        case 0: /* another byte */
            body->data[at] = (uint8_t)bytes[rng_below(r, sizeof(bytes) - 1)];
            break;
        case 1: /* a bit */
            body->data[at] ^= (uint8_t)(1u << rng_below(r, 8));
            break;
        case 2: /* one less */
            memmove(body->data + at, body->data + at + 1, body->length - at - 1);
            body->length--;
            break;
        case 3: /* one more */
            buf_put_u8(body, 0);
            memmove(body->data + at + 1, body->data + at, body->length - at - 1);
            body->data[at] = (uint8_t)bytes[rng_below(r, sizeof(bytes) - 1)];
            break;
        default: /* cut */
            if (rng_chance(r, 300))
                body->length = at;
            break;
        }
    }
}

static bool text_agrees(struct span mine, const json_t *theirs)
{
    if (theirs == NULL || json_is_null(theirs))
        return mine.data == NULL;
    return json_is_string(theirs) && mine.data != NULL &&
           mine.length == json_string_length(theirs) &&
           memcmp(mine.data, json_string_value(theirs), mine.length) == 0;
}

static bool id_is_valid(const json_t *value, bool required)
{
    if (value == NULL || json_is_null(value))
        return !required;
    if (!json_is_string(value) || json_string_length(value) < 1 ||
        json_string_length(value) > LIMIT_ID_BYTES)
        return false;
    for (size_t i = 0; i < json_string_length(value); i++)
        if ((unsigned char)json_string_value(value)[i] < 0x20 ||
            json_string_value(value)[i] == 0x7f)
            return false;
    return true;
}

static bool text_is_valid(const json_t *value, size_t bytes_max)
{
    return value == NULL || json_is_null(value) ||
           (json_is_string(value) && json_string_length(value) <= bytes_max);
}

/* The rules once more, on jansson's tree. "-0" comes out of jansson as 0: the caller knows. */
static bool click_is_valid(const json_t *o)
{
    const json_t *time = json_object_get(o, "timestamp");
    return json_is_object(o) && id_is_valid(json_object_get(o, "ad_id"), true) &&
           id_is_valid(json_object_get(o, "user_id"), true) &&
           id_is_valid(json_object_get(o, "click_id"), false) &&
           id_is_valid(json_object_get(o, "home"), false) &&
           text_is_valid(json_object_get(o, "ip_address"), LIMIT_IP_TEXT_BYTES) &&
           text_is_valid(json_object_get(o, "user_agent"), LIMIT_USER_AGENT_BYTES) &&
           json_is_integer(time) && json_integer_value(time) >= 0 &&
           json_integer_value(time) <= (json_int_t)LIMIT_TIMESTAMP_MS_MAX;
}

static void compare_click(const struct click_json_click *c, const json_t *o, bool duplicates,
                          struct tally *tally, const char *body)
{
    if (c->fault == CLICK_JSON_OK) {
        cr_assert(click_is_valid(o), "accepted: %s", body);
        cr_assert(text_agrees(c->ad_id, json_object_get(o, "ad_id")) &&
                      text_agrees(c->user_id, json_object_get(o, "user_id")) &&
                      text_agrees(c->ip_address, json_object_get(o, "ip_address")) &&
                      text_agrees(c->user_agent, json_object_get(o, "user_agent")) &&
                      text_agrees(c->click_id, json_object_get(o, "click_id")) &&
                      text_agrees(c->home, json_object_get(o, "home")) &&
                      (json_int_t)c->timestamp ==
                          json_integer_value(json_object_get(o, "timestamp")),
                  "fields differ: %s", body);
        tally->clicks++;
        return;
    }
    tally->refused++;
    if (c->fault == CLICK_JSON_NOT_OBJECT)
        cr_assert(!json_is_object(o), "%s", body);
    else if (c->fault == CLICK_JSON_DUPLICATE_KEY)
        cr_assert(duplicates, "no duplicate there: %s", body);
    else if (c->fault == CLICK_JSON_NOT_INTEGER) /* or "-0" */
        cr_assert(!click_is_valid(o) || json_integer_value(json_object_get(o, "timestamp")) == 0 ||
                      duplicates,
                  "%s", body);
    else /* a duplicate after the fault may have made jansson's last value a good one */
        cr_assert(!click_is_valid(o) || duplicates, "refused (%s): %s",
                  click_json_fault_token(c->fault), body);
}

static bool has_duplicates(struct span body)
{
    json_error_t error;
    json_t *tree =
        json_loadb((const char *)body.data, body.length, flags | JSON_REJECT_DUPLICATES, &error);
    json_decref(tree);
    return tree == NULL && json_error_code(&error) == json_error_duplicate_key;
}

/* After one value jansson found more: are these lines? */
static bool goes_on_as_lines(struct span body)
{
    json_error_t error;
    json_t *first =
        json_loadb((const char *)body.data, body.length, flags | JSON_DISABLE_EOF_CHECK, &error);
    bool object = json_is_object(first);
    json_decref(first);
    if (!object)
        return false;
    bool newline = false;
    for (size_t at = (size_t)error.position; at < body.length; at++) {
        if (strchr(" \t\r\n", body.data[at]) == NULL || body.data[at] == 0)
            return newline && body.data[at] == '{';
        newline |= body.data[at] == '\n';
    }
    return false;
}

static void compare_body(struct span body, struct tally *tally)
{
    char *shown = strndup((const char *)body.data, body.length);
    json_error_t error;
    json_t *tree = json_loadb((const char *)body.data, body.length, flags, &error);
    bool beacon = (tally->valid + tally->invalid) % 2 == 0;
    struct scan s = scan_span(body, beacon ? CLICK_JSON_BEACON : CLICK_JSON_DOCUMENT);
    bool well_formed = s.body_fault == CLICK_JSON_OK || s.body_fault == CLICK_JSON_NOT_OBJECT;
    if (tree != NULL && memchr(body.data, '\0', body.length) != NULL) {
        cr_assert(!well_formed, "a raw NUL passed: %s", shown);
        json_decref(tree);
        scan_done(&s);
        free(shown);
        return;
    }

    if (s.body_fault == CLICK_JSON_DEPTH ||
        (tree == NULL && (json_error_code(&error) == json_error_numeric_overflow ||
                          json_error_code(&error) == json_error_null_byte_in_key))) {
        tally->skipped++;
    } else if (tree == NULL && well_formed) {
        cr_assert(beacon && json_error_code(&error) == json_error_end_of_input_expected &&
                      goes_on_as_lines(body) && s.count >= 2,
                  "we took what is not JSON (%s): %s", error.text, shown);
        tally->lines++;
    } else {
        cr_assert((tree != NULL) == well_formed, "%s at %zu, but JSON: %s",
                  click_json_fault_token(s.body_fault), s.body_offset, shown);
        well_formed ? tally->valid++ : tally->invalid++;
    }
    if (tree != NULL && s.body_fault == CLICK_JSON_NOT_OBJECT)
        cr_assert(!json_is_object(tree) && !json_is_array(tree), "%s", shown);
    if (tree != NULL && s.body_fault == CLICK_JSON_OK) {
        bool duplicates = has_duplicates(body);
        cr_assert(s.count == (json_is_array(tree) ? json_array_size(tree) : 1), "%s", shown);
        for (size_t i = 0; i < s.count; i++)
            compare_click(&s.clicks[i], json_is_array(tree) ? json_array_get(tree, i) : tree,
                          duplicates, tally, shown);
    }
    json_decref(tree);
    scan_done(&s);
    free(shown);
}

Test(click_json_oracle, agrees_with_jansson_on_seeded_bodies, .timeout = 240)
{
    struct tally tally = {0};
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        struct rng r = {seed};
        struct buf body = {0};
        put_body(&r, &body);
        if (rng_chance(&r, 400))
            mutate(&r, &body);
        if (body.length == 0)
            buf_put_u8(&body, ' ');
        compare_body(buf_span(&body), &tally);
        buf_done(&body);
    }
    fprintf(stderr,
            "cases %d: JSON %zu, not JSON %zu, lines %zu, skipped %zu; clicks %zu, refused %zu\n",
            CASES, tally.valid, tally.invalid, tally.lines, tally.skipped, tally.clicks,
            tally.refused);
    /* The generator must reach every corner often, else agreement says nothing. */
    cr_expect(tally.valid > CASES / 4 && tally.invalid > CASES / 8 && tally.clicks > CASES / 8 &&
              tally.refused > CASES / 20 && tally.lines > CASES / 100);
    cr_expect(tally.skipped < CASES / 5);
}

/* Every single-byte change of a click body, and both ways of looking at it. */
Test(click_json_oracle, agrees_with_jansson_on_every_one_byte_change)
{
    static const char text[] =
        "[{\"ad_id\":\"\\u00e9\xc3\xa9\",\"user_id\":\"u\",\"timestamp\":1.5e3,\"x\":[null]}]";
    struct tally tally = {0};
    for (size_t at = 0; at < sizeof(text) - 1; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            char changed[sizeof(text)];
            memcpy(changed, text, sizeof(text));
            changed[at] = (char)byte;
            compare_body(span_of(changed, sizeof(text) - 1), &tally);
        }
    }
    cr_expect(tally.valid > 1000 && tally.invalid > 1000);
}
