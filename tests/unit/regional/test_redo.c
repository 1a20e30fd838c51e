/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/core/redo.h"

#include "unit/regional/region_given.h"

static void cut(struct fold *f, uint64_t time_ms, struct cut *out)
{
    struct cut_request request = {.who = given_identity(), .time_ms = time_ms, .by_stream = true};
    cr_assert_eq(cut_make(f, &request, out), ERR_OK);
}

/* Loads a fold from all the puts of some cuts. */
static struct fold *reloaded(struct cut *cuts, uint32_t count)
{
    struct fold *f = given_fold();
    struct fold_position position;
    const struct cut_put *state = &cuts[count - 1].puts[cuts[count - 1].put_count - 1];
    cr_assert_eq(state->table, CUT_TABLE_STATE);
    cr_assert_eq(fold_state_read(f, &position, buf_span(&state->value)), ERR_OK);
    /* In order of keys, as a store hands them out: by minute, then cut. */
    for (uint32_t minute = GIVEN_MINUTE; minute < GIVEN_MINUTE + 8; minute++) {
        for (uint32_t c = 0; c < count; c++) {
            for (uint32_t p = 0; p < cuts[c].put_count; p++) {
                const struct cut_put *put = &cuts[c].puts[p];
                struct span key = span_of(put->key, put->key_length);
                uint16_t partition;
                uint32_t its_minute;
                uint64_t number;
                if (put->table != CUT_TABLE_REDO ||
                    !redo_key_read(key, &partition, &its_minute, &number) || its_minute != minute)
                    continue;
                cr_assert_eq(redo_apply(f, key, buf_span(&put->value)), ERR_OK);
            }
        }
    }
    redo_done(f);
    return f;
}

static void expect_equal(struct fold *a, struct fold *b)
{
    struct fold_position nowhere = {0};
    struct buf left = {0}, right = {0};
    fold_state_write(&left, a, &nowhere);
    fold_state_write(&right, b, &nowhere);
    cr_assert(span_equal(buf_span(&left), buf_span(&right)), "states differ");
    buf_done(&left);
    buf_done(&right);
    cr_assert_eq(digest_of(a), digest_of(b));
    cr_assert_eq(a->horizon.keys, b->horizon.keys);
    cr_assert_eq(a->names.used, b->names.used);
    cr_assert_eq(a->names.due, b->names.due);
    for (uint32_t i = 0; i < a->horizon.count; i++) {
        struct minute_table *x = a->horizon.tables[i], *y = b->horizon.tables[i];
        cr_assert_eq(x->changed, y->changed);
        cr_assert_eq(x->total_due, y->total_due);
        cr_assert_eq(dedupe_count(&x->keys), dedupe_count(&y->keys));
        for (uint32_t r = 0; r < x->row_count; r++) {
            cr_assert_eq(x->rows[r].ad_hash, y->rows[r].ad_hash, "rows in the same order");
            cr_assert_eq(x->rows[r].late, y->rows[r].late);
            cr_assert_eq(x->rows[r].changed, y->rows[r].changed);
            cr_assert_eq(x->rows[r].sketch_sent, y->rows[r].sketch_sent, "minute %u",
                         x->minute - GIVEN_MINUTE);
        }
    }
}

Test(redo, keys_sort_by_minute_then_cut)
{
    uint8_t a[REDO_KEY_BYTES], b[REDO_KEY_BYTES];

    redo_key(a, 1, 255, 1ULL << 40);
    redo_key(b, 1, 256, 1);
    cr_assert_lt(memcmp(a, b, sizeof(a)), 0);
    redo_key(a, 1, 256, 255);
    redo_key(b, 1, 256, 256);
    cr_assert_lt(memcmp(a, b, sizeof(a)), 0);
    redo_key(a, 1, UINT32_MAX, UINT64_MAX);
    redo_key(b, 2, 0, 0);
    cr_assert_lt(memcmp(a, b, sizeof(a)), 0);
}

