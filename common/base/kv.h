/* SPDX-License-Identifier: Apache-2.0
 * kv: the port to an ordered, transactional, durable store. Six functions.
 * Audience: drivers, shells. Cores never include it.
 * Implementations: common/run/kv_lmdb, tests/sim.
 *
 * Caveats first:
 *   - One write transaction at a time per store; it belongs to one thread. Any
 *     thread may hold read transactions; keep them short: a long reader makes an
 *     LMDB file grow for ever.
 *   - Spans handed out by get and seek stay valid until the next put or del in that
 *     transaction, or its end.
 *   - Errors stick to the transaction: puts read as prose, kv_commit tells. A
 *     transaction with an error cannot commit. get and seek say "false" after one,
 *     so a reader that must tell absence from failure asks kv_abort/kv_commit.
 *   - ERR_KV_FULL is back-pressure (class RETRY; the transaction left no trace).
 *     ERR_KV_IO after commit means the outcome is unknown: stop, never retry.
 *   - Keys are 1..511 bytes and sort bytewise. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"

struct kv_port;

/* Implementations embed this as their first member. */
struct kv_txn {
    struct kv_port *kv;
};

struct kv_port {
    enum err (*begin)(struct kv_port *kv, bool write, struct kv_txn **out_txn);
    bool (*get)(struct kv_txn *txn, unsigned table, struct span key, struct span *out_value);
    /* First entry with key >= `key`. */
    bool (*seek)(struct kv_txn *txn, unsigned table, struct span key, struct span *out_key,
                 struct span *out_value);
    void (*put)(struct kv_txn *txn, unsigned table, struct span key, struct span value);
    /* Deleting what is absent is no error. */
    void (*del)(struct kv_txn *txn, unsigned table, struct span key);
    /* Ends and frees; commit=true returns only after the data is durable. With
     * commit=false returns the sticky error, if any. */
    enum err (*end)(struct kv_txn *txn, bool commit);
};

static inline enum err kv_begin(struct kv_port *kv, bool write, struct kv_txn **out_txn)
{
    return kv->begin(kv, write, out_txn);
}
static inline bool kv_get(struct kv_txn *txn, unsigned table, struct span key,
                          struct span *out_value)
{
    return txn->kv->get(txn, table, key, out_value);
}
static inline bool kv_seek(struct kv_txn *txn, unsigned table, struct span key,
                           struct span *out_key, struct span *out_value)
{
    return txn->kv->seek(txn, table, key, out_key, out_value);
}
static inline void kv_put(struct kv_txn *txn, unsigned table, struct span key, struct span value)
{
    txn->kv->put(txn, table, key, value);
}
static inline void kv_del(struct kv_txn *txn, unsigned table, struct span key)
{
    txn->kv->del(txn, table, key);
}
/* Both null the caller's pointer: use after the end dies at once. */
static inline enum err WARN_UNUSED kv_commit(struct kv_txn **txn)
{
    struct kv_txn *ended = *txn;
    *txn = NULL;
    return ended->kv->end(ended, true);
}
static inline enum err kv_abort(struct kv_txn **txn)
{
    struct kv_txn *ended = *txn;
    *txn = NULL;
    return ended->kv->end(ended, false);
}
