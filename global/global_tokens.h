/* SPDX-License-Identifier: Apache-2.0
 * global_tokens: the file of tokens and its key: read, watched, pinned by those who ask, changed by
 * an operator. Audience: global shell, tests. */
#pragma once

#include "common/base/clock.h"
#include "global/core/token_book.h"

#define GLOBAL_TOKENS_EMPTY_BYTES 2 /* a file of so many holds no token: nothing, or a newline */

struct global_tokens;
struct global_tokens_pin;

/* Reads both files; neither may be readable by others. ERR_CONFIG: *out_error is one sentence
 * (malloc'ed). */
enum err WARN_UNUSED global_tokens_open(const char *tokens_file, const char *key_file,
                                        struct clock_port *clock, struct global_tokens **out,
                                        char **out_error);
void global_tokens_free(struct global_tokens *t);

/* Reads the file again if it changed, or `always`. One that cannot be read leaves the tokens as
 * they were and is logged, once a change. Any thread, one at a time. True: other tokens hold now.
 */
bool global_tokens_look(struct global_tokens *t, bool always);

/* The file could not be read when it last changed: the tokens are as before. Any thread. */
bool global_tokens_are_stale(const struct global_tokens *t);

/* The token that a request bears (the value of its Authorization header, or NULL), or NULL. A token
 * lives until the pin is given back, whatever happens to the file meanwhile. Any thread. */
struct token *global_tokens_find(struct global_tokens *t, const char *authorization,
                                 struct global_tokens_pin **out_pin);
void global_tokens_unpin(struct global_tokens *t, struct global_tokens_pin **pin);

/* The key in a file of at least 32 characters. ERR_CONFIG as above. */
enum err WARN_UNUSED global_tokens_key(const char *path, uint8_t out_key[TOKEN_KEY_BYTES],
                                       char **out_error);

/* The command line of `tributary-global token ...`; argv[0] is "token". Returns the exit code. */
int global_tokens_command(int argc, char **argv, struct clock_port *clock);

extern const char global_tokens_help[];
