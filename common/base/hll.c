/* SPDX-License-Identifier: Apache-2.0
 * hll: see hll.h. */
#include "common/base/hll.h"

#include <math.h>
#include <stdlib.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define RANK_BITS   (64 - HLL_P)    /* hash bits that make the rank: 52 */
#define RANK_MAX    (RANK_BITS + 1) /* all of them zero: 53 */
#define TOKEN_SHIFT 20
#define TOKEN_RANK  0x3fu
/* What the allocator adds to a block (glibc, 64 bits); only accounts and sizes rest on it. */
#define HEAP_HEAD_BYTES 8u
#define KIND_TOKENS     0x01
#define KIND_DENSE      0x02

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

static void free_heap(struct hll *h)
{
    if (hll_is_dense(h))
        free(h->registers);
    else if (h->token_capacity != 0)
        free(h->tokens);
}

void hll_done(struct hll *h)
{
    free_heap(h);
    *h = (struct hll){0};
}

void hll_clear(struct hll *h)
{
    if (hll_is_dense(h))
        hll_done(h);
    h->token_count = 0;
}

bool hll_is_empty(const struct hll *h)
{
    return !hll_is_dense(h) && h->token_count == 0;
}

size_t hll_heap_bytes(const struct hll *h)
{
    if (hll_is_dense(h))
        return HLL_REGISTERS + HEAP_HEAD_BYTES;
    return h->token_capacity == 0 ? 0 : h->token_capacity * sizeof(uint32_t) + HEAP_HEAD_BYTES;
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
    CHECK(!hll_is_dense(h));
    uint8_t *registers = base_zalloc(HLL_REGISTERS, 1);
    const uint32_t *tokens = hll_tokens(h);
    for (uint32_t i = 0; i < h->token_count; i++)
        registers[token_index(tokens[i])] = token_rank(tokens[i]);
    free_heap(h);
    *h = (struct hll){.token_capacity = HLL_DENSE};
    h->registers = registers;
}

/* Sizes that leave nothing of the allocator's 16-byte steps unused, each a quarter larger. */
static uint16_t next_capacity(uint16_t capacity)
{
    size_t wanted = capacity == 0 ? 2 * HLL_TOKENS_INSIDE : capacity + capacity / 4u + 1u;
    size_t bytes = (wanted * sizeof(uint32_t) + HEAP_HEAD_BYTES + 15) & ~(size_t)15;
    size_t fits = (bytes - HEAP_HEAD_BYTES) / sizeof(uint32_t);
    return (uint16_t)(fits < HLL_TOKENS_MAX ? fits : HLL_TOKENS_MAX);
}

/* Room for one more. */
static uint32_t *room_for_token(struct hll *h)
{
    if (h->token_capacity == 0) {
        if (h->token_count < HLL_TOKENS_INSIDE)
            return h->words + 1;
        uint16_t capacity = next_capacity(0);
        uint32_t *tokens = base_alloc(capacity * sizeof(*tokens));
        memcpy(tokens, h->words + 1, HLL_TOKENS_INSIDE * sizeof(*tokens));
        h->tokens = tokens;
        h->token_capacity = capacity;
    } else if (h->token_count == h->token_capacity) {
        h->token_capacity = next_capacity(h->token_capacity);
        h->tokens = base_realloc(h->tokens, h->token_capacity * sizeof(*h->tokens));
    }
    return h->tokens;
}

/* The place of the first token whose register is not below; without a branch to guess, because the
 * answer is a coin's throw each time. */
static uint32_t place_of(const uint32_t *tokens, uint32_t count, uint32_t index)
{
    const uint32_t least = index << TOKEN_SHIFT;
    const uint32_t *base = tokens;
    while (count > 1) {
        uint32_t half = count / 2;
        base += base[half - 1] < least ? half : 0;
        count -= half;
    }
    return (uint32_t)(base - tokens) + (count == 1 && *base < least);
}

/* Dense exactly when more than HLL_TOKENS_MAX registers are in use. That number only grows and
 * depends on the set alone, so the form does too, whatever the order of arrival. */
