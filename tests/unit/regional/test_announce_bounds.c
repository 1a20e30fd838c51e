/* SPDX-License-Identifier: Apache-2.0
 * Partials at their bounds: edges that were long silent, more rows, names, totals and edges than
 * one message takes. Nothing may be lost by a bound. */
#include "regional/core/announce.h"

#include "unit/regional/region_given.h"

#define T GIVEN_START_MS

TestSuite(announce_bounds, .timeout = 60);

static struct announce_messages m;
static struct announce_identity who;

static void announced(struct fold *f, uint64_t time_ms)
{
    who = given_identity();
    announce_messages_done(&m);
    f->cut++;
    cr_assert_eq(announce_partial(f, &who, time_ms, NULL, &m), ERR_OK);
}

static void read_nth(uint32_t n, struct partial *out)
{
    cr_assert_lt(n, m.count);
    cr_assert_eq(partial_read(out, buf_span(&m.items[n])), ERR_OK);
}

static struct line *given_line(struct fold *f, const char *name, uint64_t epoch, bool finished)
{
    struct line *l = edge_book_open_line(edge_book_open(&f->edges, name), epoch, T);
    l->heard = true;
    l->finished = finished;
    l->floor = epoch;
    return l;
}

static unsigned lines_told(struct fold *f, uint64_t now_ms, const char *name, bool *out_missing)
{
    struct partial p;
    unsigned count = 0;
    f->stream_ms = now_ms;
    announced(f, now_ms);
    read_nth(0, &p);
    for (uint32_t i = 0; i < p.edge_count; i++) {
        if (strcmp(p.edges[i].edge, name) != 0)
            continue;
        count++;
        *out_missing = p.edges[i].missing;
    }
    partial_done(&p);
    announce_messages_done(&m);
    return count;
}

Test(announce_bounds, a_finished_line_is_told_for_an_hour_a_live_one_for_ever)
{
    struct fold *f = given_fold();
    bool missing = false;
    given_line(f, "us-e1", 1, true);
    given_line(f, "us-e1", 2, false);
    given_line(f, "us-e2", 3, true);
    cr_assert_eq(lines_told(f, T, "us-e1", &missing), 2);
    cr_assert_eq(lines_told(f, T + 3600 * 1000ULL, "us-e1", &missing), 2);
    cr_assert_eq(lines_told(f, T + 3600 * 1000ULL + 1, "us-e1", &missing), 1);
    cr_assert_eq(lines_told(f, T - 5, "us-e2", &missing), 1, "a clock that went back");
    cr_assert_eq(lines_told(f, T + 3600 * 1000ULL + 1, "us-e2", &missing), 0);
    /* Missing: it is named whatever there is to tell of its lines. */
    edge_book_find(&f->edges, "us-e2")->missing = true;
    cr_assert_eq(lines_told(f, T + 3600 * 1000ULL + 1, "us-e2", &missing), 1);
    cr_assert(missing);
    cr_assert_eq(lines_told(f, T, "us-e2", &missing), 1, "by its line, and once");
    fold_free(f);
}

/* So many edges as fit; those that are missing come first, and all of them are counted. */
Test(announce_bounds, edges_beyond_one_message_are_counted_if_they_are_missing)
{
    const unsigned room = ANNOUNCE_EDGE_BYTES / 64, edges = LIMIT_EDGES;
    struct fold *f = given_fold();
    struct partial p;
    char name[16];
    f->stream_ms = T;
    for (unsigned i = 0; i < edges; i++) {
        (void)snprintf(name, sizeof(name), "us-e%04u", i);
        given_line(f, name, i + 1, false);
        given_line(f, name, i + 1 + edges, false);
    }
    for (unsigned i = 0; i < 10; i++)
        f->edges.edges[edges - 1 - i].missing = true;
    announced(f, T);
    read_nth(m.count - 1, &p);
    cr_assert_eq(p.edge_count, room);
    cr_assert_eq(p.missing_count, 10);
    for (unsigned i = 0; i < 20; i++)
        cr_assert(p.edges[i].missing, "edge %u", i);
    cr_assert_not(p.edges[20].missing);
    partial_done(&p);
    for (unsigned i = 0; i < edges; i++)
        f->edges.edges[i].missing = true;
    announced(f, T);
    read_nth(m.count - 1, &p);
    cr_assert_eq(p.edge_count, room);
    cr_assert_eq(p.missing_count, edges, "named as far as there is room, counted in full");
    partial_done(&p);
    announce_messages_done(&m);
    fold_free(f);
}

/* `rows` small rows in one minute of their own. */
static struct minute_table *given_rows(struct fold *f, uint32_t minute, unsigned rows)
{
    struct minute_table *t = horizon_open(&f->horizon, minute);
    for (unsigned i = 0; i < rows; i++) {
        struct bucket *b = horizon_add_row(&f->horizon, t, i * 0x9E3779B97F4A7C15ULL + 1);
        cr_assert_eq(bucket_count(b, i, false), ERR_OK);
    }
    t->changed = true;
    return t;
}

static struct fold *given_closed(uint32_t totals_next)
{
    struct fold *f = given_fold();
    f->totals_begun = true;
    f->totals_first = f->slice_next = GIVEN_MINUTE;
    f->totals_next = totals_next;
    f->watermark_ms = T + 20 * MINUTE_MS;
    return f;
}

