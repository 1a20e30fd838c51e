/* SPDX-License-Identifier: Apache-2.0
 * spool_room: how large the spool can be on the disk that it has, and when it is full. */
#include "edge/core/spool_room.h"

uint64_t spool_room_bytes(uint64_t map_bytes, uint64_t file_bytes, uint64_t free_bytes)
{
    uint64_t growth_bytes = free_bytes - base_min_u64(free_bytes, SPOOL_ROOM_RESERVE_BYTES);
    if (file_bytes >= map_bytes || growth_bytes >= map_bytes - file_bytes)
        return map_bytes;
    return file_bytes + growth_bytes;
}

bool spool_room_is_full(uint64_t used_bytes, uint64_t room_bytes)
{
    return used_bytes > room_bytes / 100 * 95;
}
