/* SPDX-License-Identifier: Apache-2.0
 * partial: what a replica tells is what the globe reads, or it is refused. */
#include "partial_given.h"

#include <criterion/criterion.h>
#include <signal.h>

enum {
    AT_PARTITION = 3,
    AT_PARTITIONS,
    AT_ROW_COUNT = 14,
    AT_NAME_COUNT,
    AT_TOTAL_COUNT,
    AT_EDGE_COUNT,
    AT_ROWS,
    AT_TEXTS,
    AT_TOTALS,
    AT_EDGES
};

static enum err read_all(struct span message)
{
    struct partial p;
    enum err err = partial_read(&p, message);
    if (err != ERR_OK)
        cr_assert(p.row_count == 0 && p.rows == NULL && p.names == NULL && p.storage.data == NULL);
    partial_done(&p);
    return err;
}

static struct buf a_message(uint64_t seed, uint32_t rows, uint32_t names, uint32_t totals,
                            uint32_t edges)
{
    struct content c = a_partial(seed, rows, names, totals, edges);
    struct buf b = {0};
    partial_write(&b, &c.p);
    content_done(&c);
    return b;
}

Test(partial, what_is_written_is_read_in_every_mixture)
{
    static const uint32_t sizes[][4] = {{0, 0, 0, 0},    {1, 0, 0, 0},  {0, 1, 0, 0},
                                        {0, 0, 1, 0},    {0, 0, 0, 1},  {1, 1, 1, 1},
                                        {300, 20, 5, 9}, {0, 50, 0, 0}, {5000, 5000, 1440, 100}};
    for (unsigned i = 0; i < countof(sizes); i++) {
        struct content c = a_partial(i, sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3]);
        struct buf b = {0};
        struct partial read;
        partial_write(&b, &c.p);
        cr_assert_eq(partial_read(&read, buf_span(&b)), ERR_OK);
        expect_same(&c.p, &read);
        partial_done(&read);
        content_done(&c);
        buf_done(&b);
    }
}

Test(partial, extreme_numbers_come_back)
{
    struct content c = a_partial(1, 1, 0, 1, 1);
    c.p.rows[0] = (struct partial_row){.ad_hash = UINT64_MAX,
                                       .minute = UINT32_MAX,
                                       .generation = UINT32_MAX,
                                       .counted = UINT64_MAX,
                                       .duplicate = UINT64_MAX,
                                       .late = UINT64_MAX,
                                       .flagged = {UINT64_MAX, 0, UINT64_MAX, 1}};
    c.p.totals[0] =
        (struct partial_total){UINT32_MAX, UINT32_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    c.p.edges[0].epoch = c.p.edges[0].floor = c.p.edges[0].accepted = UINT64_MAX;
    memset(c.p.edges[0].edge, 'x', LIMIT_EDGE_NAME_BYTES);
    c.p.partition = LIMIT_PARTITIONS - 1;
    c.p.map = partition_map_of(LIMIT_PARTITIONS);
    c.p.store_id = c.p.cut = c.p.stream_ms = c.p.watermark_ms = c.p.folded = c.p.carried =
        UINT64_MAX;
    c.p.missing_count = UINT32_MAX;
    struct buf b = {0};
    struct partial read;
    partial_write(&b, &c.p);
    cr_assert_eq(partial_read(&read, buf_span(&b)), ERR_OK);
    expect_same(&c.p, &read);
    partial_done(&read);
    content_done(&c);
    buf_done(&b);
}

/* Equal partials of two replicas get one message id only if their bytes are equal. */
Test(partial, equal_content_gives_equal_bytes)
{
    struct buf once = a_message(4, 200, 10, 5, 5), again = a_message(4, 200, 10, 5, 5);
    cr_assert(span_equal(buf_span(&once), buf_span(&again)));
    buf_done(&once);
    buf_done(&again);
}

Test(partial, every_prefix_and_every_flipped_bit_is_damage)
{
    struct buf b = a_message(2, 6, 2, 2, 2);
    proto_test_damage(buf_span(&b), read_all);
    buf_done(&b);
}

Test(partial, malice_behind_a_good_checksum_is_refused_without_a_crash)
{
    struct buf b = a_message(2, 6, 2, 2, 2), empty = a_message(2, 0, 0, 0, 0);
    proto_test_malice(buf_span(&b), read_all);
    proto_test_malice(buf_span(&empty), read_all);
    buf_done(&b);
    buf_done(&empty);
}

Test(partial, malice_inside_the_columns_is_refused_without_a_crash)
{
    struct buf b = a_message(2, 3, 2, 3, 3);
    for (unsigned at = AT_ROWS; at <= AT_EDGES; at++)
        proto_test_column_malice(buf_span(&b), at, read_all);
    buf_done(&b);
}

Test(partial, a_header_that_declares_too_much_costs_nothing)
{
    proto_test_greed(PARTIAL_MAGIC, PARTIAL_VERSION, read_all);
}

static enum err with_number(unsigned index, uint64_t number)
{
    struct buf b = a_message(2, 6, 2, 2, 2), element = {0}, changed = {0};
    wire_put_uint(&element, number);
    proto_test_replace(&changed, buf_span(&b), index, buf_span(&element));
    enum err err = read_all(buf_span(&changed));
    buf_done(&b);
    buf_done(&element);
    buf_done(&changed);
    return err;
}

Test(partial, a_head_outside_its_ranges_is_refused)
{
    cr_assert_eq(with_number(AT_PARTITION, 0), ERR_OK);
    cr_assert_eq(with_number(AT_PARTITION, LIMIT_PARTITIONS), ERR_RANGE);
    cr_assert_eq(with_number(AT_PARTITION, 65536), ERR_RANGE);
    cr_assert_eq(with_number(AT_PARTITIONS, 0), ERR_RANGE);
    cr_assert_eq(with_number(AT_PARTITIONS, LIMIT_PARTITIONS), ERR_OK);
    cr_assert_eq(with_number(AT_PARTITIONS, LIMIT_PARTITIONS + 1), ERR_RANGE);
    cr_assert_eq(with_number(AT_ROW_COUNT, LIMIT_PARTIAL_ROWS + 1), ERR_LIMIT);
    cr_assert_eq(with_number(AT_NAME_COUNT, LIMIT_PARTIAL_ROWS + 1), ERR_LIMIT);
    cr_assert_eq(with_number(AT_TOTAL_COUNT, LIMIT_PARTIAL_TOTALS + 1), ERR_LIMIT);
    cr_assert_eq(with_number(AT_EDGE_COUNT, PARTIAL_EDGES_MAX + 1), ERR_LIMIT);
    cr_assert_eq(with_number(AT_ROW_COUNT, 1ULL << 32), ERR_RANGE);
}

Test(partial, counts_that_disagree_with_the_columns_are_refused)
{
    static const uint64_t right[] = {6, 2, 2, 2};
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(with_number(AT_ROW_COUNT + i, right[i]), ERR_OK);
        cr_assert_neq(with_number(AT_ROW_COUNT + i, right[i] - 1), ERR_OK);
        cr_assert_neq(with_number(AT_ROW_COUNT + i, right[i] + 1), ERR_OK);
        cr_assert_neq(with_number(AT_ROW_COUNT + i, 0), ERR_OK);
        cr_assert_neq(with_number(AT_ROW_COUNT + i, LIMIT_PARTIAL_TOTALS), ERR_OK);
    }
}

