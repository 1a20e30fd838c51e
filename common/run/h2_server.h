/* SPDX-License-Identifier: Apache-2.0
 * h2_server: HTTP/2, and HTTP/1.1 where its TLS context lets it in, over TLS (nghttp2, http_parser,
 * OpenSSL) on one libuv loop; one server per worker thread, each with its own listening socket
 * (SO_REUSEPORT). Requests look the same whatever they came by. Audience: shells.
 *
 * Thread rule: everything on the loop's thread, except h2_request_complete_from_any_thread-style
 * hand-overs, which the application does itself with uv_async_t.
 *
 * Whole requests only: on_request runs when the body has ended (or was refused: then the server
 * answers by itself with a problem document: 400 bad header field, 413 over body_bytes_max, 431
 * over header limits, 408 stalled, 429 over the rate of its address, 503 when too many bytes wait
 * already). The program must ignore
 * SIGPIPE. Memory of a request is the server's until h2_respond, which ends it; each request is
 * answered exactly once, also when its connection has died meanwhile (the answer is then dropped
 * and memory freed). */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/run/abuse_budget.h"
#include "common/run/http1_guard.h"
#include "common/run/peer_gate.h"
#include "common/run/proxy_header.h"

#include <openssl/ssl.h>
#include <uv.h>

struct h2_server;

struct h2_header {
    const char *name;  /* lower case */
    const char *value; /* NUL-terminated; control characters were refused */
};

struct h2_request {
    const char *method, *path; /* path without the query */
    const char *query;         /* "" if none */
    const char *authority;
    const struct h2_header *headers; /* other than pseudo headers */
    size_t header_count;
    struct span body;
    const char *peer_ip; /* text form */
    uint64_t received_mono_us;
    void *user;     /* the application's */
    bool cancelled; /* the client is gone; h2_respond must still be called */
};

/* First value of a header by lower-case name, or NULL. */
const char *h2_header(const struct h2_request *r, const char *name);
/* True when the header occurs more than once. */
bool h2_header_repeated(const struct h2_request *r, const char *name);

/* Answers and ends the request. Body is copied. Adds content-length and date; adds nothing else. */
void h2_respond(struct h2_request *r, unsigned status, const struct h2_header *headers,
                size_t header_count, struct span body);
/* The same for long bodies: *body's memory becomes the answer's, and it gets other memory. */
void h2_respond_taking(struct h2_request *r, unsigned status, const struct h2_header *headers,
                       size_t header_count, struct buf *body);
/* An answer of no known length, in pieces, e.g. events. From begin on the request lives until
 * h2_respond_end, or until `gone` has run: the client left, its connection died, or the server
 * drains (which ends the answer). In `gone` nothing may be called with r, and after it r is no
 * more. False: nobody waits for pieces (HEAD, or a client that has left); the request has ended and
 * `gone` will not run. */
bool WARN_UNUSED h2_respond_begin(struct h2_request *r, unsigned status,
                                  const struct h2_header *headers, size_t header_count,
                                  void (*gone)(struct h2_request *r));
/* Copies and sends a piece, if all before it are on their way. False: the client is slow, and
 * nothing was taken; come again, with what is newest then. So a client never has a queue here. One
 * that takes nothing for the stall time-out is gone. */
bool WARN_UNUSED h2_respond_write(struct h2_request *r, struct span piece);
void h2_respond_end(struct h2_request *r);
/* Writes the members of an RFC 9457 document, open at its end: the caller may add members and puts
 * the brace. */
void h2_problem_begin(struct buf *out, unsigned status, const char *token, const char *title,
                      const char *detail);
/* RFC 9457: application/problem+json with type "urn:tributary:problem:<token>", title, status,
 * detail (escaped) and, where retry_after_s > 0, Retry-After. */
void h2_respond_problem(struct h2_request *r, unsigned status, const char *token, const char *title,
                        const char *detail, unsigned retry_after_s);

enum h2_protocol_kind { H2_PROTOCOL_HTTP2, H2_PROTOCOL_HTTP1, H2_PROTOCOLS };

/* For labels of metrics: "h2", "http/1.1". */
const char *h2_protocol_name(enum h2_protocol_kind kind);

struct h2_counters { /* written on the loop's thread, read anywhere: relaxed atomics */
    _Atomic uint64_t connections_total, connections_open, requests_total, handshake_failures_total,
        plain_http_total, abuse_closed_total, responses_total, bytes_in_total, bytes_out_total,
        connections_refused_total, refused_by_server_total, stalled_total;
    _Atomic uint64_t proxy_header_failures_total;
    /* handshakes that ended well, by version, and resumed of them; that did not, by what was wrong:
     * with TLS itself, no common protocol (ALPN), not done in time, gone before the end */
    _Atomic uint64_t tls_1_2_total, tls_1_3_total, tls_resumed_total, tls_failed_total,
        tls_no_protocol_total, tls_stalled_total, tls_gone_total;
    /* by client address, see peer_gate; and connections closed for want of a descriptor */
    _Atomic uint64_t peer_too_many_total, peer_too_fast_total, peer_requests_refused_total,
        descriptors_out_total;
    _Atomic uint64_t abuse_closed_by_kind[ABUSE_KINDS];
    /* handshakes that ended well; whole requests; HTTP/1.1 that could not be read */
    _Atomic uint64_t connections_by_protocol[H2_PROTOCOLS], requests_by_protocol[H2_PROTOCOLS];
    _Atomic uint64_t http1_refused_by_kind[HTTP1_REFUSALS];
};

struct h2_server_options {
    uv_loop_t *loop;
    SSL_CTX *tls;
    const char *listen; /* "0.0.0.0:8443", "[::]:8443"; port 0 asks the kernel */
    int inherited_file; /* > 0: a listening socket to share instead (a copy is made); not for
                           port_exclusive */
    size_t body_bytes_max;
    unsigned connections_max;  /* 0: 4096 */
    unsigned streams_max;      /* concurrent per connection; 0: 128 */
    size_t buffered_bytes_max; /* request bodies held, all connections; 0: 32 times body_bytes_max;
                                  beyond: 503 */
    bool port_exclusive;      /* refuse a port that any process listens on already; for the first of
                                 several servers */
    uint32_t idle_timeout_ms; /* 0: 60000: no bytes either way and no open request */
    uint32_t stall_timeout_ms; /* 0: 10000: handshake, headers or body not done */
    /* Connections from these begin with a PROXY header of version 2, or are closed. */
    const struct proxy_network *proxy_networks;
    size_t proxy_network_count;
    /* Forwarded, else X-Forwarded-For, of requests from these name the client. */
    const struct proxy_network *forwarded_networks;
    size_t forwarded_network_count;
    /* Limits by client address, for all servers that share it; the networks above are exempt from
     * it, and their clients are not. NULL: none. The caller's, until the loop has ended. */
    struct peer_gate *peers;
    struct h2_counters *counters;
    void (*on_request)(void *context, struct h2_request *r);
    void *context;
};

enum err WARN_UNUSED h2_server_start(const struct h2_server_options *options,
                                     struct h2_server **out);
uint16_t h2_server_port(const struct h2_server *s);
/* Connections accepted from now on use this context; the server keeps a reference of its own. */
void h2_server_use_tls(struct h2_server *s, SSL_CTX *tls);
/* Stops accepting, sends GOAWAY, lets open requests finish up to drain_ms, then closes; `done` runs
 * on the loop. */
void h2_server_drain(struct h2_server *s, uint32_t drain_ms, void (*done)(void *context),
                     void *context);
void h2_server_free(struct h2_server *s); /* after done */
