/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/core/announce.h"

#include "regional/core/horizon_page.h"

#include "unit/regional/region_given.h"

#define T GIVEN_START_MS

static const struct given_click few[] = {
    {.ad = 0, .user = 1, .id = 1, .minute = GIVEN_MINUTE},
    {.ad = 1, .user = 2, .id = 2, .minute = GIVEN_MINUTE},
    {.ad = 0, .user = 3, .id = 3, .minute = GIVEN_MINUTE + 2},
    {.ad = 1, .user = 9, .id = 4, .minute = GIVEN_MINUTE},
};

static void take(struct fold *f, uint64_t first, uint64_t last, uint64_t time_ms)
{
    struct segment_head h = given_head("us-e1", 9, first, last, time_ms);
    cr_assert_eq(when_segment(f, &h, few, time_ms), ERR_OK);
}

/* One partial, which must be one message. */
static void announced(struct fold *f, uint64_t time_ms, struct partial *out)
{
    struct announce_identity who = given_identity();
    struct announce_messages m = {0};
    f->cut++;
    cr_assert_eq(announce_partial(f, &who, time_ms, NULL, &m), ERR_OK);
    cr_assert_eq(m.count, 1);
    cr_assert_eq(partial_read(out, buf_span(&m.items[0])), ERR_OK);
    announce_messages_done(&m);
}

static const struct partial_total *total_of(const struct partial *p, uint32_t minute)
{
    for (uint32_t i = 0; i < p->total_count; i++)
        if (p->totals[i].minute == minute)
            return &p->totals[i];
    return NULL;
}

Test(announce, a_partial_is_due_by_whole_seconds_of_the_stream)
{
    struct fold *f = given_fold();

    cr_assert(announce_is_due(f, T));
    f->partial_ms = T + 5;
    cr_assert(!announce_is_due(f, T + 999));
    cr_assert(announce_is_due(f, T + 1001), "995 ms later, but the next second");
    cr_assert(announce_is_due(f, T - 2000), "a clock that went back");
    f->options.partial_interval_ms = 5000;
    cr_assert(!announce_is_due(f, T + 4999));
    cr_assert(announce_is_due(f, T + 5000));
    fold_free(f);
}

Test(announce, rows_are_cumulative_and_told_only_when_changed)
{
    struct fold *f = given_fold();
    struct partial p;

    take(f, 0, 2, T);
    announced(f, T + 1000, &p);
    cr_assert_eq(p.row_count, 2);
    cr_assert_eq(p.name_count, 2);
    cr_assert_eq(p.total_count, 0, "no watermark yet");
    cr_assert_eq(p.rows[0].sketch.length, 0, "open minutes go without sketch");
    cr_assert_eq(p.folded, 2);
    partial_done(&p);

    take(f, 2, 4, T);
    announced(f, T + 2000, &p);
    cr_assert_eq(p.row_count, 2);
    cr_assert_eq(p.name_count, 0, "once a day");
    for (uint32_t i = 0; i < p.row_count; i++)
        cr_assert_eq(p.rows[i].counted, p.rows[i].minute == GIVEN_MINUTE ? 2 : 1);
    partial_done(&p);

    announced(f, T + 3000, &p);
    cr_assert_eq(p.row_count, 0);
    partial_done(&p);
    fold_free(f);
}

