/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/core/archive_state.h"

#include "unit/regional/archive_given.h"

static void given_state(struct buf *out)
{
    struct archive *a = given_archive();
    struct archive_edge *e = archive_book_open(&a->book, "us-e1");
    *archive_book_open_line(e, 3) = (struct archive_line){
        .epoch = 3, .floor = 10, .island_first = 20, .island_last = 1000, .gap_first = 2000};
    *archive_book_open_line(e, 9) = (struct archive_line){
        .epoch = 9, .floor = 300, .ended = true, .end = 300, .heard_ms = GIVEN_START_MS};
    (void)archive_book_open(&a->book, "us-e2");
    a->cut = 77;
    a->position = (struct archive_position){5, 6};
    archive_state_write(out, a);
    archive_free(a);
}

static void seal(struct buf *b)
{
    if (b->length >= 8)
        bytes_store_u64(b->data, hash_checksum(span_of(b->data + 8, b->length - 8), 0x41535441ULL));
}

static enum err reading(struct span s)
{
    struct archive *a = given_archive();
    enum err err = archive_state_read(a, s);
    archive_free(a);
    return err;
}

Test(archive_state, what_is_written_is_read)
{
    struct buf state = {0}, again = {0};
    given_state(&state);
    struct archive *a = given_archive();
    cr_assert_eq(archive_state_read(a, buf_span(&state)), ERR_OK);
    cr_assert(a->cut == 77 && a->position.digest == 6 && a->book.count == 2);
    archive_state_write(&again, a);
    cr_assert(span_equal(buf_span(&state), buf_span(&again)));
    archive_free(a);
    buf_done(&state);
    buf_done(&again);
}

Test(archive_state, damage_is_found_at_every_byte_and_every_length)
{
    struct buf state = {0};
    given_state(&state);
    for (size_t i = 0; i < state.length; i++) {
        state.data[i] ^= 0x10;
        cr_assert_eq(reading(buf_span(&state)), ERR_KV_CORRUPT, "byte %zu", i);
        state.data[i] ^= 0x10;
        cr_assert_eq(reading(span_of(state.data, i)), ERR_KV_CORRUPT, "length %zu", i);
    }
    /* And behind a good checksum: whatever it says, it says it without reading astray. */
    size_t length = state.length;
    for (size_t i = 8; i < length; i++) {
        struct buf cut = {0};
        buf_put(&cut, state.data, i);
        seal(&cut);
        cr_assert_eq(reading(buf_span(&cut)), ERR_KV_CORRUPT, "length %zu", i);
        buf_done(&cut);
        for (unsigned bit = 0; bit < 8; bit++) {
            state.data[i] ^= (uint8_t)(1u << bit);
            seal(&state);
            (void)reading(buf_span(&state));
            state.data[i] ^= (uint8_t)(1u << bit);
        }
    }
    buf_put_u8(&state, 0);
    seal(&state);
    cr_assert_eq(reading(buf_span(&state)), ERR_KV_CORRUPT, "trailing");
    buf_done(&state);
}

Test(archive_state, another_partitions_or_regions_state_is_a_matter_of_configuration)
{
    struct buf state = {0};
    given_state(&state);
    struct archive_options o = given_archive_options();
    o.who.partition = 2;
    struct archive *a = archive_new(&o);
    cr_assert_eq(archive_state_read(a, buf_span(&state)), ERR_CONFIG);
    archive_free(a);
    o = given_archive_options();
    (void)snprintf(o.who.region, sizeof(o.who.region), "eu");
    a = archive_new(&o);
    cr_assert_eq(archive_load(a, buf_span(&state)), ERR_CONFIG);
    archive_free(a);
    buf_done(&state);
}

static void put_line(struct buf *b, uint64_t epoch, uint64_t floor, uint64_t first, uint64_t last)
{
    buf_put_u64(b, epoch);
    buf_put_varint(b, floor);
    buf_put_varint(b, first);
    buf_put_varint(b, last);
    for (unsigned i = 0; i < 3; i++)
        buf_put_varint(b, 0);
}

static void put_head(struct buf *b, uint64_t edges)
{
    struct archive *a = given_archive();
    archive_state_write(b, a);
    b->length--; /* the count of edges */
    buf_put_varint(b, edges);
    archive_free(a);
}

static enum err reading_lines(const uint64_t lines[2][4], const char *first, const char *second)
{
    struct buf b = {0};
    put_head(&b, second == NULL ? 1 : 2);
    buf_put_block(&b, span_of_text(first));
    buf_put_varint(&b, 2);
    for (unsigned i = 0; i < 2; i++)
        put_line(&b, lines[i][0], lines[i][1], lines[i][2], lines[i][3]);
    if (second != NULL) {
        buf_put_block(&b, span_of(second, strlen(second) + (second[0] == 'z')));
        buf_put_varint(&b, 0);
    }
    seal(&b);
    enum err err = reading(buf_span(&b));
    buf_done(&b);
    return err;
}

Test(archive_state, only_what_a_book_can_hold_is_read)
{
    static const uint64_t good[2][4] = {{3, 10, 0, 0}, {4, 10, 11, 12}};
    static const uint64_t disorder[2][4] = {{4, 10, 0, 0}, {3, 10, 11, 12}};
    static const uint64_t nothing[2][4] = {{0, 10, 0, 0}, {3, 10, 11, 12}};
    static const uint64_t ashore[2][4] = {{3, 10, 0, 0}, {4, 10, 10, 12}};
    static const uint64_t empty[2][4] = {{3, 10, 0, 0}, {4, 10, 12, 12}};
    static const uint64_t half[2][4] = {{3, 10, 0, 0}, {4, 10, 0, 12}};
    cr_assert_eq(reading_lines(good, "a", "b"), ERR_OK);
    cr_assert_eq(reading_lines(good, "a", "a"), ERR_KV_CORRUPT);
    cr_assert_eq(reading_lines(good, "", "a"), ERR_KV_CORRUPT);
    cr_assert_eq(reading_lines(good, "a", "z"), ERR_KV_CORRUPT, "a zero byte inside");
    cr_assert_eq(reading_lines(disorder, "a", NULL), ERR_KV_CORRUPT);
    cr_assert_eq(reading_lines(nothing, "a", NULL), ERR_KV_CORRUPT);
    cr_assert_eq(reading_lines(ashore, "a", NULL), ERR_KV_CORRUPT);
    cr_assert_eq(reading_lines(empty, "a", NULL), ERR_KV_CORRUPT);
    cr_assert_eq(reading_lines(half, "a", NULL), ERR_KV_CORRUPT);
}

Test(archive_state, more_edges_than_the_limit_are_refused)
{
    struct buf b = {0};
    char name[16];
    put_head(&b, LIMIT_EDGES + 1);
    for (unsigned i = 0; i <= LIMIT_EDGES; i++) {
        (void)snprintf(name, sizeof(name), "e%05u", i);
        buf_put_block(&b, span_of_text(name));
        buf_put_varint(&b, 0);
    }
    seal(&b);
    cr_assert_eq(reading(buf_span(&b)), ERR_KV_CORRUPT);
    buf_done(&b);
}
