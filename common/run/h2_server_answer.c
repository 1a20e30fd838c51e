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

void h2_respond(struct h2_request *r, unsigned status, const struct h2_header *headers,
                size_t header_count, struct span body)
{
    struct h2_stream *stream = container_of(r, struct h2_stream, request);
    CHECK(stream->delivered && !stream->answered);

    stream->answered = true;
    if (stream->conn ==
        NULL) { /* the client has gone; this was the last that knew of the request */
        h2_stream_free(stream);
        return;
    }
    buf_put(&stream->answer, body.data, body.length);
    h2_stream_drop_body(stream);
    stream->progress_ms = uv_now(stream->server->options.loop);
    stream->conn->answer_bytes += stream->answer.length;
    H2_COUNT(stream->server, responses_total, 1);
    stream->conn->protocol->submit(stream, status, headers, header_count);
    h2_conn_mark(stream->conn);
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

static void put_text(struct buf *out, const char *text)
{
    buf_put(out, text, strlen(text));
}

void h2_problem_begin(struct buf *out, unsigned status, const char *token, const char *title,
                      const char *detail)
{
    char number[16];

    put_text(out, "{\"type\":\"urn:tributary:problem:");
    put_escaped(out, token);
    put_text(out, "\",\"title\":\"");
    put_escaped(out, title);
    (void)snprintf(number, sizeof(number), "%u", status);
    put_text(out, "\",\"status\":");
    put_text(out, number);
    put_text(out, ",\"detail\":\"");
    put_escaped(out, detail);
    put_text(out, "\"");
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
