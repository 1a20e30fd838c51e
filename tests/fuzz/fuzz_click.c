/* SPDX-License-Identifier: Apache-2.0
 * fuzz_click: any bytes as spool rows: what is read can be put, and reads the same again. */
#include "proto/click.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_of(span_of(data, size));
    struct click click;
    while (r.left > 0 && click_read(&r, &click) == ERR_OK) {
        CHECK(click_is_bounded(&click));
        struct buf once = {0};
        struct buf twice = {0};
        struct click again;
        click_put(&once, &click);
        struct reader back = reader_of(buf_span(&once));
        CHECK(click_read(&back, &again) == ERR_OK && reader_at_end(&back));
        click_put(&twice, &again);
        CHECK(span_equal(buf_span(&once), buf_span(&twice)));
        CHECK(again.timestamp_ms == click.timestamp_ms && span_equal(again.ad_id, click.ad_id));
        buf_done(&once);
        buf_done(&twice);
    }
    return 0;
}
