/* SPDX-License-Identifier: Apache-2.0
 * http1_guard: every byte of an HTTP/1.1 head, before a parser sees it.
 * Audience: common/run/http1_*.c, tests. Pure. One thread at a time per object.
 *
 * Debian builds its HTTP/1 parser in the lenient mode: that one lets bare LF, folded fields, white
 * space before the colon and any byte where CR LF belongs pass (tests/unit/run/test_http1_parse.c
 * asks it). What two parsers on one way read differently is how requests are smuggled, so
 * nothing but the grammar of RFC 9112 gets past here. */
#pragma once

#include "common/base/bytes.h"

/*    kind, status, token of the metric's label, what the sender is told */
#define HTTP1_REFUSAL_TABLE(X)                                                                     \
    X(HTTP1_NOT_REFUSED, 0, "none", "")                                                            \
    X(HTTP1_CHARACTER, 400, "character", "A byte that HTTP/1.1 does not allow there.")             \
    X(HTTP1_LINE_END, 400, "line_end", "A line must end in CR LF.")                                \
    X(HTTP1_FOLD, 400, "fold", "A header field may not go on in a second line.")                   \
    X(HTTP1_FIELD_NAME, 400, "field_name", "A header field's name is empty or malformed.")         \
    X(HTTP1_REQUEST_LINE, 400, "request_line", "The request line is malformed.")                   \
    X(HTTP1_TARGET, 400, "target", "The target must be a path, or * for OPTIONS.")                 \
    X(HTTP1_VERSION, 505, "version", "Only HTTP/1.1 and HTTP/2 are spoken here.")                  \
    X(HTTP1_METHOD, 501, "method", "The method is not known here.")                                \
    X(HTTP1_HOST, 400, "host", "Exactly one well-formed Host is needed.")                          \
    X(HTTP1_LENGTH, 400, "length", "Content-Length must stand there once, in digits.")             \
    X(HTTP1_CODING, 400, "coding", "The only transfer coding is chunked, said once.")              \
    X(HTTP1_BOTH, 400, "both_lengths", "Content-Length and Transfer-Encoding exclude each other.") \
    X(HTTP1_CHUNK, 400, "chunk", "The body's chunks are malformed or too small.")                  \
    X(HTTP1_TRAILER, 400, "trailer", "The trailers are malformed, forbidden or too long.")         \
    X(HTTP1_HEAD_SIZE, 431, "head_size", "At most 64 header fields and 16384 bytes of them.")      \
    X(HTTP1_PARSER, 400, "parser", "The request is malformed.")

enum http1_refusal {
#define HTTP1_ENUM_ROW(kind, status, token, detail) kind,
    HTTP1_REFUSAL_TABLE(HTTP1_ENUM_ROW)
#undef HTTP1_ENUM_ROW
        HTTP1_REFUSALS
};

unsigned http1_refusal_status(enum http1_refusal refusal);
const char *http1_refusal_token(enum http1_refusal refusal);
const char *http1_refusal_detail(enum http1_refusal refusal);

enum http1_guard_state {
    HTTP1_GUARD_START, /* one empty line may precede a request (RFC 9112, 2.2) */
    HTTP1_GUARD_START_LF,
    HTTP1_GUARD_LINE_FIRST,
    HTTP1_GUARD_LINE,
    HTTP1_GUARD_LINE_LF,
    HTTP1_GUARD_FIELD_FIRST,
    HTTP1_GUARD_FIELD, /* as the first, but a fold is possible */
    HTTP1_GUARD_NAME,
    HTTP1_GUARD_VALUE,
    HTTP1_GUARD_VALUE_LF,
    HTTP1_GUARD_END_LF,
    HTTP1_GUARD_ENDED,
};

struct http1_guard {
    enum http1_guard_state state;
};

/* For a request, or for the trailers behind the last chunk. */
void http1_guard_begin(struct http1_guard *g);
void http1_guard_begin_trailers(struct http1_guard *g);
/* Judges the next byte. After a refusal, or in HTTP1_GUARD_ENDED, it may not be called again. */
enum http1_refusal http1_guard_byte(struct http1_guard *g, uint8_t byte);