Test(announce, closed_minutes_get_sketches_and_totals_empty_ones_too)
{
    struct fold *f = given_fold();
    struct partial p;
    when_control(f, CONTROL_ENROL, "us-e1", 0, T);
    take(f, 0, 3, T);
    announced(f, T, &p); /* the watermark was seen: totals begin here */
    partial_done(&p);

    take(f, 3, 3, T + 3 * MINUTE_MS + 10000);
    announced(f, T + 4 * MINUTE_MS, &p);

    cr_assert_eq(p.watermark_ms, T + 3 * MINUTE_MS + 10000);
    cr_assert_eq(p.row_count, 3, "unchanged rows too: their sketches are due");
    for (uint32_t i = 0; i < p.row_count; i++)
        cr_assert_gt(p.rows[i].sketch.length, 0);
    cr_assert_not_null(total_of(&p, GIVEN_MINUTE + 1));
    cr_assert_eq(total_of(&p, GIVEN_MINUTE + 1)->rows, 0, "empty, and said so");
    uint64_t digest = 0;
    for (uint32_t i = 0; i < p.row_count; i++)
        if (p.rows[i].minute == GIVEN_MINUTE)
            digest += partial_row_digest(&p.rows[i]);
    cr_assert_eq(total_of(&p, GIVEN_MINUTE)->digest, digest, "who merges the rows can prove it");
    cr_assert_eq(total_of(&p, GIVEN_MINUTE)->rows, 2);
    cr_assert_eq(total_of(&p, GIVEN_MINUTE)->counted, 2);
    cr_assert_null(total_of(&p, GIVEN_MINUTE + 3), "still open");
    partial_done(&p);

    /* A late click: its row with a new sketch, its minute's total again. */
    take(f, 3, 4, T + 3 * MINUTE_MS + 20000);
    announced(f, T + 5 * MINUTE_MS, &p);
    cr_assert_eq(p.row_count, 1);
    cr_assert_gt(p.rows[0].sketch.length, 0);
    cr_assert_eq(p.rows[0].late, 1);
    cr_assert_eq(total_of(&p, GIVEN_MINUTE)->counted, 3);
    partial_done(&p);
    fold_free(f);
}

Test(announce, each_minute_is_told_once_and_then_in_turn)
{
    struct fold *f = given_fold();
    struct partial p;
    unsigned told[200] = {0};
    when_control(f, CONTROL_ENROL, "us-e1", 0, T);
    take(f, 0, 1, T);
    announced(f, T, &p);
    partial_done(&p);
    uint32_t first = f->totals_first;

    for (uint32_t minute = 1; minute <= 100; minute++) {
        take(f, 1, 1, T + minute * MINUTE_MS + 10000);
        announced(f, T + minute * MINUTE_MS + 11000, &p);
        for (uint32_t i = 0; i < p.total_count; i++)
            told[p.totals[i].minute - first]++;
        cr_assert_leq(p.total_count, ANNOUNCE_SLICE + 1);
        partial_done(&p);
    }

    for (uint32_t i = 0; i < 60; i++)
        cr_assert_gt(told[i], 1, "minute %u was told again in turn", i);
    cr_assert_eq(told[f->totals_next - first - 1], 1);
    fold_free(f);
}

Test(announce, a_leap_of_the_watermark_is_told_in_bites)
{
    struct fold *f = given_fold();
    struct partial p;
    when_control(f, CONTROL_ENROL, "us-e1", 0, T);
    take(f, 0, 1, T);
    announced(f, T, &p);
    partial_done(&p);
    uint32_t first = f->totals_next;

    take(f, 1, 1, T + 2000 * MINUTE_MS);
    announced(f, T + 2000 * MINUTE_MS, &p);
    cr_assert_eq(f->totals_next, first + ANNOUNCE_CLOSING_MAX);
    cr_assert_geq(p.total_count, ANNOUNCE_CLOSING_MAX);
    partial_done(&p);
    announced(f, T + 2001 * MINUTE_MS, &p);
    cr_assert_eq(f->totals_next, GIVEN_MINUTE + 1999);
    partial_done(&p);

    take(f, 1, 1, T + 30000 * MINUTE_MS);
    announced(f, T + 30000 * MINUTE_MS, &p);
    cr_assert_eq(f->totals_first, GIVEN_MINUTE + 29999 - LIMIT_HORIZON_MINUTES,
                 "beyond any horizon nothing is told");
    partial_done(&p);
    fold_free(f);
}

