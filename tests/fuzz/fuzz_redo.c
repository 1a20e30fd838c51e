/* SPDX-License-Identifier: Apache-2.0
 * fuzz_redo: any bytes as what a cut did to a minute, with the checksum put right: refused, or
 * applied once, and refused the second time if it held a click. */
#include "tests/fuzz/fuzz_fold.h"
#include "tests/fuzz/fuzz_target.h"

static uint64_t counted_of(struct fold *f)
{
    uint64_t counted = 0;
    const struct minute_table *t = horizon_find(&f->horizon, FUZZ_MINUTE);
    for (uint32_t i = 0; t != NULL && i < t->row_count; i++)
        counted += t->rows[i].counted;
    return counted;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t key[REDO_KEY_BYTES];
    struct buf value = {0};
    struct fold *f = fuzz_fold_new();
    f->cut = 9;
    redo_key(key, FUZZ_PARTITION, FUZZ_MINUTE, 4);
    struct span under = span_of(key, sizeof(key));
    buf_put(&value, data, size);
    buf_put_u64(&value,
                hash_checksum(span_of(data, size), REDO_SEED ^ hash_checksum(under, REDO_SEED)));
    enum err err = redo_apply(f, under, buf_span(&value));
    CHECK(err == ERR_OK || err == ERR_KV_CORRUPT);
    if (err == ERR_OK) {
        uint64_t counted = counted_of(f);
        CHECK(counted == f->horizon.keys);
        err = redo_apply(f, under, buf_span(&value)); /* the same clicks are no new ones */
        CHECK(counted == 0 || err == ERR_KV_CORRUPT);
        CHECK(counted_of(f) == counted);
    }
    if (err == ERR_OK)
        redo_done(f);
    fold_free(f);
    buf_done(&value);
    return 0;
}
