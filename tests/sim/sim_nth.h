/* SPDX-License-Identifier: Apache-2.0
 * sim_nth: the n-th call of a port function fails, once, with an error that the function may
 * return. Audience: tests. Shared by the ports of one process, and outlives it; NULL: nothing
 * fails. */
#pragma once

#include "common/base/err.h"

/* What can fail apart from the rest: calls, and answers that come later. */
#define SIM_CALL_TABLE(X)                                                                          \
    X(BEGIN_READ, "kv begin, to read")                                                             \
    X(BEGIN_WRITE, "kv begin, to write")                                                           \
    X(GET, "kv get")                                                                               \
    X(SEEK, "kv seek")                                                                             \
    X(PUT, "kv put")                                                                               \
    X(DEL, "kv del")                                                                               \
    X(COMMIT, "kv end, to commit")                                                                 \
    X(PUBLISH, "bus publish")                                                                      \
    X(ANSWER, "bus publish, answered")                                                             \
    X(SEND, "bus send")                                                                            \
    X(SENT, "bus send, on its way")                                                                \
    X(LISTEN, "bus listen")                                                                        \
    X(READ, "bus read")                                                                            \
    X(READING, "bus read, begun")                                                                  \
    X(FETCH, "bus get")                                                                            \
    X(GOT, "bus get, answered")                                                                    \
    X(EVENT, "bus poll, the link")

enum sim_call {
#define SIM_CALL_ROW(name, words) SIM_CALL_##name,
    SIM_CALL_TABLE(SIM_CALL_ROW)
#undef SIM_CALL_ROW
        SIM_CALLS
};

struct sim_nth {
    uint32_t calls; /* bit i: sim_call i is counted down */
    uint32_t left;  /* 0: nothing will fail */
    enum err err;
    bool applied; /* it took effect all the same, as far as that can be */
    bool awake;   /* the process acts; checkers look into its store as well */
    bool fired;   /* it has failed */
    uint32_t met[SIM_CALLS];
};

/* The error that this call is to return. */
static inline enum err sim_nth_meet(struct sim_nth *n, enum sim_call call)
{
    if (n == NULL || !n->awake)
        return ERR_OK;
    n->met[call]++;
    if (n->left == 0 || (n->calls >> call & 1) == 0 || --n->left > 0)
        return ERR_OK;
    n->fired = true;
    return n->err;
}
