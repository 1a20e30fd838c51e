/* SPDX-License-Identifier: Apache-2.0
 * fuzz_fold_state: any bytes as the state of a fold, as they are and with the checksum put right:
 * refused, or read as it would be written. */
#include "tests/fuzz/fuzz_fold.h"
#include "tests/fuzz/fuzz_target.h"

static void read_value(struct span value)
{
    struct fold *f = fuzz_fold_new(), *same = fuzz_fold_new();
    struct fold_position position = {0}, again = {0};
    struct buf once = {0}, twice = {0};
    enum err err = fold_state_read(f, &position, value);
    CHECK(err == ERR_OK || err == ERR_KV_CORRUPT || err == ERR_CONFIG);
    if (err == ERR_OK) {
        fuzz_fold_check(f);
        fold_state_write(&once, f, &position);
        CHECK(fold_state_read(same, &again, buf_span(&once)) == ERR_OK);
        CHECK(again.seq == position.seq && again.digest == position.digest);
        fold_state_write(&twice, same, &again);
        CHECK(span_equal(buf_span(&once), buf_span(&twice)));
    }
    fold_free(f);
    fold_free(same);
    buf_done(&once);
    buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span bytes = span_of(data, size);
    struct buf sealed = {0};
    read_value(bytes);
    buf_put(&sealed, data, size);
    buf_put_u64(&sealed, hash_checksum(bytes, FOLD_STATE_SEED));
    read_value(buf_span(&sealed));
    buf_done(&sealed);
    return 0;
}
