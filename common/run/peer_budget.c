/* SPDX-License-Identifier: Apache-2.0
 * peer_budget: token buckets by address, in a chained table that forgets only what is as new. */
#include "common/run/peer_budget.h"

#include "common/base/hash.h"

#include <stdlib.h>

#define NONE      UINT32_MAX
#define SWEEP_MAX 64 /* entries looked at for one newcomer */
#define ONE       1000ull

struct bucket { /* refills by per_s thousandths a millisecond */
    uint64_t filled_ms;
    uint64_t left; /* thousandths of one */
};

struct entry {
    uint8_t key[16];
    uint32_t next; /* of its chain, or of the free ones */
    uint32_t connections;
    bool used;
    struct bucket connects, requests;
};

struct peer_budget {
    struct peer_limits limits;
    uint64_t seed;
    uint32_t peers_max, known;
    uint32_t free_first, hand;
    uint32_t *chains;      /* peers_max heads */
    struct entry *entries; /* peers_max, and the shared one */
};

static uint64_t burst_of(uint32_t burst, bool shared)
{
    return burst * ONE * (shared ? PEER_BUDGET_SHARED : 1);
}

static void fill_new(const struct peer_budget *b, struct entry *e, uint64_t now_ms, bool shared)
{
    e->connects = (struct bucket){now_ms, burst_of(b->limits.connects_burst, shared)};
    e->requests = (struct bucket){now_ms, burst_of(b->limits.requests_burst, shared)};
}

struct peer_budget *peer_budget_new(const struct peer_limits *limits, uint32_t peers_max,
                                    uint64_t seed)
{
    struct peer_budget *b = base_zalloc(1, sizeof(*b));
    CHECK(peers_max >= 1 && peers_max < NONE);
    CHECK(limits->connects_per_s == 0 || limits->connects_burst >= 1);
    CHECK(limits->requests_per_s == 0 || limits->requests_burst >= 1);
    b->limits = *limits;
    b->seed = seed;
    b->peers_max = peers_max;
    b->chains = base_zalloc(peers_max, sizeof(*b->chains));
    b->entries = base_zalloc((size_t)peers_max + 1, sizeof(*b->entries));
    for (uint32_t i = 0; i < peers_max; i++) {
        b->chains[i] = NONE;
        b->entries[i].next = i + 1 < peers_max ? i + 1 : NONE;
    }
    fill_new(b, &b->entries[peers_max], 0, true);
    return b;
}

void peer_budget_free(struct peer_budget *b)
{
    if (b == NULL)
        return;
    free(b->chains);
    free(b->entries);
    free(b);
}

/* -- buckets ------------------------------------------------------------------------------- */

/* A clock that goes back refills nothing. */
static void refill(struct bucket *bucket, uint64_t per_s, uint64_t burst, uint64_t now_ms)
{
    if (now_ms <= bucket->filled_ms)
        return;
    uint64_t passed = now_ms - bucket->filled_ms;
    uint64_t missing = burst - bucket->left;
    /* without overflow: once `missing` is covered, more time adds nothing */
    bucket->left += passed >= missing / per_s + 1 ? missing : base_min_u64(missing, passed * per_s);
    bucket->filled_ms = now_ms;
}

/* 0: one was taken; else the milliseconds until there is one. */
static uint64_t take(struct bucket *bucket, uint64_t per_s, uint64_t burst, uint64_t now_ms)
{
    if (per_s == 0)
        return 0;
    refill(bucket, per_s, burst, now_ms);
    if (bucket->left < ONE)
        return (ONE - bucket->left + per_s - 1) / per_s;
    bucket->left -= ONE;
    return 0;
}

static bool is_full(struct bucket *bucket, uint64_t per_s, uint64_t burst, uint64_t now_ms)
{
    if (per_s == 0)
        return true;
    refill(bucket, per_s, burst, now_ms);
    return bucket->left == burst;
}

/* -- the table ----------------------------------------------------------------------------- */

static void key_of(const uint8_t ip[16], uint8_t out_key[16])
{
    static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    memcpy(out_key, ip, 16);
    if (memcmp(ip, v4_prefix, sizeof(v4_prefix)) != 0)
        memset(out_key + 8, 0, 8);
}

