/* SPDX-License-Identifier: Apache-2.0
 * fold_look: what the fold must have in memory before it folds a message: for each click of a
 * stored minute one chunk of keys and one value of rows. The driver reads them between fold_look
 * and fold_step; a message is folded whole or not at all.
 * Audience: regional/core, regional driver, tests. Pure. Source: design 4.4, decision 0008. */
#pragma once

#include "regional/core/fold.h"
#include "regional/core/minute_snapshot.h"

/* The key to seek: its first entry at or after it is the only one that can hold what is needed. */
struct fold_need {
    uint8_t length; /* of a chunk's key, or of a rows value's */
    uint8_t key[MINUTE_CHUNK_KEY_BYTES];
};

/* Ascending and distinct: needs that one value answers are neighbours. */
struct fold_needs {
    struct fold_need *items;
    uint32_t count, capacity;
};

/* What the message needs; nothing for most. Good until the next call. Changes nothing that counts;
 * fold_step of the same message must follow before any other (CHECKed where it matters). */
const struct fold_needs *fold_look(struct fold *f, const struct fold_message *m);

/* What a redo value on top of a snapshot needs before redo_apply: its rows. ERR_KV_CORRUPT: not
 * what redo_write has written. */
enum err WARN_UNUSED fold_look_redo(struct fold *f, struct span key, struct span value,
                                    const struct fold_needs **out);

/* Takes what was found for needs[0] (an empty key: nothing at or after it) into the tables, and
 * with it whatever the same value answers. Returns through *out_answered how many of the needs that
 * is, at least one. ERR_KV_CORRUPT: the store does not hold what it must. */
enum err WARN_UNUSED fold_look_found(struct fold *f, const struct fold_need *needs, uint32_t count,
                                     struct span key, struct span value, uint32_t *out_answered);

void fold_look_done(struct fold_needs *needs);
