/* SPDX-License-Identifier: Apache-2.0
 * segment: what an edge sends is what a fold and the archive read, or it is refused. */
#include "proto/column.h"
#include "segment_given.h"

#include <criterion/criterion.h>
#include <signal.h>

enum {
    AT_EPOCH = 2,
    AT_PARTITION,
    AT_FIN,
    AT_FIRST,
    AT_LAST,
    AT_NEWEST = 9,
    AT_OLDER = 12,
    AT_COUNT,
    AT_HOT,
    AT_COLD
};

static enum err read_all(struct span message)
{
    static struct click clicks[LIMIT_SEGMENT_CLICKS];
    struct segment s = {0};
    struct segment_head head = {0};
    struct buf storage = {0};
    enum err err = segment_read(&s, message);
    enum err head_err = segment_read_head(&head, message);
    /* The contract for poison: intact, yet unreadable, with a head that says which numbers it
     * takes. */
    if (err != ERR_OK) {
        cr_assert_eq(s.click_count, 0);
        cr_assert_eq(s.ad_count, 0);
    }
    cr_assert(err != ERR_OK || head_err == ERR_OK);
    expect_same_head(&s.head, &head);
    if (err == ERR_OK)
        err = segment_read_cold(&s, clicks, &storage);
    segment_done(&s);
    buf_done(&storage);
    return err;
}

/* A written segment, to be freed. */
static struct buf a_segment(uint32_t count, bool fin)
{
    struct buf texts = {0}, message = {0};
    struct click *clicks = clicks_of(7, count, &texts);
    struct segment_head head = a_head(1000, count, fin);
    segment_write(&message, &head, clicks, count);
    free(clicks);
    buf_done(&texts);
    return message;
}

Test(segment, what_is_written_is_read_at_every_size)
{
    static const uint32_t counts[] = {0, 1, 2, 3, 100, 1000, LIMIT_SEGMENT_CLICKS};
    for (unsigned i = 0; i < countof(counts) * 2; i++) {
        uint32_t count = counts[i / 2];
        struct segment_head head = a_head(i * 1000, count, i % 2 == 1);
        struct buf texts = {0}, message = {0};
        struct click *clicks = clicks_of(i, count, &texts);
        segment_write(&message, &head, clicks, count);

        expect_content(buf_span(&message), &head, clicks, count);
        free(clicks);
        buf_done(&texts);
        buf_done(&message);
    }
}

Test(segment, equal_clicks_give_equal_bytes)
{
    struct buf once = a_segment(300, false), again = a_segment(300, false);
    cr_assert(span_equal(buf_span(&once), buf_span(&again)));
    buf_done(&once);
    buf_done(&again);
}

Test(segment, extreme_numbers_and_the_longest_texts_come_back)
{
    static char text[LIMIT_USER_AGENT_BYTES];
    memset(text, 'y', sizeof(text));
    struct click clicks[2] = {{.minute = UINT32_MAX,
                               .flags = UINT16_MAX,
                               .user_hash = UINT64_MAX,
                               .timestamp_ms = UINT64_MAX,
                               .received_ms = UINT64_MAX},
                              {.minute = 0}};
    clicks[0].ad_id = clicks[0].user_id = clicks[0].click_id = span_of(text, LIMIT_ID_BYTES);
    clicks[0].ip_address = span_of(text, LIMIT_IP_TEXT_BYTES);
    clicks[0].user_agent = span_of(text, LIMIT_USER_AGENT_BYTES);
    clicks[1].ad_id = clicks[1].user_id = span_of(text, 1);
    struct segment_head head = a_head(INT64_MAX - 3, 2, true);
    head.clock_ms = head.age_ms = head.accepted = UINT64_MAX;
    head.low = INT64_MAX;
    head.partition = LIMIT_PARTITIONS - 1;
    head.older_count = LIMIT_OLDER_EPOCHS;
    for (unsigned i = 0; i < LIMIT_OLDER_EPOCHS; i++)
        head.older[i] = UINT64_MAX - i;
    memset(head.edge, 'e', LIMIT_EDGE_NAME_BYTES);
    memset(head.region, 'r', LIMIT_REGION_NAME_BYTES);
    struct buf message = {0};
    segment_write(&message, &head, clicks, 2);
    expect_content(buf_span(&message), &head, clicks, 2);
    buf_done(&message);
}

