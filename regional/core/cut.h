/* SPDX-License-Identifier: Apache-2.0
 * cut: where the fold makes its state durable and tells the world: what one transaction must hold,
 * and what may be sent after it. Audience: regional/core, regional driver, tests. Pure. Source:
 * design 4.6. */
#pragma once

#include "regional/core/announce.h"
#include "regional/core/fold_state.h"
#include "regional/core/minute_move.h"

/* Tables of a replica's store. */
enum cut_table {
    CUT_TABLE_META,
    CUT_TABLE_STATE,
    CUT_TABLE_REDO,
    CUT_TABLE_OUTBOX,
    CUT_TABLE_NAMES,
    CUT_TABLE_MINUTES,
    CUT_TABLES
};

/* Closed minutes that move to the store in one cut, at most; and after so many bytes no more. */
#define CUT_MOVES      4u
#define CUT_MOVE_BYTES (64u << 20)

struct cut_put {
    enum cut_table table;
    uint8_t key_length;
    uint8_t key[16];
    struct buf value; /* empty: the entry goes */
};

/* Zero-initialised is empty and valid. */
struct cut {
    uint16_t partition;
    struct cut_put *puts; /* redo values, names and the state */
    uint32_t put_count, put_capacity;
    struct announce_messages partials; /* for the outbox */
    uint32_t retired_below;            /* redo values of minutes below may go */
    struct minute_move moves[CUT_MOVES];
    uint32_t move_count;
    uint64_t memory_bytes; /* that tables and names took; 0: not measured in this cut */
    struct partition_map map;
};

struct cut_request {
    struct announce_identity who;
    struct fold_position position;      /* of the last message folded */
    const struct announce_store *store; /* may be NULL where announce_reads says no */
    uint64_t time_ms;                   /* of the message before which the cut is made */
    /* False: the process ends. State only: the next cut and partial come where the stream wants
     * them, as if this one had not been. */
    bool by_stream;
};

/* ERR_KV_*: of the store; fold and cut are unusable, load again. */
enum err WARN_UNUSED cut_make(struct fold *f, const struct cut_request *request, struct cut *out);
void cut_done(struct cut *c);

/* Key of a partition's state. */
void cut_state_key(uint8_t out[2], uint16_t partition);
