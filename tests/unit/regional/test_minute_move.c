/* SPDX-License-Identifier: Apache-2.0
 * minute_move: only what is closed, told and settled moves; the copy says what the table says. */
#include "regional/core/minute_move.h"

#include "regional/core/horizon_page.h"
#include "unit/regional/region_given.h"

#define SETTLE_MS 60000u

/* One minute with clicks, told, and long past. */
static struct minute_table *given_told(struct fold *f)
{
    struct minute_table *t = horizon_open(&f->horizon, GIVEN_MINUTE);
    for (unsigned i = 0; i < 30; i++) {
        uint8_t key[HASH_CLICK_BYTES];
        struct span id = span_of_text(given_ad(i % 7));
        given_key(i % 7, i, key);
        struct bucket *b = horizon_row(t, hash_ad(id));
        if (b == NULL) {
            b = horizon_add_row(&f->horizon, t, hash_ad(id));
            ad_names_hold(&f->names, hash_ad(id), id, t->minute);
        }
        f->horizon.keys += dedupe_add(&t->keys, key);
        cr_assert_eq(bucket_count(b, i * 0x9E3779B97F4A7C15ULL, i % 5 == 0), ERR_OK);
        b->changed = false;
        b->sketch_sent = true;
    }
    f->options.settle_ms = SETTLE_MS;
    f->totals_next = GIVEN_MINUTE + 1;
    f->cut = 12;
    t->redo_cut = 5;
    t->redo_ms = t->fresh_ms = GIVEN_START_MS;
    f->stream_ms = GIVEN_START_MS + SETTLE_MS;
    return t;
}

Test(minute_move, what_is_due)
{
    struct fold *f = given_fold();
    struct minute_table *t = given_told(f);
    cr_assert(minute_move_is_due(f, t));

    f->stream_ms--;
    cr_assert_not(minute_move_is_due(f, t), "not settled");
    t->fresh_ms = f->stream_ms - SETTLE_MS * MINUTE_MOVE_PATIENCE;
    cr_assert(minute_move_is_due(f, t), "never settled, for too long");
    f->stream_ms = GIVEN_START_MS - 1;
    cr_assert(minute_move_is_due(f, t), "a server's clock went back");

    f->options.settle_ms = 0;
    cr_assert_not(minute_move_is_due(f, t), "memory alone");
    f->options.settle_ms = 1;
    f->totals_next--;
    cr_assert_not(minute_move_is_due(f, t), "not told");
    f->totals_next++;
    bool *flags[] = {&t->moving, &t->changed, &t->total_due};
    for (unsigned i = 0; i < countof(flags); i++) {
        *flags[i] = true;
        cr_assert_not(minute_move_is_due(f, t), "flag %u", i);
        *flags[i] = false;
    }
    t->touched_count = 1;
    cr_assert_not(minute_move_is_due(f, t), "uncut");
    t->touched_count = 0;
    cr_assert(minute_move_is_due(f, t));
    horizon_page_out(&f->horizon, t);
    cr_assert_not(minute_move_is_due(f, t), "nothing in memory");
    horizon_page_key(&f->horizon, t, (const uint8_t[HASH_CLICK_BYTES]){1});
    cr_assert(minute_move_is_due(f, t), "a key was read back");
    fold_free(f);
}

Test(minute_move, the_copy_is_sorted_and_complete)
{
    struct fold *f = given_fold();
    struct minute_table *t = given_told(f);
    struct minute_move m;
    uint64_t digest = 0;

    minute_move_make(&m, f, t);

    cr_assert(t->moving);
    cr_assert_eq(m.keys.length, 30 * HASH_CLICK_BYTES);
    cr_assert_eq(m.head.keys, 30);
    cr_assert_eq(m.head.late, 6);
    cr_assert_eq(m.head.cut, 12);
    cr_assert_eq(m.head.partition, GIVEN_PARTITION);
    cr_assert_eq(m.row_count, 7);
    for (uint32_t i = 0; i < m.row_count; i++) {
        const struct minute_row *row = &m.rows[i];
        cr_assert(i == 0 || row->ad_hash > m.rows[i - 1].ad_hash);
        cr_assert_eq(hash_ad(row->ad_id), row->ad_hash);
        struct partial_row told = {.ad_hash = row->ad_hash,
                                   .minute = GIVEN_MINUTE,
                                   .counted = row->counted,
                                   .sketch = row->sketch};
        digest += partial_row_digest(&told);
    }
    cr_assert_eq(digest, m.head.total.digest);
    minute_move_done(&m);
    fold_free(f);
}

Test(minute_move, a_table_leaves_memory_unless_something_came)
{
    struct fold *f = given_fold();
    struct minute_table *t = given_told(f);
    struct minute_move m;
    minute_move_make(&m, f, t);

    horizon_touch(t, &t->rows[0]);
    minute_move_commit(f, &m);
    cr_assert_not(t->stored);
    minute_move_done(&m);

    horizon_cut(t);
    t->changed = false;
    minute_move_make(&m, f, t);
    minute_move_commit(f, &m);
    cr_assert(t->stored && t->stored_cut == 12 && f->horizon.keys == 0);
    minute_move_commit(f, &m); /* twice in one transaction: once is enough */
    horizon_retire(&f->horizon, &(struct ad_names){0}, GIVEN_MINUTE + 1);
    minute_move_commit(f, &m);
    minute_move_done(&m);
    fold_free(f);
}

static void cut(struct fold *f, struct cut *out)
{
    struct cut_request request = {
        .who = given_identity(), .position = {4, 5}, .time_ms = f->stream_ms, .by_stream = true};
    cr_assert_eq(cut_make(f, &request, out), ERR_OK);
}

Test(minute_move, without_memory_open_minutes_move_the_largest_first)
{
    struct fold *f = given_fold();
    struct cut c = {0};
    for (uint32_t minute = GIVEN_MINUTE; minute < GIVEN_MINUTE + 6; minute++) {
        struct minute_table *t = horizon_open(&f->horizon, minute);
        for (uint64_t i = 0; i < 100u << (minute - GIVEN_MINUTE); i++) {
            uint8_t key[HASH_CLICK_BYTES] = {(uint8_t)i, (uint8_t)(i >> 8), 1};
            f->horizon.keys += dedupe_add(&t->keys, key);
        }
    }
    f->stream_ms = GIVEN_START_MS;
    f->options.memory_bytes = horizon_bytes(&f->horizon) - 10;

    cut(f, &c);

    cr_assert_eq(c.move_count, 1);
    cr_assert_eq(c.moves[0].head.total.minute, GIVEN_MINUTE + 5);
    cr_assert_gt(c.memory_bytes, f->options.memory_bytes);
    cut_done(&c);
    horizon_find(&f->horizon, GIVEN_MINUTE + 5)->moving = false;
    f->options.memory_bytes = 1;
    f->partial_ms = 0;
    cut(f, &c);
    cr_assert_eq(c.move_count, CUT_MOVES, "the rest with the next cut");
    cut_done(&c);
    f->partial_ms = 0;
    cut(f, &c);
    cr_assert_eq(c.move_count, 2);
    cut_done(&c);
    f->partial_ms = 0;
    cut(f, &c);
    cr_assert_eq(c.move_count, 0, "all are on their way");
    cut_done(&c);
    fold_free(f);
}
