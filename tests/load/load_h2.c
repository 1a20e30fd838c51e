/* SPDX-License-Identifier: Apache-2.0
 * load_h2: HTTP/2 over TLS as a client: nghttp2 and OpenSSL on one epoll loop. */
#include "load_h2.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAUSE_FIRST_US 20000u
#define PAUSE_MAX_US   500000u
#define CONNECT_US     5000000u

enum conn_state { CONN_DOWN, CONN_CONNECTING, CONN_HANDSHAKE, CONN_UP };

struct load_conn {
    struct load_loop *loop;
    struct load_conn *next;
    char host[256], port[8];
    enum conn_state state;
    int fd;
    SSL *ssl;
    nghttp2_session *session;
    struct load_exchange open; /* head of a ring */
    unsigned open_count;
    struct load_buf out;
    size_t out_sent;
    uint64_t retry_us, pause_us, deadline_us;
    bool wants_write, dead;
    char why[160];
};

struct load_loop {
    int epoll;
    SSL_CTX *tls;
    uint32_t timeout_ms, pause_max_us;
    struct load_conn *conns;
};

void load_exchange_reset(struct load_exchange *x)
{
    load_buf_done(&x->answer);
    x->status = x->retry_after_s = 0;
    x->body_sent = 0;
}

struct load_loop *load_loop_new(const char *ca_file, uint32_t timeout_ms)
{
    struct load_loop *loop = load_alloc(sizeof *loop);
    loop->timeout_ms = timeout_ms;
    loop->pause_max_us = PAUSE_MAX_US;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->tls = SSL_CTX_new(TLS_client_method());
    if (loop->epoll < 0 || !loop->tls)
        load_die("cannot set up TLS");
    SSL_CTX_set_min_proto_version(loop->tls, TLS1_2_VERSION);
    SSL_CTX_set_mode(loop->tls,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(loop->tls, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_load_verify_locations(loop->tls, ca_file, NULL) != 1)
        load_die("cannot read certificates from %s", ca_file);
    if (SSL_CTX_set_alpn_protos(loop->tls, (const unsigned char *)"\x02h2", 3) != 0)
        load_die("cannot offer h2");
    return loop;
}

void load_loop_reconnect(struct load_loop *loop, uint32_t max_ms)
{
    loop->pause_max_us = max_ms * 1000;
}

void load_loop_one_cipher(struct load_loop *loop, const char *name)
{
    if (SSL_CTX_set_min_proto_version(loop->tls, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(loop->tls, name) != 1)
        load_die("not a TLS 1.3 cipher suite: %s", name);
}

static void detach(struct load_conn *c, struct load_exchange *x)
{
    x->previous->next = x->next;
    x->next->previous = x->previous;
    x->next = x->previous = NULL;
    c->open_count--;
}

static void finish(struct load_conn *c, struct load_exchange *x, enum load_outcome outcome)
{
    detach(c, x);
    x->ended_us = load_mono_us();
    x->done(x, outcome);
}

/* Ends everything under way: after this nobody knows what became of it. */
static void go_down(struct load_conn *c, const char *why)
{
    if (c->state == CONN_DOWN)
        return;
    snprintf(c->why, sizeof c->why, "%s", why);
    c->state = CONN_DOWN;
    c->dead = false;
    nghttp2_session_del(c->session);
    c->session = NULL;
    SSL_free(c->ssl);
    c->ssl = NULL;
    close(c->fd);
    c->fd = -1;
    c->out.length = c->out_sent = 0;
    c->retry_us = load_mono_us() + c->pause_us;
    c->pause_us = c->pause_us * 2 > c->loop->pause_max_us ? c->loop->pause_max_us : c->pause_us * 2;
    while (c->open.next != &c->open)
        finish(c, c->open.next, LOAD_BROKEN);
}

static void watch(struct load_conn *c, bool write)
{
    if (c->wants_write == write)
        return;
    c->wants_write = write;
    struct epoll_event event = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(c->loop->epoll, EPOLL_CTL_MOD, c->fd, &event) != 0)
        load_die("epoll: %s", strerror(errno));
}

static struct load_exchange *exchange_of(nghttp2_session *session, int32_t stream)
{
    return nghttp2_session_get_stream_user_data(session, stream);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_length, const uint8_t *value, size_t value_length, uint8_t flags,
                     void *user)
{
    (void)flags;
    (void)user;
    struct load_exchange *x = exchange_of(session, frame->hd.stream_id);
    char text[24];
    if (!x || value_length >= sizeof text)
        return 0;
    memcpy(text, value, value_length);
    text[value_length] = 0;
    if (name_length == 7 && memcmp(name, ":status", 7) == 0)
        x->status = (unsigned)strtoul(text, NULL, 10);
    else if (name_length == 11 && memcmp(name, "retry-after", 11) == 0)
        x->retry_after_s = (unsigned)strtoul(text, NULL, 10);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t length, void *user)
{
    (void)flags;
    (void)user;
    struct load_exchange *x = exchange_of(session, stream);
    if (x)
        load_buf_add(&x->answer, data, length);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user)
{
    struct load_conn *c = user;
    struct load_exchange *x = exchange_of(session, stream);
    if (!x)
        return 0;
    nghttp2_session_set_stream_user_data(session, stream, NULL);
    /* A whole answer counts even when the server resets the rest of our body afterwards. */
    bool answered = x->status >= 200 && code == NGHTTP2_NO_ERROR;
    finish(c, x, answered ? LOAD_ANSWERED : LOAD_BROKEN);
    return 0;
}

static void start_session(struct load_conn *c)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        load_die("out of memory");
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    if (nghttp2_session_client_new(&c->session, callbacks, c) != 0)
        load_die("out of memory");
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                         {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 4 << 20}};
    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 2);
    nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, 16 << 20);
    c->state = CONN_UP;
    c->pause_us = PAUSE_FIRST_US;
}

