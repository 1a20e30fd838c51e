/* SPDX-License-Identifier: Apache-2.0
 * dedupe: linear probing over lines of four keys, at most 4/5 full; a full part grows by half.
 *
 * A key's line is its hash scaled to the number of lines, not masked: any number of lines will do,
 * and growing reads and writes memory in order. */
#include "regional/core/dedupe.h"

#include <stdlib.h>

#define FIRST_LINES 4u

struct key {
    uint64_t low, high;
};

static struct key key_of(const uint8_t *bytes)
{
    struct key key;
    memcpy(&key, bytes, sizeof(key));
    return key;
}

static bool key_is_zero(struct key key)
{
    return (key.low | key.high) == 0;
}

static struct dedupe_part *part_of(const struct dedupe *d, struct key key)
{
    /* The high bits; the place in the part is from the low ones. */
    return &d->parts[d->part_count == 1 ? 0 : key.low >> 58];
}

static uint32_t home_of(const struct dedupe_part *p, struct key key)
{
    return (uint32_t)(((key.low & UINT32_MAX) * p->line_count) >> 32);
}

/* The place that holds the key, or the free one where it belongs. */
static uint64_t *place_of(const struct dedupe_part *p, struct key key)
{
    uint32_t at = home_of(p, key);
    for (;;) {
        uint64_t *words = p->lines[at].words;
        /* All four at once: a branch a place would be guessed wrong for most keys. */
        unsigned same = 0, empty = 0;
        for (unsigned i = 0; i < DEDUPE_LINE_KEYS; i++) {
            uint64_t low = words[2 * i], high = words[2 * i + 1];
            same |= (unsigned)(((low ^ key.low) | (high ^ key.high)) == 0) << i;
            empty |= (unsigned)((low | high) == 0) << i;
        }
        if ((same | empty) != 0)
            return words + (size_t)2 * (unsigned)__builtin_ctz(same != 0 ? same : empty);
        at = at + 1 == p->line_count ? 0 : at + 1;
    }
}

static struct dedupe_line *new_lines(uint32_t count)
{
    size_t bytes = count * sizeof(struct dedupe_line);
    struct dedupe_line *lines = aligned_alloc(_Alignof(struct dedupe_line), bytes);
    CHECK(lines != NULL); /* out of memory: as base_alloc */
    memset(lines, 0, bytes);
    return lines;
}

static bool is_full(const struct dedupe_part *p)
{
    return (uint64_t)p->used * 5 >= (uint64_t)p->line_count * DEDUPE_LINE_KEYS * 4;
}

static void put_new(struct dedupe_part *p, struct key key)
{
    uint64_t *place = place_of(p, key);
    place[0] = key.low;
    place[1] = key.high;
    p->used++;
}

static void move_keys(struct dedupe *to, const struct dedupe_part *from)
{
    for (uint32_t i = 0; i < from->line_count; i++) {
        for (unsigned k = 0; k < DEDUPE_LINE_KEYS; k++) {
            struct key key = {from->lines[i].words[2 * k], from->lines[i].words[2 * k + 1]};
            if (!key_is_zero(key))
                put_new(part_of(to, key), key);
        }
    }
}

static void new_parts(struct dedupe *d, uint32_t count, uint32_t lines)
{
    d->parts = base_zalloc(count, sizeof(*d->parts));
    d->part_count = count;
    for (uint32_t i = 0; i < count; i++)
        d->parts[i] = (struct dedupe_part){new_lines(lines), lines, 0};
    d->bytes = count * (sizeof(*d->parts) + (uint64_t)lines * sizeof(struct dedupe_line));
}

static void grow_part(struct dedupe *d, struct dedupe_part *p)
{
    CHECK(p->line_count <= UINT32_MAX / 4);
    uint32_t lines = p->line_count + p->line_count / 2;
    struct dedupe_part before = *p;
    *p = (struct dedupe_part){new_lines(lines), lines, 0};
    move_keys(d, &before);
    CHECK(p->used == before.used);
    d->bytes += (uint64_t)(lines - before.line_count) * sizeof(struct dedupe_line);
    free(before.lines);
}

static void split(struct dedupe *d)
{
    struct dedupe_part whole = d->parts[0];
    free(d->parts);
    new_parts(d, DEDUPE_PARTS, whole.line_count * 3 / 2 / DEDUPE_PARTS);
    for (uint32_t i = 0; i < whole.line_count; i++) {
        for (unsigned k = 0; k < DEDUPE_LINE_KEYS; k++) {
            struct key key = {whole.lines[i].words[2 * k], whole.lines[i].words[2 * k + 1]};
            if (key_is_zero(key))
                continue;
            struct dedupe_part *p = part_of(d, key);
            if (is_full(p))
                grow_part(d, p);
            put_new(part_of(d, key), key);
        }
    }
    free(whole.lines);
}

void dedupe_done(struct dedupe *d)
{
    for (uint32_t i = 0; i < d->part_count; i++)
        free(d->parts[i].lines);
    free(d->parts);
    *d = (struct dedupe){0};
}

bool dedupe_add(struct dedupe *d, const uint8_t bytes[HASH_CLICK_BYTES])
{
    struct key key = key_of(bytes);
    if (key_is_zero(key)) {
        bool added = !d->zero;
        d->zero = true;
        return added;
    }
    if (d->part_count == 0)
        new_parts(d, 1, FIRST_LINES);
    struct dedupe_part *p = part_of(d, key);
    uint64_t *place = place_of(p, key);
    if ((place[0] | place[1]) != 0)
        return false;
    place[0] = key.low;
    place[1] = key.high;
    p->used++;
    d->used++;
    if (!is_full(p))
        return true;
    if (d->part_count == 1 && p->used >= DEDUPE_SPLIT_KEYS)
        split(d);
    else
        grow_part(d, p);
    return true;
}

bool dedupe_has(const struct dedupe *d, const uint8_t bytes[HASH_CLICK_BYTES])
{
    struct key key = key_of(bytes);
    if (key_is_zero(key))
        return d->zero;
    if (d->part_count == 0)
        return false;
    const uint64_t *place = place_of(part_of(d, key), key);
    return (place[0] | place[1]) != 0;
}

uint64_t dedupe_count(const struct dedupe *d)
{
    return d->used + (d->zero ? 1 : 0);
}

void dedupe_prefetch(const struct dedupe *d, const uint8_t bytes[HASH_CLICK_BYTES])
{
    if (d->part_count == 0)
        return;
    struct key key = key_of(bytes);
    const struct dedupe_part *p = part_of(d, key);
    __builtin_prefetch(p->lines[home_of(p, key)].words, 1);
}
