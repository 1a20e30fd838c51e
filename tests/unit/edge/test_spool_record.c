/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/core/spool_record.h"

#include <criterion/criterion.h>

static const struct spool_line line = {
    .epoch = 0x1122334455667788ULL, .partition = 3, .home = "us", .low = 5, .end = 9, .fin = true};

Test(spool_record, a_line_survives_the_round_trip)
{
    struct buf value = {0};
    struct spool_line back;
    struct spool_key key = spool_line_key(&line);
    spool_line_put(&value, &line);

    cr_assert_eq(spool_line_read(span_of(key.bytes, key.length), buf_span(&value), &back), ERR_OK);

    cr_assert_eq(back.epoch, line.epoch);
    cr_assert_eq(back.partition, 3);
    cr_assert_str_eq(back.home, "us");
    cr_assert(back.low == 5 && back.end == 9 && back.fin);
    buf_done(&value);
}

Test(spool_record, a_damaged_name_in_a_key_is_refused)
{
    struct buf value = {0};
    struct spool_line back;
    struct spool_key key = spool_line_key(&line);
    spool_line_put(&value, &line);

    key.bytes[11] = '\0'; /* a line of that name would have no key */

    cr_assert_eq(spool_line_read(span_of(key.bytes, key.length), buf_span(&value), &back),
                 ERR_FORMAT);
    buf_done(&value);
}

Test(spool_record, a_batch_survives_the_round_trip)
{
    struct buf value = {0};
    struct spool_batch back;
    struct spool_batch batch = {.first = 10,
                                .last = 13,
                                .commit_ms = 77,
                                .commit_mono_ms = 5,
                                .rows = {(const uint8_t *)"rows", 4}};
    spool_batch_put(&value, &batch);

    cr_assert_eq(spool_batch_read(10, buf_span(&value), &back), ERR_OK);

    cr_assert(back.first == 10 && back.last == 13 && !back.fin);
    cr_assert(back.commit_ms == 77 && back.commit_mono_ms == 5);
    cr_assert(span_equal(back.rows, batch.rows));
    buf_done(&value);
}

Test(spool_record, every_flipped_bit_and_every_cut_is_noticed)
{
    struct buf value = {0}, line_value = {0};
    struct spool_batch back;
    struct spool_line line_back;
    struct spool_key key = spool_line_key(&line);
    spool_batch_put(&value, &(struct spool_batch){.first = 1, .last = 3, .rows = {key.bytes, 9}});
    spool_line_put(&line_value, &line);

    for (size_t bit = 0; bit < value.length * 8; bit++) {
        value.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_neq(spool_batch_read(1, buf_span(&value), &back), ERR_OK, "bit %zu", bit);
        value.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t length = 0; length < value.length; length++)
        cr_assert_neq(spool_batch_read(1, span_of(value.data, length), &back), ERR_OK);
    for (size_t length = 0; length < line_value.length; length++)
        cr_assert_neq(spool_line_read(span_of(key.bytes, key.length),
                                      span_of(line_value.data, length), &line_back),
                      ERR_OK);
    buf_done(&value);
    buf_done(&line_value);
}

Test(spool_record, batches_of_a_line_sort_by_number_and_lines_do_not_mix)
{
    struct spool_line longer = line;
    memcpy(longer.home, "us2", 4);
    uint64_t first;
    struct spool_key a = spool_batch_key(&line, 255), b = spool_batch_key(&line, 256);

    cr_assert_lt(memcmp(a.bytes, b.bytes, a.length), 0);
    cr_assert(spool_batch_key_read(&line, span_of(b.bytes, b.length), &first));
    cr_assert_eq(first, 256);
    cr_assert_not(spool_batch_key_read(&longer, span_of(b.bytes, b.length), &first));
}
