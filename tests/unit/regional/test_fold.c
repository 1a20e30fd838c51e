/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/core/fold.h"

#include "unit/regional/region_given.h"

#define T GIVEN_START_MS

static const struct given_click few[] = {
    {.ad = 0, .user = 1, .id = 1, .minute = GIVEN_MINUTE},
    {.ad = 0, .user = 2, .id = 2, .minute = GIVEN_MINUTE},
    {.ad = 1, .user = 1, .id = 3, .minute = GIVEN_MINUTE},
    {.ad = 0, .user = 1, .id = 1, .minute = GIVEN_MINUTE}, /* again */
    {.ad = 0, .user = 3, .id = 4, .minute = GIVEN_MINUTE + 1},
};

static void take(struct fold *f, const char *edge, uint64_t epoch, uint64_t first, uint64_t last,
                 const struct given_click *clicks, uint64_t time_ms)
{
    struct segment_head h = given_head(edge, epoch, first, last, time_ms);
    cr_assert_eq(when_segment(f, &h, clicks, time_ms), ERR_OK);
}

static const struct line *line_of(const struct fold *f, const char *edge, uint64_t epoch)
{
    const struct edge *e = edge_book_find(&f->edges, edge);
    cr_assert_not_null(e);
    return edge_book_line(e, epoch);
}

Test(fold, clicks_are_counted_and_repeats_found)
{
    struct fold *f = given_fold();

    take(f, "us-e1", 9, 0, 5, few, T);

    cr_assert_eq(counted_of(f, 0, GIVEN_MINUTE), 2);
    cr_assert_eq(counted_of(f, 1, GIVEN_MINUTE), 1);
    cr_assert_eq(counted_of(f, 0, GIVEN_MINUTE + 1), 1);
    cr_assert_eq(row_of(f, 0, GIVEN_MINUTE)->duplicate, 1);
    cr_assert_eq(f->books.folded, 5);
    cr_assert_eq(f->books.counted, 4);
    cr_assert_eq(f->books.duplicate, 1);
    fold_free(f);
}

Test(fold, the_same_click_over_two_edges_counts_once)
{
    struct fold *f = given_fold();

    take(f, "us-e1", 9, 0, 5, few, T);
    take(f, "us-e2", 8, 0, 5, few, T);

    cr_assert_eq(f->books.counted, 4);
    cr_assert_eq(f->books.duplicate, 6);
    fold_free(f);
}

Test(fold, replaying_a_segment_changes_nothing)
{
    struct fold *f = given_fold();
    take(f, "us-e1", 9, 0, 5, few, T);
    uint64_t before = digest_of(f);

    take(f, "us-e1", 9, 0, 5, few, T);
    take(f, "us-e1", 9, 0, 3, few, T);

    cr_assert_eq(digest_of(f), before);
    cr_assert_eq(f->books.folded, 5);
    cr_assert_eq(f->counts.repeats, 2);
    fold_free(f);
}

Test(fold, a_straddling_segment_is_taken_from_the_floor_on)
{
    struct fold *f = given_fold();

    take(f, "us-e1", 9, 0, 3, few, T);
    take(f, "us-e1", 9, 1, 5, few, T);

    cr_assert_eq(f->books.folded, 5);
    cr_assert_eq(f->books.counted, 4);
    cr_assert_eq(line_of(f, "us-e1", 9)->floor, 5);
    fold_free(f);
}

Test(fold, a_gap_is_reported_not_folded_and_its_clock_is_not_believed)
{
    struct fold *f = given_fold();
    when_control(f, CONTROL_ENROL, "us-e1", 0, T);
    take(f, "us-e1", 9, 0, 1, few, T);
    cr_assert_eq(f->watermark_ms, T);

    take(f, "us-e1", 9, 2, 5, few, T + 500);

    const struct line *l = line_of(f, "us-e1", 9);
    cr_assert_eq(l->floor, 1);
    cr_assert(line_has_gap(l));
    cr_assert_eq(f->books.folded, 1);
    cr_assert_eq(f->watermark_ms, T, "clicks below are not folded yet");
    take(f, "us-e1", 9, 1, 5, few, T + 600);
    cr_assert(!line_has_gap(line_of(f, "us-e1", 9)));
    cr_assert_eq(f->watermark_ms, T + 600);
    fold_free(f);
}

