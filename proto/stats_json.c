/* SPDX-License-Identifier: Apache-2.0
 * stats_json: the JSON text of GET /v1/stats and GET /v1/watermarks. */
#include "proto/stats_json.h"

static void put_text(struct buf *out, const char *text)
{
    buf_put(out, text, strlen(text));
}

static void put_number(struct buf *out, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buf_put(out, digits + at, sizeof(digits) - at);
}

static void put_string(struct buf *out, struct span text)
{
    static const char hex[] = "0123456789abcdef";
    buf_put_u8(out, '"');
    for (size_t i = 0; i < text.length; i++) {
        uint8_t c = text.data[i];
        if (c == '"' || c == '\\') {
            buf_put_u8(out, '\\');
            buf_put_u8(out, c);
        } else if (c < 0x20 || c == 0x7F) {
            put_text(out, "\\u00");
            buf_put_u8(out, (uint8_t)hex[c >> 4]);
            buf_put_u8(out, (uint8_t)hex[c & 15]);
        } else {
            buf_put_u8(out, c);
        }
    }
    buf_put_u8(out, '"');
}

static void put_bool(struct buf *out, bool value)
{
    put_text(out, value ? "true" : "false");
}

static void put_point(struct buf *out, const struct stats_json_point *p)
{
    put_text(out, "{\"timestamp\":");
    put_number(out, p->timestamp);
    put_text(out, ",\"click_count\":");
    put_number(out, p->click_count);
    put_text(out, ",\"unique_users\":");
    if (p->has_unique_users)
        put_number(out, p->unique_users);
    else
        put_text(out, "null");
    put_text(out, ",\"complete\":");
    put_bool(out, p->complete);
    put_text(out, ",\"final\":");
    put_bool(out, p->final_);
    buf_put_u8(out, '}');
}

static void put_standing(struct buf *out, const struct stats_json_answer *answer)
{
    put_text(out, "\"as_of\":");
    put_number(out, answer->as_of);
    put_text(out, ",\"watermarks\":{");
    for (size_t i = 0; i < answer->watermark_count; i++) {
        if (i > 0)
            buf_put_u8(out, ',');
        put_string(out, span_of_text(answer->watermarks[i].region));
        buf_put_u8(out, ':');
        if (answer->watermarks[i].watermark > 0)
            put_number(out, answer->watermarks[i].watermark);
        else
            put_text(out, "null");
    }
    put_text(out, "},\"missing_edges\":[");
    for (size_t i = 0; i < answer->missing_count; i++) {
        put_text(out, i > 0 ? ",{\"region\":" : "{\"region\":");
        put_string(out, span_of_text(answer->missing[i].region));
        put_text(out, ",\"edge\":");
        put_string(out, span_of_text(answer->missing[i].edge));
        buf_put_u8(out, '}');
    }
    put_text(out, "]}");
}

void stats_json_put(struct buf *out, const struct stats_json_answer *answer)
{
    buf_reserve(out, 256 + answer->point_count * 112);
    put_text(out, "{\"ad_id\":");
    put_string(out, answer->ad_id);
    put_text(out, ",\"window\":");
    put_string(out, span_of_text(answer->window));
    put_text(out, ",\"data\":[");
    for (size_t i = 0; i < answer->point_count; i++) {
        if (i > 0)
            buf_put_u8(out, ',');
        put_point(out, &answer->points[i]);
    }
    put_text(out, "],");
    put_standing(out, answer);
}

void stats_json_put_watermarks(struct buf *out, const struct stats_json_answer *answer)
{
    buf_put_u8(out, '{');
    put_standing(out, answer);
}
