/* SPDX-License-Identifier: Apache-2.0
 * Claims about tls_tickets: two servers with one file resume each other's clients, rotation costs
 * no handshake, and a bad file is refused. */
#include "common/run/tls_tickets.h"

#include "common/run/tls.h"
#include "tests/unit/run/made_certs.h"
#include "tests/unit/run/scratch.h"

#include <openssl/err.h>

static struct made_certs certs;

static void setup(void)
{
    made_certs_init(&certs);
}

static void teardown(void)
{
    made_certs_done(&certs);
}

TestSuite(tls_tickets, .init = setup, .fini = teardown, .timeout = 60);

/* A file of keys, each of one repeated byte. */
static const char *given_keys(const char *name, const char *letters)
{
    char text[5 * TLS_TICKETS_KEY_BYTES + 1] = {0};
    for (size_t i = 0; letters[i] != '\0'; i++)
        memset(text + i * TLS_TICKETS_KEY_BYTES, letters[i], TLS_TICKETS_KEY_BYTES);
    return scratch_file(certs.folder, name, text, 0600);
}

static SSL_CTX *given_server(const char *letters)
{
    SSL_CTX *server = NULL;
    const struct tls_options options = {.certificate_file = certs.certificate,
                                        .key_file = certs.key};
    cr_assert_eq(tls_server_new(&options, &server), ERR_OK);
    cr_assert_eq(tls_tickets_use(server, given_keys("keys", letters)), ERR_OK);
    return server;
}

static SSL_SESSION *last_ticket;

static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(last_ticket);
    last_ticket = session;
    return 1;
}

static SSL_CTX *given_client(int version)
{
    SSL_CTX *client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(client, version);
    SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(client, on_ticket);
    cr_assert_eq(SSL_CTX_set_alpn_protos(client, (const unsigned char *)"\x02h2", 3), 0);
    return client;
}

/* Shakes hands, with the last ticket if asked; true where it was resumed. */
static bool resumes(SSL_CTX *server_context, SSL_CTX *client_context, bool with_ticket)
{
    SSL *server = SSL_new(server_context), *client = SSL_new(client_context);
    BIO *one, *two;
    char byte;
    cr_assert_eq(BIO_new_bio_pair(&one, 0, &two, 0), 1);
    SSL_set_bio(server, one, one);
    SSL_set_bio(client, two, two);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    if (with_ticket) {
        cr_assert_not_null(last_ticket);
        cr_assert_eq(SSL_set_session(client, last_ticket), 1);
    }
    for (unsigned turn = 0; turn < 10; turn++) {
        ERR_clear_error();
        (void)SSL_do_handshake(client);
        (void)SSL_do_handshake(server);
    }
    cr_assert_eq(SSL_write(server, "x", 1), 1);
    cr_assert_eq(SSL_read(client, &byte, 1), 1, "the handshake failed");
    bool resumed = SSL_session_reused(client) == 1;
    if (SSL_version(client) == TLS1_2_VERSION) /* a renewed ticket is not told by the callback */
        (void)on_ticket(client, SSL_get1_session(client));
    (void)SSL_shutdown(client);
    SSL_free(server);
    SSL_free(client);
    return resumed;
}

static void expect_fleet(int version)
{
    SSL_CTX *client = given_client(version);
    SSL_CTX *old = given_server("ab"), *rotated = given_server("ca"), *gone = given_server("cd");

    cr_assert_not(resumes(old, client, false));

    cr_expect(resumes(rotated, client, true), "the old first key is the new second");
    cr_expect(resumes(gone, client, true), "the rotated server gave a ticket of its first key");
    cr_expect_not(resumes(old, client, true), "nobody there knows the key c");
    SSL_CTX_free(old);
    SSL_CTX_free(rotated);
    SSL_CTX_free(gone);
    SSL_CTX_free(client);
    SSL_SESSION_free(last_ticket);
    last_ticket = NULL;
}

Test(tls_tickets, a_fleet_with_one_file_resumes_each_others_clients_with_tls_1_3)
{
    expect_fleet(TLS1_3_VERSION);
}

Test(tls_tickets, a_fleet_with_one_file_resumes_each_others_clients_with_tls_1_2)
{
    expect_fleet(TLS1_2_VERSION);
}

Test(tls_tickets, a_forged_ticket_of_a_known_name_costs_a_full_handshake)
{
    SSL_CTX *client = given_client(TLS1_3_VERSION), *server = given_server("a");
    char forged[TLS_TICKETS_KEY_BYTES + 1] = {0};
    memset(forged, 'a', 16);
    memset(forged + 16, 'x', TLS_TICKETS_KEY_BYTES - 16);
    SSL_CTX *stranger = given_server("b");
    cr_assert_eq(tls_tickets_use(stranger, scratch_file(certs.folder, "forged", forged, 0600)),
                 ERR_OK);
    cr_assert_not(resumes(stranger, client, false));

    bool resumed = resumes(server, client, true);

    cr_assert_not(resumed, "a ticket was believed without its MAC");
    SSL_CTX_free(server);
    SSL_CTX_free(stranger);
    SSL_CTX_free(client);
    SSL_SESSION_free(last_ticket);
    last_ticket = NULL;
}

static void expect_refused(const char *path, const char *words)
{
    SSL_CTX *server = NULL;
    const struct tls_options options = {.certificate_file = certs.certificate,
                                        .key_file = certs.key};
    cr_assert_eq(tls_server_new(&options, &server), ERR_OK);
    struct scratch_stderr captured = scratch_stderr_begin();
    enum err err = tls_tickets_use(server, path);
    char *said = scratch_stderr_end(captured);
    cr_expect_eq(err, ERR_CONFIG);
    cr_expect_not_null(strstr(said, words), "wanted %s in %s", words, said);
    free(said);
    SSL_CTX_free(server);
}

Test(tls_tickets, a_bad_file_is_refused)
{
    expect_refused(scratch_path(certs.folder, "none"), "No such file");
    expect_refused(certs.folder, "not a regular file");
    expect_refused(scratch_file(certs.folder, "empty", "", 0600), "1 to 4 keys of 80 bytes");
    expect_refused(scratch_file(certs.folder, "short", "short", 0600), "1 to 4 keys of 80 bytes");
    expect_refused(given_keys("five", "abcde"), "1 to 4 keys of 80 bytes");
    expect_refused(given_keys("twice", "aba"), "two keys of one name");
    const char *open = given_keys("open", "a");
    cr_assert_eq(chmod(open, 0640), 0);
    expect_refused(open, "chmod 600");
}
