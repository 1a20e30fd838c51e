/* SPDX-License-Identifier: Apache-2.0
 * control: messages of operators and of the fold itself that travel in a partition's stream.
 * Audience: regional, tests. Pure. Drawn in proto/PROTOCOL.md, "Control" and "Tick".
 * Source: design 4.6, 4.8.
 *
 * Control messages are numbered densely from 0 per partition and floored like clicks: below the
 * floor is a repeat, above it is a gap (not applied). Whoever sends reads the floor first and sends
 * again until it has moved past. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/limits.h"

#define CONTROL_MAGIC       "TRCT"
#define CONTROL_VERSION     1
#define CONTROL_VERSION_MAP 2
#define TICK_MAGIC          "TRTK"
#define TICK_VERSION        1

enum control_kind {
    CONTROL_ENROL = 1,  /* edge: from now on its clock holds the watermark */
    CONTROL_RETIRE = 2, /* edge: no longer known; its clicks are folded all the same */
    CONTROL_WRITE_OFF =
        3, /* edge: what it has not delivered is given up; epoch 0: all its epochs so far */
    CONTROL_MAP = 4, /* the partition map grows; version 2 of the message */
};

struct control_message {
    uint64_t number;
    uint64_t nonce; /* random: tells the sender whose message took the number */
    enum control_kind kind;
    /* Of an edge, all kinds but CONTROL_MAP. */
    char edge[LIMIT_EDGE_NAME_BYTES + 1];
    uint64_t epoch;
    /* CONTROL_MAP. */
    uint32_t from_minute;
    uint16_t partitions;
    bool again; /* instead of the last step, which some partition refused; only to a later minute */
};

void control_write(struct buf *out, const struct control_message *m);
enum err WARN_UNUSED control_read(struct control_message *out, struct span message);

/* A tick has no content: it only makes the stream's time move. */
void tick_write(struct buf *out);
bool tick_is(struct span message);