Test(redo, a_fold_rebuilt_at_any_cut_is_the_fold)
{
    struct rng r = {5};
    static struct given_click clicks[2000];
    static struct cut cuts[400];
    uint32_t cut_count = 0;
    uint64_t floor = 0, time_ms = GIVEN_START_MS;
    struct fold *f = given_fold();
    for (unsigned i = 0; i < countof(clicks); i++)
        clicks[i] = random_click(&r, 1200, 5);
    when_control(f, CONTROL_ENROL, "us-e1", 0, time_ms);

    while (floor < countof(clicks)) {
        time_ms += rng_below(&r, 4000);
        if (fold_wants_cut(f, time_ms)) {
            cut(f, time_ms, &cuts[cut_count++]);
            struct fold *g = reloaded(cuts, cut_count);
            expect_equal(f, g);
            fold_free(g);
        }
        uint64_t last = floor + rng_below(&r, 30);
        last = last > countof(clicks) ? countof(clicks) : last;
        struct segment_head h = given_head("us-e1", 9, floor, last, time_ms);
        cr_assert_eq(when_segment(f, &h, clicks, time_ms), ERR_OK);
        floor = last;
    }

    cr_assert_gt(f->counts.late, 0, "the schedule has late clicks");
    cr_assert_gt(f->totals_next, f->totals_first, "and closed minutes");
    for (uint32_t i = 0; i < cut_count; i++)
        cut_done(&cuts[i]);
    fold_free(f);
}

Test(redo, every_flipped_bit_is_refused)
{
    static const struct given_click clicks[] = {{.id = 1, .minute = GIVEN_MINUTE},
                                                {.id = 1, .minute = GIVEN_MINUTE},
                                                {.id = 2, .ad = 2, .minute = GIVEN_MINUTE}};
    struct fold *f = given_fold();
    struct segment_head h = given_head("us-e1", 9, 0, 3, GIVEN_START_MS);
    cr_assert_eq(when_segment(f, &h, clicks, GIVEN_START_MS), ERR_OK);
    struct cut c = {0};
    cut(f, GIVEN_START_MS + 1000, &c);
    cr_assert_eq(c.puts[0].table, CUT_TABLE_REDO);
    struct cut_put *put = &c.puts[0];

    for (size_t bit = 0; bit < (put->value.length + put->key_length) * 8; bit++) {
        struct fold *g = given_fold();
        g->cut = 1ULL << 63 | 1;
        uint8_t *byte = bit / 8 < put->value.length ? &put->value.data[bit / 8]
                                                    : &put->key[bit / 8 - put->value.length];
        *byte ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(redo_apply(g, span_of(put->key, put->key_length), buf_span(&put->value)),
                     ERR_KV_CORRUPT, "bit %zu", bit);
        *byte ^= (uint8_t)(1u << bit % 8);
        fold_free(g);
    }
    cut_done(&c);
    fold_free(f);
}

Test(redo, a_value_applied_twice_is_damage)
{
    static const struct given_click clicks[] = {{.id = 1, .minute = GIVEN_MINUTE}};
    struct fold *f = given_fold(), *g = given_fold();
    struct segment_head h = given_head("us-e1", 9, 0, 1, GIVEN_START_MS);
    cr_assert_eq(when_segment(f, &h, clicks, GIVEN_START_MS), ERR_OK);
    struct cut c = {0};
    cut(f, GIVEN_START_MS + 1000, &c);
    struct span key = span_of(c.puts[0].key, c.puts[0].key_length);

    g->cut = 1;
    cr_assert_eq(redo_apply(g, key, buf_span(&c.puts[0].value)), ERR_OK);
    cr_assert_eq(redo_apply(g, key, buf_span(&c.puts[0].value)), ERR_KV_CORRUPT);
    cut_done(&c);
    fold_free(f);
    fold_free(g);
}
