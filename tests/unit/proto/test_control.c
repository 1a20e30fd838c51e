/* SPDX-License-Identifier: Apache-2.0
 * control: messages of operators, and ticks. */
#include "proto/control.h"
#include "proto/wire.h"
#include "proto_test.h"

#include <criterion/criterion.h>
#include <signal.h>

static struct control_message a_message(enum control_kind kind)
{
    return (struct control_message){.number = 258,
                                    .nonce = 0xfedcba9876543210,
                                    .kind = kind,
                                    .edge = "us-e1",
                                    .epoch = 0x0123456789abcdef};
}

static enum err read_all(struct span message)
{
    struct control_message m = {.number = 12345};
    enum err err = control_read(&m, message);
    if (err != ERR_OK)
        cr_assert_eq(m.number, 12345);
    return err;
}

static enum err read_tick(struct span message)
{
    if (tick_is(message))
        return ERR_OK;
    struct span body; /* tick_is says only yes or no; the envelope tells damage from the rest */
    enum err err = wire_check(message, TICK_MAGIC, TICK_VERSION, &body);
    return err == ERR_OK ? ERR_FORMAT : err;
}

static void expect_same(const struct control_message *a, const struct control_message *b)
{
    cr_assert_eq(a->number, b->number);
    cr_assert_eq(a->nonce, b->nonce);
    cr_assert_eq(a->kind, b->kind);
    cr_assert_str_eq(a->edge, b->edge);
    cr_assert_eq(a->epoch, b->epoch);
}

Test(control, every_kind_comes_back)
{
    for (unsigned kind = CONTROL_ENROL; kind <= CONTROL_WRITE_OFF; kind++) {
        struct control_message m = a_message(kind), read;
        m.epoch = kind == CONTROL_WRITE_OFF ? 0 : m.epoch;
        struct buf b = {0};
        control_write(&b, &m);
        cr_assert_eq(control_read(&read, buf_span(&b)), ERR_OK);
        expect_same(&m, &read);
        buf_done(&b);
    }
}

Test(control, every_prefix_and_every_flipped_bit_is_damage)
{
    struct control_message m = a_message(CONTROL_RETIRE);
    struct buf b = {0}, tick = {0};
    control_write(&b, &m);
    tick_write(&tick);
    proto_test_damage(buf_span(&b), read_all);
    proto_test_damage(buf_span(&tick), read_tick);
    buf_done(&b);
    buf_done(&tick);
}

Test(control, malice_behind_a_good_checksum_is_refused_without_a_crash)
{
    struct control_message m = a_message(CONTROL_RETIRE);
    struct buf b = {0}, tick = {0};
    control_write(&b, &m);
    tick_write(&tick);
    proto_test_malice(buf_span(&b), read_all);
    proto_test_malice(buf_span(&tick), read_tick);
    buf_done(&b);
    buf_done(&tick);
}

Test(control, a_header_that_declares_too_much_costs_nothing)
{
    proto_test_greed(CONTROL_MAGIC, CONTROL_VERSION, read_all);
    proto_test_greed(TICK_MAGIC, TICK_VERSION, read_tick);
}

static enum err with_kind(uint64_t kind)
{
    struct control_message m = a_message(CONTROL_ENROL);
    struct buf b = {0}, element = {0}, changed = {0};
    control_write(&b, &m);
    wire_put_uint(&element, kind);
    proto_test_replace(&changed, buf_span(&b), 2, buf_span(&element));
    enum err err = read_all(buf_span(&changed));
    buf_done(&b);
    buf_done(&element);
    buf_done(&changed);
    return err;
}

Test(control, unknown_kinds_are_refused)
{
    cr_assert_eq(with_kind(CONTROL_WRITE_OFF), ERR_OK);
    cr_assert_eq(with_kind(0), ERR_RANGE);
    cr_assert_eq(with_kind(CONTROL_WRITE_OFF + 1), ERR_RANGE);
    cr_assert_eq(with_kind((1ULL << 32) + 1), ERR_RANGE);
}

Test(control, a_bad_edge_name_is_refused)
{
    struct control_message m = a_message(CONTROL_ENROL);
    struct buf b = {0}, element = {0}, changed = {0};
    control_write(&b, &m);
    wire_put_text(&element, "us.>");
    proto_test_replace(&changed, buf_span(&b), 3, buf_span(&element));
    cr_assert_eq(read_all(buf_span(&changed)), ERR_FORMAT);
    buf_done(&b);
    buf_done(&element);
    buf_done(&changed);
}

