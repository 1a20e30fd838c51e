/* SPDX-License-Identifier: Apache-2.0
 * fuzz_partial: any bytes as a partial: what is read can be written, and written twice gives the
 * same bytes. */
#include "proto/partial.h"
#include "tests/fuzz/fuzz_target.h"

static void read_one(struct span message)
{
    struct partial p = {0};
    if (partial_read(&p, message) != ERR_OK)
        return;
    for (uint32_t i = 0; i < p.row_count; i++)
        (void)partial_row_digest(&p.rows[i]);
    struct buf once = {0};
    struct buf twice = {0};
    struct partial again = {0};
    partial_write(&once, &p);
    CHECK(partial_read(&again, buf_span(&once)) == ERR_OK);
    CHECK(again.row_count == p.row_count && again.name_count == p.name_count &&
          again.total_count == p.total_count && again.edge_count == p.edge_count);
    partial_write(&twice, &again);
    CHECK(span_equal(buf_span(&once), buf_span(&twice)));
    partial_done(&again);
    buf_done(&once);
    buf_done(&twice);
    partial_done(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_message(data, size, read_one);
    return 0;
}
