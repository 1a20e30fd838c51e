/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/regional/archive_given.h"

#define NUMBERS 4000

static uint64_t seen_in(const struct archive_cut *c, unsigned *seen)
{
    uint64_t clicks = 0;
    for (uint32_t i = 0; i < c->count; i++)
        clicks += read_avro(buf_span(&c->files[i].data), seen, NUMBERS, NULL);
    return clicks;
}

Test(archive, a_cut_holds_what_was_taken_once)
{
    static unsigned seen[NUMBERS];
    struct archive *a = given_archive();
    struct archive_cut c;
    struct segment_head h = given_run(0, 100);
    when_archived(a, 1, &h, 10);
    when_archived(a, 2, &h, 11);
    h = given_run(50, 150);
    when_archived(a, 3, &h, 12);

    archive_make_cut(a, 20, GIVEN_START_MS, &c);

    cr_assert_eq(c.count, 1);
    cr_assert_eq(c.files[0].clicks, 150);
    cr_assert_eq(seen_in(&c, seen), 150);
    for (unsigned i = 0; i < 150; i++)
        cr_assert_eq(seen[i], 1);
    cr_assert(a->counts.clicks == 150 && a->counts.repeats == 1 && a->counts.segments == 2);
    cr_assert(!line_of_archive(a)->durable);
    archive_committed(a);
    cr_assert_eq(line_of_archive(a)->durable_floor, 150);
    archive_cut_done(&c);
    archive_free(a);
}

Test(archive, an_object_ends_by_size_or_by_age)
{
    struct archive_options o = given_archive_options();
    o.object_bytes = 4096;
    struct archive *a = archive_new(&o);
    struct archive_cut c;
    cr_assert(!archive_wants_cut(a, 1000000));
    struct segment_head h = given_run(0, 10);
    when_archived(a, 1, &h, 1000);
    archive_make_cut(a, 1000, GIVEN_START_MS, &c); /* the line is known from here on */
    archive_committed(a);
    archive_cut_done(&c);

    h = given_run(10, 11);
    when_archived(a, 2, &h, 2000);
    cr_assert(!archive_wants_cut(a, 2000 + o.object_age_ms - 1));
    cr_assert(archive_wants_cut(a, 2000 + o.object_age_ms));
    h = given_run(11, 500);
    when_archived(a, 3, &h, 2000);
    cr_assert(archive_waiting_bytes(a) >= o.object_bytes);
    cr_assert(archive_wants_cut(a, 2000));
    archive_free(a);
}

Test(archive, a_new_line_an_end_and_a_gap_do_not_wait_for_the_age)
{
    struct archive *a = given_archive();
    struct archive_cut c;
    struct segment_head h = given_run(0, 0);
    when_archived(a, 1, &h, 5000);
    cr_assert(!archive_wants_cut(a, 5999));
    cr_assert(archive_wants_cut(a, 6000), "a new line");
    archive_make_cut(a, 6000, GIVEN_START_MS, &c);
    cr_assert_eq(c.count, 0, "nothing to keep, but to know");
    archive_committed(a);
    archive_cut_done(&c);
    cr_assert(line_of_archive(a)->durable);

    h = given_run(0, 10);
    when_archived(a, 2, &h, 7000);
    h = given_run(20, 30);
    when_archived(a, 3, &h, 7100);
    cr_assert(!archive_wants_cut(a, 8099), "most gaps close at once");
    cr_assert(archive_wants_cut(a, 8100), "a gap");
    h = given_run(10, 20);
    when_archived(a, 4, &h, 7200);
    cr_assert(!archive_wants_cut(a, 8100), "it has closed");
    cr_assert_eq(line_of_archive(a)->floor, 30);

    h.first = h.last = 30;
    h.fin = true;
    when_archived(a, 5, &h, 9000);
    cr_assert(archive_wants_cut(a, 10000), "an end");
    archive_make_cut(a, 10000, GIVEN_START_MS, &c);
    archive_committed(a);
    cr_assert(line_of_archive(a)->durable_finished);
    archive_cut_done(&c);
    archive_free(a);
}

