/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/regional_options.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char good[] = "replica: us-r1\n"
                           "region: us\n"
                           "admin_listen: 127.0.0.1:0\n"
                           "store:\n"
                           "  path: /tmp/never-made\n"
                           "  bytes: 1073741824\n"
                           "nats:\n"
                           "  url: nats://127.0.0.1:4222\n";

static void write_file(const char *text, char path[64])
{
    (void)snprintf(path, 64, "/tmp/region-options-XXXXXX");
    int file = mkstemp(path);
    cr_assert_geq(file, 0);
    cr_assert_eq(write(file, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(file);
}

static void expect_refused(const char *text, const char *words)
{
    char path[64], *error = NULL;
    struct regional_options *o = NULL;
    write_file(text, path);
    cr_assert_eq(regional_options_load(path, &o, &error), ERR_CONFIG, "%s", text);
    (void)unlink(path);
    cr_assert_not_null(strstr(error, words), "\"%s\" does not say \"%s\"", error, words);
    free(error);
}

static void expect_refused_with(const char *more, const char *words)
{
    char text[1024];
    (void)snprintf(text, sizeof(text), "%s%s", good, more);
    expect_refused(text, words);
}

Test(regional_options, defaults_are_filled_in)
{
    char path[64], *error = NULL;
    struct regional_options *o = NULL;
    write_file(good, path);

    cr_assert_eq(regional_options_load(path, &o, &error), ERR_OK, "%s", error);

    cr_assert_str_eq(o->replica, "us-r1");
    cr_assert_eq(o->partitions_total, 4);
    cr_assert_eq(o->allowed_lateness_ms, 10000);
    cr_assert_eq(o->horizon_hours, 24);
    cr_assert_eq(o->partial_interval_ms, 5000);
    cr_assert_eq(o->behind_ms, 30000);
    cr_assert_eq(regional_options_settle_ms(o), 60000, "closed minutes leave memory");
    cr_assert_eq(o->nats.stream_replicas, 1);
    cr_assert_eq(o->nats.stream_bytes, 0);
    regional_options_free(o);
    (void)unlink(path);
}

Test(regional_options, what_is_wrong_is_named)
{
    expect_refused("region: us\n", "replica");
    expect_refused_with("partitions: 0-4\n", "partitions");
    expect_refused_with("partitions_total: 2000\n", "partitions_total");
    expect_refused_with("horizon_hours: 169\n", "horizon_hours");
    expect_refused_with("partial_interval_ms: 999\n", "partial_interval_ms");
    expect_refused_with("allowed_lateness_ms: 3600001\n", "allowed_lateness_ms");
    expect_refused_with("log_level: loud\n", "log_level");
    expect_refused_with("colour: red\n", "colour");
    expect_refused_with("  user: me\n", "go together");
    expect_refused_with("  stream_replicas: 6\n", "stream_replicas");
    expect_refused_with("  stream_bytes: 1000\n", "stream_bytes");
    expect_refused_with("behind_ms: 999\n", "behind_ms");
    expect_refused_with("behind_ms: 3600001\n", "behind_ms");
    expect_refused_with("settle_ms: 3600001\n", "settle_ms");
    expect_refused_with("closed_minutes: disk\n", "closed_minutes");
    expect_refused_with("memory_mib: 63\n", "memory_mib");
    expect_refused_with("partitions_total: 1024\nmemory_mib: 4095\n", "at least 4096");
    expect_refused_with("memory_mib: 4000000000\n", "this machine has");
}

Test(regional_options, a_password_that_others_may_read_is_refused)
{
    char secret[64], more[160];
    write_file("hush\n", secret);
    cr_assert_eq(chmod(secret, 0644), 0);
    (void)snprintf(more, sizeof(more), "  user: me\n  password_file: %s\n", secret);

    expect_refused_with(more, "chmod 600");

    (void)unlink(secret);
}

Test(regional_options, names_must_fit_subjects)
{
    char text[1024];
    (void)snprintf(text, sizeof(text), "%s", good);
    memcpy(strstr(text, "us-r1"), "US-r1", 5);
    expect_refused(text, "replica");
}

Test(regional_options, partitions_are_numbers_and_ranges)
{
    uint16_t out[LIMIT_PARTITIONS];

    cr_assert_eq(regional_options_partitions(NULL, 4, out), 4);
    cr_assert_eq(regional_options_partitions("0-3", 4, out), 4);
    cr_assert_eq(regional_options_partitions("2", 4, out), 1);
    cr_assert_eq(out[0], 2);
    cr_assert_eq(regional_options_partitions("0,2-3", 4, out), 3);
    cr_assert_eq(out[2], 3);
    const char *bad[] = {"", "4", "3-1", "1,1", "2,0", "0-", "-1", "0,", "a", "0 1", "99999999999"};
    for (unsigned i = 0; i < countof(bad); i++)
        cr_assert_eq(regional_options_partitions(bad[i], 4, out), 0, "\"%s\"", bad[i]);
}
