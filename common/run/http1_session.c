/* SPDX-License-Identifier: Apache-2.0
 * http1_session: HTTP/1.1 as a connection's protocol. Audience: see h2_conn.h.
 *
 * One request at a time: what a client sends behind one whose answer has not been written yet is
 * kept (what was decrypted already: one record) or left in the connection and the socket. So
 * pipelining works, in order, and a client that reads nothing is not read from either.
 *
 * Whatever makes the end of a request uncertain, or leaves a part of it unread, ends the connection
 * behind its answer: nothing that follows may be taken for a request. */
#include "common/run/h2_conn.h"
#include "common/run/http1_parse.h"

#include <stdlib.h>

#define SEND_BYTES H2_PLAIN_BYTES
/* While it drains, an idle connection still waits so long for a request that is on its way. */
#define LAST_GRACE_MS 100

struct http1_session {
    struct http1_parse *parse; /* NULL between requests: it is large */
    struct h2_stream *stream;  /* the request under way, or NULL */
    struct buf kept;           /* read already, behind that request */
    struct buf out;            /* heads of answers */
    size_t out_sent;
    int32_t request_count;
    bool whole;        /* the request under way was read to its end */
    bool last;         /* no further request: the connection ends behind the answer */
    bool deaf;         /* nothing more is read at all */
    bool chunks_ended; /* of an answer in pieces */
    bool told;         /* the server drains: idle for a moment is the end */
};

static void begin(struct h2_conn *c)
{
    c->http1 = base_zalloc(1, sizeof(*c->http1));
}

static void free_session(struct h2_conn *c)
{
    if (c->http1 == NULL)
        return;
    http1_parse_free(c->http1->parse);
    buf_done(&c->http1->kept);
    buf_done(&c->http1->out);
    free(c->http1);
}

/* -- requests ------------------------------------------------------------------------------ */

static void start_request(struct h2_conn *c)
{
    if (c->http1->stream == NULL)
        c->http1->stream = h2_stream_new(c, ++c->http1->request_count);
}

static bool is_open(const struct h2_stream *stream)
{
    return stream != NULL && !stream->delivered && !stream->answered;
}

/* Answers what cannot be read; the connection ends. */
static void refuse(struct h2_conn *c, enum http1_refusal refusal)
{
    static const struct {
        unsigned status;
        const char *token, *title;
    } problems[] = {
        {400, "bad_request", "Malformed HTTP/1.1 request"},
        {431, "headers_too_large", "Header fields too large"},
        {501, "method_unknown", "Method unknown"},
        {505, "http_version", "HTTP version not supported"},
    };
    size_t i = 0;

    start_request(c);
    struct h2_stream *stream = c->http1->stream;
    CHECK(is_open(stream) && !stream->request_ended);
    while (i + 1 < countof(problems) && problems[i].status != http1_refusal_status(refusal))
        i++;
    stream->delivered = true; /* no longer to be handed to the application */
    H2_COUNT(c->server, refused_by_server_total, 1);
    H2_COUNT(c->server, http1_refused_by_kind[refusal], 1);
    h2_respond_problem(&stream->request, problems[i].status, problems[i].token, problems[i].title,
                       http1_refusal_detail(refusal), 0);
}

static void put_field(struct h2_stream *stream, struct span name, struct span value)
{
    h2_conn_charge(stream->conn, ABUSE_HEADER_BYTES,
                   h2_request_field_cost(name.length, value.length));
    if (is_open(stream)) /* over its budget, it was refused */
        h2_request_field(stream, name, value);
}

/* As HTTP/2 has it: method, path and host are pseudo fields, and no field speaks of the connection.
 */
static void on_head(struct h2_conn *c, const struct http1_head *head)
{
    bool ended = !head->chunked && head->content_length == 0;

    start_request(c);
    struct h2_stream *stream = c->http1->stream;
    c->http1->last |= head->close;
    put_field(stream, span_of_text(":method"), span_of_text(head->method));
    put_field(stream, span_of_text(":path"), head->target);
    put_field(stream, span_of_text(":authority"), head->host);
    for (size_t i = 0; i < head->field_count; i++)
        if (!http1_head_is_hop_field(head->fields[i].name))
            put_field(stream, head->fields[i].name, head->fields[i].value);
    if (!is_open(stream) || !h2_request_head_ended(stream, ended) || !head->continues)
        return;
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    buf_put(&c->http1->out, go_on, sizeof(go_on) - 1);
    h2_conn_mark(c);
}