static bool add_token(struct hll *h, uint32_t token)
{
    if (hll_is_dense(h))
        return raise_register(h->registers, token_index(token), token_rank(token));

    uint32_t *tokens = h->token_capacity == 0 ? h->words + 1 : h->tokens;
    uint32_t at = place_of(tokens, h->token_count, token_index(token));
    bool is_there = at < h->token_count && token_index(tokens[at]) == token_index(token);
#ifdef TRIBUTARY_BREAK_SKETCH_ADDED
    if (is_there && token_rank(tokens[at]) + token_rank(token) <= RANK_MAX) {
        tokens[at] += token_rank(token);
        return true;
    }
#endif
    if (is_there) {
        if (tokens[at] >= token)
            return false;
        tokens[at] = token;
        return true;
    }
    if (h->token_count == HLL_TOKENS_MAX) {
        grow_dense(h);
        return raise_register(h->registers, token_index(token), token_rank(token));
    }
    tokens = room_for_token(h);
    memmove(tokens + at + 1, tokens + at, (h->token_count - at) * sizeof(*tokens));
    tokens[at] = token;
    h->token_count++;
    return true;
}

bool hll_add(struct hll *h, uint64_t user_hash)
{
    return add_token(h, token_of(user_hash));
}

bool hll_raise_portable(uint8_t target[HLL_REGISTERS], const uint8_t source[HLL_REGISTERS])
{
    bool changed = false;
    for (uint32_t i = 0; i < HLL_REGISTERS; i++)
        changed |= raise_register(target, i, source[i]);
    return changed;
}

#if defined(__SSE2__)
bool hll_raise_sse2(uint8_t target[HLL_REGISTERS], const uint8_t source[HLL_REGISTERS])
{
    __m128i same = _mm_set1_epi8(-1);
    for (uint32_t i = 0; i < HLL_REGISTERS; i += sizeof(__m128i)) {
        __m128i before = _mm_loadu_si128((const __m128i_u *)(target + i));
        __m128i other = _mm_loadu_si128((const __m128i_u *)(source + i));
        __m128i after = _mm_max_epu8(before, other);
        same = _mm_and_si128(same, _mm_cmpeq_epi8(before, after));
        _mm_storeu_si128((__m128i_u *)(target + i), after);
    }
    return _mm_movemask_epi8(same) != 0xffff;
}
#else
bool hll_raise_sse2(uint8_t target[HLL_REGISTERS], const uint8_t source[HLL_REGISTERS])
{
    return hll_raise_portable(target, source);
}
#endif

bool hll_merge(struct hll *target, const struct hll *source)
{
    if (target == source)
        return false;
    bool changed = false;
    if (!hll_is_dense(source)) {
        const uint32_t *tokens = hll_tokens(source);
        for (uint32_t i = 0; i < source->token_count; i++)
            changed |= add_token(target, tokens[i]);
        return changed;
    }
    if (!hll_is_dense(target)) {
        grow_dense(target);
        changed = true; /* the source alone has more registers in use than tokens can hold */
    }
    changed |= hll_raise_sse2(target->registers, source->registers);
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
    if (hll_is_dense(h)) {
        for (uint32_t i = 0; i < HLL_REGISTERS; i++)
            histogram[h->registers[i]]++;
    } else {
        const uint32_t *tokens = hll_tokens(h);
        histogram[0] = HLL_REGISTERS - h->token_count;
        for (uint32_t i = 0; i < h->token_count; i++)
            histogram[token_rank(tokens[i])]++;
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
    if (hll_is_dense(h)) {
        buf_put_u8(out, KIND_DENSE);
        buf_put(out, h->registers, HLL_REGISTERS);
        return;
    }
    buf_put_u8(out, KIND_TOKENS);
    const uint32_t *tokens = hll_tokens(h);
    uint32_t previous = 0;
    for (uint32_t i = 0; i < h->token_count; i++) {
        buf_put_varint(out, tokens[i] - previous);
        previous = tokens[i];
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
    out->token_count = (uint16_t)count;
    if (count <= HLL_TOKENS_INSIDE) {
        memcpy(out->words + 1, tokens, count * sizeof(*tokens));
        return ERR_OK;
    }
    out->tokens = base_alloc(count * sizeof(*tokens));
    memcpy(out->tokens, tokens, count * sizeof(*tokens));
    out->token_capacity = (uint16_t)count;
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
    out->token_capacity = HLL_DENSE;
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