Test(segment, storage_is_reused_from_a_large_to_a_small_and_to_a_large_one)
{
    static const uint32_t counts[] = {1000, 3, 0, 2000, 1};
    struct segment s = {0};
    for (unsigned i = 0; i < countof(counts); i++) {
        struct buf message = a_segment(counts[i], false);
        cr_assert_eq(segment_read(&s, buf_span(&message)), ERR_OK);
        cr_assert_eq(s.click_count, counts[i]);
        cr_assert_eq(s.ad_count == 0, counts[i] == 0);
        buf_done(&message);
    }
    segment_done(&s);
}

Test(segment, a_failed_read_leaves_nothing_of_the_one_before)
{
    struct segment s = {0};
    struct buf message = a_segment(10, false);
    cr_assert_eq(segment_read(&s, buf_span(&message)), ERR_OK);
    message.data[20] ^= 1;
    cr_assert_eq(segment_read(&s, buf_span(&message)), ERR_CHECKSUM);
    cr_assert_eq(s.click_count, 0);
    cr_assert_eq(s.ad_count, 0);
    cr_assert_eq(s.cold.length, 0);
    cr_assert_eq(s.head.epoch, 0);
    segment_done(&s);
    buf_done(&message);
}

Test(segment, every_prefix_and_every_flipped_bit_is_damage)
{
    struct buf message = a_segment(5, true);
    proto_test_damage(buf_span(&message), read_all);
    buf_done(&message);
}

Test(segment, malice_behind_a_good_checksum_is_refused_without_a_crash)
{
    struct buf message = a_segment(5, true), heartbeat = a_segment(0, false);
    proto_test_malice(buf_span(&message), read_all);
    proto_test_malice(buf_span(&heartbeat), read_all);
    buf_done(&message);
    buf_done(&heartbeat);
}

Test(segment, malice_inside_the_columns_is_refused_without_a_crash)
{
    struct buf message = a_segment(9, false);
    proto_test_column_malice(buf_span(&message), AT_HOT, read_all);
    proto_test_column_malice(buf_span(&message), AT_COLD, read_all);
    buf_done(&message);
}

Test(segment, a_header_that_declares_too_much_costs_nothing)
{
    proto_test_greed(SEGMENT_MAGIC, SEGMENT_VERSION, read_all);
}

static enum err with_number(struct span message, unsigned index, uint64_t value)
{
    struct buf element = {0}, changed = {0};
    wire_put_uint(&element, value);
    proto_test_replace(&changed, message, index, buf_span(&element));
    enum err err = read_all(buf_span(&changed));
    buf_done(&element);
    buf_done(&changed);
    return err;
}

Test(segment, a_head_outside_its_ranges_is_refused)
{
    struct buf b = a_segment(5, false);
    struct span message = buf_span(&b);
    cr_assert_eq(with_number(message, AT_EPOCH, 1), ERR_OK);
    cr_assert_eq(with_number(message, AT_EPOCH, 0), ERR_RANGE);
    cr_assert_eq(with_number(message, AT_NEWEST, 0), ERR_RANGE);
    cr_assert_eq(with_number(message, AT_PARTITION, LIMIT_PARTITIONS - 1), ERR_OK);
    cr_assert_eq(with_number(message, AT_PARTITION, LIMIT_PARTITIONS), ERR_RANGE);
    cr_assert_eq(with_number(message, AT_PARTITION, 65536 + 3), ERR_RANGE);
    cr_assert_eq(with_number(message, AT_LAST, 999), ERR_RANGE);
    cr_assert_eq(with_number(message, AT_LAST, INT64_MAX), ERR_LIMIT);
    cr_assert_eq(with_number(message, AT_LAST, 1ULL << 63), ERR_RANGE);
    cr_assert_eq(with_number(message, AT_OLDER, 1), ERR_FORMAT);
    buf_done(&b);
}

