/* SPDX-License-Identifier: Apache-2.0
 * Every field of a token's line at its bounds; large books; gates that many threads pass. */
#include "global/core/token_book.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>

static struct token_book book;
static struct buf page;

static void fini(void)
{
    token_book_done(&book);
    buf_done(&page);
}

TestSuite(token_book_lines, .fini = fini, .timeout = 60);

#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void add_line(const char *id, const char *rest)
{
    char line[1024];
    int length = snprintf(line, sizeof(line), "v1 %s " HASH " %s\n", id, rest);
    buf_put(&page, line, (size_t)length);
}

static enum err read_page(uint32_t *out_line)
{
    *out_line = 0;
    token_book_done(&book);
    return token_book_read(&book, buf_span(&page), out_line);
}

static enum err read_one(const char *id, const char *rest)
{
    uint32_t line;
    buf_clear(&page);
    add_line(id, rest);
    return read_page(&line);
}

#define ID "0123456789abcdef"

Test(token_book_lines, fields_are_read_to_their_bounds)
{
    cr_assert_eq(read_one(ID, "admin 999999999999999999 1000000 -"), ERR_OK);
    cr_assert_eq(book.tokens[0].expires_s, 999999999999999999ULL);
    cr_assert_eq(book.tokens[0].rate, 1000000);
    static const char *const bad[] = {"admin 1000000000000000000 0 -",
                                      "admin  0 -",
                                      "admin never  -",
                                      "admin never 1000001 -",
                                      "admin never 1/ -",
                                      "admin 1: 0 -",
                                      "admin never 0 a/b",
                                      "admin never 0 a%4G",
                                      "admin never 0 a%G4",
                                      "admin never 0 %",
                                      "admin never 0 a%-1",
                                      "admin never 0 a%1-",
                                      "admin never 0 {",
                                      "admin never 0 [",
                                      "admin never 0 `",
                                      "admin never 0 @",
                                      "admin never 0 \xc3\xa9",
                                      "admin never 0 a%4g"};
    for (unsigned i = 0; i < countof(bad); i++)
        cr_assert_eq(read_one(ID, bad[i]), ERR_FORMAT, "%s", bad[i]);
    static const char *const ids[] = {"0123456789abcde/", "0123456789abcde:", "0123456789abcde`",
                                      "0123456789abcdeg", "g123456789abcdef"};
    for (unsigned i = 0; i < countof(ids); i++)
        cr_assert_eq(read_one(ids[i], "admin never 0 -"), ERR_FORMAT, "%s", ids[i]);
}

Test(token_book_lines, an_ad_is_what_its_percent_digits_say)
{
    cr_assert_eq(read_one(ID, "stats:read never 0 aZ.09_~-,%4a%4A%e2%82%AC"), ERR_OK);
    cr_assert_eq(book.tokens[0].ad_count, 2);
    cr_assert(token_may_read(&book.tokens[0], span_of_text("aZ.09_~-")));
    cr_assert(token_may_read(&book.tokens[0], span_of_text("JJ\xe2\x82\xac")));
    cr_assert_not(token_may_read(&book.tokens[0], span_of_text("JJ")));
}

Test(token_book_lines, an_ad_has_the_length_that_clicks_allow)
{
    char rest[512];
    (void)snprintf(rest, sizeof(rest), "stats:read never 0 %0*d", LIMIT_ID_BYTES, 7);
    cr_assert_eq(read_one(ID, rest), ERR_OK);
    cr_assert_eq(book.tokens[0].ads[0].length, LIMIT_ID_BYTES);
    (void)snprintf(rest, sizeof(rest), "stats:read never 0 %0*d", LIMIT_ID_BYTES + 1, 7);
    cr_assert_eq(read_one(ID, rest), ERR_FORMAT);
}

Test(token_book_lines, the_rules_of_one_token_are_bounded)
{
    struct token token = {.ads = NULL};
    struct buf ads = {0};
    for (unsigned i = 1; i < TOKEN_ADS_MAX; i++) {
        char rule[16];
        buf_put(&ads, rule, (size_t)snprintf(rule, sizeof(rule), "a%u,", i));
    }
    buf_put(&ads, "a", 1);
    cr_assert(token_ads_parse(buf_span(&ads), &token));
    cr_assert_eq(token.ad_count, TOKEN_ADS_MAX);
    buf_put(&ads, ",a", 2);
    cr_assert_not(token_ads_parse(buf_span(&ads), &token));
    cr_assert_eq(token.ad_count, 0, "a rule too many leaves none");
    token_done(&token);
    buf_done(&ads);
}

