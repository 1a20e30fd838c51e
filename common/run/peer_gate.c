/* SPDX-License-Identifier: Apache-2.0
 * peer_gate: a lock around a peer_budget, and a seed that no client knows. */
#include "common/run/peer_gate.h"

#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

struct peer_gate {
    pthread_mutex_t lock;
    bool limits_requests;
    struct peer_budget *budget; /* under lock */
};

struct peer_gate *peer_gate_new(const struct peer_limits *limits)
{
    struct peer_gate *gate = base_zalloc(1, sizeof(*gate));
    uint64_t seed;
    CHECK(RAND_bytes((unsigned char *)&seed, sizeof(seed)) == 1);
    CHECK(pthread_mutex_init(&gate->lock, NULL) == 0);
    gate->limits_requests = limits->requests_per_s > 0;
    gate->budget = peer_budget_new(limits, PEER_GATE_PEERS_MAX, seed);
    return gate;
}

void peer_gate_free(struct peer_gate *gate)
{
    if (gate == NULL)
        return;
    peer_budget_free(gate->budget);
    CHECK(pthread_mutex_destroy(&gate->lock) == 0);
    free(gate);
}

enum peer_verdict peer_gate_connect(struct peer_gate *gate, const uint8_t ip[16], uint64_t now_ms,
                                    uint32_t *out_entry)
{
    pthread_mutex_lock(&gate->lock);
    enum peer_verdict verdict = peer_budget_connect(gate->budget, ip, now_ms, out_entry);
    pthread_mutex_unlock(&gate->lock);
    return verdict;
}

void peer_gate_disconnect(struct peer_gate *gate, uint32_t entry)
{
    pthread_mutex_lock(&gate->lock);
    peer_budget_disconnect(gate->budget, entry);
    pthread_mutex_unlock(&gate->lock);
}

bool peer_gate_limits_requests(const struct peer_gate *gate)
{
    return gate->limits_requests;
}

enum peer_verdict peer_gate_request(struct peer_gate *gate, const uint8_t ip[16], uint64_t now_ms,
                                    uint32_t *out_wait_s)
{
    pthread_mutex_lock(&gate->lock);
    enum peer_verdict verdict = peer_budget_request(gate->budget, ip, now_ms, out_wait_s);
    pthread_mutex_unlock(&gate->lock);
    return verdict;
}

uint32_t peer_gate_known(struct peer_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    uint32_t known = peer_budget_known(gate->budget);
    pthread_mutex_unlock(&gate->lock);
    return known;
}
