/* SPDX-License-Identifier: Apache-2.0 */
#include "common/run/tls_tickets.h"

#include "common/run/log.h"
#include "common/run/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct key {
    uint8_t name[16], hmac[32], aes[32];
};

struct keys {
    size_t count;
    struct key at[TLS_TICKETS_KEYS_MAX];
};

_Static_assert(sizeof(struct key) == TLS_TICKETS_KEY_BYTES, "as it lies in the file");

static int place; /* of the keys in a context */
static pthread_once_t place_once = PTHREAD_ONCE_INIT;

static void free_keys(void *parent, void *keys, CRYPTO_EX_DATA *all, int index, long more,
                      void *context)
{
    (void)parent, (void)all, (void)index, (void)more, (void)context;
    if (keys != NULL)
        explicit_bzero(keys, sizeof(struct keys));
    free(keys);
}

static void find_place(void)
{
    place = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_keys);
    CHECK(place >= 0);
}

static bool set_mac(EVP_MAC_CTX *mac, struct key *key)
{
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->hmac, sizeof(key->hmac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int seal(struct key *key, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                EVP_MAC_CTX *mac)
{
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1 ||
        EVP_EncryptInit_ex2(cipher, EVP_aes_256_cbc(), key->aes, iv, NULL) != 1 ||
        !set_mac(mac, key))
        return -1;
    memcpy(name, key->name, sizeof(key->name));
    return 1;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 0 asks for a full handshake, 2 for a fresh ticket. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int sealing)
{
    struct keys *keys = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), place);
    CHECK(keys != NULL && keys->count > 0);
    if (sealing)
        return seal(&keys->at[0], name, iv, cipher, mac);
    for (size_t i = 0; i < keys->count; i++) {
        struct key *key = &keys->at[i];
        if (memcmp(name, key->name, sizeof(key->name)) != 0)
            continue;
        if (!set_mac(mac, key) ||
            EVP_DecryptInit_ex2(cipher, EVP_aes_256_cbc(), key->aes, iv, NULL) != 1)
            return -1;
        /* TLS 1.3 seals a fresh one anyway, and a client may use each but once */
        return i == 0 ? 1 : 2;
    }
    return 0;
}

static enum err refuse(const char *what, const char *file)
{
    log_error("ticket keys cannot be used", log_text("what", what), log_text("file", file));
    return ERR_CONFIG;
}

/* Reads to the end or one byte too many. */
static size_t read_all(int file, uint8_t *out, size_t size)
{
    size_t length = 0;
    while (length < size) {
        ssize_t got = read(file, out + length, size - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    return length;
}

static const char *read_keys(const char *path, struct keys *keys)
{
    uint8_t bytes[sizeof(keys->at) + 1];
    struct stat stat;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file < 0)
        return strerror(errno);
    const char *wrong = NULL;
    if (fstat(file, &stat) != 0 || !S_ISREG(stat.st_mode))
        wrong = "not a regular file";
    else if (!secret_file_is_private(path, stat.st_mode))
        wrong = "open to group or others: chmod 600";
    size_t length = wrong == NULL ? read_all(file, bytes, sizeof(bytes)) : 0;
    (void)close(file);
    if (wrong == NULL &&
        (length == 0 || length > sizeof(keys->at) || length % TLS_TICKETS_KEY_BYTES != 0))
        wrong = "must hold 1 to 4 keys of 80 bytes";
    if (wrong == NULL) {
        keys->count = length / TLS_TICKETS_KEY_BYTES;
        memcpy(keys->at, bytes, length);
    }
    explicit_bzero(bytes, sizeof(bytes));
    for (size_t i = 0; wrong == NULL && i < keys->count; i++)
        for (size_t j = 0; j < i; j++)
            if (memcmp(keys->at[i].name, keys->at[j].name, sizeof(keys->at[i].name)) == 0)
                wrong = "holds two keys of one name";
    return wrong;
}

enum err tls_tickets_use(SSL_CTX *tls, const char *file)
{
    CHECK(pthread_once(&place_once, find_place) == 0);
    struct keys *keys = base_zalloc(1, sizeof(*keys));
    const char *wrong = read_keys(file, keys);
    if (wrong != NULL) {
        free_keys(NULL, keys, NULL, 0, 0, NULL);
        return refuse(wrong, file);
    }
    free_keys(NULL, SSL_CTX_get_ex_data(tls, place), NULL, 0, 0, NULL);
    CHECK(SSL_CTX_set_ex_data(tls, place, keys) == 1);
    CHECK(SSL_CTX_set_tlsext_ticket_key_evp_cb(tls, on_ticket) == 1);
    return ERR_OK;
}
