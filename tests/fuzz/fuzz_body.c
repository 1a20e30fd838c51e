/* SPDX-License-Identifier: Apache-2.0
 * fuzz_body: any bytes as a packed request body: bounded, and the same when it is sent again
 * through a decoder that has seen others. */
#include "common/run/body_decode.h"
#include "proto/click_json.h"
#include "tests/fuzz/fuzz_target.h"

static void scan(struct span body)
{
    struct click_json *s = click_json_new(body, CLICK_JSON_DOCUMENT);
    struct click_json_click click;
    while (click_json_next(s, &click))
        CHECK(click.offset <= body.length);
    click_json_free(s);
}

static void unpack(struct body_decode *d, enum body_decode_coding coding, struct span body)
{
    const struct body_decode_limits limits = {
        .bytes_max = 100000, .ratio_max = 100, .ratio_free_bytes = 8192};
    struct buf first = {0}, again = {0};
    enum body_decode_result result = body_decode_run(d, coding, body, &limits, &first);
    struct body_decode *fresh = body_decode_new();
    CHECK(body_decode_run(fresh, coding, body, &limits, &again) == result);
    CHECK(span_equal(buf_span(&first), buf_span(&again)));
    CHECK(first.length <= limits.bytes_max && (result == BODY_DECODE_OK || first.data == NULL));
    if (result == BODY_DECODE_OK)
        scan(buf_span(&first));
    body_decode_free(fresh);
    buf_done(&first);
    buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct body_decode *decoder; /* reachable to the end */
    if (decoder == NULL)
        decoder = body_decode_new();
    unpack(decoder, BODY_DECODE_GZIP, span_of(data, size));
    unpack(decoder, BODY_DECODE_ZSTD, span_of(data, size));
    return 0;
}
