/* SPDX-License-Identifier: Apache-2.0
 * load_h2: HTTP/2 over TLS as a client: many connections on one epoll loop, one thread.
 * A connection that dies is opened again with a growing pause; what was under way on it ends as
 * LOAD_BROKEN, because nobody can know whether the other side has acted on it. */
#pragma once

#include "load_base.h"

#include <openssl/ssl.h>

enum load_outcome { LOAD_ANSWERED, LOAD_BROKEN, LOAD_TIMED_OUT };

/* One request and its answer. The caller fills the first part and keeps everything alive until
 * `done`. */
struct load_exchange {
    const char *method, *path;
    const char *content_type, *idempotency_key, *prefer; /* NULL: not sent */
    const char *body;
    size_t body_length;
    void (*done)(struct load_exchange *x, enum load_outcome outcome);
    void *context;

    unsigned status;
    unsigned retry_after_s;
    struct load_buf answer; /* freed by load_exchange_reset */
    uint64_t started_us, ended_us;

    struct load_exchange *next, *previous; /* private from here on */
    size_t body_sent;
    int32_t stream;
};
void load_exchange_reset(struct load_exchange *x);

struct load_loop;
struct load_conn;

/* timeout_ms: an exchange without an answer ends as LOAD_TIMED_OUT. */
struct load_loop *load_loop_new(const char *ca_file, uint32_t timeout_ms);
/* How long a connection that failed waits at most before it is tried again (500 ms). */
void load_loop_reconnect(struct load_loop *loop, uint32_t max_ms);
void load_loop_free(struct load_loop *loop);
/* Connections made from now on offer TLS 1.3 with this suite alone. */
void load_loop_one_cipher(struct load_loop *loop, const char *name);
/* Waits for something to happen, at most wait_ms; also returns when `wake_fd` (or -1) is readable.
 */
void load_loop_turn(struct load_loop *loop, int wait_ms, int wake_fd);

/* "HOST:PORT" or "[V6]:PORT"; the loop owns the connection. */
struct load_conn *load_conn_new(struct load_loop *loop, const char *address);
bool load_conn_is_up(const struct load_conn *c);
unsigned load_conn_open(const struct load_conn *c); /* exchanges under way */
/* Only while up. */
void load_conn_submit(struct load_conn *c, struct load_exchange *x);
/* The last reason why it went down, in words; "" when it never did. */
const char *load_conn_why_down(const struct load_conn *c);
