/* SPDX-License-Identifier: Apache-2.0
 * What runs out by itself is seen coming. */
#include "common/run/upkeep.h"

#include "scratch.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

TestSuite(upkeep, .timeout = 30);

static SSL_CTX *tls_until(time_t end)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    cr_assert(tls != NULL && key != NULL && certificate != NULL);
    (void)ASN1_TIME_set(X509_getm_notBefore(certificate), 1);
    (void)ASN1_TIME_set(X509_getm_notAfter(certificate), end);
    cr_assert_eq(X509_set_pubkey(certificate, key), 1);
    cr_assert_gt(X509_sign(certificate, key, EVP_sha256()), 0);
    cr_assert_eq(SSL_CTX_use_certificate(tls, certificate), 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return tls;
}

/* Both sides of 2050, where the form of the time changes (RFC 5280, 4.1.2.5). */
Test(upkeep, the_end_of_a_certificate_is_told_to_the_second)
{
    static const time_t ends[] = {1700000001, 2524607999, 2524608000, 4102444800};
    for (unsigned i = 0; i < countof(ends); i++) {
        SSL_CTX *tls = tls_until(ends[i]);
        cr_assert_eq(upkeep_certificate_end_s(tls), (uint64_t)ends[i]);
        SSL_CTX_free(tls);
    }
}

Test(upkeep, no_certificate_is_one_that_has_ended)
{
    SSL_CTX *none = SSL_CTX_new(TLS_server_method());
    SSL_CTX *before = tls_until(-5);

    cr_assert_eq(upkeep_certificate_end_s(none), 0);
    cr_assert_eq(upkeep_certificate_end_s(before), 0);

    SSL_CTX_free(none);
    SSL_CTX_free(before);
}

Test(upkeep, a_disk_that_cannot_be_asked_is_full)
{
    char *folder = scratch_new();

    cr_assert_gt(upkeep_disk_free_bytes(folder), 0);
    cr_assert_eq(upkeep_disk_free_bytes("/proc/nowhere/at/all"), 0);

    scratch_free(folder);
}

Test(upkeep, a_folder_has_the_bytes_of_its_files)
{
    char folder[] = "/tmp/upkeep.XXXXXX", path[64];
    static const char block[65536] = {1};
    cr_assert_not_null(mkdtemp(folder));
    cr_expect_eq(upkeep_folder_bytes(folder), 0);
    snprintf(path, sizeof(path), "%s/file", folder);
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL && fwrite(block, 1, sizeof(block), file) == sizeof(block));
    cr_assert_eq(fflush(file), 0);
    cr_assert_eq(fsync(fileno(file)), 0);
    cr_expect_geq(upkeep_folder_bytes(folder), sizeof(block));
    cr_expect_leq(upkeep_folder_bytes(folder), 2 * sizeof(block));
    cr_expect_eq(upkeep_folder_bytes("/nowhere/at/all"), 0);
    fclose(file);
    unlink(path);
    rmdir(folder);
}
