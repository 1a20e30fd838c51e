/* SPDX-License-Identifier: Apache-2.0
 * minute_snapshot: head and rows of a closed minute come back as they went, or not at all. */
#include "regional/core/minute_snapshot.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define MINUTE 29000000u

struct ad {
    char id[24];
    uint64_t hash;
};

static int by_hash(const void *a, const void *b)
{
    const struct ad *x = a, *y = b;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static void given_ads(struct ad *ads, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(ads[i].id, sizeof(ads[i].id), "ad-%u", i);
        ads[i].hash = hash_ad(span_of_text(ads[i].id));
    }
    qsort(ads, count, sizeof(*ads), by_hash);
}

static struct minute_row given_row(const struct ad *ad, uint32_t users, struct buf *sketch)
{
    struct hll h = {0};
    for (uint32_t i = 0; i < users; i++)
        (void)hll_add(&h, (i + 1) * 0x9E3779B97F4A7C15ULL);
    buf_clear(sketch);
    hll_put(&h, sketch);
    hll_done(&h);
    return (struct minute_row){.ad_hash = ad->hash,
                               .counted = users,
                               .duplicate = 3,
                               .late = users / 2,
                               .ad_id = span_of_text(ad->id),
                               .sketch = buf_span(sketch)};
}

struct got {
    uint32_t rows;
    uint64_t counted, duplicate, late, hashes, sketch_bytes;
};

static void take(void *context, const struct minute_row *row)
{
    struct got *g = context;
    cr_assert_eq(row->ad_hash, hash_ad(row->ad_id));
    g->rows++;
    g->counted += row->counted;
    g->duplicate += row->duplicate;
    g->late += row->late;
    g->hashes += row->ad_hash;
    g->sketch_bytes += row->sketch.length;
}

static struct minute_head given_head(void)
{
    return (struct minute_head){
        .partition = 2,
        .cut = 1ULL << 40,
        .keys = 1000,
        .late = 7,
        .total = {
            .minute = MINUTE, .rows = 40, .counted = 1000, .duplicate = 5, .digest = 1234567}};
}

static void reseal(struct buf *value, struct span key)
{
    value->length -= 8;
    buf_put_u64(value, minute_checksum(key, buf_span(value)));
}

Test(minute_snapshot, rows_come_back_as_they_went_in_values_of_at_most_64_KiB)
{
    enum { ADS = 200 };
    struct ad ads[ADS];
    struct minute_rows_writer w = {.partition = 2, .minute = MINUTE};
    struct buf sketch = {0};
    struct got want = {0}, got = {0};
    uint8_t key[MINUTE_ROWS_KEY_BYTES], before[MINUTE_ROWS_KEY_BYTES] = {0};
    uint32_t values = 0;
    given_ads(ads, ADS);

    for (uint32_t i = 0; i <= ADS; i++) {
        bool added = false;
        while (i < ADS && !added) {
            struct minute_row row = given_row(&ads[i], i % 3 == 0 ? 500 : i % 7, &sketch);
            added = minute_rows_add(&w, &row);
            if (added)
                take(&want, &row);
            else
                break;
        }
        if (added)
            continue;
        minute_rows_seal(&w, key);
        cr_assert_leq(w.value.length, 64 * 1024);
        cr_assert_lt(memcmp(before, key, sizeof(key)), 0);
        memcpy(before, key, sizeof(key));
        cr_assert_eq(minute_rows_read(span_of(key, sizeof(key)), buf_span(&w.value), take, &got),
                     ERR_OK);
        minute_rows_next(&w);
        values++;
        if (i < ADS)
            i--; /* the one that did not fit, again */
    }

    cr_assert_geq(values, 4);
    cr_assert_eq(memcmp(&want, &got, sizeof(got)), 0);
    cr_assert_eq(got.rows, ADS);
    minute_rows_done(&w);
    buf_done(&sketch);
}

Test(minute_snapshot, a_head_comes_back_as_it_went)
{
    struct minute_head head = given_head(), got = {0};
    uint8_t key[MINUTE_HEAD_KEY_BYTES];
    struct buf value = {0};

    minute_head_write(&value, key, &head);
    cr_assert_eq(minute_head_read(&got, span_of(key, sizeof(key)), buf_span(&value)), ERR_OK);
    cr_assert(got.partition == 2 && got.cut == head.cut && got.keys == 1000 && got.late == 7);
    cr_assert_eq(memcmp(&got.total, &head.total, sizeof(got.total)), 0);
    buf_done(&value);
}

