/* SPDX-License-Identifier: Apache-2.0
 * fold_look: a message names what it needs of stored minutes, sorted, each once, and nothing else.
 */
#include "regional/core/fold_look.h"

#include "regional/core/horizon_page.h"
#include "unit/regional/region_given.h"

#define T (GIVEN_START_MS + 5 * MINUTE_MS)

static const struct given_click clicks[] = {
    {.ad = 1, .id = 1, .minute = GIVEN_MINUTE},     {.ad = 2, .id = 2, .minute = GIVEN_MINUTE},
    {.ad = 1, .id = 3, .minute = GIVEN_MINUTE},     {.ad = 1, .id = 1, .minute = GIVEN_MINUTE},
    {.ad = 3, .id = 4, .minute = GIVEN_MINUTE + 4}, {.ad = 3, .id = 5, .minute = GIVEN_MINUTE + 1},
};

/* Minute 0 is stored: ad 1 with two clicks, as a head and, in `out`, as its values. */
struct stored {
    struct buf chunk, rows, sketch;
    uint8_t chunk_key[MINUTE_CHUNK_KEY_BYTES], rows_key[MINUTE_ROWS_KEY_BYTES];
};

static struct fold *given_stored(struct stored *out)
{
    struct fold *f = given_fold();
    struct hll users = {0};
    uint8_t keys[2][HASH_CLICK_BYTES];
    *out = (struct stored){0};
    given_key(1, 1, keys[0]);
    given_key(1, 9, keys[1]);
    minute_chunk_sort(keys[0], 2);
    minute_chunk_write(&out->chunk, out->chunk_key, GIVEN_PARTITION, GIVEN_MINUTE, keys[0], 2);
    (void)hll_add(&users, 5);
    hll_put(&users, &out->sketch);
    struct span id = span_of_text(given_ad(1));
    struct minute_row row = {
        .ad_hash = hash_ad(id), .counted = 2, .ad_id = id, .sketch = buf_span(&out->sketch)};
    struct minute_rows_writer w = {.partition = GIVEN_PARTITION, .minute = GIVEN_MINUTE};
    cr_assert(minute_rows_add(&w, &row));
    minute_rows_seal(&w, out->rows_key);
    buf_put(&out->rows, w.value.data, w.value.length);
    minute_rows_done(&w);
    struct partial_row told = {
        .ad_hash = row.ad_hash, .minute = GIVEN_MINUTE, .counted = 2, .sketch = row.sketch};
    struct minute_head head = {.partition = GIVEN_PARTITION,
                               .cut = 3,
                               .keys = 2,
                               .total = {GIVEN_MINUTE, 1, 2, 0, partial_row_digest(&told)}};
    horizon_page_head(&f->horizon, &head);
    ad_names_hold(&f->names, row.ad_hash, id, GIVEN_MINUTE);
    f->totals_next = GIVEN_MINUTE + 1;
    f->cut = 4;
    hll_done(&users);
    return f;
}

static void stored_done(struct stored *s)
{
    buf_done(&s->chunk);
    buf_done(&s->rows);
    buf_done(&s->sketch);
}

/* A segment of clicks [first, last), kept until the end of the test. */
static struct fold_message given_message(uint64_t first, uint64_t last, struct buf *message,
                                         struct subject *subject)
{
    struct segment_head h = given_head("us-e1", 9, first, last, T);
    given_segment(message, &h, clicks);
    *subject = subject_segment(GIVEN_REGION, GIVEN_PARTITION, "us-e1");
    return (struct fold_message){subject->text, T, buf_span(message)};
}

