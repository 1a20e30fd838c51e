/* SPDX-License-Identifier: Apache-2.0
 * wire: the envelope, the bounded msgpack reader, packed frames. */
#include "proto_test.h"

#include <criterion/criterion.h>
#include <signal.h>

static const char magic[] = "TRXX";

static enum err read_envelope(struct span message)
{
    struct span body;
    enum err err = wire_check(message, magic, 3, &body);
    if (err != ERR_OK)
        return err;
    struct wire_reader r = wire_reader_of(body);
    (void)wire_array(&r, 2);
    (void)wire_uint(&r);
    (void)wire_text(&r, 40);
    return wire_end(&r);
}

static struct buf an_envelope(void)
{
    struct buf b = {0};
    wire_begin(&b, magic, 3);
    wire_put_array(&b, 2);
    wire_put_uint(&b, 300);
    wire_put_text(&b, "a text of some thirty-odd bytes....");
    wire_seal(&b);
    return b;
}

Test(wire, the_envelope_lies_as_drawn)
{
    struct buf b = an_envelope();
    cr_assert_arr_eq(b.data, "TRXX\3\0\0\0", 8);
    cr_assert_eq(bytes_load_u64(b.data + 8),
                 hash_checksum(span_of(b.data + 16, b.length - 16), 0x5452585803000000ULL));
    buf_done(&b);
}

Test(wire, every_prefix_and_every_flipped_bit_is_damage)
{
    struct buf b = an_envelope();
    proto_test_damage(buf_span(&b), read_envelope);
    buf_done(&b);
}

Test(wire, malice_behind_a_good_checksum_is_refused_without_a_crash)
{
    struct buf b = an_envelope();
    proto_test_malice(buf_span(&b), read_envelope);
    buf_done(&b);
}

Test(wire, a_header_that_declares_too_much_costs_nothing)
{
    proto_test_greed(magic, 3, read_envelope);
}

Test(wire, another_version_and_nonzero_reserved_bytes_are_an_unknown_version)
{
    struct buf b = an_envelope();
    for (unsigned at = 4; at < 8; at++) {
        b.data[at]++;
        proto_test_reseal(&b);
        cr_assert_eq(read_envelope(buf_span(&b)), ERR_VERSION);
        b.data[at]--;
    }
    buf_done(&b);
}

Test(wire, another_kind_of_message_is_named_as_such)
{
    struct buf b = an_envelope();
    struct span body;
    cr_assert_eq(wire_check(buf_span(&b), "TRYY", 3, &body), ERR_MAGIC);
    buf_done(&b);
}

Test(wire, a_body_is_never_empty)
{
    struct buf b = {0};
    wire_begin(&b, magic, 3);
    struct span body;
    cr_assert_eq(wire_check(buf_span(&b), magic, 3, &body), ERR_TRUNCATED);
    buf_done(&b);
}

Test(wire, beginning_inside_a_used_buffer_is_a_mistake, .signal = SIGABRT)
{
    struct buf b = an_envelope();
    wire_begin(&b, magic, 3);
}

Test(wire, numbers_of_every_width_come_back)
{
    static const uint64_t numbers[] = {
        0, 127, 128, 255, 256, 65535, 65536, UINT32_MAX, UINT32_MAX + 1ULL, UINT64_MAX};
    static const size_t lengths[] = {1, 1, 2, 2, 3, 3, 5, 5, 9, 9};
    for (unsigned i = 0; i < countof(numbers); i++) {
        struct buf b = {0};
        wire_put_uint(&b, numbers[i]);
        cr_assert_eq(b.length, lengths[i]);
        struct wire_reader r = wire_reader_of(buf_span(&b));
        cr_assert_eq(wire_uint(&r), numbers[i]);
        cr_assert_eq(wire_end(&r), ERR_OK);
        buf_done(&b);
    }
}

Test(wire, runs_of_every_header_width_come_back)
{
    static const size_t lengths[] = {0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536, 100000};
    static char text[100001];
    memset(text, 'x', 100000);
    for (unsigned i = 0; i < countof(lengths); i++) {
        struct buf b = {0};
        wire_put_array(&b, 2);
        wire_put_bin(&b, span_of(text, lengths[i]));
        wire_put_text(&b, text + 100000 - lengths[i]);
        struct wire_reader r = wire_reader_of(buf_span(&b));
        cr_assert_eq(wire_array(&r, 2), 2);
        cr_assert_eq(wire_bin(&r, lengths[i]).length, lengths[i]);
        cr_assert_eq(wire_text(&r, lengths[i]).length, lengths[i]);
        cr_assert_eq(wire_end(&r), ERR_OK);
        if (lengths[i] > 0) {
            r = wire_reader_of(buf_span(&b));
            (void)wire_array(&r, 2);
            (void)wire_bin(&r, lengths[i] - 1);
            cr_assert_eq(wire_end(&r), ERR_LIMIT);
        }
        buf_done(&b);
    }
}

Test(wire, arrays_of_every_header_width_come_back)
{
    static const uint32_t counts[] = {0, 1, 15, 16, 65535, 65536};
    for (unsigned i = 0; i < countof(counts); i++) {
        struct buf b = {0};
        wire_put_array(&b, counts[i]);
        for (uint32_t k = 0; k < counts[i]; k++)
            wire_put_bool(&b, k % 3 == 0);
        struct wire_reader r = wire_reader_of(buf_span(&b));
        cr_assert_eq(wire_array(&r, counts[i]), counts[i]);
        for (uint32_t k = 0; k < counts[i]; k++)
            cr_assert_eq(wire_bool(&r), k % 3 == 0);
        cr_assert_eq(wire_end(&r), ERR_OK);
        buf_done(&b);
    }
}

