/* SPDX-License-Identifier: Apache-2.0
 * ad_names: ad hash -> ad id, for every ad that has a row; finds collisions; knows whose name is
 * due in a partial. Audience: regional/core, tests. Pure. One thread at a time per object. Source:
 * design 4.5. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/limits.h"

struct ad_name {
    uint64_t ad_hash;
    uint64_t first_cut; /* scratch of loading: first cut of `day` in which the ad was seen */
    uint32_t rows;      /* rows that need the name */
    uint32_t day;       /* UTC day of stream time for which the name was announced */
    bool due;           /* goes into the next partial */
    uint8_t length;
    char text[]; /* length bytes */
};

/* Zero-initialised is empty and valid. */
struct ad_names {
    struct ad_name **places;
    uint32_t capacity, used;
    uint32_t due;
    uint64_t name_bytes; /* of the names; the places come on top */
};

/* Memory held. */
uint64_t ad_names_bytes(const struct ad_names *names);
/* Asks the processor for the place of a name, and then, when that has come, for the name. */
void ad_names_prefetch_place(const struct ad_names *names, uint64_t ad_hash);
void ad_names_prefetch(const struct ad_names *names, uint64_t ad_hash);

void ad_names_done(struct ad_names *names);

/* NULL when no row holds the ad. The pointer stays good while rows > 0. */
struct ad_name *ad_names_find(const struct ad_names *names, uint64_t ad_hash);

static inline struct span ad_names_text(const struct ad_name *name)
{
    return span_of(name->text, name->length);
}

/* One more row for the ad; the name is made on its first row. The text must be the one that is
 * known (CHECKed: whoever adds a row has looked for a collision before). */
struct ad_name *ad_names_hold(struct ad_names *names, uint64_t ad_hash, struct span ad_id);

/* One row less; the name goes with the last. */
void ad_names_release(struct ad_names *names, uint64_t ad_hash);

/* The ad was seen on that day: its name is due once a day. */
void ad_names_seen(struct ad_names *names, struct ad_name *name, uint32_t day);

/* The due names in order of hash, none due afterwards. `out` holds names->due pointers. */
void ad_names_take_due(struct ad_names *names, struct ad_name **out);
