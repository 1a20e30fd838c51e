/* SPDX-License-Identifier: Apache-2.0
 * A configuration is whole or refused, with the place and the reason. */
#include "global/global_options.h"

#include "tests/unit/run/scratch.h"

static char *folder;
static char *error;
static struct global_options *options;

static void setup(void)
{
    folder = scratch_new();
}

static void teardown(void)
{
    global_options_free(options);
    free(error);
    scratch_free(folder);
}

TestSuite(global_options, .init = setup, .fini = teardown, .timeout = 30);

/* A configuration with one line replaced; NULL: as it is. */
static enum err load(const char *line, const char *instead)
{
    static const char *const lines[] = {
        "id: globe-1\n",
        "listen: 127.0.0.1:0\n",
        "admin_listen: '[::1]:0'\n",
        "workers: 3\n",
        "log_level: info\n",
        "tls:\n  certificate_file: a.crt\n  key_file: a.key\n",
        "store:\n  path: store\n  bytes: 67108864\n",
        "regions:\n",
        ("  - name: us\n    nats: {url: 'nats://127.0.0.1:4222', user: global, password_file: @, "
         "domain: us}\n"),
        "  - name: eu\n    nats: {url: 'nats://127.0.0.1:4223'}\n"};
    const char *secret = scratch_file(folder, "us.password", "secret\n", 0600);
    char text[4096] = "";
    for (unsigned i = 0; i < countof(lines); i++) {
        bool this = line != NULL && strncmp(lines[i], line, strlen(line)) == 0;
        const char *put = this ? instead : lines[i];
        const char *at = strchr(put, '@');
        size_t used = strlen(text);
        if (at == NULL)
            (void)snprintf(text + used, sizeof(text) - used, "%s", put);
        else
            (void)snprintf(text + used, sizeof(text) - used, "%.*s%s%s", (int)(at - put), put,
                           secret, at + 1);
    }
    global_options_free(options);
    options = NULL;
    free(error);
    error = NULL;
    return global_options_load(scratch_file(folder, "g.yaml", text, 0600), &options, &error);
}

static void expect_refused(const char *line, const char *instead, const char *words)
{
    cr_assert_eq(load(line, instead), ERR_CONFIG, "%s", instead);
    cr_assert_not_null(strstr(error, words), "%s", error);
    cr_assert_not_null(strstr(error, "g.yaml"), "%s", error);
}

Test(global_options, a_whole_configuration_is_read)
{
    cr_assert_eq(load(NULL, NULL), ERR_OK, "%s", error);
    cr_assert_str_eq(options->id, "globe-1");
    cr_assert_eq(options->workers, 3);
    cr_assert_eq(options->store.bytes, 67108864);
    cr_assert_str_eq(options->tls.key_file, "a.key");
    cr_assert_null(options->tls.client_ca_file);
    cr_assert_null(options->ports_file);
    cr_assert_eq(options->regions_count, 2);
    cr_assert_str_eq(options->regions[1].name, "eu");
    cr_assert_str_eq(options->regions[0].nats.domain, "us");
    cr_assert_null(options->regions[1].nats.user);
    cr_assert_eq(options->regions[1].nats.stream_replicas, 1);
}

Test(global_options, what_is_left_out_has_a_default)
{
    cr_assert_eq(load("workers", ""), ERR_OK, "%s", error);
    cr_assert_eq(options->workers, 2);
    cr_assert_eq(load("log_level", ""), ERR_OK, "%s", error);
    cr_assert_null(options->log_level);
    cr_assert_eq(options->retention.minutes_days, 35);
    cr_assert_eq(options->retention.hours_days, 730);
    cr_assert_eq(load("workers", "retention: {minutes_days: 900}\n"), ERR_OK, "%s", error);
    cr_assert_eq(options->retention.minutes_days, 900);
    cr_assert_eq(options->retention.hours_days, 900);
}