static void on_end(struct h2_conn *c)
{
    struct http1_session *s = c->http1;

    http1_parse_free(s->parse);
    s->parse = NULL;
    s->whole = true;
    h2_request_ended(s->stream);
}

static void on_event(struct h2_conn *c, const struct http1_event *event)
{
    switch (event->kind) {
    case HTTP1_HEAD:
        on_head(c, event->head);
        break;
    case HTTP1_BODY:
        h2_request_body(c->http1->stream, event->body);
        break;
    case HTTP1_END:
        on_end(c);
        break;
    default:
        CHECK(event->kind == HTTP1_REFUSED);
        refuse(c, event->refusal);
        break;
    }
}

static void take(struct h2_conn *c, struct span bytes)
{
    struct http1_session *s = c->http1;
    struct http1_event event;

    do {
        if (s->deaf)
            return;
        if (s->whole) {
            if (!s->last)
                buf_put(&s->kept, bytes.data, bytes.length);
            return;
        }
        if (s->parse == NULL)
            s->parse = http1_parse_new();
        size_t eaten = http1_parse_feed(s->parse, bytes, &event);
        bytes = span_of(bytes.data + eaten, bytes.length - eaten);
        if (event.kind != HTTP1_NOTHING)
            on_event(c, &event);
    } while (event.kind != HTTP1_NOTHING);
    if (!http1_parse_is_idle(s->parse))
        start_request(c); /* its time runs from the first byte */
}

/* Without bytes: takes those that were kept. */
static void receive(struct h2_conn *c, struct span plain)
{
    struct buf kept = c->http1->kept;

    if (plain.length > 0) {
        CHECK(kept.length == 0);
        take(c, plain);
    } else if (kept.length > 0) {
        c->http1->kept = (struct buf){0};
        take(c, buf_span(&kept));
        buf_done(&kept);
    }
}

static bool may_receive(const struct h2_conn *c)
{
    return !c->http1->deaf && !c->http1->whole;
}

/* -- answers ------------------------------------------------------------------------------- */

