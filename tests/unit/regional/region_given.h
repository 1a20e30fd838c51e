/* SPDX-License-Identifier: Apache-2.0
 * region_given: clicks, segments and streams for the tests of the regional tier, and an oracle: a
 * plain array count that shares no code with the fold. Audience: tests/unit/regional. */
#pragma once

#include "common/base/minute.h"
#include "common/base/rng.h"
#include "proto/subject.h"
#include "regional/core/cut.h"
#include "regional/core/redo.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define GIVEN_REGION     "us"
#define GIVEN_PARTITION  1
#define GIVEN_PARTITIONS 4
#define GIVEN_ADS        40
#define GIVEN_MINUTE     29000000u /* of the first clicks */
#define GIVEN_START_MS   ((uint64_t)GIVEN_MINUTE * MINUTE_MS)
#define MAYBE_UNUSED     __attribute__((unused))

struct given_click {
    unsigned ad, user, id;
    uint32_t minute;
};

/* The n-th ad whose home is the partition. */
MAYBE_UNUSED static const char *given_ad_of(uint16_t partition, unsigned n)
{
    static char names[GIVEN_PARTITIONS][GIVEN_ADS][24];
    static bool made[GIVEN_PARTITIONS];
    for (unsigned candidate = 0, found = 0; !made[partition] && found < GIVEN_ADS; candidate++) {
        char name[24];
        (void)snprintf(name, sizeof(name), "ad-%u", candidate);
        if (hash_partition(hash_ad(span_of_text(name)), GIVEN_PARTITIONS) == partition)
            memcpy(names[partition][found++], name, sizeof(name));
    }
    made[partition] = true;
    return names[partition][n % GIVEN_ADS];
}

MAYBE_UNUSED static const char *given_ad(unsigned n)
{
    return given_ad_of(GIVEN_PARTITION, n);
}

MAYBE_UNUSED static void given_key(unsigned ad, unsigned id, uint8_t out[HASH_CLICK_BYTES])
{
    static const uint8_t secret[HASH_KEY_BYTES] = "only for tests.";
    char text[24];
    (void)snprintf(text, sizeof(text), "click-%u", id);
    hash_click_key(secret, HASH_ID_CLICK, span_of_text(given_ad(ad)), span_of_text(text), 0, out);
}

/* A click whose spans live as long as the process. */
MAYBE_UNUSED static struct click given_wire_click(uint16_t partition, const struct given_click *g)
{
    struct click c = {.minute = g->minute,
                      .user_hash = g->user * 0x9E3779B97F4A7C15ULL,
                      .timestamp_ms = minute_start_ms(g->minute) + 1,
                      .received_ms = minute_start_ms(g->minute) + 2,
                      .ad_id = span_of_text(given_ad_of(partition, g->ad)),
                      .user_id = span_of_text("u"),
                      .ip_address = span_of_text("192.0.2.1"),
                      .user_agent = span_of_text("test")};
    given_key(g->ad, g->id, c.key);
    return c;
}

MAYBE_UNUSED static struct segment_head given_head(const char *edge, uint64_t epoch, uint64_t first,
                                                   uint64_t last, uint64_t clock_ms)
{
    struct segment_head h = {.epoch = epoch,
                             .partition = GIVEN_PARTITION,
                             .first = first,
                             .last = last,
                             .clock_ms = clock_ms,
                             .newest_epoch = epoch,
                             .accepted = last};
    cr_assert_lt(strlen(edge), sizeof(h.edge));
    memcpy(h.edge, edge, strlen(edge) + 1);
    memcpy(h.region, GIVEN_REGION, sizeof(GIVEN_REGION));
    return h;
}

/* clicks[0] has number 0 of the line: the segment takes what the head says. */
MAYBE_UNUSED static void given_segment(struct buf *out, const struct segment_head *h,
                                       const struct given_click *clicks)
{
    uint32_t count = (uint32_t)(h->last - h->first) - (h->fin ? 1 : 0);
    struct click *wire = base_zalloc(count, sizeof(*wire));
    for (uint32_t i = 0; i < count; i++)
        wire[i] = given_wire_click(h->partition, &clicks[h->first + i]);
    segment_write(out, h, wire, count);
    free(wire);
}

MAYBE_UNUSED static struct fold_options given_options(void)
{
    struct fold_options o = {.partition = GIVEN_PARTITION,
                             .partitions = GIVEN_PARTITIONS,
                             .lateness_ms = 10000,
                             .horizon_minutes = 60,
                             .partial_interval_ms = 1000};
    (void)snprintf(o.region, sizeof(o.region), "%s", GIVEN_REGION);
    return o;
}

MAYBE_UNUSED static struct fold *given_fold(void)
{
    struct fold_options o = given_options();
    return fold_new(&o);
}

/* Folds one segment as its edge would publish it. */
MAYBE_UNUSED static enum err when_segment(struct fold *f, const struct segment_head *h,
                                          const struct given_click *clicks, uint64_t time_ms)
{
    struct buf message = {0};
    given_segment(&message, h, clicks);
    struct subject s = subject_segment(GIVEN_REGION, h->partition, h->edge);
    struct fold_message m = {s.text, time_ms, buf_span(&message)};
    enum err err = fold_step(f, &m);
    buf_done(&message);
    return err;
}

MAYBE_UNUSED static void when_control(struct fold *f, enum control_kind kind, const char *edge,
                                      uint64_t epoch, uint64_t time_ms)
{
    struct control_message c = {
        .number = f->control_floor, .nonce = 7, .kind = kind, .epoch = epoch};
    (void)snprintf(c.edge, sizeof(c.edge), "%s", edge);
    struct buf message = {0};
    control_write(&message, &c);
    struct subject s = subject_control(GIVEN_REGION, GIVEN_PARTITION);
    struct fold_message m = {s.text, time_ms, buf_span(&message)};
    cr_assert_eq(fold_step(f, &m), ERR_OK);
    buf_done(&message);
}

