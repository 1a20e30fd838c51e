/* SPDX-License-Identifier: Apache-2.0
 * want: what the globe asks of a replica comes back, or is refused. */
#include "proto/want.h"
#include "proto_test.h"

#include <criterion/criterion.h>
#include <signal.h>

static struct want_message wanted, was_read;

static void given(uint32_t minutes, uint32_t names)
{
    memset(&wanted, 0, sizeof(wanted));
    memcpy(wanted.region, "eu", 3);
    memcpy(wanted.replica, "fold-b", 7);
    wanted.partition = 513;
    wanted.minute_count = minutes;
    wanted.name_count = names;
    for (uint32_t i = 0; i < minutes; i++)
        wanted.minutes[i] = UINT32_MAX - i * 1000003;
    for (uint32_t i = 0; i < names; i++)
        wanted.names[i] = UINT64_MAX - i * 0x9e3779b97f4a7c15;
}

static void expect_same(void)
{
    cr_assert_str_eq(was_read.region, wanted.region);
    cr_assert_str_eq(was_read.replica, wanted.replica);
    cr_assert_eq(was_read.partition, wanted.partition);
    cr_assert_eq(was_read.minute_count, wanted.minute_count);
    cr_assert_eq(was_read.name_count, wanted.name_count);
    cr_assert_arr_eq(was_read.minutes, wanted.minutes, sizeof(wanted.minutes));
    cr_assert_arr_eq(was_read.names, wanted.names, sizeof(wanted.names));
}

static enum err read_all(struct span message)
{
    enum err err = want_read(&was_read, message);
    if (err != ERR_OK)
        cr_assert(was_read.minute_count == 0 && was_read.name_count == 0 &&
                  was_read.region[0] == '\0');
    return err;
}

Test(want, what_is_written_is_read)
{
    static const uint32_t sizes[][2] = {
        {0, 0}, {1, 0}, {0, 1}, {3, 2}, {LIMIT_WANT_MINUTES, WANT_NAMES_MAX}};
    for (unsigned i = 0; i < countof(sizes); i++) {
        struct buf b = {0};
        given(sizes[i][0], sizes[i][1]);
        want_write(&b, &wanted);
        cr_assert_lt(b.length, LIMIT_MESSAGE_BYTES);
        cr_assert_eq(want_read(&was_read, buf_span(&b)), ERR_OK);
        expect_same();
        buf_done(&b);
    }
}

Test(want, every_prefix_and_every_flipped_bit_is_damage)
{
    struct buf b = {0};
    given(3, 2);
    want_write(&b, &wanted);
    proto_test_damage(buf_span(&b), read_all);
    buf_done(&b);
}

Test(want, malice_behind_a_good_checksum_is_refused_without_a_crash)
{
    struct buf b = {0};
    given(3, 2);
    want_write(&b, &wanted);
    proto_test_malice(buf_span(&b), read_all);
    buf_done(&b);
}

Test(want, a_header_that_declares_too_much_costs_nothing)
{
    proto_test_greed(WANT_MAGIC, WANT_VERSION, read_all);
}

static enum err with(unsigned index, uint32_t array, uint64_t number)
{
    struct buf b = {0}, element = {0}, changed = {0};
    given(1, 1);
    want_write(&b, &wanted);
    if (array > 0)
        wire_put_array(&element, array);
    for (uint32_t i = 0; i < (array > 0 ? array : 1); i++)
        wire_put_uint(&element, number);
    proto_test_replace(&changed, buf_span(&b), index, buf_span(&element));
    enum err err = read_all(buf_span(&changed));
    buf_done(&b);
    buf_done(&element);
    buf_done(&changed);
    return err;
}

Test(want, values_outside_their_ranges_are_refused)
{
    cr_assert_eq(with(2, 0, LIMIT_PARTITIONS - 1), ERR_OK);
    cr_assert_eq(with(2, 0, LIMIT_PARTITIONS), ERR_RANGE);
    cr_assert_eq(with(2, 0, 65536), ERR_RANGE);
    cr_assert_eq(with(3, 1, UINT32_MAX), ERR_OK);
    cr_assert_eq(with(3, 1, UINT32_MAX + 1ULL), ERR_RANGE);
    cr_assert_eq(with(3, LIMIT_WANT_MINUTES, 5), ERR_OK);
    cr_assert_eq(with(3, LIMIT_WANT_MINUTES + 1, 5), ERR_LIMIT);
    cr_assert_eq(with(4, WANT_NAMES_MAX, 5), ERR_OK);
    cr_assert_eq(with(4, WANT_NAMES_MAX + 1, 5), ERR_LIMIT);
}

Test(want, a_bad_name_cannot_be_written, .signal = SIGABRT)
{
    struct buf b = {0};
    given(0, 0);
    wanted.replica[0] = 'F';
    want_write(&b, &wanted);
}

Test(want, the_golden_message_is_still_written_and_read)
{
    struct buf b = {0};
    given(3, 2);
    want_write(&b, &wanted);
    struct buf golden = proto_test_golden("want_v1", buf_span(&b));
    cr_assert(span_equal(buf_span(&b), buf_span(&golden)));
    cr_assert_eq(want_read(&was_read, buf_span(&golden)), ERR_OK);
    expect_same();
    buf_done(&b);
    buf_done(&golden);
}
