/* SPDX-License-Identifier: Apache-2.0
 * merge: how a row that a region sends joins the row we hold. Source: design 2.6. */
#include "global/core/merge.h"

static uint64_t join_counter(uint64_t stored, uint64_t incoming)
{
#ifdef TRIBUTARY_BREAK_MERGE_BY_SUM
    return stored + incoming;
#else
    return base_max_u64(stored, incoming);
#endif
}

enum merge_rank merge_join(struct page_entry *stored, bool made, const struct partial_row *row)
{
    CHECK(stored->minute == row->minute % PAGE_MINUTES);
    enum merge_rank rank = MERGE_EQUAL;
    if (!made && row->generation < stored->generation)
        return MERGE_OLDER;
    if (!made && row->generation > stored->generation) {
        /* A refold by an operator: what the older generation counted was wrong as a whole. */
        *stored = (struct page_entry){
            .region = stored->region, .partition = stored->partition, .minute = stored->minute};
        rank = MERGE_NEWER;
    }
    stored->generation = row->generation;
    stored->counted = join_counter(stored->counted, row->counted);
    stored->duplicate = join_counter(stored->duplicate, row->duplicate);
    stored->late = join_counter(stored->late, row->late);
    for (unsigned i = 0; i < PARTIAL_FLAG_SLOTS; i++)
        stored->flagged[i] = join_counter(stored->flagged[i], row->flagged[i]);
    return rank;
}

enum err merge_sketch(struct span stored, struct span incoming, struct hll scratch[2],
                      struct buf *out)
{
    buf_clear(out);
    enum err err = ERR_OK;
    hll_clear(&scratch[0]);
    if (incoming.length > 0)
        err = hll_read(&scratch[0], incoming);
    if (err != ERR_OK || hll_is_empty(&scratch[0]) || span_equal(stored, incoming)) {
        buf_put(out, stored.data, stored.length);
        return err;
    }
    if (stored.length > 0) {
        hll_clear(&scratch[1]);
        /* What we stored we have read before: bytes that no longer parse are our own mistake. */
        CHECK(hll_read(&scratch[1], stored) == ERR_OK);
        (void)hll_merge(&scratch[0], &scratch[1]);
    }
    hll_put(&scratch[0], out);
    CHECK(out->length > 0);
    return ERR_OK;
}

uint64_t merge_digest(const struct page_entry *entry, uint64_t ad_hash, uint32_t hour,
                      struct span sketch)
{
    CHECK(entry->has_sketch == (sketch.length > 0));
    struct partial_row row = {
        .ad_hash = ad_hash,
        .minute = hour * PAGE_MINUTES + entry->minute,
        .generation = entry->generation,
        .counted = entry->counted,
        .duplicate = entry->duplicate,
        .late = entry->late,
        .sketch = sketch,
    };
    memcpy(row.flagged, entry->flagged, sizeof(row.flagged));
    return partial_row_digest(&row);
}
