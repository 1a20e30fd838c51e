/* SPDX-License-Identifier: Apache-2.0
 * h2_probe: a small HTTP/2 client for tests: one connection, many requests, every wait with a
 * deadline. Audience: tests. One thread at a time per probe. Non-blocking socket under poll(). */
#pragma once

#include "common/base/bytes.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <nghttp2/nghttp2.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define H2_PROBE_STREAMS 8192
#define H2_PROBE_WAIT_MS 10000

struct h2_probe_answer {
    unsigned status;
    bool ended, closed;
    uint32_t error_code;
    struct buf headers; /* "name: value\n" each */
    struct buf body;
    const uint8_t *upload;
    size_t upload_length, upload_sent;
    bool upload_hold; /* do not end the body */
};

struct h2_probe {
    int file;
    SSL_CTX *tls;
    SSL *ssl;
    nghttp2_session *session;
    bool dead; /* the connection has ended */
    bool goaway;
    uint32_t goaway_code;
    int32_t goaway_last;
    unsigned open;
    struct h2_probe_answer answers[H2_PROBE_STREAMS]; /* by stream id / 2 */
};

struct h2_probe_options {
    const char *certificate, *key; /* of the client, or NULL */
    const char *alpn;              /* NULL: "\2h2"; "": none */
    bool raw;                      /* TLS only, no session */
};

/* What new connections send before TLS. */
__attribute__((unused)) static struct span h2_probe_prefix;

static inline uint64_t h2_probe_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline int h2_probe_socket(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(file >= 0);
    if (connect(file, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(file);
        return -1;
    }
    return file;
}

static inline struct h2_probe_answer *h2_probe_of(struct h2_probe *p, int32_t id)
{
    CHECK(id > 0 && (size_t)id / 2 < H2_PROBE_STREAMS);
    return &p->answers[id / 2];
}

static inline int h2_probe_on_header(nghttp2_session *session, const nghttp2_frame *frame,
                                     const uint8_t *name, size_t name_length, const uint8_t *value,
                                     size_t value_length, uint8_t flags, void *user_data)
{
    struct h2_probe_answer *a = h2_probe_of(user_data, frame->hd.stream_id);
    (void)session;
    (void)flags;
    if (name_length == 7 && memcmp(name, ":status", 7) == 0)
        a->status = (unsigned)strtoul((const char *)value, NULL, 10);
    buf_put(&a->headers, name, name_length);
    buf_put(&a->headers, ": ", 2);
    buf_put(&a->headers, value, value_length);
    buf_put(&a->headers, "\n", 1);
    return 0;
}

static inline int h2_probe_on_data(nghttp2_session *session, uint8_t flags, int32_t id,
                                   const uint8_t *data, size_t length, void *user_data)
{
    (void)session;
    (void)flags;
    buf_put(&h2_probe_of(user_data, id)->body, data, length);
    return 0;
}

static inline int h2_probe_on_frame(nghttp2_session *session, const nghttp2_frame *frame,
                                    void *user_data)
{
    struct h2_probe *p = user_data;
    (void)session;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        p->goaway = true;
        p->goaway_code = frame->goaway.error_code;
        p->goaway_last = frame->goaway.last_stream_id;
    } else if (frame->hd.stream_id > 0 && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
        h2_probe_of(p, frame->hd.stream_id)->ended = true;
    }
    return 0;
}

static inline int h2_probe_on_close(nghttp2_session *session, int32_t id, uint32_t error_code,
                                    void *user_data)
{
    struct h2_probe *p = user_data;
    (void)session;
    h2_probe_of(p, id)->closed = true;
    h2_probe_of(p, id)->error_code = error_code;
    p->open--;
    return 0;
}

