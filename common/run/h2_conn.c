/* SPDX-License-Identifier: Apache-2.0
 * h2_conn: the byte side of a connection: socket, TLS over memory BIOs, time-outs, end. */
#include "common/run/h2_conn.h"

#include "common/run/log.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/sockios.h>

static const char plain_answer[] =
    "HTTP/1.1 400 Bad Request\r\n"
    "content-type: text/plain; charset=utf-8\r\n"
    "content-length: 66\r\n"
    "connection: close\r\n"
    "\r\n"
    "This port speaks TLS: use https:// and HTTP/2. Nothing was stored.";

static uint64_t now_of(const struct h2_conn *c)
{
    return uv_now(c->server->options.loop);
}

static void on_closed(uv_handle_t *handle)
{
    struct h2_conn *c = container_of(handle, struct h2_conn, tcp);
    struct h2_server *s = c->server;

    if (c->protocol != NULL)
        c->protocol->free(c);
    SSL_free(c->ssl);
    buf_done(&c->written);
    h2_peer_end(c);
    h2_server_conn_gone(s, c);
    free(c);
}

void h2_conn_close(struct h2_conn *c)
{
    if (c->state == H2_CONN_CLOSING)
        return;
    c->state = H2_CONN_CLOSING;
    h2_conn_drop_streams(c);
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

void h2_conn_mark(struct h2_conn *c)
{
    if (c->dirty || c->state == H2_CONN_CLOSING)
        return;
    c->dirty = true;
    c->next_dirty = c->server->dirty;
    c->server->dirty = c;
}

/* -- writing ------------------------------------------------------------------------------- */

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
    struct h2_conn *c = container_of(shutdown, struct h2_conn, shutdown);
    if (status < 0)
        h2_conn_close(c);
}

/* Everything was written. Closing now, with unread bytes of the peer, would make the kernel send
 * a reset that can overtake our last words: so send FIN and read to the peer's end. */
static void linger(struct h2_conn *c)
{
    h2_conn_drop_streams(c);
    c->state = H2_CONN_LINGER;
    c->linger_ms = now_of(c);
    if (uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shutdown) != 0)
        h2_conn_close(c);
}

static void on_written(uv_write_t *write, int status)
{
    struct h2_conn *c = container_of(write, struct h2_conn, write);

    c->writing = false;
    if (c->state == H2_CONN_CLOSING)
        return;
    if (status < 0) {
        h2_conn_close(c);
        return;
    }
    c->active_ms = now_of(c);
    /* a lasting connection should be small when idle */
    if (c->written.capacity > H2_WRITE_BYTES / 4)
        buf_done(&c->written);
    h2_conn_mark(c);
}

/* Writes c->written; what the socket does not take now is written by the loop. */
static void write_out(struct h2_conn *c)
{
    uv_buf_t all = uv_buf_init((char *)c->written.data, (unsigned)c->written.length);
    int sent = uv_try_write((uv_stream_t *)&c->tcp, &all, 1);
    if (sent < 0 && sent != UV_EAGAIN) {
        h2_conn_close(c);
        return;
    }
    H2_COUNT(c->server, bytes_out_total, c->written.length);
    if (sent > 0)
        c->active_ms = now_of(c);
    size_t done = sent > 0 ? (size_t)sent : 0;
    if (done == c->written.length)
        return;

    uv_buf_t rest =
        uv_buf_init((char *)c->written.data + done, (unsigned)(c->written.length - done));
    c->writing = true;
    c->written_ms = now_of(c);
    c->written_left = rest.len;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &rest, 1, on_written) != 0) {
        c->writing = false;
        h2_conn_close(c);
    }
}

static bool encrypt(struct h2_conn *c, const uint8_t *data, size_t length)
{
    if (length == 0)
        return true;
    ERR_clear_error();
    return SSL_write(c->ssl, data, (int)length) == (int)length; /* a memory BIO takes all */
}

/* What the protocol says into TLS records: small pieces share a record. False when it is beyond
 * use. */
static bool fill(struct h2_conn *c)
{
    uint8_t *plain = c->server->plain_bytes;
    size_t used = 0;

    while (BIO_ctrl_pending(c->out) + used < H2_WRITE_BYTES) {
        const uint8_t *data;
        ssize_t length = c->protocol->send(c, &data);
        if (length < 0)
            return false;
        if (length == 0)
            break;
        for (size_t taken = 0; taken < (size_t)length;) {
            size_t piece = base_min_u64((size_t)length - taken, H2_PLAIN_BYTES - used);
            memcpy(plain + used, data + taken, piece);
            used += piece;
            taken += piece;
            if (used == H2_PLAIN_BYTES) {
                if (!encrypt(c, plain, used))
                    return false;
                used = 0;
            }
        }
    }
    return encrypt(c, plain, used);
}

