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

static ssize_t on_read_answer(nghttp2_session *session, int32_t stream_id, uint8_t *out,
                              size_t size, uint32_t *data_flags, nghttp2_data_source *source,
                              void *user_data)
{
    struct h2_stream *stream = source->ptr;
    size_t left = stream->answer.length - stream->answer_sent;
    size_t length = base_min_u64(size, left);
    (void)session;
    (void)stream_id;
    (void)user_data;

    memcpy(out, stream->answer.data + stream->answer_sent, length);
    stream->answer_sent += length;
    stream->progress_ms = uv_now(stream->server->options.loop);
    if (length == left)
        *data_flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)length;
}

static nghttp2_nv field(const char *name, const char *value)
{
    /* nghttp2 copies both; its struct is only not const-correct */
    union {
        const char *in;
        uint8_t *out;
    } n = {name}, v = {value};
    return (nghttp2_nv){n.out, v.out, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE};
}

/* The decimal digits of a number, ending at `end`, which gets a NUL; returns their start. */
static char *digits(char *end, size_t number)
{
    *end = '\0';
    do {
        *--end = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return end;
}

static void submit(struct h2_stream *stream, unsigned status, const struct h2_header *headers,
                   size_t header_count)
{
    struct h2_conn *c = stream->conn;
    nghttp2_nv fields[20];
    size_t count = 0;
    char status_text[16], length_text[24];
    CHECK(status >= 200 && status <= 599 && header_count <= countof(fields) - 3);

    fields[count++] = field(":status", digits(status_text + sizeof(status_text) - 1, status));
    for (size_t i = 0; i < header_count; i++)
        fields[count++] = field(headers[i].name, headers[i].value);
    if (status != 204)
        fields[count++] = field(
            "content-length", digits(length_text + sizeof(length_text) - 1, stream->answer.length));
    fields[count++] = field("date", h2_server_date(c->server));

    h2_stream_drop_body(stream);
    stream->progress_ms = uv_now(stream->server->options.loop);
    c->answer_bytes += stream->answer.length;
    bool with_body = !stream->is_head && stream->answer.length > 0;
    nghttp2_data_provider provider = {.source = {.ptr = stream}, .read_callback = on_read_answer};
    H2_COUNT(c->server, responses_total, 1);
    if (nghttp2_submit_response(c->session, stream->id, fields, count,
                                with_body ? &provider : NULL) != 0)
        (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, stream->id,
                                        NGHTTP2_INTERNAL_ERROR);
    h2_conn_mark(c);
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
    submit(stream, status, headers, header_count);
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
