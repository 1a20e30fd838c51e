/* SPDX-License-Identifier: Apache-2.0
 * global_http_inside: what the files of the query service share. Audience: global_http.c,
 * global_http_routes.c only. */
#pragma once

#include "global/global_http.h"

#include <pthread.h>
#include <uv.h>

#define GLOBAL_HTTP_ROUTES 8 /* at most */

struct global_http_worker {
    struct global_http *http;
    struct global_reader *reader;
    struct h2_server *server;
    uv_loop_t loop;
    uv_async_t stop;
    pthread_t thread;
    bool started;
    struct buf body;
};

struct global_http {
    struct global_http_options options;
    struct h2_counters counters;
    struct metrics_histogram times[GLOBAL_HTTP_ROUTES]; /* of answers, by route */
    uint16_t port;
    unsigned worker_count;
    struct global_http_worker *workers;
};

/* Answers one request, at once. context: the worker. */
void global_http_on_request(void *context, struct h2_request *r);
