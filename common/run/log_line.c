/* SPDX-License-Identifier: Apache-2.0
 * log_line: how one line of the log is written, and how often one message may be.
 * Audience: see log_line.h. */
#include "common/run/log_line.h"

#include <stdio.h>
#include <time.h>

/* Decodes one UTF-8 character as RFC 3629 allows it; returns its length, or 0. */
static size_t utf8_next(const uint8_t *at, size_t left, uint32_t *out_code)
{
    static const uint32_t lowest[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = at[0] < 0x80   ? 1
                    : at[0] < 0xc2 ? 0
                    : at[0] < 0xe0 ? 2
                    : at[0] < 0xf0 ? 3
                    : at[0] < 0xf5 ? 4
                                   : 0;
    if (length == 0 || length > left)
        return 0;
    uint32_t code = length == 1 ? at[0] : at[0] & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3fU);
    }
    if (code > 0x10ffff || code < lowest[length] || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *out_code = code;
    return length;
}

/* Controls (C0, DEL, C1), line and paragraph separators, marks that turn the direction of text or
 * have no width. */
static bool is_treacherous(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x200b && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) ||
           code == 0xfeff;
}

static bool is_plain(struct span value)
{
    for (size_t i = 0; i < value.length; i++) {
        uint8_t c = value.data[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=')
            return false;
    }
    return value.length > 0;
}

static void put_escaped(struct buf *out, struct span value)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < value.length;) {
        uint32_t code = 0;
        size_t length = utf8_next(value.data + i, value.length - i, &code);
        size_t raw = length == 0 ? 1 : length;
        if (length == 0 || is_treacherous(code)) {
            for (size_t j = i; j < i + raw; j++) {
                const char hex[4] = {'\\', 'x', digits[value.data[j] >> 4],
                                     digits[value.data[j] & 15]};
                buf_put(out, hex, sizeof(hex));
            }
        } else {
            if (code == '"' || code == '\\')
                buf_put_u8(out, '\\');
            buf_put(out, value.data + i, raw);
        }
        i += raw;
    }
}

static void put_value(struct buf *out, struct span value)
{
    const bool cut = value.length > LOG_LINE_VALUE_BYTES_MAX;
    if (cut)
        value.length = LOG_LINE_VALUE_BYTES_MAX;
    if (is_plain(value) && !cut) {
        buf_put(out, value.data, value.length);
        return;
    }
    buf_put_u8(out, '"');
    put_escaped(out, value);
    if (cut)
        buf_put_text(out, "...");
    buf_put_u8(out, '"');
}

static void put_field(struct buf *out, const struct log_field *field)
{
    buf_put_u8(out, ' ');
    buf_put_text(out, field->name);
    buf_put_u8(out, '=');
    char number[24];
    switch (field->kind) {
    case LOG_TEXT:
        put_value(out, span_of_text(field->text == NULL ? "(none)" : field->text));
        break;
    case LOG_SPAN:
        put_value(out, field->bytes);
        break;
    case LOG_NUMBER:
        (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)field->number);
        buf_put_text(out, number);
        break;
    }
}

void log_line_put(struct buf *out, uint64_t wall_ms, enum log_level level, const char *program,
                  const char *message, const struct log_field *fields, size_t count)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    CHECK((size_t)level < countof(levels) && (count == 0 || fields != NULL));
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    char stamp[32], head[64];
    CHECK(gmtime_r(&seconds, &utc) != NULL);
    CHECK(strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc) > 0);
    (void)snprintf(head, sizeof(head), "ts=%s.%03uZ level=%s prog=", stamp,
                   (unsigned)(wall_ms % 1000), levels[level]);
    buf_put_text(out, head);
    put_value(out, span_of_text(program));
    buf_put_text(out, " msg=");
    put_value(out, span_of_text(message));
    for (size_t i = 0; i < count; i++)
        put_field(out, &fields[i]);
    buf_put_u8(out, '\n');
}

/* The place of a message, a free one, or one whose second has ended with nothing left to tell; else
 * NULL. */
static struct log_line_watched *place_of(struct log_line_rate *r, const char *message,
                                         uint64_t window)
{
    struct log_line_watched *free_place = NULL;
    for (size_t i = 0; i < LOG_LINE_MESSAGES; i++) {
        struct log_line_watched *w = &r->watched[i];
        if (w->message[0] != '\0' && strncmp(w->message, message, sizeof(w->message) - 1) == 0)
            return w;
        if (w->message[0] == '\0' || (w->window != window && w->suppressed == 0))
            free_place = w;
    }
    if (free_place != NULL) {
        *free_place = (struct log_line_watched){.window = window};
        (void)snprintf(free_place->message, sizeof(free_place->message), "%s", message);
    }
    return free_place;
}

bool log_line_admit(struct log_line_rate *r, const char *message, uint64_t mono_ms)
{
    const uint64_t window = mono_ms / 1000;
    struct log_line_watched *w = place_of(r, message, window);
    if (w == NULL)
        return true;
    if (w->window != window) {
        w->window = window;
        w->lines = 0;
    }
    if (w->lines < LOG_LINE_PER_SECOND) {
        w->lines++;
        return true;
    }
    w->suppressed++;
    return false;
}

bool log_line_suppressed(struct log_line_rate *r, uint64_t mono_ms,
                         struct log_line_watched *out_watched)
{
    for (size_t i = 0; i < LOG_LINE_MESSAGES; i++) {
        struct log_line_watched *w = &r->watched[i];
        if (w->suppressed == 0 || w->window == mono_ms / 1000)
            continue;
        *out_watched = *w;
        w->suppressed = 0;
        return true;
    }
    return false;
}
