/* SPDX-License-Identifier: Apache-2.0
 * hash: checksums, ad and user hashes, the partition of an ad, the click key.
 * Audience: everyone. Pure. Over xxHash (XXH3) and libsodium (SipHash).
 * XXH3 where no client gains by a collision; keyed SipHash-2-4-128 where one would:
 * the click key decides what is a duplicate. */
#pragma once

#include "common/base/bytes.h"

#define HASH_KEY_BYTES   16 /* the fleet's secret */
#define HASH_CLICK_BYTES 16 /* one click key */

enum hash_id_kind {
    HASH_ID_CLICK = 1,       /* click_id; index 0: one id is one click wherever it sits */
    HASH_ID_IDEMPOTENCY = 2, /* Idempotency-Key; index = position in the batch */
    HASH_ID_FIELDS = 3,      /* the five fields as the client sent them; index 0 */
};

/* XXH3-64 with seed: checksum of stored and sent bytes. */
uint64_t hash_checksum(struct span data, uint64_t seed);

/* XXH3-64, seed 0: the row key of an ad. */
uint64_t hash_ad(struct span ad_id);

/* XXH3-64, seed 1: the user, for the sketch. */
uint64_t hash_user(struct span user_id);

/* hash_ad reduced to [0, partitions) by the high product (Lemire); partitions >= 1. */
uint16_t hash_partition(uint64_t ad_hash, uint32_t partitions);

/* 128-bit keyed click key: SipHash-2-4-128 over
 * kind (1 byte), index (4 bytes BE), ad_id length (2 bytes BE), ad_id, id. */
void hash_click_key(const uint8_t secret[HASH_KEY_BYTES], enum hash_id_kind kind, struct span ad_id,
                    struct span id, uint32_t index, uint8_t out_key[HASH_CLICK_BYTES]);

/* XXH3-128 as 32 lower-case hex digits and a NUL: the message id of a partial. */
void hash_message_id(struct span data, char out_hex[33]);

/* SHA-256 as 64 lower-case hex digits and a NUL: what names an object for good. */
void hash_sha256(struct span data, char out_hex[65]);