Test(token_book_lines, rules_are_in_order_and_apart)
{
    static const struct {
        const char *given, *kept;
    } rows[] = {{"b,a", "a,b"},
                {"b,a,b,a", "a,b"},
                {"ab,a*,abc,b,a", "a*,b"},
                {"ab*,a,abc*,ac", "a,ab*,ac"},
                {"a,a*", "a*"},
                {"a*,a", "a*"},
                {"%C3*,z", "z,%C3*"}};
    for (unsigned i = 0; i < countof(rows); i++) {
        struct token token = {.scopes = TOKEN_STATS_READ};
        struct buf line = {0};
        cr_assert(token_ads_parse(span_of_text(rows[i].given), &token));
        token_line_put(&line, &token);
        buf_put_u8(&line, 0);
        const char *ads = strrchr((const char *)line.data, ' ') + 1;
        cr_assert_eq(strncmp(ads, rows[i].kept, strlen(rows[i].kept)), 0, "%s: %s", rows[i].given,
                     ads);
        cr_assert_eq(ads[strlen(rows[i].kept)], '\n', "%s: %s", rows[i].given, ads);
        token_done(&token);
        buf_done(&line);
    }
}

static void add_lines(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char id[TOKEN_ID_CHARS + 1];
        (void)snprintf(id, sizeof(id), "%016x", count - i);
        add_line(id, "admin never 0 -");
    }
}

Test(token_book_lines, a_book_is_ordered_and_bounded)
{
    uint32_t line;
    cr_assert_eq(read_page(&line), ERR_OK, "an empty book opens nothing, and is no fault");
    cr_assert_eq(book.count, 0);
    add_lines(TOKEN_BOOK_TOKENS);
    cr_assert_eq(read_page(&line), ERR_OK);
    cr_assert_eq(book.count, TOKEN_BOOK_TOKENS);
    for (uint32_t i = 1; i < book.count; i++)
        cr_assert_lt(strcmp(book.tokens[i - 1].id, book.tokens[i].id), 0);
    add_line("ffffffffffffffff", "admin never 0 -");
    cr_assert_eq(read_page(&line), ERR_LIMIT);
    cr_assert_eq(line, TOKEN_BOOK_TOKENS + 1);
    cr_assert_eq(book.count, 0);
}

Test(token_book_lines, only_a_line_of_that_version_and_id_is_dropped)
{
    static const char text[] = "v1\nv2 aa x\n aa\nv1 ab\nv1 aa\nv1";
    struct buf out = {0};
    cr_assert(token_line_drop(&out, span_of_text(text), "aa"));
    cr_assert(span_equal(buf_span(&out), span_of_text("v1\nv2 aa x\n aa\nv1 ab\nv1")));
    buf_done(&out);
}

Test(token_book_lines, only_a_token_of_both_books_inherits_its_gate)
{
    struct token_book older;
    uint32_t line, wait = 0;
    cr_assert_eq(read_one(ID, "stats:read never 1 *"), ERR_OK);
    cr_assert(token_admit(&book.tokens[0], 1000, &wait));
    older = book;
    book = (struct token_book){0};
    add_line("ffffffffffffffff", "stats:read never 1 *");
    cr_assert_eq(read_page(&line), ERR_OK);
    token_book_inherit(&book, &older);
    token_book_done(&older);
    cr_assert_not(token_admit(&book.tokens[0], 1000, &wait), "known before");
    cr_assert(token_admit(&book.tokens[1], 1000, &wait), "new");
}

Test(token_book_lines, without_a_rate_nobody_waits)
{
    uint32_t wait = 77;
    cr_assert_eq(read_one(ID, "stats:read never 0 *"), ERR_OK);
    for (unsigned i = 0; i < 1000; i++)
        cr_assert(token_admit(&book.tokens[0], 5, &wait));
    cr_assert_eq(wait, 77);
}

enum { PASSES = 200000, PASSERS = 4 };

static void *pass(void *argument)
{
    uint32_t *passed = argument, wait;
    for (unsigned i = 0; i < PASSES; i++)
        *passed += token_admit(&book.tokens[0], 1000, &wait);
    return NULL;
}

Test(token_book_lines, a_gate_lets_as_many_through_however_many_threads_push)
{
    pthread_t threads[PASSERS];
    uint32_t passed[PASSERS] = {0}, all = 0;
    cr_assert_eq(read_one(ID, "stats:read never 100000 *"), ERR_OK);
    for (unsigned i = 0; i < PASSERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, pass, &passed[i]), 0);
    for (unsigned i = 0; i < PASSERS; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
        all += passed[i];
    }
    cr_assert_eq(all, 100000, "%u passed within one instant", all);
}
