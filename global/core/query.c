/* SPDX-License-Identifier: Apache-2.0
 * query: what GET /v1/stats, /v1/top and /v1/ads ask, strictly read. */
#include "global/core/query.h"

#include "global/core/query_span.h"
#include "global/core/query_time.h"
#include "global/core/zone.h"

#include <stdarg.h>
#include <stdio.h>

#define LIMIT_MAX       1000u
#define LIMIT_DEFAULT   100u
#define LIMIT_TOP       10u
#define LIMIT_DIGITS    5u
#define MINUTES_DEFAULT 60u

enum parameter {
    AD_ID,
    WINDOW,
    START,
    END,
    TZ,
    CONSISTENCY,
    FILL,
    LIMIT,
    PREFIX,
    CURSOR,
    MINUTES,
    PARAMETERS
};

#define OF(route) (1u << (route))

_Static_assert(LIMIT_MAX == 1000 && LIMIT_QUERY_POINTS == 10080, "the rules of `limit` name them");
_Static_assert(LIMIT_STREAM_MINUTES == 180, "the rule of `minutes` names it");

static const struct {
    const char *name;
    unsigned known, required; /* by which routes */
    const char *rule;         /* of a word */
} parameters[PARAMETERS] = {
    [AD_ID] = {"ad_id", OF(QUERY_STATS) | OF(QUERY_STREAM), OF(QUERY_STATS) | OF(QUERY_STREAM),
               NULL},
    [WINDOW] = {"window", OF(QUERY_STATS), OF(QUERY_STATS), "must be one of 1m, 5m, 1h, 1d"},
    [START] = {"start", OF(QUERY_STATS) | OF(QUERY_TOP), OF(QUERY_STATS) | OF(QUERY_TOP), NULL},
    [END] = {"end", OF(QUERY_STATS) | OF(QUERY_TOP), OF(QUERY_STATS) | OF(QUERY_TOP), NULL},
    [TZ] = {"tz", OF(QUERY_STATS), 0, NULL},
    [CONSISTENCY] = {"consistency", OF(QUERY_STATS) | OF(QUERY_TOP), 0,
                     "must be one of eventual, complete, final"},
    [FILL] = {"fill", OF(QUERY_STATS), 0, "must be one of zero, none"},
    [LIMIT] = {"limit", OF(QUERY_STATS) | OF(QUERY_TOP) | OF(QUERY_ADS), 0, NULL},
    [PREFIX] = {"prefix", OF(QUERY_ADS), 0, NULL},
    [CURSOR] = {"cursor", OF(QUERY_STATS) | OF(QUERY_ADS), 0,
                "must be the `next` of an earlier answer"},
    [MINUTES] = {"minutes", OF(QUERY_STREAM), 0, "must be a whole number from 1 to 180"},
};

bool query_refuse(struct query_fault *fault, const char *parameter, const char *format, ...)
{
    (void)snprintf(fault->parameter, sizeof(fault->parameter), "%s", parameter);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(fault->rule, sizeof(fault->rule), format, args);
    va_end(args);
    return false;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Length of the UTF-8 sequence at `at` (RFC 3629: shortest form, no surrogates), 0 if it is none.
 */
static size_t utf8_length(const uint8_t *at, size_t left)
{
    uint8_t first = at[0];
    if (first < 0x80)
        return 1;
    size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || length > left)
        return 0;
    uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    return length;
}

/* Decodes `text` up to '&' or the end into out (of `size` bytes). *out_length may be SIZE_MAX:
 * longer than that. */
static bool decode(const char *text, size_t length, const char *name, uint8_t *out, size_t size,
                   size_t *out_length, struct query_fault *fault)
{
    size_t used = 0;
    bool too_long = false;
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (byte == '+')
            return query_refuse(
                fault, name,
                "a bare '+' is ambiguous: write %%2B for a plus sign, %%20 for a space");
        if (byte == '%') {
            int high = length - i > 2 ? hex_value(text[i + 1]) : -1;
            int low = length - i > 2 ? hex_value(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return query_refuse(fault, name, "'%%' must be followed by two hexadecimal digits");
            byte = (uint8_t)(high * 16 + low);
            i += 2;
        }
        too_long = too_long || used == size;
        if (!too_long)
            out[used++] = byte;
    }
    *out_length = too_long ? SIZE_MAX : used;
    return true;
}