Test(fold, a_new_epoch_counts_from_zero)
{
    struct fold *f = given_fold();

    take(f, "us-e1", 9, 0, 3, few, T);
    take(f, "us-e1", 10, 0, 2, few + 3, T);

    cr_assert_eq(line_of(f, "us-e1", 9)->floor, 3);
    cr_assert_eq(line_of(f, "us-e1", 10)->floor, 2);
    cr_assert_eq(f->books.folded, 5);
    fold_free(f);
}

Test(fold, fin_takes_a_number_and_is_no_click)
{
    struct fold *f = given_fold();
    struct segment_head h = given_head("us-e1", 9, 0, 6, T);
    h.fin = true;

    cr_assert_eq(when_segment(f, &h, few, T), ERR_OK);

    cr_assert_eq(line_of(f, "us-e1", 9)->floor, 6);
    cr_assert(line_of(f, "us-e1", 9)->finished);
    cr_assert_eq(f->books.folded, 5);
    fold_free(f);
}

Test(fold, below_low_stops_and_changes_nothing)
{
    struct fold *f = given_fold();
    struct buf before = {0}, after = {0};
    struct fold_position nowhere = {0};
    take(f, "us-e1", 9, 0, 2, few, T);
    fold_state_write(&before, f, &nowhere);
    struct segment_head h = given_head("us-e1", 9, 4, 5, T + 1);
    h.low = 3;

    cr_assert_eq(when_segment(f, &h, few, T + 1), ERR_BELOW_LOW);
    struct segment_head unknown = given_head("us-e7", 1, 0, 1, T + 1);
    unknown.low = 1;
    cr_assert_eq(when_segment(f, &unknown, few, T + 1), ERR_BELOW_LOW);

    fold_state_write(&after, f, &nowhere);
    cr_assert(span_equal(buf_span(&before), buf_span(&after)));
    buf_done(&before);
    buf_done(&after);
    fold_free(f);
}

Test(fold, only_what_is_ours_is_folded)
{
    struct fold *f = given_fold();
    struct buf message = {0};
    struct segment_head h = given_head("us-e1", 9, 0, 1, T);
    given_segment(&message, &h, few);
    struct subject other_edge = subject_segment(GIVEN_REGION, GIVEN_PARTITION, "us-e2");
    struct subject other_region = subject_segment("eu", GIVEN_PARTITION, "us-e1");

    struct fold_message m = {other_edge.text, T, buf_span(&message)};
    cr_assert_eq(fold_step(f, &m), ERR_OK);
    m.subject = other_region.text;
    cr_assert_eq(fold_step(f, &m), ERR_OK);
    h.partition = 2;
    given_segment(&message, &h, few);
    struct subject ours = subject_segment(GIVEN_REGION, GIVEN_PARTITION, "us-e1");
    m = (struct fold_message){ours.text, T, buf_span(&message)};
    cr_assert_eq(fold_step(f, &m), ERR_OK);

    cr_assert_eq(f->books.folded, 0);
    cr_assert_eq(f->counts.refused, 3);
    cr_assert_eq(f->edges.count, 0);
    buf_done(&message);
    fold_free(f);
}

Test(fold, a_damaged_message_is_a_gap)
{
    struct fold *f = given_fold();
    struct buf message = {0};
    struct segment_head h = given_head("us-e1", 9, 0, 5, T);
    given_segment(&message, &h, few);
    message.data[message.length - 1] ^= 1;
    struct subject s = subject_segment(GIVEN_REGION, GIVEN_PARTITION, "us-e1");
    struct fold_message m = {s.text, T, buf_span(&message)};

    cr_assert_eq(fold_step(f, &m), ERR_OK);
    m.data = span_of("garbage", 7);
    cr_assert_eq(fold_step(f, &m), ERR_OK);

    cr_assert_eq(f->counts.damaged, 2);
    cr_assert_eq(f->books.folded, 0);
    take(f, "us-e1", 9, 0, 5, few, T);
    cr_assert_eq(f->books.folded, 5);
    buf_done(&message);
    fold_free(f);
}

