/* SPDX-License-Identifier: Apache-2.0
 * fuzz_control: any bytes as a control message or a tick. */
#include "proto/control.h"
#include "tests/fuzz/fuzz_target.h"

static void read_one(struct span message)
{
    (void)tick_is(message);
    struct control_message m;
    if (control_read(&m, message) != ERR_OK)
        return;
    struct buf once = {0};
    struct buf twice = {0};
    struct control_message again;
    control_write(&once, &m);
    CHECK(control_read(&again, buf_span(&once)) == ERR_OK);
    CHECK(again.number == m.number && again.kind == m.kind && strcmp(again.edge, m.edge) == 0);
    control_write(&twice, &again);
    CHECK(span_equal(buf_span(&once), buf_span(&twice)));
    buf_done(&once);
    buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_message(data, size, read_one);
    return 0;
}
