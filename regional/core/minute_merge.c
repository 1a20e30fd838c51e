/* SPDX-License-Identifier: Apache-2.0
 * minute_merge: two sorted runs become one, cut into values. */
#include "regional/core/minute_merge.h"

#include <stdlib.h>

const struct minute_sizes minute_sizes_max = {.chunk_keys = MINUTE_CHUNK_KEYS_MAX,
                                              .value_rows = UINT32_MAX};

uint32_t minute_merge_keys_upto(const uint8_t *keys, uint32_t count,
                                const uint8_t last[HASH_CLICK_BYTES])
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (memcmp(keys + (size_t)middle * HASH_CLICK_BYTES, last, HASH_CLICK_BYTES) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* As many values as it takes, all about equally full: a chunk that was split has room again. */
static void put_keys(const struct minute_place *place, const uint8_t *keys, uint32_t count,
                     uint32_t most, const struct minute_sink *sink)
{
    uint32_t values = (count + most - 1) / most;
    struct buf value = {0};
    for (uint32_t i = 0; i < values; i++) {
        uint8_t key[MINUTE_CHUNK_KEY_BYTES];
        uint32_t first = (uint32_t)((uint64_t)count * i / values);
        uint32_t next = (uint32_t)((uint64_t)count * (i + 1) / values);
        minute_chunk_write(&value, key, place->partition, place->minute,
                           keys + (size_t)first * HASH_CLICK_BYTES, next - first);
        sink->put(sink->context, span_of(key, sizeof(key)), buf_span(&value));
    }
    buf_done(&value);
}

uint32_t minute_merge_keys(const struct minute_place *place, const struct minute_chunk *old,
                           const uint8_t *keys, uint32_t count, const struct minute_sizes *sizes,
                           const struct minute_sink *sink)
{
    const uint32_t before = old == NULL ? 0 : old->count;
    struct buf all = {0};
    uint32_t o = 0, k = 0;
    CHECK(count >= 1);
    buf_reserve(&all, ((size_t)before + count) * HASH_CLICK_BYTES);
    while (o < before || k < count) {
        const uint8_t *from_old = old == NULL ? NULL : old->keys + (size_t)o * HASH_CLICK_BYTES;
        const uint8_t *from_keys = keys + (size_t)k * HASH_CLICK_BYTES;
        int order = o == before  ? 1
                    : k == count ? -1
                                 : memcmp(from_old, from_keys, HASH_CLICK_BYTES);
        buf_put(&all, order <= 0 ? from_old : from_keys, HASH_CLICK_BYTES);
        o += order <= 0;
        k += order >= 0;
    }
    uint32_t total = (uint32_t)(all.length / HASH_CLICK_BYTES);
    CHECK(old == NULL ||
          memcmp(all.data + all.length - HASH_CLICK_BYTES,
                 old->keys + (size_t)(before - 1) * HASH_CLICK_BYTES, HASH_CLICK_BYTES) == 0);
    if (total > before)
        put_keys(place, all.data, total, sizes->chunk_keys, sink);
    buf_done(&all);
    return total - before;
}

struct row_list {
    struct minute_row *rows;
    uint32_t count, capacity;
};

static void take_row(void *context, const struct minute_row *row)
{
    struct row_list *list = context;
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 256 : list->capacity * 2;
        list->rows = base_realloc(list->rows, list->capacity * sizeof(*list->rows));
    }
    list->rows[list->count++] = *row;
}

static void put_value(struct minute_rows_writer *w, const struct minute_sink *sink)
{
    uint8_t key[MINUTE_ROWS_KEY_BYTES];
    minute_rows_seal(w, key);
    sink->put(sink->context, span_of(key, sizeof(key)), buf_span(&w->value));
    minute_rows_next(w);
}

static void add_row(struct minute_rows_writer *w, const struct minute_row *row,
                    const struct minute_sizes *sizes, const struct minute_sink *sink)
{
    if (w->count >= sizes->value_rows)
        put_value(w, sink);
    if (minute_rows_add(w, row))
        return;
    put_value(w, sink);
    bool added = minute_rows_add(w, row);
    CHECK(added);
}

enum err minute_merge_rows(const struct minute_place *place, struct span old_key,
                           struct span old_value, const struct minute_row *rows, uint32_t count,
                           const struct minute_sizes *sizes, const struct minute_sink *sink)
{
    struct row_list old = {0};
    CHECK(count >= 1);
    if (old_key.length > 0) {
        enum err err = minute_rows_read(old_key, old_value, take_row, &old);
        if (err != ERR_OK)
            return err;
        CHECK(rows[count - 1].ad_hash <= old.rows[old.count - 1].ad_hash);
    }
    struct minute_rows_writer w = {.partition = place->partition, .minute = place->minute};
    uint32_t o = 0, k = 0;
    while (o < old.count || k < count) {
        bool is_old = o < old.count && (k == count || old.rows[o].ad_hash < rows[k].ad_hash);
        if (is_old) {
            add_row(&w, &old.rows[o++], sizes, sink);
            continue;
        }
        o += o < old.count && old.rows[o].ad_hash == rows[k].ad_hash;
        add_row(&w, &rows[k++], sizes, sink);
    }
    put_value(&w, sink);
    minute_rows_done(&w);
    free(old.rows);
    return ERR_OK;
}
