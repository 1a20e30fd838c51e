/* SPDX-License-Identifier: Apache-2.0
 * dedupe: linear probing over lines of four keys, at most 4/5 full; a full table grows by half.
 *
 * A key's line is its hash scaled to the number of lines, not masked: any number of lines will do,
 * and the order of the lines is that of the hashes whatever their number. So a table grows within
 * its own memory, from the last line down to the first, in order: growing by copy was measured to
 * cost more than all else that is done with a key. */
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

static uint32_t home_of(const struct dedupe *d, struct key key)
{
    return (uint32_t)(((key.low & UINT32_MAX) * d->line_count) >> 32);
}

/* A bit for each place of the line that holds the key. All four at once: a branch a place would be
 * guessed wrong for most keys. */
static unsigned places_with(const struct dedupe_line *line, struct key key)
{
    unsigned same = 0;
#pragma GCC unroll 4
    for (unsigned i = 0; i < DEDUPE_LINE_KEYS; i++) {
        uint64_t low = line->words[2 * i] ^ key.low, high = line->words[2 * i + 1] ^ key.high;
        same |= (unsigned)((low | high) == 0) << i;
    }
    return same;
}

static uint64_t *first_of(struct dedupe_line *line, unsigned places)
{
    return line->words + (size_t)2 * (unsigned)__builtin_ctz(places);
}

/* The place that holds the key, or the free one where it belongs. */
static uint64_t *place_of(const struct dedupe *d, struct key key)
{
    uint32_t at = home_of(d, key);
    for (;;) {
        struct dedupe_line *line = &d->lines[at];
        unsigned same = places_with(line, key), empty = places_with(line, (struct key){0, 0});
        if ((same | empty) != 0)
            return first_of(line, same != 0 ? same : empty);
        at = at + 1 == d->line_count ? 0 : at + 1;
    }
}

static void put_at(uint64_t *place, struct key key)
{
    CHECK((place[0] | place[1]) == 0);
    place[0] = key.low;
    place[1] = key.high;
}

static bool is_full(const struct dedupe *d)
{
    return d->used * 5 >= (uint64_t)d->line_count * DEDUPE_LINE_KEYS * 4;
}

/* More lines, the new ones free, the old ones as they were. */
static void widen(struct dedupe *d, uint32_t line_count)
{
    const size_t line = sizeof(struct dedupe_line);
    size_t shift = d->block == NULL ? 0 : (size_t)((char *)d->lines - (char *)d->block);
    char *block = base_realloc(d->block, (size_t)line_count * line + line - 1);
    char *lines = block + (line - (uintptr_t)block % line) % line;
    if (d->line_count > 0 && lines != block + shift)
        memmove(lines, block + shift, d->line_count * line);
    memset(lines + d->line_count * line, 0, (line_count - d->line_count) * line);
    d->block = block;
    d->lines = (struct dedupe_line *)(void *)lines;
    d->line_count = line_count;
    d->bytes = (uint64_t)line_count * line + line - 1;
}

/* The free place at or after the key's line, if there is one before the table ends; the lines in
 * question hold moved keys only. */
static uint64_t *free_place_after(const struct dedupe *d, struct key key)
{
    for (uint32_t at = home_of(d, key); at < d->line_count; at++) {
        unsigned empty = places_with(&d->lines[at], (struct key){0, 0});
        if (empty != 0)
            return first_of(&d->lines[at], empty);
    }
    return NULL;
}

/* From the last line down: a key's new line is not before its old one, save for the few that had
 * overflowed far or round the end. Those wait aside until all lines are moved. */
static void grow(struct dedupe *d)
{
    CHECK(d->line_count <= UINT32_MAX / 4);
    const uint32_t before = d->line_count;
    struct buf aside = {0};
    uint64_t moved = 0;
    widen(d, before + before / 2);
    for (uint32_t at = before; at-- > 0;) {
        struct dedupe_line line = d->lines[at];
        d->lines[at] = (struct dedupe_line){{0}};
        for (unsigned i = 0; i < DEDUPE_LINE_KEYS; i++) {
            struct key key = {line.words[2 * i], line.words[2 * i + 1]};
            if (key_is_zero(key))
                continue;
            uint64_t *place = home_of(d, key) < at ? NULL : free_place_after(d, key);
            if (place == NULL)
                buf_put(&aside, &key, sizeof(key));
            else
                put_at(place, key);
            moved++;
        }
    }
    for (size_t i = 0; i < aside.length; i += sizeof(struct key)) {
        struct key key = key_of(aside.data + i);
        put_at(place_of(d, key), key);
    }
    buf_done(&aside);
    CHECK(moved == d->used);
}

void dedupe_done(struct dedupe *d)
{
    free(d->block);
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
    if (d->line_count == 0)
        widen(d, FIRST_LINES);
    uint64_t *place = place_of(d, key);
    if ((place[0] | place[1]) != 0)
        return false;
    put_at(place, key);
    d->used++;
    if (is_full(d))
        grow(d);
    return true;
}

bool dedupe_has(const struct dedupe *d, const uint8_t bytes[HASH_CLICK_BYTES])
{
    struct key key = key_of(bytes);
    if (key_is_zero(key))
        return d->zero;
    if (d->line_count == 0)
        return false;
    const uint64_t *place = place_of(d, key);
    return (place[0] | place[1]) != 0;
}

uint64_t dedupe_count(const struct dedupe *d)
{
    return d->used + (d->zero ? 1 : 0);
}

void dedupe_copy(const struct dedupe *d, uint8_t *out)
{
    uint8_t *next = out;
    if (d->zero) {
        memset(next, 0, HASH_CLICK_BYTES);
        next += HASH_CLICK_BYTES;
    }
    for (uint32_t at = 0; at < d->line_count; at++) {
        for (unsigned i = 0; i < DEDUPE_LINE_KEYS; i++) {
            const uint64_t *words = d->lines[at].words + (size_t)2 * i;
            if ((words[0] | words[1]) == 0)
                continue;
            memcpy(next, words, HASH_CLICK_BYTES);
            next += HASH_CLICK_BYTES;
        }
    }
    CHECK((size_t)(next - out) == dedupe_count(d) * HASH_CLICK_BYTES);
}

void dedupe_prefetch(const struct dedupe *d, const uint8_t bytes[HASH_CLICK_BYTES])
{
    if (d->line_count > 0)
        __builtin_prefetch(d->lines[home_of(d, key_of(bytes))].words, 1);
}
