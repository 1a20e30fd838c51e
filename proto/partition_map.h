/* SPDX-License-Identifier: Apache-2.0
 * partition_map: into how many partitions a region's ads are divided, by event time: "from minute M
 * on, P = 8". A click's partition follows from its ad and its event minute alone, so that a retry,
 * which keeps its timestamp, goes where its first attempt went, however the map has grown
 * meanwhile. Audience: edge, regional, global, tests. Pure. Source: design 4.1; decision 0012. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/limits.h"
#include "proto/wire.h"

#define PARTITION_MAP_STEPS 8

struct partition_step {
    uint32_t from_minute; /* the first begins at 0 */
    uint16_t partitions;  /* 1 to LIMIT_PARTITIONS; each step has more than the one before */
};

/* count 0: no map. */
struct partition_map {
    uint32_t count;
    struct partition_step steps[PARTITION_MAP_STEPS];
};

struct partition_map partition_map_of(uint16_t partitions);

/* Index of the step in force at an event minute; the map must have one. */
uint32_t partition_map_step(const struct partition_map *map, uint32_t minute);
/* P in force at an event minute; the map must have a step. */
uint16_t partition_map_at(const struct partition_map *map, uint32_t minute);
/* P of the last step; 0: no map. */
uint16_t partition_map_last(const struct partition_map *map);
/* First minute that is not of the same step as `minute`; UINT32_MAX: it is of the last one. */
uint32_t partition_map_step_end(const struct partition_map *map, uint32_t minute);

/* Steps lie at least the longest horizon apart, so that clicks of no more than two are on their way
 * at any time. ERR_RANGE: P is not above the last step's, or the minute too close. ERR_LIMIT: all
 * steps are taken. */
enum err WARN_UNUSED partition_map_grow(struct partition_map *map, uint32_t from_minute,
                                        uint16_t partitions);

bool partition_map_equal(const struct partition_map *a, const struct partition_map *b);
/* Does `longer` hold all steps of `map` and more? */
bool partition_map_extends(const struct partition_map *longer, const struct partition_map *map);
/* A well-formed map, the empty one too. */
bool partition_map_is_valid(const struct partition_map *map);

/* As stored: count u8, then (from u32, P u16) each. */
void partition_map_put(const struct partition_map *map, struct buf *out);
/* False: not what partition_map_put writes; the reader may have moved. */
bool partition_map_get(struct partition_map *out, struct reader *r);
/* In a message: an array of 2 * count numbers. ERR_RANGE: no well-formed map. */
void partition_map_wire_put(const struct partition_map *map, struct buf *out);
enum err WARN_UNUSED partition_map_wire_get(struct partition_map *out, struct wire_reader *r);

/* The last two steps, in one word for threads: what an edge needs to place a click. */
struct partition_turn {
    uint32_t from_minute;
    uint16_t before, after;
};
struct partition_turn partition_turn_of(const struct partition_map *map);
uint64_t partition_turn_pack(struct partition_turn turn);
struct partition_turn partition_turn_unpack(uint64_t word);

static inline uint16_t partition_turn_at(struct partition_turn turn, uint32_t minute)
{
    return minute < turn.from_minute ? turn.before : turn.after;
}
