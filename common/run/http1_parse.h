/* SPDX-License-Identifier: Apache-2.0
 * http1_parse: bytes of an HTTP/1.1 connection in, requests out, however the bytes are cut.
 * Audience: common/run/http1_session.c, tests. Pure: no socket, no clock. One thread at a time per
 * object.
 *
 * http-parser reads; http1_guard and the chunk rules in here see every byte first, and http1_head
 * judges what was read. Where the two disagree, the request is refused. */
#pragma once

#include "common/run/http1_head.h"

#define HTTP1_CHUNK_LINE_BYTES_MAX 128
#define HTTP1_TRAILER_BYTES_MAX    4096
/* Chunk lines may weigh as much as the body, and this much more: one click a chunk is honest, one
 * byte a chunk is not. */
#define HTTP1_CHUNK_SPARE_BYTES 16384

struct http1_parse;

enum http1_event_kind {
    HTTP1_NOTHING, /* all bytes were eaten; more are needed */
    HTTP1_HEAD,    /* `head` is valid until the next call */
    HTTP1_BODY,    /* a piece of it, inside the bytes that were fed */
    HTTP1_END,     /* of the request; the next call begins another */
    HTTP1_REFUSED, /* for good: nothing can be read here any more */
};

struct http1_event {
    enum http1_event_kind kind;
    enum http1_refusal refusal;
    const struct http1_head *head;
    struct span body;
};

struct http1_parse *http1_parse_new(void);
void http1_parse_free(struct http1_parse *p);
/* Eats up to the next event; returns how many bytes. Call again, also with no bytes, until
 * HTTP1_NOTHING. */
size_t http1_parse_feed(struct http1_parse *p, struct span bytes, struct http1_event *out);
/* No byte of a further request has come yet. */
bool http1_parse_is_idle(const struct http1_parse *p);
