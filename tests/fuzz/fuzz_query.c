/* SPDX-License-Identifier: Apache-2.0
 * fuzz_query: any text behind a '?', for every route: refused in words, or within every limit. */
#include "global/core/query.h"
#include "global/core/query_time.h"
#include "tests/fuzz/fuzz_target.h"

static void check_good(enum query_route route, const struct query *q)
{
    CHECK(q->ad_id_length <= LIMIT_ID_BYTES && q->prefix_length <= LIMIT_ID_BYTES);
    if (route == QUERY_STATS || route == QUERY_TOP) {
        uint32_t wide = minute_window_minutes(q->window);
        CHECK(q->points >= 1 && q->points <= LIMIT_QUERY_POINTS);
        CHECK(q->start_minute < q->end_minute);
        CHECK(q->end_minute - q->start_minute == q->points * wide);
        CHECK(query_point_of(q, q->end_minute - 1) == q->points - 1);
        CHECK(query_minute_of(q, q->points) == q->end_minute);
    }
    if (route == QUERY_STATS)
        CHECK(q->ad_id_length > 0);
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
