/* SPDX-License-Identifier: Apache-2.0
 * hash: published vectors, and what the click key keeps apart. */
#include "common/base/hash.h"
#include "common/base/rng.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* The sanity buffer and seed of xxHash's own test program. */
#define XXH_TEST_PRIME32 2654435761U
#define XXH_TEST_PRIME64 11400714785074694797ULL

static void fill_xxhash_buffer(uint8_t *bytes, size_t length)
{
    uint64_t generator = XXH_TEST_PRIME32;
    for (size_t i = 0; i < length; i++) {
        bytes[i] = (uint8_t)(generator >> 56);
        generator *= XXH_TEST_PRIME64;
    }
}

Test(hash, checksum_gives_the_published_xxh3_values)
{
    static const struct {
        size_t length;
        uint64_t seed, value;
    } vectors[] = {
        {0, 0, 0x2D06800538D394C2ULL},    {0, XXH_TEST_PRIME64, 0xA8A6B918B2F0364AULL},
        {1, 0, 0xC44BDFF4074EECDBULL},    {1, XXH_TEST_PRIME64, 0x032BE332DD766EF8ULL},
        {6, 0, 0x27B56A84CD2D7325ULL},    {12, 0, 0xA713DAF0DFBB77E7ULL},
        {24, 0, 0xA3FE70BF9D3510EBULL},   {48, 0, 0x397DA259ECBA1F11ULL},
        {80, 0, 0xBCDEFBBB2C47C90AULL},   {195, 0, 0xCD94217EE362EC3AULL},
        {403, 0, 0xCDEB804D65C6DEA4ULL},  {512, 0, 0x617E49599013CB6BULL},
        {2048, 0, 0xDD59E2C3A5F038E0ULL},
    };
    static uint8_t bytes[2048];
    fill_xxhash_buffer(bytes, sizeof(bytes));

    for (unsigned i = 0; i < countof(vectors); i++)
        cr_assert_eq(hash_checksum(span_of(bytes, vectors[i].length), vectors[i].seed),
                     vectors[i].value, "length %zu", vectors[i].length);
}

Test(hash, an_empty_span_without_a_pointer_is_legal)
{
    cr_assert_eq(hash_checksum((struct span){0}, 0), 0x2D06800538D394C2ULL);
}

Test(hash, message_id_is_the_published_xxh3_128)
{
    char hex[33];
    hash_message_id((struct span){0}, hex);
    cr_assert_str_eq(hex, "99aa06d3014798d86001c324468d497f");
}

Test(hash, ad_and_user_of_one_text_differ)
{
    struct span text = span_of_text("same");

    cr_assert_eq(hash_ad(text), hash_checksum(text, 0));
    cr_assert_eq(hash_user(text), hash_checksum(text, 1));
    cr_assert_neq(hash_ad(text), hash_user(text));
}

Test(hash, partition_is_the_high_product)
{
    cr_assert_eq(hash_partition(0, 1024), 0);
    cr_assert_eq(hash_partition(UINT64_MAX, 1024), 1023);
    cr_assert_eq(hash_partition(UINT64_MAX, 1), 0);
    cr_assert_eq(hash_partition(1ULL << 63, 4), 2);
    cr_assert_eq(hash_partition((1ULL << 62) - 1, 4), 0);
    cr_assert_eq(hash_partition(1ULL << 62, 4), 1);
}

Test(hash, ads_spread_evenly_over_partitions)
{
    unsigned count[4] = {0};
    for (unsigned i = 0; i < 40000; i++) {
        char ad[16];
        int length = snprintf(ad, sizeof(ad), "ad-%u", i);
        count[hash_partition(hash_ad(span_of(ad, (size_t)length)), 4)]++;
    }
    /* 10,000 expected, standard deviation 87. */
    for (unsigned i = 0; i < 4; i++)
        cr_assert(count[i] > 9600 && count[i] < 10400, "partition %u got %u", i, count[i]);
}

Test(hash, no_partition_at_all_is_a_mistake, .signal = SIGABRT)
{
    (void)hash_partition(1, 0);
}

/* SipHash-2-4-128 written anew from the paper (Aumasson, Bernstein 2012, and the 128-bit appendix),
 * as an oracle. */
static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_rounds(uint64_t v[4], unsigned rounds)
{
    while (rounds-- > 0) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] = rotate(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] = rotate(v[2], 32);
    }
}

