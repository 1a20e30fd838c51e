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

static void put_text(struct buf *out, const char *text)
{
    buf_put(out, text, strlen(text));
}

static void put_value(struct buf *out, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), " %llu\n", (unsigned long long)value);
    put_text(out, text);
}

/* In help a quote stands for itself; in a label value it would end it. */
static void put_escaped(struct buf *out, const char *text, bool label)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            put_text(out, "\\n");
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
        put_text(out, "# HELP ");
        put_text(out, row->name);
        buf_put_u8(out, ' ');
        put_escaped(out, row->help, false);
        if (row->unit != NULL && row->unit[0] != '\0') {
            put_text(out, " (");
            put_escaped(out, row->unit, false);
            buf_put_u8(out, ')');
        }
        put_text(out, "\n# TYPE ");
        put_text(out, row->name);
        put_text(out, row->kind == METRIC_COUNTER ? " counter\n" : " gauge\n");
        put_text(out, row->name);
        put_value(out, metrics_get(m, (unsigned)i));
    }
}

void metrics_line(struct buf *out, const char *name, const char *const *labels, uint64_t value)
{
    put_text(out, name);
    for (size_t i = 0; labels != NULL && labels[i] != NULL; i += 2) {
        CHECK(labels[i + 1] != NULL);
        put_text(out, i == 0 ? "{" : ",");
        put_text(out, labels[i]);
        put_text(out, "=\"");
        put_escaped(out, labels[i + 1], true);
        buf_put_u8(out, '"');
    }
    if (labels != NULL && labels[0] != NULL)
        buf_put_u8(out, '}');
    put_value(out, value);
}
