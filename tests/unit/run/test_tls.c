/* SPDX-License-Identifier: Apache-2.0
 * Who gets in, and with what: handshakes in memory against certificates made for each run. */
#include "common/run/tls.h"

#include "scratch.h"

#include <openssl/err.h>
#include <sys/wait.h>

static char *folder;

/* Words are parted by single spaces. */
static void run_openssl(const char *words)
{
    char program[] = "openssl", *copy = strdup(words), *argv[24] = {program};
    size_t count = 1;
    for (char *word = copy; word != NULL && count + 1 < countof(argv); count++) {
        argv[count] = word;
        word = strchr(word, ' ');
        if (word != NULL)
            *word++ = '\0';
    }
    pid_t child = fork();
    if (child == 0) {
        int quiet = open("/dev/null", O_WRONLY);
        if (chdir(folder) == 0 && dup2(quiet, STDERR_FILENO) >= 0)
            (void)execvp("openssl", argv);
        _exit(127);
    }
    int status = -1;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0, "openssl %s", words);
    free(copy);
}

#define NEW_KEY "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "

static void setup(void)
{
    folder = scratch_new();
    run_openssl("req -x509 " NEW_KEY "-keyout ca.key -out ca.pem -days 2 -subj /CN=ca");
    run_openssl("req " NEW_KEY "-keyout server.key -out server.csr -subj /CN=localhost");
    run_openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
                "-out server.pem");
}

static void teardown(void)
{
    scratch_free(folder);
}

TestSuite(tls, .init = setup, .fini = teardown, .timeout = 60);

static SSL_CTX *server_with(const char *client_ca)
{
    SSL_CTX *server = NULL;
    char certificate[256], key[256];
    (void)snprintf(certificate, sizeof(certificate), "%s/server.pem", folder);
    (void)snprintf(key, sizeof(key), "%s/server.key", folder);
    struct tls_options options = {
        .certificate_file = certificate, .key_file = key, .client_ca_file = client_ca};
    cr_assert_eq(tls_server_new(&options, &server), ERR_OK);
    return server;
}

static SSL_CTX *client_with(const char *alpn)
{
    SSL_CTX *client = SSL_CTX_new(TLS_client_method());
    cr_assert_eq(SSL_CTX_load_verify_locations(client, scratch_path(folder, "ca.pem"), NULL), 1);
    SSL_CTX_set_verify(client, SSL_VERIFY_PEER, NULL);
    if (alpn != NULL)
        cr_assert_eq(
            SSL_CTX_set_alpn_protos(client, (const unsigned char *)alpn, (unsigned)strlen(alpn)),
            0);
    return client;
}

/* How a handshake between the two ended. */
struct ended {
    bool done;
    int client_reason; /* of the client's error queue: an alert it got, for the most part */
    int version;
    char cipher[64];
    char alpn[16];
    SSL_SESSION *session; /* one from a ticket, if `session` was asked for */
    bool resumed;
};

static void note_error(struct ended *e)
{
    unsigned long code = ERR_peek_last_error();
    if (e->client_reason == 0 && code != 0)
        e->client_reason = ERR_GET_REASON(code);
}

static struct ended shake(SSL_CTX *server_context, SSL_CTX *client_context, SSL_SESSION *resume)
{
    struct ended e = {0};
    SSL *server = SSL_new(server_context), *client = SSL_new(client_context);
    BIO *one, *two;
    cr_assert_eq(BIO_new_bio_pair(&one, 0, &two, 0), 1);
    SSL_set_bio(server, one, one);
    SSL_set_bio(client, two, two);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    if (resume != NULL)
        cr_assert_eq(SSL_set_session(client, resume), 1);
    bool client_done = false, server_done = false;
    for (unsigned turn = 0; turn < 20; turn++) {
        ERR_clear_error();
        client_done = SSL_do_handshake(client) == 1;
        if (!client_done)
            note_error(&e);
        ERR_clear_error();
        server_done = SSL_do_handshake(server) == 1;
    }
    /* With 1.3 the client is done before the server has judged its certificate: only bytes tell. */
    char byte = 0;
    if (client_done && server_done && SSL_write(server, "x", 1) == 1) {
        ERR_clear_error();
        e.done = SSL_read(client, &byte, 1) == 1 && byte == 'x';
    } else if (client_done) {
        ERR_clear_error();
        (void)SSL_read(client, &byte, 1);
        note_error(&e);
    }
    const unsigned char *alpn;
    unsigned length;
    SSL_get0_alpn_selected(client, &alpn, &length);
    (void)snprintf(e.alpn, sizeof(e.alpn), "%.*s", (int)length, (const char *)alpn);
    (void)snprintf(e.cipher, sizeof(e.cipher), "%s", SSL_get_cipher_name(client));
    e.version = SSL_version(client);
    e.resumed = SSL_session_reused(client) == 1;
    e.session = SSL_get1_session(client);
    (void)SSL_shutdown(client);
    SSL_free(server);
    SSL_free(client);
    return e;
}

