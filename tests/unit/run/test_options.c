/* SPDX-License-Identifier: Apache-2.0
 * A configuration loads whole or not at all; secrets are private; the command line is strict. */
#include "common/run/options.h"

#include "scratch.h"

struct listen {
    char *address;
    uint16_t workers;
};
struct config {
    struct listen listen;
    char region[16];
    bool fast;
};

static const cyaml_schema_field_t listen_fields[] = {
    CYAML_FIELD_STRING_PTR("address", CYAML_FLAG_POINTER, struct listen, address, 1, 64),
    CYAML_FIELD_UINT("workers", CYAML_FLAG_OPTIONAL, struct listen, workers), CYAML_FIELD_END};
static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_MAPPING("listen", CYAML_FLAG_DEFAULT, struct config, listen, listen_fields),
    CYAML_FIELD_STRING("region", CYAML_FLAG_DEFAULT, struct config, region, 1),
    CYAML_FIELD_BOOL("fast", CYAML_FLAG_OPTIONAL, struct config, fast), CYAML_FIELD_END};
static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config, fields)};

static char *folder;
static char *error;

static void setup(void)
{
    folder = scratch_new();
    error = NULL;
}

static void teardown(void)
{
    free(error);
    scratch_free(folder);
}

TestSuite(options, .init = setup, .fini = teardown, .timeout = 30);

static void expect_error(const char *path, const char *wanted)
{
    char full[600];
    (void)snprintf(full, sizeof(full), "%s%s", path, wanted);
    cr_assert_not_null(error);
    cr_assert_str_eq(error, full);
    free(error);
    error = NULL;
}

Test(options, a_file_becomes_a_config)
{
    const char *path = scratch_file(
        folder, "edge.yaml", "listen: {address: \"[::1]:8443\", workers: 2}\nregion: eu\n", 0644);
    void *loaded = NULL;

    cr_assert_eq(options_load(path, &schema, &loaded, &error), ERR_OK);

    struct config *config = loaded;
    cr_assert_str_eq(config->listen.address, "[::1]:8443");
    cr_assert_eq(config->listen.workers, 2);
    cr_assert_str_eq(config->region, "eu");
    cr_assert_not(config->fast);
    cr_assert_null(error);
    options_free(&schema, loaded);
    options_free(&schema, NULL);
}

Test(options, a_wrong_file_is_named_with_line_and_column)
{
    const char *path = scratch_file(folder, "edge.yaml",
                                    "listen:\n  address: a\n  workers: 65536\nregion: eu\n", 0644);
    void *loaded = NULL;

    cr_assert_eq(options_load(path, &schema, &loaded, &error), ERR_CONFIG);

    cr_assert_null(loaded);
    expect_error(path, ":3:12: listen.workers: number out of range: '65536', at most 65535");
}

Test(options, files_that_cannot_be_read_are_named)
{
    void *loaded = NULL;

    const char *missing = scratch_path(folder, "missing.yaml");
    cr_assert_eq(options_load(missing, &schema, &loaded, &error), ERR_CONFIG);
    expect_error(missing, ": cannot be opened: No such file or directory");

    cr_assert_eq(options_load(folder, &schema, &loaded, &error), ERR_CONFIG);
    expect_error(folder, ": is not a regular file");

    const char *empty = scratch_file(folder, "empty.yaml", "", 0644);
    cr_assert_eq(options_load(empty, &schema, &loaded, &error), ERR_CONFIG);
    expect_error(empty, ":1:1: the file is empty");
}

Test(options, a_secret_loses_its_newline_and_nothing_else)
{
    struct buf secret = {0};

    cr_assert_eq(options_secret(scratch_file(folder, "s", " a b \n", 0600), 5, &secret, &error),
                 ERR_OK);
    cr_assert(span_equal(buf_span(&secret), span_of_text(" a b ")));

    buf_clear(&secret);
    cr_assert_eq(options_secret(scratch_file(folder, "t", "12345\r\n", 0400), 5, &secret, &error),
                 ERR_OK);
    cr_assert(span_equal(buf_span(&secret), span_of_text("12345")));
    buf_done(&secret);
}

Test(options, a_secret_that_others_may_read_is_refused)
{
    struct buf secret = {0};
    static const mode_t modes[] = {0640, 0604, 0620, 0602};
    for (size_t i = 0; i < countof(modes); i++) {
        const char *path = scratch_file(folder, "s", "secret\n", modes[i]);

        cr_assert_eq(options_secret(path, 100, &secret, &error), ERR_CONFIG);

        cr_assert_not_null(strstr(error, "group or others may access it"));
        cr_assert_null(strstr(error, "secret\n"));
        cr_assert_eq(secret.length, 0);
        free(error);
        error = NULL;
        cr_assert_eq(unlink(path), 0);
    }
}