/* -- reading ------------------------------------------------------------------------------- */

static void plain_http(struct h2_conn *c)
{
    H2_COUNT(c->server, plain_http_total, 1);
    buf_clear(&c->written);
    buf_put(&c->written, plain_answer, sizeof(plain_answer) - 1);
    c->last_words = true;
    write_out(c);
    if (c->state != H2_CONN_CLOSING && !c->writing)
        linger(c);
}

static void count_handshake(const struct h2_conn *c)
{
    if (SSL_version(c->ssl) == TLS1_3_VERSION)
        H2_COUNT(c->server, tls_1_3_total, 1);
    else
        H2_COUNT(c->server, tls_1_2_total, 1);
    if (SSL_session_reused(c->ssl) == 1)
        H2_COUNT(c->server, tls_resumed_total, 1);
}

/* What ALPN chose, or NULL. */
static const struct h2_protocol *agreed_protocol(const struct h2_conn *c)
{
    const unsigned char *name;
    unsigned length;
    SSL_get0_alpn_selected(c->ssl, &name, &length);
    if (length ==
        0) { /* not asked for: so speak clients of before ALPN, where the context lets them in */
        name = (const unsigned char *)"http/1.1";
        length = 8;
    }
    for (const struct h2_protocol *const *at = c->server->protocols; *at != NULL; at++)
        if (length == strlen((*at)->alpn) && memcmp(name, (*at)->alpn, length) == 0)
            return *at;
    return NULL;
}

/* True when the handshake is done and a protocol was agreed. */
static bool handshake(struct h2_conn *c)
{
    ERR_clear_error();
    int done = SSL_do_handshake(c->ssl);
    if (done == 1) {
        c->protocol = agreed_protocol(c);
        if (c->protocol != NULL) {
            c->state = H2_CONN_OPEN;
            count_handshake(c);
            H2_COUNT(c->server, connections_by_protocol[c->protocol->kind], 1);
            c->protocol->begin(c);
            if (c->server->draining) /* came just before the end: to be served by the next */
                h2_conn_goaway(c);
            return true;
        }
        H2_COUNT(c->server, tls_no_protocol_total, 1);
    } else if (SSL_get_error(c->ssl, done) == SSL_ERROR_WANT_READ) {
        return false;
    } else {
        H2_COUNT(c->server, tls_failed_total, 1);
    }
    H2_COUNT(c->server, handshake_failures_total, 1);
    c->last_words = true; /* the alert is in c->out */
    return false;
}

static void receive(struct h2_conn *c)
{
    uint8_t *plain = c->server->plain_bytes;

    while (c->state == H2_CONN_OPEN && !c->over_budget && !c->last_words) {
        c->held |= !c->protocol->may_receive(c);
        if (c->held) /* until go_on, which begins with what the protocol has kept */
            return;
        ERR_clear_error();
        int length = SSL_read(c->ssl, plain, H2_PLAIN_BYTES);
        if (length <= 0) {
            if (SSL_get_error(c->ssl, length) != SSL_ERROR_WANT_READ)
                h2_conn_close(c); /* close_notify, or a broken record */
            return;
        }
        c->protocol->receive(c, span_of(plain, (size_t)length));
    }
}