Test(archive, the_position_is_kept_though_nothing_comes_but_heartbeats)
{
    struct archive *a = given_archive();
    struct archive_cut c;
    struct buf tick = {0};
    tick_write(&tick);
    when_message(a, 1, "clicks.us.1.tick.us-r1", buf_span(&tick), 1000);
    cr_assert_eq(a->position.seq, 0, "all ticks look alike");
    cr_assert(archive_has_work(a) && archive_wants_cut(a, 61000));
    when_message(a, 2, "clicks.us.1.control", span_of_text("whatever"), 1000);
    cr_assert_eq(a->position.seq, 2);
    cr_assert_eq(a->counts.damaged + a->counts.refused, 0);
    archive_make_cut(a, 61000, GIVEN_START_MS, &c);
    cr_assert(c.count == 0 && !archive_has_work(a));
    archive_cut_done(&c);
    buf_done(&tick);
    archive_free(a);
}

Test(archive, damage_is_as_if_it_had_not_come_and_strangers_are_refused)
{
    struct archive *a = given_archive();
    struct buf message = {0};
    struct segment_head h = given_run(0, 10);
    given_full_segment(&message, &h);
    when_message(a, 1, "clicks.us.1.edge.us-e2", buf_span(&message), 0);
    cr_assert_eq(a->counts.refused, 1, "under another's subject");
    message.data[message.length - 1] ^= 1;
    when_message(a, 2, "clicks.us.1.edge.us-e1", buf_span(&message), 0);
    when_message(a, 3, "clicks.us.1.edge.us-e1", span_of("x", 1), 0);
    cr_assert_eq(a->counts.damaged, 2);
    h.partition = 2;
    given_full_segment(&message, &h);
    when_message(a, 4, "clicks.us.1.edge.us-e1", buf_span(&message), 0);
    h = given_run(0, 10);
    (void)snprintf(h.region, sizeof(h.region), "eu");
    given_full_segment(&message, &h);
    when_message(a, 5, "clicks.us.1.edge.us-e1", buf_span(&message), 0);
    cr_assert_eq(a->counts.refused, 3);
    cr_assert_eq(a->book.count, 0);
    cr_assert_eq(archive_waiting_bytes(a), 0);
    buf_done(&message);
    archive_free(a);
}

Test(archive, more_edges_than_the_limit_are_refused)
{
    struct archive *a = given_archive();
    char name[16];
    for (unsigned i = 0; i < LIMIT_EDGES; i++) {
        (void)snprintf(name, sizeof(name), "e%u", i);
        cr_assert_not_null(archive_book_open(&a->book, name));
    }
    struct segment_head h = given_run(0, 10);
    when_archived(a, 1, &h, 0);
    cr_assert_eq(a->counts.refused, 1);
    archive_free(a);
}

/* A segment whose checksum is right and whose cold columns are not. */
static void given_unreadable(struct buf *out, const struct segment_head *h)
{
    static const char needle[] = {(char)0x28, (char)0xb5, (char)0x2f, (char)0xfd};
    given_full_segment(out, h);
    uint8_t *cold = NULL;
    for (size_t i = 0; i + 4 < out->length; i++) {
        if (memcmp(out->data + i, needle, 4) == 0)
            cold = out->data + i;
    }
    cr_assert_not_null(cold);
    cold[0] ^= 1;
    bytes_store_u64(out->data + 8, hash_checksum(span_of(out->data + 16, out->length - 16),
                                                 bytes_load_u64(out->data)));
}

Test(archive, what_nobody_can_read_is_kept_as_it_is)
{
    struct archive *a = given_archive();
    struct archive_cut c;
    struct buf message = {0};
    struct segment_head h = given_run(0, 10);
    given_unreadable(&message, &h);
    for (unsigned i = 0; i < 6; i++) {
        h = given_run(10 * i, 10 * i + 10);
        given_unreadable(&message, &h);
        when_message(a, i + 1, "clicks.us.1.edge.us-e1", buf_span(&message), 0);
    }
    h = given_run(60, 70);
    when_archived(a, 7, &h, 0);
    cr_assert_eq(a->counts.unreadable, 6);
    cr_assert_geq(archive_waiting_bytes(a), 6 * 100);

    archive_make_cut(a, 0, GIVEN_START_MS, &c);

    cr_assert_eq(c.count, 7);
    json_t *m = manifest_of(&c.files[6]);
    cr_assert_str_eq(json_string_value(json_object_get(m, "format")), "segment");
    cr_assert_eq(json_number(m, "clicks"), 10);
    json_t *range = json_array_get(json_object_get(m, "ranges"), 0);
    cr_assert(json_number(range, "first") == 50 && json_number(range, "last") == 60);
    cr_assert_not_null(strstr(c.files[6].name, ".segment"));
    cr_assert(span_equal(buf_span(&c.files[6].data), buf_span(&message)));
    json_decref(m);
    cr_assert_eq(c.files[0].clicks, 10);
    archive_cut_done(&c);

    when_message(a, 8, "clicks.us.1.edge.us-e1", buf_span(&message), 0); /* freed with it */
    h = given_run(70, 80);
    given_unreadable(&message, &h);
    when_message(a, 9, "clicks.us.1.edge.us-e1", buf_span(&message), 0);
    cr_assert_eq(line_of_archive(a)->floor, 80);
    buf_done(&message);
    archive_free(a);
}