MAYBE_UNUSED static void when_tick(struct fold *f, uint64_t time_ms)
{
    struct buf message = {0};
    tick_write(&message);
    struct subject s = subject_tick(GIVEN_REGION, GIVEN_PARTITION, "r1");
    struct fold_message m = {s.text, time_ms, buf_span(&message)};
    cr_assert_eq(fold_step(f, &m), ERR_OK);
    buf_done(&message);
}

MAYBE_UNUSED static struct announce_identity given_identity(void)
{
    struct announce_identity who = {.store_id = 77};
    (void)snprintf(who.replica, sizeof(who.replica), "us-r1");
    return who;
}

/* The answer to a want, from memory alone. */
MAYBE_UNUSED static void when_asked(struct fold *f, const uint32_t *minutes, uint32_t minute_count,
                                    const uint64_t *names, uint32_t name_count,
                                    struct announce_messages *out)
{
    const struct announce_identity who = given_identity();
    const struct announce_wanted wanted = {minutes, names, minute_count, name_count};
    cr_assert_eq(announce_whole(f, &who, &wanted, NULL, out), ERR_OK);
}

MAYBE_UNUSED static struct bucket *row_of(struct fold *f, unsigned ad, uint32_t minute)
{
    struct minute_table *t = horizon_find(&f->horizon, minute);
    return t == NULL ? NULL : horizon_row(t, hash_ad(span_of_text(given_ad(ad))));
}

MAYBE_UNUSED static uint64_t counted_of(struct fold *f, unsigned ad, uint32_t minute)
{
    const struct bucket *b = row_of(f, ad, minute);
    return b == NULL ? 0 : b->counted;
}

/* --- the oracle: every click that should be folded, in a plain array
 * ------------------------------------------- */

struct oracle {
    struct given_click *clicks;
    size_t count, capacity;
};

MAYBE_UNUSED static void oracle_add(struct oracle *o, const struct given_click *c)
{
    if (o->count == o->capacity) {
        o->capacity = o->capacity == 0 ? 256 : o->capacity * 2;
        o->clicks = base_realloc(o->clicks, o->capacity * sizeof(*o->clicks));
    }
    o->clicks[o->count++] = *c;
}

static int oracle_order(const void *left, const void *right)
{
    const struct given_click *a = left, *b = right;
    if (a->minute != b->minute)
        return a->minute < b->minute ? -1 : 1;
    if (a->ad != b->ad)
        return a->ad < b->ad ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* Compares every row: distinct ids counted, the rest duplicates; users by a sketch of the distinct
 * ones' users. A repeated id must keep its user (the generators see to it). */
MAYBE_UNUSED static void expect_like_oracle(struct fold *f, struct oracle *o)
{
    if (o->count > 0)
        qsort(o->clicks, o->count, sizeof(*o->clicks), oracle_order);
    uint64_t rows = 0, counted_in_all = 0;
    for (size_t i = 0; i < o->count;) {
        const struct given_click *first = &o->clicks[i];
        uint64_t counted = 0, duplicate = 0;
        struct hll users = {0};
        for (; i < o->count && o->clicks[i].minute == first->minute && o->clicks[i].ad == first->ad;
             i++) {
            if (counted + duplicate > 0 && o->clicks[i].id == o->clicks[i - 1].id) {
                duplicate++;
                continue;
            }
            counted++;
            (void)hll_add(&users, o->clicks[i].user * 0x9E3779B97F4A7C15ULL);
        }
        struct bucket *b = row_of(f, first->ad, first->minute);
        cr_assert_not_null(b, "no row of ad %u in minute %u", first->ad, first->minute);
        cr_assert_eq(b->counted, counted, "ad %u minute %u: counted %lu, not %lu", first->ad,
                     first->minute, (unsigned long)b->counted, (unsigned long)counted);
        cr_assert_eq(b->duplicate, duplicate, "ad %u minute %u: duplicate %lu, not %lu", first->ad,
                     first->minute, (unsigned long)b->duplicate, (unsigned long)duplicate);
        struct buf mine = {0}, its = {0};
        hll_put(&users, &mine);
        hll_put(&b->users, &its);
        cr_assert(span_equal(buf_span(&mine), buf_span(&its)), "sketches differ");
        buf_done(&mine);
        buf_done(&its);
        hll_done(&users);
        rows++;
        counted_in_all += counted;
    }
    cr_assert_eq(f->horizon.rows, rows, "%lu rows, not %lu", (unsigned long)f->horizon.rows,
                 (unsigned long)rows);
    cr_assert_eq(f->books.counted, counted_in_all);
    cr_assert_eq(f->books.folded, o->count);
}

/* Sum over all minutes of rows and digests: equal for folds that hold the same. */
MAYBE_UNUSED static uint64_t digest_of(struct fold *f)
{
    uint64_t digest = 0;
    for (uint32_t i = 0; i < f->horizon.count; i++) {
        const struct partial_total *t = horizon_total(f->horizon.tables[i]);
        digest = digest * 31 + t->digest + t->rows;
    }
    return digest;
}

MAYBE_UNUSED static struct given_click random_click(struct rng *r, unsigned ids, uint32_t minutes)
{
    struct given_click c = {.id = (unsigned)rng_below(r, ids)};
    /* Ad, minute and user follow from the id: a repeat is the same click. */
    c.ad = c.id % GIVEN_ADS;
    c.minute = GIVEN_MINUTE + c.id / GIVEN_ADS % minutes;
    c.user = c.id % 61;
    return c;
}
