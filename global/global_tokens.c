/* SPDX-License-Identifier: Apache-2.0
 * global_tokens: the file of tokens and its key: read, watched, pinned by those who ask. */
#include "global/global_tokens.h"

#include "common/run/log.h"
#include "common/run/options.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

#define BOOK_BYTES_MAX (16u * 1024 * 1024)

struct global_tokens_pin {
    struct token_book book;
    unsigned pins; /* one of them is the owner's, while the book is the newest */
};

struct global_tokens {
    char *path;
    struct clock_port *clock;
    uint8_t key[TOKEN_KEY_BYTES];
    pthread_mutex_t lock;             /* a leaf: nothing else is taken under it */
    struct global_tokens_pin *newest; /* under lock */
    struct stat seen;
    _Atomic bool stale;
};

enum err global_tokens_key(const char *path, uint8_t out_key[TOKEN_KEY_BYTES], char **out_error)
{
    struct buf secret = {0};
    enum err err = options_secret(path, 256, &secret, out_error);
    if (err == ERR_OK && secret.length < TOKEN_KEY_BYTES) {
        err = ERR_CONFIG;
        CHECK(asprintf(out_error, "%s: must hold at least %d characters", path, TOKEN_KEY_BYTES) >=
              0);
    }
    if (err == ERR_OK)
        CHECK(crypto_generichash(out_key, TOKEN_KEY_BYTES, secret.data, secret.length, NULL, 0) ==
              0);
    if (secret.data != NULL)
        explicit_bzero(secret.data, secret.capacity);
    buf_done(&secret);
    return err;
}

/* A file without tokens, empty or of a newline that is left, is a book too: nobody may ask. Were it
 * refused, revoking the last token would leave that token valid. */
static enum err read_book(const char *path, struct global_tokens_pin **out, char **out_error)
{
    struct stat stat_now;
    struct buf text = {0};
    uint32_t line = 0;
    enum err err = ERR_OK;
    if (stat(path, &stat_now) != 0 || stat_now.st_size > GLOBAL_TOKENS_EMPTY_BYTES)
        err = options_secret(path, BOOK_BYTES_MAX, &text, out_error);
    if (err == ERR_OK) {
        struct global_tokens_pin *pin = base_zalloc(1, sizeof(*pin));
        pin->pins = 1;
        err = token_book_read(&pin->book, buf_span(&text), &line);
        if (err == ERR_OK) {
            *out = pin;
        } else {
            CHECK(asprintf(out_error, "%s:%u: %s", path, line, err_words(err)) >= 0);
            free(pin);
            err = ERR_CONFIG;
        }
    }
    buf_done(&text);
    return err;
}

enum err global_tokens_open(const char *tokens_file, const char *key_file, struct clock_port *clock,
                            struct global_tokens **out, char **out_error)
{
    struct global_tokens *t = base_zalloc(1, sizeof(*t));
    t->clock = clock;
    CHECK(pthread_mutex_init(&t->lock, NULL) == 0);
    CHECK((t->path = strdup(tokens_file)) != NULL);
    (void)stat(t->path, &t->seen); /* before the read: a change in between is seen later */
    enum err err = global_tokens_key(key_file, t->key, out_error);
    if (err == ERR_OK)
        err = read_book(tokens_file, &t->newest, out_error);
    if (err != ERR_OK) {
        global_tokens_free(t);
        return err;
    }
    *out = t;
    return ERR_OK;
}

static void unpin(struct global_tokens *t, struct global_tokens_pin *pin)
{
    CHECK(pthread_mutex_lock(&t->lock) == 0);
    CHECK(pin->pins > 0);
    bool last = --pin->pins == 0;
    CHECK(pthread_mutex_unlock(&t->lock) == 0);
    if (!last)
        return;
    token_book_done(&pin->book);
    free(pin);
}

void global_tokens_free(struct global_tokens *t)
{
    if (t == NULL)
        return;
    if (t->newest != NULL)
        unpin(t, t->newest);
    CHECK(pthread_mutex_destroy(&t->lock) == 0);
    explicit_bzero(t->key, sizeof(t->key));
    free(t->path);
    free(t);
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mode == b->st_mode && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

bool global_tokens_look(struct global_tokens *t, bool always)
{
    struct stat now = {0};
    char *error = NULL;
    struct global_tokens_pin *fresh = NULL;
    (void)stat(t->path, &now); /* one that has gone is unlike any other */
    if (!always && is_same_file(&now, &t->seen))
        return false;
    t->seen = now;
    if (read_book(t->path, &fresh, &error) != ERR_OK) {
        log_error("tokens are as before: the file cannot be read", log_text("reason", error));
        free(error);
        t->stale = true;
        return false;
    }
    t->stale = false;
    log_info("tokens read", log_u64("tokens", fresh->book.count));
    CHECK(pthread_mutex_lock(&t->lock) == 0);
    struct global_tokens_pin *before = t->newest;
    token_book_inherit(&fresh->book, &before->book);
    t->newest = fresh;
    CHECK(pthread_mutex_unlock(&t->lock) == 0);
    unpin(t, before);
    return true;
}

bool global_tokens_are_stale(const struct global_tokens *t)
{
    return t->stale;
}

struct token *global_tokens_find(struct global_tokens *t, const char *authorization,
                                 struct global_tokens_pin **out_pin)
{
    static const char scheme[] = "Bearer ";
    *out_pin = NULL;
    if (authorization == NULL || strncasecmp(authorization, scheme, strlen(scheme)) != 0)
        return NULL;
    struct span text = span_of_text(authorization + strlen(scheme));
    CHECK(pthread_mutex_lock(&t->lock) == 0);
    struct global_tokens_pin *pin = t->newest;
    pin->pins++;
    CHECK(pthread_mutex_unlock(&t->lock) == 0);
    struct token *token =
        token_book_find(&pin->book, t->key, text, t->clock->wall_ms(t->clock) / 1000);
    if (token == NULL)
        unpin(t, pin);
    else
        *out_pin = pin;
    return token;
}

void global_tokens_unpin(struct global_tokens *t, struct global_tokens_pin **pin)
{
    if (*pin != NULL)
        unpin(t, *pin);
    *pin = NULL;
}
