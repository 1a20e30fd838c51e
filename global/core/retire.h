/* SPDX-License-Identifier: Apache-2.0
 * retire: how long the globe's store keeps minutes and hours, and the walk that deletes what it
 * keeps no longer.
 * Audience: global core, drivers, tests. Pure.
 *
 * The horizon is durable before anything below it is deleted, and never goes back: rows below it
 * are refused, or half a page would be born again. It follows the least watermark of all regions
 * and our own clock, whichever is further back: one wrong clock retires nothing. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"

#define RETIRE_DAY_MINUTES 1440u
/* A merger that cannot prove its position reads a week of partials again: none may be refused. */
#define RETIRE_DAYS_MIN 8u
#define RETIRE_DAYS_MAX 36500u

struct retire_horizon {
    uint32_t minute; /* first that is kept, with pages, sketches and books; begins an hour */
    uint32_t day;    /* first whose hours are kept */
};

/* Where the horizon should be. 0 days: that kind is kept for ever. */
struct retire_horizon retire_due(uint64_t watermark_ms, uint64_t now_ms, uint32_t minutes_days,
                                 uint32_t hours_days);

/* Moves *h forward to `due`, never back. Returns true on change. */
bool retire_advance(struct retire_horizon *h, struct retire_horizon due);

void retire_put(const struct retire_horizon *h, struct buf *out);
enum err WARN_UNUSED retire_read(struct retire_horizon *h, struct span bytes);

/* A walk over the keys of one table that begin with `prefix_bytes` of whose they are, then a
 * big-endian u32 of their time. It visits each owner's expired keys, then goes to the next. */
struct retire_walk {
    uint8_t prefix_bytes; /* 1..8 */
    uint32_t keep_from;   /* times below are deleted */
    uint8_t at[12];       /* the next key is sought from here */
    bool ended;
};
struct retire_walk retire_walk_of(uint8_t prefix_bytes, uint32_t keep_from);

/* Where to seek next; not of a walk that has ended. */
struct span retire_walk_key(const struct retire_walk *walk);

/* Takes the key that the seek found, and goes on. True: delete it. A key too short to have a time
 * ends the walk. */
bool retire_walk_take(struct retire_walk *walk, struct span key);