Test(wire, an_array_above_its_bound_is_over_the_limit)
{
    struct buf b = {0};
    wire_put_array(&b, 3);
    for (unsigned i = 0; i < 3; i++)
        wire_put_uint(&b, i);
    struct wire_reader r = wire_reader_of(buf_span(&b));
    cr_assert_eq(wire_array(&r, 2), 0);
    cr_assert_eq(wire_end(&r), ERR_LIMIT);
    buf_done(&b);
}

Test(wire, an_array_of_more_than_is_left_is_malformed_at_once)
{
    static const uint8_t bytes[] = {0x93, 1, 2};
    struct wire_reader r = wire_reader_of(span_of(bytes, 3));
    cr_assert_eq(wire_array(&r, 3), 0);
    cr_assert_eq(r.err, ERR_FORMAT);
}

Test(wire, a_failed_reader_keeps_its_first_error)
{
    static const uint8_t bytes[] = {0xc2, 5, 5};
    struct wire_reader r = wire_reader_of(span_of(bytes, 3));
    cr_assert_eq(wire_uint(&r), 0); /* a bool */
    cr_assert_eq(wire_uint(&r), 0);
    cr_assert_eq(wire_array(&r, 0), 0);
    cr_assert_not(wire_bool(&r));
    cr_assert_null(wire_bin(&r, 9).data);
    cr_assert_eq(wire_end(&r), ERR_FORMAT);
}

Test(wire, a_name_must_fit_and_hold_no_nul)
{
    struct buf b = {0};
    wire_put_text(&b, "abc");
    char out[4], tight[3];
    struct wire_reader r = wire_reader_of(buf_span(&b));
    wire_name(&r, out, sizeof(out));
    cr_assert_str_eq(out, "abc");
    cr_assert_eq(wire_end(&r), ERR_OK);

    r = wire_reader_of(buf_span(&b));
    wire_name(&r, tight, sizeof(tight));
    cr_assert_str_eq(tight, "");
    cr_assert_eq(wire_end(&r), ERR_LIMIT);

    b.data[2] = '\0';
    r = wire_reader_of(buf_span(&b));
    wire_name(&r, out, sizeof(out));
    cr_assert_str_eq(out, "");
    cr_assert_eq(wire_end(&r), ERR_FORMAT);
    buf_done(&b);
}

static struct span frame_of(struct buf *b)
{
    struct wire_reader r = wire_reader_of(buf_span(b));
    struct span frame = wire_bin(&r, SIZE_MAX);
    cr_assert_eq(wire_end(&r), ERR_OK);
    return frame;
}

Test(wire, a_packed_frame_comes_back_at_every_size)
{
    static const size_t sizes[] = {0, 1, 10, 1000, 131072, 131073, 3000000};
    struct rng rng = {1};
    for (unsigned kind = 0; kind < 2; kind++) {
        for (unsigned i = 0; i < countof(sizes); i++) {
            struct buf raw = {0}, packed = {0}, back = {0};
            for (size_t n = 0; n < sizes[i]; n++)
                buf_put_u8(&raw, kind == 0 ? 7 : (uint8_t)rng_next(&rng));
            wire_put_packed(&packed, buf_span(&raw));
            cr_assert_eq(wire_unpack(frame_of(&packed), sizes[i], &back), ERR_OK);
            cr_assert(span_equal(buf_span(&raw), buf_span(&back)));
            if (sizes[i] > 0)
                cr_assert_eq(wire_unpack(frame_of(&packed), sizes[i] - 1, &back), ERR_LIMIT);
            buf_done(&raw);
            buf_done(&packed);
            buf_done(&back);
        }
    }
}

Test(wire, a_frame_that_declares_more_than_it_can_hold_is_refused_before_room_is_made)
{
    /* magic, descriptor: single segment, 8-byte size; 64 MiB; one raw block of one byte, the last.
     */
    static const uint8_t liar[] = {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0,    0, 0,  4,
                                   0,    0,    0,    0,    0x09, 0x00, 0, 'x'};
    struct buf into = {0};
    cr_assert_eq(wire_unpack(span_of(liar, sizeof(liar)), 64u << 20, &into), ERR_FORMAT);
    cr_assert_eq(into.capacity, 0);
    cr_assert_eq(wire_unpack(span_of(liar, sizeof(liar)), 1 << 20, &into), ERR_LIMIT);
    buf_done(&into);
}

Test(wire, frames_that_are_none_are_refused)
{
    struct buf packed = {0}, raw = {0}, into = {0};
    for (unsigned i = 0; i < 500; i++)
        buf_put_u32(&raw, i * i);
    wire_put_packed(&packed, buf_span(&raw));
    struct span frame = frame_of(&packed);

    cr_assert_eq(wire_unpack((struct span){0}, 10000, &into), ERR_FORMAT);
    cr_assert_eq(wire_unpack(span_of_text("not zstd at all"), 10000, &into), ERR_FORMAT);
    for (size_t cut = 0; cut < frame.length; cut++)
        cr_assert_neq(wire_unpack(span_of(frame.data, cut), 10000, &into), ERR_OK);
    struct buf twice = {0};
    buf_put(&twice, frame.data, frame.length);
    buf_put(&twice, frame.data, frame.length);
    cr_assert_eq(wire_unpack(buf_span(&twice), 10000, &into), ERR_FORMAT);
    /* A skippable frame behind, which zstd would pass over in silence. */
    twice.length = frame.length;
    buf_put(&twice, (const uint8_t[8]){0x50, 0x2a, 0x4d, 0x18}, 8);
    cr_assert_eq(wire_unpack(buf_span(&twice), 10000, &into), ERR_FORMAT);
    buf_done(&twice);
    buf_done(&packed);
    buf_done(&raw);
    buf_done(&into);
}
