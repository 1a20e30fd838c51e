/* SPDX-License-Identifier: Apache-2.0
 * fuzz_roster: any bytes as a replica's answer to tributaryctl. */
#include "regional/core/roster.h"
#include "tests/fuzz/fuzz_target.h"

static void read_one(struct span message)
{
    struct roster roster = {0}, again = {0};
    struct buf once = {0}, twice = {0};
    if (roster_read(&roster, message) != ERR_OK) {
        CHECK(roster.part_count == 0 && roster.parts == NULL);
        return;
    }
    roster_write(&once, &roster);
    CHECK(roster_read(&again, buf_span(&once)) == ERR_OK);
    roster_write(&twice, &again);
    CHECK(span_equal(buf_span(&once), buf_span(&twice)));
    roster_done(&roster);
    roster_done(&again);
    buf_done(&once);
    buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_message(data, size, read_one);
    return 0;
}
