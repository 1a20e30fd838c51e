/* SPDX-License-Identifier: Apache-2.0
 * hll: HyperLogLog of unique users, p=12: 32-bit tokens while small, 8-bit registers when grown.
 * Audience: regional/core, global/core, tests. Pure. One thread at a time per object.
 *
 * The state is the same whatever the order of arrival and however often a user comes:
 * sorted distinct tokens up to HLL_TOKENS_MAX, dense beyond; serialised form is canonical
 * (equal sets of users give equal bytes), so two replicas' sketches can be compared by digest.
 * Source: Flajolet et al. 2007, fig. 3 (register update); estimate by Ertl 2017 "New cardinality
 * estimation algorithms for HyperLogLog sketches", alg. 6 (no bias tables). */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"

#define HLL_P          12
#define HLL_REGISTERS  (1u << HLL_P)
#define HLL_TOKENS_MAX 128
/* Longest serialised form, before any compression. */
#define HLL_BYTES_MAX (1 + HLL_REGISTERS)

struct hll {
    uint32_t token_count; /* tokens in use while registers == NULL */
    uint32_t token_capacity;
    uint32_t *tokens;   /* sorted, distinct; a token holds (register index, rank) of one
                           hash at p=12: register in bits 31..20, rank (1..53) in bits 5..0;
                           of two tokens with one register only the larger rank is kept */
    uint8_t *registers; /* NULL while small */
};

/* Zero-initialised is empty and valid. */
void hll_done(struct hll *h);
void hll_clear(struct hll *h);
bool hll_is_empty(const struct hll *h);

/* Adds one user by its 64-bit hash; every value is legal. Returns true when the state changed. */
bool hll_add(struct hll *h, uint64_t user_hash);

/* target = union of both. Commutative, associative, idempotent. Returns true on change. */
bool hll_merge(struct hll *target, const struct hll *source);

/* Estimated distinct users, rounded; exact for 0; standard error 1.04/sqrt(4096) = 1.63 %. */
uint64_t hll_estimate(const struct hll *h);

/* Canonical bytes: empty -> zero bytes; small -> 0x01 + tokens as delta varints ascending;
 * grown -> 0x02 + 4096 registers. */
void hll_put(const struct hll *h, struct buf *out);

/* Replaces *h. ERR_FORMAT / ERR_TRUNCATED / ERR_RANGE for bytes that hll_put cannot have
 * written; *h is then unchanged. */
enum err WARN_UNUSED hll_read(struct hll *h, struct span bytes);