static void start_tls(struct load_conn *c)
{
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->ssl = SSL_new(c->loop->tls);
    if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1)
        load_die("out of memory");
    unsigned char number[16];
    if (inet_pton(AF_INET, c->host, number) == 1 || inet_pton(AF_INET6, c->host, number) == 1) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), c->host);
    } else {
        SSL_set1_host(c->ssl, c->host);
        SSL_set_tlsext_host_name(c->ssl, c->host);
    }
    SSL_set_connect_state(c->ssl);
    c->state = CONN_HANDSHAKE;
}

/* Returns false when the connection is lost. */
static bool shake(struct load_conn *c)
{
    int result = SSL_do_handshake(c->ssl);
    if (result == 1) {
        const unsigned char *protocol;
        unsigned length;
        SSL_get0_alpn_selected(c->ssl, &protocol, &length);
        if (length != 2 || memcmp(protocol, "h2", 2) != 0) {
            go_down(c, "the server does not speak h2");
            return false;
        }
        start_session(c);
        return true;
    }
    int error = SSL_get_error(c->ssl, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        watch(c, error == SSL_ERROR_WANT_WRITE);
        return true;
    }
    long verified = SSL_get_verify_result(c->ssl);
    ERR_clear_error();
    go_down(c, verified != X509_V_OK ? X509_verify_cert_error_string(verified)
                                     : "TLS handshake failed");
    return false;
}

static void flush(struct load_conn *c)
{
    for (;;) {
        while (c->out_sent < c->out.length) {
            size_t left = c->out.length - c->out_sent, sent = 0;
            int result = SSL_write_ex(c->ssl, c->out.data + c->out_sent, left, &sent);
            if (result != 1) {
                int error = SSL_get_error(c->ssl, result);
                if (error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ) {
                    watch(c, error == SSL_ERROR_WANT_WRITE);
                    return;
                }
                ERR_clear_error();
                c->dead = true;
                return;
            }
            c->out_sent += sent;
        }
        c->out.length = c->out_sent = 0;
        while (c->out.length < (64 << 10)) {
            const uint8_t *data;
            ssize_t length = nghttp2_session_mem_send(c->session, &data);
            if (length < 0) {
                c->dead = true;
                return;
            }
            if (length == 0)
                break;
            load_buf_add(&c->out, data, (size_t)length);
        }
        if (c->out.length == 0) {
            watch(c, false);
            return;
        }
    }
}

static void receive(struct load_conn *c)
{
    static uint8_t data[64 << 10];
    for (;;) {
        size_t length = 0;
        int result = SSL_read_ex(c->ssl, data, sizeof data, &length);
        if (result != 1) {
            int error = SSL_get_error(c->ssl, result);
            if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
                ERR_clear_error();
                c->dead = true;
            }
            return;
        }
        if (nghttp2_session_mem_recv(c->session, data, length) < 0) {
            c->dead = true;
            return;
        }
    }
}

static void begin_connect(struct load_conn *c)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(c->host, c->port, &hints, &found) != 0)
        load_die("cannot resolve %s", c->host);
    c->fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        load_die("socket: %s", strerror(errno));
    int result = connect(c->fd, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    c->state = CONN_CONNECTING;
    c->deadline_us = load_mono_us() + CONNECT_US;
    c->wants_write = true;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    if (epoll_ctl(c->loop->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
        load_die("epoll: %s", strerror(errno));
    if (result != 0 && errno != EINPROGRESS)
        go_down(c, strerror(errno));
}

static void serve(struct load_conn *c)
{
    if (c->state == CONN_DOWN)
        return;
    if (c->state == CONN_CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) {
            go_down(c, strerror(error));
            return;
        }
        start_tls(c);
    }
    if (c->state == CONN_HANDSHAKE && (!shake(c) || c->state != CONN_UP))
        return;
    receive(c);
    if (!c->dead)
        flush(c);
    if (!c->dead && !nghttp2_session_want_read(c->session) &&
        !nghttp2_session_want_write(c->session))
        c->dead = true; /* GOAWAY, and all is said */
    if (c->dead)
        go_down(c, "connection lost");
}

static void expire(struct load_conn *c, uint64_t now)
{
    if (c->state == CONN_DOWN) {
        if (now >= c->retry_us)
            begin_connect(c);
        return;
    }
    if (c->state != CONN_UP) {
        if (now >= c->deadline_us)
            go_down(c, "no handshake in time");
        return;
    }
    while (c->open.next != &c->open) {
        struct load_exchange *x = c->open.next; /* the oldest is first */
        if (now - x->started_us < (uint64_t)c->loop->timeout_ms * 1000)
            break;
        nghttp2_session_set_stream_user_data(c->session, x->stream, NULL);
        nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, x->stream, NGHTTP2_CANCEL);
        finish(c, x, LOAD_TIMED_OUT);
    }
}

