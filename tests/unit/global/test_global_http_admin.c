/* SPDX-License-Identifier: Apache-2.0
 * What the operator sees: every number once, documented, and ready only when each region was heard.
 */
#include "common/run/clock_os.h"
#include "global/global_http_admin.h"
#include "global/global_metrics.h"

#include <criterion/criterion.h>

static struct metrics *metrics;
static struct h2_counters counters;
static struct global_http_admin *admin;
static struct merger_view view;
static struct buf out;

static void setup(void)
{
    metrics = metrics_new(global_metric_rows, GLOBAL_METRIC_COUNT);
    struct global_http_admin_options options = {
        .listen = "127.0.0.1:0", .metrics = metrics, .counters = &counters, .clock = clock_os()};
    cr_assert_eq(global_http_admin_new(&options, &admin), ERR_OK);
    view.region_count = 2;
    memcpy(view.regions[0].name, "us", 3);
    memcpy(view.regions[1].name, "eu", 3);
    global_http_admin_show(admin, &view);
}

static void teardown(void)
{
    global_http_admin_stop(admin);
    metrics_free(metrics);
    buf_done(&out);
}

TestSuite(global_http_admin, .init = setup, .fini = teardown, .timeout = 30);

static const char *text(void)
{
    buf_put_u8(&out, 0);
    out.length--;
    return (const char *)out.data;
}

Test(global_http_admin, the_page_shows_what_the_merger_did)
{
    view.messages = 12;
    view.damaged = 3;
    view.minutes_held = 4;
    view.regions[1].counted = 77;
    view.regions[1].watermark_ms = 1700000000999;
    view.regions[1].unexplained = 2;
    counters.plain_http_total = 5;
    global_http_admin_show(admin, &view);

    global_http_admin_metrics(admin, &out);

    static const char *const lines[] = {
        "\ntributary_global_partials_total 12\n",
        "\ntributary_global_damaged_total 3\n",
        "\ntributary_global_minute_windows_held 4\n",
        "\ntributary_global_region_counted{region=\"eu\"} 77\n",
        "\ntributary_global_region_counted{region=\"us\"} 0\n",
        "\ntributary_global_region_unexplained{region=\"eu\"} 2\n",
        "\ntributary_global_region_unexplained{region=\"us\"} 0\n",
        "\ntributary_global_region_watermark_seconds{region=\"eu\"} 1700000000\n",
        "\ntributary_global_watermark_lag_seconds{region=\"eu\"} ",
        "\ntributary_global_h2_plain_http_total 5\n",
        "\n# TYPE tributary_global_partials_total counter\n"};
    for (unsigned i = 0; i < countof(lines); i++)
        cr_assert_not_null(strstr(text(), lines[i]), "%s in %s", lines[i], text());
    cr_assert_null(strstr(text(), "watermark_lag_seconds{region=\"us\"}"));
}

Test(global_http_admin, every_name_is_declared_once)
{
    global_http_admin_metrics(admin, &out);
    char name[160];
    for (const char *at = text(); (at = strstr(at, "# TYPE ")) != NULL; at += 7) {
        size_t length = strcspn(at + 7, " ");
        cr_assert_lt(length + 9, sizeof(name));
        memcpy(name, at, length + 8);
        name[length + 8] = '\0';
        cr_assert_null(strstr(at + 7, name), "%s", name);
    }
    for (unsigned i = 0; i < GLOBAL_METRIC_COUNT; i++)
        cr_assert_gt(strlen(global_metric_rows[i].help), 5);
}

Test(global_http_admin, ready_means_that_each_region_was_heard)
{
    cr_assert_not(global_http_admin_ready(admin, &out));
    cr_assert_str_eq(text(), "region us was never heard\nregion eu was never heard\n");

    view.regions[0].heard = view.regions[0].up = view.regions[1].heard = true;
    global_http_admin_show(admin, &view);
    buf_clear(&out);
    cr_assert(global_http_admin_ready(admin, &out));
    cr_assert_str_eq(text(), "region eu is not connected now\n");

    view.regions[1].up = true;
    global_http_admin_show(admin, &view);
    buf_clear(&out);
    cr_assert(global_http_admin_ready(admin, &out));
    cr_assert_str_eq(text(), "ok\n");
}

Test(global_http_admin, the_port_opens_and_closes)
{
    cr_assert_eq(global_http_admin_start(admin), ERR_OK);
    cr_assert_neq(global_http_admin_port(admin), 0);
}
