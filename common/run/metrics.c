/* SPDX-License-Identifier: Apache-2.0
 * metrics: counters and gauges of a program, rendered as Prometheus text.
 * Audience: see metrics.h. Format: Prometheus text exposition 0.0.4. */
#include "common/run/metrics.h"

#include <stdio.h>
#include <stdlib.h>

struct metrics *metrics_new(const struct metric_row *rows, size_t count)
{
    struct metrics *m = base_zalloc(1, sizeof(*m));
    m->rows = rows;
    m->count = count;
    m->values = base_zalloc(count, sizeof(*m->values));
    return m;
}

void metrics_free(struct metrics *m)
{
    if (m == NULL)
        return;
    free(m->values);
    free(m);
}

static void put_value(struct buf *out, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), " %llu\n", (unsigned long long)value);
    buf_put_text(out, text);
}

/* In help a quote stands for itself; in a label value it would end it. */
static void put_escaped(struct buf *out, const char *text, bool label)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            buf_put_text(out, "\\n");
        else if (*text == '\\' || (*text == '"' && label))
            buf_put(out, (const char[]){'\\', *text}, 2);
        else
            buf_put_u8(out, (uint8_t)*text);
    }
}

void metrics_render(const struct metrics *m, struct buf *out)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct metric_row *row = &m->rows[i];
        buf_put_text(out, "# HELP ");
        buf_put_text(out, row->name);
        buf_put_u8(out, ' ');
        put_escaped(out, row->help, false);
        if (row->unit != NULL && row->unit[0] != '\0') {
            buf_put_text(out, " (");
            put_escaped(out, row->unit, false);
            buf_put_u8(out, ')');
        }
        buf_put_text(out, "\n# TYPE ");
        buf_put_text(out, row->name);
        buf_put_text(out, row->kind == METRIC_COUNTER ? " counter\n" : " gauge\n");
        buf_put_text(out, row->name);
        put_value(out, metrics_get(m, (unsigned)i));
    }
}

static void put_name(struct buf *out, const char *name, const char *const *labels)
{
    buf_put_text(out, name);
    for (size_t i = 0; labels != NULL && labels[i] != NULL; i += 2) {
        CHECK(labels[i + 1] != NULL);
        buf_put_text(out, i == 0 ? "{" : ",");
        buf_put_text(out, labels[i]);
        buf_put_text(out, "=\"");
        put_escaped(out, labels[i + 1], true);
        buf_put_u8(out, '"');
    }
    if (labels != NULL && labels[0] != NULL)
        buf_put_u8(out, '}');
}

void metrics_line(struct buf *out, const char *name, const char *const *labels, uint64_t value)
{
    put_name(out, name, labels);
    put_value(out, value);
}

/* Without a detour through floating point, and without zeros at the end. */
static void seconds_of(uint64_t us, char out[32])
{
    int length = snprintf(out, 32, "%llu.%06llu", (unsigned long long)(us / 1000000),
                          (unsigned long long)(us % 1000000));
    while (out[length - 1] == '0')
        out[--length] = '\0';
    if (out[length - 1] == '.')
        out[length - 1] = '\0';
}

void metrics_line_seconds(struct buf *out, const char *name, const char *const *labels, uint64_t us)
{
    char seconds[32];
    seconds_of(us, seconds);
    put_name(out, name, labels);
    buf_put_u8(out, ' ');
    buf_put_text(out, seconds);
    buf_put_u8(out, '\n');
}

void metrics_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_put_text(out, "# HELP ");
    buf_put_text(out, name);
    buf_put_u8(out, ' ');
    put_escaped(out, help, false);
    buf_put_text(out, "\n# TYPE ");
    buf_put_text(out, name);
    buf_put_u8(out, ' ');
    buf_put_text(out, type);
    buf_put_u8(out, '\n');
}

/* -- histograms ---------------------------------------------------------------------------- */

/* Upper bounds in microseconds; one more bucket for what is slower. */
static const uint32_t bounds_us[] = {100,    250,     500,     1000,    2500,   5000,
                                     10000,  15000,   25000,   50000,   100000, 250000,
                                     500000, 1000000, 2500000, 10000000};
_Static_assert(countof(bounds_us) + 1 == METRICS_BUCKETS, "one more for the rest");

void metrics_histogram_add(struct metrics_histogram *h, uint64_t us)
{
    unsigned bucket = 0;
    while (bucket < countof(bounds_us) && us > bounds_us[bucket])
        bucket++;
    atomic_fetch_add_explicit(&h->counts[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, us, memory_order_relaxed);
}

void metrics_histogram_put(struct buf *out, const char *name, const char *const *labels,
                           const struct metrics_histogram *h)
{
    const char *all[2 * (METRICS_LABELS + 1) + 1] = {NULL};
    char bound[32] = "", part[128];
    size_t length = 0;
    uint64_t count = 0;

    for (; labels != NULL && labels[length] != NULL; length++) {
        CHECK(length < (size_t)2 * METRICS_LABELS);
        all[length] = labels[length];
    }
    all[length] = "le";
    all[length + 1] = bound;
    (void)snprintf(part, sizeof(part), "%s_bucket", name);
    for (unsigned i = 0; i < METRICS_BUCKETS; i++) {
        if (i < countof(bounds_us))
            seconds_of(bounds_us[i], bound);
        else
            (void)snprintf(bound, sizeof(bound), "+Inf");
        count += atomic_load_explicit(&h->counts[i], memory_order_relaxed);
        metrics_line(out, part, all, count);
    }
    (void)snprintf(part, sizeof(part), "%s_sum", name);
    metrics_line_seconds(out, part, labels, atomic_load_explicit(&h->sum_us, memory_order_relaxed));
    (void)snprintf(part, sizeof(part), "%s_count", name);
    metrics_line(out, part, labels, count);
}
