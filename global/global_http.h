/* SPDX-License-Identifier: Apache-2.0
 * global_http: the query service: HTTP/2 over TLS on worker threads, each with a loop and a reader
 * of its own. Audience: global shell, tests. */
#pragma once

#include "common/base/clock.h"
#include "common/base/kv.h"
#include "common/run/h2_server.h"
#include "common/run/metrics.h"
#include "global/global_reader.h"
#include "global/global_tokens.h"

struct global_http;

struct global_http_options {
    struct global_reader_options reader;
    SSL_CTX *tls;
    const char *listen;
    unsigned workers;
    unsigned streams, token_streams; /* at once: in all, of one token; 0: 64, 8 */
    struct metrics *metrics;         /* of global_metric_rows */
    struct global_tokens *tokens;    /* NULL: whoever reaches the port may ask everything */
    int read_log;                    /* file that gets a line for each billing read; -1: the log */
    const char *zoneinfo;            /* folder of the time zone database; NULL: the system's */
};

/* Starts the threads. ERR_SYSTEM, ERR_CONFIG: the address cannot be had (logged). */
enum err WARN_UNUSED global_http_start(const struct global_http_options *options,
                                       struct global_http **out);
uint16_t global_http_port(const struct global_http *http);
const struct h2_counters *global_http_counters(const struct global_http *http);
/* Streams that go on now. Any thread. */
unsigned global_http_streams(const struct global_http *http);
/* How long answers took, by route, as Prometheus text. Any thread. */
void global_http_put_times(const struct global_http *http, struct buf *out);
/* Lets open requests finish (for up to 5 s), then ends the threads and frees. */
/* New connections get this certificate from now on; those that are open keep theirs. The caller
 * keeps its own reference. */
void global_http_use_tls(struct global_http *http, SSL_CTX *tls);
void global_http_stop(struct global_http *http);
