/* SPDX-License-Identifier: Apache-2.0
 * What is packed unpacks to itself, also into a buffer that holds something, again and again. */
#include "common/run/body_encode.h"

#include "common/base/rng.h"
#include "common/run/body_decode.h"

#include <criterion/criterion.h>

TestSuite(body_encode, .timeout = 30);

typedef void (*encode)(struct body_encode *, struct span, struct buf *);

static void expect_back(struct body_encode *e, encode run, enum body_decode_coding coding,
                        struct span body)
{
    const struct body_decode_limits limits = {.bytes_max = 4u << 20, .ratio_max = 1u << 20};
    struct body_decode *d = body_decode_new();
    struct buf packed = {0};
    struct buf back = {0};
    buf_put(&packed, "before", 6);

    run(e, body, &packed);

    cr_assert(memcmp(packed.data, "before", 6) == 0);
    cr_assert_eq(
        body_decode_run(d, coding, span_of(packed.data + 6, packed.length - 6), &limits, &back),
        BODY_DECODE_OK);
    cr_assert(span_equal(buf_span(&back), body));
    if (body.length > 1000 && body.data[0] == body.data[1])
        cr_assert_lt(packed.length, body.length / 10);
    buf_done(&packed);
    buf_done(&back);
    body_decode_free(d);
}

Test(body_encode, what_is_packed_unpacks_to_itself)
{
    static uint8_t bytes[1u << 20];
    struct rng rng = {3};
    struct body_encode *e = body_encode_new();
    for (unsigned round = 0; round < 3; round++)
        for (size_t length = 0; length <= sizeof(bytes); length = length * 5 + 1) {
            memset(bytes, 'a', sizeof(bytes));
            for (size_t i = 0; round > 0 && i < length; i++)
                bytes[i] = (uint8_t)rng_below(&rng, round == 1 ? 256 : 10);
            expect_back(e, body_encode_gzip, BODY_DECODE_GZIP, span_of(bytes, length));
            expect_back(e, body_encode_zstd, BODY_DECODE_ZSTD, span_of(bytes, length));
        }
    body_encode_free(e);
    body_encode_free(NULL);
}

Test(body_encode, the_same_body_gives_the_same_bytes)
{
    const struct span body = span_of_text("{\"ad_id\":\"x\",\"data\":[1,1,1,1,1,1,1,1,1]}");
    struct body_encode *e[2] = {body_encode_new(), body_encode_new()};
    struct buf packed[2] = {{0}, {0}};
    body_encode_gzip(e[1], span_of_text("something else before"), &packed[1]);
    body_encode_zstd(e[1], span_of_text("something else before"), &packed[1]);
    buf_clear(&packed[1]);
    for (unsigned i = 0; i < 2; i++) {
        body_encode_gzip(e[i], body, &packed[i]);
        body_encode_zstd(e[i], body, &packed[i]);
    }
    cr_assert(span_equal(buf_span(&packed[0]), buf_span(&packed[1])));
    for (unsigned i = 0; i < 2; i++) {
        buf_done(&packed[i]);
        body_encode_free(e[i]);
    }
}