Test(segment, counts_that_disagree_are_refused_with_a_valid_head)
{
    struct buf b = a_segment(5, false);
    struct span message = buf_span(&b);
    cr_assert_eq(with_number(message, AT_LAST, 1004), ERR_FORMAT);
    cr_assert_eq(with_number(message, AT_LAST, 1006), ERR_FORMAT);
    cr_assert_eq(with_number(message, AT_FIRST, 1001), ERR_FORMAT);
    cr_assert_eq(with_number(message, AT_COUNT, 4), ERR_FORMAT);
    cr_assert_eq(with_number(message, AT_COUNT, UINT64_MAX), ERR_FORMAT);

    /* FIN takes a number: the same five clicks no longer fit the run. */
    struct buf changed = {0};
    proto_test_replace(&changed, message, AT_FIN, span_of("\xc3", 1));
    struct segment_head head;
    cr_assert_eq(read_all(buf_span(&changed)), ERR_FORMAT);
    cr_assert_eq(segment_read_head(&head, buf_span(&changed)), ERR_OK);
    cr_assert_eq(head.last, 1005);
    buf_done(&changed);
    buf_done(&b);
}

Test(segment, count_and_run_lowered_together_are_still_refused)
{
    struct buf b = a_segment(5, false), element = {0}, changed = {0};
    wire_put_uint(&element, 1004);
    proto_test_replace(&changed, buf_span(&b), AT_LAST, buf_span(&element));
    cr_assert_eq(with_number(buf_span(&b), AT_COUNT, 5), ERR_OK);
    cr_assert_neq(with_number(buf_span(&changed), AT_COUNT, 4), ERR_OK);
    buf_done(&b);
    buf_done(&element);
    buf_done(&changed);
}

Test(segment, an_empty_fin_ends_a_line_without_a_number)
{
    struct buf b = a_segment(0, false), changed = {0};
    struct segment_head head;
    proto_test_replace(&changed, buf_span(&b), AT_FIN, span_of("\xc3", 1));
    cr_assert_eq(read_all(buf_span(&changed)), ERR_OK);
    cr_assert_eq(segment_read_head(&head, buf_span(&changed)), ERR_OK);
    cr_assert(head.fin && head.first == head.last);
    buf_done(&b);
    buf_done(&changed);
}

Test(segment, a_heartbeat_carries_no_columns)
{
    struct buf b = a_segment(0, false), full = a_segment(1, false), changed = {0};
    struct span hot = proto_test_element(buf_span(&full), AT_HOT);
    proto_test_replace(&changed, buf_span(&b), AT_HOT, hot);
    cr_assert_eq(read_all(buf_span(&changed)), ERR_FORMAT);
    cr_assert_lt(b.length, 128);
    buf_done(&b);
    buf_done(&full);
    buf_done(&changed);
}

Test(segment, bad_names_are_refused)
{
    static const char *const names[] = {"",    "Us-e1", "1us", "us.e1", "us e1",
                                        "us>", "us*",   "-us", "us_e1"};
    struct buf b = a_segment(2, false), element = {0}, changed = {0};
    for (unsigned i = 0; i < countof(names) * 2; i++) {
        buf_clear(&element);
        wire_put_text(&element, names[i / 2]);
        proto_test_replace(&changed, buf_span(&b), i % 2, buf_span(&element));
        cr_assert_eq(read_all(buf_span(&changed)), ERR_FORMAT, "%s", names[i / 2]);
    }
    buf_clear(&element);
    wire_put_text(&element, "abcdefghijklmnopqrstuvwxyzabcdefg");
    proto_test_replace(&changed, buf_span(&b), 0, buf_span(&element));
    cr_assert_eq(read_all(buf_span(&changed)), ERR_LIMIT);
    buf_done(&b);
    buf_done(&element);
    buf_done(&changed);
}

/* Hot columns of one click written by hand. */
static enum err with_hot(uint64_t minute, uint32_t ads, uint64_t ad_length, uint64_t index,
                         uint64_t flags)
{
    struct buf b = a_segment(1, false), raw = {0}, element = {0}, changed = {0};
    buf_put(&raw, (const uint8_t[24]){0}, 24);
    uint64_t previous = 0;
    column_put_delta(&raw, &previous, minute);
    buf_put_varint(&raw, ads);
    for (uint32_t i = 0; i < ads; i++)
        buf_put_varint(&raw, ad_length);
    for (uint64_t i = 0; i < ads * ad_length; i++)
        buf_put_u8(&raw, 'a');
    buf_put_varint(&raw, index);
    buf_put_varint(&raw, flags);
    wire_put_packed(&element, buf_span(&raw));
    proto_test_replace(&changed, buf_span(&b), AT_HOT, buf_span(&element));
    enum err err = read_all(buf_span(&changed));
    buf_done(&b);
    buf_done(&raw);
    buf_done(&element);
    buf_done(&changed);
    return err;
}

