/* SPDX-License-Identifier: Apache-2.0
 * abuse_budget: how much of what is cheap to send and dear to take one connection may do.
 * Audience: common/run, tests. Pure: time is an argument. One thread at a time per object.
 *
 * Each kind is a bucket that starts full (burst) and refills steadily (per second). An honest
 * client never empties one; a flood of resets, SETTINGS, PINGs, empty frames or decoded header
 * bytes does within a second, and its connection is closed with ENHANCE_YOUR_CALM. Sized from the
 * floods that nghttp2 1.52 with default options survives badly. */
#pragma once

#include "common/base/bytes.h"

/*    kind                      burst              per second */
#define ABUSE_TABLE(X)                                                                             \
    X(ABUSE_RESET_RECEIVED, 200, 20)                                                               \
    X(ABUSE_RESET_SENT, 100, 10)                                                                   \
    X(ABUSE_SETTINGS, 20, 1)                                                                       \
    X(ABUSE_PING, 100, 10)                                                                         \
    X(ABUSE_PRIORITY, 500, 50)                                                                     \
    X(ABUSE_EMPTY_DATA, 100, 10)                                                                   \
    X(ABUSE_CONTINUATION, 100, 10)                                                                 \
    X(ABUSE_WINDOW_UPDATE, 4000, 2000)                                                             \
    X(ABUSE_HEADER_BYTES, 32u * 1024 * 1024, 16u * 1024 * 1024)                                    \
    X(ABUSE_HEADER_EXCESS, 256u * 1024, 16u * 1024)                                                \
    X(ABUSE_UNKNOWN_FRAME, 100, 10)

enum abuse_kind {
#define ABUSE_ENUM_ROW(kind, burst, per_second) kind,
    ABUSE_TABLE(ABUSE_ENUM_ROW)
#undef ABUSE_ENUM_ROW
        ABUSE_KINDS
};

struct abuse_budget {
    uint64_t filled_ms[ABUSE_KINDS]; /* when the bucket was last topped up */
    uint64_t left[ABUSE_KINDS];      /* thousandths of one */
};

void abuse_budget_init(struct abuse_budget *b, uint64_t now_ms);

/* Takes `amount` out of the bucket; false when it does not hold that much (it is then empty). A
 * clock that goes back refills nothing. */
bool abuse_budget_spend(struct abuse_budget *b, enum abuse_kind kind, uint64_t amount,
                        uint64_t now_ms);

/* For log lines, e.g. "ABUSE_RESET_RECEIVED". */
const char *abuse_kind_name(enum abuse_kind kind);
/* For labels of metrics, e.g. "reset_received". */
const char *abuse_kind_token(enum abuse_kind kind);

/* Finds the frames in the plain bytes of a connection, whatever pieces they come in. */
struct abuse_meter {
    uint32_t skip; /* bytes until the next frame begins: preface or payload */
    uint8_t head[9];
    uint32_t head_bytes;
};

void abuse_meter_init(struct abuse_meter *m);

/* Eats from *bytes up to and with the next frame head that costs one of *out_kind; false when all
 * is eaten. */
bool abuse_meter_next(struct abuse_meter *m, struct span *bytes, enum abuse_kind *out_kind);