/* Shakes once and frees the client's side. */
static struct ended shake_once(SSL_CTX *server, SSL_CTX *client)
{
    struct ended e = shake(server, client, NULL);
    SSL_SESSION_free(e.session);
    SSL_CTX_free(client);
    return e;
}

Test(tls, a_modern_client_gets_tls_1_3_and_h2)
{
    SSL_CTX *server = server_with(NULL);

    struct ended e = shake_once(server, client_with("\x08http/1.1\x02h2"));

    cr_assert(e.done);
    cr_assert_eq(e.version, TLS1_3_VERSION);
    cr_assert_str_eq(e.alpn, "h2");
    SSL_CTX_free(server);
}

Test(tls, tls_1_2_works_with_aead_and_forward_secrecy_only)
{
    SSL_CTX *server = server_with(NULL);
    SSL_CTX *good = client_with("\x02h2"), *cbc = client_with("\x02h2"),
            *rsa = client_with("\x02h2");
    SSL_CTX_set_max_proto_version(good, TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(cbc, TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(rsa, TLS1_2_VERSION);
    cr_assert_eq(SSL_CTX_set_cipher_list(cbc, "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA"),
                 1);
    cr_assert_eq(SSL_CTX_set_cipher_list(rsa, "AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256"), 1);

    struct ended with_good = shake_once(server, good);
    struct ended with_cbc = shake_once(server, cbc);
    struct ended with_rsa = shake_once(server, rsa);

    cr_assert(with_good.done);
    cr_assert_eq(with_good.version, TLS1_2_VERSION);
    cr_assert(strstr(with_good.cipher, "GCM") != NULL ||
              strstr(with_good.cipher, "CHACHA20") != NULL);
    cr_assert_not(with_cbc.done);
    cr_assert_not(with_rsa.done);
    SSL_CTX_free(server);
}

Test(tls, tls_1_1_is_refused)
{
    SSL_CTX *server = server_with(NULL);
    SSL_CTX *old = client_with("\x02h2");
    cr_assert_eq(SSL_CTX_set_cipher_list(old, "ALL:@SECLEVEL=0"), 1);
    SSL_CTX_set_min_proto_version(old, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(old, TLS1_1_VERSION);

    struct ended e = shake_once(server, old);

    cr_assert_not(e.done);
    cr_assert_eq(e.client_reason, SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
    SSL_CTX_free(server);
}

Test(tls, without_alpn_h2_the_alert_says_so)
{
    SSL_CTX *server = server_with(NULL);

    struct ended none = shake_once(server, client_with(NULL));
    struct ended other = shake_once(server, client_with("\x08http/1.1"));

    cr_assert_not(none.done);
    cr_assert_not(other.done);
    cr_assert_eq(none.client_reason, SSL_AD_REASON_OFFSET + TLS1_AD_NO_APPLICATION_PROTOCOL);
    cr_assert_eq(other.client_reason, SSL_AD_REASON_OFFSET + TLS1_AD_NO_APPLICATION_PROTOCOL);
    SSL_CTX_free(server);
}

Test(tls, a_session_resumes_by_ticket_and_takes_no_early_data)
{
    SSL_CTX *server = server_with(NULL), *client = client_with("\x02h2");

    struct ended first = shake(server, client, NULL);
    struct ended second = shake(server, client, first.session);

    cr_assert(first.done && second.done);
    cr_assert_not(first.resumed);
    cr_assert(second.resumed);
    cr_assert_eq(SSL_SESSION_get_max_early_data(first.session), 0);
    cr_assert_eq(SSL_CTX_sess_number(server), 0);
    SSL_SESSION_free(first.session);
    SSL_SESSION_free(second.session);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}

static void give_certificate(SSL_CTX *client, const char *certificate, const char *key)
{
    cr_assert_eq(SSL_CTX_use_certificate_chain_file(client, scratch_path(folder, certificate)), 1);
    cr_assert_eq(SSL_CTX_use_PrivateKey_file(client, scratch_path(folder, key), SSL_FILETYPE_PEM),
                 1);
}

Test(tls, with_a_client_ca_only_its_clients_get_in)
{
    run_openssl("req " NEW_KEY "-keyout friend.key -out friend.csr -subj /CN=friend");
    run_openssl("x509 -req -in friend.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
                "-out friend.pem");
    run_openssl("req -x509 " NEW_KEY "-keyout stranger.key -out stranger.pem -days 2 -subj /CN=ca");
    SSL_CTX *server = server_with(scratch_path(folder, "ca.pem"));
    SSL_CTX *friend = client_with("\x02h2"), *stranger = client_with("\x02h2");
    give_certificate(friend, "friend.pem", "friend.key");
    give_certificate(stranger, "stranger.pem", "stranger.key");

    struct ended with_friend = shake(server, friend, NULL);
    struct ended again = shake(server, friend, with_friend.session);
    struct ended with_stranger = shake_once(server, stranger);
    struct ended with_none = shake_once(server, client_with("\x02h2"));

    cr_assert(with_friend.done && again.done && again.resumed);
    cr_assert_not(with_stranger.done);
    cr_assert_not(with_none.done);
    cr_assert_eq(with_none.client_reason, SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED);
    SSL_SESSION_free(with_friend.session);
    SSL_SESSION_free(again.session);
    SSL_CTX_free(friend);
    SSL_CTX_free(server);
}

static void expect_refused(const char *certificate, const char *key, const char *ca,
                           const char *words)
{
    SSL_CTX *server = NULL;
    char paths[3][256];
    (void)snprintf(paths[0], 256, "%s/%s", folder, certificate);
    (void)snprintf(paths[1], 256, "%s/%s", folder, key);
    (void)snprintf(paths[2], 256, "%s/%s", folder, ca == NULL ? "" : ca);
    const struct tls_options options = {.certificate_file = paths[0],
                                        .key_file = paths[1],
                                        .client_ca_file = ca == NULL ? NULL : paths[2]};
    struct scratch_stderr captured = scratch_stderr_begin();
    enum err err = tls_server_new(&options, &server);
    char *said = scratch_stderr_end(captured);
    cr_expect_eq(err, ERR_CONFIG);
    cr_expect_null(server);
    cr_expect_not_null(strstr(said, words), "wanted %s in %s", words, said);
    free(said);
}

Test(tls, a_key_that_others_may_read_is_refused)
{
    static const mode_t modes[] = {0640, 0604, 0660, 0777};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        cr_assert_eq(chmod(scratch_path(folder, "server.key"), modes[i]), 0);
        expect_refused("server.pem", "server.key", NULL,
                       "key may be read or written by group or others: chmod 600");
    }
}

Test(tls, files_that_do_not_fit_are_named)
{
    run_openssl("req " NEW_KEY "-keyout other.key -out other.csr -subj /CN=x");
    run_openssl("ec -aes256 -passout pass:word -in server.key -out locked.key");
    cr_assert_eq(chmod(scratch_path(folder, "locked.key"), 0600), 0);
    scratch_file(folder, "empty.pem", "", 0600);

    expect_refused("none.pem", "server.key", NULL, "none.pem");
    expect_refused("empty.pem", "server.key", NULL, "certificate cannot be read");
    expect_refused("server.pem", "none.key", NULL, "No such file or directory");
    expect_refused("server.pem", "empty.pem", NULL, "key cannot be read");
    expect_refused("server.pem", "locked.key", NULL, "key cannot be read");
    expect_refused("server.pem", "other.key", NULL, "key does not belong to the certificate");
    expect_refused("server.pem", ".", NULL, "key is not a regular file");
    expect_refused("server.pem", "server.key", "none.pem", "client CA cannot be read");
    expect_refused("server.pem", "server.key", "empty.pem", "client CA");
}
