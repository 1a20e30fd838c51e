/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/core/cut.h"

#include "unit/regional/region_given.h"

#define T GIVEN_START_MS

static const struct given_click few[] = {{.id = 1, .minute = GIVEN_MINUTE},
                                         {.id = 2, .minute = GIVEN_MINUTE + 1},
                                         {.id = 3, .minute = GIVEN_MINUTE + 1}};

static void take(struct fold *f, uint64_t first, uint64_t last, uint64_t time_ms)
{
    struct segment_head h = given_head("us-e1", 9, first, last, time_ms);
    cr_assert_eq(when_segment(f, &h, few, time_ms), ERR_OK);
}

static void cut(struct fold *f, uint64_t time_ms, bool by_stream, struct cut *out)
{
    struct cut_request request = {
        .who = given_identity(), .position = {4, 5}, .time_ms = time_ms, .by_stream = by_stream};
    cr_assert_eq(cut_make(f, &request, out), ERR_OK);
}

Test(cut, it_holds_one_redo_value_a_minute_the_state_and_the_partial)
{
    struct fold *f = given_fold();
    struct cut c = {0};
    take(f, 0, 3, T);

    cut(f, T + 1000, true, &c);

    cr_assert_eq(c.put_count, 3);
    cr_assert_eq(c.puts[0].table, CUT_TABLE_REDO);
    cr_assert_eq(c.puts[1].table, CUT_TABLE_REDO);
    cr_assert_eq(c.puts[2].table, CUT_TABLE_STATE);
    cr_assert_eq(c.partials.count, 1);
    cr_assert_eq(f->cut, 1);
    cr_assert(!f->uncut);
    cr_assert(!fold_wants_cut(f, T + 2000));
    cut_done(&c);
    fold_free(f);
}

Test(cut, a_cut_at_the_end_of_the_process_leaves_the_streams_cuts_alone)
{
    struct fold *f = given_fold(), *g = given_fold();
    struct cut c = {0}, last = {0};
    take(f, 0, 2, T);
    take(g, 0, 2, T);

    cut(f, 0, false, &last);
    cr_assert_eq(last.partials.count, 0);
    cr_assert(fold_wants_cut(f, T + 1000) && fold_wants_cut(g, T + 1000));
    cut_done(&last);
    cut(f, T + 1000, true, &c);
    cut(g, T + 1000, true, &last);

    cr_assert_eq(c.partials.count, 1);
    struct partial p, q;
    cr_assert_eq(partial_read(&p, buf_span(&c.partials.items[0])), ERR_OK);
    cr_assert_eq(partial_read(&q, buf_span(&last.partials.items[0])), ERR_OK);
    cr_assert_eq(p.row_count, q.row_count);
    cr_assert_eq(p.cut, q.cut + 1, "only the cut's number differs");
    partial_done(&p);
    partial_done(&q);
    cut_done(&c);
    cut_done(&last);
    fold_free(f);
    fold_free(g);
}

Test(cut, tables_retire_when_expired_and_told)
{
    struct fold *f = given_fold(); /* horizon: 60 minutes */
    struct cut c = {0};
    when_control(f, CONTROL_ENROL, "us-e1", 0, T);
    take(f, 0, 1, T);
    cut(f, T + 1000, true, &c);
    cut_done(&c);
    cr_assert_eq(f->horizon.count, 1);

    take(f, 1, 1, T + 61 * MINUTE_MS);
    f->partial_ms = T + 61 * MINUTE_MS; /* no partial at this cut */
    cut(f, T + 61 * MINUTE_MS, true, &c);
    cr_assert_eq(c.partials.count, 0);
    cr_assert_eq(f->horizon.count, 1, "expired, but its total was not told yet");
    cut_done(&c);
    cut(f, T + 61 * MINUTE_MS + 1000, true, &c);

    cr_assert_eq(c.partials.count, 1);
    struct partial p;
    cr_assert_eq(partial_read(&p, buf_span(&c.partials.items[0])), ERR_OK);
    cr_assert_eq(p.row_count, 1, "its sketch was told");
    partial_done(&p);
    cr_assert_eq(f->horizon.count, 0);
    cr_assert_eq(c.retired_below, GIVEN_MINUTE + 1);
    cut_done(&c);
    take(f, 1, 2, T + 61 * MINUTE_MS + 2000);
    cr_assert_eq(f->books.counted, 2, "the next minute is still judged");
    fold_free(f);
}

Test(cut, a_longer_horizon_after_a_restart_does_not_bring_back_what_is_retired)
{
    struct fold *f = given_fold();
    struct cut c = {0};
    static const struct given_click again[] = {{.id = 1, .minute = GIVEN_MINUTE},
                                               {.id = 1, .minute = GIVEN_MINUTE}};
    when_control(f, CONTROL_ENROL, "us-e1", 0, T);
    take(f, 0, 1, T);
    struct segment_head h = given_head("us-e1", 9, 1, 1, T + 61 * MINUTE_MS);
    cr_assert_eq(when_segment(f, &h, few, T + 61 * MINUTE_MS), ERR_OK);
    cut(f, T + 61 * MINUTE_MS + 1000, true, &c);
    cut_done(&c);
    cr_assert_eq(f->horizon.count, 0);

    f->options.horizon_minutes = 24 * 60;
    h = given_head("us-e1", 9, 1, 2, T + 61 * MINUTE_MS + 2000);
    cr_assert_eq(when_segment(f, &h, again, T + 61 * MINUTE_MS + 2000), ERR_OK);

    cr_assert_eq(f->books.counted, 1, "its first attempt was counted, and its table is gone");
    cr_assert_eq(f->books.carried, 1);
    fold_free(f);
}

Test(cut, expired_minutes_wait_until_they_were_told)
{
    struct fold *f = given_fold();
    struct cut c = {0};
    static const struct given_click far[] = {{.id = 1, .minute = GIVEN_MINUTE + 1900}};
    when_control(f, CONTROL_ENROL, "us-e1", 0, T);
    struct segment_head h = given_head("us-e1", 9, 0, 1, T);
    cr_assert_eq(when_segment(f, &h, far, T), ERR_OK);
    cut(f, T + 1000, true, &c);
    cut_done(&c);

    /* The watermark leaps over more minutes than one partial tells. */
    h = given_head("us-e1", 9, 1, 1, T + 2000 * MINUTE_MS);
    cr_assert_eq(when_segment(f, &h, far, T + 2000 * MINUTE_MS), ERR_OK);
    cut(f, T + 2000 * MINUTE_MS + 1000, true, &c);
    cut_done(&c);

    cr_assert_lt(f->totals_next, GIVEN_MINUTE + 1900);
    cr_assert_gt(fold_expired_below(f), GIVEN_MINUTE + 1900);
    cr_assert_eq(f->horizon.count, 1, "expired, but its total is still to be told");
    f->uncut = true;
    cut(f, T + 2000 * MINUTE_MS + 2000, true, &c);
    struct partial p;
    bool told = false;
    cr_assert_eq(partial_read(&p, buf_span(&c.partials.items[0])), ERR_OK);
    for (uint32_t i = 0; i < p.total_count; i++)
        told |= p.totals[i].minute == GIVEN_MINUTE + 1900 && p.totals[i].counted == 1;
    cr_assert(told);
    partial_done(&p);
    cr_assert_eq(f->horizon.count, 0);
    cut_done(&c);
    fold_free(f);
}
