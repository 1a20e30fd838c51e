/* SPDX-License-Identifier: Apache-2.0
 * Claims about edge_options: what a configuration may say, and how a mistake in it is told. */
#include "edge/edge_options.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/edge_options.XXXXXX";

static const char *given_file(const char *name, const char *text, size_t length, mode_t mode)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, 128, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL && fwrite(text, 1, length, file) == length && fclose(file) == 0);
    cr_assert_eq(chmod(path, mode), 0);
    return path;
}

static void set_up(void)
{
    cr_assert_not_null(mkdtemp(folder));
    given_file("key", "000102030405060708090a0b0c0d0e0f\n", 33, 0600);
    given_file("password", "pass\n", 5, 0600);
    cr_assert_eq(chdir(folder), 0);
}

static void tear_down(void)
{
    cr_assert_eq(chdir("/"), 0);
    const char *names[] = {"key", "password", "edge.yaml", "open"};
    for (unsigned i = 0; i < countof(names); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

TestSuite(edge_options, .init = set_up, .fini = tear_down);

#define HEAD                                                                                       \
    "id: us-e1\n"                                                                                  \
    "region: us\n"                                                                                 \
    "listen: 127.0.0.1:0\n"                                                                        \
    "admin_listen: 127.0.0.1:0\n"                                                                  \
    "tls: {certificate_file: c, key_file: k}\n"                                                    \
    "spool: {path: s, bytes: 1073741824}\n"                                                        \
    "dedupe_key_file: key\n"
#define US   "regions:\n  - {name: us, nats_url: 'nats://127.0.0.1:1', readers: [us-r1, us-r2]}\n"
#define GOOD HEAD US

static enum err load(const char *text, struct edge_options **out, char **error)
{
    given_file("edge.yaml", text, strlen(text), 0600);
    return edge_options_load("edge.yaml", out, error);
}

static void expect_wrong(const char *text, const char *words)
{
    struct edge_options *o = NULL;
    char *error = NULL;
    cr_assert_eq(load(text, &o, &error), ERR_CONFIG, "passed: %s", words);
    cr_expect_str_eq(error, words);
    free(error);
}

Test(edge_options, what_is_not_said_has_a_default)
{
    struct edge_options *o;
    char *error = NULL;

    cr_assert_eq(load(GOOD, &o, &error), ERR_OK, "%s", error);

    cr_expect_eq(o->partitions, 4);
    cr_expect_eq(o->limits.peer_connections, 1024);
    cr_expect_eq(o->limits.peer_connects_per_s, 200);
    cr_expect_eq(o->limits.peer_connects_burst, 2000);
    cr_expect_eq(o->limits.peer_requests_per_s, 0);
    cr_expect_eq(o->horizon_hours, 24);
    cr_expect_eq(*o->replication_budget_ms, 30);
    cr_expect_eq(o->heartbeat_ms, 30000);
    cr_expect_eq(o->publish_timeout_ms, 5000);
    cr_expect_eq(o->spool.degraded_percent, 90);
    cr_expect_eq(o->spool.reader_silent_s, 300);
    cr_expect_eq(o->regions[0].archivers_count, 0);
    cr_expect_eq(o->limits.body_bytes, LIMIT_BODY_BYTES);
    cr_expect_eq(o->limits.batch_clicks, LIMIT_BATCH_CLICKS);
    cr_expect_eq(o->limits.connections, 4096);
    cr_expect_eq(o->workers, 0);
    cr_expect_eq(o->regions[0].stream_replicas, 1);
    cr_expect_eq(o->regions[0].readers_count, 2);
    cr_expect_str_eq(o->regions[0].readers[1], "us-r2");
    cr_expect_eq(o->dedupe_key[15], 15);
    cr_expect_eq(o->passwords[0].length, 0);
    edge_options_free(o);
}

Test(edge_options, every_key_is_taken)
{
    struct edge_options *o;
    char *error = NULL;

    cr_assert_eq(load(HEAD
                      "ports_file: p\nlog_level: debug\nworkers: 2\npartitions: 8\n"
                      "horizon_hours: 48\nreplication_budget_ms: 0\nheartbeat_ms: 1000\n"
                      "publish_timeout_ms: 2000\n"
                      "limits: {body_bytes: 65536, batch_clicks: 10, connections: 7}\n"
                      "regions:\n"
                      "  - {name: eu, nats_url: u, readers: [eu-r1]}\n"
                      "  - {name: us, nats_url: u, user: me, password_file: password, domain: us,\n"
                      "     stream_replicas: 3, readers: [us-r1], archivers: [us-a1, us-a2]}\n",
                      &o, &error),
                 ERR_OK, "%s", error);

    cr_expect_eq(*o->replication_budget_ms, 0);
    cr_expect_eq(o->own_region, 1);
    cr_expect_eq(o->limits.connections, 7);
    cr_expect_eq(o->regions[1].stream_replicas, 3);
    cr_expect_str_eq((const char *)o->passwords[1].data, "pass");
    struct edge_region us = {0};
    edge_options_region_fill(o, 1, &us);
    cr_expect_str_eq(us.name, "us");
    cr_expect_eq(us.reader_count, 3);
    cr_expect_str_eq(us.readers[0], "us-r1");
    cr_expect_str_eq(us.readers[2], "us-a2");
    cr_expect_eq(us.archivers, 1u << 1 | 1u << 2);
    edge_options_free(o);
}

Test(edge_options, mistakes_are_named_with_line_and_column)
{
    expect_wrong(HEAD "bogus: 1\n" US, "edge.yaml:8:1: unknown key 'bogus'");
    static const char *const origins[] = {"shop.example",          "https://",
                                          "https://shop.example/", "https://Shop.example",
                                          "https://*.example",     "://x"};
    for (size_t i = 0; i < countof(origins); i++) {
        char text[1024];
        snprintf(text, sizeof(text), HEAD "cors: {origins: ['https://a.example', '%s']}\n" US,
                 origins[i]);
        expect_wrong(text, "edge.yaml:8:39: cors.origins[1]: must be like https://shop.example or "
                           "https://shop.example:8443, in lower case; or a lone *");
    }
    expect_wrong("id: US\n" GOOD + 0, "edge.yaml:2:1: key 'id' is already given in line 1");
    expect_wrong(HEAD "partitions: 2000\n" US,
                 "edge.yaml:8:13: partitions: must be from 1 to 1024");
    expect_wrong(HEAD "log_level: loud\n" US,
                 "edge.yaml:8:12: log_level: must be debug, info, warn or error");
    expect_wrong(HEAD "regions:\n  - {name: eu, nats_url: u, readers: [r]}\n",
                 "edge.yaml:2:9: region: is not the name of one of the regions below");
    expect_wrong(
        HEAD "regions:\n  - {name: us, nats_url: u, readers: [r, Bad]}\n",
        "edge.yaml:9:42: regions[0].readers[1]: must be a lower-case letter, then at most 30 "
        "letters, digits or hyphens");
    expect_wrong(HEAD "regions:\n  - {name: us, nats_url: u, readers: [r, r]}\n",
                 "edge.yaml:9:42: regions[0].readers[1]: is listed twice");
    expect_wrong(HEAD "regions:\n  - {name: us, nats_url: u, readers: [r], archivers: [r]}\n",
                 "edge.yaml:9:55: regions[0].archivers[0]: is listed twice");
    expect_wrong(HEAD "regions:\n  - {name: us, nats_url: u, readers: [a, b, c, d], "
                      "archivers: [e, f, g, h, i]}\n",
                 "edge.yaml:9:76: regions[0].archivers[4]: is one too many: 8 readers and "
                 "archivers");
    expect_wrong(HEAD "regions:\n  - {name: us, nats_url: u, readers: []}\n",
                 "edge.yaml:9:38: regions[0].readers: expected 1 to 8 entries, found 0");
    expect_wrong(HEAD
                 "regions:\n  - {name: us, nats_url: u, password_file: password, readers: [r]}\n",
                 "edge.yaml:9:44: regions[0].password_file: needs a user beside it");
    expect_wrong(HEAD "regions:\n  - {name: us, nats_url: u, stream_replicas: 6, readers: [r]}\n",
                 "edge.yaml:9:46: regions[0].stream_replicas: must be from 1 to 5");
}

Test(edge_options, secrets_must_be_there_whole_and_private)
{
    expect_wrong(
        HEAD "regions:\n  - {name: us, nats_url: u, user: me, password_file: none, readers: [r]}\n",
        "edge.yaml:9:54: regions[0].password_file: none: cannot be opened: No such file or "
        "directory");
    given_file("key", "0001\n", 5, 0600);
    expect_wrong(GOOD,
                 "edge.yaml:7:18: dedupe_key_file: key: must hold 16 raw bytes or 32 hex digits");
    given_file("key", "000102030405060708090a0b0c0d0e0f\n", 33, 0644);
    struct edge_options *o;
    char *error = NULL;
    cr_expect_eq(load(GOOD, &o, &error), ERR_CONFIG);
    cr_expect(strstr(error, "group or others") != NULL, "%s", error);
    free(error);
}

Test(edge_options, a_raw_key_may_end_with_a_newline)
{
    struct edge_options *o;
    char *error = NULL;
    const char raw[16] = "abcdefghijklmn\r\n";
    given_file("key", raw, 16, 0600);

    cr_assert_eq(load(GOOD, &o, &error), ERR_OK, "%s", error);

    cr_expect_arr_eq(o->dedupe_key, raw, 16);
    edge_options_free(o);
}
