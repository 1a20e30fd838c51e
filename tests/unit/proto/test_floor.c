/* SPDX-License-Identifier: Apache-2.0
 * floor: floors come back, or the message is refused. */
#include "proto/floor.h"
#include "proto_test.h"

#include <criterion/criterion.h>
#include <signal.h>

static struct floor_line golden_lines[] = {
    {.epoch = 0x0123456789abcdef, .partition = 0, .gap = false, .floor = 1005},
    {.epoch = 0x0123456789abcdef, .partition = 3, .gap = true, .floor = 0},
    {.epoch = UINT64_MAX,
     .partition = LIMIT_PARTITIONS - 1,
     .gap = false,
     .floor = UINT64_MAX,
     .finished = true},
};

static struct floor_message a_message(uint32_t lines)
{
    return (struct floor_message){.reader = "fold-a",
                                  .store_id = 0xfedcba9876543210,
                                  .region = "us",
                                  .edge = "us-e1",
                                  .line_count = lines,
                                  .lines = golden_lines};
}

static void expect_same(const struct floor_message *a, const struct floor_message *b)
{
    cr_assert_str_eq(a->reader, b->reader);
    cr_assert_eq(a->store_id, b->store_id);
    cr_assert_str_eq(a->region, b->region);
    cr_assert_str_eq(a->edge, b->edge);
    cr_assert_eq(a->line_count, b->line_count);
    for (uint32_t i = 0; i < a->line_count; i++) {
        cr_assert_eq(a->lines[i].epoch, b->lines[i].epoch);
        cr_assert_eq(a->lines[i].partition, b->lines[i].partition);
        cr_assert_eq(a->lines[i].gap, b->lines[i].gap);
        cr_assert_eq(a->lines[i].floor, b->lines[i].floor);
        cr_assert_eq(a->lines[i].finished, b->lines[i].finished);
    }
}

static enum err read_all(struct span message)
{
    struct floor_message m;
    enum err err = floor_read(&m, message);
    if (err != ERR_OK) {
        cr_assert_null(m.lines);
        cr_assert_eq(m.line_count, 0);
    }
    floor_done(&m);
    return err;
}

Test(floor, what_is_written_is_read)
{
    for (uint32_t lines = 0; lines <= countof(golden_lines); lines++) {
        struct floor_message m = a_message(lines), read;
        struct buf b = {0};
        floor_write(&b, &m);
        cr_assert_eq(floor_read(&read, buf_span(&b)), ERR_OK);
        expect_same(&m, &read);
        floor_done(&read);
        buf_done(&b);
    }
}

Test(floor, as_many_lines_as_allowed_come_back_and_fit_a_message)
{
    struct floor_message m = a_message(FLOOR_LINES_MAX), read;
    m.lines = calloc(FLOOR_LINES_MAX, sizeof(*m.lines));
    for (uint32_t i = 0; i < FLOOR_LINES_MAX; i++)
        m.lines[i] =
            (struct floor_line){.epoch = UINT64_MAX - i, .partition = 1000, .floor = UINT64_MAX};
    struct buf b = {0};
    floor_write(&b, &m);
    cr_assert_lt(b.length, LIMIT_MESSAGE_BYTES);
    cr_assert_eq(floor_read(&read, buf_span(&b)), ERR_OK);
    expect_same(&m, &read);
    floor_done(&read);
    free(m.lines);
    buf_done(&b);
}

Test(floor, every_prefix_and_every_flipped_bit_is_damage)
{
    struct floor_message m = a_message(3);
    struct buf b = {0};
    floor_write(&b, &m);
    proto_test_damage(buf_span(&b), read_all);
    buf_done(&b);
}

Test(floor, malice_behind_a_good_checksum_is_refused_without_a_crash)
{
    struct floor_message m = a_message(3);
    struct buf b = {0};
    floor_write(&b, &m);
    proto_test_malice(buf_span(&b), read_all);
    buf_done(&b);
}

Test(floor, a_header_that_declares_too_much_costs_nothing)
{
    proto_test_greed(FLOOR_MAGIC, FLOOR_VERSION, read_all);
}

/* A message with one line, its fields as given. */
static enum err with_line(uint32_t elements, uint64_t epoch, uint64_t partition)
{
    struct floor_message m = a_message(0);
    struct buf b = {0}, element = {0}, changed = {0};
    floor_write(&b, &m);
    wire_put_array(&element, 1);
    wire_put_array(&element, elements);
    wire_put_uint(&element, epoch);
    wire_put_uint(&element, partition);
    wire_put_bool(&element, true);
    wire_put_uint(&element, 5);
    wire_put_bool(&element, false);
    proto_test_replace(&changed, buf_span(&b), 4, buf_span(&element));
    enum err err = read_all(buf_span(&changed));
    buf_done(&b);
    buf_done(&element);
    buf_done(&changed);
    return err;
}

Test(floor, lines_outside_their_ranges_are_refused)
{
    cr_assert_eq(with_line(5, 1, LIMIT_PARTITIONS - 1), ERR_OK);
    cr_assert_eq(with_line(5, 1, LIMIT_PARTITIONS), ERR_RANGE);
    cr_assert_eq(with_line(5, 1, 65536), ERR_RANGE);
    cr_assert_eq(with_line(5, 0, 1), ERR_RANGE);
    cr_assert_eq(with_line(4, 1, 1), ERR_FORMAT);
    cr_assert_eq(with_line(6, 1, 1), ERR_LIMIT);
}

Test(floor, more_lines_than_allowed_are_over_the_limit)
{
    struct floor_message m = a_message(0);
    struct buf b = {0}, element = {0}, changed = {0};
    floor_write(&b, &m);
    wire_put_array(&element, FLOOR_LINES_MAX + 1);
    for (unsigned i = 0; i < 2 * FLOOR_LINES_MAX; i++)
        buf_put_u32(&element, 0);
    proto_test_replace(&changed, buf_span(&b), 4, buf_span(&element));
    cr_assert_eq(read_all(buf_span(&changed)), ERR_LIMIT);
    buf_done(&b);
    buf_done(&element);
    buf_done(&changed);
}

Test(floor, bad_names_are_refused)
{
    static const unsigned at[] = {0, 2, 3};
    struct floor_message m = a_message(1);
    struct buf b = {0}, element = {0}, changed = {0};
    floor_write(&b, &m);
    wire_put_text(&element, "us.>");
    for (unsigned i = 0; i < countof(at); i++) {
        proto_test_replace(&changed, buf_span(&b), at[i], buf_span(&element));
        cr_assert_eq(read_all(buf_span(&changed)), ERR_FORMAT);
    }
    buf_done(&b);
    buf_done(&element);
    buf_done(&changed);
}

Test(floor, a_bad_name_cannot_be_written, .signal = SIGABRT)
{
    struct floor_message m = a_message(1);
    struct buf b = {0};
    m.edge[0] = '*';
    floor_write(&b, &m);
}

Test(floor, the_golden_message_is_still_written_and_read)
{
    struct floor_message m = a_message(3), read;
    struct buf b = {0};
    floor_write(&b, &m);
    struct buf golden = proto_test_golden("floor_v1", buf_span(&b));
    cr_assert(span_equal(buf_span(&b), buf_span(&golden)));
    cr_assert_eq(floor_read(&read, buf_span(&golden)), ERR_OK);
    expect_same(&m, &read);
    floor_done(&read);
    buf_done(&b);
    buf_done(&golden);
}
