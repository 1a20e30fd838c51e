/* SPDX-License-Identifier: Apache-2.0
 * fuzz_floor: any bytes as a floors message: what is read can be written, and written twice gives
 * the same bytes. */
#include "proto/floor.h"
#include "tests/fuzz/fuzz_target.h"

static void read_one(struct span message)
{
    struct floor_message m = {0};
    if (floor_read(&m, message) != ERR_OK)
        return;
    CHECK(m.line_count <= FLOOR_LINES_MAX);
    struct buf once = {0};
    struct buf twice = {0};
    struct floor_message again = {0};
    floor_write(&once, &m);
    CHECK(floor_read(&again, buf_span(&once)) == ERR_OK && again.line_count == m.line_count);
    floor_write(&twice, &again);
    CHECK(span_equal(buf_span(&once), buf_span(&twice)));
    floor_done(&again);
    buf_done(&once);
    buf_done(&twice);
    floor_done(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_message(data, size, read_one);
    return 0;
}
