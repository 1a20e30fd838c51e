/* SPDX-License-Identifier: Apache-2.0
 * h2_conn_stream: the HTTP side of a connection: nghttp2's callbacks make requests of frames. */
#include "common/run/h2_conn.h"

static uint64_t now_of(const struct h2_conn *c)
{
    return uv_now(c->server->options.loop);
}

/* -- streams ------------------------------------------------------------------------------- */

static struct h2_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

/* -- header fields ------------------------------------------------------------------------- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_length, const uint8_t *value, size_t value_length, uint8_t flags,
                     void *user_data)
{
    struct h2_stream *stream = stream_of(session, frame->hd.stream_id);
    (void)flags;

    h2_conn_charge(user_data, ABUSE_HEADER_BYTES, h2_request_field_cost(name_length, value_length));
    if (stream != NULL)
        h2_request_field(stream, span_of(name, name_length), span_of(value, value_length));
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

    h2_conn_charge(c, ABUSE_HEADER_BYTES, h2_request_field_cost(name_length, value_length));
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

static void head_ended(struct h2_stream *stream, bool request_ended)
{
    if (!h2_request_head_ended(stream, request_ended))
        return;
    const char *expect = h2_header(&stream->request, "expect");
    if (expect != NULL && strcmp(expect, "100-continue") == 0) {
        uint8_t name[] = ":status", value[] = "100";
        nghttp2_nv go_on = {name, value, 7, 3, NGHTTP2_NV_FLAG_NONE};
        (void)nghttp2_submit_headers(stream->conn->session, NGHTTP2_FLAG_NONE, stream->id, NULL,
                                     &go_on, 1, NULL);
    }
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
        head_ended(stream, ends);
    else if (ends)
        h2_request_ended(stream);
    return 0;
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
    h2_request_body(stream, span_of(data, length));
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

void h2_conn_sweep_streams(struct h2_conn *c, uint64_t now_ms)
{
    struct h2_stream *next;

    for (struct h2_stream *stream = c->streams; stream != NULL; stream = next) {
        next = stream->next;
        if (!stream->headers_ended) {
            if (!h2_request_is_stalled(stream, now_ms))
                continue;
            /* inside a header block nothing else can be said on this connection */
            H2_COUNT(c->server, stalled_total, 1);
            h2_conn_close(c);
            return;
        }
        if (!stream->delivered && !stream->answered && h2_request_is_stalled(stream, now_ms)) {
            H2_COUNT(c->server, stalled_total, 1);
            h2_request_refuse(stream, H2_REFUSE_STALLED);
        } else if (stream->answered_ms != 0) {
            if (now_ms - stream->answered_ms >= H2_LINGER_MS)
                end_upload(stream);
        } else if (stream->answered && !h2_stream_rests(stream) &&
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
