/* SPDX-License-Identifier: Apache-2.0
 * A token opens what its line says and nothing else, and a book that cannot be read opens nothing.
 */
#include "global/core/token_book.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define NOW_S 1700000000ULL

static const uint8_t key[TOKEN_KEY_BYTES] = {1, 2, 3};
static struct token_book book;
static char text[TOKEN_TEXT_CHARS + 1];

static void teardown(void)
{
    token_book_done(&book);
}

TestSuite(token_book, .fini = teardown, .timeout = 30);

static void random_of(uint8_t seed, uint8_t out[TOKEN_ID_BYTES + TOKEN_SECRET_BYTES])
{
    for (unsigned i = 0; i < TOKEN_ID_BYTES + TOKEN_SECRET_BYTES; i++)
        out[i] = (uint8_t)(seed * 31 + i * 7);
}

/* A book of one token with such ads; its text in `text`. */
static struct token *given(const char *ads, unsigned scopes, uint64_t expires_s, uint32_t rate)
{
    uint8_t random[TOKEN_ID_BYTES + TOKEN_SECRET_BYTES];
    struct token made = {.scopes = scopes, .expires_s = expires_s, .rate = rate};
    struct buf line = {0};
    uint32_t bad = 0;
    random_of(1, random);
    token_make(random, key, text, &made);
    cr_assert(token_ads_parse(span_of_text(ads), &made));
    token_line_put(&line, &made);
    token_done(&made);
    token_book_done(&book);
    cr_assert_eq(token_book_read(&book, buf_span(&line), &bad), ERR_OK);
    buf_done(&line);
    return token_book_find(&book, key, span_of_text(text), NOW_S);
}

static bool may(const struct token *token, const char *ad)
{
    return token_may_read(token, span_of_text(ad));
}

Test(token_book, a_made_token_is_found_and_its_secret_is_not_in_the_book)
{
    struct token *token = given("acme-*,other", TOKEN_STATS_READ, 0, 0);
    struct buf line = {0};

    cr_assert_not_null(token);
    cr_assert_eq(strlen(text), TOKEN_TEXT_CHARS);
    token_line_put(&line, token);
    buf_put_u8(&line, 0);
    cr_assert_null(strstr((const char *)line.data, text + 5 + TOKEN_ID_CHARS));
    buf_done(&line);
}

Test(token_book, every_changed_character_is_refused)
{
    (void)given("*", TOKEN_STATS_READ, 0, 0);
    for (unsigned i = 0; i < TOKEN_TEXT_CHARS; i++) {
        char other[TOKEN_TEXT_CHARS + 1];
        memcpy(other, text, sizeof(other));
        other[i] = other[i] == '0' ? '1' : '0';
        cr_assert_null(token_book_find(&book, key, span_of_text(other), NOW_S), "at %u", i);
    }
    cr_assert_null(token_book_find(&book, key, span_of(text, TOKEN_TEXT_CHARS - 1), NOW_S));
    cr_assert_null(token_book_find(&book, key, span_of_text(""), NOW_S));
    static const uint8_t other_key[TOKEN_KEY_BYTES] = {9};
    cr_assert_null(token_book_find(&book, other_key, span_of_text(text), NOW_S));
}

Test(token_book, an_expired_token_is_an_unknown_one)
{
    cr_assert_not_null(given("*", TOKEN_STATS_READ, NOW_S + 1, 0));
    cr_assert_null(given("*", TOKEN_STATS_READ, NOW_S, 0));
}

Test(token_book, ads_are_exact_or_prefixes)
{
    struct token *token = given("acme-*,one,%2A,caf%C3%A9%20x", TOKEN_STATS_READ, 0, 0);
    cr_assert(may(token, "acme-"));
    cr_assert(may(token, "acme-7"));
    cr_assert(may(token, "one"));
    cr_assert(may(token, "*"));
    cr_assert(may(token, "caf\xC3\xA9 x"));
    cr_assert_not(may(token, "acme"));
    cr_assert_not(may(token, "Acme-7"));
    cr_assert_not(may(token, "one2"));
    cr_assert_not(may(token, "on"));
    cr_assert_not(may(token, "anything"));
}

