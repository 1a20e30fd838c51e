/* SPDX-License-Identifier: Apache-2.0
 * global_http_admin: what tributary-global shows its operator: /metrics, /livez, /readyz.
 * Audience: global shell, tests. global_http_admin_show on the merger's thread; pages are made on
 * the admin thread. */
#pragma once

#include "common/base/clock.h"
#include "common/run/h2_server.h"
#include "common/run/metrics.h"
#include "global/global_http.h"
#include "global/global_merger.h"

struct global_http_admin;

struct global_http_admin_options {
    const char *listen;
    struct metrics *metrics;            /* of global_metric_rows */
    const struct h2_counters *counters; /* of the query service; may be NULL */
    const struct global_http *http;     /* whose times are shown; may be NULL */
    struct clock_port *clock;
};

enum err WARN_UNUSED global_http_admin_new(const struct global_http_admin_options *options,
                                           struct global_http_admin **out);
/* Shows what the merger has done. Call once before the start, then after each step. */
void global_http_admin_show(struct global_http_admin *a, const struct merger_view *view);
/* Opens the port. ERR_CONFIG, ERR_SYSTEM as admin_http_start. */
enum err WARN_UNUSED global_http_admin_start(struct global_http_admin *a);
uint16_t global_http_admin_port(const struct global_http_admin *a);
void global_http_admin_stop(struct global_http_admin *a); /* and frees */

/* The pages, for tests too. */
void global_http_admin_metrics(struct global_http_admin *a, struct buf *out);
/* True when each region was heard; appends what is wrong, or "ok". */
bool global_http_admin_ready(struct global_http_admin *a, struct buf *out);
