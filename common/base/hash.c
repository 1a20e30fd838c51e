/* SPDX-License-Identifier: Apache-2.0
 * hash: see hash.h. */
#include "common/base/hash.h"

#include <sodium.h>
#include <stdlib.h>
#include <xxhash.h>

_Static_assert(HASH_KEY_BYTES == crypto_shorthash_siphashx24_KEYBYTES, "SipHash key");
_Static_assert(HASH_CLICK_BYTES == crypto_shorthash_siphashx24_BYTES, "SipHash-128 output");

#define SEED_AD   0
#define SEED_USER 1

/* kind, index, ad length, ad_id, and an id of the usual size; longer ones go to the heap. */
#define KEY_INPUT_BYTES 2048

uint64_t hash_checksum(struct span data, uint64_t seed)
{
    return XXH3_64bits_withSeed(data.length == 0 ? (const void *)"" : data.data, data.length, seed);
}

uint64_t hash_ad(struct span ad_id)
{
    return hash_checksum(ad_id, SEED_AD);
}

uint64_t hash_user(struct span user_id)
{
    return hash_checksum(user_id, SEED_USER);
}

/* Source: Lemire 2019, "Fast random integer generation in an interval", without the rejection:
 * the bias at 2^64 / partitions is below 2^-50 and every edge must agree. */
uint16_t hash_partition(uint64_t ad_hash, uint32_t partitions)
{
    CHECK(partitions >= 1 && partitions <= UINT16_MAX + 1u);
    __extension__ typedef unsigned __int128 wide;
    return (uint16_t)(((wide)ad_hash * partitions) >> 64);
}

void hash_click_key(const uint8_t secret[HASH_KEY_BYTES], enum hash_id_kind kind, struct span ad_id,
                    struct span id, uint32_t index, uint8_t out_key[HASH_CLICK_BYTES])
{
    CHECK(kind >= HASH_ID_CLICK && kind <= HASH_ID_FIELDS);
    CHECK(kind == HASH_ID_IDEMPOTENCY || index == 0);
    CHECK(ad_id.length <= UINT16_MAX);
    CHECK(id.length <= SIZE_MAX / 2);
    uint8_t stack[KEY_INPUT_BYTES];
    size_t length = 7 + ad_id.length + id.length;
    uint8_t *input = length <= sizeof(stack) ? stack : base_alloc(length);

    /* The length of ad_id parts it from the id: ("ab","c") and ("a","bc") must not meet. */
    input[0] = (uint8_t)kind;
    bytes_store_u32(input + 1, index);
    bytes_store_u16(input + 5, (uint16_t)ad_id.length);
    if (ad_id.length > 0)
        memcpy(input + 7, ad_id.data, ad_id.length);
    if (id.length > 0)
        memcpy(input + 7 + ad_id.length, id.data, id.length);
    CHECK(crypto_shorthash_siphashx24(out_key, input, length, secret) == 0);

    if (input != stack)
        free(input);
}

static void put_hex(const uint8_t *bytes, size_t count, char *out_hex)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        out_hex[2 * i] = digits[bytes[i] >> 4];
        out_hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    out_hex[2 * count] = '\0';
}

void hash_message_id(struct span data, char out_hex[33])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(
        &canonical, XXH3_128bits(data.length == 0 ? (const void *)"" : data.data, data.length));
    put_hex(canonical.digest, sizeof(canonical.digest), out_hex);
}

void hash_sha256(struct span data, char out_hex[65])
{
    uint8_t digest[crypto_hash_sha256_BYTES];
    CHECK(crypto_hash_sha256(digest, data.length == 0 ? (const uint8_t *)"" : data.data,
                             data.length) == 0);
    put_hex(digest, sizeof(digest), out_hex);
}
