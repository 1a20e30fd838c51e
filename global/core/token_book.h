/* SPDX-License-Identifier: Apache-2.0
 * token_book: who may ask the globe what: bearer tokens, kept as keyed hashes.
 * Audience: global core, shell, tests. Pure. A book does not change once it was read, but for the
 * gates of its tokens, which any thread may pass at any time.
 *
 * A token is "trb_<id>_<secret>": the id (8 bytes, hex) finds its line, the secret (32 random
 * bytes, hex) proves it. One line of the book, its fields parted by one space:
 *
 *   v1 <id> <hash> <scopes> <expires> <rate> <ads>
 *
 *   hash     keyed BLAKE2b-256 of the whole token, hex
 *   scopes   stats:read, admin, parted by ','
 *   expires  Unix seconds from which on it is refused, or "never"
 *   rate     queries a second, with a burst of one second's worth; 0: no limit
 *   ads      "*" (all), "-" (none), or ad ids parted by ','; one that ends in '*' is a prefix.
 * Bytes other than A-Z a-z 0-9 - . _ ~ are percent-encoded, a '*' of an id as well.
 *
 * Empty lines and lines that begin with '#' are kept and mean nothing. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/limits.h"

#define TOKEN_ID_BYTES     8
#define TOKEN_SECRET_BYTES 32
#define TOKEN_HASH_BYTES   32
#define TOKEN_KEY_BYTES    32
#define TOKEN_ID_CHARS     (2 * TOKEN_ID_BYTES)
#define TOKEN_TEXT_CHARS   (4 + TOKEN_ID_CHARS + 1 + 2 * TOKEN_SECRET_BYTES)
#define TOKEN_RATE_MAX     1000000u
#define TOKEN_BOOK_TOKENS  8192u
#define TOKEN_ADS_MAX      4096u /* rules of one token */

enum token_scope { TOKEN_STATS_READ = 1, TOKEN_ADMIN = 2 };

struct token_ad {
    uint8_t length;
    bool prefix;
    char text[LIMIT_ID_BYTES];
};

struct token {
    char id[TOKEN_ID_CHARS + 1];
    uint8_t hash[TOKEN_HASH_BYTES];
    unsigned scopes;    /* of enum token_scope */
    uint64_t expires_s; /* 0: never */
    uint32_t rate;      /* a second; 0: no limit */
    bool all_ads;
    uint32_t ad_count;
    struct token_ad *ads;     /* in the order of their bytes; none covers another */
    _Atomic uint64_t gate_us; /* theoretical arrival of the next query (GCRA) */
};

struct token_book {
    uint32_t count;
    struct token *tokens; /* ordered by id */
};

/* Replaces *book, which must be empty. ERR_FORMAT: *out_line (from 1) cannot be read, or names an
 * id that another line has; ERR_LIMIT: too many tokens. *book is then empty. */
enum err WARN_UNUSED token_book_read(struct token_book *book, struct span text, uint32_t *out_line);
void token_book_done(struct token_book *book);
/* Tokens that both books hold go on where their gates stand. */
void token_book_inherit(struct token_book *book, const struct token_book *older);

/* Scopes as in a line ("stats:read,admin"); false for anything else. */
bool token_scopes_parse(struct span text, unsigned *out_scopes);
void token_scopes_put(struct buf *out, unsigned scopes);
/* Ads as in a line, put in order; a rule that another one covers is left out. False: *token is left
 * without ads. Frees what was there. */
bool token_ads_parse(struct span text, struct token *token);
void token_done(struct token *token);
/* Appends the line of a token, newline included. */
void token_line_put(struct buf *out, const struct token *token);
/* Appends `text` without the line of that id. False: there is none, and out has all of it. */
bool token_line_drop(struct buf *out, struct span text, const char *id);

/* Makes a token of random bytes: its text for the customer, and id and hash for the book. */
void token_make(const uint8_t random[TOKEN_ID_BYTES + TOKEN_SECRET_BYTES],
                const uint8_t key[TOKEN_KEY_BYTES], char out_text[TOKEN_TEXT_CHARS + 1],
                struct token *out);

/* The token that `text` proves, or NULL: of another shape, unknown, wrong or expired, which no
 * answer may tell apart. One hash and one comparison in constant time, found or not. */
struct token *token_book_find(const struct token_book *book, const uint8_t key[TOKEN_KEY_BYTES],
                              struct span text, uint64_t now_s);
bool token_may_read(const struct token *token, struct span ad_id);
/* False: over the rate; *out_wait_s is when to come again, at least 1. Any thread.
 * Source: GCRA, ITU-T I.371 annex A, virtual scheduling. */
bool token_admit(struct token *token, uint64_t mono_ms, uint32_t *out_wait_s);
