/* SPDX-License-Identifier: Apache-2.0
 * zone_given: bytes of TZif files, well-formed or not, and a few zones as they are.
 * Audience: tests/unit/global. */
#pragma once

#include "global/core/zone.h"

#include <criterion/criterion.h>

struct zone_given_change {
    int64_t at_s;
    uint8_t kind;
};

struct zone_given {
    uint8_t version; /* 0: '2' */
    uint32_t leaps;
    const int32_t *east;
    uint32_t types;
    const struct zone_given_change *changes;
    uint32_t change_count;
    const char *rule; /* NULL: no last line at all */
};

static inline void zone_given_head(struct buf *out, uint8_t version, const uint32_t counts[6])
{
    static const uint8_t reserved[15];
    buf_put(out, "TZif", 4);
    buf_put_u8(out, version);
    buf_put(out, reserved, sizeof(reserved));
    for (unsigned i = 0; i < 6; i++)
        buf_put_u32(out, counts[i]);
}

static inline void zone_given_bytes(const struct zone_given *g, struct buf *out)
{
    uint8_t version = g->version == 0 ? '2' : g->version;
    const uint32_t old[6] = {1, 1, 1, 2, 1, 4};
    const uint32_t counts[6] = {g->types, g->types, g->leaps, g->change_count, g->types, 4};
    static const uint8_t old_block[2 * 5 + 6 + 4 + 8 + 2];
    zone_given_head(out, version, old);
    buf_put(out, old_block, sizeof(old_block));
    zone_given_head(out, version, counts);
    for (uint32_t i = 0; i < g->change_count; i++)
        buf_put_u64(out, (uint64_t)g->changes[i].at_s);
    for (uint32_t i = 0; i < g->change_count; i++)
        buf_put_u8(out, g->changes[i].kind);
    for (uint32_t i = 0; i < g->types; i++) {
        buf_put_u32(out, (uint32_t)g->east[i]);
        buf_put_u16(out, 0);
    }
    buf_put(out, "ABC", 4);
    for (uint32_t i = 0; i < 2 * g->types; i++)
        buf_put_u8(out, 0);
    for (uint32_t i = 0; i < g->leaps * 12; i++)
        buf_put_u8(out, 0);
    if (g->rule == NULL)
        return;
    buf_put_u8(out, '\n');
    buf_put(out, g->rule, strlen(g->rule));
    buf_put_u8(out, '\n');
}

static inline enum err zone_given_read(const struct zone_given *g, struct zone *out)
{
    struct buf bytes = {0};
    zone_given_bytes(g, &bytes);
    enum err err = zone_read(out, buf_span(&bytes));
    buf_done(&bytes);
    return err;
}

/* A zone of one rule for ever. */
static inline struct zone zone_given_rule(const char *rule)
{
    static const int32_t east[] = {0};
    struct zone zone = {.change_count = 0};
    const struct zone_given_change change = {-2000000000, 0};
    const struct zone_given g = {
        .east = east, .types = 1, .changes = &change, .change_count = 1, .rule = rule};
    cr_assert_eq(zone_given_read(&g, &zone), ERR_OK, "%s", rule);
    return zone;
}

#define ZONE_GIVEN_NEW_YORK  "EST5EDT,M3.2.0,M11.1.0"
#define ZONE_GIVEN_KOLKATA   "IST-5:30"
#define ZONE_GIVEN_LORD_HOWE "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"
