/* SPDX-License-Identifier: Apache-2.0
 * tokens_given: a file of tokens and its key, written line by line. Audience: tests/unit/global. */
#pragma once

#include "global/global_tokens.h"
#include "tests/unit/run/scratch.h"

struct tokens_given {
    char path[256], key_path[256];
    uint8_t key[TOKEN_KEY_BYTES];
    struct buf lines;
    uint8_t made;
};

struct tokens_given_token {
    char text[TOKEN_TEXT_CHARS + 1];
    char id[TOKEN_ID_CHARS + 1];
};

static inline void tokens_given_init(struct tokens_given *t, const char *folder)
{
    char *error = NULL;
    *t = (struct tokens_given){.made = 0};
    (void)snprintf(t->path, sizeof(t->path), "%s", scratch_file(folder, "tokens", "", 0600));
    (void)snprintf(
        t->key_path, sizeof(t->key_path), "%s",
        scratch_file(folder, "tokens.key", "a key of the test, long enough for all\n", 0600));
    cr_assert_eq(global_tokens_key(t->key_path, t->key, &error), ERR_OK, "%s", error);
}

static inline void tokens_given_write(const struct tokens_given *t)
{
    int file = open(t->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert_geq(file, 0);
    cr_assert_eq(write(file, t->lines.data, t->lines.length), (ssize_t)t->lines.length);
    (void)close(file);
}

/* Adds a line; tokens_given_write puts it into the file. */
static inline struct tokens_given_token tokens_given_add(struct tokens_given *t, const char *ads,
                                                         unsigned scopes, uint64_t expires_s,
                                                         uint32_t rate)
{
    struct tokens_given_token made;
    struct token token = {.scopes = scopes, .expires_s = expires_s, .rate = rate};
    uint8_t random[TOKEN_ID_BYTES + TOKEN_SECRET_BYTES];
    memset(random, 0x11 + t->made++, sizeof(random));
    token_make(random, t->key, made.text, &token);
    memcpy(made.id, token.id, sizeof(made.id));
    cr_assert(token_ads_parse(span_of_text(ads), &token));
    token_line_put(&t->lines, &token);
    token_done(&token);
    return made;
}