Test(announce_bounds, whole_minutes_that_do_not_fit_together_go_apart)
{
    struct fold *f = given_closed(GIVEN_MINUTE + 4);
    const unsigned each = 3000; /* times 64 bytes and a sketch: two of three fit */
    uint64_t rows = 0;
    who = given_identity();
    for (uint32_t i = 0; i < 3; i++)
        given_rows(f, GIVEN_MINUTE + i, each);
    const uint32_t minutes[] = {GIVEN_MINUTE,     GIVEN_MINUTE + 1, GIVEN_MINUTE + 2,
                                GIVEN_MINUTE + 3, GIVEN_MINUTE + 4, GIVEN_MINUTE - 1};
    f->retired_below = GIVEN_MINUTE;
    when_asked(f, minutes, countof(minutes), NULL, 0, &m);
    cr_assert_eq(m.count, 2);
    uint32_t totals = 0;
    for (uint32_t i = 0; i < m.count; i++) {
        struct partial p;
        uint32_t declared = 0;
        read_nth(i, &p);
        cr_assert(p.whole);
        for (uint32_t t = 0; t < p.total_count; t++)
            declared += p.totals[t].rows;
        cr_assert_eq(declared, p.row_count, "each message is whole by itself");
        totals += p.total_count;
        rows += p.row_count;
        partial_done(&p);
    }
    cr_assert_eq(totals, 4, "not the one still open, nor the one whose table is gone");
    cr_assert_eq(rows, 3 * each);
    announce_messages_done(&m);
    fold_free(f);
}

Test(announce_bounds, a_large_minute_between_small_ones_goes_alone)
{
    struct fold *f = given_closed(GIVEN_MINUTE + 3);
    who = given_identity();
    given_rows(f, GIVEN_MINUTE, 10);
    given_rows(f, GIVEN_MINUTE + 1, 20000);
    given_rows(f, GIVEN_MINUTE + 2, 10);
    const uint32_t minutes[] = {GIVEN_MINUTE, GIVEN_MINUTE + 1, GIVEN_MINUTE + 2};
    when_asked(f, minutes, countof(minutes), NULL, 0, &m);
    uint32_t rows = 0;
    for (uint32_t i = 0; i < m.count; i++) {
        struct partial p;
        read_nth(i, &p);
        cr_assert_eq(p.total_count == 0, i > 0 && i < m.count - 2, "message %u", i);
        rows += p.row_count;
        partial_done(&p);
    }
    cr_assert_eq(rows, 20020);
    announce_messages_done(&m);
    fold_free(f);
}

/* More changed minutes than one partial tells again: the rest stays due. */
Test(announce_bounds, changed_totals_beyond_the_bound_are_told_by_the_next)
{
    struct fold *f = given_closed(GIVEN_MINUTE);
    const unsigned minutes = 2100;
    unsigned told[2100] = {0};
    f->totals_next = GIVEN_MINUTE + minutes;
    f->watermark_ms = T + (minutes + 1) * MINUTE_MS;
    for (unsigned i = 0; i < minutes; i++)
        given_rows(f, GIVEN_MINUTE + i, 1)->total_due = true;
    given_rows(f, GIVEN_MINUTE + minutes + 5, 1)->total_due = true; /* open: not told */
    for (unsigned round = 0; round < 2; round++) {
        announced(f, T);
        for (uint32_t i = 0; i < m.count; i++) {
            struct partial p;
            read_nth(i, &p);
            cr_assert_leq(p.total_count, LIMIT_PARTIAL_TOTALS);
            for (uint32_t t = 0; t < p.total_count; t++)
                if (p.totals[t].minute < GIVEN_MINUTE + minutes)
                    told[p.totals[t].minute - GIVEN_MINUTE]++;
            partial_done(&p);
        }
    }
    for (unsigned i = 0; i < minutes; i++)
        cr_assert_geq(told[i], 1, "minute %u", i);
    cr_assert(horizon_find(&f->horizon, GIVEN_MINUTE + minutes + 5)->total_due);
    announce_messages_done(&m);
    fold_free(f);
}

Test(announce_bounds, the_slice_begins_again_where_the_oldest_table_is)
{
    struct fold *f = given_closed(GIVEN_MINUTE + 40);
    struct partial p;
    f->slice_next = GIVEN_MINUTE + 100; /* beyond what is closed: from a longer lateness */
    given_rows(f, GIVEN_MINUTE - 3, 1); /* from before the totals began */
    announced(f, T);
    read_nth(m.count - 1, &p);
    cr_assert_eq(p.totals[0].minute, GIVEN_MINUTE - 3);
    cr_assert_geq(p.total_count, ANNOUNCE_SLICE);
    partial_done(&p);
    f->slice_next = GIVEN_MINUTE - 50; /* below the oldest: retired meanwhile */
    announced(f, T);
    read_nth(m.count - 1, &p);
    cr_assert_eq(p.totals[0].minute, GIVEN_MINUTE - 3);
    partial_done(&p);
    announce_messages_done(&m);
    fold_free(f);
}
