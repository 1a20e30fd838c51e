/* SPDX-License-Identifier: Apache-2.0
 * sim_stored: what a replica's store holds of closed minutes, walked apart from the product's own
 * look-ups: every value in its place, keys ascending over all chunks and as many as were counted,
 * rows that add up to the head, no redo value that a snapshot has swallowed. */
#include "regional/core/minute_snapshot.h"
#include "regional/core/redo.h"
#include "tests/sim/sim_world.h"

#include <stdlib.h>

/* One minute on the walk. */
struct walk {
    struct minute_head head;
    struct partial_total sum;
    uint64_t keys;
    uint8_t last_key[HASH_CLICK_BYTES];
    uint64_t last_hash;
    bool open, bad;
};

static void add_row(void *context, const struct minute_row *row)
{
    struct walk *k = context;
    struct partial_row told = {.ad_hash = row->ad_hash,
                               .minute = k->head.total.minute,
                               .counted = row->counted,
                               .duplicate = row->duplicate,
                               .sketch = row->sketch};
    k->bad |= k->sum.rows > 0 && row->ad_hash <= k->last_hash;
    k->last_hash = row->ad_hash;
    k->sum.rows++;
    k->sum.counted += row->counted;
    k->sum.duplicate += row->duplicate;
    k->sum.digest += partial_row_digest(&told);
}

static void add_chunk(struct walk *k, const struct minute_chunk *chunk)
{
    for (uint32_t i = 0; i < chunk->count; i++) {
        const uint8_t *key = chunk->keys + (size_t)i * HASH_CLICK_BYTES;
        k->bad |= k->keys > 0 && memcmp(k->last_key, key, HASH_CLICK_BYTES) >= 0;
        memcpy(k->last_key, key, HASH_CLICK_BYTES);
        k->keys++;
    }
}

static bool adds_up(const struct walk *k)
{
    return !k->bad && k->keys == k->head.keys && k->sum.rows == k->head.total.rows &&
           k->sum.counted == k->head.total.counted && k->sum.duplicate == k->head.total.duplicate &&
           k->sum.digest == k->head.total.digest;
}

static bool take_value(struct walk *k, struct span key, struct span value)
{
    struct minute_chunk chunk;
    switch (key.data[MINUTE_PREFIX_BYTES - 1]) {
    case MINUTE_HEAD:
        if (k->open && !adds_up(k))
            return false;
        *k = (struct walk){.open = true};
        return minute_head_read(&k->head, key, value) == ERR_OK;
    case MINUTE_KEYS:
        if (!k->open || minute_chunk_read(&chunk, key, value) != ERR_OK)
            return false;
        add_chunk(k, &chunk);
        return true;
    default:
        return k->open && minute_rows_read(key, value, add_row, k) == ERR_OK;
    }
}

/* Nothing that a snapshot holds is told a second time by a redo value. */
static bool redo_is_gone(struct kv_txn *txn, const struct minute_head *head)
{
    uint8_t key[REDO_KEY_BYTES];
    struct span found, value;
    uint16_t partition;
    uint32_t minute;
    uint64_t cut;
    redo_key(key, head->partition, head->total.minute, 0);
    return !kv_seek(txn, CUT_TABLE_REDO, span_of(key, sizeof(key)), &found, &value) ||
           !redo_key_read(found, &partition, &minute, &cut) || partition != head->partition ||
           minute != head->total.minute || cut > head->cut;
}

static void check_partition(struct sim_world *w, struct sim_replica *r, struct kv_txn *txn,
                            uint16_t partition)
{
    uint8_t key[MINUTE_CHUNK_KEY_BYTES + 1];
    struct minute_place place = {partition, replica_fold(r->replica, partition)->retired_below,
                                 MINUTE_HEAD};
    size_t length = MINUTE_PREFIX_BYTES;
    struct walk k = {0};
    struct span found, value;
    minute_place_write(key, &place);
    while (kv_seek(txn, CUT_TABLE_MINUTES, span_of(key, length), &found, &value) &&
           bytes_load_u16(found.data) == partition) {
        uint32_t minute = bytes_load_u32(found.data + 2);
        bool good = take_value(&k, found, value) && k.head.total.minute == minute;
        if (!good || !redo_is_gone(txn, &k.head)) {
            sim_violation(w, "stored", "%s partition %u: minute %u in the store is not sound",
                          r->process.name, partition, k.head.total.minute);
            return;
        }
        length = found.length + 1;
        memcpy(key, found.data, found.length);
        key[found.length] = 0;
    }
    if (k.open && !adds_up(&k))
        sim_violation(w, "stored", "%s partition %u: minute %u in the store does not add up",
                      r->process.name, partition, k.head.total.minute);
}

void sim_stored_check(struct sim_replica *r)
{
    struct sim_world *w = r->process.world;
    struct kv_txn *txn;
    if (kv_begin(r->process.kv, false, &txn) != ERR_OK)
        return;
    for (uint32_t p = 0; p < w->plan.partitions; p++)
        check_partition(w, r, txn, (uint16_t)p);
    (void)kv_abort(&txn);
}
