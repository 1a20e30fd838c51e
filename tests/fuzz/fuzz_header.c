/* SPDX-License-Identifier: Apache-2.0
 * fuzz_header: any bytes as Accept, Accept-Encoding, If-None-Match, and as a bearer token against a
 * book that holds one. */
#include "global/core/negotiate.h"
#include "global/core/token_book.h"
#include "tests/fuzz/fuzz_target.h"

#define NOW_S 1700000000

static const uint8_t key[TOKEN_KEY_BYTES] = "a key that is for tests alone..";
static const uint8_t random_bytes[TOKEN_ID_BYTES + TOKEN_SECRET_BYTES] =
    "neither is this random......";

static void find(struct span field)
{
    char text[TOKEN_TEXT_CHARS + 1];
    struct token token = {0};
    struct token_book book = {.count = 1, .tokens = &token};
    token_make(random_bytes, key, text, &token);
    token.all_ads = true;
    struct span right = span_of_text(text);
    CHECK(token_book_find(&book, key, right, NOW_S) == &token);
    struct token *found = token_book_find(&book, key, field, NOW_S);
    CHECK((found == &token) == span_equal(field, right));
    token.expires_s = NOW_S;
    CHECK(token_book_find(&book, key, field, NOW_S) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span field = span_of(data, size);
    for (unsigned offered = 1; offered <= NEGOTIATE_OFFER_ROWS; offered++) {
        enum negotiate_type type = NEGOTIATE_TYPES;
        if (negotiate_accept(field, offered, &type))
            CHECK(type < NEGOTIATE_TYPES && (offered & NEGOTIATE_OFFER(type)) != 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        enum negotiate_coding coding = NEGOTIATE_CODINGS;
        if (negotiate_encoding(field, (i & 1) != 0, (i & 2) != 0, &coding))
            CHECK(coding < NEGOTIATE_CODINGS);
        CHECK((i & 1) != 0 || coding == NEGOTIATE_IDENTITY);
    }
    (void)negotiate_has_tag(field, span_of_text("\"0123456789abcdef\""));
    find(field);
    return 0;
}