Test(announce, missing_edges_are_named)
{
    struct fold *f = given_fold();
    struct partial p;
    when_control(f, CONTROL_ENROL, "us-e1", 0, T);
    when_control(f, CONTROL_ENROL, "us-e7", 0, T);
    take(f, 0, 1, T);

    announced(f, T, &p);

    cr_assert_eq(p.missing_count, 1);
    cr_assert_eq(p.edge_count, 2);
    for (uint32_t i = 0; i < p.edge_count; i++) {
        cr_assert_eq(p.edges[i].missing, strcmp(p.edges[i].edge, "us-e7") == 0);
        if (!p.edges[i].missing)
            cr_assert(p.edges[i].floor == 1 && p.edges[i].epoch == 9);
    }
    partial_done(&p);
    fold_free(f);
}

/* Many rows with large sketches in one minute: must be split, and nothing may be lost by it. */
static struct fold *given_large_minute(unsigned rows, unsigned users)
{
    struct fold *f = given_fold();
    struct rng r = {1};
    struct minute_table *t = horizon_open(&f->horizon, GIVEN_MINUTE);
    char name[24];
    for (unsigned i = 0; i < rows; i++) {
        (void)snprintf(name, sizeof(name), "large-%u", i);
        uint64_t hash = hash_ad(span_of_text(name));
        struct bucket *b = horizon_add_row(&f->horizon, t, hash);
        ad_names_seen(&f->names, ad_names_hold(&f->names, hash, span_of_text(name), GIVEN_MINUTE),
                      1);
        for (unsigned u = 0; u < users; u++)
            cr_assert_eq(bucket_count(b, rng_next(&r), false), ERR_OK);
    }
    t->changed = true;
    f->watermark_ms = T;
    f->totals_begun = true;
    f->totals_first = f->totals_next = f->slice_next = GIVEN_MINUTE;
    f->watermark_ms = T + 10 * MINUTE_MS;
    return f;
}

Test(announce, a_large_partial_is_split_and_its_totals_come_last)
{
    struct fold *f = given_large_minute(2000, 200);
    struct announce_identity who = given_identity();
    struct announce_messages m = {0};
    uint64_t rows = 0, names = 0, digest = 0;

    f->cut++;
    cr_assert_eq(announce_partial(f, &who, T, NULL, &m), ERR_OK);

    cr_assert_gt(m.count, 2);
    for (uint32_t i = 0; i < m.count; i++) {
        struct partial p;
        cr_assert_leq(m.items[i].length, ANNOUNCE_MESSAGE_BYTES);
        cr_assert_eq(partial_read(&p, buf_span(&m.items[i])), ERR_OK);
        rows += p.row_count;
        names += p.name_count;
        for (uint32_t r = 0; r < p.row_count; r++)
            digest += partial_row_digest(&p.rows[r]);
        cr_assert_eq(p.total_count > 0, i == m.count - 1);
        if (p.total_count > 0)
            cr_assert_eq(total_of(&p, GIVEN_MINUTE)->digest, digest);
        partial_done(&p);
    }
    cr_assert_eq(rows, 2000);
    cr_assert_eq(names, 2000);
    announce_messages_done(&m);
    fold_free(f);
}

