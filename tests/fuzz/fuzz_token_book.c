/* SPDX-License-Identifier: Apache-2.0
 * fuzz_token_book: any bytes as a file of tokens: what is read is written as it was meant. */
#include "global/core/token_book.h"
#include "tests/fuzz/fuzz_target.h"

static void check_same(const struct token *a, const struct token *b)
{
    CHECK(strcmp(a->id, b->id) == 0 && memcmp(a->hash, b->hash, sizeof(a->hash)) == 0);
    CHECK(a->scopes == b->scopes && a->expires_s == b->expires_s && a->rate == b->rate);
    CHECK(a->all_ads == b->all_ads && a->ad_count == b->ad_count);
    for (uint32_t i = 0; i < a->ad_count; i++) {
        const struct token_ad *one = &a->ads[i], *other = &b->ads[i];
        CHECK(one->length == other->length && one->prefix == other->prefix);
        CHECK(memcmp(one->text, other->text, one->length) == 0);
        if ((a->scopes & TOKEN_STATS_READ) != 0 && one->length > 0)
            CHECK(token_may_read(a, span_of(one->text, one->length)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct token_book book = {0}, again = {0};
    struct buf text = {0}, less = {0};
    uint32_t line = 0;
    if (token_book_read(&book, span_of(data, size), &line) != ERR_OK) {
        CHECK(book.count == 0 && book.tokens == NULL);
        return 0;
    }
    CHECK(book.count <= TOKEN_BOOK_TOKENS);
    for (uint32_t i = 0; i < book.count; i++) {
        CHECK(i == 0 || strcmp(book.tokens[i - 1].id, book.tokens[i].id) < 0);
        token_line_put(&text, &book.tokens[i]);
    }
    CHECK(token_book_read(&again, buf_span(&text), &line) == ERR_OK && again.count == book.count);
    for (uint32_t i = 0; i < book.count; i++)
        check_same(&book.tokens[i], &again.tokens[i]);
    if (book.count > 0) { /* a token that is dropped is gone, and no other */
        CHECK(token_line_drop(&less, span_of(data, size), book.tokens[0].id));
        token_book_done(&again);
        again = (struct token_book){0};
        CHECK(token_book_read(&again, buf_span(&less), &line) == ERR_OK);
        CHECK(again.count == book.count - 1);
    }
    token_book_done(&again);
    token_book_done(&book);
    buf_done(&text);
    buf_done(&less);
    return 0;
}
