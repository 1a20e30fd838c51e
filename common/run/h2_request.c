/* SPDX-License-Identifier: Apache-2.0
 * h2_request: what holds for a request whatever protocol it came by: its limits, its refusals, and
 * its way to the application. Audience: see h2_conn.h. */
#include "common/run/h2_conn.h"

#include <stdlib.h>

static const struct {
    unsigned status;
    const char *token, *title, *detail;
    unsigned retry_after_s;
} refusals[] = {
    [H2_REFUSE_HEADER] = {400, "bad_header", "Bad header field",
                          "A header field holds a character that HTTP does not allow, or names "
                          "another host than the request.",
                          0},
    [H2_REFUSE_HEADERS] = {431, "headers_too_large", "Header fields too large",
                           "A request may carry at most 64 header fields and 16384 bytes of them.",
                           0},
    [H2_REFUSE_BODY] = {413, "body_too_large", "Body too large",
                        "The body is longer than this server takes. Nothing was stored.", 0},
    [H2_REFUSE_STALLED] = {408, "stalled", "Request stalled",
                           "The body did not arrive in time. Nothing was stored.", 0},
    [H2_REFUSE_RATE] = {429, "rate_limited", "Too many requests",
                        "Requests come from this address faster than this server takes them. "
                        "Nothing was stored.",
                        1},
    [H2_REFUSE_OVERLOAD] = {503, "overloaded", "Overloaded",
                            "Too many bytes of requests wait already. Nothing was stored.", 1},
};

/* Answers in the application's place. */
void h2_request_refuse(struct h2_stream *stream, enum h2_refusal refusal)
{
    CHECK(!stream->delivered && !stream->answered);
    stream->delivered = true; /* no longer to be handed to the application */
    H2_COUNT(stream->server, refused_by_server_total, 1);
    h2_respond_problem(&stream->request, refusals[refusal].status, refusals[refusal].token,
                       refusals[refusal].title, refusals[refusal].detail,
                       stream->retry_after_s > 0 ? stream->retry_after_s
                                                 : refusals[refusal].retry_after_s);
}

void h2_request_ended(struct h2_stream *stream)
{
    stream->request_ended = true;
    if (stream->answered || stream->delivered)
        return;
    stream->delivered = true;
    stream->request.body = buf_span(&stream->body);
    H2_COUNT(stream->server, requests_total, 1);
    H2_COUNT(stream->server, requests_by_protocol[stream->conn->protocol->kind], 1);
    stream->server->options.on_request(stream->server->options.context, &stream->request);
}

/* -- header fields ------------------------------------------------------------------------- */

size_t h2_request_field_cost(size_t name_length, size_t value_length)
{
    return name_length + value_length + 32; /* as HPACK counts an entry */
}

/* Copies a value, a tab as a space (RFC 9110, 5.5 allows it); false for other control characters.
 */
static bool put_value(struct buf *out, const uint8_t *value, size_t length)
{
    buf_reserve(out, length + 1);
    uint8_t *to = out->data + out->length;
    bool valid = true;
    for (size_t i = 0; i < length; i++) { /* without branches: the compiler takes many at once */
        valid &= (value[i] >= 0x20 || value[i] == '\t') && value[i] != 0x7f;
        to[i] = value[i] == '\t' ? ' ' : value[i];
    }
    if (!valid)
        return false;
    to[length] = 0;
    out->length += length + 1;
    return true;
}

void h2_request_field(struct h2_stream *stream, struct span name, struct span value)
{
    size_t bytes = h2_request_field_cost(name.length, value.length);

    stream->field_bytes += bytes;
    if (stream->field_bytes > H2_HEADER_BYTES_MAX ||
        stream->field_count == countof(stream->offsets) / 2) {
        /* decoded for nothing: the bytes that make a header bomb */
        h2_conn_charge(stream->conn, ABUSE_HEADER_EXCESS, bytes);
        if (stream->refusal == H2_REFUSE_NOTHING)
            stream->refusal = H2_REFUSE_HEADERS;
        return;
    }
    if (stream->headers_ended)
        return; /* a trailer: bounded above, used by nobody */
    stream->offsets[2 * stream->field_count] = (uint32_t)stream->text.length;
    buf_reserve(&stream->text, name.length + value.length + 2);
    memcpy(stream->text.data + stream->text.length, name.data, name.length);
    stream->text.length += name.length;
    stream->text.data[stream->text.length++] = 0;
    stream->offsets[2 * stream->field_count + 1] = (uint32_t)stream->text.length;
    if (put_value(&stream->text, value.data, value.length))
        stream->field_count++;
    else
        stream->refusal = H2_REFUSE_HEADER;
}

