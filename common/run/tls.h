/* SPDX-License-Identifier: Apache-2.0
 * tls: a server's TLS context: 1.3, and 1.2 with AEAD suites; ALPN h2, and http/1.1 if wanted.
 * Audience: shells. The context may be shared by threads; it is immutable after tls_server_new. */
#pragma once

#include "common/base/err.h"

#include <openssl/ssl.h>

struct tls_options {
    const char *certificate_file; /* PEM chain */
    const char *key_file;         /* PEM; refused when group or others may read it */
    const char *client_ca_file;   /* NULL: client certificates are not asked for; else required and
                                     verified */
    bool http1; /* let clients in that offer http/1.1, or no protocol at all (they mean that one) */
};

/* Tickets are sealed with keys of this context alone, unless tls_tickets_use gives it others.
 * ERR_CONFIG with the reason logged (which file, what is wrong). */
enum err WARN_UNUSED tls_server_new(const struct tls_options *options, SSL_CTX **out);