Test(fold, a_click_of_another_partition_is_carried)
{
    struct fold *f = given_fold();
    struct segment_head h = given_head("us-e1", 9, 0, 1, T);
    struct click c = given_wire_click(GIVEN_PARTITION, &few[0]);
    c.ad_id = span_of_text(given_ad_of(0, 3));
    struct buf message = {0};
    segment_write(&message, &h, &c, 1);
    struct subject s = subject_segment(GIVEN_REGION, GIVEN_PARTITION, "us-e1");
    struct fold_message m = {s.text, T, buf_span(&message)};

    cr_assert_eq(fold_step(f, &m), ERR_OK);

    cr_assert_eq(f->books.carried, 1);
    cr_assert_eq(f->counts.misplaced, 1);
    cr_assert_eq(line_of(f, "us-e1", 9)->floor, 1);
    buf_done(&message);
    fold_free(f);
}

Test(fold, tables_expire_by_the_watermark_and_never_by_message_time)
{
    struct fold *f = given_fold();
    const struct given_click old[] = {{.minute = GIVEN_MINUTE, .id = 50},
                                      {.minute = GIVEN_MINUTE, .id = 51}};
    uint64_t later_ms = T + 61 * MINUTE_MS;

    take(f, "us-e1", 9, 0, 1, old, later_ms);
    cr_assert_eq(f->books.carried, 0, "no watermark yet: whatever the message's time");
    when_control(f, CONTROL_ENROL, "us-e1", 0, later_ms);
    take(f, "us-e1", 9, 1, 1, old, later_ms);
    cr_assert_eq(f->watermark_ms, later_ms);
    take(f, "us-e1", 9, 1, 2, old, later_ms + 1);

    cr_assert_eq(f->books.counted, 1);
    cr_assert_eq(f->books.carried, 1);
    cr_assert_eq(f->counts.expired, 1);
    fold_free(f);
}

Test(fold, a_click_after_its_minute_closed_is_late_and_counts)
{
    struct fold *f = given_fold();
    when_control(f, CONTROL_ENROL, "us-e1", 0, T);
    uint64_t closed_ms = T + MINUTE_MS + 10000;

    take(f, "us-e1", 9, 0, 0, few, closed_ms - 1);
    take(f, "us-e1", 9, 0, 1, few, closed_ms);
    cr_assert_eq(row_of(f, 0, GIVEN_MINUTE)->late, 0, "judged by what was known before");
    take(f, "us-e1", 9, 1, 2, few, closed_ms + 1);

    cr_assert_eq(row_of(f, 0, GIVEN_MINUTE)->late, 1);
    cr_assert_eq(counted_of(f, 0, GIVEN_MINUTE), 2);
    fold_free(f);
}

Test(fold, older_epochs_hold_the_clock_until_they_are_folded)
{
    struct fold *f = given_fold();
    when_control(f, CONTROL_ENROL, "us-e1", 0, T);
    take(f, "us-e1", 9, 0, 1, few, T);
    struct segment_head h = given_head("us-e1", 10, 0, 0, T + 100);
    h.older_count = 2;
    h.older[0] = 9;
    h.older[1] = 4; /* never heard of */

    cr_assert_eq(when_segment(f, &h, few, T + 100), ERR_OK);

    cr_assert_eq(line_of(f, "us-e1", 4)->floor, 0);
    cr_assert_eq(f->watermark_ms, T);
    h.clock_ms = T + 200;
    cr_assert_eq(when_segment(f, &h, few, T + 200), ERR_OK);
    cr_assert_eq(f->watermark_ms, T, "still");
    struct segment_head fin = given_head("us-e1", 4, 0, 1, T + 300);
    fin.fin = true;
    fin.newest_epoch = 10;
    cr_assert_eq(when_segment(f, &fin, few, T + 300), ERR_OK);
    fin = given_head("us-e1", 9, 1, 2, T + 300);
    fin.fin = true;
    fin.newest_epoch = 10;
    cr_assert_eq(when_segment(f, &fin, few, T + 300), ERR_OK);

    cr_assert_eq(f->watermark_ms, T + 200, "the newest line's clock");
    fold_free(f);
}