static bool take_id(const char *text, size_t length, const char *name, char *out,
                    size_t *out_length, struct query_fault *fault)
{
    uint8_t *id = (uint8_t *)out;
    if (!decode(text, length, name, id, LIMIT_ID_BYTES, out_length, fault))
        return false;
    if (*out_length == SIZE_MAX)
        return query_refuse(fault, name, "must be at most %d bytes of UTF-8", LIMIT_ID_BYTES);
    if (*out_length == 0)
        return query_refuse(fault, name, "must not be empty");
    for (size_t i = 0; i < *out_length;) {
        size_t step = utf8_length(id + i, *out_length - i);
        if (step == 0)
            return query_refuse(fault, name, "must be valid UTF-8");
        if (id[i] < 0x20 || id[i] == 0x7F)
            return query_refuse(fault, name, "must not contain control characters");
        i += step;
    }
    id[*out_length] = '\0';
    return true;
}

/* One more ad of the query. */
static bool take_ad(const char *text, size_t length, struct query *out, struct query_fault *fault)
{
    char id[LIMIT_ID_BYTES + 1];
    size_t id_length = 0;
    if (!take_id(text, length, "ad_id", id, &id_length, fault))
        return false;
    uint32_t start = 0;
    for (uint32_t i = 0; i < out->ad_count; start = out->ad_ends[i++])
        if (span_equal(span_of(out->ads + start, out->ad_ends[i] - start), span_of(id, id_length)))
            return query_refuse(fault, "ad_id", "must not name the same ad twice");
    if (out->ad_count == LIMIT_QUERY_ADS)
        return query_refuse(fault, "ad_id", "must be given at most %d times", LIMIT_QUERY_ADS);
    memcpy(out->ads + start, id, id_length); /* they were longer in the text of the query */
    out->ad_ends[out->ad_count++] = (uint16_t)(start + id_length);
    if (out->ad_count > 1)
        return true;
    memcpy(out->ad_id, id, sizeof(id));
    out->ad_id_length = id_length;
    return true;
}

static bool take_limit(const char *text, size_t length, enum query_route route, struct query *out,
                       struct query_fault *fault)
{
    uint8_t digits[LIMIT_DIGITS];
    uint32_t most = route == QUERY_STATS ? LIMIT_QUERY_POINTS : LIMIT_MAX;
    size_t used = 0;
    if (!decode(text, length, "limit", digits, sizeof(digits), &used, fault))
        return false;
    bool known = used != SIZE_MAX && (used < LIMIT_DIGITS || digits[0] != '0');
    out->limit = 0;
    for (size_t i = 0; known && i < used; i++) {
        known = digits[i] >= '0' && digits[i] <= '9';
        out->limit = out->limit * 10 + (uint32_t)(digits[i] & 15);
    }
    out->paged = true;
    if (!known || out->limit < 1 || out->limit > most)
        return query_refuse(fault, "limit", "must be a whole number from 1 to %u", most);
    return true;
}

static bool take_zone(const char *text, size_t length, struct query *out, struct query_fault *fault)
{
    uint8_t *name = (uint8_t *)out->zone;
    size_t used = 0;
    if (!decode(text, length, "tz", name, QUERY_ZONE_BYTES, &used, fault))
        return false;
    if (used == SIZE_MAX || !zone_name_is_valid(span_of(name, used)))
        return query_refuse(fault, "tz", QUERY_ZONE_RULE);
    name[used] = '\0';
    return true;
}

static bool take_cursor(const char *word, struct query *out)
{
    out->has_cursor = strlen(word) == 16;
    for (size_t i = 0; out->has_cursor && i < 16; i++) {
        int value = hex_value(word[i]);
        out->has_cursor = value >= 0;
        out->cursor = out->cursor << 4 | (uint64_t)(value & 15);
    }
    return out->has_cursor;
}

