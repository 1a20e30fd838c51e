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

/* Tokens that lie in the struct itself: most rows of a count know few users. */
#define HLL_TOKENS_INSIDE 3
#define HLL_DENSE         UINT16_MAX

/* A token holds (register index, rank) of one hash at p=12: register in bits 31..20, rank (1..53)
 * in bits 5..0. They are sorted and distinct; of two with one register only the larger is kept. */
struct hll {
    union {
        struct {
            uint16_t token_count;    /* 0 when dense */
            uint16_t token_capacity; /* 0: the tokens lie in words[1..3]; HLL_DENSE: registers */
            uint32_t first_token;
            union {
                uint32_t *tokens;
                uint8_t *registers;
            };
        };
        uint32_t words[1 + HLL_TOKENS_INSIDE];
    };
};

_Static_assert(sizeof(struct hll) == 16, "four of them a cache line; a row is one line");

/* Zero-initialised is empty and valid. */
void hll_done(struct hll *h);
void hll_clear(struct hll *h);
bool hll_is_empty(const struct hll *h);

static inline bool hll_is_dense(const struct hll *h)
{
    return h->token_capacity == HLL_DENSE;
}

/* Sorted tokens, token_count of them, of a sketch that is not dense. Good until h changes. */
static inline const uint32_t *hll_tokens(const struct hll *h)
{
    return h->token_capacity == 0 ? h->words + 1 : h->tokens;
}

/* Bytes of heap that it holds, the allocator's own included. */
size_t hll_heap_bytes(const struct hll *h);

/* Asks the processor for what hll_add will touch; the struct itself should be near by then. */
static inline void hll_prefetch(const struct hll *h, uint64_t user_hash)
{
    if (h->token_capacity == HLL_DENSE)
        __builtin_prefetch(h->registers + (user_hash >> (64 - HLL_P)), 1);
    else if (h->token_capacity != 0)
        __builtin_prefetch(h->tokens, 1);
}

/* Adds one user by its 64-bit hash; every value is legal. Returns true when the state changed. */
bool hll_add(struct hll *h, uint64_t user_hash);

/* target = union of both. Commutative, associative, idempotent. Returns true on change. */
bool hll_merge(struct hll *target, const struct hll *source);

/* The ways to take the larger of each register, by themselves, for tests: equal in all. The second
 * falls back where there is no SSE2. */
bool hll_raise_portable(uint8_t target[HLL_REGISTERS], const uint8_t source[HLL_REGISTERS]);
bool hll_raise_sse2(uint8_t target[HLL_REGISTERS], const uint8_t source[HLL_REGISTERS]);

/* Estimated distinct users, rounded; exact for 0; standard error 1.04/sqrt(4096) = 1.63 %. */
uint64_t hll_estimate(const struct hll *h);

/* Canonical bytes: empty -> zero bytes; small -> 0x01 + tokens as delta varints ascending;
 * grown -> 0x02 + 4096 registers. */
void hll_put(const struct hll *h, struct buf *out);

/* Replaces *h. ERR_FORMAT / ERR_TRUNCATED / ERR_RANGE for bytes that hll_put cannot have
 * written; *h is then unchanged. */
enum err WARN_UNUSED hll_read(struct hll *h, struct span bytes);