/* As the driver: first entry at or after the need. */
static void answer(struct fold *f, const struct fold_needs *needs, const struct stored *s)
{
    uint32_t answered = 0;
    for (uint32_t i = 0; i < needs->count; i += answered) {
        const struct fold_need *need = &needs->items[i];
        struct span key = {NULL, 0}, value = {NULL, 0};
        size_t length = need->length;
        if (memcmp(need->key, s->chunk_key, length < 23 ? length : 23) <= 0) {
            key = span_of(s->chunk_key, sizeof(s->chunk_key));
            value = buf_span(&s->chunk);
        } else if (memcmp(need->key, s->rows_key, MINUTE_ROWS_KEY_BYTES) <= 0) {
            key = span_of(s->rows_key, sizeof(s->rows_key));
            value = buf_span(&s->rows);
        }
        cr_assert_eq(fold_look_found(f, need, needs->count - i, key, value, &answered), ERR_OK);
        cr_assert_geq(answered, 1);
    }
}

Test(fold_look, clicks_of_stored_minutes_name_chunks_and_rows)
{
    struct stored s;
    struct fold *f = given_stored(&s);
    struct buf message = {0};
    struct subject subject;
    struct fold_message m = given_message(0, 6, &message, &subject);

    const struct fold_needs *needs = fold_look(f, &m);

    cr_assert_eq(needs->count, 3 + 2, "three keys, two ads; one key comes twice");
    for (uint32_t i = 1; i < needs->count; i++)
        cr_assert_lt(memcmp(needs->items[i - 1].key, needs->items[i].key, MINUTE_CHUNK_KEY_BYTES),
                     0);
    answer(f, needs, &s);
    cr_assert_eq(fold_step(f, &m), ERR_OK);
    cr_assert_eq(f->books.counted, 4, "ids 2 and 3, and those of minutes that are not stored");
    cr_assert_eq(f->books.duplicate, 2, "id 1 is in the chunk, twice");
    cr_assert_eq(counted_of(f, 1, GIVEN_MINUTE), 3);
    cr_assert_eq(counted_of(f, 2, GIVEN_MINUTE), 1);
    cr_assert_eq(horizon_total(f->horizon.tables[0])->rows, 2);
    cr_assert_eq(horizon_total(f->horizon.tables[0])->counted, 4);

    /* What is in memory now is needed no more; a repeat of the message needs nothing at all. */
    cr_assert_eq(fold_look(f, &m)->count, 0);
    cr_assert_eq(fold_step(f, &m), ERR_OK);
    cr_assert_eq(f->counts.repeats, 1);
    buf_done(&message);
    stored_done(&s);
    fold_free(f);
}

Test(fold_look, messages_that_bring_no_clicks_need_nothing)
{
    struct stored s;
    struct fold *f = given_stored(&s);
    struct buf message = {0};
    struct subject subject = subject_control(GIVEN_REGION, GIVEN_PARTITION);
    struct fold_message gap = given_message(3, 6, &message, &subject);
    cr_assert_eq(fold_look(f, &gap)->count, 0, "a gap");
    gap.data.length--;
    cr_assert_eq(fold_look(f, &gap)->count, 0, "damaged");
    subject = subject_control(GIVEN_REGION, GIVEN_PARTITION);
    struct fold_message m = {subject.text, T, span_of_text("x")};
    cr_assert_eq(fold_look(f, &m)->count, 0, "control");
    f->options.horizon_minutes = 1;
    f->watermark_ms = T;
    m = given_message(0, 6, &message, &subject);
    cr_assert_eq(fold_look(f, &m)->count, 0, "expired: carried");
    buf_done(&message);
    stored_done(&s);
    fold_free(f);
}

/* It is judged anew when it comes back: what it may bring is looked for. */
Test(fold_look, a_line_that_was_written_off_may_bring_clicks)
{
    struct stored s;
    struct fold *f = given_stored(&s);
    struct buf message = {0};
    struct subject subject;
    struct line *l = edge_book_open_line(edge_book_open(&f->edges, "us-e1"), 9, T);
    struct fold_message m = given_message(3, 6, &message, &subject);
    cr_assert_eq(fold_look(f, &m)->count, 0, "a gap");

    l->written_off = true;

    cr_assert_gt(fold_look(f, &m)->count, 0);
    buf_done(&message);
    stored_done(&s);
    fold_free(f);
}

