/* SPDX-License-Identifier: Apache-2.0
 * bytes: what is put is got; big-endian sorts; nothing is read past the end. */
#include "common/base/bytes.h"
#include "common/base/rng.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>

static const uint64_t edges_of_varints[] = {0,          1,          127,        128,
                                            16383,      16384,      UINT32_MAX, 1ULL << 35,
                                            1ULL << 56, 1ULL << 62, 1ULL << 63, UINT64_MAX};

Test(bytes, numbers_come_back_as_they_were_put)
{
    struct buf b = {0};
    buf_put_u8(&b, 0xfe);
    buf_put_u16(&b, 0xfedc);
    buf_put_u32(&b, 0xfedcba98);
    buf_put_u64(&b, 0xfedcba9876543210);

    struct reader r = reader_of(buf_span(&b));
    cr_assert_eq(reader_u8(&r), 0xfe);
    cr_assert_eq(reader_u16(&r), 0xfedc);
    cr_assert_eq(reader_u32(&r), 0xfedcba98);
    cr_assert_eq(reader_u64(&r), 0xfedcba9876543210);
    cr_assert(reader_at_end(&r));
    buf_done(&b);
}

Test(bytes, numbers_are_big_endian)
{
    static const uint8_t want[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
    struct buf b = {0};
    buf_put_u16(&b, 0x0102);
    buf_put_u32(&b, 0x03040506);
    buf_put_u64(&b, 0x0708090a0b0c0d0e);

    cr_assert(span_equal(buf_span(&b), span_of(want, sizeof(want))));
    buf_done(&b);
}

Test(bytes, stored_numbers_sort_as_bytes_like_the_numbers_themselves)
{
    struct rng rng = {1};
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t a = rng_next(&rng) >> rng_below(&rng, 64),
                 b = rng_next(&rng) >> rng_below(&rng, 64);
        uint8_t bytes_a[8], bytes_b[8];

        bytes_store_u64(bytes_a, a);
        bytes_store_u64(bytes_b, b);
        int order = memcmp(bytes_a, bytes_b, 8);
        cr_assert_eq(order < 0, a < b);
        cr_assert_eq(order == 0, a == b);

        bytes_store_u32(bytes_a, (uint32_t)a);
        bytes_store_u32(bytes_b, (uint32_t)b);
        cr_assert_eq(memcmp(bytes_a, bytes_b, 4) < 0, (uint32_t)a < (uint32_t)b);
        bytes_store_u16(bytes_a, (uint16_t)a);
        bytes_store_u16(bytes_b, (uint16_t)b);
        cr_assert_eq(memcmp(bytes_a, bytes_b, 2) < 0, (uint16_t)a < (uint16_t)b);
    }
}

Test(bytes, varints_come_back_at_every_edge)
{
    for (unsigned i = 0; i < countof(edges_of_varints); i++) {
        struct buf b = {0};
        buf_put_varint(&b, edges_of_varints[i]);
        struct reader r = reader_of(buf_span(&b));
        cr_assert_eq(reader_varint(&r), edges_of_varints[i]);
        cr_assert(reader_at_end(&r));
        buf_done(&b);
    }
}

Test(bytes, a_varint_cut_short_fails)
{
    struct buf b = {0};
    buf_put_varint(&b, UINT64_MAX);
    cr_assert_eq(b.length, 10);
    for (size_t cut = 0; cut < b.length; cut++) {
        struct reader r = reader_of(span_of(b.data, cut));
        cr_assert_eq(reader_varint(&r), 0);
        cr_assert(r.failed);
    }
    buf_done(&b);
}

