/* SPDX-License-Identifier: Apache-2.0
 * h2_given: an h2_server on a thread of its own, with an application that echoes, holds or tells.
 * Audience: tests. */
#pragma once

#include "common/run/h2_server.h"
#include "common/run/tls.h"
#include "tests/unit/run/h2_probe.h"
#include "tests/unit/run/made_certs.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

#define HELD_MAX 4096

/* Do servers that are given from now on let HTTP/1.1 in? */
__attribute__((unused)) static bool given_http1;

struct given {
    struct made_certs certs;
    SSL_CTX *tls;
    uv_loop_t loop;
    uv_async_t order;
    pthread_t thread;
    struct h2_server *server;
    struct h2_counters counters;
    uint16_t port;
    struct h2_request *held[HELD_MAX];
    unsigned held_count;
    _Atomic unsigned held_seen, cancelled_seen;
    struct h2_request *pieces; /* of /pieces, while it goes on */
    unsigned pieces_written;
    _Atomic unsigned pieces_begun, pieces_taken, pieces_refused, pieces_gone;
    size_t piece_bytes;
    _Atomic int wish; /* what the loop's thread shall do */
    uint32_t drain_ms;
    sem_t drained;
};

enum { WISH_NOTHING, WISH_RELEASE, WISH_DRAIN, WISH_WRITE, WISH_END };

static inline void answer_text(struct h2_request *r, unsigned status, struct span body)
{
    const struct h2_header type = {"content-type", "text/plain"};
    h2_respond(r, status, &type, 1, body);
}

static struct given *pieces_given;

static inline void on_pieces_gone(struct h2_request *r)
{
    cr_assert_eq(pieces_given->pieces, r);
    pieces_given->pieces = NULL;
    pieces_given->pieces_gone++;
}

/* Piece n is n in 8 digits, then dots. */
static inline void write_piece(struct given *g)
{
    uint8_t *piece = base_alloc(g->piece_bytes + 1);
    memset(piece, '.', g->piece_bytes);
    snprintf((char *)piece, 9, "%08u", g->pieces_written++);
    piece[8] = '.';
    if (h2_respond_write(g->pieces, span_of(piece, g->piece_bytes)))
        g->pieces_taken++;
    else
        g->pieces_refused++;
    free(piece);
}

static inline void on_request(void *context, struct h2_request *r)
{
    struct given *g = context;
    static char text[1024];

    if (strcmp(r->path, "/hold") == 0) {
        g->held[g->held_count++] = r;
        g->held_seen++;
    } else if (strcmp(r->path, "/big") == 0) {
        size_t length = strtoul(r->query, NULL, 10);
        uint8_t *body = base_alloc(length);
        memset(body, 'x', length);
        answer_text(r, 200, span_of(body, length));
        free(body);
    } else if (strcmp(r->path, "/pieces") == 0) {
        const struct h2_header type = {"content-type", "text/plain"};
        pieces_given = g;
        if (h2_respond_begin(r, 200, &type, 1, on_pieces_gone))
            g->pieces = r;
        g->pieces_begun++;
    } else if (strcmp(r->path, "/what") == 0) {
        snprintf(text, sizeof(text), "%s %s ?%s @%s from %s agent %s repeated %d body %zu",
                 r->method, r->path, r->query, r->authority, r->peer_ip,
                 h2_header(r, "user-agent") != NULL ? h2_header(r, "user-agent") : "-",
                 h2_header_repeated(r, "x-twice"), r->body.length);
        answer_text(r, 200, span_of_text(text));
    } else {
        answer_text(r, 200, r->body);
    }
}

static inline void on_drained(void *context)
{
    struct given *g = context;
    h2_server_free(g->server);
    uv_close((uv_handle_t *)&g->order, NULL);
    sem_post(&g->drained);
}

static inline void release(struct given *g)
{
    for (unsigned i = 0; i < g->held_count; i++) {
        g->cancelled_seen += g->held[i]->cancelled ? 1 : 0;
        answer_text(g->held[i], 200, span_of_text("released"));
    }
    g->held_count = 0;
}

static inline void on_order(uv_async_t *order)
{
    struct given *g = order->data;
    int wish = atomic_exchange(&g->wish, WISH_NOTHING);
    if (wish == WISH_RELEASE) {
        release(g);
        g->held_seen = 0;
    } else if (wish == WISH_WRITE) {
        write_piece(g);
    } else if (wish == WISH_END) {
        h2_respond_end(g->pieces);
        g->pieces = NULL;
    } else if (wish == WISH_DRAIN) {
        h2_server_drain(g->server, g->drain_ms, on_drained, g);
    }
}

static inline void *run(void *context)
{
    struct given *g = context;
    uv_run(&g->loop, UV_RUN_DEFAULT);
    return NULL;
}

static inline void wish(struct given *g, int what)
{
    g->wish = what;
    uv_async_send(&g->order);
}

static inline struct given *given_server(const struct h2_server_options *wanted,
                                         bool client_certificates)
{
    struct given *g = base_zalloc(1, sizeof(*g));
    signal(SIGPIPE, SIG_IGN); /* as every shell does */
    made_certs_init(&g->certs);
    const struct tls_options tls = {.certificate_file = g->certs.certificate,
                                    .key_file = g->certs.key,
                                    .client_ca_file = client_certificates ? g->certs.ca : NULL,
                                    .http1 = given_http1};
    cr_assert_eq(tls_server_new(&tls, &g->tls), ERR_OK);
    uv_loop_init(&g->loop);
    uv_async_init(&g->loop, &g->order, on_order);
    g->order.data = g;
    sem_init(&g->drained, 0, 0);
    struct h2_server_options options = *wanted;
    options.loop = &g->loop;
    options.tls = g->tls;
    options.listen = "127.0.0.1:0";
    options.counters = &g->counters;
    options.on_request = on_request;
    options.context = g;
    if (options.body_bytes_max == 0)
        options.body_bytes_max = 8 * 1024 * 1024;
    cr_assert_eq(h2_server_start(&options, &g->server), ERR_OK);
    g->port = h2_server_port(g->server);
    g->drain_ms = 2000;
    pthread_create(&g->thread, NULL, run, g);
    return g;
}

static inline struct given *given_plain_server(void)
{
    const struct h2_server_options defaults = {0};
    return given_server(&defaults, false);
}

static inline bool counted(_Atomic uint64_t *counter, uint64_t at_least)
{
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    while (*counter < at_least)
        if (h2_probe_now() > deadline)
            return false;
        else
            poll(NULL, 0, 2);
    return true;
}

static inline bool held(struct given *g, unsigned count)
{
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    while (g->held_seen < count)
        if (h2_probe_now() > deadline)
            return false;
        else
            poll(NULL, 0, 2);
    return true;
}

static inline void join(struct given *g)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 10;
    cr_assert_eq(sem_timedwait(&g->drained, &deadline), 0, "the server did not drain");
    pthread_join(g->thread, NULL);
}

/* After a drain that the test asked for. */
static inline void buried(struct given *g)
{
    cr_assert_eq(uv_loop_close(&g->loop), 0, "a handle was left open");
    cr_assert_eq(g->counters.connections_open, 0);
    SSL_CTX_free(g->tls);
    made_certs_done(&g->certs);
    free(g);
}

static inline void over(struct given *g)
{
    wish(g, WISH_DRAIN);
    join(g);
    buried(g);
}

__attribute__((unused)) static const struct span no_body = {NULL, 0};