Test(fold_look, a_redo_value_on_top_of_a_snapshot_needs_its_rows)
{
    struct stored s;
    struct fold *f = given_stored(&s), *other = given_fold();
    const struct fold_needs *needs;
    struct buf value = {0};
    uint8_t key[REDO_KEY_BYTES];
    struct segment_head h = given_head("us-e1", 9, 1, 3, T);
    h.first = 0;
    cr_assert_eq(when_segment(other, &h, clicks, T), ERR_OK); /* ads 1, 2 and 1 again */
    redo_write(&value, other, horizon_find(&other->horizon, GIVEN_MINUTE), 4);
    redo_key(key, GIVEN_PARTITION, GIVEN_MINUTE, 4);

    cr_assert_eq(fold_look_redo(f, span_of(key, sizeof(key)), buf_span(&value), &needs), ERR_OK);

    cr_assert_eq(needs->count, 2);
    answer(f, needs, &s);
    cr_assert_not_null(row_of(f, 1, GIVEN_MINUTE));
    cr_assert_null(row_of(f, 2, GIVEN_MINUTE));
    cr_assert_eq(redo_apply(f, span_of(key, sizeof(key)), buf_span(&value)), ERR_OK);
    cr_assert_eq(counted_of(f, 1, GIVEN_MINUTE), 4);
    cr_assert_eq(fold_look_redo(f, span_of(key, 3), buf_span(&value), &needs), ERR_KV_CORRUPT);
    /* What the snapshot holds is not applied again. */
    redo_key(key, GIVEN_PARTITION, GIVEN_MINUTE, 3);
    cr_assert_eq(fold_look_redo(f, span_of(key, sizeof(key)), buf_span(&value), &needs), ERR_OK);
    cr_assert_eq(needs->count, 0);
    cr_assert_eq(redo_apply(f, span_of(key, sizeof(key)), buf_span(&value)), ERR_OK);
    cr_assert_eq(counted_of(f, 1, GIVEN_MINUTE), 4);
    cr_assert_eq(fold_look_redo(other, span_of(key, sizeof(key)), buf_span(&value), &needs), ERR_OK,
                 "nothing is stored there");
    cr_assert_eq(needs->count, 0);
    buf_done(&value);
    stored_done(&s);
    fold_free(f);
    fold_free(other);
}

Test(fold_look, damage_is_found_before_anything_is_judged_by_it)
{
    struct stored s;
    struct fold *f = given_stored(&s);
    struct buf message = {0};
    struct subject subject;
    struct fold_message m = given_message(0, 6, &message, &subject);
    const struct fold_needs *needs = fold_look(f, &m);
    const struct fold_need *rows = &needs->items[needs->count - 1];
    uint32_t answered;
    s.chunk.data[8] ^= 1;
    cr_assert_eq(fold_look_found(f, needs->items, 1, span_of(s.chunk_key, sizeof(s.chunk_key)),
                                 buf_span(&s.chunk), &answered),
                 ERR_KV_CORRUPT);
    struct fold_need need = {.length = MINUTE_ROWS_KEY_BYTES};
    minute_rows_key(need.key, GIVEN_PARTITION, GIVEN_MINUTE, hash_ad(span_of_text(given_ad(1))));
    struct span key = span_of(s.rows_key, sizeof(s.rows_key));
    (void)rows;
    ad_names_saved(&f->names);
    ad_names_retire(&f->names, UINT32_MAX);
    cr_assert_eq(fold_look_found(f, &need, 1, key, buf_span(&s.rows), &answered), ERR_KV_CORRUPT,
                 "the name of the row is gone");
    s.rows.data[8] ^= 1;
    cr_assert_eq(fold_look_found(f, &need, 1, key, buf_span(&s.rows), &answered), ERR_KV_CORRUPT);
    cr_assert_eq(f->horizon.rows + f->horizon.keys, 0);
    buf_done(&message);
    stored_done(&s);
    fold_free(f);
}