static const char *reason(unsigned status)
{
    static const struct {
        unsigned status;
        const char *words;
    } reasons[] = {
        {200, "OK"},
        {202, "Accepted"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < countof(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].words;
    return ""; /* RFC 9112, 4: may be empty */
}

static void put_answer_field(struct buf *out, const char *name, const char *value)
{
    CHECK(strpbrk(name, "\r\n:") == NULL && strpbrk(value, "\r\n") == NULL); /* no second answer */
    buf_put_text(out, name);
    buf_put_text(out, ": ");
    buf_put_text(out, value);
    buf_put_text(out, "\r\n");
}

static bool is_chunked(const struct h2_stream *stream)
{
    return stream->in_pieces && !stream->is_head;
}

static void submit(struct h2_stream *stream, unsigned status, const struct h2_header *headers,
                   size_t header_count)
{
    struct http1_session *s = stream->conn->http1;
    struct buf *out = &s->out;
    char text[48];
    CHECK(status >= 200 && status <= 599 && s->stream == stream);

    if (!stream->request_ended)
        s->deaf = s->last = true;
    s->last |= stream->server->draining;
    (void)snprintf(text, sizeof(text), "HTTP/1.1 %u ", status);
    buf_put_text(out, text);
    buf_put_text(out, reason(status));
    buf_put_text(out, "\r\n");
    for (size_t i = 0; i < header_count; i++)
        put_answer_field(out, headers[i].name, headers[i].value);
    (void)snprintf(text, sizeof(text), "%zu", stream->answer.length);
    if (h2_request_answer_has_length(stream, status))
        put_answer_field(out, "content-length", text);
    if (is_chunked(stream))
        put_answer_field(out, "transfer-encoding", "chunked");
    put_answer_field(out, "date", h2_server_date(stream->server));
    if (s->last)
        put_answer_field(out, "connection", "close");
    buf_put_text(out, "\r\n");
}

/* `send` takes pieces from stream->answer when the socket has room. */
static void more(struct h2_stream *stream)
{
    (void)stream;
}

/* RFC 9112, 7.1: a piece is a chunk, and an empty one the end. */
static void put_chunks(struct http1_session *s, struct h2_stream *stream)
{
    char size[24];

    if (stream->answer.length > 0) {
        (void)snprintf(size, sizeof(size), "%zx\r\n", stream->answer.length);
        buf_put_text(&s->out, size);
        buf_put(&s->out, stream->answer.data, stream->answer.length);
        buf_put_text(&s->out, "\r\n");
        h2_stream_sent_all(stream);
    }
    if (stream->pieces_ended && !s->chunks_ended) {
        s->chunks_ended = true;
        buf_put_text(&s->out, "0\r\n\r\n");
    }
}

static ssize_t send_out(struct http1_session *s, const uint8_t **out)
{
    size_t length = s->out.length - s->out_sent;
    *out = s->out.data + s->out_sent;
    s->out_sent += length;
    return (ssize_t)length;
}

static ssize_t send_some(struct h2_conn *c, const uint8_t **out)
{
    struct http1_session *s = c->http1;
    struct h2_stream *stream = s->stream;

    if (s->out_sent < s->out.length)
        return send_out(s, out);
    buf_clear(&s->out);
    s->out_sent = 0;
    if (stream == NULL || !stream->answered)
        return 0;
    if (is_chunked(stream)) {
        put_chunks(s, stream);
        if (s->out.length > 0)
            return send_out(s, out);
        if (!stream->pieces_ended)
            return 0;
    }
    size_t left = stream->is_head ? 0 : stream->answer.length - stream->answer_sent;
    if (left > 0) {
        size_t length = base_min_u64(left, SEND_BYTES);
        *out = stream->answer.data + stream->answer_sent;
        stream->answer_sent += length;
        return (ssize_t)length;
    }
    s->stream = NULL;
    s->whole = s->chunks_ended = false;
    h2_stream_free(stream);
    return 0;
}

static bool wants_write(const struct h2_conn *c)
{
    const struct http1_session *s = c->http1;
    return s->out_sent < s->out.length ||
           (s->stream != NULL && s->stream->answered && !h2_stream_rests(s->stream));
}

static bool is_over(const struct h2_conn *c)
{
    return c->http1->last && c->http1->stream == NULL && !wants_write(c);
}

static void forget(struct h2_stream *stream)
{
    stream->conn->http1->stream = NULL;
}

/* -- time and end -------------------------------------------------------------------------- */

static void sweep(struct h2_conn *c, uint64_t now_ms)
{
    struct http1_session *s = c->http1;

    if (is_open(s->stream) && h2_request_is_stalled(s->stream, now_ms)) {
        H2_COUNT(c->server, stalled_total, 1);
        h2_request_refuse(s->stream, H2_REFUSE_STALLED);
    } else if (s->told && s->stream == NULL && now_ms - c->active_ms >= LAST_GRACE_MS) {
        s->last = true;
        h2_conn_mark(c);
    }
}

/* Nothing can be said between requests: the next answer says it (Connection: close). */
static void goaway_soon(struct h2_conn *c)
{
    (void)c;
}

static void goaway(struct h2_conn *c)
{
    c->http1->told = true;
}

static void finish(struct h2_conn *c)
{
    c->http1->last = true;
}

static void expel(struct h2_conn *c)
{
    c->http1->last = c->http1->deaf = true;
    if (is_open(c->http1->stream))
        h2_request_refuse(c->http1->stream, H2_REFUSE_RATE);
}

const struct h2_protocol http1_session_protocol = {
    .kind = H2_PROTOCOL_HTTP1,
    .alpn = "http/1.1",
    .begin = begin,
    .free = free_session,
    .receive = receive,
    .may_receive = may_receive,
    .send = send_some,
    .wants_write = wants_write,
    .is_over = is_over,
    .submit = submit,
    .more = more,
    .forget = forget,
    .sweep = sweep,
    .goaway_soon = goaway_soon,
    .goaway = goaway,
    .finish = finish,
    .expel = expel,
};