Test(announce, a_want_is_answered_with_whole_minutes)
{
    struct fold *f = given_fold();
    struct partial p;
    struct announce_messages m = {0};
    when_control(f, CONTROL_ENROL, "us-e1", 0, T);
    take(f, 0, 3, T);
    announced(f, T, &p);
    partial_done(&p);
    take(f, 3, 3, T + 2 * MINUTE_MS + 10000);
    announced(f, T + 2 * MINUTE_MS + 11000, &p);
    partial_done(&p);
    const uint32_t minutes[] = {GIVEN_MINUTE, GIVEN_MINUTE + 1, GIVEN_MINUTE + 2, 5};
    const uint64_t names[] = {hash_ad(span_of_text(given_ad(1))), 12345};

    when_asked(f, minutes, countof(minutes), names, countof(names), &m);

    cr_assert_eq(m.count, 2);
    cr_assert_eq(partial_read(&p, buf_span(&m.items[0])), ERR_OK);
    cr_assert_eq(p.name_count, 1);
    partial_done(&p);
    cr_assert_eq(partial_read(&p, buf_span(&m.items[1])), ERR_OK);
    cr_assert(p.whole);
    cr_assert_eq(p.row_count, 2);
    cr_assert_eq(p.rows[0].counted, 1);
    cr_assert_gt(p.rows[0].sketch.length, 0);
    cr_assert_not_null(total_of(&p, GIVEN_MINUTE + 1), "an empty minute is whole as well");
    cr_assert_null(total_of(&p, GIVEN_MINUTE + 2), "still open");
    partial_done(&p);
    announce_messages_done(&m);
    fold_free(f);
}

Test(announce, a_minute_too_large_is_whole_over_several_messages_with_its_total_last)
{
    struct fold *f = given_large_minute(2000, 200);
    struct announce_messages m = {0};
    f->totals_next = GIVEN_MINUTE + 2;
    const uint32_t minutes[] = {GIVEN_MINUTE + 1, GIVEN_MINUTE};
    uint64_t rows = 0, digest = 0;

    when_asked(f, minutes, countof(minutes), NULL, 0, &m);

    for (uint32_t i = 0; i < m.count; i++) {
        struct partial p;
        cr_assert_eq(partial_read(&p, buf_span(&m.items[i])), ERR_OK);
        cr_assert(p.whole);
        cr_assert_eq(total_of(&p, GIVEN_MINUTE) != NULL, i == m.count - 1);
        rows += p.row_count;
        for (uint32_t r = 0; r < p.row_count; r++)
            digest += partial_row_digest(&p.rows[r]);
        if (i == m.count - 1)
            cr_assert_eq(total_of(&p, GIVEN_MINUTE)->digest, digest);
        partial_done(&p);
    }
    cr_assert_eq(rows, 2000);
    announce_messages_done(&m);
    fold_free(f);
}

Test(announce, an_edge_that_is_back_is_named_until_the_totals_speak_for_it)
{
    struct fold *f = given_large_minute(2000, 200);
    struct announce_identity who = given_identity();
    struct announce_messages m = {0};
    struct edge *e = edge_book_open(&f->edges, "us-e1");
    e->enrolled = true;
    e->told_missing = true; /* by the partial before; it is not missing any more */

    f->cut++;
    cr_assert_eq(announce_partial(f, &who, T, NULL, &m), ERR_OK);

    for (uint32_t i = 0; i < m.count; i++) {
        struct partial p;
        cr_assert_eq(partial_read(&p, buf_span(&m.items[i])), ERR_OK);
        cr_assert_eq(p.missing_count, i < m.count - 1 ? 1 : 0, "message %u", i);
        partial_done(&p);
    }
    cr_assert(!edge_book_find(&f->edges, "us-e1")->told_missing);
    announce_messages_done(&m);
    fold_free(f);
}

Test(announce, an_answer_is_bounded)
{
    struct fold *f = given_large_minute(2000, 200);
    struct announce_messages m = {0};
    static uint32_t minutes[1000];
    for (unsigned i = 0; i < countof(minutes); i++)
        minutes[i] = GIVEN_MINUTE;
    f->totals_next = GIVEN_MINUTE + 1;

    when_asked(f, minutes, countof(minutes), NULL, 0, &m);

    cr_assert_leq(m.count, ANNOUNCE_ANSWERS_MAX + 8);
    announce_messages_done(&m);
    fold_free(f);
}