static bool take_minutes(const char *word, struct query *out)
{
    size_t length = strlen(word);
    uint32_t minutes = 0;
    for (size_t i = 0; i < length && i < 4; i++) {
        if (word[i] < '0' || word[i] > '9')
            return false;
        minutes = minutes * 10 + (uint32_t)(word[i] - '0');
    }
    out->minutes = minutes;
    return length <= 3 && minutes >= 1 && minutes <= LIMIT_STREAM_MINUTES;
}

/* The name that a page of ads ended with, in hex. */
static bool take_cursor_name(const char *text, size_t length, struct query *out,
                             struct query_fault *fault)
{
    uint8_t hex[2 * LIMIT_ID_BYTES];
    size_t used = 0;
    if (!decode(text, length, "cursor", hex, sizeof(hex), &used, fault))
        return false;
    bool known = used != SIZE_MAX && used > 0 && used % 2 == 0;
    for (size_t i = 0; known && i < used; i++) {
        int value = hex_value((char)hex[i]);
        known = value >= 0;
        out->cursor_name[i / 2] = (char)((out->cursor_name[i / 2] << 4 | (value & 15)) & 0xFF);
    }
    out->cursor_name_length = used / 2;
    out->has_cursor = known;
    return known || query_refuse(fault, "cursor", "%s", parameters[CURSOR].rule);
}

static bool take_fill(const char *word, struct query *out)
{
    out->fill_none = strcmp(word, "none") == 0;
    return out->fill_none || strcmp(word, "zero") == 0;
}

static bool take_consistency(const char *word, struct query *out)
{
    static const char *const words[] = {
        [QUERY_EVENTUAL] = "eventual", [QUERY_COMPLETE] = "complete", [QUERY_FINAL] = "final"};
    unsigned i = 0;
    while (i < countof(words) && strcmp(words[i], word) != 0)
        i++;
    out->consistency = (enum query_consistency)i;
    return i < countof(words);
}

static bool take_word(const char *text, size_t length, enum parameter parameter, struct query *out,
                      struct query_fault *fault)
{
    char word[24];
    size_t used = 0;
    const char *name = parameters[parameter].name;
    if (!decode(text, length, name, (uint8_t *)word, sizeof(word) - 1, &used, fault))
        return false;
    word[used == SIZE_MAX ? 0 : used] = '\0';
    if (used != SIZE_MAX && strlen(word) != used)
        word[0] = '\0'; /* an encoded NUL */
    bool known;
    if (parameter == WINDOW)
        known = minute_window_parse(word, &out->window);
    else if (parameter == MINUTES)
        known = take_minutes(word, out);
    else if (parameter == FILL)
        known = take_fill(word, out);
    else if (parameter == CURSOR)
        known = take_cursor(word, out);
    else
        known = take_consistency(word, out);
    if (!known)
        (void)query_refuse(fault, name, "%s", parameters[parameter].rule);
    return known;
}

/* Unix seconds or RFC 3339; alignment is asked for later, with the window. */
static bool take_time(const char *text, size_t length, const char *name, uint64_t *out_s,
                      struct query_fault *fault)
{
    /* The last window of the year 9999 ends here. */
    const uint64_t latest_s = (LIMIT_TIMESTAMP_MS_MAX + 1) / 1000;
    uint8_t digits[40];
    size_t used = 0;
    if (!decode(text, length, name, digits, sizeof(digits), &used, fault))
        return false;
    if (used != SIZE_MAX && used > 4 && digits[4] == '-') {
        if (query_time_rfc3339(span_of(digits, used), out_s))
            return true;
        return query_refuse(
            fault, name,
            "must be Unix seconds or an RFC 3339 time of whole seconds from 1970 on, as "
            "2026-01-31T00:00:00Z or 2026-01-31T01:00:00%%2B01:00");
    }
    uint64_t value = 0;
    bool integer = used > 0;
    for (size_t i = 0; used != SIZE_MAX && i < used && integer; i++) {
        integer = digits[i] >= '0' && digits[i] <= '9';
        if (integer && value <= latest_s)
            value = value * 10 + (uint64_t)(digits[i] - '0');
    }
    if (!integer)
        return query_refuse(fault, name,
                            "must be a whole number of Unix seconds, or an RFC 3339 time");
    if (used == SIZE_MAX || value > latest_s)
        return query_refuse(fault, name, "must be Unix seconds (not milliseconds), at most %llu",
                            (unsigned long long)latest_s);
    *out_s = value;
    return true;
}

