/* SPDX-License-Identifier: Apache-2.0
 * A record whose checksum is right but whose content no edge writes is refused, at every length and
 * in every field: a spool is never half understood. */
#include "edge/core/spool_record.h"

#include "common/base/hash.h"

#include <criterion/criterion.h>

TestSuite(spool_record_damage, .timeout = 30);

/* As PROTOCOL.md "Spool" has them. */
#define SEED_LINE  0x4c494e45ULL
#define SEED_BATCH 0x42415443ULL

static struct buf value;

static void fini(void)
{
    buf_done(&value);
}

static void body_begin(uint8_t version)
{
    buf_clear(&value);
    buf_put_u64(&value, 0);
    buf_put_u8(&value, version);
}

static struct span sealed(uint64_t seed)
{
    buf_set_u64(&value, 0, hash_checksum(span_of(value.data + 8, value.length - 8), seed));
    return buf_span(&value);
}

static const struct spool_line line = {.epoch = 7, .partition = 3, .home = "us"};

static enum err line_of(uint64_t low, uint64_t end, uint8_t fin, unsigned extra)
{
    struct spool_key key = spool_line_key(&line);
    struct spool_line back = {.end = 4711};
    body_begin(1);
    buf_put_u64(&value, low);
    buf_put_u64(&value, end);
    buf_put_u8(&value, fin);
    for (unsigned i = 0; i < extra; i++)
        buf_put_u8(&value, 0);
    enum err err = spool_line_read(span_of(key.bytes, key.length), sealed(SEED_LINE), &back);
    cr_assert_eq(back.end, err == ERR_OK ? end : 4711, "untouched on failure");
    return err;
}

Test(spool_record_damage, a_line_that_no_edge_writes_is_refused, .fini = fini)
{
    cr_assert_eq(line_of(0, 0, 0, 0), ERR_OK);
    cr_assert_eq(line_of(UINT64_MAX, UINT64_MAX, 1, 0), ERR_OK);
    cr_assert_eq(line_of(2, 1, 0, 0), ERR_FORMAT, "more is gone than was given");
    cr_assert_eq(line_of(1, 2, 2, 0), ERR_FORMAT);
    cr_assert_eq(line_of(1, 2, 1, 1), ERR_FORMAT);
}

static enum err batch_of(uint64_t first, uint32_t count, uint8_t fin)
{
    struct spool_batch back = {.last = 4711};
    body_begin(1);
    buf_put_u32(&value, count);
    buf_put_u8(&value, fin);
    buf_put_u64(&value, 1);
    buf_put_u64(&value, 2);
    enum err err = spool_batch_read(first, sealed(SEED_BATCH), &back);
    cr_assert_eq(back.last, err == ERR_OK ? first + count : 4711, "untouched on failure");
    return err;
}

Test(spool_record_damage, a_batch_that_no_edge_writes_is_refused, .fini = fini)
{
    cr_assert_eq(batch_of(5, 1, 1), ERR_OK);
    cr_assert_eq(batch_of(UINT64_MAX - 3, 3, 0), ERR_OK);
    cr_assert_eq(batch_of(5, 0, 0), ERR_FORMAT, "nothing is no batch");
    cr_assert_eq(batch_of(5, 1, 2), ERR_FORMAT);
    cr_assert_eq(batch_of(UINT64_MAX - 3, 4, 0), ERR_FORMAT, "numbers never wrap");
}

Test(spool_record_damage, every_length_with_a_right_checksum_is_a_definite_answer, .fini = fini)
{
    struct spool_key key = spool_line_key(&line);
    struct spool_line line_back;
    struct spool_batch batch_back;
    for (unsigned length = 0; length < 40; length++) {
        body_begin(1);
        value.length = 8; /* the version is one of the bytes */
        for (unsigned i = 0; i < length; i++)
            buf_put_u8(&value, 1);
        enum err err =
            spool_line_read(span_of(key.bytes, key.length), sealed(SEED_LINE), &line_back);
        cr_assert_eq(err, length == 18 ? ERR_OK : ERR_FORMAT, "line of %u bytes", length);
        err = spool_batch_read(1, sealed(SEED_BATCH), &batch_back);
        cr_assert_eq(err, length >= 22 ? ERR_OK : ERR_FORMAT, "batch of %u bytes", length);
        if (err == ERR_OK)
            cr_assert_eq(batch_back.rows.length, length - 22);
    }
}

Test(spool_record_damage, another_version_and_another_kind_are_refused, .fini = fini)
{
    struct spool_key key = spool_line_key(&line);
    struct spool_line back;
    for (unsigned version = 0; version < 256; version++) {
        body_begin((uint8_t)version);
        buf_put_u64(&value, 1);
        buf_put_u64(&value, 2);
        buf_put_u8(&value, 1);
        cr_assert_eq(spool_line_read(span_of(key.bytes, key.length), sealed(SEED_LINE), &back),
                     version == 1 ? ERR_OK : ERR_FORMAT);
        cr_assert_eq(spool_line_read(span_of(key.bytes, key.length), sealed(SEED_BATCH), &back),
                     ERR_CHECKSUM);
    }
}

Test(spool_record_damage, a_key_of_another_shape_is_refused, .fini = fini)
{
    struct spool_line back, longest = line;
    memset(longest.home, 'a', LIMIT_REGION_NAME_BYTES);
    struct spool_key key = spool_line_key(&longest), other = key;
    spool_line_put(&value, &line);
    cr_assert_eq(spool_line_read(span_of(key.bytes, key.length), buf_span(&value), &back), ERR_OK);
    cr_assert_str_eq(back.home, longest.home);
    for (size_t length = 0; length < key.length; length++)
        cr_assert_eq(spool_line_read(span_of(key.bytes, length), buf_span(&value), &back),
                     ERR_FORMAT);
    other.bytes[10]++; /* a name longer than any */
    other.bytes[other.length++] = 'a';
    cr_assert_eq(spool_line_read(span_of(other.bytes, other.length), buf_span(&value), &back),
                 ERR_FORMAT);
    other.bytes[10] = 0; /* none at all */
    cr_assert_eq(spool_line_read(span_of(other.bytes, 11), buf_span(&value), &back), ERR_FORMAT);
    uint64_t first;
    cr_assert_not(spool_batch_key_read(&line, span_of(key.bytes, key.length), &first));
}
