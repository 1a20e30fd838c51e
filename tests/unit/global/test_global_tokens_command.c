/* SPDX-License-Identifier: Apache-2.0
 * `tributary-global token`: what it creates is taken by the server, what it revokes is not. */
#include "common/run/log.h"
#include "common/run/options.h"
#include "tests/sim/sim_clock.h"
#include "tokens_given.h"

static char *folder;
static char book[256], key[256];
static struct sim_clock sim_time;

static void setup(void)
{
    log_init("test", LOG_ERROR);
    folder = scratch_new();
    sim_clock_init(&sim_time, 1700000000000ULL, 7);
    (void)snprintf(book, sizeof(book), "%s", scratch_path(folder, "tokens"));
    (void)snprintf(key, sizeof(key), "%s", scratch_path(folder, "key"));
}

static void teardown(void)
{
    scratch_free(folder);
}

TestSuite(global_tokens_command, .init = setup, .fini = teardown, .timeout = 30);

/* Runs the command line of words parted by a space. *out_text is what it printed; free it. */
static int run(const char *line, char **out_text)
{
    char words[1024];
    char name[] = "token";
    char *argv[16] = {name};
    int argc = 1;
    (void)snprintf(words, sizeof(words), "%s", line);
    for (char *rest = words; *rest != '\0' && argc < 15;) {
        size_t length = strcspn(rest, " ");
        argv[argc++] = rest;
        rest += length;
        if (*rest == ' ')
            *rest++ = '\0';
    }
    char path[] = "/tmp/tributary-stdout.XXXXXX";
    (void)fflush(stdout);
    int kept = dup(STDOUT_FILENO);
    int file = mkstemp(path);
    cr_assert(kept >= 0 && file >= 0 && unlink(path) == 0);
    cr_assert_eq(dup2(file, STDOUT_FILENO), STDOUT_FILENO);
    struct scratch_stderr complaint = scratch_stderr_begin();
    int code = global_tokens_command(argc, argv, &sim_time.port);
    free(scratch_stderr_end(complaint));
    (void)fflush(stdout);
    cr_assert_eq(dup2(kept, STDOUT_FILENO), STDOUT_FILENO);
    off_t length = lseek(file, 0, SEEK_END);
    *out_text = calloc(1, (size_t)length + 1);
    cr_assert_eq(pread(file, *out_text, (size_t)length, 0), length);
    (void)close(file);
    (void)close(kept);
    return code;
}

/* `format` takes up to two texts. */
static int quiet(const char *format, const char *first, const char *second)
{
    char line[1024];
    char *text = NULL;
    (void)snprintf(line, sizeof(line), format, first, second);
    int code = run(line, &text);
    free(text);
    return code;
}

/* Creates a token; its text without the newline. */
static char *create(const char *rest)
{
    char line[1024];
    char *text = NULL;
    (void)snprintf(line, sizeof(line), "create --tokens %s --key %s%s", book, key, rest);
    cr_assert_eq(run(line, &text), 0);
    cr_assert_eq(strlen(text), TOKEN_TEXT_CHARS + 1);
    text[TOKEN_TEXT_CHARS] = '\0';
    return text;
}

static void expect_private(const char *path)
{
    struct stat found;
    cr_assert_eq(stat(path, &found), 0);
    cr_assert_eq(found.st_mode & 07777, 0600, "%s: %o", path, found.st_mode);
}

/* As a server that starts now sees it: NULL, or pinned. */
static bool opens(const char *text, const char *ad)
{
    char value[128];
    char *error = NULL;
    struct global_tokens *tokens = NULL;
    struct global_tokens_pin *pin = NULL;
    cr_assert_eq(global_tokens_open(book, key, &sim_time.port, &tokens, &error), ERR_OK, "%s",
                 error);
    (void)snprintf(value, sizeof(value), "Bearer %s", text);
    struct token *token = global_tokens_find(tokens, value, &pin);
    bool may = token != NULL && token_may_read(token, span_of_text(ad));
    global_tokens_unpin(tokens, &pin);
    global_tokens_free(tokens);
    return may;
}

