/* SPDX-License-Identifier: Apache-2.0
 * partition_map: a handful of steps, looked at from the newest back. */
#include "proto/partition_map.h"

struct partition_map partition_map_of(uint16_t partitions)
{
    CHECK(partitions >= 1 && partitions <= LIMIT_PARTITIONS);
    return (struct partition_map){.count = 1, .steps = {{0, partitions}}};
}

uint32_t partition_map_step(const struct partition_map *map, uint32_t minute)
{
    CHECK(map->count >= 1);
    uint32_t at = map->count - 1;
    while (at > 0 && map->steps[at].from_minute > minute)
        at--;
    return at;
}

uint16_t partition_map_at(const struct partition_map *map, uint32_t minute)
{
    return map->steps[partition_map_step(map, minute)].partitions;
}

uint16_t partition_map_last(const struct partition_map *map)
{
    return map->count == 0 ? 0 : map->steps[map->count - 1].partitions;
}

uint32_t partition_map_step_end(const struct partition_map *map, uint32_t minute)
{
    uint32_t at = partition_map_step(map, minute);
    return at + 1 < map->count ? map->steps[at + 1].from_minute : UINT32_MAX;
}

enum err partition_map_grow(struct partition_map *map, uint32_t from_minute, uint16_t partitions)
{
    CHECK(map->count >= 1);
    const struct partition_step *last = &map->steps[map->count - 1];
    uint32_t apart = map->count == 1 ? 1 : LIMIT_HORIZON_MINUTES;
    if (from_minute < last->from_minute || from_minute - last->from_minute < apart ||
        partitions <= last->partitions || partitions > LIMIT_PARTITIONS)
        return ERR_RANGE;
    if (map->count == PARTITION_MAP_STEPS)
        return ERR_LIMIT;
    map->steps[map->count++] = (struct partition_step){from_minute, partitions};
    return ERR_OK;
}

static bool same_steps(const struct partition_map *a, const struct partition_map *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (a->steps[i].from_minute != b->steps[i].from_minute ||
            a->steps[i].partitions != b->steps[i].partitions)
            return false;
    return true;
}

bool partition_map_equal(const struct partition_map *a, const struct partition_map *b)
{
    return a->count == b->count && same_steps(a, b, a->count);
}

bool partition_map_extends(const struct partition_map *longer, const struct partition_map *map)
{
    return longer->count > map->count && same_steps(longer, map, map->count);
}

bool partition_map_is_valid(const struct partition_map *map)
{
    if (map->count == 0)
        return true;
    if (map->count > PARTITION_MAP_STEPS || map->steps[0].from_minute != 0 ||
        map->steps[0].partitions < 1 || map->steps[0].partitions > LIMIT_PARTITIONS)
        return false;
    struct partition_map grown = partition_map_of(map->steps[0].partitions);
    for (uint32_t i = 1; i < map->count; i++)
        if (partition_map_grow(&grown, map->steps[i].from_minute, map->steps[i].partitions) !=
            ERR_OK)
            return false;
    return true;
}

void partition_map_put(const struct partition_map *map, struct buf *out)
{
    buf_put_u8(out, (uint8_t)map->count);
    for (uint32_t i = 0; i < map->count; i++) {
        buf_put_u32(out, map->steps[i].from_minute);
        buf_put_u16(out, map->steps[i].partitions);
    }
}

bool partition_map_get(struct partition_map *out, struct reader *r)
{
    struct partition_map map = {.count = reader_u8(r)};
    if (map.count > PARTITION_MAP_STEPS)
        return false;
    for (uint32_t i = 0; i < map.count; i++) {
        map.steps[i].from_minute = reader_u32(r);
        map.steps[i].partitions = reader_u16(r);
    }
    if (r->failed || !partition_map_is_valid(&map))
        return false;
    *out = map;
    return true;
}

void partition_map_wire_put(const struct partition_map *map, struct buf *out)
{
    wire_put_array(out, 2 * map->count);
    for (uint32_t i = 0; i < map->count; i++) {
        wire_put_uint(out, map->steps[i].from_minute);
        wire_put_uint(out, map->steps[i].partitions);
    }
}

enum err partition_map_wire_get(struct partition_map *out, struct wire_reader *r)
{
    uint32_t numbers = wire_array(r, 2 * PARTITION_MAP_STEPS);
    struct partition_map map = {.count = numbers / 2};
    bool fits = numbers % 2 == 0;
    for (uint32_t i = 0; i < map.count; i++) {
        uint64_t from = wire_uint(r), partitions = wire_uint(r);
        fits = fits && from <= UINT32_MAX && partitions <= LIMIT_PARTITIONS;
        map.steps[i] = (struct partition_step){(uint32_t)from, (uint16_t)partitions};
    }
    if (r->err != ERR_OK)
        return r->err;
    if (!fits || !partition_map_is_valid(&map))
        return ERR_RANGE;
    *out = map;
    return ERR_OK;
}

struct partition_turn partition_turn_of(const struct partition_map *map)
{
    CHECK(map->count >= 1);
    const struct partition_step *last = &map->steps[map->count - 1];
    return (struct partition_turn){
        .from_minute = last->from_minute,
        .before = map->steps[map->count > 1 ? map->count - 2 : 0].partitions,
        .after = last->partitions,
    };
}

uint64_t partition_turn_pack(struct partition_turn turn)
{
    return (uint64_t)turn.from_minute << 32 | (uint64_t)turn.before << 16 | turn.after;
}

struct partition_turn partition_turn_unpack(uint64_t word)
{
    return (struct partition_turn){(uint32_t)(word >> 32), (uint16_t)(word >> 16), (uint16_t)word};
}
