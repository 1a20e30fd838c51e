/* SPDX-License-Identifier: Apache-2.0
 * fuzz_zone: any bytes as a zone's file: refused, or a zone whose offsets hold until they say, and
 * whose windows tile the range. */
#include "global/core/zone_windows.h"
#include "tests/fuzz/fuzz_target.h"

static void check_windows(const struct zone *zone, enum minute_window window, struct buf *edges)
{
    const uint64_t start_s = 1772841600; /* 2026-03-07, and two days on */
    for (uint64_t at_s = start_s; at_s < start_s + 90000; at_s += 4500) {
        uint32_t before = 0;
        enum zone_windows_result result = zone_windows(zone, window, at_s, at_s + 172800, edges);
        if (result == ZONE_WINDOWS_START)
            continue;
        for (size_t i = 0; i < edges->length; i += sizeof(before)) {
            uint32_t minute;
            memcpy(&minute, edges->data + i, sizeof(minute));
            CHECK(i == 0 ? minute == at_s / 60 : minute > before);
            before = minute;
        }
        if (result == ZONE_WINDOWS_OK)
            CHECK(before == (at_s + 172800) / 60);
    }
}

static void check_offsets(const struct zone *zone)
{
    static const int64_t instants[] = {-62135596800, -1, 0, 951782400, 1772953200, 253402300799};
    for (unsigned i = 0; i < countof(instants); i++) {
        int64_t until_s;
        int64_t same_s;
        int32_t east_s = zone_east_at(zone, instants[i], &until_s);
        CHECK(until_s > instants[i]);
        CHECK(east_s >= -ZONE_EAST_MAX && east_s <= ZONE_EAST_MAX);
        CHECK(zone_east_at(zone, until_s - 1, &same_s) == east_s && same_s == until_s);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct zone zone = {.change_count = 0};
    struct buf edges = {0};
    (void)zone_name_is_valid(span_of(data, size));
    if (zone_read(&zone, span_of(data, size)) == ERR_OK) {
        check_offsets(&zone);
        check_windows(&zone, MINUTE_WINDOW_5M, &edges);
        check_windows(&zone, MINUTE_WINDOW_1H, &edges);
        check_windows(&zone, MINUTE_WINDOW_1D, &edges);
    }
    zone_done(&zone);
    buf_done(&edges);
    return 0;
}
