/* SPDX-License-Identifier: Apache-2.0
 * peer_gate: one peer_budget for all servers of a program, whichever thread a client's connection
 * fell to. Audience: h2_server*.c, h2_peer.c, shells. Any thread; its lock is a leaf. */
#pragma once

#include "common/run/peer_budget.h"

/* Addresses remembered at once, 4 MB of them; those beyond share one entry (see peer_budget.h). */
#define PEER_GATE_PEERS_MAX 65536

struct peer_gate;

struct peer_gate *peer_gate_new(const struct peer_limits *limits);
void peer_gate_free(struct peer_gate *gate); /* NULL is fine */

/* As peer_budget's; now_ms is monotonic. */
enum peer_verdict peer_gate_connect(struct peer_gate *gate, const uint8_t ip[16], uint64_t now_ms,
                                    uint32_t *out_entry);
void peer_gate_disconnect(struct peer_gate *gate, uint32_t entry);
/* Are requests limited at all? Costs nothing. */
bool peer_gate_limits_requests(const struct peer_gate *gate);
enum peer_verdict peer_gate_request(struct peer_gate *gate, const uint8_t ip[16], uint64_t now_ms,
                                    uint32_t *out_wait_s);
uint32_t peer_gate_known(struct peer_gate *gate);
