/* SPDX-License-Identifier: Apache-2.0
 * Counters are exact under threads and come out as Prometheus text. */
#include "common/run/metrics.h"

#include <criterion/criterion.h>
#include <pthread.h>

static const struct metric_row rows[] = {
    {"tributary_clicks_total", METRIC_COUNTER, "clicks", "numbered \\ durable\nand \"told\""},
    {"tributary_spool_bytes", METRIC_GAUGE, "", "bytes in use"},
};

static void expect_text(struct buf *out, const char *wanted)
{
    cr_assert(span_equal(buf_span(out), span_of_text(wanted)), "%.*s", (int)out->length,
              (const char *)out->data);
    buf_done(out);
}

Test(metrics, each_row_is_rendered_with_help_type_and_value)
{
    struct metrics *m = metrics_new(rows, countof(rows));
    struct buf out = {0};

    metrics_add(m, 0, 3);
    metrics_add(m, 0, 4);
    metrics_set(m, 1, UINT64_MAX);
    metrics_render(m, &out);

    expect_text(&out,
                "# HELP tributary_clicks_total numbered \\\\ durable\\nand \"told\" (clicks)\n"
                "# TYPE tributary_clicks_total counter\n"
                "tributary_clicks_total 7\n"
                "# HELP tributary_spool_bytes bytes in use\n"
                "# TYPE tributary_spool_bytes gauge\n"
                "tributary_spool_bytes 18446744073709551615\n");
    metrics_free(m);
    metrics_free(NULL);
}

Test(metrics, label_values_are_escaped)
{
    struct buf out = {0};
    const char *const labels[] = {"edge", "a\"b\\c\nd", "region", "us", NULL};

    metrics_line(&out, "seen", labels, 5);
    metrics_line(&out, "bare", NULL, 6);
    metrics_line(&out, "empty", (const char *const[]){NULL}, 7);

    expect_text(&out, "seen{edge=\"a\\\"b\\\\c\\nd\",region=\"us\"} 5\nbare 6\nempty 7\n");
}

static void *count_up(void *m)
{
    for (unsigned i = 0; i < 20000; i++)
        metrics_add(m, 0, 1);
    return NULL;
}

Test(metrics, no_addition_of_a_thread_is_lost)
{
    struct metrics *m = metrics_new(rows, countof(rows));
    pthread_t threads[4];

    for (unsigned i = 0; i < countof(threads); i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, count_up, m), 0);
    for (unsigned i = 0; i < countof(threads); i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);

    cr_assert_eq(metrics_get(m, 0), 80000);
    metrics_free(m);
}