Test(announce, a_minute_that_late_clicks_changed_is_told_at_once_not_in_its_turn)
{
    struct fold *f = given_fold();
    struct partial p;
    when_control(f, CONTROL_ENROL, "us-e1", 0, T);
    take(f, 0, 1, T);
    announced(f, T, &p);
    partial_done(&p);
    take(f, 1, 1, T + 50 * MINUTE_MS + 10000);
    announced(f, T + 51 * MINUTE_MS, &p);
    partial_done(&p);
    cr_assert_gt(f->totals_next - f->totals_first, 2 * ANNOUNCE_SLICE);

    for (unsigned i = 0; i < 3; i++) {
        f->slice_next = GIVEN_MINUTE + 20; /* its turn is not now */
        take(f, 1 + i, 2 + i, T + 50 * MINUTE_MS + 10000);
        announced(f, T + 52 * MINUTE_MS + i * 1000, &p);
        uint32_t minute = few[1 + i].minute;
        cr_assert_not_null(total_of(&p, minute), "click %u", i + 1);
        cr_assert_eq(total_of(&p, minute)->counted, minute == GIVEN_MINUTE ? 2 + (i > 1) : 1);
        partial_done(&p);
    }
    fold_free(f);
}

/* --- a minute that went to the store while it was open --- */

static enum err load_nothing(void *context, const struct minute_table *t, struct horizon *out)
{
    (void)t, (void)out;
    return *(enum err *)context;
}

static enum err load_row(void *context, const struct minute_table *t, struct horizon *out)
{
    struct bucket *b =
        horizon_add_row(out, horizon_open(out, t->minute), hash_ad(span_of_text(given_ad(1))));
    b->counted = *(uint64_t *)context;
    return ERR_OK;
}

static struct minute_table *given_away(struct fold *f, const struct minute_head *head)
{
    struct minute_table *t = horizon_page_head(&f->horizon, head);
    f->totals_begun = true;
    f->totals_first = f->totals_next = GIVEN_MINUTE;
    f->watermark_ms = GIVEN_START_MS + MINUTE_MS + f->options.lateness_ms;
    f->cut = 1;
    return t;
}

Test(announce, a_minute_that_closes_in_the_store_tells_its_rows)
{
    struct fold *f = given_fold();
    struct announce_identity who = given_identity();
    struct announce_messages m = {0};
    struct partial p;
    uint64_t counted = 7;
    const struct announce_store store = {load_row, &counted};
    given_away(f, &(struct minute_head){.total = {GIVEN_MINUTE, 1, 7, 0, 99}});
    cr_assert(announce_reads(f));

    cr_assert_eq(announce_partial(f, &who, GIVEN_START_MS, &store, &m), ERR_OK);

    cr_assert_eq(partial_read(&p, buf_span(&m.items[0])), ERR_OK);
    cr_assert_eq(p.row_count, 1);
    cr_assert_eq(p.rows[0].counted, 7);
    cr_assert_eq(p.totals[0].digest, 99);
    cr_assert_not(announce_reads(f), "told");
    partial_done(&p);
    announce_messages_done(&m);
    fold_free(f);
}

Test(announce, what_the_store_does_not_give_is_not_told)
{
    enum err errors[] = {ERR_KV_IO, ERR_OK};
    for (unsigned i = 0; i < countof(errors); i++) {
        struct fold *f = given_fold();
        struct announce_identity who = given_identity();
        struct announce_messages m = {0};
        const struct announce_store store = {load_nothing, &errors[i]};
        const uint32_t minutes[] = {GIVEN_MINUTE};
        const struct announce_wanted wanted = {.minutes = minutes, .minute_count = 1};
        enum err expected = errors[i] == ERR_OK ? ERR_KV_CORRUPT : errors[i];
        given_away(f, &(struct minute_head){.total = {GIVEN_MINUTE, 1, 7, 0, 99}});

        cr_assert_eq(announce_partial(f, &who, GIVEN_START_MS, &store, &m), expected);
        cr_assert_eq(f->totals_next, GIVEN_MINUTE);
        f->totals_next++;
        cr_assert_eq(announce_whole(f, &who, &wanted, &store, &m), expected);
        announce_messages_done(&m);
        fold_free(f);
    }
}
