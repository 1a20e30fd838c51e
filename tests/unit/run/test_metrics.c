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

static bool says(struct buf *out, const char *line)
{
    buf_put_u8(out, 0);
    out->length--;
    return strstr((const char *)out->data, line) != NULL;
}

Test(metrics, a_histogram_counts_up_to_each_bound_and_sums_in_seconds)
{
    struct metrics_histogram h = {0};
    struct buf out = {0};
    const char *const labels[] = {"region", "us", NULL};

    metrics_histogram_add(&h, 0);
    metrics_histogram_add(&h, 100); /* a bound belongs to its bucket */
    metrics_histogram_add(&h, 101);
    metrics_histogram_add(&h, 1500000);
    metrics_histogram_add(&h, 10000001); /* slower than all */
    metrics_head(&out, "took_seconds", "histogram", "how long");
    metrics_histogram_put(&out, "took_seconds", labels, &h);

    cr_expect(says(&out, "# HELP took_seconds how long\n# TYPE took_seconds histogram\n"));
    cr_expect(says(&out, "took_seconds_bucket{region=\"us\",le=\"0.0001\"} 2\n"));
    cr_expect(says(&out, "took_seconds_bucket{region=\"us\",le=\"0.00025\"} 3\n"));
    cr_expect(says(&out, "took_seconds_bucket{region=\"us\",le=\"1\"} 3\n"));
    cr_expect(says(&out, "took_seconds_bucket{region=\"us\",le=\"2.5\"} 4\n"));
    cr_expect(says(&out, "took_seconds_bucket{region=\"us\",le=\"10\"} 4\n"));
    cr_expect(says(&out, "took_seconds_bucket{region=\"us\",le=\"+Inf\"} 5\n"));
    cr_expect(says(&out, "took_seconds_sum{region=\"us\"} 11.500202\n"));
    cr_expect(says(&out, "took_seconds_count{region=\"us\"} 5\n"));
    buf_clear(&out);
    metrics_histogram_put(&out, "bare_seconds", NULL, &h);
    cr_expect(says(&out, "bare_seconds_bucket{le=\"0.0001\"} 2\n"));
    buf_clear(&out);
    metrics_line_seconds(&out, "age_seconds", NULL, 0);
    expect_text(&out, "age_seconds 0\n");
}
