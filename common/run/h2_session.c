/* SPDX-License-Identifier: Apache-2.0
 * h2_session: HTTP/2 as a connection's protocol: bytes to nghttp2 and from it, answers, and its
 * ways of ending. Audience: see h2_conn.h. */
#include "common/run/h2_conn.h"

/* -- bytes --------------------------------------------------------------------------------- */

static void begin(struct h2_conn *c)
{
    abuse_meter_init(&c->meter);
    c->last_kind = ABUSE_UNKNOWN_FRAME;
    c->session = h2_conn_session_new(c);
}

static void free_session(struct h2_conn *c)
{
    nghttp2_session_del(c->session);
}

/* Frames are charged before nghttp2 sees them: it tells us neither of those it ignores nor of
 * CONTINUATIONs. */
static void meter(struct h2_conn *c, struct span plain)
{
    enum abuse_kind kind;
    while (abuse_meter_next(&c->meter, &plain, &kind)) {
        h2_conn_charge(c, kind, 1);
        c->last_kind = kind;
    }
}

/* nghttp2 has limits of its own, e.g. of CONTINUATIONs in a row or of answers owed to PINGs; what
 * was said last is what it was about. Anything else is no HTTP/2 at all. */
static void give_up(struct h2_conn *c, ssize_t code)
{
    c->last_words = true;
    if (code != NGHTTP2_ERR_BAD_CLIENT_MAGIC)
        h2_conn_expel(c, c->last_kind);
}

static void receive(struct h2_conn *c, struct span plain)
{
    meter(c, plain);
    ssize_t taken = nghttp2_session_mem_recv(c->session, plain.data, plain.length);
    if (taken < 0)
        give_up(c, taken); /* what is queued is sent, then it ends */
}

/* Flow control is HTTP/2's own. */
static bool may_receive(const struct h2_conn *c)
{
    (void)c;
    return true;
}

static ssize_t send_some(struct h2_conn *c, const uint8_t **out)
{
    return nghttp2_session_mem_send(c->session, out);
}

static bool wants_write(const struct h2_conn *c)
{
    return nghttp2_session_want_write(c->session) != 0;
}

static bool is_over(const struct h2_conn *c)
{
    return nghttp2_session_want_read(c->session) == 0 && !wants_write(c);
}

/* -- answers ------------------------------------------------------------------------------- */

static ssize_t on_read_answer(nghttp2_session *session, int32_t stream_id, uint8_t *out,
                              size_t size, uint32_t *data_flags, nghttp2_data_source *source,
                              void *user_data)
{
    struct h2_stream *stream = source->ptr;
    size_t left = stream->answer.length - stream->answer_sent;
    size_t length = base_min_u64(size, left);
    bool goes_on = stream->in_pieces && !stream->pieces_ended;
    (void)session;
    (void)stream_id;
    (void)user_data;

    if (goes_on && left == 0) {
        stream->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (length > 0)
        memcpy(out, stream->answer.data + stream->answer_sent, length);
    stream->answer_sent += length;
    stream->progress_ms = uv_now(stream->server->options.loop);
    if (length == left && stream->in_pieces)
        h2_stream_sent_all(stream);
    if (length == left && !goes_on)
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
    if (h2_request_answer_has_length(stream, status))
        fields[count++] = field(
            "content-length", digits(length_text + sizeof(length_text) - 1, stream->answer.length));
    fields[count++] = field("date", h2_server_date(c->server));

    bool with_body = !stream->is_head && (stream->answer.length > 0 || stream->in_pieces);
    nghttp2_data_provider provider = {.source = {.ptr = stream}, .read_callback = on_read_answer};
    if (nghttp2_submit_response(c->session, stream->id, fields, count,
                                with_body ? &provider : NULL) != 0)
        (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, stream->id,
                                        NGHTTP2_INTERNAL_ERROR);
}

static void more(struct h2_stream *stream)
{
    if (!stream->deferred)
        return;
    stream->deferred = false;
    (void)nghttp2_session_resume_data(stream->conn->session, stream->id);
}

static void forget(struct h2_stream *stream)
{
    (void)nghttp2_session_set_stream_user_data(stream->conn->session, stream->id, NULL);
}

/* -- the end ------------------------------------------------------------------------------- */

static void goaway_soon(struct h2_conn *c)
{
    (void)nghttp2_submit_shutdown_notice(c->session);
}

static void goaway(struct h2_conn *c)
{
    int32_t last = nghttp2_session_get_last_proc_stream_id(c->session);
    (void)nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
}

static void finish(struct h2_conn *c)
{
    (void)nghttp2_session_terminate_session(c->session, NGHTTP2_NO_ERROR);
}

static void expel(struct h2_conn *c)
{
    (void)nghttp2_session_terminate_session(c->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

const struct h2_protocol h2_session_protocol = {
    .kind = H2_PROTOCOL_HTTP2,
    .alpn = "h2",
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
    .sweep = h2_conn_sweep_streams,
    .goaway_soon = goaway_soon,
    .goaway = goaway,
    .finish = finish,
    .expel = expel,
};