Test(partial, counts_beyond_the_columns_ask_for_no_memory)
{
    static const uint64_t most[] = {LIMIT_PARTIAL_ROWS, LIMIT_PARTIAL_ROWS, LIMIT_PARTIAL_TOTALS,
                                    PARTIAL_EDGES_MAX};
    cr_assert_eq(with_number(AT_PARTITION, 0), ERR_OK); /* zstd's own memory is there now */
    unsigned long before = proto_test_peak();
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(with_number(AT_ROW_COUNT + i, most[i]), ERR_FORMAT);
    cr_assert_lt(proto_test_peak() - before, 1024, "KiB");
}

/* The columns of one entry written by hand. */
static enum err with_columns(unsigned index, struct span raw)
{
    struct buf b = a_message(2, 0, 0, index == AT_TOTALS, index == AT_EDGES), element = {0},
               changed = {0};
    if (index == AT_TEXTS) {
        buf_done(&b);
        b = a_message(2, 0, 1, 0, 0);
    }
    wire_put_packed(&element, raw);
    proto_test_replace(&changed, buf_span(&b), index, buf_span(&element));
    enum err err = read_all(buf_span(&changed));
    buf_done(&b);
    buf_done(&element);
    buf_done(&changed);
    return err;
}

static enum err with_name_length(uint64_t length)
{
    struct buf raw = {0};
    buf_put_u64(&raw, 1);
    buf_put_varint(&raw, length);
    for (uint64_t i = 0; i < length && i < 1000; i++)
        buf_put_u8(&raw, 'a');
    if (length == 0)
        buf_put_u8(&raw, 'a');
    enum err err = with_columns(AT_TEXTS, buf_span(&raw));
    buf_done(&raw);
    return err;
}

static enum err with_edge(const char *name, size_t name_length, uint8_t missing)
{
    struct buf raw = {0};
    buf_put_block(&raw, span_of(name, name_length));
    buf_put_u64(&raw, 1);
    buf_put_varint(&raw, 2);
    buf_put_varint(&raw, 3);
    buf_put_u8(&raw, missing);
    enum err err = with_columns(AT_EDGES, buf_span(&raw));
    buf_done(&raw);
    return err;
}