static uint64_t little(const uint8_t *bytes, size_t length)
{
    uint64_t value = 0;
    for (size_t i = 0; i < length; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static void sip_reference(const uint8_t key[16], const uint8_t *data, size_t length,
                          uint8_t out[16])
{
    uint64_t k0 = little(key, 8), k1 = little(key + 8, 8);
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575ULL, k1 ^ 0x646f72616e646f6dULL ^ 0xee,
                     k0 ^ 0x6c7967656e657261ULL, k1 ^ 0x7465646279746573ULL};
    size_t at = 0;
    for (; at + 8 <= length; at += 8) {
        v[3] ^= little(data + at, 8);
        sip_rounds(v, 2);
        v[0] ^= little(data + at, 8);
    }
    uint64_t last = little(data + at, length - at) | (uint64_t)length << 56;
    v[3] ^= last;
    sip_rounds(v, 2);
    v[0] ^= last;
    v[2] ^= 0xee;
    sip_rounds(v, 4);
    uint64_t low = v[0] ^ v[1] ^ v[2] ^ v[3];
    v[1] ^= 0xdd;
    sip_rounds(v, 4);
    uint64_t high = v[0] ^ v[1] ^ v[2] ^ v[3];
    for (unsigned i = 0; i < 8; i++) {
        out[i] = (uint8_t)(low >> (8 * i));
        out[8 + i] = (uint8_t)(high >> (8 * i));
    }
}

static const uint8_t secret[HASH_KEY_BYTES] = {0, 1, 2,  3,  4,  5,  6,  7,
                                               8, 9, 10, 11, 12, 13, 14, 15};

Test(hash, the_oracle_gives_the_published_siphash_vectors)
{
    static const uint8_t data[] = {0, 1, 2};
    static const uint8_t vectors[][16] = {
        {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02,
         0x93},
        {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc,
         0x45},
        {0x81, 0x77, 0x22, 0x8d, 0xa4, 0xa4, 0x5d, 0xc7, 0xfc, 0xa3, 0x8b, 0xde, 0xf6, 0x0a, 0xff,
         0xe4},
    };
    for (unsigned i = 0; i < countof(vectors); i++) {
        uint8_t out[16];
        sip_reference(secret, data, i, out);
        cr_assert_arr_eq(out, vectors[i], 16, "length %u", i);
    }
}

Test(hash, the_click_key_is_siphash_over_the_documented_layout)
{
    struct rng rng = {1};
    for (unsigned i = 0; i < 3000; i++) {
        /* Now and then longer than any stack buffer inside. */
        size_t ad_length = rng_below(&rng, 129);
        size_t id_length = i % 100 == 0 ? 5000 + rng_below(&rng, 100) : rng_below(&rng, 1200);
        uint8_t *input = malloc(7 + ad_length + id_length);
        for (size_t at = 7; at < 7 + ad_length + id_length; at++)
            input[at] = (uint8_t)rng_next(&rng);
        input[0] = HASH_ID_IDEMPOTENCY;
        bytes_store_u32(input + 1, i * 65537);
        bytes_store_u16(input + 5, (uint16_t)ad_length);
        uint8_t want[16], got[16];
        sip_reference(secret, input, 7 + ad_length + id_length, want);

        hash_click_key(secret, HASH_ID_IDEMPOTENCY, span_of(input + 7, ad_length),
                       span_of(input + 7 + ad_length, id_length), i * 65537, got);

        cr_assert_arr_eq(got, want, 16);
        free(input);
    }
}

static bool keys_differ(enum hash_id_kind kind_a, const char *ad_a, const char *id_a, uint32_t at_a,
                        enum hash_id_kind kind_b, const char *ad_b, const char *id_b, uint32_t at_b)
{
    uint8_t a[16], b[16];
    hash_click_key(secret, kind_a, span_of_text(ad_a), span_of_text(id_a), at_a, a);
    hash_click_key(secret, kind_b, span_of_text(ad_b), span_of_text(id_b), at_b, b);
    return memcmp(a, b, 16) != 0;
}

Test(hash, the_click_key_keeps_kind_ad_id_and_index_apart)
{
    cr_assert_not(keys_differ(1, "ad", "id", 0, 1, "ad", "id", 0));
    cr_assert(keys_differ(1, "ad", "id", 0, 2, "ad", "id", 0));
    cr_assert(keys_differ(1, "ad", "id", 0, 1, "ae", "id", 0));
    cr_assert(keys_differ(1, "ad", "id", 0, 1, "ad", "ie", 0));
    cr_assert(keys_differ(2, "ad", "id", 0, 2, "ad", "id", 1));
    cr_assert(keys_differ(1, "ab", "c", 0, 1, "a", "bc", 0));
    cr_assert(keys_differ(1, "ab", "", 0, 1, "", "ab", 0));
}

Test(hash, another_secret_gives_another_key)
{
    uint8_t other[HASH_KEY_BYTES] = {1}, a[16], b[16];
    hash_click_key(secret, HASH_ID_CLICK, span_of_text("ad"), span_of_text("id"), 0, a);
    hash_click_key(other, HASH_ID_CLICK, span_of_text("ad"), span_of_text("id"), 0, b);
    cr_assert_arr_neq(a, b, 16);
}

Test(hash, an_index_on_a_click_id_is_a_mistake, .signal = SIGABRT)
{
    uint8_t key[16];
    hash_click_key(secret, HASH_ID_CLICK, span_of_text("ad"), span_of_text("id"), 1, key);
}

/* FIPS 180-4's examples, and of nothing. */
Test(hash, sha256_is_the_published_one)
{
    char hex[65];
    hash_sha256((struct span){0}, hex);
    cr_assert_str_eq(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    hash_sha256(span_of_text("abc"), hex);
    cr_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