static void set_pseudo(struct h2_request *r, const char *name, const char *value)
{
    if (name[1] == 'm' && strcmp(name, ":method") == 0)
        r->method = value;
    else if (name[1] == 'p' && strcmp(name, ":path") == 0)
        r->path = value;
    else if (name[1] == 'a' && strcmp(name, ":authority") == 0)
        r->authority = value;
}

/* All fields are there: turns offsets into pointers, and the path into path and query. */
static void resolve_headers(struct h2_stream *stream)
{
    struct h2_request *r = &stream->request;
    char *text = (char *)stream->text.data;

    r->method = r->path = r->query = r->authority = "";
    r->headers = stream->headers;
    r->peer_ip = stream->peer_ip;
    r->received_mono_us = uv_hrtime() / 1000;
    for (uint32_t i = 0; i < stream->field_count; i++) {
        const char *name = text + stream->offsets[2 * i];
        const char *value = text + stream->offsets[2 * i + 1];
        if (name[0] == ':')
            set_pseudo(r, name, value);
        else if (r->header_count < H2_HEADERS_MAX)
            stream->headers[r->header_count++] = (struct h2_header){name, value};
        else
            stream->refusal = H2_REFUSE_HEADERS;
    }
    char *mark = strchr(r->path, '?');
    if (mark != NULL) {
        *mark = '\0';
        r->query = mark + 1;
    }
    stream->is_head = strcmp(r->method, "HEAD") == 0;
}

static bool declares_long_body(const struct h2_stream *stream)
{
    const char *length = h2_header(&stream->request, "content-length"); /* digits: nghttp2 checks */
    return length != NULL && strtoull(length, NULL, 10) > stream->server->options.body_bytes_max;
}

bool h2_request_head_ended(struct h2_stream *stream, bool request_ended)
{
    stream->headers_ended = true;
    stream->request_ended = request_ended;
    resolve_headers(stream);
    h2_peer_forwarded(stream);
    if (!h2_peer_may_ask(stream) && stream->refusal == H2_REFUSE_NOTHING)
        stream->refusal = H2_REFUSE_RATE;
    if (stream->refusal == H2_REFUSE_NOTHING && !h2_stream_has_one_authority(stream))
        stream->refusal = H2_REFUSE_HEADER;
    if (stream->refusal == H2_REFUSE_NOTHING && declares_long_body(stream))
        stream->refusal = H2_REFUSE_BODY;
    if (stream->refusal == H2_REFUSE_NOTHING && stream->conn->answer_bytes > H2_ANSWER_BYTES_MAX)
        stream->refusal = H2_REFUSE_OVERLOAD;
    if (stream->refusal != H2_REFUSE_NOTHING) {
        h2_request_refuse(stream, stream->refusal);
        return false;
    }
    if (request_ended)
        h2_request_ended(stream);
    return !request_ended;
}

/* -- body ---------------------------------------------------------------------------------- */

static enum h2_refusal body_refusal(const struct h2_stream *stream, size_t more)
{
    const struct h2_server *s = stream->server;
    size_t body_max = s->options.body_bytes_max;

    if (stream->body.length + more > body_max)
        return H2_REFUSE_BODY;
    /* Bounded memory without a stall: bodies that wait for each other's room would wait for ever,
     * so one too many is told to come again. */
    if (s->body_bytes + more > s->options.buffered_bytes_max ||
        stream->conn->body_bytes + more > 4 * base_max_u64(body_max, H2_STREAM_WINDOW))
        return H2_REFUSE_OVERLOAD;
    return H2_REFUSE_NOTHING;
}

void h2_request_body(struct h2_stream *stream, struct span piece)
{
    stream->progress_ms = uv_now(stream->server->options.loop);
    enum h2_refusal refusal = body_refusal(stream, piece.length);
    if (refusal != H2_REFUSE_NOTHING) {
        h2_request_refuse(stream, refusal);
        return;
    }
    buf_put(&stream->body, piece.data, piece.length);
    stream->conn->body_bytes += piece.length;
    stream->server->body_bytes += piece.length;
}

/* A body must move, and by and large at a least speed: else a peer holds memory by dripping. */
bool h2_request_is_stalled(const struct h2_stream *stream, uint64_t now_ms)
{
    uint64_t stall_ms = stream->server->options.stall_timeout_ms;
    uint64_t earned_ms = stream->body.length * 1000 / H2_BODY_BYTES_PER_S_MIN;

    return now_ms - stream->progress_ms >= stall_ms ||
           now_ms - stream->begun_ms >= stall_ms + earned_ms;
}

bool h2_request_answer_has_length(const struct h2_stream *stream, unsigned status)
{
    /* a 304 would have to name the length of the 200 */
    return status != 204 && status != 304 && !stream->in_pieces;
}
