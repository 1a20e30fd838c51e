/* SPDX-License-Identifier: Apache-2.0
 * Claims about body_decode: what is packed comes out as it was, and nothing else gets through. */
#include "common/run/body_decode.h"

#include "common/base/rng.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

static const struct body_decode_limits wide = {
    .bytes_max = 8 << 20, .ratio_max = 100, .ratio_free_bytes = 65536};

static struct body_decode *decoder;

static void given_decoder(void)
{
    decoder = body_decode_new();
}

static void done_with_decoder(void)
{
    body_decode_free(decoder);
}

TestSuite(body_decode, .init = given_decoder, .fini = done_with_decoder);

static void put_gzip(struct buf *out, struct span text, int window)
{
    z_stream z = {0};
    cr_assert_eq(deflateInit2(&z, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&z, text.length) + 64;
    buf_reserve(out, room);
    uint8_t nothing = 0;
    z.next_in = text.length == 0 ? &nothing : (Bytef *)(uintptr_t)text.data;
    z.avail_in = (uInt)text.length;
    z.next_out = out->data + out->length;
    z.avail_out = (uInt)room;
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->length += room - z.avail_out;
    cr_assert_eq(deflateEnd(&z), Z_OK);
}

static void put_zstd(struct buf *out, struct span text)
{
    size_t room = ZSTD_compressBound(text.length);
    buf_reserve(out, room);
    size_t length = ZSTD_compress(out->data + out->length, room, text.data, text.length, 3);
    cr_assert(!ZSTD_isError(length));
    out->length += length;
}

static void put_packed(struct buf *out, enum body_decode_coding coding, struct span text)
{
    if (coding == BODY_DECODE_GZIP)
        put_gzip(out, text, 15 + 16);
    else
        put_zstd(out, text);
}

static void expect(enum body_decode_coding coding, struct span packed,
                   const struct body_decode_limits *limits, enum body_decode_result due,
                   struct span text)
{
    struct buf out = {0};
    uint8_t *copy = malloc(packed.length + 1); /* of its own: the sanitizer sees a read beyond */
    memcpy(copy, packed.data, packed.length);
    copy = realloc(copy, packed.length == 0 ? 1 : packed.length);
    enum body_decode_result is =
        body_decode_run(decoder, coding, span_of(copy, packed.length), limits, &out);
    cr_assert_eq(is, due, "coding %d: %d, not %d, for %zu bytes", coding, is, due, packed.length);
    if (due == BODY_DECODE_OK)
        cr_assert(span_equal(buf_span(&out), text));
    else
        cr_assert_null(out.data);
    cr_assert(out.capacity <= 2 * limits->bytes_max + 65536);
    buf_done(&out);
    free(copy);
}

#define FOR_BOTH(coding)                                                                           \
    for (enum body_decode_coding coding = BODY_DECODE_GZIP; coding <= BODY_DECODE_ZSTD; coding++)

static const struct span nothing = {0};

/* Text as dense as clicks are, from a seed. */
static struct buf text_of(size_t length, uint64_t seed)
{
    struct buf text = {0};
    struct rng r = {seed};
    while (text.length < length) {
        static const char words[] =
            "{\"ad_id\":\"ad-\",\"timestamp\":17600,\"user_agent\":\"Mozilla\"}";
        buf_put(&text, words + rng_below(&r, 40), 1 + rng_below(&r, 16));
    }
    text.length = length;
    return text;
}

Test(body_decode, names_of_codings_know_no_case)
{
    cr_expect_eq(body_decode_named("identity"), BODY_DECODE_IDENTITY);
    cr_expect_eq(body_decode_named("GZip"), BODY_DECODE_GZIP);
    cr_expect_eq(body_decode_named("x-gzip"), BODY_DECODE_GZIP);
    cr_expect_eq(body_decode_named("zstd"), BODY_DECODE_ZSTD);
    cr_expect_eq(body_decode_named("br"), BODY_DECODE_UNKNOWN);
    cr_expect_eq(body_decode_named("deflate"), BODY_DECODE_UNKNOWN);
    cr_expect_eq(body_decode_named("gzip, zstd"), BODY_DECODE_UNKNOWN);
    cr_expect_eq(body_decode_named(""), BODY_DECODE_UNKNOWN);
}

Test(body_decode, texts_of_all_sizes_come_out_as_they_were)
{
    static const size_t lengths[] = {0,     1,     2,     100,    16383,  16384,
                                     16385, 32768, 65536, 100000, 3000000};
    FOR_BOTH(coding)
    for (size_t i = 0; i < countof(lengths); i++) {
        struct buf text = text_of(lengths[i], i + 1), packed = {0};
        put_packed(&packed, coding, buf_span(&text));
        expect(coding, buf_span(&packed), &wide, BODY_DECODE_OK, buf_span(&text));
        buf_done(&packed);
        buf_done(&text);
    }
}

Test(body_decode, two_members_are_one_body)
{
    FOR_BOTH(coding)
    {
        struct buf packed = {0};
        put_packed(&packed, coding, span_of_text("one and "));
        put_packed(&packed, coding, span_of_text("two"));
        expect(coding, buf_span(&packed), &wide, BODY_DECODE_OK, span_of_text("one and two"));
        buf_done(&packed);
    }
}

Test(body_decode, every_truncation_is_refused)
{
    FOR_BOTH(coding)
    {
        struct buf text = text_of(3000, 7), packed = {0};
        put_packed(&packed, coding, buf_span(&text));
        for (size_t length = 0; length < packed.length; length++)
            expect(coding, span_of(packed.data, length), &wide, BODY_DECODE_INVALID, nothing);
        expect(coding, buf_span(&packed), &wide, BODY_DECODE_OK, buf_span(&text));
        buf_done(&packed);
        buf_done(&text);
    }
}

Test(body_decode, whatever_follows_is_refused)
{
    static const char *const tails[] = {"x", "\n", "{}", "\x1f\x8b", "\x28\xb5\x2f\xfd"};
    FOR_BOTH(coding)
    for (size_t i = 0; i < countof(tails); i++) {
        struct buf packed = {0};
        put_packed(&packed, coding, span_of_text("[]"));
        buf_put(&packed, tails[i], strlen(tails[i]));
        expect(coding, buf_span(&packed), &wide, BODY_DECODE_INVALID, nothing);
        buf_done(&packed);
    }
}

Test(body_decode, what_is_of_another_coding_is_refused)
{
    struct buf packed = {0};
    put_gzip(&packed, span_of_text("[]"), 15); /* zlib's wrapper */
    expect(BODY_DECODE_GZIP, buf_span(&packed), &wide, BODY_DECODE_INVALID, nothing);
    buf_clear(&packed);
    put_gzip(&packed, span_of_text("[]"), -15); /* none */
    expect(BODY_DECODE_GZIP, buf_span(&packed), &wide, BODY_DECODE_INVALID, nothing);
    buf_clear(&packed);
    put_gzip(&packed, span_of_text("[]"), 15 + 16);
    expect(BODY_DECODE_ZSTD, buf_span(&packed), &wide, BODY_DECODE_INVALID, nothing);
    buf_clear(&packed);
    put_zstd(&packed, span_of_text("[]"));
    expect(BODY_DECODE_GZIP, buf_span(&packed), &wide, BODY_DECODE_INVALID, nothing);
    FOR_BOTH(coding)
    expect(coding, span_of_text("[{\"ad_id\":\"a\"}]"), &wide, BODY_DECODE_INVALID, nothing);
    buf_done(&packed);
}

Test(body_decode, a_wrong_gzip_checksum_is_refused)
{
    struct buf packed = {0};
    put_gzip(&packed, span_of_text("some text"), 15 + 16);
    for (size_t i = 1; i <= 8; i++) {
        packed.data[packed.length - i] ^= 1;
        expect(BODY_DECODE_GZIP, buf_span(&packed), &wide, BODY_DECODE_INVALID, nothing);
        packed.data[packed.length - i] ^= 1;
    }
    buf_done(&packed);
}

Test(body_decode, the_bound_of_bytes_holds_to_the_byte)
{
    FOR_BOTH(coding)
    {
        struct buf text = text_of(50000, 3), packed = {0};
        struct body_decode_limits limits = wide;
        put_packed(&packed, coding, buf_span(&text));
        limits.bytes_max = text.length;
        expect(coding, buf_span(&packed), &limits, BODY_DECODE_OK, buf_span(&text));
        limits.bytes_max = text.length - 1;
        expect(coding, buf_span(&packed), &limits, BODY_DECODE_TOO_LARGE, nothing);
        buf_done(&packed);
        buf_done(&text);
    }
}

Test(body_decode, a_bomb_is_given_up_and_a_small_one_is_no_bomb)
{
    uint8_t *zeros = calloc(1, 6 << 20);
    FOR_BOTH(coding)
    {
        struct buf packed = {0};
        put_packed(&packed, coding, span_of(zeros, 6 << 20));
        expect(coding, buf_span(&packed), &wide, BODY_DECODE_TOO_DENSE, nothing);
        buf_clear(&packed);
        put_packed(&packed, coding, span_of(zeros, wide.ratio_free_bytes));
        expect(coding, buf_span(&packed), &wide, BODY_DECODE_OK,
               span_of(zeros, wide.ratio_free_bytes));
        buf_done(&packed);
    }
    free(zeros);
}

Test(body_decode, a_zstd_window_above_8_mib_is_refused)
{
    /* Frame header, RFC 8878 3.1.1: no single segment, no content size; window 2^24; an empty last
     * block. With 2^23 it is well-formed. */
    uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, (24 - 10) << 3, 0x01, 0x00, 0x00};
    expect(BODY_DECODE_ZSTD, span_of(frame, sizeof(frame)), &wide, BODY_DECODE_INVALID, nothing);
    frame[5] = (23 - 10) << 3;
    expect(BODY_DECODE_ZSTD, span_of(frame, sizeof(frame)), &wide, BODY_DECODE_OK, nothing);
}

Test(body_decode, damage_never_harms_the_next_body)
{
    struct rng r = {11};
    FOR_BOTH(coding)
    {
        struct buf text = text_of(2000, 5), packed = {0}, bad = {0}, out = {0};
        put_packed(&packed, coding, buf_span(&text));
        for (unsigned i = 0; i < 3000; i++) {
            buf_clear(&bad);
            buf_put(&bad, packed.data, packed.length);
            bad.data[rng_below(&r, bad.length)] ^= (uint8_t)(1u << rng_below(&r, 8));
            (void)body_decode_run(decoder, coding, buf_span(&bad), &wide, &out);
            buf_done(&out);
            expect(coding, buf_span(&packed), &wide, BODY_DECODE_OK, buf_span(&text));
        }
        buf_done(&bad);
        buf_done(&packed);
        buf_done(&text);
    }
}
