/* SPDX-License-Identifier: Apache-2.0
 * bucket: counters that refuse to wrap. */
#include "regional/core/bucket.h"

void bucket_done(struct bucket *b)
{
    hll_done(&b->users);
}

bool bucket_is_full(const struct bucket *b)
{
    return b->counted == UINT64_MAX || b->duplicate == UINT64_MAX ||
           b->uncut_duplicate == UINT32_MAX || b->uncut_late == UINT32_MAX;
}

enum err bucket_count(struct bucket *b, uint64_t user_hash, bool late)
{
    if (bucket_is_full(b))
        return ERR_COUNT_FULL;
    CHECK(b->late <= b->counted);
    b->counted++;
    if (late) {
        b->late++;
        b->uncut_late++;
    }
    if (hll_add(&b->users, user_hash))
        b->sketch_sent = false;
    b->changed = true;
    return ERR_OK;
}

enum err bucket_repeat(struct bucket *b)
{
    if (bucket_is_full(b))
        return ERR_COUNT_FULL;
    b->duplicate++;
    b->uncut_duplicate++;
    b->changed = true;
    return ERR_OK;
}

struct partial_row bucket_row(const struct bucket *b, struct span sketch)
{
    return (struct partial_row){
        .ad_hash = b->ad_hash,
        .minute = b->minute,
        .counted = b->counted,
        .duplicate = b->duplicate,
        .late = b->late,
        .sketch = sketch,
    };
}