Test(minute_snapshot, every_cut_and_every_flipped_bit_of_a_head_is_found)
{
    struct minute_head head = given_head(), got = {.cut = 99};
    uint8_t key[MINUTE_HEAD_KEY_BYTES];
    struct buf value = {0};
    minute_head_write(&value, key, &head);
    struct span its_key = span_of(key, sizeof(key));

    for (size_t length = 0; length < value.length; length++)
        cr_assert_eq(minute_head_read(&got, its_key, span_of(value.data, length)), ERR_KV_CORRUPT);
    for (size_t bit = 0; bit < value.length * 8; bit++) {
        value.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(minute_head_read(&got, its_key, buf_span(&value)), ERR_KV_CORRUPT);
        value.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t bit = 0; bit < sizeof(key) * 8; bit++) {
        key[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(minute_head_read(&got, its_key, buf_span(&value)), ERR_KV_CORRUPT);
        key[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_assert_eq(minute_head_read(&got, span_of(key, sizeof(key) - 1), buf_span(&value)),
                 ERR_KV_CORRUPT);
    uint8_t longer[MINUTE_HEAD_KEY_BYTES + 1] = {0};
    memcpy(longer, key, sizeof(key));
    cr_assert_eq(minute_head_read(&got, span_of(longer, sizeof(longer)), buf_span(&value)),
                 ERR_KV_CORRUPT);
    cr_assert_eq(got.cut, 99, "untouched on failure");
    buf_done(&value);
}

/* A head's fields with a checksum that is right. */
static enum err read_forged(uint8_t version, uint64_t keys, uint64_t rows, uint64_t late, bool more)
{
    uint8_t key[MINUTE_HEAD_KEY_BYTES];
    struct minute_head got;
    struct buf value = {0};
    minute_place_write(key, &(struct minute_place){2, MINUTE, MINUTE_HEAD});
    buf_put_u8(&value, version);
    buf_put_u64(&value, 1);
    buf_put_varint(&value, keys);
    buf_put_varint(&value, rows);
    buf_put_varint(&value, 10);
    buf_put_varint(&value, 0);
    buf_put_varint(&value, late);
    buf_put(&value, "12345678+", more ? 9 : 8);
    buf_put_u64(&value, 0);
    reseal(&value, span_of(key, sizeof(key)));
    enum err err = minute_head_read(&got, span_of(key, sizeof(key)), buf_span(&value));
    /* A key of rows with a head's length. */
    key[6] = MINUTE_ROWS;
    reseal(&value, span_of(key, sizeof(key)));
    cr_assert_eq(minute_head_read(&got, span_of(key, sizeof(key)), buf_span(&value)),
                 ERR_KV_CORRUPT);
    key[6] = MINUTE_KINDS;
    cr_assert_eq(minute_head_read(&got, span_of(key, sizeof(key)), buf_span(&value)),
                 ERR_KV_CORRUPT);
    buf_done(&value);
    return err;
}

Test(minute_snapshot, a_good_checksum_over_a_bad_head_is_not_believed)
{
    cr_assert_eq(read_forged(1, 10, 2, 10, false), ERR_OK);
    cr_assert_eq(read_forged(2, 10, 2, 10, false), ERR_KV_CORRUPT, "version");
    cr_assert_eq(read_forged(1, 9, 2, 9, false), ERR_KV_CORRUPT, "a key for each counted click");
    cr_assert_eq(read_forged(1, 10, 1ULL << 32, 9, false), ERR_KV_CORRUPT, "rows");
    cr_assert_eq(read_forged(1, 10, 2, 11, false), ERR_KV_CORRUPT, "late is of counted");
    cr_assert_eq(read_forged(1, 10, 2, 10, true), ERR_KV_CORRUPT, "something behind it");
}

Test(minute_snapshot, every_cut_and_every_flipped_bit_of_rows_is_found)
{
    struct ad ads[3];
    struct minute_rows_writer w = {.partition = 2, .minute = MINUTE};
    struct buf sketch = {0};
    struct got got = {0};
    uint8_t key[MINUTE_ROWS_KEY_BYTES];
    given_ads(ads, countof(ads));
    for (uint32_t i = 0; i < countof(ads); i++) {
        struct minute_row row = given_row(&ads[i], 5 * i, &sketch);
        cr_assert(minute_rows_add(&w, &row));
    }
    minute_rows_seal(&w, key);
    struct span its_key = span_of(key, sizeof(key));

    for (size_t length = 0; length < w.value.length; length++)
        cr_assert_eq(minute_rows_read(its_key, span_of(w.value.data, length), take, &got),
                     ERR_KV_CORRUPT);
    for (size_t bit = 0; bit < w.value.length * 8; bit++) {
        w.value.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(minute_rows_read(its_key, buf_span(&w.value), take, &got), ERR_KV_CORRUPT);
        w.value.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t bit = 0; bit < sizeof(key) * 8; bit++) {
        key[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(minute_rows_read(its_key, buf_span(&w.value), take, &got), ERR_KV_CORRUPT);
        key[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_assert_eq(minute_rows_read(span_of(key, sizeof(key) - 1), buf_span(&w.value), take, &got),
                 ERR_KV_CORRUPT);
    cr_assert_eq(got.rows, 0, "nothing of a damaged value is handed on");
    minute_rows_done(&w);
    buf_done(&sketch);
}

struct forged {
    uint8_t version;
    uint32_t count;
    const char *first, *second; /* ids; "": empty */
    uint64_t late;
    struct span sketch;
    const char *rest;
};

static enum err read_forged_rows(const struct forged *f, const struct ad *last)
{
    uint8_t key[MINUTE_ROWS_KEY_BYTES];
    struct buf value = {0};
    struct got got = {0};
    minute_rows_key(key, 2, MINUTE, last->hash);
    buf_put_u8(&value, f->version);
    buf_put_u32(&value, f->count);
    for (unsigned i = 0; i < 2; i++) {
        buf_put_block(&value, span_of_text(i == 0 ? f->first : f->second));
        buf_put_varint(&value, 10);
        buf_put_varint(&value, 0);
        buf_put_varint(&value, f->late);
        buf_put_block(&value, f->sketch);
    }
    buf_put(&value, f->rest, strlen(f->rest));
    buf_put_u64(&value, 0);
    struct span its_key = span_of(key, sizeof(key));
    reseal(&value, its_key);
    enum err err = minute_rows_read(its_key, buf_span(&value), take, &got);
    cr_assert_eq(got.rows, err == ERR_OK ? 2 : 0);
    buf_done(&value);
    return err;
}

Test(minute_snapshot, a_good_checksum_over_bad_rows_is_not_believed)
{
    struct ad a[2];
    given_ads(a, 2);
    struct span none = {0}, bad = span_of_text("\x07 no sketch");
    struct forged good = {1, 2, a[0].id, a[1].id, 10, none, ""};
    cr_assert_eq(read_forged_rows(&good, &a[1]), ERR_OK);
    const struct forged wrong[] = {
        {2, 2, a[0].id, a[1].id, 10, none, ""}, /* version */
        {1, 0, a[0].id, a[1].id, 10, none, ""}, /* no rows */
        {1, 1, a[0].id, a[1].id, 10, none, ""}, /* more than it says */
        {1, 3, a[0].id, a[1].id, 10, none, ""}, /* fewer */
        {1, 2, a[1].id, a[1].id, 10, none, ""}, /* one ad twice */
        {1, 2, "", a[1].id, 10, none, ""},      /* an ad without a name */
        {1, 2, a[0].id, a[1].id, 11, none, ""}, /* more late than counted */
        {1, 2, a[0].id, a[1].id, 10, bad, ""},  /* what no sketch can be */
        {1, 2, a[0].id, a[1].id, 10, none, "+"},
    };
    for (size_t i = 0; i < countof(wrong); i++)
        cr_assert_eq(read_forged_rows(&wrong[i], &a[1]), ERR_KV_CORRUPT, "case %zu", i);
    cr_assert_eq(read_forged_rows(&good, &a[0]), ERR_KV_CORRUPT, "the key is not its last ad");
}

Test(minute_snapshot, rows_too_short_for_their_head_or_of_another_kind_are_damage)
{
    uint8_t key[MINUTE_ROWS_KEY_BYTES];
    struct buf value = {0};
    struct got got = {0};
    minute_rows_key(key, 2, MINUTE, 1);
    struct span its_key = span_of(key, sizeof(key));

    buf_put_u8(&value, MINUTE_SNAPSHOT_VERSION);
    buf_put_u64(&value, 0);
    reseal(&value, its_key);
    cr_assert_eq(minute_rows_read(its_key, buf_span(&value), take, &got), ERR_KV_CORRUPT);
    key[6] = MINUTE_KEYS;
    reseal(&value, its_key);
    cr_assert_eq(minute_rows_read(its_key, buf_span(&value), take, &got), ERR_KV_CORRUPT);
    key[6] = MINUTE_KINDS;
    cr_assert_eq(minute_rows_read(its_key, buf_span(&value), take, &got), ERR_KV_CORRUPT);
    buf_done(&value);
}