void load_loop_turn(struct load_loop *loop, int wait_ms, int wake_fd)
{
    uint64_t now = load_mono_us();
    for (struct load_conn *c = loop->conns; c; c = c->next) {
        expire(c, now);
        if (c->state == CONN_UP) {
            flush(c);
            if (c->dead)
                go_down(c, "connection lost");
        }
    }
    if (wake_fd >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
        epoll_ctl(loop->epoll, EPOLL_CTL_ADD, wake_fd, &event); /* EEXIST from the second time on */
    }
    struct epoll_event events[64];
    int count = epoll_wait(loop->epoll, events, 64, wait_ms);
    for (int i = 0; i < count; i++)
        if (events[i].data.ptr)
            serve(events[i].data.ptr);
}

struct load_conn *load_conn_new(struct load_loop *loop, const char *address)
{
    struct load_conn *c = load_alloc(sizeof *c);
    const char *colon = strrchr(address, ':');
    bool brackets = address[0] == '[';
    size_t host = colon ? (size_t)(colon - address) - (brackets ? 2 : 0) : 0;
    if (!colon || host == 0 || host >= sizeof c->host || strlen(colon + 1) >= sizeof c->port)
        load_die("not an address: %s (want HOST:PORT)", address);
    memcpy(c->host, address + (brackets ? 1 : 0), host);
    snprintf(c->port, sizeof c->port, "%s", colon + 1);
    c->loop = loop;
    c->fd = -1;
    c->pause_us = PAUSE_FIRST_US;
    c->open.next = c->open.previous = &c->open;
    c->next = loop->conns;
    loop->conns = c;
    return c;
}

bool load_conn_is_up(const struct load_conn *c)
{
    return c->state == CONN_UP && !c->dead && nghttp2_session_check_request_allowed(c->session);
}

unsigned load_conn_open(const struct load_conn *c)
{
    return c->open_count;
}

const char *load_conn_why_down(const struct load_conn *c)
{
    return c->why;
}

static ssize_t read_body(nghttp2_session *session, int32_t stream, uint8_t *out, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)stream;
    (void)user;
    struct load_exchange *x = source->ptr;
    size_t left = x->body_length - x->body_sent;
    size_t length = left < room ? left : room;
    memcpy(out, x->body + x->body_sent, length);
    x->body_sent += length;
    if (x->body_sent == x->body_length)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)length;
}

static void add_header(nghttp2_nv *headers, size_t *count, const char *name, const char *value)
{
    if (!value)
        return;
    union {
        const char *in;
        uint8_t *out; /* nghttp2 copies and does not write, whatever its types say */
    } n = {name}, v = {value};
    headers[(*count)++] =
        (nghttp2_nv){n.out, v.out, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE};
}

void load_conn_submit(struct load_conn *c, struct load_exchange *x)
{
    char authority[300];
    snprintf(authority, sizeof authority, strchr(c->host, ':') ? "[%s]:%s" : "%s:%s", c->host,
             c->port);
    nghttp2_nv headers[10];
    size_t count = 0;
    add_header(headers, &count, ":method", x->method);
    add_header(headers, &count, ":scheme", "https");
    add_header(headers, &count, ":authority", authority);
    add_header(headers, &count, ":path", x->path);
    add_header(headers, &count, "user-agent", "tributary-load/1");
    add_header(headers, &count, "content-type", x->content_type);
    add_header(headers, &count, "idempotency-key", x->idempotency_key);
    add_header(headers, &count, "prefer", x->prefer);
    load_exchange_reset(x);
    nghttp2_data_provider provider = {.source.ptr = x, .read_callback = read_body};
    x->started_us = load_mono_us();
    x->stream = nghttp2_submit_request(c->session, NULL, headers, count,
                                       x->body_length ? &provider : NULL, x);
    x->next = &c->open;
    x->previous = c->open.previous;
    x->previous->next = x;
    c->open.previous = x;
    c->open_count++;
    if (x->stream < 0)
        c->dead = true; /* out of stream ids: the next turn starts afresh */
}

void load_loop_free(struct load_loop *loop)
{
    while (loop->conns) {
        struct load_conn *c = loop->conns;
        loop->conns = c->next;
        go_down(c, "closed");
        load_buf_done(&c->out);
        free(c);
    }
    SSL_CTX_free(loop->tls);
    close(loop->epoll);
    free(loop);
}
