/* SPDX-License-Identifier: Apache-2.0
 * tls_tickets: keys of session tickets out of a file that a fleet shares, so that a client resumes
 * at whichever server it meets. Audience: tls.c, tests. Any thread once used by a context.
 *
 * The file holds 1 to 4 keys of 80 random bytes each (16 name, 32 HMAC-SHA256, 32 AES-256): the
 * first seals new tickets, every one opens. Rotation: `openssl rand 80`, then the two newest of the
 * old ones behind it, by rename; SIGHUP. A key that left the file opens nothing: its tickets cost a
 * full handshake, never a failure. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"

#include <openssl/ssl.h>

#define TLS_TICKETS_KEY_BYTES 80
#define TLS_TICKETS_KEYS_MAX  4

/* Before the context is used. It takes the keys of `file`; ERR_CONFIG with the reason logged:
 * missing, readable by group or others, not a whole number of keys, or one of them twice. */
enum err WARN_UNUSED tls_tickets_use(SSL_CTX *tls, const char *file);
