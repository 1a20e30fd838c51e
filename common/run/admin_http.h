/* SPDX-License-Identifier: Apache-2.0
 * admin_http: the plain HTTP/1.1 port for machines of the operator: /metrics, /livez, /readyz, and
 * what a tier adds. Bind it to loopback or a private network. Over libmicrohttpd, on a thread of
 * its own. Audience: shells. Handlers run on the admin thread. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"

struct admin_http;

struct admin_reply {
    unsigned status;          /* preset to 200 */
    const char *content_type; /* preset to "text/plain; charset=utf-8" */
    struct buf body;
    int file; /* preset to -1; >= 0: send this file instead of body; closed afterwards */
};

struct admin_route {
    const char *method; /* "GET" or "POST" */
    const char *path;   /* exact */
    void (*handle)(void *context, const char *query, struct admin_reply *reply);
};

struct admin_options {
    const char *listen; /* "127.0.0.1:0"; port 0 asks the kernel */
    const struct admin_route *routes;
    size_t route_count;
    void *context;
};

/* ERR_CONFIG for an address that does not parse, ERR_SYSTEM where it cannot be bound (logged with
 * the reason). */
enum err WARN_UNUSED admin_http_start(const struct admin_options *options, struct admin_http **out);
uint16_t admin_http_port(const struct admin_http *a);
void admin_http_stop(struct admin_http *a);
