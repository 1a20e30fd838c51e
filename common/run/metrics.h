/* SPDX-License-Identifier: Apache-2.0
 * metrics: counters and gauges of a program, from one table a tier, rendered as Prometheus text
 * (0.0.4). Audience: shells. Any thread (relaxed atomics).
 *
 * A tier writes one X-table, documented where it is declared, and makes both an enum and rows of
 * it: X(EDGE_CLICKS_ACCEPTED, COUNTER, "tributary_edge_clicks_accepted_total", "clicks", "numbered
 * and durable") */
#pragma once

#include "common/base/bytes.h"

#include <stdatomic.h>

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

struct metric_row {
    const char *name;
    enum metric_kind kind;
    const char *unit;
    const char *help;
};

struct metrics {
    const struct metric_row *rows;
    size_t count;
    _Atomic uint64_t *values;
};

/* How long something took, in buckets that are the same for all. Zero is empty and valid; written
 * and read by any thread (relaxed atomics). */
#define METRICS_BUCKETS 17
struct metrics_histogram {
    _Atomic uint64_t counts[METRICS_BUCKETS]; /* not cumulative */
    _Atomic uint64_t sum_us;
};

struct metrics *metrics_new(const struct metric_row *rows, size_t count);
void metrics_free(struct metrics *m);
static inline void metrics_add(struct metrics *m, unsigned id, uint64_t n)
{
    atomic_fetch_add_explicit(&m->values[id], n, memory_order_relaxed);
}
static inline void metrics_set(struct metrics *m, unsigned id, uint64_t value)
{
    atomic_store_explicit(&m->values[id], value, memory_order_relaxed);
}
static inline uint64_t metrics_get(const struct metrics *m, unsigned id)
{
    return atomic_load_explicit(&m->values[id], memory_order_relaxed);
}
/* Appends # HELP, # TYPE and a value line for each row. */
void metrics_render(const struct metrics *m, struct buf *out);
/* For labelled lines that a tier renders itself: name{a="b",c="d"} value, label values escaped.
 * `labels` is a flat list of name, value pairs ended by NULL. */
void metrics_line(struct buf *out, const char *name, const char *const *labels, uint64_t value);
/* The same in microseconds, shown as seconds. */
void metrics_line_seconds(struct buf *out, const char *name, const char *const *labels,
                          uint64_t us);
/* # HELP and # TYPE ("counter", "gauge", "histogram"), before the lines of one name. */
void metrics_head(struct buf *out, const char *name, const char *type, const char *help);

void metrics_histogram_add(struct metrics_histogram *h, uint64_t us);
/* Its buckets, sum (in seconds) and count; at most METRICS_LABELS labels beside le. */
#define METRICS_LABELS 4
void metrics_histogram_put(struct buf *out, const char *name, const char *const *labels,
                           const struct metrics_histogram *h);
