/* SPDX-License-Identifier: Apache-2.0
 * ad_names: linear probing over pointers; deletion shifts back, so that no tombstones gather. */
#include "regional/core/ad_names.h"

#include "common/base/hash.h"

#include <stdlib.h>

#define RECORD_VERSION 1
#define RECORD_SEED    0x4e414d4553ULL
#define DAY_MINUTES    1440u

static uint32_t home_of(const struct ad_names *names, uint64_t ad_hash)
{
    /* Scaled, not masked, so that any capacity will do. From low bits: the high ones choose the
     * partition. */
    return (uint32_t)(((ad_hash & UINT32_MAX) * 0x9E3779B1u & UINT32_MAX) * names->capacity >> 32);
}

static uint32_t place_of(const struct ad_names *names, uint64_t ad_hash)
{
    uint32_t at = home_of(names, ad_hash);
    while (names->places[at] != NULL && names->places[at]->ad_hash != ad_hash)
        at = at + 1 == names->capacity ? 0 : at + 1;
    return at;
}

static void grow(struct ad_names *names)
{
    CHECK(names->capacity <= UINT32_MAX / 2);
    struct ad_names wider = *names;
    wider.capacity = names->capacity == 0 ? 64 : names->capacity / 2 * 3;
    wider.places = base_zalloc(wider.capacity, sizeof(*wider.places));
    for (uint32_t i = 0; i < names->capacity; i++) {
        if (names->places[i] != NULL)
            wider.places[place_of(&wider, names->places[i]->ad_hash)] = names->places[i];
    }
    free(names->places);
    *names = wider;
}

void ad_names_done(struct ad_names *names)
{
    for (uint32_t i = 0; i < names->capacity; i++)
        free(names->places[i]);
    free(names->places);
    free(names->unsaved);
    buf_done(&names->dropped);
    *names = (struct ad_names){0};
}

struct ad_name *ad_names_find(const struct ad_names *names, uint64_t ad_hash)
{
    return names->capacity == 0 ? NULL : names->places[place_of(names, ad_hash)];
}

/* Blocks as the allocator rounds them (glibc, 64 bits). */
static size_t heap_bytes(size_t bytes)
{
    return (bytes + 8 + 15) & ~(size_t)15;
}

uint64_t ad_names_bytes(const struct ad_names *names)
{
    return names->name_bytes + names->capacity * sizeof(struct ad_name *);
}

void ad_names_prefetch_place(const struct ad_names *names, uint64_t ad_hash)
{
    if (names->capacity > 0)
        __builtin_prefetch(&names->places[home_of(names, ad_hash)]);
}

void ad_names_prefetch(const struct ad_names *names, uint64_t ad_hash)
{
    if (names->capacity > 0)
        __builtin_prefetch(names->places[home_of(names, ad_hash)], 1);
}

void ad_names_changed(struct ad_names *names, struct ad_name *name)
{
    if (name->listed)
        return;
    if (names->unsaved_count == names->unsaved_capacity) {
        names->unsaved_capacity = names->unsaved_capacity == 0 ? 64 : names->unsaved_capacity * 2;
        names->unsaved =
            base_realloc(names->unsaved, names->unsaved_capacity * sizeof(struct ad_name *));
    }
    name->listed = true;
    names->unsaved[names->unsaved_count++] = name;
}

/* The next end of one of the ad's days; beyond the minute. */
static uint32_t day_end(uint64_t ad_hash, uint32_t minute)
{
    uint64_t phase = ad_hash % DAY_MINUTES;
    uint64_t end = ((minute + phase) / DAY_MINUTES + 1) * DAY_MINUTES - phase;
    return (uint32_t)base_min_u64(end, UINT32_MAX);
}

static struct ad_name *find_or_make(struct ad_names *names, uint64_t ad_hash, struct span ad_id)
{
    CHECK(ad_id.length >= 1 && ad_id.length <= LIMIT_ID_BYTES);
    if ((uint64_t)names->used * 4 >= (uint64_t)names->capacity * 3)
        grow(names);
    uint32_t at = place_of(names, ad_hash);
    struct ad_name *name = names->places[at];
    if (name == NULL) {
        size_t bytes = offsetof(struct ad_name, text) + ad_id.length;
        name = base_zalloc(1, bytes);
        names->name_bytes += heap_bytes(bytes);
        name->ad_hash = ad_hash;
        name->length = (uint8_t)ad_id.length;
        name->day = UINT32_MAX;
        memcpy(name->text, ad_id.data, ad_id.length);
        names->places[at] = name;
        names->used++;
    }
    CHECK(span_equal(ad_names_text(name), ad_id));
    return name;
}

struct ad_name *ad_names_hold(struct ad_names *names, uint64_t ad_hash, struct span ad_id,
                              uint32_t minute)
{
    struct ad_name *name = find_or_make(names, ad_hash, ad_id);
    if (minute >= name->keep_below) {
        name->keep_below = day_end(ad_hash, minute);
        ad_names_changed(names, name);
    }
    return name;
}

/* Moves back whatever the hole would hide from its home. */
static void close_hole(struct ad_names *names, uint32_t hole)
{
    const uint32_t capacity = names->capacity;
    names->places[hole] = NULL;
    for (uint32_t at = (hole + 1) % capacity; names->places[at] != NULL; at = (at + 1) % capacity) {
        uint32_t home = home_of(names, names->places[at]->ad_hash);
        uint32_t from_home = at >= home ? at - home : at + capacity - home;
        uint32_t from_hole = at >= hole ? at - hole : at + capacity - hole;
        if (from_home >= from_hole) {
            names->places[hole] = names->places[at];
            names->places[at] = NULL;
            hole = at;
        }
    }
}