static enum err with_total(uint64_t minute, uint64_t rows)
{
    struct buf raw = {0};
    buf_put_varint(&raw, minute << 1);
    buf_put_varint(&raw, rows);
    buf_put_varint(&raw, 1);
    buf_put_varint(&raw, 1);
    buf_put_u64(&raw, 1);
    enum err err = with_columns(AT_TOTALS, buf_span(&raw));
    buf_done(&raw);
    return err;
}

Test(partial, column_values_outside_their_ranges_are_refused)
{
    cr_assert_eq(with_name_length(LIMIT_ID_BYTES), ERR_OK);
    cr_assert_eq(with_name_length(LIMIT_ID_BYTES + 1), ERR_LIMIT);
    cr_assert_eq(with_name_length(0), ERR_LIMIT);
    cr_assert_eq(with_name_length(UINT64_MAX), ERR_LIMIT);
    cr_assert_eq(with_edge("us-e1", 5, 1), ERR_OK);
    cr_assert_eq(with_edge("us-e1", 5, 2), ERR_RANGE);
    cr_assert_eq(with_edge("us.e1", 5, 1), ERR_FORMAT);
    cr_assert_eq(with_edge("us-e1\0x", 7, 1), ERR_FORMAT);
    cr_assert_eq(with_edge("abcdefghijklmnopqrstuvwxyzabcdef", 32, 1), ERR_FORMAT);
    cr_assert_eq(with_total(UINT32_MAX, UINT32_MAX), ERR_OK);
    cr_assert_eq(with_total(UINT32_MAX + 1ULL, 1), ERR_RANGE);
    cr_assert_eq(with_total(1, UINT32_MAX + 1ULL), ERR_RANGE);
}

Test(partial, a_sketch_longer_than_any_is_a_mistake, .signal = SIGABRT)
{
    static uint8_t sketch[HLL_BYTES_MAX + 1];
    struct content c = a_partial(1, 1, 0, 0, 0);
    c.p.rows[0].sketch = span_of(sketch, sizeof(sketch));
    struct buf b = {0};
    partial_write(&b, &c.p);
}

Test(partial, the_digest_sees_each_field_but_late)
{
    static const uint8_t sketch[] = {1, 9};
    struct partial_row row = {.ad_hash = 1,
                              .minute = 2,
                              .generation = 3,
                              .counted = 4,
                              .duplicate = 5,
                              .late = 6,
                              .flagged = {7, 8, 9, 10},
                              .sketch = span_of(sketch, 2)};
    uint64_t digest = partial_row_digest(&row);
    struct partial_row changed[9];
    for (unsigned i = 0; i < countof(changed); i++)
        changed[i] = row;
    changed[0].ad_hash++;
    changed[1].minute++;
    changed[2].generation++;
    changed[3].counted++;
    changed[4].duplicate++;
    changed[5].flagged[0]++;
    changed[6].flagged[PARTIAL_FLAG_SLOTS - 1]++;
    changed[7].sketch = span_of(sketch, 1);
    changed[8].sketch = (struct span){0};
    for (unsigned i = 0; i < countof(changed); i++)
        cr_assert_neq(partial_row_digest(&changed[i]), digest, "field %u", i);
    row.late = 0;
    cr_assert_eq(partial_row_digest(&row), digest);
}

Test(partial, the_digest_is_the_checksum_of_the_fields_as_drawn)
{
    static const uint8_t sketch[] = {1, 9};
    struct partial_row row = {.ad_hash = 1,
                              .minute = 2,
                              .generation = 3,
                              .counted = 4,
                              .duplicate = 5,
                              .late = 6,
                              .flagged = {7, 8, 9, 10},
                              .sketch = span_of(sketch, 2)};
    struct buf b = {0};
    buf_put_u64(&b, 1);
    buf_put_u32(&b, 2);
    buf_put_u32(&b, 3);
    static const uint64_t rest[] = {4, 5, 7, 8, 9, 10};
    for (unsigned i = 0; i < countof(rest); i++)
        buf_put_u64(&b, rest[i]);
    buf_put_u64(&b, hash_checksum(span_of(sketch, 2), 0));
    cr_assert_eq(partial_row_digest(&row), hash_checksum(buf_span(&b), 0));
    buf_done(&b);
}

Test(partial, fields_that_swap_their_values_change_the_digest)
{
    struct partial_row a = {.ad_hash = 5,
                            .minute = 1,
                            .generation = 2,
                            .counted = 3,
                            .duplicate = 4},
                       b = a;
    b.counted = 4;
    b.duplicate = 3;
    cr_assert_neq(partial_row_digest(&a), partial_row_digest(&b));
    b = a;
    b.minute = 2;
    b.generation = 1;
    cr_assert_neq(partial_row_digest(&a), partial_row_digest(&b));
}