Test(global_options, every_mistake_is_named)
{
    expect_refused("id", "id: Globe\n", "id: must be");
    expect_refused("id", "", "id");
    expect_refused("workers", "workers: 257\n", "workers: must be");
    expect_refused("workers", "workerz: 2\n", "workerz");
    expect_refused("listen", "listen: localhost\n", "listen: must be host:port");
    expect_refused("admin_listen", "admin_listen: 1.2.3.4:99999\n", "admin_listen: must be");
    expect_refused("log_level", "log_level: loud\n", "log_level: must be");
    expect_refused("workers", "retention: {minutes_days: 7}\n", "minutes_days: must be 8 to");
    expect_refused("workers", "retention: {minutes_days: 40000}\n", "minutes_days: must be");
    expect_refused("workers", "retention: {hours_days: 34}\n", "hours_days: must be minutes_days");
    expect_refused("workers", "retention: {days: 34}\n", "days");
    expect_refused("store", "store: {path: store, bytes: 5}\n", "store.bytes: must be at least");
    expect_refused("  - name: eu", "  - name: us\n    nats: {url: x}\n", "listed twice");
    expect_refused("  - name: eu", "  - name: E U\n    nats: {url: x}\n", "regions[1].name");
    expect_refused("  - name: eu", "  - name: eu\n    nats: {url: x, user: y}\n", "go together");
    expect_refused("  - name: eu", "  - name: eu\n    nats: {url: x, stream_replicas: 6}\n",
                   "stream_replicas");
}

Test(global_options, a_secret_that_others_may_read_is_refused)
{
    (void)scratch_file(folder, "open.password", "secret\n", 0644);
    char line[512];
    (void)snprintf(line, sizeof(line),
                   "  - name: eu\n    nats: {url: x, user: y, password_file: %s/open.password}\n",
                   folder);
    cr_assert_eq(load("  - name: eu", line), ERR_CONFIG);
    cr_assert_not_null(strstr(error, "chmod 600"), "%s", error);
}

Test(global_options, help_shows_every_key)
{
    static const char *const keys[] = {"id:",
                                       "listen:",
                                       "admin_listen:",
                                       "workers:",
                                       "log_level:",
                                       "ports_file:",
                                       "certificate_file:",
                                       "key_file:",
                                       "client_ca_file:",
                                       "path:",
                                       "bytes:",
                                       "name:",
                                       "url:",
                                       "user:",
                                       "password_file:",
                                       "domain:",
                                       "auth:",
                                       "retention:",
                                       "minutes_days:",
                                       "hours_days:",
                                       "tokens_file:",
                                       "read_log:"};
    for (unsigned i = 0; i < countof(keys); i++)
        cr_assert_not_null(strstr(global_options_help, keys[i]), "%s", keys[i]);
}

Test(global_options, a_file_of_tokens_that_cannot_be_read_is_found_before_the_start)
{
    char auth[1024];
    char tokens[256];
    char key[256];
    (void)snprintf(tokens, sizeof(tokens), "%s", scratch_file(folder, "tokens", "", 0600));
    (void)snprintf(key, sizeof(key), "%s",
                   scratch_file(folder, "key", "a key of the test, long enough for all\n", 0600));
    (void)snprintf(auth, sizeof(auth), "workers: 3\nauth: {tokens_file: %s, key_file: %s}\n",
                   tokens, key);
    cr_assert_eq(load("workers", auth), ERR_OK, "%s", error);
    cr_assert_str_eq(options->auth->tokens_file, tokens);
    cr_assert_null(options->auth->read_log);
    (void)scratch_file(folder, "tokens", "v1 broken\n", 0600);
    cr_assert_eq(load("workers", auth), ERR_CONFIG);
    cr_assert_not_null(strstr(error, "tokens:1: "), "%s", error);
    (void)scratch_file(folder, "tokens", "", 0600);
    (void)scratch_file(folder, "key", "short\n", 0600);
    cr_assert_eq(load("workers", auth), ERR_CONFIG);
    cr_assert_not_null(strstr(error, "at least 32"), "%s", error);
}
