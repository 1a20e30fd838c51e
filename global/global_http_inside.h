/* SPDX-License-Identifier: Apache-2.0
 * global_http_inside: what the files of the query service share. Audience: global_http.c,
 * global_http_*.c only. */
#pragma once

#include "common/run/body_encode.h"
#include "global/core/negotiate.h"
#include "global/global_http.h"
#include "global/global_http_seats.h"
#include "global/global_metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#define GLOBAL_HTTP_ROUTES 8 /* at most */

struct global_http_worker {
    struct global_http *http;
    struct global_reader *reader;
    struct h2_server *server;
    uv_loop_t loop;
    uv_async_t stop, renew;
    _Atomic(SSL_CTX *) next_tls; /* handed over to the worker; NULL: none waits */
    pthread_t thread;
    bool started;
    uv_timer_t turn;                    /* runs while there are streams */
    struct global_http_stream *streams; /* the one that is due first */
    struct buf body, packed, heads;     /* heads: texts of header fields */
    struct body_encode *encode;
    struct buf edges; /* of windows in a time zone */
};

struct global_http {
    struct global_http_options options;
    struct h2_counters counters;
    struct metrics_histogram times[GLOBAL_HTTP_ROUTES]; /* of answers, by route */
    struct global_http_seats *seats;
    uint16_t port;
    unsigned worker_count;
    struct global_http_worker *workers;
};

/* One request on its way to its answer: the bytes in w->body. */
struct global_http_visit {
    struct global_http_worker *w;
    struct h2_request *r;
    struct token *token; /* NULL: the service is open */
    enum negotiate_type type;
    /* Of answers that can be asked for again: the first `tagged_bytes` of the body, and the missing
     * edges of `standing` (may be NULL), make the entity tag; 0: there is none, nobody may keep it.
     */
    size_t tagged_bytes;
    const struct stats_json_answer *standing;
    bool final_;                       /* no byte of it will ever change */
    char next[QUERY_CURSOR_CHARS + 1]; /* of rows that go on: for a header; "" if they do not */
};

/* The type that the client takes among those offered; answers 406 itself where there is none. */
bool global_http_negotiate(struct global_http_visit *v, unsigned offered);
void global_http_answer(struct global_http_visit *v);
void global_http_refuse(struct global_http_visit *v, unsigned status, const char *token,
                        const char *title, const char *detail);
/* A problem with one header more. */
void global_http_refuse_with(struct global_http_visit *v, unsigned status, const char *token,
                             const char *title, const char *detail, struct h2_header header);

/* The query, or false and a 400. */
bool global_http_parse(struct global_http_visit *v, enum query_route route, struct query *out);
/* The store could not be read: a 503. */
void global_http_fail(struct global_http_visit *v, enum err err);

/* global_http_counts.c: the routes that tell counts. */
void global_http_on_stats(struct global_http_visit *v);
void global_http_on_top(struct global_http_visit *v);

/* global_http_stream.c */
void global_http_on_stream(struct global_http_visit *v);
void global_http_on_turn(uv_timer_t *turn);

/* The clocks of a zone of the database in `folder`. ERR_NOT_FOUND: there is none of that name, or
 * its file is no zone's. zone_done frees. */
enum err WARN_UNUSED global_http_zone(const char *folder, const char *name, struct zone *out);

/* Answers one request, at once. context: the worker. */
void global_http_on_request(void *context, struct h2_request *r);
