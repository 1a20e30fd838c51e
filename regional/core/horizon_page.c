/* SPDX-License-Identifier: Apache-2.0
 * horizon_page: subtract what comes in from the rest; put all into the rest when it leaves. */
#include "regional/core/horizon_page.h"

#include <stdlib.h>

static void set_stored(struct horizon *h, struct minute_table *t)
{
    h->stored_count += !t->stored;
    t->stored = true;
    if (t->minute > h->stored_last)
        h->stored_last = t->minute;
}

struct minute_table *horizon_page_head(struct horizon *h, const struct minute_head *head)
{
    CHECK(horizon_find(h, head->total.minute) == NULL);
    struct minute_table *t = horizon_open(h, head->total.minute);
    set_stored(h, t);
    t->rest = head->total;
    t->rest_late = head->late;
    t->stored_cut = head->cut;
    return t;
}

void horizon_page_out(struct horizon *h, struct minute_table *t)
{
    CHECK(!t->changed && t->touched_count == 0 && t->click_count == 0);
    struct partial_total total = *horizon_total(t);
    uint64_t late = t->rest_late;
    for (uint32_t i = 0; i < t->row_count; i++) {
        late += t->rows[i].late;
        bucket_done(&t->rows[i]);
    }
    CHECK(h->rows >= t->row_count && h->keys >= dedupe_count(&t->keys));
    h->rows -= t->row_count;
    h->keys -= dedupe_count(&t->keys);
    free(t->rows_block);
    free(t->slots);
    free(t->touched);
    dedupe_done(&t->keys);
    t->rows_block = NULL;
    t->rows = NULL;
    t->slots = t->touched = NULL;
    t->row_count = t->row_capacity = t->slot_capacity = t->touched_capacity = 0;
    t->rest = total;
    t->rest_late = late;
    t->moving = false;
    set_stored(h, t);
    CHECK(t->total_is_known && t->total.digest == total.digest);
}

bool horizon_page_lacks_key(const struct minute_table *t, const uint8_t key[HASH_CLICK_BYTES])
{
    return t->stored && !dedupe_has(&t->keys, key);
}

bool horizon_page_lacks_row(struct minute_table *t, uint64_t ad_hash)
{
    return t->stored && t->rest.rows > 0 && horizon_row(t, ad_hash) == NULL;
}

void horizon_page_key(struct horizon *h, struct minute_table *t,
                      const uint8_t key[HASH_CLICK_BYTES])
{
    CHECK(t->stored);
    h->keys += dedupe_add(&t->keys, key);
}

enum err horizon_page_row(struct horizon *h, struct minute_table *t, const struct minute_row *row)
{
    struct hll users = {0};
    struct partial_row told = {.ad_hash = row->ad_hash,
                               .minute = t->minute,
                               .counted = row->counted,
                               .duplicate = row->duplicate,
                               .sketch = row->sketch};
    CHECK(t->stored && horizon_row(t, row->ad_hash) == NULL);
    if (t->rest.rows == 0 || t->rest.counted < row->counted || t->rest.duplicate < row->duplicate ||
        t->rest_late < row->late || hll_read(&users, row->sketch) != ERR_OK)
        return ERR_KV_CORRUPT;
    t->rest.rows--;
    t->rest.counted -= row->counted;
    t->rest.duplicate -= row->duplicate;
    t->rest.digest -= partial_row_digest(&told);
    t->rest_late -= row->late;
    struct bucket *b = horizon_add_row(h, t, row->ad_hash);
    b->counted = row->counted;
    b->duplicate = row->duplicate;
    b->late = row->late;
    b->users = users;
    b->sketch_sent = true; /* a minute is stored after its sketches were told */
    return ERR_OK;
}
