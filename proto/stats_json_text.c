/* SPDX-License-Identifier: Apache-2.0
 * stats_json_text: the atoms of the query service's JSON. */
#include "proto/stats_json_text.h"

void stats_json_text(struct buf *out, const char *text)
{
    buf_put(out, text, strlen(text));
}

void stats_json_number(struct buf *out, uint64_t value)
{
    buf_put_decimal(out, value);
}

void stats_json_string(struct buf *out, struct span text)
{
    static const char hex[] = "0123456789abcdef";
    buf_put_u8(out, '"');
    for (size_t i = 0; i < text.length; i++) {
        uint8_t c = text.data[i];
        if (c == '"' || c == '\\') {
            buf_put_u8(out, '\\');
            buf_put_u8(out, c);
        } else if (c < 0x20 || c == 0x7F) {
            stats_json_text(out, "\\u00");
            buf_put_u8(out, (uint8_t)hex[c >> 4]);
            buf_put_u8(out, (uint8_t)hex[c & 15]);
        } else {
            buf_put_u8(out, c);
        }
    }
    buf_put_u8(out, '"');
}

void stats_json_bool(struct buf *out, bool value)
{
    stats_json_text(out, value ? "true" : "false");
}