static uint32_t *chain_of(const struct peer_budget *b, const uint8_t key[16])
{
    return &b->chains[hash_checksum(span_of(key, 16), b->seed) % b->peers_max];
}

static void forget(struct peer_budget *b, uint32_t index)
{
    struct entry *e = &b->entries[index];
    uint32_t *at = chain_of(b, e->key);
    while (*at != index) {
        CHECK(*at != NONE);
        at = &b->entries[*at].next;
    }
    *at = e->next;
    e->used = false;
    e->next = b->free_first;
    b->free_first = index;
    b->known--;
}

static bool is_as_new(const struct peer_budget *b, struct entry *e, uint64_t now_ms)
{
    const struct peer_limits *l = &b->limits;
    return e->connections == 0 &&
           is_full(&e->connects, l->connects_per_s, burst_of(l->connects_burst, false), now_ms) &&
           is_full(&e->requests, l->requests_per_s, burst_of(l->requests_burst, false), now_ms);
}

/* A bite a newcomer: the hand goes round, so that every entry has its turn. */
static void sweep(struct peer_budget *b, uint64_t now_ms)
{
    for (uint32_t i = 0; i < base_min_u64(SWEEP_MAX, b->peers_max); i++) {
        struct entry *e = &b->entries[b->hand];
        if (e->used && is_as_new(b, e, now_ms))
            forget(b, b->hand);
        b->hand = (b->hand + 1) % b->peers_max;
    }
}

/* The address's entry, made where there is none; the shared one where there is no room. */
static uint32_t find(struct peer_budget *b, const uint8_t ip[16], uint64_t now_ms)
{
    uint8_t key[16];
    key_of(ip, key);
    for (uint32_t i = *chain_of(b, key); i != NONE; i = b->entries[i].next)
        if (memcmp(b->entries[i].key, key, sizeof(key)) == 0)
            return i;
    if (b->free_first == NONE)
        sweep(b, now_ms);
    uint32_t index = b->free_first;
    if (index == NONE)
        return b->peers_max;
    struct entry *e = &b->entries[index];
    CHECK(!e->used && e->connections == 0);
    b->free_first = e->next;
    memcpy(e->key, key, sizeof(key));
    fill_new(b, e, now_ms, false);
    e->used = true;
    uint32_t *chain = chain_of(b, key);
    e->next = *chain;
    *chain = index;
    b->known++;
    return index;
}

/* -- asking -------------------------------------------------------------------------------- */

enum peer_verdict peer_budget_connect(struct peer_budget *b, const uint8_t ip[16], uint64_t now_ms,
                                      uint32_t *out_entry)
{
    const struct peer_limits *l = &b->limits;
    uint32_t index = find(b, ip, now_ms);
    bool shared = index == b->peers_max;
    uint64_t times = shared ? PEER_BUDGET_SHARED : 1;
    struct entry *e = &b->entries[index];

    if (l->connections > 0 && e->connections >= l->connections * times)
        return PEER_TOO_MANY;
    if (take(&e->connects, l->connects_per_s * times, burst_of(l->connects_burst, shared), now_ms) >
        0)
        return PEER_TOO_FAST;
    e->connections++;
    *out_entry = index;
    return PEER_FINE;
}

void peer_budget_disconnect(struct peer_budget *b, uint32_t entry)
{
    CHECK(entry <= b->peers_max && b->entries[entry].connections > 0);
    b->entries[entry].connections--;
}

enum peer_verdict peer_budget_request(struct peer_budget *b, const uint8_t ip[16], uint64_t now_ms,
                                      uint32_t *out_wait_s)
{
    const struct peer_limits *l = &b->limits;
    if (l->requests_per_s == 0)
        return PEER_FINE;
    uint32_t index = find(b, ip, now_ms);
    bool shared = index == b->peers_max;
    uint64_t wait_ms = take(&b->entries[index].requests,
                            (uint64_t)l->requests_per_s * (shared ? PEER_BUDGET_SHARED : 1),
                            burst_of(l->requests_burst, shared), now_ms);
    if (wait_ms == 0)
        return PEER_FINE;
    *out_wait_s = (uint32_t)((wait_ms + 999) / 1000);
    return PEER_TOO_FAST;
}

uint32_t peer_budget_known(const struct peer_budget *b)
{
    return b->known;
}
