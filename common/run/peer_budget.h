/* SPDX-License-Identifier: Apache-2.0
 * peer_budget: how many connections one client address holds, how fast it opens them, and how fast
 * it asks. Audience: common/run, tests. Pure: time is an argument. One thread at a time per object.
 *
 * An address is an IPv4 /32 or an IPv6 /64 (whoever has one address of a /64 has them all).
 * Memory is bounded and taken at the start. An address is forgotten only when it holds no
 * connection and its buckets are full again, so that it differs in nothing from one never seen:
 * nobody gains by being forgotten, and nobody can push another out. Where no entry can be
 * forgotten, newcomers share a last one, with PEER_BUDGET_SHARED times the limits. */
#pragma once

#include "common/base/bytes.h"

#define PEER_BUDGET_SHARED 64

struct peer_limits { /* 0: no limit of that kind */
    uint32_t connections;
    uint32_t connects_per_s, connects_burst; /* burst >= 1 where there is a rate */
    uint32_t requests_per_s, requests_burst;
};

enum peer_verdict { PEER_FINE, PEER_TOO_MANY, PEER_TOO_FAST, PEER_VERDICTS };

struct peer_budget;

/* seed: unknown to clients, so that none can choose addresses that collide. */
struct peer_budget *peer_budget_new(const struct peer_limits *limits, uint32_t peers_max,
                                    uint64_t seed);
void peer_budget_free(struct peer_budget *b);

/* A new connection from ip (16 bytes; IPv4 as ::ffff:a.b.c.d). Where PEER_FINE, *out_entry is to
 * be given back by peer_budget_disconnect; else nothing was taken. */
enum peer_verdict peer_budget_connect(struct peer_budget *b, const uint8_t ip[16], uint64_t now_ms,
                                      uint32_t *out_entry);
void peer_budget_disconnect(struct peer_budget *b, uint32_t entry);

/* One request of ip. Where PEER_TOO_FAST, *out_wait_s (>= 1) is when one would be fine. */
enum peer_verdict peer_budget_request(struct peer_budget *b, const uint8_t ip[16], uint64_t now_ms,
                                      uint32_t *out_wait_s);

uint32_t peer_budget_known(const struct peer_budget *b); /* addresses remembered now */
