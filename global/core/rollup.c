/* SPDX-License-Identifier: Apache-2.0
 * rollup: clicks of one ad in each hour of one UTC day.
 *
 *   rollup   u8 x 3: bit h is hour h, then varint clicks of each that is set, ascending */
#include "global/core/rollup.h"

bool rollup_set(struct rollup *r, unsigned hour, uint64_t clicks)
{
    CHECK(hour < ROLLUP_HOURS);
    if ((r->present >> hour & 1) != 0 && r->hours[hour] == clicks)
        return false;
    r->present |= 1U << hour;
    r->hours[hour] = clicks;
    return true;
}

unsigned rollup_first(const struct rollup *r)
{
    CHECK(r->present != 0);
    return (unsigned)__builtin_ctz(r->present);
}

unsigned rollup_last(const struct rollup *r)
{
    CHECK(r->present != 0);
    return 31 - (unsigned)__builtin_clz(r->present);
}

void rollup_put(const struct rollup *r, struct buf *out)
{
    CHECK(r->present >> ROLLUP_HOURS == 0);
    for (unsigned shift = 0; shift < ROLLUP_HOURS; shift += 8)
        buf_put_u8(out, (uint8_t)(r->present >> shift));
    for (unsigned i = 0; i < ROLLUP_HOURS; i++)
        if ((r->present >> i & 1) != 0)
            buf_put_varint(out, r->hours[i]);
}

enum err rollup_read(struct rollup *r, struct span bytes)
{
    struct reader in = reader_of(bytes);
    struct rollup read = {.present = 0};
    for (unsigned shift = 0; shift < ROLLUP_HOURS; shift += 8)
        read.present |= (uint32_t)reader_u8(&in) << shift;
    for (unsigned i = 0; i < ROLLUP_HOURS; i++)
        if ((read.present >> i & 1) != 0)
            read.hours[i] = reader_varint(&in);
    if (!reader_at_end(&in) || read.present == 0)
        return ERR_FORMAT;
    *r = read;
    return ERR_OK;
}