Test(fold, control_messages_are_applied_once_and_in_order)
{
    struct fold *f = given_fold();
    struct control_message c = {.number = 1, .nonce = 5, .kind = CONTROL_ENROL, .edge = "us-e1"};
    struct buf message = {0};
    struct subject s = subject_control(GIVEN_REGION, GIVEN_PARTITION);

    control_write(&message, &c);
    struct fold_message m = {s.text, T, buf_span(&message)};
    cr_assert_eq(fold_step(f, &m), ERR_OK);
    cr_assert_eq(f->edges.count, 0, "above the floor");
    cr_assert_eq(f->counts.control_gaps, 1);
    when_control(f, CONTROL_ENROL, "us-e9", 0, T);
    m.data = buf_span(&message);
    cr_assert_eq(fold_step(f, &m), ERR_OK);
    cr_assert(edge_book_find(&f->edges, "us-e1")->enrolled);
    when_control(f, CONTROL_RETIRE, "us-e1", 0, T);
    cr_assert_eq(fold_step(f, &m), ERR_OK);

    cr_assert(!edge_book_find(&f->edges, "us-e1")->enrolled, "the repeat is not applied");
    cr_assert_eq(f->control_floor, 3);
    cr_assert_eq(f->applied[1].nonce, 5);
    buf_done(&message);
    fold_free(f);
}

Test(fold, a_written_off_edge_is_not_waited_for_until_it_is_back)
{
    struct fold *f = given_fold();
    when_control(f, CONTROL_ENROL, "us-e1", 0, T);
    when_control(f, CONTROL_ENROL, "us-e2", 0, T);
    take(f, "us-e1", 9, 0, 2, few, T);
    take(f, "us-e2", 8, 0, 1, few, T + 50);
    take(f, "us-e2", 8, 1, 2, few, T + 100);
    cr_assert_eq(f->watermark_ms, T);

    when_control(f, CONTROL_WRITE_OFF, "us-e1", 0, T + 200);

    cr_assert_eq(f->watermark_ms, T + 100);
    cr_assert(!edge_book_find(&f->edges, "us-e1")->missing);
    take(f, "us-e1", 9, 2, 2, few, T);
    cr_assert(line_of(f, "us-e1", 9)->written_off, "an old message read again does not revive it");
    struct segment_head h = given_head("us-e1", 9, 3, 5, T + 50);
    h.low = 3;
    cr_assert_eq(when_segment(f, &h, few, T + 300), ERR_BELOW_LOW, "it went on without us");
    h = given_head("us-e1", 9, 2, 5, T + 50);
    cr_assert_eq(when_segment(f, &h, few, T + 300), ERR_OK);
    cr_assert_eq(line_of(f, "us-e1", 9)->floor, 5);
    cr_assert(!line_of(f, "us-e1", 9)->written_off);
    cr_assert(edge_book_find(&f->edges, "us-e1")->missing, "until it has reached the watermark");
    fold_free(f);
}

Test(fold, a_silent_edge_is_missed_by_stream_time)
{
    struct fold *f = given_fold();
    when_control(f, CONTROL_ENROL, "us-e1", 0, T);
    when_control(f, CONTROL_ENROL, "us-e2", 0, T);
    take(f, "us-e1", 9, 0, 1, few, T);
    take(f, "us-e2", 8, 0, 1, few, T);
    uint64_t later_ms = T + LIMIT_SILENT_MS + 1;

    take(f, "us-e2", 8, 1, 2, few, later_ms);

    cr_assert(edge_book_find(&f->edges, "us-e1")->missing);
    cr_assert_eq(f->watermark_ms, later_ms);
    fold_free(f);
}

Test(fold, an_edge_that_is_not_enrolled_is_folded_and_alarmed)
{
    struct fold *f = given_fold();

    take(f, "us-e1", 9, 0, 5, few, T);

    cr_assert_eq(f->counts.unenrolled, 1);
    cr_assert_eq(f->books.folded, 5);
    cr_assert_eq(f->watermark_ms, 0);
    fold_free(f);
}

Test(fold, a_cut_is_wanted_when_the_second_changes_and_something_is_uncut)
{
    struct fold *f = given_fold();
    cr_assert(!fold_wants_cut(f, T));

    take(f, "us-e1", 9, 0, 1, few, T + 100);
    cr_assert(fold_wants_cut(f, T + 200), "never cut before");
    f->cut_second = (T + 200) / 1000;
    cr_assert(!fold_wants_cut(f, T + 999));
    cr_assert(fold_wants_cut(f, T + 1000));
    fold_free(f);
}

