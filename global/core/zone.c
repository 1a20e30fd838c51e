/* SPDX-License-Identifier: Apache-2.0
 * zone: what the clocks of a time zone show: a TZif file read from its bytes. */
#include "global/core/zone.h"

#include <stdlib.h>

#define TYPES_MAX 256

/* What a block holds (RFC 9636, 3.1). */
struct counts {
    uint32_t utc_marks, standard_marks, leaps, changes, types, letters;
};

bool zone_name_is_valid(struct span name)
{
    bool begins = true;
    if (name.length == 0 || name.length > ZONE_NAME_BYTES)
        return false;
    for (size_t i = 0; i < name.length; i++) {
        uint8_t c = name.data[i];
        bool capital = c >= 'A' && c <= 'Z';
        bool other = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '+' ||
                     c == '_' || c == '/';
        if (begins ? !capital : !capital && !other)
            return false;
        begins = c == '/';
    }
    return !begins;
}

static enum err read_head(struct reader *r, struct counts *out)
{
    struct span magic = reader_bytes(r, 4);
    uint8_t version = reader_u8(r);
    (void)reader_bytes(r, 15);
    *out = (struct counts){.utc_marks = reader_u32(r),
                           .standard_marks = reader_u32(r),
                           .leaps = reader_u32(r),
                           .changes = reader_u32(r),
                           .types = reader_u32(r),
                           .letters = reader_u32(r)};
    if (r->failed || memcmp(magic.data, "TZif", 4) != 0)
        return ERR_MAGIC;
    if (version < '2')
        return ERR_VERSION;
    if (out->changes > ZONE_CHANGES_MAX)
        return ERR_LIMIT;
    return out->leaps == 0 && out->types >= 1 && out->types <= TYPES_MAX ? ERR_OK : ERR_FORMAT;
}

/* The block of 32-bit times, which only older readers need. Its counts may be zero. */
static enum err skip_first_block(struct reader *r)
{
    struct counts c;
    enum err err = read_head(r, &c);
    if (err != ERR_OK && err != ERR_FORMAT)
        return err;
    (void)reader_bytes(r, (size_t)c.changes * 5 + (size_t)c.types * 6 + c.letters +
                              (size_t)c.leaps * 8 + c.standard_marks + c.utc_marks);
    return ERR_OK;
}

static bool is_offset(int32_t east_s)
{
    return east_s >= -ZONE_EAST_MAX && east_s <= ZONE_EAST_MAX;
}

static enum err read_changes(struct zone *z, struct reader *r, const struct counts *c)
{
    int32_t east[TYPES_MAX];
    struct reader times = reader_of(reader_bytes(r, (size_t)c->changes * 8));
    struct span kinds = reader_bytes(r, c->changes);
    for (uint32_t i = 0; i < c->types; i++) {
        east[i] = (int32_t)reader_u32(r);
        (void)reader_bytes(r, 2); /* whether it is summer, and what it is called */
        if (!is_offset(east[i]))
            return ERR_FORMAT;
    }
    (void)reader_bytes(r, (size_t)c->letters + c->standard_marks + c->utc_marks);
    if (r->failed)
        return ERR_FORMAT;
    int32_t now = z->first_east_s = east[0];
    z->changes = base_zalloc(c->changes + 1ULL, sizeof(z->changes[0]));
    z->last_s = INT64_MIN;
    for (uint32_t i = 0; i < c->changes; i++) {
        int64_t at_s = (int64_t)reader_u64(&times);
        if (kinds.data[i] >= c->types || (i > 0 && at_s <= z->last_s))
            return ERR_FORMAT;
        z->last_s = at_s;
        if (east[kinds.data[i]] == now)
            continue; /* another name for the same time */
        now = east[kinds.data[i]];
        z->changes[z->change_count++] = (struct zone_change){at_s, now};
    }
    return ERR_OK;
}

static enum err read_rule(struct zone *z, struct reader *r)
{
    const uint8_t *end = NULL;
    bool begins = reader_u8(r) == '\n' && r->left > 0;
    if (begins)
        end = memchr(r->data, '\n', r->left);
    if (end == NULL || end + 1 != r->data + r->left)
        return ERR_FORMAT;
    struct span text = span_of(r->data, (size_t)(end - r->data));
    z->has_rule = text.length > 0;
    if (!z->has_rule)
        return ERR_OK;
    return zone_rule_read(text, &z->rule) ? ERR_OK : ERR_FORMAT;
}

enum err zone_read(struct zone *z, struct span bytes)
{
    struct reader r = reader_of(bytes);
    struct counts c;
    enum err err = skip_first_block(&r);
    if (err == ERR_OK)
        err = read_head(&r, &c);
    if (err == ERR_OK)
        err = read_changes(z, &r, &c);
    if (err == ERR_OK)
        err = read_rule(z, &r);
    if (err != ERR_OK)
        zone_done(z);
    return err;
}

void zone_done(struct zone *z)
{
    free(z->changes);
    *z = (struct zone){.change_count = 0};
}

int32_t zone_east_at(const struct zone *z, int64_t at_s, int64_t *out_until_s)
{
    uint32_t low = 0; /* changes before it are not after at_s */
    uint32_t high = z->change_count;
    if (z->has_rule && at_s >= z->last_s)
        return zone_rule_east_at(&z->rule, at_s, out_until_s);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (z->changes[middle].at_s <= at_s)
            low = middle + 1;
        else
            high = middle;
    }
    *out_until_s = low < z->change_count ? z->changes[low].at_s
                   : z->has_rule         ? z->last_s
                                         : ZONE_FOREVER;
    return low == 0 ? z->first_east_s : z->changes[low - 1].east_s;
}
