/* SPDX-License-Identifier: Apache-2.0
 * The file of tokens: a bad one stops the start, and leaves a running server as it was. */
#include "common/run/log.h"
#include "common/run/options.h"
#include "tests/sim/sim_clock.h"
#include "tokens_given.h"

static char *folder;
static struct tokens_given book;
static struct sim_clock sim_time;
static struct global_tokens *tokens;

static void setup(void)
{
    log_init("test", LOG_ERROR);
    folder = scratch_new();
    sim_clock_init(&sim_time, 1700000000000ULL, 7);
    tokens_given_init(&book, folder);
}

static void teardown(void)
{
    global_tokens_free(tokens);
    buf_done(&book.lines);
    scratch_free(folder);
}

TestSuite(global_tokens, .init = setup, .fini = teardown, .timeout = 30);

static void expect_refused(const char *words)
{
    char *error = NULL;
    cr_assert_eq(global_tokens_open(book.path, book.key_path, &sim_time.port, &tokens, &error),
                 ERR_CONFIG);
    cr_assert_null(tokens);
    cr_assert_not_null(strstr(error, words), "%s", error);
    free(error);
}

static void open_book(void)
{
    char *error = NULL;
    cr_assert_eq(global_tokens_open(book.path, book.key_path, &sim_time.port, &tokens, &error),
                 ERR_OK, "%s", error);
}

static bool holds(const struct tokens_given_token *token)
{
    char value[128];
    struct global_tokens_pin *pin = NULL;
    (void)snprintf(value, sizeof(value), "bearer %s", token->text);
    bool found = global_tokens_find(tokens, value, &pin) != NULL;
    cr_assert_eq(found, pin != NULL);
    global_tokens_unpin(tokens, &pin);
    return found;
}

/* global_tokens_look of a file that cannot be read, its words thrown away. */
static bool look_at_a_bad_file(void)
{
    struct scratch_stderr heard = scratch_stderr_begin();
    bool changed = global_tokens_look(tokens, false);
    char *log = scratch_stderr_end(heard);
    cr_assert_not_null(strstr(log, "tokens are as before"), "%s", log);
    free(log);
    return changed;
}

Test(global_tokens, a_bad_file_stops_the_start)
{
    (void)tokens_given_add(&book, "*", TOKEN_STATS_READ, 0, 0);
    buf_put(&book.lines, "v1 broken\n", 10);
    tokens_given_write(&book);
    expect_refused("tokens:2: ");
    cr_assert_eq(unlink(book.path), 0);
    expect_refused("cannot be opened");
}

Test(global_tokens, files_that_others_may_read_are_refused)
{
    (void)tokens_given_add(&book, "*", TOKEN_STATS_READ, 0, 0);
    tokens_given_write(&book);
    cr_assert_eq(chmod(book.path, 0640), 0);
    expect_refused("group or others");
    cr_assert_eq(chmod(book.path, 0600), 0);
    cr_assert_eq(chmod(book.key_path, 0604), 0);
    expect_refused("group or others");
    cr_assert_eq(chmod(book.key_path, 0600), 0);
    (void)scratch_file(folder, "tokens.key", "short\n", 0600);
    expect_refused("at least 32");
}

Test(global_tokens, a_book_without_tokens_opens_nothing)
{
    struct tokens_given_token token = tokens_given_add(&book, "*", TOKEN_STATS_READ, 0, 0);
    open_book(); /* nothing was written */
    cr_assert_not(holds(&token));
    tokens_given_write(&book);
    cr_assert(global_tokens_look(tokens, false));
    cr_assert(holds(&token));
    (void)scratch_file(folder, "tokens", "\n", 0600);
    cr_assert(global_tokens_look(tokens, false), "the last one was revoked");
    cr_assert_not(holds(&token));
}

Test(global_tokens, a_file_that_turns_bad_leaves_the_tokens_and_is_told_once)
{
    struct tokens_given_token token = tokens_given_add(&book, "*", TOKEN_STATS_READ, 0, 0);
    tokens_given_write(&book);
    open_book();

    (void)scratch_file(folder, "tokens", "v1 half a li", 0600);
    cr_assert_not(global_tokens_are_stale(tokens));
    cr_assert_not(look_at_a_bad_file());
    cr_assert(holds(&token) && global_tokens_are_stale(tokens));
    cr_assert_eq(unlink(book.path), 0);
    cr_assert_not(look_at_a_bad_file());
    cr_assert(holds(&token));
    struct scratch_stderr heard = scratch_stderr_begin();
    cr_assert_not(global_tokens_look(tokens, false));
    char *log = scratch_stderr_end(heard);
    cr_assert_str_eq(log, "");
    free(log);

    struct tokens_given_token other = tokens_given_add(&book, "x", TOKEN_STATS_READ, 0, 0);
    tokens_given_write(&book);
    cr_assert(global_tokens_look(tokens, false));
    cr_assert(holds(&token) && holds(&other) && !global_tokens_are_stale(tokens));
}

Test(global_tokens, a_token_lives_until_its_pin_is_given_back)
{
    char value[128];
    struct global_tokens_pin *pin = NULL;
    struct tokens_given_token made = tokens_given_add(&book, "ad-1", TOKEN_STATS_READ, 0, 0);
    tokens_given_write(&book);
    open_book();
    (void)snprintf(value, sizeof(value), "Bearer %s", made.text);
    struct token *token = global_tokens_find(tokens, value, &pin);
    cr_assert_not_null(token);
    (void)scratch_file(folder, "tokens", "# none\n", 0600);
    cr_assert(global_tokens_look(tokens, true));
    cr_assert_not(holds(&made));
    cr_assert(token_may_read(token, span_of_text("ad-1")));
    global_tokens_unpin(tokens, &pin);
    cr_assert_null(pin);
}