Test(segment, hot_values_outside_their_ranges_are_refused)
{
    cr_assert_eq(with_hot(28850000, 1, 4, 0, 3), ERR_OK);
    cr_assert_eq(with_hot(UINT32_MAX, 1, 4, 0, UINT16_MAX), ERR_OK);
    cr_assert_eq(with_hot(UINT32_MAX + 1ULL, 1, 4, 0, 0), ERR_RANGE);
    cr_assert_eq(with_hot(UINT64_MAX, 1, 4, 0, 0), ERR_RANGE);
    cr_assert_eq(with_hot(1, 1, 4, 1, 0), ERR_RANGE);
    cr_assert_eq(with_hot(1, 1, 4, UINT64_MAX, 0), ERR_RANGE);
    cr_assert_eq(with_hot(1, 1, 4, 0, UINT16_MAX + 1), ERR_RANGE);
    cr_assert_eq(with_hot(1, 1, 0, 0, 0), ERR_LIMIT);
    cr_assert_eq(with_hot(1, 1, LIMIT_ID_BYTES, 0, 0), ERR_OK);
    cr_assert_eq(with_hot(1, 1, LIMIT_ID_BYTES + 1, 0, 0), ERR_LIMIT);
    cr_assert_eq(with_hot(1, 0, 0, 0, 0), ERR_FORMAT);
    cr_assert_eq(with_hot(1, 2, 4, 0, 0), ERR_FORMAT); /* more ads than clicks */
}

Test(segment, a_click_costs_few_bytes)
{
    struct buf message = a_segment(4000, false);
    cr_log_info("4000 clicks: %.1f bytes each", message.length / 4000.0);
    cr_assert_lt(message.length, 4000 * 60);
    buf_done(&message);
}

Test(segment, a_count_that_does_not_match_the_run_is_a_mistake, .signal = SIGABRT)
{
    struct buf message = {0}, texts = {0};
    struct click *clicks = clicks_of(1, 2, &texts);
    struct segment_head head = a_head(0, 1, false);
    segment_write(&message, &head, clicks, 2);
}

Test(segment, an_epoch_of_zero_is_a_mistake, .signal = SIGABRT)
{
    struct buf message = {0};
    struct segment_head head = a_head(0, 0, false);
    head.epoch = 0;
    segment_write(&message, &head, NULL, 0);
}

/* zstd's output may differ between its versions, so packed messages are compared by what they say.
 */
Test(segment, the_golden_segment_is_still_read)
{
    struct buf texts = {0}, message = {0};
    struct click *clicks = clicks_of(1, 3, &texts);
    struct segment_head head = a_head(1000, 3, true);
    segment_write(&message, &head, clicks, 3);
    struct buf golden = proto_test_golden("segment_v1", buf_span(&message));
    expect_content(buf_span(&golden), &head, clicks, 3);

    /* All but checksum and frames is equal byte for byte, and so are the columns inside the frames.
     */
    struct span hot = proto_test_element(buf_span(&golden), AT_HOT);
    size_t front = (size_t)(hot.data - golden.data);
    cr_assert_arr_eq(message.data, golden.data, 8);
    cr_assert_arr_eq(message.data + 16, golden.data + 16, front - 16);
    for (unsigned at = AT_HOT; at <= AT_COLD; at++) {
        struct buf fresh = {0}, old = {0};
        proto_test_unpack(buf_span(&message), at, &fresh);
        proto_test_unpack(buf_span(&golden), at, &old);
        cr_assert(span_equal(buf_span(&fresh), buf_span(&old)));
        buf_done(&fresh);
        buf_done(&old);
    }
    free(clicks);
    buf_done(&texts);
    buf_done(&message);
    buf_done(&golden);
}

Test(segment, the_golden_heartbeat_is_still_written_and_read)
{
    struct segment_head head = a_head(1000, 0, false);
    struct buf message = {0};
    segment_write(&message, &head, NULL, 0);
    struct buf golden = proto_test_golden("segment_heartbeat_v1", buf_span(&message));
    cr_assert(span_equal(buf_span(&message), buf_span(&golden)));
    expect_content(buf_span(&golden), &head, NULL, 0);
    buf_done(&message);
    buf_done(&golden);
}