Test(partial, a_row_costs_few_bytes)
{
    struct content c = a_partial(8, 10000, 0, 0, 0);
    struct buf b = {0};
    for (uint32_t i = 0; i < c.p.row_count; i++)
        c.p.rows[i].sketch = (struct span){0};
    partial_write(&b, &c.p);
    cr_log_info("10000 rows without sketches: %.1f bytes each", b.length / 10000.0);
    cr_assert_lt(b.length, 10000 * 13);
    content_done(&c);
    buf_done(&b);
}

/* Two replicas of different builds must agree on digests as well. */
#define GOLDEN_DIGEST 0x6897948a6bd2612aULL

Test(partial, the_golden_partial_is_still_read)
{
    struct content c = a_partial(5, 4, 2, 2, 2);
    struct buf b = {0};
    struct partial read;
    partial_write(&b, &c.p);
    struct buf golden = proto_test_golden("partial_v1", buf_span(&b));
    cr_assert_eq(partial_read(&read, buf_span(&golden)), ERR_OK);
    expect_same(&c.p, &read);

    struct span rows = proto_test_element(buf_span(&golden), AT_ROWS);
    size_t front = (size_t)(rows.data - golden.data);
    cr_assert_arr_eq(b.data, golden.data, 8);
    cr_assert_arr_eq(b.data + 16, golden.data + 16, front - 16);
    for (unsigned at = AT_ROWS; at <= AT_EDGES; at++) {
        struct buf fresh = {0}, old = {0};
        proto_test_unpack(buf_span(&b), at, &fresh);
        proto_test_unpack(buf_span(&golden), at, &old);
        cr_assert(span_equal(buf_span(&fresh), buf_span(&old)));
        buf_done(&fresh);
        buf_done(&old);
    }
    cr_assert_eq(partial_row_digest(&read.rows[0]), GOLDEN_DIGEST, "0x%016llx",
                 (unsigned long long)partial_row_digest(&read.rows[0]));
    partial_done(&read);
    content_done(&c);
    buf_done(&b);
    buf_done(&golden);
}

static void id_of(const struct partial *p, char out[33])
{
    struct buf message = {0};
    partial_write(&message, p);
    partial_message_id(buf_span(&message), out);
    buf_done(&message);
}

Test(partial, equal_content_of_two_replicas_has_one_message_id_and_other_content_another)
{
    struct content c = a_partial(5, 10, 2, 3, 2);
    char one[33], other[33];
    id_of(&c.p, one);

    struct partial twin = c.p;
    memcpy(twin.replica, "fold-b", 7);
    twin.store_id++;
    twin.cut = 1;
    id_of(&twin, other);
    cr_assert_str_eq(one, other);

    struct partial elsewhere = c.p, later = c.p;
    elsewhere.partition = 2;
    id_of(&elsewhere, other);
    cr_assert_str_neq(one, other, "the partition is not in the rest");
    later.watermark_ms++;
    id_of(&later, other);
    cr_assert_str_neq(one, other);
    content_done(&c);
}

Test(partial, content_in_another_name_is_what_that_speaker_would_have_written)
{
    struct content c = a_partial(5, 10, 2, 3, 2);
    struct buf message = {0}, due = {0}, signed_ = {0};
    struct partial twin = c.p;
    (void)snprintf(twin.replica, sizeof(twin.replica), "a-longer-name");
    twin.store_id = 77;
    partial_write(&message, &c.p);
    partial_write(&due, &twin);

    cr_assert_eq(partial_resign(&signed_, buf_span(&message), "a-longer-name", 77), ERR_OK);
    cr_assert(span_equal(buf_span(&signed_), buf_span(&due)));
    message.data[message.length - 1] ^= 1;
    cr_assert_eq(partial_resign(&signed_, buf_span(&message), "other", 1), ERR_CHECKSUM);
    message.length = 3;
    cr_assert_eq(partial_resign(&signed_, buf_span(&message), "other", 1), ERR_TRUNCATED);
    content_done(&c);
    buf_done(&message);
    buf_done(&due);
    buf_done(&signed_);
}

Test(partial, what_has_no_names_at_its_head_is_signed_by_nobody)
{
    struct buf message = {0}, signed_ = {0};
    wire_begin(&message, PARTIAL_MAGIC, PARTIAL_VERSION);
    wire_put_array(&message, 2);
    wire_put_text(&message, "us");
    wire_put_text(&message, "fold-a");
    wire_seal(&message);
    cr_assert_neq(partial_resign(&signed_, buf_span(&message), "other", 1), ERR_OK);
    buf_done(&message);
    buf_done(&signed_);
}