static void printable(const char *text, size_t length, char *out, size_t size)
{
    size_t n = length < size - 1 ? length : size - 1;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '_' || c == '-' || c == '.';
        out[i] = plain ? c : '?';
    }
    out[n] = '\0';
}

static bool refuse_unknown(enum query_route route, const char *text, size_t length,
                           struct query_fault *fault)
{
    char name[32];
    char known[128] = "";
    size_t used = 0;
    printable(text, length, name, sizeof(name));
    for (enum parameter p = 0; p < PARAMETERS; p++)
        if ((parameters[p].known & OF(route)) != 0)
            used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s",
                                     used > 0 ? ", " : "", parameters[p].name);
    CHECK(used < sizeof(known));
    if (used == 0)
        return query_refuse(fault, name, "unknown parameter; this resource takes no parameters");
    return query_refuse(fault, name, "unknown parameter; known are %s", known);
}

static bool take_pair(enum query_route route, const char *text, size_t length,
                      bool seen[PARAMETERS], struct query *out, struct query_fault *fault)
{
    const char *equals = memchr(text, '=', length);
    size_t name_length = equals == NULL ? length : (size_t)(equals - text);
    const char *value = equals == NULL ? text + length : equals + 1;
    size_t value_length = equals == NULL ? 0 : length - name_length - 1;
    enum parameter parameter = 0;
    while (parameter < PARAMETERS && (strlen(parameters[parameter].name) != name_length ||
                                      memcmp(parameters[parameter].name, text, name_length) != 0))
        parameter++;
    if (parameter == PARAMETERS || (parameters[parameter].known & OF(route)) == 0)
        return refuse_unknown(route, text, name_length, fault);
    const char *name = parameters[parameter].name;
    if (seen[parameter] && parameter != AD_ID)
        return query_refuse(fault, name, "must be given once");
    seen[parameter] = true;
    if (parameter == AD_ID)
        return take_ad(value, value_length, out, fault);
    if (parameter == LIMIT)
        return take_limit(value, value_length, route, out, fault);
    if (parameter == CURSOR && route == QUERY_ADS)
        return take_cursor_name(value, value_length, out, fault);
    if (parameter == TZ)
        return take_zone(value, value_length, out, fault);
    if (parameter == PREFIX)
        return take_id(value, value_length, name, out->prefix, &out->prefix_length, fault);
    if (parameter == START || parameter == END)
        return take_time(value, value_length, name,
                         parameter == START ? &out->start_s : &out->end_s, fault);
    return take_word(value, value_length, parameter, out, fault);
}

bool query_parse_for(enum query_route route, const char *text, struct query *out,
                     struct query_fault *out_fault)
{
    bool seen[PARAMETERS] = {false};
    *out = (struct query){
        .consistency = QUERY_EVENTUAL, .window = MINUTE_WINDOW_1M, .minutes = MINUTES_DEFAULT};
    out->limit = route == QUERY_TOP ? LIMIT_TOP : LIMIT_DEFAULT;
    if (strlen(text) > LIMIT_QUERY_BYTES)
        return query_refuse(out_fault, "query", "must be at most %d bytes", LIMIT_QUERY_BYTES);
    while (*text != '\0') {
        size_t length = strcspn(text, "&");
        if (length > 0 && !take_pair(route, text, length, seen, out, out_fault))
            return false;
        text += length;
        text += *text == '&';
    }
    for (enum parameter p = 0; p < PARAMETERS; p++)
        if (!seen[p] && (parameters[p].required & OF(route)) != 0)
            return query_refuse(out_fault, parameters[p].name, "is required");
    if (route == QUERY_STREAM && out->ad_count > LIMIT_STREAM_ADS)
        return query_refuse(out_fault, "ad_id", "must be given at most %d times", LIMIT_STREAM_ADS);
    return !seen[END] || seen[TZ] || query_lay_out(out, out_fault);
}

bool query_parse(const char *text, struct query *out, struct query_fault *out_fault)
{
    return query_parse_for(QUERY_STATS, text, out, out_fault);
}
