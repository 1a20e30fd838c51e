/* SPDX-License-Identifier: Apache-2.0
 * fuzz_click_json: any bytes as a request body, scanned in both formats, judged and explained. */
#include "edge/core/admit.h"
#include "tests/fuzz/fuzz_target.h"

static void judge(const struct click_json_click *scanned)
{
    static const char regions[2][LIMIT_REGION_NAME_BYTES + 1] = {"us", "eu"};
    const struct admit_rules rules = {.secret = (const uint8_t *)"0123456789abcdef",
                                      .regions = regions,
                                      .region_count = 2,
                                      .partitions = 4,
                                      .horizon_ms = UINT64_MAX};
    const struct admit_request request = {.now_ms = LIMIT_TIMESTAMP_MS_MAX,
                                          .peer_ip = span_of_text("192.0.2.1")};
    struct admit_verdict verdict;
    char words[256];
    admit_click(&rules, &request, scanned, &verdict);
    admit_explain(&verdict, scanned, words, sizeof(words));
    CHECK(strlen(words) > 0 && strlen(admit_token(&verdict)) > 0);
    if (verdict.fault == ADMIT_OK) {
        CHECK(click_is_bounded(&verdict.click));
        CHECK(verdict.home < 2 && verdict.partition < 4);
    }
}

static void scan(struct span body, enum click_json_format format)
{
    struct click_json *s = click_json_new(body, format);
    struct click_json_click click;
    uint32_t count = 0;
    while (click_json_next(s, &click)) {
        CHECK(click.index == count && click.offset <= body.length);
        judge(&click);
        count++;
    }
    size_t offset;
    enum click_json_fault fault = click_json_body_fault(s, &offset);
    CHECK(fault < CLICK_JSON_FAULTS && offset <= body.length);
    CHECK(format != CLICK_JSON_LINES || fault == CLICK_JSON_OK);
    click_json_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    scan(span_of(data, size), CLICK_JSON_DOCUMENT);
    scan(span_of(data, size), CLICK_JSON_BEACON);
    scan(span_of(data, size), CLICK_JSON_LINES);
    return 0;
}
