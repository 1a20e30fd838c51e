/* SPDX-License-Identifier: Apache-2.0
 * ad_names: ad hash -> ad id, for every ad that has a row, in memory or in the store; finds
 * collisions; knows whose name is due in a partial. Audience: regional/core, tests. Pure. One
 * thread at a time per object. Source: design 4.5, decision 0008. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/limits.h"

struct ad_name {
    uint64_t ad_hash;
    uint64_t first_cut;  /* first cut of `day` in which the ad was seen; 0: the next one */
    uint32_t keep_below; /* goes when the minutes below are retired: no row of it is left then */
    uint32_t day;        /* UTC day of stream time for which the name was announced */
    bool due : 1;        /* goes into the next partial */
    bool listed : 1;     /* among the unsaved */
    bool stored : 1;     /* the store has a record of it */
    uint8_t length;
    char text[]; /* length bytes */
};

/* Zero-initialised is empty and valid. */
struct ad_names {
    struct ad_name **places;
    uint32_t capacity, used;
    uint32_t due;
    uint64_t name_bytes;      /* of the names; the places come on top */
    struct ad_name **unsaved; /* what the store does not say yet */
    uint32_t unsaved_count, unsaved_capacity;
    struct buf dropped; /* hashes of names that are gone, but not yet from the store */
};

/* Memory held. */
uint64_t ad_names_bytes(const struct ad_names *names);
/* Asks the processor for the place of a name, and then, when that has come, for the name. */
void ad_names_prefetch_place(const struct ad_names *names, uint64_t ad_hash);
void ad_names_prefetch(const struct ad_names *names, uint64_t ad_hash);

void ad_names_done(struct ad_names *names);

/* NULL when no row is of the ad. The pointer stays good until the name is retired. */
struct ad_name *ad_names_find(const struct ad_names *names, uint64_t ad_hash);

static inline struct span ad_names_text(const struct ad_name *name)
{
    return span_of(name->text, name->length);
}

/* There is a row of the ad in that minute: its name is made, and kept until the minute is retired
 * and up to a day longer. Whole days, so that the store hears of a name once a day and not once a
 * minute; each ad's days end at another minute, so that not all are told or dropped at once. The
 * text must be the one that is known (CHECKed: whoever adds a row has looked for a collision
 * before). */
struct ad_name *ad_names_hold(struct ad_names *names, uint64_t ad_hash, struct span ad_id,
                              uint32_t minute);

/* Minutes below are retired: names that only they needed go. */
void ad_names_retire(struct ad_names *names, uint32_t below);

/* The ad was seen on that day: its name is due once a day. */
void ad_names_seen(struct ad_names *names, struct ad_name *name, uint32_t day);

/* The due names in order of hash, none due afterwards. `out` holds names->due pointers. */
void ad_names_take_due(struct ad_names *names, struct ad_name **out);

/* The store says something else of the name than we do now. */
void ad_names_changed(struct ad_names *names, struct ad_name *name);
/* In the order of the store: its pages are written once each. */
void ad_names_sort_unsaved(struct ad_names *names);
/* All that is unsaved goes into this cut's transaction; the caller has written it. */
void ad_names_saved(struct ad_names *names);

/* The record of a name.
 *
 *   key    partition u16, ad hash u64
 *   value  version u8; day u32; first cut u64; keep below u32; ad id block; XXH3-64 of all before,
 * seeded with the key */
#define AD_NAMES_KEY_BYTES 10
void ad_names_key(uint8_t out[AD_NAMES_KEY_BYTES], uint16_t partition, uint64_t ad_hash);
/* Replaces *out. A name that was seen first since the last record is as of `cut`: who writes
 * records has told all names by then. */
void ad_names_write(struct buf *out, uint16_t partition, struct ad_name *name, uint64_t cut);
/* Into names that do not hold it; one that was retired, but not deleted yet, is listed as dropped.
 * ERR_KV_CORRUPT: not what was written under this key. */
enum err WARN_UNUSED ad_names_read(struct ad_names *names, struct span key, struct span value,
                                   uint32_t retired_below);