Test(options, a_secret_that_is_missing_empty_or_long_is_refused)
{
    struct buf secret = {0};

    const char *missing = scratch_path(folder, "none");
    cr_assert_eq(options_secret(missing, 5, &secret, &error), ERR_CONFIG);
    expect_error(missing, ": cannot be opened: No such file or directory");
    const char *empty = scratch_file(folder, "empty", "\n", 0600);
    cr_assert_eq(options_secret(empty, 5, &secret, &error), ERR_CONFIG);
    expect_error(empty, ": is empty");
    const char *longer = scratch_file(folder, "long", "123456\n", 0600);
    cr_assert_eq(options_secret(longer, 5, &secret, &error), ERR_CONFIG);
    expect_error(longer, ": is longer than 5 bytes");
    cr_assert_eq(secret.length, 0);
}

static void expect_address(const char *text, const char *host, uint16_t port)
{
    char got_host[20] = "";
    uint16_t got_port = 0;
    cr_expect(options_address(text, got_host, sizeof(got_host), &got_port), "%s", text);
    cr_expect_str_eq(got_host, host);
    cr_expect_eq(got_port, port);
}

Test(options, addresses)
{
    static const char *const wrong[] = {
        "",
        "host",
        ":80",
        "host:",
        "host:x",
        "host:-1",
        "host:65536",
        "host:999999",
        "::1:80",
        "[]:80",
        "[::1]80",
        "[::1]",
        "[::1]:8443x",
        "[[::1]]:1",
        "a:80 ",
        "this-name-is-too-long:80",
    };
    char host[20] = "kept";
    uint16_t port = 7;

    expect_address("127.0.0.1:0", "127.0.0.1", 0);
    expect_address("[::1]:8443", "::1", 8443);
    expect_address("example.test:65535", "example.test", 65535);
    for (size_t i = 0; i < countof(wrong); i++)
        cr_expect_not(options_address(wrong[i], host, sizeof(host), &port), "%s", wrong[i]);
    cr_assert_str_eq(host, "kept");
    cr_assert_eq(port, 7);
}

/* Runs the parser on words with both outputs caught; returns what was printed (static). */
static bool parse(const char *const *words, int count, struct options_line *out, int *out_exit,
                  char said[1000])
{
    char *argv[8];
    for (int i = 0; i < count; i++)
        argv[i] = strdup(words[i]);
    FILE *kept_out = stdout, *kept_err = stderr;
    FILE *caught = fmemopen(said, 1000, "w");
    stdout = stderr = caught;
    bool go_on = options_command_line(count, argv, "HELP TEXT\n", out, out_exit);
    (void)fclose(caught);
    stdout = kept_out;
    stderr = kept_err;
    static char kept[64];
    if (go_on) {
        (void)snprintf(kept, sizeof(kept), "%s", out->config);
        out->config = kept;
    }
    for (int i = 0; i < count; i++)
        free(argv[i]);
    return go_on;
}
#define PARSE(...)                                                                                 \
    parse((const char *const[]){"/usr/bin/tributary-edge", __VA_ARGS__},                           \
          (int)countof(((const char *const[]){"", __VA_ARGS__})), &line, &exit_code, said)

Test(options, the_command_line_knows_its_words)
{
    struct options_line line = {0};
    int exit_code = -1;
    char said[1000] = "";

    cr_assert(PARSE("--config", "a.yaml"));
    cr_assert_str_eq(line.config, "a.yaml");
    cr_assert_not(line.check_only);
    cr_assert(PARSE("--check-config", "--config=b.yaml"));
    cr_assert_str_eq(line.config, "b.yaml");
    cr_assert(line.check_only);
    cr_assert_eq(exit_code, -1);

    cr_assert_not(PARSE("--help"));
    cr_assert_eq(exit_code, 0);
    cr_assert_str_eq(said, "HELP TEXT\n");
    cr_assert_not(PARSE("--version"));
    cr_assert_eq(exit_code, 0);
    cr_assert_str_eq(said, "tributary-edge " TRIBUTARY_VERSION "\n");
}

Test(options, a_wrong_command_line_is_usage)
{
    struct options_line line = {0};
    int exit_code = -1;
    char said[1000] = "";

    cr_assert_not(PARSE("--config"));
    cr_assert_eq(exit_code, EXIT_CODE_USAGE);
    cr_assert_str_eq(said, "tributary-edge: --config needs a file; try --help\n");
    cr_assert_not(PARSE("--confg", "x"));
    cr_assert_eq(exit_code, EXIT_CODE_USAGE);
    cr_assert_str_eq(said, "tributary-edge: unknown argument --confg; try --help\n");
    cr_assert_not(PARSE("--check-config"));
    cr_assert_eq(exit_code, EXIT_CODE_USAGE);
    cr_assert_str_eq(said, "tributary-edge: --config FILE is required; try --help\n");
    cr_assert_null(line.config);
}
