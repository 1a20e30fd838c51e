/* SPDX-License-Identifier: Apache-2.0
 * h2_conn_stream: the HTTP side of a connection: nghttp2's callbacks make requests of frames. */
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

static uint64_t now_of(const struct h2_conn *c)
{
    return uv_now(c->server->options.loop);
}

/* -- streams ------------------------------------------------------------------------------- */

static struct h2_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

/* Answers in the application's place. */
static void refuse(struct h2_stream *stream, enum h2_refusal refusal)
{
    CHECK(!stream->delivered && !stream->answered);
    stream->delivered = true; /* no longer to be handed to the application */
    H2_COUNT(stream->server, refused_by_server_total, 1);
    h2_respond_problem(&stream->request, refusals[refusal].status, refusals[refusal].token,
                       refusals[refusal].title, refusals[refusal].detail,
                       stream->retry_after_s > 0 ? stream->retry_after_s
                                                 : refusals[refusal].retry_after_s);
}

static void deliver(struct h2_stream *stream)
{
    stream->request_ended = true;
    if (stream->answered || stream->delivered)
        return;
    stream->delivered = true;
    stream->request.body = buf_span(&stream->body);
    H2_COUNT(stream->server, requests_total, 1);
    stream->server->options.on_request(stream->server->options.context, &stream->request);
}

/* -- header fields ------------------------------------------------------------------------- */

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

static void headers_ended(struct h2_stream *stream, bool request_ended)
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
        refuse(stream, stream->refusal);
        return;
    }
    if (request_ended) {
        deliver(stream);
        return;
    }
    const char *expect = h2_header(&stream->request, "expect");
    if (expect != NULL && strcmp(expect, "100-continue") == 0) {
        uint8_t name[] = ":status", value[] = "100";
        nghttp2_nv go_on = {name, value, 7, 3, NGHTTP2_NV_FLAG_NONE};
        (void)nghttp2_submit_headers(stream->conn->session, NGHTTP2_FLAG_NONE, stream->id, NULL,
                                     &go_on, 1, NULL);
    }
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

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_length, const uint8_t *value, size_t value_length, uint8_t flags,
                     void *user_data)
{
    struct h2_conn *c = user_data;
    struct h2_stream *stream = stream_of(session, frame->hd.stream_id);
    size_t bytes = name_length + value_length + 32; /* as HPACK counts an entry */
    (void)flags;

    h2_conn_charge(c, ABUSE_HEADER_BYTES, bytes);
    if (stream == NULL)
        return 0;
    stream->field_bytes += bytes;
    if (stream->field_bytes > H2_HEADER_BYTES_MAX ||
        stream->field_count == countof(stream->offsets) / 2) {
        /* decoded for nothing: the bytes that make a header bomb */
        h2_conn_charge(c, ABUSE_HEADER_EXCESS, bytes);
        if (stream->refusal == H2_REFUSE_NOTHING)
            stream->refusal = H2_REFUSE_HEADERS;
        return 0;
    }
    if (stream->headers_ended)
        return 0; /* a trailer: bounded above, used by nobody */
    stream->offsets[2 * stream->field_count] = (uint32_t)stream->text.length;
    buf_reserve(&stream->text, name_length + value_length + 2);
    memcpy(stream->text.data + stream->text.length, name, name_length);
    stream->text.length += name_length;
    stream->text.data[stream->text.length++] = 0;
    stream->offsets[2 * stream->field_count + 1] = (uint32_t)stream->text.length;
    if (put_value(&stream->text, value, value_length))
        stream->field_count++;
    else
        stream->refusal = H2_REFUSE_HEADER;
    return 0;
}

static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_length, const uint8_t *value,
                             size_t value_length, uint8_t flags, void *user_data)
{
    struct h2_conn *c = user_data;
    struct h2_stream *stream = stream_of(session, frame->hd.stream_id);
    (void)name;
    (void)value;
    (void)flags;

    h2_conn_charge(c, ABUSE_HEADER_BYTES, name_length + value_length + 32);
    if (stream != NULL && stream->refusal == H2_REFUSE_NOTHING)
        stream->refusal = H2_REFUSE_HEADER;
    return 0; /* without this callback it would be dropped in silence */
}

/* -- frames -------------------------------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct h2_stream *stream = h2_stream_new(user_data, frame->hd.stream_id);
    CHECK(nghttp2_session_set_stream_user_data(session, stream->id, stream) == 0);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    struct h2_stream *stream;

    if (frame->hd.type == NGHTTP2_DATA && !ends && frame->hd.length > 0 &&
        frame->hd.length <= frame->data.padlen)
        h2_conn_charge(user_data, ABUSE_EMPTY_DATA, 1); /* padding alone */
    if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    stream = stream_of(session, frame->hd.stream_id);
    if (stream == NULL)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !stream->headers_ended)
        headers_ended(stream, ends);
    else if (ends)
        deliver(stream);
    return 0;
}

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

