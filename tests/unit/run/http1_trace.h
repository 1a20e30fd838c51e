/* SPDX-License-Identifier: Apache-2.0
 * http1_trace: what http1_parse makes of bytes that come in pieces, as one text to compare.
 * Audience: tests, tests/fuzz. */
#pragma once

#include "common/run/http1_parse.h"

#include <stdlib.h>

static inline void http1_trace_text(struct buf *out, const char *text)
{
    buf_put(out, text, strlen(text));
}

static inline void http1_trace_head(struct buf *out, const struct http1_head *head)
{
    http1_trace_text(out, head->method);
    buf_put_u8(out, ' ');
    buf_put(out, head->target.data, head->target.length);
    buf_put_u8(out, '@');
    buf_put(out, head->host.data, head->host.length);
    http1_trace_text(out, head->close ? " close" : "");
    http1_trace_text(out, head->continues ? " continues" : "");
    for (size_t i = 0; i < head->field_count; i++) {
        buf_put_u8(out, '|');
        buf_put(out, head->fields[i].name.data, head->fields[i].name.length);
        buf_put_u8(out, '=');
        buf_put(out, head->fields[i].value.data, head->fields[i].value.length);
    }
    http1_trace_text(out, "|<");
}

/* Appends an event; false after a refusal. Body pieces run together. */
static inline bool http1_trace_event(struct buf *out, const struct http1_event *event)
{
    switch (event->kind) {
    case HTTP1_NOTHING:
        return true;
    case HTTP1_HEAD:
        http1_trace_head(out, event->head);
        return true;
    case HTTP1_BODY:
        buf_put(out, event->body.data, event->body.length);
        return true;
    case HTTP1_END:
        http1_trace_text(out, ">");
        return true;
    default:
        http1_trace_text(out, "!");
        http1_trace_text(out, http1_refusal_token(event->refusal));
        return false;
    }
}

/* One piece, in memory of its own and of its very size, so that a sanitizer sees every byte beyond
 * it. False after a refusal. */
static inline bool http1_trace_piece(struct http1_parse *p, struct span piece, struct buf *out)
{
    uint8_t *copy = base_alloc(piece.length);
    struct http1_event event;
    size_t eaten = 0;
    bool going;

    memcpy(copy, piece.data, piece.length);
    do {
        eaten += http1_parse_feed(p, span_of(copy + eaten, piece.length - eaten), &event);
        CHECK(eaten <= piece.length);
        going = http1_trace_event(out, &event);
    } while (going && event.kind != HTTP1_NOTHING);
    CHECK(!going || eaten == piece.length);
    free(copy);
    return going;
}

/* Pieces of 1 to `most` bytes by a generator from `seed`. */
static inline void http1_trace(struct span bytes, size_t most, uint32_t seed, struct buf *out)
{
    struct http1_parse *p = http1_parse_new();
    bool going = true;

    for (size_t at = 0; going && at < bytes.length;) {
        seed = seed * 1664525u + 1013904223u;
        size_t piece = base_min_u64(1 + (seed >> 16) % most, bytes.length - at);
        going = http1_trace_piece(p, span_of(bytes.data + at, piece), out);
        at += piece;
    }
    http1_parse_free(p);
}
