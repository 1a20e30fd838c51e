/* SPDX-License-Identifier: Apache-2.0
 * A redo value that is sealed but cut, longer or changed is refused, or is one that could have been
 * written: never a crash, never read beyond its end. */
#include "unit/regional/region_given.h"

TestSuite(redo_damage, .timeout = 120);

#define SEAL_BYTES 8

static uint8_t key[REDO_KEY_BYTES];

/* What one cut holds of one minute: two ads, a repeat, a late click. */
static void given_value(struct buf *out)
{
    static const struct given_click clicks[] = {
        {.ad = 0, .user = 1, .id = 1, .minute = GIVEN_MINUTE},
        {.ad = 1, .user = 2, .id = 2, .minute = GIVEN_MINUTE},
        {.ad = 0, .user = 1, .id = 1, .minute = GIVEN_MINUTE},
        {.ad = 1, .user = 3, .id = 3, .minute = GIVEN_MINUTE}};
    struct fold *f = given_fold();
    struct segment_head h = given_head("us-e1", 9, 0, 4, GIVEN_START_MS);
    cr_assert_eq(when_segment(f, &h, clicks, GIVEN_START_MS), ERR_OK);
    redo_key(key, GIVEN_PARTITION, GIVEN_MINUTE, 1);
    redo_write(out, f, horizon_find(&f->horizon, GIVEN_MINUTE), 1);
    fold_free(f);
}

static enum err apply_sealed(struct span body, struct span under, uint64_t *out_counted)
{
    struct buf value = {0};
    struct fold *f = given_fold();
    f->cut = 1;
    buf_put(&value, body.data, body.length);
    buf_put_u64(&value, hash_checksum(body, REDO_SEED ^ hash_checksum(under, REDO_SEED)));
    enum err err = redo_apply(f, under, buf_span(&value));
    *out_counted = counted_of(f, 0, GIVEN_MINUTE) + counted_of(f, 1, GIVEN_MINUTE);
    if (err == ERR_OK)
        redo_done(f);
    fold_free(f);
    buf_done(&value);
    return err;
}

static enum err apply(struct span body)
{
    uint64_t counted;
    return apply_sealed(body, span_of(key, sizeof(key)), &counted);
}

Test(redo_damage, cut_anywhere_or_longer_it_is_refused)
{
    struct buf value = {0};
    uint64_t counted;
    given_value(&value);
    size_t length = value.length - SEAL_BYTES;
    cr_assert_eq(apply_sealed(span_of(value.data, length), span_of(key, sizeof(key)), &counted),
                 ERR_OK);
    cr_assert_eq(counted, 3);
    for (size_t cut = 0; cut < length; cut++)
        cr_assert_eq(apply(span_of(value.data, cut)), ERR_KV_CORRUPT, "%zu bytes", cut);
    cr_assert_eq(apply(span_of(value.data, length + 1)), ERR_KV_CORRUPT);
    buf_done(&value);
}

Test(redo_damage, any_changed_byte_is_a_definite_answer)
{
    struct buf value = {0};
    unsigned refused = 0;
    given_value(&value);
    size_t length = value.length - SEAL_BYTES;
    for (size_t at = 0; at < length; at++) {
        uint8_t was = value.data[at];
        for (unsigned to = 0; to < 256; to++) {
            value.data[at] = (uint8_t)to;
            enum err err = apply(span_of(value.data, length));
            cr_assert(err == ERR_OK || err == ERR_KV_CORRUPT, "byte %zu: %s", at, err_words(err));
            refused += err != ERR_OK;
        }
        value.data[at] = was;
    }
    cr_assert_gt(refused, 1000);
    buf_done(&value);
}

Test(redo_damage, a_key_of_another_place_or_a_cut_that_is_not_yet_is_refused)
{
    struct buf value = {0};
    uint8_t other[REDO_KEY_BYTES + 1] = {0};
    uint64_t counted;
    given_value(&value);
    struct span body = span_of(value.data, value.length - SEAL_BYTES);
    for (size_t length = 0; length <= sizeof(other); length++)
        if (length != REDO_KEY_BYTES)
            cr_assert_eq(apply_sealed(body, span_of(other, length), &counted), ERR_KV_CORRUPT);
    redo_key(other, GIVEN_PARTITION + 1, GIVEN_MINUTE, 1);
    cr_assert_eq(apply_sealed(body, span_of(other, REDO_KEY_BYTES), &counted), ERR_KV_CORRUPT);
    redo_key(other, GIVEN_PARTITION, GIVEN_MINUTE, 2);
    cr_assert_eq(apply_sealed(body, span_of(other, REDO_KEY_BYTES), &counted), ERR_KV_CORRUPT);
    buf_done(&value);
}
