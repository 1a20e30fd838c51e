/* SPDX-License-Identifier: Apache-2.0
 * tls: a server's TLS context.
 * Audience: see tls.h. */
#include "common/run/tls.h"

#include "common/run/log.h"
#include "common/run/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err refuse(const char *what, const char *file)
{
    const unsigned long code = ERR_peek_last_error();
    const char *reason = code == 0 ? "" : ERR_reason_error_string(code);
    log_error("TLS cannot be set up", log_text("what", what), log_text("file", file),
              log_text("reason", reason == NULL ? "unknown" : reason));
    ERR_clear_error();
    return ERR_CONFIG;
}

/* Without the extension the choosing callback below is never asked: such a client is told here. */
static int on_client_hello(SSL *ssl, int *out_alert, void *context)
{
    (void)context;
    const unsigned char *offered;
    size_t length;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &offered,
                                  &length) == 1)
        return SSL_CLIENT_HELLO_SUCCESS;
    *out_alert = SSL_AD_NO_APPLICATION_PROTOCOL;
    return SSL_CLIENT_HELLO_ERROR;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_length,
                           const unsigned char *offered, unsigned offered_length, void *context)
{
    (void)ssl;
    static const unsigned char names[] = {2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
    const bool *http1 = context;
    unsigned length = *http1 ? sizeof(names) : 3;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_length, names, length, offered, offered_length) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* A daemon has no terminal to ask for a pass phrase. */
static int no_passphrase(char *out, int size, int writing, void *context)
{
    (void)out, (void)size, (void)writing, (void)context;
    return -1;
}

static enum err use_key(SSL_CTX *tls, const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file < 0)
        return refuse(strerror(errno), path);
    struct stat stat;
    enum err err = ERR_OK;
    if (fstat(file, &stat) != 0 || !S_ISREG(stat.st_mode))
        err = refuse("key is not a regular file", path);
    else if (!secret_file_is_private(path, stat.st_mode))
        err = refuse("key may be read or written by group or others: chmod 600", path);
    /* Read through the very file that was judged, not by its name again. */
    BIO *bio = err == ERR_OK ? BIO_new_fd(file, BIO_NOCLOSE) : NULL;
    if (err == ERR_OK) {
        EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
        if (key == NULL)
            err = refuse("key cannot be read", path);
        else if (SSL_CTX_use_PrivateKey(tls, key) != 1 || SSL_CTX_check_private_key(tls) != 1)
            err = refuse("key does not belong to the certificate", path);
        EVP_PKEY_free(key);
    }
    (void)BIO_free(bio);
    (void)close(file);
    return err;
}

/* A ticket remembers that a certificate was good, not by whom: under another CA file no old ticket
 * may let anyone in. */
static enum err resume_under(SSL_CTX *tls, const char *ca_file)
{
    unsigned char bytes[4096], digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    int got = 0;
    BIO *file = BIO_new_file(ca_file, "rb");
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    CHECK(hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1);
    while (file != NULL && (got = BIO_read(file, bytes, sizeof(bytes))) > 0)
        CHECK(EVP_DigestUpdate(hash, bytes, (size_t)got) == 1);
    CHECK(EVP_DigestFinal_ex(hash, digest, &length) == 1);
    EVP_MD_CTX_free(hash);
    (void)BIO_free(file);
    if (file == NULL || got < 0)
        return refuse("client CA cannot be read", ca_file);
    CHECK(SSL_CTX_set_session_id_context(tls, digest, length) == 1);
    return ERR_OK;
}

static enum err ask_clients(SSL_CTX *tls, const char *ca_file)
{
    if (SSL_CTX_load_verify_locations(tls, ca_file, NULL) != 1)
        return refuse("client CA cannot be read", ca_file);
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(ca_file);
    if (names == NULL)
        return refuse("client CA holds no certificate", ca_file);
    SSL_CTX_set_client_CA_list(tls, names);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_verify_depth(tls, 4);
    return resume_under(tls, ca_file);
}

static void set_protocols(SSL_CTX *tls, bool http1)
{
    static bool yes = true, no = false; /* only ever read; the library takes no const */
    if (!http1)
        SSL_CTX_set_client_hello_cb(tls, on_client_hello, NULL);
    SSL_CTX_set_alpn_select_cb(tls, choose_protocol, http1 ? &yes : &no);
}

static void set_policy(SSL_CTX *tls)
{
    static const unsigned char resumed_here[] = "tributary";
    static char groups[] = "X25519:P-256:P-384"; /* OpenSSL's macro casts a const away */
    CHECK(SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) == 1);
    CHECK(SSL_CTX_set_cipher_list(tls, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1);
    CHECK(SSL_CTX_set1_groups_list(tls, groups) == 1);
    /* 0-RTT can be replayed by anyone who saw it; a replayed click would still be one, but why
     * allow it. */
    CHECK(SSL_CTX_set_max_early_data(tls, 0) == 1);
    (void)SSL_CTX_set_options(tls, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    (void)SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    /* Tickets alone resume: they need no memory here. A context of their own is required with
     * client certificates. */
    (void)SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    CHECK(SSL_CTX_set_session_id_context(tls, resumed_here, sizeof(resumed_here) - 1) == 1);
}

enum err tls_server_new(const struct tls_options *options, SSL_CTX **out)
{
    CHECK(options->certificate_file != NULL && options->key_file != NULL);
    ERR_clear_error();
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    CHECK(tls != NULL);
    set_policy(tls);
    set_protocols(tls, options->http1);
    enum err err = ERR_OK;
    if (SSL_CTX_use_certificate_chain_file(tls, options->certificate_file) != 1)
        err = refuse("certificate cannot be read", options->certificate_file);
    if (err == ERR_OK)
        err = use_key(tls, options->key_file);
    if (err == ERR_OK && options->client_ca_file != NULL)
        err = ask_clients(tls, options->client_ca_file);
    if (err != ERR_OK) {
        SSL_CTX_free(tls);
        return err;
    }
    *out = tls;
    return ERR_OK;
}
