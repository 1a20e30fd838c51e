/* SPDX-License-Identifier: Apache-2.0
 * hll: see hll.h. */
#include "common/base/hll.h"

#include <math.h>
#include <stdlib.h>

#define RANK_BITS   (64 - HLL_P)    /* hash bits that make the rank: 52 */
#define RANK_MAX    (RANK_BITS + 1) /* all of them zero: 53 */
#define TOKEN_SHIFT 20
#define TOKEN_RANK  0x3fu
#define KIND_TOKENS 0x01
#define KIND_DENSE  0x02

_Static_assert(HLL_P + TOKEN_SHIFT == 32, "the register index fills the top of a token");
_Static_assert(RANK_MAX <= TOKEN_RANK, "a rank fits its token bits");

static uint32_t token_of(uint64_t user_hash)
{
    uint32_t index = (uint32_t)(user_hash >> RANK_BITS);
    uint64_t rest = user_hash << HLL_P;
    uint32_t rank = rest == 0 ? RANK_MAX : (uint32_t)__builtin_clzll(rest) + 1;
    return index << TOKEN_SHIFT | rank;
}

static uint32_t token_index(uint32_t token)
{
    return token >> TOKEN_SHIFT;
}

static uint8_t token_rank(uint32_t token)
{
    return (uint8_t)(token & TOKEN_RANK);
}

void hll_done(struct hll *h)
{
    free(h->tokens);
    free(h->registers);
    *h = (struct hll){0};
}

void hll_clear(struct hll *h)
{
    free(h->registers);
    h->registers = NULL;
    h->token_count = 0;
}

bool hll_is_empty(const struct hll *h)
{
    return h->registers == NULL && h->token_count == 0;
}

static bool raise_register(uint8_t *registers, uint32_t index, uint8_t rank)
{
    if (registers[index] >= rank)
        return false;
    registers[index] = rank;
    return true;
}

static void grow_dense(struct hll *h)
{
    CHECK(h->registers == NULL);
    h->registers = base_zalloc(HLL_REGISTERS, 1);
    for (uint32_t i = 0; i < h->token_count; i++)
        h->registers[token_index(h->tokens[i])] = token_rank(h->tokens[i]);
    free(h->tokens);
    h->tokens = NULL;
    h->token_count = 0;
    h->token_capacity = 0;
}

static void grow_tokens(struct hll *h)
{
    if (h->token_count < h->token_capacity)
        return;
    h->token_capacity = h->token_capacity == 0 ? 4 : h->token_capacity * 2;
    h->tokens = base_realloc(h->tokens, h->token_capacity * sizeof(*h->tokens));
}

/* Dense exactly when more than HLL_TOKENS_MAX registers are in use. That number only grows and
 * depends on the set alone, so the form does too, whatever the order of arrival. */
static bool add_token(struct hll *h, uint32_t token)
{
    if (h->registers != NULL)
        return raise_register(h->registers, token_index(token), token_rank(token));

    uint32_t low = 0, high = h->token_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (token_index(h->tokens[middle]) < token_index(token))
            low = middle + 1;
        else
            high = middle;
    }
#ifdef TRIBUTARY_BREAK_SKETCH_ADDED
    if (low < h->token_count && token_index(h->tokens[low]) == token_index(token) &&
        token_rank(h->tokens[low]) + token_rank(token) <= RANK_MAX) {
        h->tokens[low] += token_rank(token);
        return true;
    }
#endif
    if (low < h->token_count && token_index(h->tokens[low]) == token_index(token)) {
        if (h->tokens[low] >= token)
            return false;
        h->tokens[low] = token;
        return true;
    }
    if (h->token_count == HLL_TOKENS_MAX) {
        grow_dense(h);
        return raise_register(h->registers, token_index(token), token_rank(token));
    }
    grow_tokens(h);
    memmove(h->tokens + low + 1, h->tokens + low, (h->token_count - low) * sizeof(*h->tokens));
    h->tokens[low] = token;
    h->token_count++;
    return true;
}

bool hll_add(struct hll *h, uint64_t user_hash)
{
    return add_token(h, token_of(user_hash));
}

bool hll_merge(struct hll *target, const struct hll *source)
{
    if (target == source)
        return false;
    bool changed = false;
    if (source->registers == NULL) {
        for (uint32_t i = 0; i < source->token_count; i++)
            changed |= add_token(target, source->tokens[i]);
        return changed;
    }
    if (target->registers == NULL) {
        grow_dense(target);
        changed = true; /* the source alone has more registers in use than tokens can hold */
    }
    for (uint32_t i = 0; i < HLL_REGISTERS; i++)
        changed |= raise_register(target->registers, i, source->registers[i]);
    return changed;
}

/* Source: Ertl 2017, "New cardinality estimation algorithms for HyperLogLog sketches", alg. 6. Both
 * series end when a term no longer changes the sum, so all machines with IEEE doubles take the same
 * steps. */
static double sigma(double x)
{
    CHECK(x >= 0 && x < 1);
    double y = 1, z = x, previous;
    do {
        x *= x;
        previous = z;
        z += x * y;
        y += y;
    } while (z > previous);
    return z;
}

