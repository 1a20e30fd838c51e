/* SPDX-License-Identifier: Apache-2.0
 * click: the row form of the spool. */
#include "proto/click.h"
#include "proto_test.h"

#include <criterion/criterion.h>
#include <signal.h>

static struct click a_click(void)
{
    struct click c = {
        .minute = 0x01b83f40,
        .flags = CLICK_FLAG_IP_FILLED | CLICK_FLAG_AGENT_FILLED,
        .user_hash = 0x1122334455667788,
        .timestamp_ms = 1731000000123,
        .received_ms = 1731000000456,
        .ad_id = span_of_text("ad-1"),
        .user_id = span_of_text("user-77"),
        .click_id = span_of_text("c0ffee"),
        .ip_address = span_of_text("2001:db8::7"),
        .user_agent = span_of_text("Mozilla/5.0"),
    };
    for (unsigned i = 0; i < sizeof(c.key); i++)
        c.key[i] = (uint8_t)(i + 1);
    return c;
}

static void expect_same(const struct click *a, const struct click *b)
{
    cr_assert_arr_eq(a->key, b->key, sizeof(a->key));
    cr_assert_eq(a->minute, b->minute);
    cr_assert_eq(a->flags, b->flags);
    cr_assert_eq(a->user_hash, b->user_hash);
    cr_assert_eq(a->timestamp_ms, b->timestamp_ms);
    cr_assert_eq(a->received_ms, b->received_ms);
    cr_assert(span_equal(a->ad_id, b->ad_id));
    cr_assert(span_equal(a->user_id, b->user_id));
    cr_assert(span_equal(a->click_id, b->click_id));
    cr_assert(span_equal(a->ip_address, b->ip_address));
    cr_assert(span_equal(a->user_agent, b->user_agent));
}

static enum err read_row(struct span bytes, struct click *out)
{
    struct reader r = reader_of(bytes);
    return click_read(&r, out);
}

Test(click, rows_come_back_one_after_the_other)
{
    struct click one = a_click(), two = a_click(), read;
    two.click_id = two.ip_address = two.user_agent = (struct span){0};
    struct buf b = {0};
    click_put(&b, &one);
    click_put(&b, &two);

    struct reader r = reader_of(buf_span(&b));
    cr_assert_eq(click_read(&r, &read), ERR_OK);
    expect_same(&read, &one);
    cr_assert_eq(click_read(&r, &read), ERR_OK);
    expect_same(&read, &two);
    cr_assert(reader_at_end(&r));
    buf_done(&b);
}

Test(click, the_longest_legal_texts_come_back)
{
    static char text[LIMIT_USER_AGENT_BYTES];
    memset(text, 'x', sizeof(text));
    struct click c = a_click(), read;
    c.ad_id = c.user_id = c.click_id = span_of(text, LIMIT_ID_BYTES);
    c.ip_address = span_of(text, LIMIT_IP_TEXT_BYTES);
    c.user_agent = span_of(text, LIMIT_USER_AGENT_BYTES);
    struct buf b = {0};
    click_put(&b, &c);
    cr_assert_eq(read_row(buf_span(&b), &read), ERR_OK);
    expect_same(&read, &c);
    buf_done(&b);
}

Test(click, every_prefix_is_truncated_and_leaves_the_result_alone)
{
    struct click c = a_click();
    struct buf b = {0};
    click_put(&b, &c);
    for (size_t cut = 0; cut < b.length; cut++) {
        struct span exact = proto_test_copy(span_of(b.data, cut));
        struct click read = {.minute = 99};
        cr_assert_eq(read_row(exact, &read), ERR_TRUNCATED, "cut at %zu", cut);
        cr_assert_eq(read.minute, 99);
        proto_test_free(exact);
    }
    buf_done(&b);
}

Test(click, no_flipped_bit_reads_past_the_end)
{
    struct click c = a_click(), read;
    struct buf b = {0};
    click_put(&b, &c);
    struct span exact = proto_test_copy(buf_span(&b));
    uint8_t *bytes = (uint8_t *)(uintptr_t)exact.data;
    for (size_t bit = 0; bit < b.length * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (read_row(exact, &read) == ERR_OK)
            cr_assert(click_is_bounded(&read));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    proto_test_free(exact);
    buf_done(&b);
}

/* The fixed part is 46 bytes; the length of ad_id follows. */
Test(click, texts_outside_their_bounds_are_over_the_limit)
{
    struct click c = a_click(), read;
    struct buf b = {0};
    c.ad_id = span_of_text("a");
    click_put(&b, &c);
    cr_assert_eq(b.data[46], 1);

    b.data[46] = 0;
    cr_assert_neq(read_row(buf_span(&b), &read), ERR_OK);
    buf_clear(&b);
    buf_put(&b, (const uint8_t[46]){0}, 46);
    buf_put_varint(&b, LIMIT_ID_BYTES + 1);
    buf_put(&b, (const uint8_t[1000]){0}, 1000);
    cr_assert_eq(read_row(buf_span(&b), &read), ERR_LIMIT);
    b.length = 46;
    buf_put_varint(&b, UINT64_MAX);
    cr_assert_eq(read_row(buf_span(&b), &read), ERR_LIMIT);
    b.length = 46;
    buf_put(&b, (const uint8_t[5]){0}, 5); /* all five texts empty: ad_id and user_id may not be */
    cr_assert_eq(read_row(buf_span(&b), &read), ERR_LIMIT);
    buf_done(&b);
}

Test(click, putting_what_could_not_be_read_is_a_mistake, .signal = SIGABRT)
{
    struct click c = a_click();
    c.user_id = (struct span){0};
    struct buf b = {0};
    click_put(&b, &c);
}

Test(click, the_golden_row_is_still_written_and_read)
{
    struct click c = a_click(), read;
    struct buf b = {0};
    click_put(&b, &c);
    struct buf golden = proto_test_golden("click_row_v1", buf_span(&b));

    cr_assert(span_equal(buf_span(&b), buf_span(&golden)));
    cr_assert_eq(read_row(buf_span(&golden), &read), ERR_OK);
    expect_same(&read, &c);
    buf_done(&b);
    buf_done(&golden);
}

Test(click, each_text_is_bounded_by_itself)
{
    static char long_text[LIMIT_USER_AGENT_BYTES + 1];
    struct click good = {.ad_id = span_of_text("a"), .user_id = span_of_text("u")};
    cr_assert(click_is_bounded(&good));
    struct click bad[] = {good, good, good, good, good, good, good};
    bad[0].ad_id.length = 0;
    bad[1].ad_id = span_of(long_text, LIMIT_ID_BYTES + 1);
    bad[2].user_id.length = 0;
    bad[3].user_id = span_of(long_text, LIMIT_ID_BYTES + 1);
    bad[4].click_id = span_of(long_text, LIMIT_ID_BYTES + 1);
    bad[5].ip_address = span_of(long_text, LIMIT_IP_TEXT_BYTES + 1);
    bad[6].user_agent = span_of(long_text, LIMIT_USER_AGENT_BYTES + 1);
    for (unsigned i = 0; i < countof(bad); i++)
        cr_assert_not(click_is_bounded(&bad[i]), "text %u", i);
}