static void on_read(uv_stream_t *tcp, ssize_t length, const uv_buf_t *bytes)
{
    struct h2_conn *c = container_of(tcp, struct h2_conn, tcp);

    if (length == 0 || c->state == H2_CONN_CLOSING)
        return;
    if (length < 0) {
        if (c->state == H2_CONN_HANDSHAKE) {
            H2_COUNT(c->server, handshake_failures_total, 1);
            H2_COUNT(c->server, tls_gone_total, 1);
        }
        h2_conn_close(c);
        return;
    }
    H2_COUNT(c->server, bytes_in_total, (uint64_t)length);
    if (c->state == H2_CONN_LINGER || c->last_words || c->over_budget)
        return; /* not worth keeping */
    c->active_ms = now_of(c);
    struct span rest = span_of(bytes->base, (size_t)length);
    if (c->state == H2_CONN_PROXIED && (!h2_peer_take(c, &rest) || rest.length == 0))
        return;
    if (c->state == H2_CONN_NEW) {
        /* a TLS record begins with 22; a request line with a letter */
        if (rest.data[0] >= 'A' && rest.data[0] <= 'Z') {
            plain_http(c);
            return;
        }
        c->state = H2_CONN_HANDSHAKE;
    }
    int taken = BIO_write(c->in, rest.data, (int)rest.length);
    CHECK(taken == (int)rest.length);
    if (c->state == H2_CONN_OPEN || handshake(c))
        receive(c);
    /* libuv would go on while the socket gives; others have a turn, too. And what is held back has
     * an end. */
    if ((size_t)length == H2_READ_BYTES || BIO_ctrl_pending(c->in) >= H2_READ_BYTES) {
        (void)uv_read_stop(tcp);
        c->resting = true;
    }
    /* Answers are held back by flush_bite; what grows here all the same is TLS's own, e.g. key
     * updates of a peer that asks for them and does not read. */
    if (BIO_ctrl_pending(c->out) > H2_UNSENT_BYTES_MAX)
        h2_conn_close(c);
    h2_conn_mark(c);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct h2_conn *c = container_of(handle, struct h2_conn, tcp);
    (void)suggested;
    *out = uv_buf_init((char *)c->server->read_bytes, H2_READ_BYTES); /* on_read eats it at once */
}

void h2_conn_accept(struct h2_server *s, int file, const char *peer_ip)
{
    struct h2_conn *c = base_zalloc(1, sizeof(*c));
    c->server = s;
    c->state = H2_CONN_NEW;
    c->opened_ms = c->active_ms = uv_now(s->options.loop);
    abuse_budget_init(&c->budget, c->opened_ms);
    (void)snprintf(c->peer_ip, sizeof(c->peer_ip), "%s", peer_ip);

    if (!h2_peer_begin(c)) { /* before anything costly was made for it */
        free(c);
        (void)close(file);
        return;
    }
    c->ssl = SSL_new(s->options.tls);
    c->in = BIO_new(BIO_s_mem());
    c->out = BIO_new(BIO_s_mem());
    CHECK(c->ssl != NULL && c->in != NULL && c->out != NULL);
    SSL_set_bio(c->ssl, c->in, c->out);
    SSL_set_accept_state(c->ssl);
    SSL_set_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS);

    CHECK(uv_tcp_init(s->options.loop, &c->tcp) == 0);
    c->next = s->conns;
    if (s->conns != NULL)
        s->conns->previous = c;
    s->conns = c;
    s->conn_count++;
    H2_COUNT(s, connections_total, 1);
    H2_COUNT(s, connections_open, 1);

    if (uv_tcp_open(&c->tcp, file) != 0) {
        (void)close(file);
        h2_conn_close(c);
        return;
    }
    (void)uv_tcp_nodelay(&c->tcp, 1);
    if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0)
        h2_conn_close(c);
}

/* -- both ---------------------------------------------------------------------------------- */

/* One bite. True when there may be more to write at once. */
static bool flush_bite(struct h2_conn *c)
{
    if (c->state == H2_CONN_CLOSING || c->state == H2_CONN_LINGER || c->writing)
        return false;
    if (c->state == H2_CONN_OPEN && !fill(c)) {
        h2_conn_close(c);
        return false;
    }
    if (c->state == H2_CONN_OPEN && c->protocol->is_over(c) && !c->last_words) {
        c->last_words = true;
        ERR_clear_error();
        (void)SSL_shutdown(c->ssl); /* close_notify */
    }
    size_t pending = BIO_ctrl_pending(c->out);
    if (pending > 0) {
        buf_clear(&c->written);
        buf_reserve(&c->written, pending);
        CHECK(BIO_read(c->out, c->written.data, (int)pending) == (int)pending);
        c->written.length = pending;
        write_out(c);
    }
    if (c->state == H2_CONN_CLOSING || c->writing)
        return false;
    if (c->last_words)
        linger(c);
    return pending > 0 && c->state == H2_CONN_OPEN && c->protocol->wants_write(c);
}

/* Reads what was held back, once what it waited for was written. */
static bool go_on(struct h2_conn *c)
{
    if (!c->held || c->state != H2_CONN_OPEN || c->writing || c->last_words || c->over_budget ||
        !c->protocol->may_receive(c))
        return false;
    c->held = false;
    c->protocol->receive(c, (struct span){NULL, 0});
    receive(c);
    return true;
}