static double tau(double x)
{
    if (x <= 0 || x >= 1)
        return 0;
    double y = 1, z = 1 - x, previous;
    do {
        x = sqrt(x);
        previous = z;
        y *= 0.5;
        z -= (1 - x) * (1 - x) * y;
    } while (z < previous);
    return z / 3;
}

uint64_t hll_estimate(const struct hll *h)
{
    if (hll_is_empty(h))
        return 0;
    uint32_t histogram[RANK_MAX + 1] = {0};
    if (h->registers != NULL) {
        for (uint32_t i = 0; i < HLL_REGISTERS; i++)
            histogram[h->registers[i]]++;
    } else {
        histogram[0] = HLL_REGISTERS - h->token_count;
        for (uint32_t i = 0; i < h->token_count; i++)
            histogram[token_rank(h->tokens[i])]++;
    }

    const double m = HLL_REGISTERS;
    const double alpha = 0.72134752044448170368; /* 1 / (2 ln 2) */
    double z = m * tau(1 - histogram[RANK_MAX] / m);
    for (unsigned rank = RANK_BITS; rank >= 1; rank--)
        z = 0.5 * (z + histogram[rank]);
    z += m * sigma(histogram[0] / m);
    if (z <= 0)
        return UINT64_MAX; /* every register at its end: only made-up bytes do that */
    double estimate = alpha * m * m / z;
    return estimate >= 0x1p63 ? UINT64_MAX : (uint64_t)(estimate + 0.5);
}

void hll_put(const struct hll *h, struct buf *out)
{
    if (hll_is_empty(h))
        return;
    if (h->registers != NULL) {
        buf_put_u8(out, KIND_DENSE);
        buf_put(out, h->registers, HLL_REGISTERS);
        return;
    }
    buf_put_u8(out, KIND_TOKENS);
    uint32_t previous = 0;
    for (uint32_t i = 0; i < h->token_count; i++) {
        buf_put_varint(out, h->tokens[i] - previous);
        previous = h->tokens[i];
    }
}

/* One way to write each value, or equal sets could have unequal digests. */
static bool varint_is_shortest(uint64_t value, size_t bytes)
{
    size_t shortest = 1;
    while (value >= 0x80) {
        value >>= 7;
        shortest++;
    }
    return bytes == shortest;
}

static enum err read_tokens(struct reader *r, struct hll *out)
{
    uint32_t tokens[HLL_TOKENS_MAX];
    uint32_t count = 0;
    uint64_t token = 0;
    while (r->left > 0) {
        size_t left = r->left;
        uint64_t delta = reader_varint(r);
        if (r->failed)
            return ERR_TRUNCATED;
        if (!varint_is_shortest(delta, left - r->left))
            return ERR_FORMAT;
        if (count == HLL_TOKENS_MAX || delta > UINT32_MAX - token)
            return ERR_RANGE;
        token += delta;
        uint32_t value = (uint32_t)token;
        bool rank_is_valid = token_rank(value) >= 1 && token_rank(value) <= RANK_MAX;
        bool gap_is_zero = (value & ((1u << TOKEN_SHIFT) - 1) & ~TOKEN_RANK) == 0;
        bool ascends = count == 0 || token_index(value) > token_index(tokens[count - 1]);
        if (!rank_is_valid || !gap_is_zero || !ascends)
            return ERR_RANGE;
        tokens[count++] = value;
    }
    if (count == 0)
        return ERR_TRUNCATED;
    out->tokens = base_alloc(count * sizeof(*tokens));
    memcpy(out->tokens, tokens, count * sizeof(*tokens));
    out->token_count = count;
    out->token_capacity = count;
    return ERR_OK;
}

static enum err read_dense(struct reader *r, struct hll *out)
{
    struct span registers = reader_bytes(r, HLL_REGISTERS);
    if (r->failed)
        return ERR_TRUNCATED;
    if (!reader_at_end(r))
        return ERR_FORMAT;
    uint32_t used = 0;
    for (uint32_t i = 0; i < HLL_REGISTERS; i++) {
        if (registers.data[i] > RANK_MAX)
            return ERR_RANGE;
        used += registers.data[i] > 0;
    }
    if (used <= HLL_TOKENS_MAX)
        return ERR_FORMAT; /* tokens would have held it */
    out->registers = base_alloc(HLL_REGISTERS);
    memcpy(out->registers, registers.data, HLL_REGISTERS);
    return ERR_OK;
}

enum err hll_read(struct hll *h, struct span bytes)
{
    struct hll read = {0};
    enum err err = ERR_OK;
    if (bytes.length > 0) {
        struct reader r = reader_of(bytes);
        uint8_t kind = reader_u8(&r);
        if (kind == KIND_TOKENS)
            err = read_tokens(&r, &read);
        else if (kind == KIND_DENSE)
            err = read_dense(&r, &read);
        else
            err = ERR_FORMAT;
    }
    if (err != ERR_OK)
        return err;
    hll_done(h);
    *h = read;
    return ERR_OK;
}
