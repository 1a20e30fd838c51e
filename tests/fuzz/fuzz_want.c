/* SPDX-License-Identifier: Apache-2.0
 * fuzz_want: any bytes as a want. */
#include "proto/want.h"
#include "tests/fuzz/fuzz_target.h"

static void read_one(struct span message)
{
    struct want_message *m = base_zalloc(2, sizeof(*m));
    if (want_read(&m[0], message) == ERR_OK) {
        struct buf once = {0};
        struct buf twice = {0};
        want_write(&once, &m[0]);
        CHECK(want_read(&m[1], buf_span(&once)) == ERR_OK);
        CHECK(m[0].minute_count == m[1].minute_count && m[0].name_count == m[1].name_count);
        want_write(&twice, &m[1]);
        CHECK(span_equal(buf_span(&once), buf_span(&twice)));
        buf_done(&once);
        buf_done(&twice);
    }
    free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_message(data, size, read_one);
    return 0;
}
