/* SPDX-License-Identifier: Apache-2.0
 * column: see column.h. */
#include "proto/column.h"

#include "common/base/hash.h"

#include <stdlib.h>

void column_put_delta(struct buf *out, uint64_t *previous, uint64_t value)
{
    uint64_t delta = value - *previous;
    buf_put_varint(out, delta << 1 ^ (delta >> 63 ? UINT64_MAX : 0));
    *previous = value;
}

uint64_t column_delta(struct reader *r, uint64_t *previous)
{
    uint64_t zigzag = reader_varint(r);
    *previous += zigzag >> 1 ^ (zigzag & 1 ? UINT64_MAX : 0);
    return *previous;
}

static const struct span *text_at(const struct span *first, size_t stride, uint32_t i)
{
    return (const struct span *)(const void *)((const char *)first + stride * i);
}

void column_put_texts(struct buf *out, const struct span *first, size_t stride, uint32_t count)
{
    CHECK(stride >= sizeof(*first));
    for (uint32_t i = 0; i < count; i++)
        buf_put_varint(out, text_at(first, stride, i)->length);
    for (uint32_t i = 0; i < count; i++) {
        const struct span *text = text_at(first, stride, i);
        buf_put(out, text->data, text->length);
    }
}

enum err column_read_texts(struct reader *r, struct span *first, size_t stride, uint32_t count,
                           size_t length_min, size_t length_max)
{
    CHECK(stride >= sizeof(*first));
    for (uint32_t i = 0; i < count; i++) {
        uint64_t length = reader_varint(r);
        if (r->failed)
            return ERR_FORMAT;
        if (length < length_min || length > length_max)
            return ERR_LIMIT;
        struct span *text = (struct span *)(void *)((char *)first + stride * i);
        text->length = (size_t)length;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct span *text = (struct span *)(void *)((char *)first + stride * i);
        *text = reader_bytes(r, text->length);
        if (r->failed)
            return ERR_FORMAT;
    }
    return ERR_OK;
}

void column_dict_init(struct column_dict *d, uint32_t count_max, uint64_t seed)
{
    CHECK(count_max <= UINT32_MAX / 4);
    uint32_t slots = 8;
    while (slots < count_max * 2)
        slots *= 2;
    *d = (struct column_dict){
        .entries = base_alloc(count_max * sizeof(*d->entries)),
        .count_max = count_max,
        .slots = base_zalloc(slots, sizeof(*d->slots)),
        .slot_mask = slots - 1,
        .seed = seed,
    };
}

uint32_t column_dict_index(struct column_dict *d, struct span text)
{
    uint32_t at = (uint32_t)hash_checksum(text, d->seed) & d->slot_mask;
    for (; d->slots[at] != 0; at = (at + 1) & d->slot_mask) {
        if (span_equal(d->entries[d->slots[at] - 1], text))
            return d->slots[at] - 1;
    }
    CHECK(d->count < d->count_max);
    d->entries[d->count] = text;
    d->slots[at] = ++d->count;
    return d->count - 1;
}

void column_dict_put(const struct column_dict *d, struct buf *out)
{
    buf_put_varint(out, d->count);
    column_put_texts(out, d->entries, sizeof(*d->entries), d->count);
}

void column_dict_done(struct column_dict *d)
{
    free(d->entries);
    free(d->slots);
    *d = (struct column_dict){0};
}
