/* SPDX-License-Identifier: Apache-2.0
 * Finds the batch that holds a number, from a snapshot of the spool, by seeks alone. */
#include "edge/edge_pipeline_parts.h"

/* The batch with the lowest first >= `from`. */
static bool batch_seek(struct kv_txn *txn, const struct edge_line *line, uint64_t from,
                       uint64_t *out_first, struct span *out_value)
{
    struct spool_key start = spool_batch_key(&line->spool, from);
    struct span key;
    return kv_seek(txn, EDGE_TABLE_BATCH, span_of(start.bytes, start.length), &key, out_value) &&
           spool_batch_key_read(&line->spool, key, out_first);
}

/* A number at or a little below the first of the batch that holds `number`. A batch is found by its
 * first alone: where the last one sent from is no help (a restart, a jump back), steps back that
 * double reach it in some ten seeks, whatever the spool holds: a walk from its lowest number would
 * read gigabytes after an outage. */
static uint64_t search_start(struct kv_txn *txn, const struct edge_line *line, uint64_t number)
{
    const uint64_t low = line->window.low;
    CHECK(number >= low);
    if (line->batch_known && line->batch_first <= number)
        return base_max_u64(line->batch_first, low);
    for (uint64_t step = 0; step < number - low; step = step == 0 ? 1 : step * 2) {
        uint64_t first;
        struct span value;
        if (batch_seek(txn, line, number - step, &first, &value) && first <= number)
            return number - step;
    }
    return low;
}

enum err edge_pipeline_batch_find(struct kv_txn *txn, const struct edge_line *line, uint64_t number,
                                  struct spool_batch *out, bool *out_found)
{
    uint64_t from = search_start(txn, line, number), first;
    struct span value;
    *out_found = false;
    while (batch_seek(txn, line, from, &first, &value)) {
        if (spool_batch_read(first, value, out) != ERR_OK)
            return ERR_KV_CORRUPT;
        if (out->last > number) {
            *out_found = true;
            return ERR_OK;
        }
        from = out->last;
    }
    return ERR_OK;
}

bool edge_pipeline_batch_trimmed(struct kv_txn *txn, const struct edge_line *line, uint64_t number)
{
    struct spool_key key = spool_line_key(&line->spool);
    struct span at = span_of(key.bytes, key.length), value;
    struct spool_line stored;
    if (!kv_get(txn, EDGE_TABLE_LINE, at, &value))
        return line->older; /* a drained line's record goes with its last batch or later */
    return spool_line_read(at, value, &stored) == ERR_OK && stored.low > number;
}
