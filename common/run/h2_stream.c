/* SPDX-License-Identifier: Apache-2.0
 * h2_stream: from a request's first header to its end: where it hangs, what it holds, and how its
 * memory serves the next. Audience: see h2_conn.h. */
#include "common/run/h2_conn.h"

#include <stddef.h>
#include <stdlib.h>
#include <strings.h>

struct h2_stream *h2_stream_new(struct h2_conn *c, int32_t id)
{
    struct h2_server *s = c->server;
    struct h2_stream *stream = s->spare_streams;
    if (stream == NULL) {
        stream = base_zalloc(1, sizeof(*stream));
    } else {
        s->spare_streams = stream->next;
        s->spare_count--;
        memset(stream, 0, offsetof(struct h2_stream, text));
    }
    stream->server = s;
    stream->conn = c;
    stream->id = id;
    stream->begun_ms = stream->progress_ms = uv_now(s->options.loop);
    memcpy(stream->peer_ip, c->peer_ip, sizeof(stream->peer_ip));
    stream->next = c->streams;
    if (c->streams != NULL)
        c->streams->previous = stream;
    c->streams = stream;
    c->stream_count++;
    c->server->stream_count++;
    return stream;
}

/* Small memory stays for the next request; large goes at once. */
static void empty(struct buf *b)
{
    if (b->capacity > H2_SPARE_BYTES)
        buf_done(b);
    buf_clear(b);
}

void h2_stream_drop_body(struct h2_stream *stream)
{
    stream->server->body_bytes -= stream->body.length;
    if (stream->conn != NULL)
        stream->conn->body_bytes -= stream->body.length;
    empty(&stream->body);
    stream->request.body = (struct span){NULL, 0};
}

static void drop_answer(struct h2_stream *stream)
{
    if (stream->conn != NULL)
        stream->conn->answer_bytes -= stream->answer.length;
    empty(&stream->answer);
}

void h2_stream_sent_all(struct h2_stream *stream)
{
    drop_answer(stream);
    stream->answer_sent = 0;
}

/* Takes the stream off its connection, which keeps no trace of it. */
static void detach(struct h2_stream *stream)
{
    struct h2_conn *c = stream->conn;

    CHECK(c != NULL);
    c->body_bytes -= stream->body.length;
    drop_answer(stream);
    if (stream->next != NULL)
        stream->next->previous = stream->previous;
    if (stream->previous != NULL)
        stream->previous->next = stream->next;
    else
        c->streams = stream->next;
    c->stream_count--;
    stream->next = stream->previous = NULL;
    stream->conn = NULL;
}

static void destroy(struct h2_stream *stream)
{
    buf_done(&stream->text);
    buf_done(&stream->body);
    buf_done(&stream->answer);
    free(stream);
}

void h2_stream_free(struct h2_stream *stream)
{
    struct h2_server *s = stream->server;

    if (stream->conn != NULL)
        detach(stream);
    h2_stream_drop_body(stream);
    empty(&stream->answer);
    empty(&stream->text);
    if (s->spare_count == H2_SPARE_STREAMS) {
        destroy(stream);
    } else {
        stream->next = s->spare_streams;
        s->spare_streams = stream;
        s->spare_count++;
    }
    h2_server_stream_gone(s);
}

void h2_stream_free_spares(struct h2_server *s)
{
    while (s->spare_streams != NULL) {
        struct h2_stream *stream = s->spare_streams;
        s->spare_streams = stream->next;
        destroy(stream);
    }
    s->spare_count = 0;
}

bool h2_stream_has_one_authority(const struct h2_stream *stream)
{
    const struct h2_request *r = &stream->request;
    const char *host = h2_header(r, "host");

    if (strchr(r->authority, '@') != NULL || (host != NULL && strchr(host, '@') != NULL))
        return false;
    if (h2_header_repeated(r, "host"))
        return false;
    return host == NULL || r->authority[0] == '\0' || strcasecmp(host, r->authority) == 0;
}

void h2_stream_abandon(struct h2_stream *stream)
{
    detach(stream);
    if (stream->delivered && !stream->answered) {
        stream->request.cancelled = true; /* h2_respond frees it */
        return;
    }
    if (stream->in_pieces && !stream->pieces_ended)
        stream->gone(&stream->request);
    h2_stream_free(stream);
}

void h2_conn_end_pieces(struct h2_conn *c)
{
    for (struct h2_stream *stream = c->streams; stream != NULL; stream = stream->next)
        if (stream->in_pieces && !stream->pieces_ended) {
            stream->gone(&stream->request);
            h2_respond_end(&stream->request);
        }
}

void h2_conn_drop_streams(struct h2_conn *c)
{
    while (c->streams != NULL) {
        struct h2_stream *stream = c->streams;
        CHECK(stream->conn == c && stream->previous == NULL);
        c->protocol->forget(stream);
        h2_stream_abandon(stream);
    }
}