static inline ssize_t h2_probe_on_upload(nghttp2_session *session, int32_t id, uint8_t *out,
                                         size_t size, uint32_t *flags, nghttp2_data_source *source,
                                         void *user_data)
{
    struct h2_probe_answer *a = h2_probe_of(user_data, id);
    (void)session;
    (void)source;
    size_t left = a->upload_length - a->upload_sent;
    size_t length = size < left ? size : left;
    if (left == 0 && a->upload_hold)
        return NGHTTP2_ERR_DEFERRED;
    memcpy(out, a->upload + a->upload_sent, length);
    a->upload_sent += length;
    if (length == left && !a->upload_hold)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)length;
}

static inline void h2_probe_session(struct h2_probe *p)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, h2_probe_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, h2_probe_on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, h2_probe_on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, h2_probe_on_close);
    nghttp2_option_new(&option);
    nghttp2_option_set_max_send_header_block_length(option, 64 * 1024 * 1024);
    nghttp2_session_client_new2(&p->session, callbacks, p, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(p->session, NGHTTP2_FLAG_NONE, NULL, 0);
}

static inline bool h2_probe_wait_file(struct h2_probe *p, short events, uint64_t deadline)
{
    uint64_t now = h2_probe_now();
    struct pollfd polled = {.fd = p->file, .events = events};
    return now < deadline && poll(&polled, 1, (int)(deadline - now)) > 0;
}

/* Runs an SSL call until it is done; false at the deadline or when the connection is over. */
static inline bool h2_probe_step(struct h2_probe *p, int result, uint64_t deadline)
{
    int why = SSL_get_error(p->ssl, result);
    if (why == SSL_ERROR_WANT_READ)
        return h2_probe_wait_file(p, POLLIN, deadline);
    if (why == SSL_ERROR_WANT_WRITE)
        return h2_probe_wait_file(p, POLLOUT, deadline);
    ERR_clear_error(); /* the thread's queue would speak of this one in the next one's calls */
    p->dead = true;
    return false;
}

/* Connects; returns NULL when TLS or ALPN fails (TLS 1.3 tells a client about its own bad
 * certificate only later). */
static inline struct h2_probe *h2_probe_open(uint16_t port, const struct h2_probe_options *options)
{
    static const struct h2_probe_options none = {0};
    const struct h2_probe_options *o = options != NULL ? options : &none;
    struct h2_probe *p = base_zalloc(1, sizeof(*p));
    const char *alpn = o->alpn != NULL ? o->alpn : "\2h2";
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;

    p->tls = SSL_CTX_new(TLS_client_method());
    if (o->certificate != NULL) {
        CHECK(SSL_CTX_use_certificate_chain_file(p->tls, o->certificate) == 1);
        CHECK(SSL_CTX_use_PrivateKey_file(p->tls, o->key, SSL_FILETYPE_PEM) == 1);
    }
    if (alpn[0] != '\0')
        SSL_CTX_set_alpn_protos(p->tls, (const unsigned char *)alpn, (unsigned)strlen(alpn));
    p->file = h2_probe_socket(port);
    p->ssl = SSL_new(p->tls);
    if (p->file < 0) {
        p->dead = true;
        return p;
    }
    for (size_t sent = 0; sent < h2_probe_prefix.length; sent++) /* in pieces, too */
        CHECK(send(p->file, h2_probe_prefix.data + sent, 1, MSG_NOSIGNAL) == 1);
    fcntl(p->file, F_SETFL, O_NONBLOCK);
    SSL_set_fd(p->ssl, p->file);
    for (;;) {
        int done = SSL_connect(p->ssl);
        if (done == 1)
            break;
        if (!h2_probe_step(p, done, deadline)) {
            p->dead = true;
            return p;
        }
    }
    if (!o->raw)
        h2_probe_session(p);
    return p;
}

static inline void h2_probe_close(struct h2_probe *p)
{
    for (size_t i = 0; i < H2_PROBE_STREAMS; i++) {
        buf_done(&p->answers[i].headers);
        buf_done(&p->answers[i].body);
    }
    nghttp2_session_del(p->session);
    SSL_free(p->ssl);
    SSL_CTX_free(p->tls);
    if (p->file >= 0)
        close(p->file);
    free(p);
}