Test(control, an_unknown_kind_cannot_be_written, .signal = SIGABRT)
{
    struct control_message m = a_message(CONTROL_WRITE_OFF + 1);
    struct buf b = {0};
    control_write(&b, &m);
}

Test(control, a_tick_is_no_control_message_and_the_other_way_round)
{
    struct control_message m = a_message(CONTROL_ENROL);
    struct buf b = {0}, tick = {0};
    control_write(&b, &m);
    tick_write(&tick);
    cr_assert(tick_is(buf_span(&tick)));
    cr_assert_not(tick_is(buf_span(&b)));
    cr_assert_eq(read_all(buf_span(&tick)), ERR_MAGIC);
    buf_done(&b);
    buf_done(&tick);
}

Test(control, the_golden_messages_are_still_written_and_read)
{
    struct control_message m = a_message(CONTROL_WRITE_OFF), read;
    struct buf b = {0}, tick = {0};
    control_write(&b, &m);
    tick_write(&tick);
    struct buf golden = proto_test_golden("control_v1", buf_span(&b));
    struct buf golden_tick = proto_test_golden("tick_v1", buf_span(&tick));
    cr_assert(span_equal(buf_span(&b), buf_span(&golden)));
    cr_assert_eq(control_read(&read, buf_span(&golden)), ERR_OK);
    expect_same(&m, &read);
    cr_assert(span_equal(buf_span(&tick), buf_span(&golden_tick)));
    cr_assert(tick_is(buf_span(&golden_tick)));
    buf_done(&b);
    buf_done(&tick);
    buf_done(&golden);
    buf_done(&golden_tick);
}

static struct control_message a_map(void)
{
    return (struct control_message){.number = 3,
                                    .nonce = 99,
                                    .kind = CONTROL_MAP,
                                    .from_minute = UINT32_MAX,
                                    .partitions = LIMIT_PARTITIONS,
                                    .again = true};
}

Test(control, a_step_of_the_map_comes_back_and_is_damaged_as_others_are)
{
    struct control_message m = a_map(), read;
    struct buf b = {0};
    control_write(&b, &m);
    cr_assert_eq(control_read(&read, buf_span(&b)), ERR_OK);
    expect_same(&m, &read);
    cr_assert(read.from_minute == m.from_minute && read.partitions == m.partitions && read.again);
    proto_test_damage(buf_span(&b), read_all);
    proto_test_malice(buf_span(&b), read_all);
    buf_done(&b);
}

static enum err read_numbers(uint8_t version, uint32_t elements, uint64_t kind, uint64_t partitions,
                             uint64_t from_minute)
{
    struct buf b = {0};
    wire_begin(&b, CONTROL_MAGIC, version);
    wire_put_array(&b, elements);
    wire_put_uint(&b, 1);
    wire_put_uint(&b, 2);
    wire_put_uint(&b, kind);
    wire_put_uint(&b, partitions);
    wire_put_uint(&b, from_minute);
    wire_put_bool(&b, false);
    wire_seal(&b);
    enum err err = read_all(buf_span(&b));
    buf_done(&b);
    return err;
}

Test(control, a_map_out_of_range_is_refused)
{
    cr_assert_eq(read_numbers(2, 6, CONTROL_MAP, 1, 0), ERR_OK);
    cr_assert_eq(read_numbers(2, 6, CONTROL_MAP, 0, 0), ERR_RANGE);
    cr_assert_eq(read_numbers(2, 6, CONTROL_MAP, LIMIT_PARTITIONS + 1, 0), ERR_RANGE);
    cr_assert_eq(read_numbers(2, 6, CONTROL_MAP, 1, 1ULL << 32), ERR_RANGE);
    cr_assert_eq(read_numbers(2, 6, CONTROL_ENROL, 1, 0), ERR_RANGE);
    cr_assert_eq(read_numbers(2, 5, CONTROL_MAP, 1, 0), ERR_FORMAT);
    cr_assert_neq(read_numbers(2, 7, CONTROL_MAP, 1, 0), ERR_OK);
    cr_assert_eq(read_numbers(1, 5, CONTROL_MAP, 1, 0), ERR_FORMAT, "no edge");
    cr_assert_eq(read_numbers(3, 6, CONTROL_MAP, 1, 0), ERR_VERSION);
}