/* --- properties ------------------------------------------------------------------- */

enum { EDGES = 3, CLICKS = 900 };

struct source {
    char name[8];
    struct given_click clicks[CLICKS];
    uint64_t sent; /* how far it has sent at least once */
};

static void given_sources(struct source *s, struct rng *r)
{
    for (unsigned e = 0; e < EDGES; e++) {
        (void)snprintf(s[e].name, sizeof(s[e].name), "us-e%u", e);
        s[e].sent = 0;
        for (unsigned i = 0; i < CLICKS; i++)
            s[e].clicks[i] = random_click(r, 1500, 4);
    }
}

/* Random runs: new ones, repeats, straddles, and gaps that are sent again later, until all is
 * folded. */
static void when_sent_at_random(struct fold *f, struct source *s, struct rng *r)
{
    for (unsigned step = 0; step < 100000; step++) {
        struct source *e = &s[rng_below(r, EDGES)];
        const struct edge *known = edge_book_find(&f->edges, e->name);
        const struct line *l = known == NULL ? NULL : edge_book_line(known, 9);
        uint64_t floor = l == NULL ? 0 : l->floor;
        uint64_t first = rng_chance(r, 500) ? floor : rng_below(r, CLICKS);
        uint64_t last = first + rng_below(r, 60);
        last = last > CLICKS ? CLICKS : last;
        take(f, e->name, 9, first, last, e->clicks, T + step);
        bool done = true;
        for (unsigned i = 0; i < EDGES; i++) {
            known = edge_book_find(&f->edges, s[i].name);
            done = done && known != NULL && edge_book_line(known, 9)->floor == CLICKS;
        }
        if (done)
            return;
    }
    cr_assert(false, "never done");
}

Test(fold, random_redelivery_gives_what_a_plain_array_gives)
{
    for (uint64_t seed = 1; seed <= 25; seed++) {
        struct rng r = {seed};
        static struct source s[EDGES];
        struct oracle o = {0};
        struct fold *f = given_fold();
        given_sources(s, &r);
        for (unsigned e = 0; e < EDGES; e++)
            for (unsigned i = 0; i < CLICKS; i++)
                oracle_add(&o, &s[e].clicks[i]);

        when_sent_at_random(f, s, &r);

        expect_like_oracle(f, &o);
        free(o.clicks);
        fold_free(f);
    }
}

Test(fold, folding_in_two_halves_is_folding_the_whole)
{
    for (uint64_t seed = 1; seed <= 25; seed++) {
        struct rng r = {seed};
        static struct source s[EDGES];
        struct fold *whole = given_fold(), *halves = given_fold();
        given_sources(s, &r);

        for (unsigned i = 0; i < CLICKS; i += 90) {
            for (unsigned e = 0; e < EDGES; e++) {
                uint64_t cut = i + rng_below(&r, 91);
                take(whole, s[e].name, 9, i, i + 90, s[e].clicks, T);
                take(halves, s[e].name, 9, i, cut, s[e].clicks, T);
                take(halves, s[e].name, 9, cut, i + 90, s[e].clicks, T);
            }
        }

        cr_assert_eq(digest_of(whole), digest_of(halves));
        cr_assert_eq(whole->books.counted, halves->books.counted);
        fold_free(whole);
        fold_free(halves);
    }
}

Test(fold, replaying_any_suffix_of_the_stream_changes_nothing)
{
    struct rng r = {3};
    static struct source s[EDGES];
    struct fold *f = given_fold();
    given_sources(s, &r);
    for (unsigned i = 0; i < CLICKS; i += 30)
        for (unsigned e = 0; e < EDGES; e++)
            take(f, s[e].name, 9, i, i + 30, s[e].clicks, T + i);
    uint64_t before = digest_of(f);

    for (unsigned start = 0; start < CLICKS; start += 90)
        for (unsigned i = start; i < CLICKS; i += 30)
            for (unsigned e = 0; e < EDGES; e++)
                take(f, s[e].name, 9, i, i + 30, s[e].clicks, T + i);

    cr_assert_eq(digest_of(f), before);
    cr_assert_eq(f->books.folded, (uint64_t)EDGES * CLICKS);
    fold_free(f);
}
