/* SPDX-License-Identifier: Apache-2.0
 * retire: how long the globe's store keeps minutes and hours, and the walk that deletes the rest.
 */
#include "global/core/retire.h"

#include "common/base/minute.h"

static uint32_t back_by_days(uint64_t minute, uint32_t days)
{
    uint64_t back = (uint64_t)days * RETIRE_DAY_MINUTES;
    return days == 0 || back >= minute ? 0 : (uint32_t)(minute - back);
}

struct retire_horizon retire_due(uint64_t watermark_ms, uint64_t now_ms, uint32_t minutes_days,
                                 uint32_t hours_days)
{
    uint64_t minute = minute_of_ms(base_min_u64(watermark_ms, now_ms));
    return (struct retire_horizon){
        .minute = back_by_days(minute, minutes_days) / 60 * 60,
        .day = back_by_days(minute, hours_days) / RETIRE_DAY_MINUTES,
    };
}

bool retire_advance(struct retire_horizon *h, struct retire_horizon due)
{
    struct retire_horizon next = {
        .minute = due.minute > h->minute ? due.minute : h->minute,
        .day = due.day > h->day ? due.day : h->day,
    };
    bool moved = next.minute != h->minute || next.day != h->day;
    *h = next;
    return moved;
}

void retire_put(const struct retire_horizon *h, struct buf *out)
{
    buf_put_u32(out, h->minute);
    buf_put_u32(out, h->day);
}

enum err retire_read(struct retire_horizon *h, struct span bytes)
{
    struct reader in = reader_of(bytes);
    struct retire_horizon read = {.minute = reader_u32(&in), .day = reader_u32(&in)};
    if (!reader_at_end(&in))
        return ERR_FORMAT;
    *h = read;
    return ERR_OK;
}

struct retire_walk retire_walk_of(uint8_t prefix_bytes, uint32_t keep_from)
{
    CHECK(prefix_bytes >= 1 && prefix_bytes <= 8);
    return (struct retire_walk){.prefix_bytes = prefix_bytes, .keep_from = keep_from};
}

struct span retire_walk_key(const struct retire_walk *walk)
{
    CHECK(!walk->ended);
    return span_of(walk->at, walk->prefix_bytes + 4U);
}

/* The first key of the next owner; none behind the last one. */
static void next_owner(struct retire_walk *walk)
{
    for (unsigned i = walk->prefix_bytes; i-- > 0;)
        if (++walk->at[i] != 0)
            return;
    walk->ended = true;
}

bool retire_walk_take(struct retire_walk *walk, struct span key)
{
    CHECK(!walk->ended);
    if (key.length < walk->prefix_bytes + 4U) {
        walk->ended = true;
        return false;
    }
    memcpy(walk->at, key.data, walk->prefix_bytes);
    memset(walk->at + walk->prefix_bytes, 0, 4);
    if (bytes_load_u32(key.data + walk->prefix_bytes) < walk->keep_from)
        return true;
    next_owner(walk);
    return false;
}