Test(token_book, a_line_comes_back_as_it_was_put)
{
    static const char *const ads[] = {"*", "-", "a*", "%2D", "a,b*,c%2Cd", "%2A*"};
    for (unsigned i = 0; i < countof(ads); i++) {
        struct token *token = given(ads[i], TOKEN_STATS_READ | TOKEN_ADMIN, NOW_S + 5, 7);
        struct buf line = {0};
        char end[64];
        token_line_put(&line, token);
        buf_put_u8(&line, 0);
        (void)snprintf(end, sizeof(end), " stats:read,admin %llu 7 %s\n", NOW_S + 5, ads[i]);
        cr_assert_not_null(strstr((const char *)line.data, end), "%s in %s", end, line.data);
        buf_done(&line);
    }
}

Test(token_book, scopes_are_kept_apart)
{
    cr_assert_not(may(given("*", TOKEN_ADMIN, 0, 0), "ad"), "admin does not read stats");
    cr_assert_not(may(given("-", TOKEN_STATS_READ, 0, 0), "-"), "no ads are no ads");
    cr_assert(may(given("*", TOKEN_STATS_READ, 0, 0), "ad"));
}

Test(token_book, a_bad_line_refuses_the_whole_book_and_is_named)
{
    static const char *const bad[] = {
        "v2 0123456789abcdef H stats:read never 0 *",
        "v1 0123456789abcde H stats:read never 0 *",
        "v1 0123456789abcdeF H stats:read never 0 *",
        "v1 0123456789abcdef 00 stats:read never 0 *",
        "v1 0123456789abcdef H  never 0 *",
        "v1 0123456789abcdef H stats never 0 *",
        "v1 0123456789abcdef H stats:read, never 0 *",
        "v1 0123456789abcdef H stats:read 0 0 *",
        "v1 0123456789abcdef H stats:read soon 0 *",
        "v1 0123456789abcdef H stats:read never -1 *",
        "v1 0123456789abcdef H stats:read never 1000001 *",
        "v1 0123456789abcdef H stats:read never 0",
        "v1 0123456789abcdef H stats:read never 0 ",
        "v1 0123456789abcdef H stats:read never 0 a,*",
        "v1 0123456789abcdef H stats:read never 0 a,,b",
        "v1 0123456789abcdef H stats:read never 0 a%4",
        "v1 0123456789abcdef H stats:read never 0 * x",
        "v1 fedcba9876543210 H stats:read never 0 *", /* the id of the line before */
    };
    static const char hash[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    for (unsigned i = 0; i < countof(bad); i++) {
        char page[512];
        const char *mark = strchr(bad[i], 'H');
        uint32_t line = 0;
        (void)snprintf(page, sizeof(page),
                       "# tokens\n\nv1 fedcba9876543210 %s admin never 0 -\n%.*s%s%s\n", hash,
                       mark == NULL ? (int)strlen(bad[i]) : (int)(mark - bad[i]), bad[i],
                       mark == NULL ? "" : hash, mark == NULL ? "" : mark + 1);
        cr_assert_eq(token_book_read(&book, span_of_text(page), &line), ERR_FORMAT, "%s", bad[i]);
        cr_assert_eq(line, 4, "%s", bad[i]);
        cr_assert_eq(book.count, 0);
    }
}

Test(token_book, dropping_a_line_leaves_the_others_as_they_were)
{
    const char *page = "# who\nv1 aa 1 x\n\nv1 bb 2 y\n";
    struct buf out = {0};
    cr_assert(token_line_drop(&out, span_of_text(page), "aa"));
    cr_assert(span_equal(buf_span(&out), span_of_text("# who\n\nv1 bb 2 y\n")));
    buf_clear(&out);
    cr_assert_not(token_line_drop(&out, span_of_text(page), "cc"));
    cr_assert(span_equal(buf_span(&out), span_of_text(page)));
    buf_done(&out);
}

Test(token_book, a_rate_holds_over_any_second_and_over_a_reload)
{
    struct token *token = given("*", TOKEN_STATS_READ, 0, 10);
    uint32_t wait = 0;
    unsigned passed = 0;
    for (unsigned i = 0; i < 100; i++)
        passed += token_admit(token, 5000, &wait);
    cr_assert_eq(passed, 10);
    cr_assert_eq(wait, 1);
    cr_assert_not(token_admit(token, 5099, &wait));
    cr_assert(token_admit(token, 5100, &wait));
    for (uint64_t ms = 5101; ms <= 15100; ms++)
        passed += token_admit(token, ms, &wait);
    cr_assert_eq(passed, 110);

    struct token_book older = book;
    book = (struct token_book){0};
    token = given("*", TOKEN_STATS_READ, 0, 10);
    token_book_inherit(&book, &older);
    token_book_done(&older);
    cr_assert_not(token_admit(token, 15101, &wait), "a reload is no new burst");
}
