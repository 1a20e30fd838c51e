/* SPDX-License-Identifier: Apache-2.0
 * fuzz_query: any text behind a '?', for every route: refused in words, or within every limit. */
#include "global/core/query_span.h"
#include "global/core/query_time.h"
#include "tests/fuzz/fuzz_target.h"

/* Every row of the page is of one slice, and in its place. */
static void check_rows(const struct query *q)
{
    struct query slice;
    uint32_t count;
    uint32_t row = q->first_row;
    for (; (count = query_slice(q, row, &slice)) > 0; row += count) {
        uint32_t wide = minute_window_minutes(q->window);
        CHECK(slice.ad_id_length > 0 && slice.ad_id_length <= LIMIT_ID_BYTES);
        CHECK(slice.points == count && count <= LIMIT_QUERY_POINTS);
        CHECK(slice.end_minute - slice.start_minute == count * wide);
        CHECK(query_point_of(&slice, slice.end_minute - 1) == count - 1);
        CHECK(query_minute_of(&slice, count) == slice.end_minute);
    }
    CHECK(row == q->last_row && row - q->first_row <= LIMIT_QUERY_POINTS);
}

static void check_good(enum query_route route, const struct query *q)
{
    CHECK(q->ad_id_length <= LIMIT_ID_BYTES && q->prefix_length <= LIMIT_ID_BYTES);
    if ((route != QUERY_STATS && route != QUERY_TOP) || q->zone[0] != '\0')
        return;
    CHECK(q->points >= 1 && q->start_minute < q->end_minute);
    CHECK(q->end_minute - q->start_minute == q->points * minute_window_minutes(q->window));
    CHECK(q->points <=
          (q->paged && route == QUERY_STATS ? LIMIT_QUERY_WINDOWS : LIMIT_QUERY_POINTS));
    if (route == QUERY_STATS)
        check_rows(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf text = {0};
    uint64_t second = 7;
    buf_put(&text, data, size);
    buf_put_u8(&text, 0);
    for (int route = QUERY_STATS; route <= QUERY_NOTHING; route++) {
        struct query q;
        struct query_fault fault = {0};
        if (query_parse_for((enum query_route)route, (const char *)text.data, &q, &fault)) {
            check_good((enum query_route)route, &q);
            continue;
        }
        CHECK(fault.rule[0] != '\0');
        CHECK(memchr(fault.parameter, '\0', sizeof(fault.parameter)) != NULL);
        CHECK(memchr(fault.rule, '\0', sizeof(fault.rule)) != NULL);
        for (const char *c = fault.parameter; *c != '\0'; c++) /* it is sent back */
            CHECK(*c >= ' ' && *c <= '~' && *c != '"' && *c != '\\');
    }
    if (!query_time_rfc3339(span_of(data, size), &second))
        CHECK(second == 7);
    buf_done(&text);
    return 0;
}