/* "No need to send the rest" (RFC 9113, 8.1). Not said at once: some clients that are still
 * uploading take the reset for a failure and never look at the answer before it. */
static void end_upload(struct h2_stream *stream)
{
    if (stream->answered_ms == 0 || stream->upload_ended) /* a reset would overtake the answer */
        return;
    stream->upload_ended = true;
    (void)nghttp2_submit_rst_stream(stream->conn->session, NGHTTP2_FLAG_NONE, stream->id,
                                    NGHTTP2_NO_ERROR);
    h2_conn_mark(stream->conn);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
                   size_t length, void *user_data)
{
    struct h2_stream *stream = stream_of(session, stream_id);
    (void)flags;
    (void)user_data;

    if (stream == NULL)
        return 0;
    if (stream->answered || stream->delivered) {
        /* The rest of a refused body is thrown away; nghttp2 still counts it for flow control. */
        stream->discarded += length;
        if (stream->discarded > stream->server->options.body_bytes_max + H2_STREAM_WINDOW)
            end_upload(stream);
        return 0;
    }
    stream->progress_ms = now_of(stream->conn);
    enum h2_refusal refusal = body_refusal(stream, length);
    if (refusal != H2_REFUSE_NOTHING) {
        refuse(stream, refusal);
        return 0;
    }
    buf_put(&stream->body, data, length);
    stream->conn->body_bytes += length;
    stream->server->body_bytes += length;
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
                           void *user_data)
{
    struct h2_stream *stream = stream_of(session, stream_id);
    (void)error_code;
    (void)user_data;

    if (stream != NULL) {
        (void)nghttp2_session_set_stream_user_data(session, stream_id, NULL);
        h2_stream_abandon(stream);
    }
    return 0;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
        h2_conn_charge(user_data, ABUSE_RESET_SENT, 1);
    if ((frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) ||
        !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    struct h2_stream *stream = stream_of(session, frame->hd.stream_id);
    if (stream != NULL)
        stream->answered_ms = now_of(user_data);
    return 0;
}

/* -- time and set-up ----------------------------------------------------------------------- */

/* A body must move, and by and large at a least speed: else a peer holds memory by dripping. */
static bool is_stalled(const struct h2_stream *stream, uint64_t now_ms)
{
    uint64_t stall_ms = stream->server->options.stall_timeout_ms;
    uint64_t earned_ms = stream->body.length * 1000 / H2_BODY_BYTES_PER_S_MIN;

    return now_ms - stream->progress_ms >= stall_ms ||
           now_ms - stream->begun_ms >= stall_ms + earned_ms;
}

void h2_conn_sweep_streams(struct h2_conn *c, uint64_t now_ms)
{
    struct h2_stream *next;

    for (struct h2_stream *stream = c->streams; stream != NULL; stream = next) {
        next = stream->next;
        if (!stream->headers_ended) {
            if (!is_stalled(stream, now_ms))
                continue;
            /* inside a header block nothing else can be said on this connection */
            H2_COUNT(c->server, stalled_total, 1);
            h2_conn_close(c);
            return;
        }
        if (!stream->delivered && !stream->answered && is_stalled(stream, now_ms)) {
            H2_COUNT(c->server, stalled_total, 1);
            refuse(stream, H2_REFUSE_STALLED);
        } else if (stream->answered_ms != 0) {
            if (now_ms - stream->answered_ms >= H2_LINGER_MS)
                end_upload(stream);
        } else if (stream->answered &&
                   now_ms - stream->progress_ms >= stream->server->options.stall_timeout_ms) {
            /* the peer gives no window for its answer */
            H2_COUNT(c->server, stalled_total, 1);
            stream->progress_ms = now_ms;
            (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, stream->id,
                                            NGHTTP2_CANCEL);
            h2_conn_mark(c);
        }
    }
}

static nghttp2_session_callbacks *callbacks_new(void)
{
    nghttp2_session_callbacks *callbacks;
    CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    return callbacks;
}

nghttp2_session *h2_conn_session_new(struct h2_conn *c)
{
    nghttp2_session_callbacks *callbacks = callbacks_new();
    nghttp2_option *option;
    nghttp2_session *session;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->server->options.streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEADER_BYTES_MAX},
    };

    /* Window updates stay automatic: memory is bounded by refusing bodies, see body_refusal. */
    CHECK(nghttp2_option_new(&option) == 0);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_outbound_ack(option, 100);
    nghttp2_option_set_max_reserved_remote_streams(option, 0);
    CHECK(nghttp2_session_server_new2(&session, callbacks, c, option) == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    CHECK(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, countof(settings)) == 0);
    CHECK(nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                                H2_CONNECTION_WINDOW) == 0);
    return session;
}
