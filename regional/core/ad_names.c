/* SPDX-License-Identifier: Apache-2.0
 * ad_names: linear probing over pointers; deletion shifts back, so that no tombstones gather. */
#include "regional/core/ad_names.h"

#include <stdlib.h>

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

struct ad_name *ad_names_hold(struct ad_names *names, uint64_t ad_hash, struct span ad_id)
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
    CHECK(name->rows < UINT32_MAX);
    name->rows++;
    return name;
}

void ad_names_release(struct ad_names *names, uint64_t ad_hash)
{
    CHECK(names->capacity > 0);
    uint32_t hole = place_of(names, ad_hash);
    struct ad_name *name = names->places[hole];
    CHECK(name != NULL && name->rows > 0);
    if (--name->rows > 0)
        return;
    /* A due name belongs to a changed row, and changed rows are not retired. */
    CHECK(!name->due);
    names->name_bytes -= heap_bytes(offsetof(struct ad_name, text) + name->length);
    free(name);
    names->places[hole] = NULL;
    names->used--;
    const uint32_t capacity = names->capacity;
    for (uint32_t at = (hole + 1) % capacity; names->places[at] != NULL; at = (at + 1) % capacity) {
        uint32_t home = home_of(names, names->places[at]->ad_hash);
        uint32_t from_home = at >= home ? at - home : at + capacity - home;
        uint32_t from_hole = at >= hole ? at - hole : at + capacity - hole;
        /* Move back whatever the hole would hide from its home. */
        if (from_home >= from_hole) {
            names->places[hole] = names->places[at];
            names->places[at] = NULL;
            hole = at;
        }
    }
}

void ad_names_seen(struct ad_names *names, struct ad_name *name, uint32_t day)
{
    if (name->day == day)
        return;
    name->day = day;
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