Test(bytes, a_varint_of_more_than_64_bits_fails)
{
    static const uint8_t eleven[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                     0x80, 0x80, 0x80, 0x80, 0x01};
    static const uint8_t large[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    struct reader of_eleven = reader_of(span_of(eleven, sizeof(eleven)));
    struct reader of_large = reader_of(span_of(large, sizeof(large)));

    (void)reader_varint(&of_eleven);
    (void)reader_varint(&of_large);

    cr_assert(of_eleven.failed);
    cr_assert(of_large.failed);
}

Test(bytes, a_failed_reader_stays_failed)
{
    static const uint8_t three[] = {1, 2, 3};
    struct reader r = reader_of(span_of(three, sizeof(three)));

    cr_assert_eq(reader_u32(&r), 0);
    cr_assert_eq(reader_u8(&r), 0);
    cr_assert_eq(reader_bytes(&r, 0).length, 0);
    cr_assert_not(reader_at_end(&r));
}

Test(bytes, a_block_comes_back_and_keeps_its_bound)
{
    struct buf b = {0};
    buf_put_block(&b, span_of_text("hello"));
    buf_put_block(&b, (struct span){0});

    struct reader r = reader_of(buf_span(&b));
    cr_assert(span_equal(reader_block(&r, 5), span_of_text("hello")));
    cr_assert_eq(reader_block(&r, 5).length, 0);
    cr_assert(reader_at_end(&r));
    struct reader tight = reader_of(buf_span(&b));
    (void)reader_block(&tight, 4);
    cr_assert(tight.failed);
    buf_done(&b);
}

Test(bytes, a_block_that_claims_more_than_is_left_fails)
{
    struct buf b = {0};
    buf_put_varint(&b, UINT64_MAX);
    buf_put(&b, "xy", 2);
    struct reader r = reader_of(buf_span(&b));

    cr_assert_eq(reader_block(&r, SIZE_MAX).length, 0);
    cr_assert(r.failed);
    buf_done(&b);
}

Test(bytes, a_buffer_grows_and_keeps_what_it_holds)
{
    struct buf b = {0};
    for (unsigned i = 0; i < 100000; i++)
        buf_put_u8(&b, (uint8_t)i);

    for (unsigned i = 0; i < 100000; i++)
        cr_assert_eq(b.data[i], (uint8_t)i);
    buf_clear(&b);
    cr_assert_eq(b.length, 0);
    cr_assert_geq(b.capacity, 100000);
    buf_done(&b);
    cr_assert_null(b.data);
}

Test(bytes, set_overwrites_inside_the_buffer)
{
    struct buf b = {0};
    buf_put_u64(&b, 1);
    buf_put_u64(&b, 2);
    buf_set_u64(&b, 8, 0x0102030405060708);

    cr_assert_eq(bytes_load_u64(b.data), 1);
    cr_assert_eq(bytes_load_u64(b.data + 8), 0x0102030405060708);
    buf_done(&b);
}

Test(bytes, set_past_the_end_is_a_mistake, .signal = SIGABRT)
{
    struct buf b = {0};
    buf_put_u64(&b, 1);
    buf_set_u64(&b, 1, 2);
}

Test(bytes, spans_are_equal_by_content)
{
    cr_assert(span_equal(span_of_text("ab"), span_of("abc", 2)));
    cr_assert(span_equal((struct span){0}, span_of_text("")));
    cr_assert_not(span_equal(span_of_text("ab"), span_of_text("ac")));
    cr_assert_not(span_equal(span_of_text("ab"), span_of_text("abc")));
}

Test(bytes, decimals_are_those_of_printf)
{
    struct rng rng = {11};
    uint64_t power = 1;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t value = rng_next(&rng) >> rng_below(&rng, 64);
        if (i < 60) { /* around every power of ten */
            value = power - 1 + i % 3;
            power = i % 3 == 2 && i < 57 ? power * 10 : power;
        }
        char expected[32];
        struct buf found = {0};
        (void)snprintf(expected, sizeof(expected), "%llu", (unsigned long long)value);
        buf_put_decimal(&found, value);
        cr_assert(span_equal(buf_span(&found), span_of_text(expected)), "%s", expected);
        buf_done(&found);
    }
}