/* What goes is not to be saved any more. */
static void unlist_retired(struct ad_names *names, uint32_t below)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < names->unsaved_count; i++) {
        struct ad_name *name = names->unsaved[i];
        name->listed = name->keep_below > below;
        if (name->listed)
            names->unsaved[kept++] = name;
    }
    names->unsaved_count = kept;
}

void ad_names_retire(struct ad_names *names, uint32_t below)
{
    unlist_retired(names, below);
    for (uint32_t at = 0; at < names->capacity;) {
        struct ad_name *name = names->places[at];
        if (name == NULL || name->keep_below > below) {
            at++;
            continue;
        }
        /* A due name belongs to a changed row, and changed rows are not retired. */
        CHECK(!name->due);
        if (name->stored)
            buf_put_u64(&names->dropped, name->ad_hash);
        names->name_bytes -= heap_bytes(offsetof(struct ad_name, text) + name->length);
        free(name);
        names->used--;
        close_hole(names, at); /* another may have come to this place */
    }
}

void ad_names_seen(struct ad_names *names, struct ad_name *name, uint32_t day)
{
    if (name->day == day)
        return;
    name->day = day;
    name->first_cut = 0;
    ad_names_changed(names, name);
    if (!name->due) {
        name->due = true;
        names->due++;
    }
}

static int by_hash(const void *left, const void *right)
{
    const struct ad_name *a = *(struct ad_name *const *)left;
    const struct ad_name *b = *(struct ad_name *const *)right;
    return a->ad_hash < b->ad_hash ? -1 : a->ad_hash > b->ad_hash;
}

void ad_names_take_due(struct ad_names *names, struct ad_name **out)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; i < names->capacity && taken < names->due; i++) {
        if (names->places[i] != NULL && names->places[i]->due) {
            names->places[i]->due = false;
            out[taken++] = names->places[i];
        }
    }
    CHECK(taken == names->due);
    if (taken > 1)
        qsort(out, taken, sizeof(struct ad_name *), by_hash);
    names->due = 0;
}

void ad_names_sort_unsaved(struct ad_names *names)
{
    if (names->unsaved_count > 1)
        qsort(names->unsaved, names->unsaved_count, sizeof(struct ad_name *), by_hash);
}

void ad_names_saved(struct ad_names *names)
{
    for (uint32_t i = 0; i < names->unsaved_count; i++) {
        names->unsaved[i]->listed = false;
        names->unsaved[i]->stored = true;
    }
    free(names->unsaved);
    names->unsaved = NULL;
    names->unsaved_count = names->unsaved_capacity = 0;
    buf_done(&names->dropped);
}

void ad_names_key(uint8_t out[AD_NAMES_KEY_BYTES], uint16_t partition, uint64_t ad_hash)
{
    bytes_store_u16(out, partition);
    bytes_store_u64(out + 2, ad_hash);
}

static uint64_t checksum(struct span key, struct span value)
{
    return hash_checksum(value, RECORD_SEED ^ hash_checksum(key, RECORD_SEED));
}

void ad_names_write(struct buf *out, uint16_t partition, struct ad_name *name, uint64_t cut)
{
    uint8_t key[AD_NAMES_KEY_BYTES];
    ad_names_key(key, partition, name->ad_hash);
    if (name->first_cut == 0)
        name->first_cut = cut;
    buf_clear(out);
    buf_put_u8(out, RECORD_VERSION);
    buf_put_u32(out, name->day);
    buf_put_u64(out, name->first_cut);
    buf_put_u32(out, name->keep_below);
    buf_put_block(out, ad_names_text(name));
    buf_put_u64(out, checksum(span_of(key, sizeof(key)), buf_span(out)));
}

enum err ad_names_read(struct ad_names *names, struct span key, struct span value,
                       uint32_t retired_below)
{
    if (key.length != AD_NAMES_KEY_BYTES || value.length < 8)
        return ERR_KV_CORRUPT;
    struct span body = span_of(value.data, value.length - 8);
    if (bytes_load_u64(value.data + body.length) != checksum(key, body))
        return ERR_KV_CORRUPT;
    struct reader r = reader_of(body);
    uint8_t version = reader_u8(&r);
    uint32_t day = reader_u32(&r);
    uint64_t first_cut = reader_u64(&r);
    uint32_t keep_below = reader_u32(&r);
    struct span text = reader_block(&r, LIMIT_ID_BYTES);
    uint64_t hash = bytes_load_u64(key.data + 2);
    if (!reader_at_end(&r) || version != RECORD_VERSION || text.length == 0 || first_cut == 0 ||
        hash_ad(text) != hash || ad_names_find(names, hash) != NULL)
        return ERR_KV_CORRUPT;
    if (keep_below <= retired_below) {
        buf_put_u64(&names->dropped, hash);
        return ERR_OK;
    }
    struct ad_name *name = find_or_make(names, hash, text);
    name->day = day;
    name->first_cut = first_cut;
    name->keep_below = keep_below;
    name->stored = true;
    return ERR_OK;
}