static inline bool h2_probe_write(struct h2_probe *p, const void *data, size_t length)
{
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    for (;;) {
        int done = SSL_write(p->ssl, data, (int)length);
        if (done > 0)
            return true;
        if (!h2_probe_step(p, done, deadline))
            return false;
    }
}

static inline void h2_probe_send(struct h2_probe *p)
{
    const uint8_t *data;
    ssize_t length;
    while (!p->dead && (length = nghttp2_session_mem_send(p->session, &data)) > 0)
        if (!h2_probe_write(p, data, (size_t)length))
            p->dead = true;
}

static inline nghttp2_nv h2_probe_field(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), 0};
}

/* `fields` is a flat list of name, value pairs ended by NULL, or NULL. body.data NULL: no body. */
static inline int32_t h2_probe_ask(struct h2_probe *p, const char *method, const char *path,
                                   const char *const *fields, struct span body, bool hold)
{
    static _Thread_local nghttp2_nv all[8192];
    size_t count = 0;
    all[count++] = h2_probe_field(":method", method);
    all[count++] = h2_probe_field(":scheme", "https");
    all[count++] = h2_probe_field(":authority", "localhost");
    all[count++] = h2_probe_field(":path", path);
    for (; fields != NULL && *fields != NULL; fields += 2) {
        CHECK(count < countof(all));
        all[count++] = h2_probe_field(fields[0], fields[1]);
    }
    bool upload = body.data != NULL || hold;
    nghttp2_data_provider provider = {.read_callback = h2_probe_on_upload};
    int32_t id =
        nghttp2_submit_request(p->session, NULL, all, count, upload ? &provider : NULL, NULL);
    CHECK(id > 0);
    struct h2_probe_answer *a = h2_probe_of(p, id);
    a->upload = body.data;
    a->upload_length = body.length;
    a->upload_hold = hold;
    p->open++;
    return id;
}

/* Sends and receives until `done` says so; false at the deadline or when the connection died first.
 */
static inline bool h2_probe_until(struct h2_probe *p, bool (*done)(struct h2_probe *, void *),
                                  void *context)
{
    static _Thread_local uint8_t bytes[65536];
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    for (;;) {
        if (done(p, context))
            return true;
        if (p->dead || h2_probe_now() >= deadline)
            return false;
        h2_probe_send(p);
        int got = SSL_read(p->ssl, bytes, sizeof(bytes));
        if (got > 0) {
            if (nghttp2_session_mem_recv(p->session, bytes, (size_t)got) < 0)
                p->dead = true;
            h2_probe_send(p);
        } else {
            (void)h2_probe_step(p, got, deadline);
        }
    }
}

static inline bool h2_probe_all_closed(struct h2_probe *p, void *context)
{
    (void)context;
    return p->open == 0;
}

static inline bool h2_probe_is_dead(struct h2_probe *p, void *context)
{
    (void)context;
    return p->dead;
}

static inline bool h2_probe_stream_closed(struct h2_probe *p, void *id)
{
    return h2_probe_of(p, *(int32_t *)id)->closed;
}

/* One whole request; the answer stays the probe's. */
static inline struct h2_probe_answer *h2_probe_one(struct h2_probe *p, const char *method,
                                                   const char *path, const char *const *fields,
                                                   struct span body)
{
    int32_t id = h2_probe_ask(p, method, path, fields, body, false);
    (void)h2_probe_until(p, h2_probe_stream_closed, &id);
    return h2_probe_of(p, id);
}

static inline bool h2_probe_has(struct h2_probe_answer *a, const char *line)
{
    buf_put_u8(&a->headers, 0);
    a->headers.length--;
    return strstr((const char *)a->headers.data, line) != NULL;
}

static inline const char *h2_probe_text(struct h2_probe_answer *a)
{
    buf_put_u8(&a->body, 0);
    a->body.length--;
    return (const char *)a->body.data;
}
