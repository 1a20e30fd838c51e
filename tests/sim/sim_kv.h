/* SPDX-License-Identifier: Apache-2.0
 * sim_kv: the kv port in memory, with a durable layer, crashes, clones and failures of the n-th
 * call. Audience: tests. One thread. */
#pragma once

#include "common/base/kv.h"
#include "tests/sim/sim_fuse.h"
#include "tests/sim/sim_nth.h"

struct kv_port *sim_kv_new(unsigned table_count);
void sim_kv_free(struct kv_port *kv);

/* The n-th commit from now (1 = the next) returns `err`; applied says whether its changes stay (an
 * error after commit means: outcome unknown). One shot. */
void sim_kv_fail_commit(struct kv_port *kv, unsigned n, enum err err, bool applied);
/* Commits since the start. */
uint64_t sim_kv_commits(const struct kv_port *kv);
/* Any open transaction is forgotten, as by a crash. */
void sim_kv_crash(struct kv_port *kv);
/* A full copy (a backup, a clone). */
struct kv_port *sim_kv_clone(const struct kv_port *kv);
uint64_t sim_kv_entries(const struct kv_port *kv, unsigned table);
/* Puts beyond this many bytes of keys and values fail with ERR_KV_FULL; 0: no bound. */
void sim_kv_limit(struct kv_port *kv, uint64_t bytes_max);
/* Bytes of keys and values that it holds. */
uint64_t sim_kv_bytes(const struct kv_port *kv);
void sim_kv_fuse(struct kv_port *kv, struct sim_fuse *fuse);
/* Calls that fail; an error of a read sticks to its transaction, as in the real one. */
void sim_kv_nth(struct kv_port *kv, struct sim_nth *nth);
