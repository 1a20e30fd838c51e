/* SPDX-License-Identifier: Apache-2.0
 * made_certs: throw-away certificates for tests: a CA, a server and a client of it, and a stranger.
 * Audience: tests. */
#pragma once

#include "common/base/base.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct made_certs {
    char folder[64];
    char ca[96], certificate[96], key[96], client_certificate[96], client_key[96];
    char stranger_certificate[96], stranger_key[96];
};

static X509 *made_certs_sign(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key,
                             long serial)
{
    X509 *x = X509_new();
    CHECK(X509_set_version(x, 2) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(issuer != NULL ? issuer : x));
    X509_set_pubkey(x, key);
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer != NULL ? issuer : x, x, NULL, NULL, 0);
    const char *constraint = issuer == NULL ? "critical,CA:TRUE" : "critical,CA:FALSE";
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, NID_basic_constraints, constraint);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
    e = X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
    CHECK(X509_sign(x, issuer_key != NULL ? issuer_key : key, EVP_sha256()) > 0);
    return x;
}

static void made_certs_write(const char *folder, const char *stem, X509 *x, EVP_PKEY *key,
                             char *out_certificate, char *out_key)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/%s.crt", folder, stem);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && PEM_write_X509(file, x) == 1 && fclose(file) == 0);
    snprintf(out_certificate, 96, "%s", path);
    if (out_key == NULL)
        return;
    snprintf(path, sizeof(path), "%s/%s.key", folder, stem);
    file = fopen(path, "w");
    CHECK(file != NULL && chmod(path, 0600) == 0);
    CHECK(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(file) == 0);
    snprintf(out_key, 96, "%s", path);
}

static inline void made_certs_init(struct made_certs *m)
{
    EVP_PKEY *keys[4];
    X509 *ca, *x;
    snprintf(m->folder, sizeof(m->folder), "/tmp/made_certs.XXXXXX");
    CHECK(mkdtemp(m->folder) != NULL);
    for (unsigned i = 0; i < 4; i++)
        CHECK((keys[i] = EVP_EC_gen("P-256")) != NULL);
    ca = made_certs_sign(keys[0], "made ca", NULL, NULL, 1);
    made_certs_write(m->folder, "ca", ca, keys[0], m->ca, NULL);
    x = made_certs_sign(keys[1], "localhost", ca, keys[0], 2);
    made_certs_write(m->folder, "server", x, keys[1], m->certificate, m->key);
    X509_free(x);
    x = made_certs_sign(keys[2], "client", ca, keys[0], 3);
    made_certs_write(m->folder, "client", x, keys[2], m->client_certificate, m->client_key);
    X509_free(x);
    x = made_certs_sign(keys[3], "stranger", NULL, NULL, 4);
    made_certs_write(m->folder, "stranger", x, keys[3], m->stranger_certificate, m->stranger_key);
    X509_free(x);
    X509_free(ca);
    for (unsigned i = 0; i < 4; i++)
        EVP_PKEY_free(keys[i]);
}

static inline void made_certs_done(struct made_certs *m)
{
    const char *const files[] = {
        m->ca,         m->certificate,          m->key,         m->client_certificate,
        m->client_key, m->stranger_certificate, m->stranger_key};
    for (unsigned i = 0; i < countof(files); i++)
        (void)unlink(files[i]);
    (void)rmdir(m->folder);
}
