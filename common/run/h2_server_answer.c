/* SPDX-License-Identifier: Apache-2.0
 * h2_server_answer: what the application calls with a request: headers, answers, problem documents.
 */
#include "common/run/h2_conn.h"

#include <stdio.h>
#include <stdlib.h>

/* Most names differ in their first byte: that spares nearly all calls. */
static bool same_name(const char *a, const char *b)
{
    return a[0] == b[0] && strcmp(a, b) == 0;
}

const char *h2_header(const struct h2_request *r, const char *name)
{
    for (size_t i = 0; i < r->header_count; i++)
        if (same_name(r->headers[i].name, name))
            return r->headers[i].value;
    return NULL;
}

bool h2_header_repeated(const struct h2_request *r, const char *name)
{
    unsigned seen = 0;
    for (size_t i = 0; i < r->header_count; i++)
        if (same_name(r->headers[i].name, name))
            seen++;
    return seen > 1;
}

/* Head and first bytes: copied, or in `taken`, whose memory changes hands. False: the client has
 * gone, and the request with it. */
static bool begin(struct h2_stream *stream, unsigned status, const struct h2_header *headers,
                  size_t header_count, struct span body, struct buf *taken)
{
    CHECK(stream->delivered && !stream->answered);
    stream->answered = true;
    if (stream->conn == NULL) { /* this was the last that knew of the request */
        h2_stream_free(stream);
        return false;
    }
    if (taken != NULL) {
        struct buf spare = stream->answer;
        CHECK(spare.length == 0 && body.length == 0);
        stream->answer = *taken;
        *taken = spare;
    }
    buf_put(&stream->answer, body.data, body.length);
    h2_stream_drop_body(stream);
    stream->progress_ms = uv_now(stream->server->options.loop);
    stream->conn->answer_bytes += stream->answer.length;
    H2_COUNT(stream->server, responses_total, 1);
    stream->conn->protocol->submit(stream, status, headers, header_count);
    h2_conn_mark(stream->conn);
    return true;
}

void h2_respond(struct h2_request *r, unsigned status, const struct h2_header *headers,
                size_t header_count, struct span body)
{
    (void)begin(container_of(r, struct h2_stream, request), status, headers, header_count, body,
                NULL);
}

void h2_respond_taking(struct h2_request *r, unsigned status, const struct h2_header *headers,
                       size_t header_count, struct buf *body)
{
    (void)begin(container_of(r, struct h2_stream, request), status, headers, header_count,
                (struct span){NULL, 0}, body);
}

/* -- in pieces ----------------------------------------------------------------------------- */

bool h2_respond_begin(struct h2_request *r, unsigned status, const struct h2_header *headers,
                      size_t header_count, void (*gone)(struct h2_request *r))
{
    struct h2_stream *stream = container_of(r, struct h2_stream, request);
    bool is_head = stream->is_head; /* the stream may be no more below */
    stream->in_pieces = true;
    stream->pieces_ended = is_head;
    stream->gone = gone;
    return begin(stream, status, headers, header_count, (struct span){NULL, 0}, NULL) && !is_head;
}

bool h2_respond_write(struct h2_request *r, struct span piece)
{
    struct h2_stream *stream = container_of(r, struct h2_stream, request);
    CHECK(stream->in_pieces && !stream->pieces_ended && stream->conn != NULL);
    struct h2_conn *c = stream->conn;
    if (stream->answer.length > 0 || c->writing)
        return false;
    size_t behind = h2_conn_behind(c);
    if (behind > H2_PIECES_BEHIND_MAX) {
        if (c->behind == 0)
            c->behind_ms = uv_now(stream->server->options.loop);
        c->behind = c->behind == 0 ? behind : c->behind;
        return false;
    }
    buf_put(&stream->answer, piece.data, piece.length);
    stream->conn->answer_bytes += piece.length;
    stream->progress_ms = uv_now(stream->server->options.loop);
    stream->conn->protocol->more(stream);
    h2_conn_mark(stream->conn);
    return true;
}

void h2_respond_end(struct h2_request *r)
{
    struct h2_stream *stream = container_of(r, struct h2_stream, request);
    CHECK(stream->in_pieces && !stream->pieces_ended && stream->conn != NULL);
    stream->pieces_ended = true;
    stream->progress_ms = uv_now(stream->server->options.loop);
    stream->conn->protocol->more(stream);
    h2_conn_mark(stream->conn);
}

const char *h2_protocol_name(enum h2_protocol_kind kind)
{
    CHECK((unsigned)kind < H2_PROTOCOLS);
    return kind == H2_PROTOCOL_HTTP2 ? "h2" : "http/1.1";
}

/* JSON string content, RFC 8259, 7. Bytes beyond ASCII pass: texts here are our own UTF-8. */
static void put_escaped(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            buf_put_u8(out, '\\');
            buf_put_u8(out, c);
        } else if (c < 0x20 || c == 0x7f) {
            char code[8];
            (void)snprintf(code, sizeof(code), "\\u%04x", c);
            buf_put(out, code, 6);
        } else {
            buf_put_u8(out, c);
        }
    }
}

void h2_problem_begin(struct buf *out, unsigned status, const char *token, const char *title,
                      const char *detail)
{
    char number[16];

    buf_put_text(out, "{\"type\":\"urn:tributary:problem:");
    put_escaped(out, token);
    buf_put_text(out, "\",\"title\":\"");
    put_escaped(out, title);
    (void)snprintf(number, sizeof(number), "%u", status);
    buf_put_text(out, "\",\"status\":");
    buf_put_text(out, number);
    buf_put_text(out, ",\"detail\":\"");
    put_escaped(out, detail);
    buf_put_text(out, "\"");
}

void h2_respond_problem(struct h2_request *r, unsigned status, const char *token, const char *title,
                        const char *detail, unsigned retry_after_s)
{
    struct h2_header headers[2] = {{"content-type", "application/problem+json"}};
    size_t header_count = 1;
    char seconds[16];
    struct buf body = {0};

    if (retry_after_s > 0) {
        (void)snprintf(seconds, sizeof(seconds), "%u", retry_after_s);
        headers[header_count++] = (struct h2_header){"retry-after", seconds};
    }
    h2_problem_begin(&body, status, token, title, detail);
    buf_put_u8(&body, '}');
    h2_respond(r, status, headers, header_count, buf_span(&body));
    buf_done(&body);
}