static struct archive *loaded(struct archive *a, struct archive_cut *c)
{
    struct archive *b = given_archive();
    archive_make_cut(a, 0, GIVEN_START_MS, c);
    cr_assert_eq(archive_load(b, buf_span(&c->state)), ERR_OK);
    return b;
}

Test(archive, a_loaded_state_goes_on_where_it_stood)
{
    struct archive *a = given_archive();
    struct archive_cut c;
    struct segment_head h = given_run(0, 10);
    when_archived(a, 5, &h, 0);
    h = given_run(20, 30);
    when_archived(a, 6, &h, 0);

    struct archive *b = loaded(a, &c);

    cr_assert(b->position.seq == 6 && b->cut == 1 && b->stream_ms == GIVEN_START_MS + 6);
    struct archive_line *l = line_of_archive(b);
    cr_assert(l->floor == 10 && l->island_first == 20 && l->island_last == 30);
    cr_assert(l->durable && l->durable_floor == 10 && archive_line_has_gap(l));
    h = given_run(10, 40);
    when_archived(b, 7, &h, 0);
    cr_assert_eq(b->counts.clicks, 20, "20 to 30 are archived");
    cr_assert_eq(l->floor, 40);
    archive_cut_done(&c);
    archive_free(a);
    archive_free(b);
}

Test(archive, holes_are_counted)
{
    struct archive *a = given_archive();
    struct segment_head h = given_run(0, 10);
    when_archived(a, 1, &h, 0);
    h = given_run(30, 40);
    h.low = 25;
    when_archived(a, 2, &h, 0);
    cr_assert_eq(a->counts.skipped, 15);
    archive_free(a);
}

Test(archive, a_version_that_nobody_knows_is_refused_and_broken_hot_columns_are_kept)
{
    struct archive *a = given_archive();
    struct buf message = {0};
    struct segment_head h = given_run(0, 10);
    given_full_segment(&message, &h);
    message.data[4] = 9;
    bytes_store_u64(message.data + 8, hash_checksum(span_of(message.data + 16, message.length - 16),
                                                    bytes_load_u64(message.data)));
    when_message(a, 1, "clicks.us.1.edge.us-e1", buf_span(&message), 0);
    cr_assert_eq(a->counts.refused, 1);

    static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd};
    given_full_segment(&message, &h);
    uint8_t *hot = memmem(message.data, message.length, frame, sizeof(frame));
    hot[0] ^= 1;
    bytes_store_u64(message.data + 8, hash_checksum(span_of(message.data + 16, message.length - 16),
                                                    bytes_load_u64(message.data)));
    when_message(a, 2, "clicks.us.1.edge.us-e1", buf_span(&message), 0);
    cr_assert(a->counts.unreadable == 1 && line_of_archive(a)->floor == 10);
    buf_done(&message);
    archive_free(a);
    archive_free(NULL);
}

Test(archive, gaps_are_counted_and_a_floor_that_the_edge_raised_is_news)
{
    struct archive *a = given_archive();
    struct archive_cut c;
    struct segment_head h = given_run(0, 10);
    when_archived(a, 1, &h, 5000);
    h = given_run(20, 30);
    when_archived(a, 2, &h, 5000);
    h = given_run(50, 60);
    when_archived(a, 3, &h, 5000);
    cr_assert(a->counts.gaps == 2 && a->counts.beyond == 1 && a->counts.repeats == 0);
    archive_make_cut(a, 6000, GIVEN_START_MS, &c);
    archive_committed(a);
    archive_cut_done(&c);
    cr_assert(!archive_has_work(a));
    h = given_run(30, 30);
    h.low = 30;
    when_archived(a, 4, &h, 6100);
    cr_assert(a->dirty && line_of_archive(a)->floor == 30 && a->counts.skipped == 10);
    cr_assert(!archive_wants_cut(a, 6200), "the last cut was a moment ago");
    cr_assert(!archive_wants_cut(a, 6000), "a clock that went back");
    archive_free(a);
}
