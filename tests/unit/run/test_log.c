/* SPDX-License-Identifier: Apache-2.0
 * One event is one line, whatever is in it; levels below the lowest are silent. */
#include "common/run/log.h"

#include "scratch.h"

#include <pthread.h>

static struct scratch_stderr captured;

static void setup(void)
{
    log_init("edge", LOG_INFO);
}

TestSuite(log, .init = setup, .timeout = 30);

static void expect_after_stamp(const char *line, const char *rest)
{
    /* ts=2026-11-24T10:00:00.123Z */
    cr_assert_eq(strncmp(line, "ts=20", 5), 0, "%s", line);
    const char *space = strchr(line, ' ');
    cr_assert_not_null(space);
    cr_assert_eq(space - line, 27, "%s", line);
    cr_assert_eq(space[-1], 'Z');
    cr_assert_str_eq(space + 1, rest);
}

Test(log, a_line_holds_stamp_level_program_message_and_fields)
{
    captured = scratch_stderr_begin();
    log_info("spool opened", log_text("path", "/tmp/x"), log_u64("bytes", 18446744073709551615U),
             log_text("why", "it was asked"), log_err(ERR_KV_FULL));
    char *said = scratch_stderr_end(captured);

    expect_after_stamp(said,
                       "level=info prog=edge msg=\"spool opened\" path=/tmp/x "
                       "bytes=18446744073709551615 why=\"it was asked\" err=\"store is full\"\n");
    free(said);
}

Test(log, no_value_can_forge_a_line_or_a_field)
{
    captured = scratch_stderr_begin();
    log_warn("odd", log_text("agent", "a\nlevel=error b\"c\\d\re\x1b[31m\x7f x=1"),
             log_bytes("raw", span_of("\0\xff\xc0\x80\xed\xa0\x80", 7)));
    char *said = scratch_stderr_end(captured);

    expect_after_stamp(said, "level=warn prog=edge msg=odd "
                             "agent=\"a\\x0alevel=error b\\\"c\\\\d\\x0de\\x1b[31m\\x7f x=1\" "
                             "raw=\"\\x00\\xff\\xc0\\x80\\xed\\xa0\\x80\"\n");
    free(said);
}

Test(log, good_utf_8_stays_and_what_turns_or_hides_text_does_not)
{
    captured = scratch_stderr_begin();
    log_info("m", log_text("a", "grüße, 世界 🙂"), log_text("b", "x\u202ey\u200bz\xc2\x85"),
             log_text("empty", ""), log_text("none", NULL));
    char *said = scratch_stderr_end(captured);

    expect_after_stamp(said, "level=info prog=edge msg=m a=\"grüße, 世界 🙂\" "
                             "b=\"x\\xe2\\x80\\xaey\\xe2\\x80\\x8bz\\xc2\\x85\" empty=\"\" "
                             "none=(none)\n");
    free(said);
}

Test(log, a_long_value_is_cut)
{
    static char text[5000];
    memset(text, 'a', sizeof(text) - 1);

    captured = scratch_stderr_begin();
    log_info("m", log_text("v", text));
    char *said = scratch_stderr_end(captured);

    cr_assert_lt(strlen(said), 1200);
    cr_assert_not_null(strstr(said, "aaa...\"\n"));
    free(said);
}

Test(log, levels_below_the_lowest_are_silent)
{
    log_init("edge", LOG_WARN);

    captured = scratch_stderr_begin();
    log_info("quiet", log_u64("n", 1));
    log_debug("quiet", log_u64("n", 1));
    log_error("loud", log_u64("n", 1));
    char *said = scratch_stderr_end(captured);

    cr_assert_null(strstr(said, "quiet"));
    cr_assert_not_null(strstr(said, "level=error prog=edge msg=loud n=1\n"));
    free(said);
}

Test(log, level_names_are_exact)
{
    enum log_level level = LOG_ERROR;
    cr_assert(log_level_parse("debug", &level) && level == LOG_DEBUG);
    cr_assert(log_level_parse("info", &level) && level == LOG_INFO);
    cr_assert(log_level_parse("warn", &level) && level == LOG_WARN);
    cr_assert(log_level_parse("error", &level) && level == LOG_ERROR);
    cr_assert_not(log_level_parse("INFO", &level));
    cr_assert_not(log_level_parse("", &level));
    cr_assert_eq(level, LOG_ERROR);
}

static void *shout(void *context)
{
    for (unsigned i = 0; i < 15; i++)
        log_info(context, log_text("text", "one whole line of some length"));
    return NULL;
}

Test(log, lines_of_threads_do_not_mix)
{
    static char messages[4][8] = {"first", "second", "third", "fourth"};
    pthread_t threads[4];

    captured = scratch_stderr_begin();
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, shout, messages[i]), 0);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    char *said = scratch_stderr_end(captured);

    unsigned lines = 0;
    for (char *line = said, *end; (end = strchr(line, '\n')) != NULL; line = end + 1, lines++) {
        *end = '\0';
        cr_assert_eq(strncmp(line, "ts=", 3), 0, "%s", line);
        cr_assert_not_null(strstr(line, " text=\"one whole line of some length\""));
        cr_assert_null(strstr(line + 3, "ts="), "%s", line);
    }
    cr_assert_eq(lines, 60);
    free(said);
}

Test(log, a_flood_of_one_message_is_bounded_and_the_rest_is_counted)
{
    struct scratch_stderr s = scratch_stderr_begin();
    for (unsigned i = 0; i < 1000; i++)
        log_info("flood", log_u64("i", i));
    log_info("other", log_u64("i", 1));
    char *said = scratch_stderr_end(s);

    unsigned lines = 0;
    for (const char *at = said; (at = strstr(at, "msg=flood i=")) != NULL; at++)
        lines++;
    cr_assert_geq(lines, 20);
    cr_assert_leq(lines, 60, "%u", lines); /* at most two seconds began meanwhile */
    cr_assert_not_null(strstr(said, "msg=other i=1"));
    free(said);
}