void h2_conn_flush(struct h2_conn *c)
{
    do
        while (flush_bite(c))
            ;
    while (go_on(c));
    bool has_room = c->state == H2_CONN_LINGER || BIO_ctrl_pending(c->in) < H2_READ_BYTES;
    if (c->resting && has_room && c->state != H2_CONN_CLOSING) {
        c->resting = false;
        if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0)
            h2_conn_close(c);
    }
}

/* -- time ---------------------------------------------------------------------------------- */

size_t h2_conn_behind(const struct h2_conn *c)
{
    uv_os_fd_t file;
    int bytes = 0;
    if (uv_fileno((const uv_handle_t *)&c->tcp, &file) != 0 || ioctl(file, SIOCOUTQ, &bytes) != 0)
        return 0;
    return (size_t)bytes;
}

/* A piece waits, and for the stall time-out the client has taken nothing of what is before it. */
static bool is_deaf(struct h2_conn *c, uint64_t now_ms)
{
    size_t behind = c->behind == 0 ? 0 : h2_conn_behind(c);
    if (behind <= H2_PIECES_BEHIND_MAX)
        behind = 0;
    if (behind != c->behind)
        c->behind_ms = now_ms;
    c->behind = behind;
    return behind > 0 && now_ms - c->behind_ms >= c->server->options.stall_timeout_ms;
}

void h2_conn_sweep(struct h2_conn *c, uint64_t now_ms)
{
    const struct h2_server_options *options = &c->server->options;

    if (c->state == H2_CONN_CLOSING)
        return;
    if (c->state == H2_CONN_LINGER) {
        if (now_ms - c->linger_ms >= H2_LINGER_MS)
            h2_conn_close(c);
        return;
    }
    if (c->writing) {
        size_t left = uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp);
        if (left != c->written_left) {
            c->written_left = left;
            c->written_ms = now_ms;
        } else if (now_ms - c->written_ms >= options->stall_timeout_ms) {
            H2_COUNT(c->server, stalled_total, 1);
            h2_conn_close(c);
            return;
        }
    } else if (is_deaf(c, now_ms)) {
        H2_COUNT(c->server, stalled_total, 1);
        h2_conn_close(c);
        return;
    }
    if (c->state != H2_CONN_OPEN) {
        if (c->server->draining && now_ms - c->opened_ms >= H2_LINGER_MS) {
            h2_conn_close(c); /* had its time to shake hands and hear GOAWAY */
        } else if (now_ms - c->opened_ms >= options->stall_timeout_ms) {
            H2_COUNT(c->server, stalled_total, 1);
            H2_COUNT(c->server, handshake_failures_total, 1);
            H2_COUNT(c->server, tls_stalled_total, 1);
            h2_conn_close(c);
        }
        return;
    }
    c->protocol->sweep(c, now_ms);
    if (c->state == H2_CONN_OPEN && c->stream_count == 0 &&
        now_ms - c->active_ms >= options->idle_timeout_ms) {
        c->protocol->finish(c);
        h2_conn_mark(c);
    }
}

void h2_conn_goaway_soon(struct h2_conn *c)
{
    if (c->state != H2_CONN_OPEN)
        return;
    c->protocol->goaway_soon(c);
    h2_conn_mark(c);
}

void h2_conn_goaway(struct h2_conn *c)
{
    if (c->state != H2_CONN_OPEN)
        return;
    c->protocol->goaway(c);
    h2_conn_mark(c);
}

/* -- abuse --------------------------------------------------------------------------------- */

void h2_conn_charge(struct h2_conn *c, enum abuse_kind kind, uint64_t amount)
{
    if (!c->over_budget && !abuse_budget_spend(&c->budget, kind, amount, now_of(c)))
        h2_conn_expel(c, kind);
}

void h2_conn_expel(struct h2_conn *c, enum abuse_kind kind)
{
    if (c->over_budget)
        return;
    c->over_budget = true;
    H2_COUNT(c->server, abuse_closed_total, 1);
    H2_COUNT(c->server, abuse_closed_by_kind[kind], 1);
    log_warn("connection over its abuse budget", log_text("kind", abuse_kind_name(kind)));
    log_debug("who was over its abuse budget", log_text("peer", c->peer_ip));
    c->protocol->expel(c);
}