Test(global_tokens_command, create_makes_private_files_and_a_token_that_opens)
{
    char *text = create(" --ads acme-*,one --days 1 --rate 5");
    expect_private(book);
    expect_private(key);
    cr_assert(opens(text, "acme-7"));
    cr_assert(opens(text, "one"));
    cr_assert_not(opens(text, "other"));
    sim_clock_advance(&sim_time, 86400 * 1000 - 1);
    cr_assert(opens(text, "one"));
    sim_clock_advance(&sim_time, 1);
    cr_assert_not(opens(text, "one"), "a day has passed");
    free(text);
}

Test(global_tokens_command, list_shows_each_token_and_no_secret)
{
    char line[512];
    char *shown = NULL;
    char *first = create(" --ads acme-*,one --days 0 --rate 5");
    char *second = create(" --scope admin");
    (void)snprintf(line, sizeof(line), "list --tokens %s", book);
    cr_assert_eq(run(line, &shown), 0);
    cr_assert_not_null(strstr(shown, "never"));
    cr_assert_not_null(strstr(shown, "acme-*,one\n"));
    cr_assert_not_null(strstr(shown, "2024-11-13T22:13:20Z  admin"), "%s", shown);
    cr_assert_null(strstr(shown, first + 5 + TOKEN_ID_CHARS));
    cr_assert_null(strstr(shown, second + 5 + TOKEN_ID_CHARS));
    first[4 + TOKEN_ID_CHARS] = '\0';
    cr_assert_not_null(strstr(shown, first + 4));
    free(shown);
    free(first);
    free(second);
}

Test(global_tokens_command, revoke_takes_one_and_leaves_the_others)
{
    char *first = create(" --ads *");
    char *second = create(" --ads *");
    cr_assert_eq(quiet("revoke --tokens %s %.16s", book, first + 4), 0);
    expect_private(book);
    cr_assert_not(opens(first, "ad"));
    cr_assert(opens(second, "ad"));
    cr_assert_eq(quiet("revoke --tokens %s %.16s", book, first + 4), 1, "no such token any more");
    cr_assert_eq(quiet("revoke --tokens %s %.16s", book, second + 4), 0);
    cr_assert_not(opens(second, "ad"), "the last one too");
    free(first);
    free(second);
}

Test(global_tokens_command, the_last_token_is_revoked_even_among_empty_lines)
{
    char *text = create(" --ads *");
    FILE *file = fopen(book, "ae");
    cr_assert_gt(fputs("\n", file), 0);
    cr_assert_eq(fclose(file), 0);
    cr_assert(opens(text, "ad"));
    cr_assert_eq(quiet("revoke --tokens %s %.16s", book, text + 4), 0);
    cr_assert_not(opens(text, "ad"));
    free(create(" --ads x"));
    free(text);
}

Test(global_tokens_command, a_bad_line_is_refused_and_changes_nothing)
{
    static const char *const bad[] = {
        "",
        "create",
        "delete --tokens %s",
        "create --tokens %s",
        "create --tokens %s --key %s --ads a,*",
        "create --tokens %s --key %s --scope everything",
        "create --tokens %s --key %s --days 36501",
        "create --tokens %s --key %s --rate -1",
        "create --tokens %s --key %s stray",
        "list --tokens %s stray",
        "revoke --tokens %s",
    };
    for (unsigned i = 0; i < countof(bad); i++) {
        struct stat found;
        cr_assert_eq(quiet(bad[i], book, key), EXIT_CODE_USAGE, "%s", bad[i]);
        cr_assert_neq(stat(book, &found), 0, "%s", bad[i]);
    }
    cr_assert_eq(quiet("list --tokens %s", book, ""), EXIT_CODE_CONFIG);
    cr_assert_eq(quiet("revoke --tokens %s 0123456789abcdef", book, ""), EXIT_CODE_CONFIG);
}

Test(global_tokens_command, a_book_that_cannot_be_read_is_left_as_it_is)
{
    char text[64] = {0};
    (void)scratch_file(folder, "tokens", "v1 by hand, badly\n", 0600);
    cr_assert_eq(quiet("create --tokens %s --key %s", book, key), EXIT_CODE_CONFIG);
    int file = open(book, O_RDONLY);
    cr_assert_gt(read(file, text, sizeof(text) - 1), 0);
    (void)close(file);
    cr_assert_str_eq(text, "v1 by hand, badly\n");
}
