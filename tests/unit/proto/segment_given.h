/* SPDX-License-Identifier: Apache-2.0
 * segment_given: made-up segments, and what must come out of them.
 * Audience: tests/unit/proto. */
#pragma once

#include "proto/segment.h"
#include "proto_test.h"

static inline struct segment_head a_head(uint64_t first, uint32_t clicks, bool fin)
{
    return (struct segment_head){
        .edge = "us-e1",
        .region = "us",
        .epoch = 0x0123456789abcdef,
        .partition = 3,
        .fin = fin,
        .first = first,
        .last = first + clicks + fin,
        .clock_ms = 1731000000999,
        .age_ms = 42,
        .newest_epoch = 0x0123456789abcdef,
        .low = 900,
        .accepted = first + clicks + fin + 5,
        .older_count = 2,
        .older = {17, UINT64_MAX},
    };
}

/* Clicks whose texts come from a seed: `texts` holds them. */
static inline struct click *clicks_of(uint64_t seed, uint32_t count, struct buf *texts)
{
    struct rng rng = {seed};
    struct click *clicks = calloc(count + 1, sizeof(*clicks));
    buf_reserve(texts, count * 400 + 1);
    for (uint32_t i = 0; i < count; i++) {
        struct click *c = &clicks[i];
        char *at = (char *)texts->data + texts->length;
        for (unsigned k = 0; k < sizeof(c->key); k++)
            c->key[k] = (uint8_t)rng_next(&rng);
        uint64_t day_ms = 86400000;
        c->timestamp_ms = 1731000000000 - rng_below(&rng, day_ms);
        c->received_ms = 1731000000000 + i + rng_below(&rng, 1000);
        c->minute = (uint32_t)(c->timestamp_ms / 60000);
        c->flags = (uint16_t)rng_below(&rng, 4);
        c->user_hash = rng_next(&rng);
        size_t room = 200; /* each text is far shorter, and 400 a click were reserved */
        int ad = snprintf(at, room, "ad-%u", (unsigned)rng_below(&rng, 1 + count / 8));
        int user = snprintf(at + ad, room, "user-%016llx", (unsigned long long)rng_next(&rng));
        int id = rng_chance(&rng, 500) ? 0
                                       : snprintf(at + ad + user, room, "%016llx",
                                                  (unsigned long long)rng_next(&rng));
        int ip = snprintf(at + ad + user + id, room, "192.0.2.%u", (unsigned)rng_below(&rng, 256));
        int agent = rng_chance(&rng, 100)
                        ? 0
                        : snprintf(at + ad + user + id + ip, room, "Mozilla/5.0 (Build %u)",
                                   (unsigned)rng_below(&rng, 9));
        c->ad_id = span_of(at, ad);
        c->user_id = span_of(at + ad, user);
        c->click_id = span_of(at + ad + user, id);
        c->ip_address = span_of(at + ad + user + id, ip);
        c->user_agent = span_of(at + ad + user + id + ip, agent);
        texts->length += ad + user + id + ip + agent;
    }
    return clicks;
}

static inline void expect_same_head(const struct segment_head *a, const struct segment_head *b)
{
    cr_assert_str_eq(a->edge, b->edge);
    cr_assert_str_eq(a->region, b->region);
    cr_assert_eq(a->epoch, b->epoch);
    cr_assert_eq(a->partition, b->partition);
    cr_assert_eq(a->fin, b->fin);
    cr_assert_eq(a->first, b->first);
    cr_assert_eq(a->last, b->last);
    cr_assert_eq(a->clock_ms, b->clock_ms);
    cr_assert_eq(a->age_ms, b->age_ms);
    cr_assert_eq(a->newest_epoch, b->newest_epoch);
    cr_assert_eq(a->low, b->low);
    cr_assert_eq(a->accepted, b->accepted);
    cr_assert_eq(a->older_count, b->older_count);
    cr_assert_arr_eq(a->older, b->older, sizeof(a->older));
}

static inline void expect_content(struct span message, const struct segment_head *head,
                                  const struct click *clicks, uint32_t count)
{
    struct segment s = {0};
    struct buf storage = {0};
    struct click *read = calloc(count + 1, sizeof(*read));
    cr_assert_eq(segment_read(&s, message), ERR_OK);
    expect_same_head(&s.head, head);
    cr_assert_eq(s.click_count, count);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_arr_eq(s.hot[i].key, clicks[i].key, sizeof(clicks[i].key));
        cr_assert_eq(s.hot[i].user_hash, clicks[i].user_hash);
        cr_assert_eq(s.hot[i].minute, clicks[i].minute);
        cr_assert_eq(s.hot[i].flags, clicks[i].flags);
        cr_assert_lt(s.hot[i].ad, s.ad_count);
        cr_assert(span_equal(s.ads[s.hot[i].ad], clicks[i].ad_id));
    }
    for (uint32_t i = 0; i < s.ad_count; i++) {
        for (uint32_t j = 0; j < i && s.ad_count < 200; j++)
            cr_assert_not(span_equal(s.ads[i], s.ads[j]));
    }
    cr_assert_eq(segment_read_cold(&s, read, &storage), ERR_OK);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_arr_eq(read[i].key, clicks[i].key, sizeof(clicks[i].key));
        cr_assert_eq(read[i].minute, clicks[i].minute);
        cr_assert_eq(read[i].flags, clicks[i].flags);
        cr_assert_eq(read[i].user_hash, clicks[i].user_hash);
        cr_assert_eq(read[i].timestamp_ms, clicks[i].timestamp_ms);
        cr_assert_eq(read[i].received_ms, clicks[i].received_ms);
        cr_assert(span_equal(read[i].ad_id, clicks[i].ad_id));
        cr_assert(span_equal(read[i].user_id, clicks[i].user_id));
        cr_assert(span_equal(read[i].click_id, clicks[i].click_id));
        cr_assert(span_equal(read[i].ip_address, clicks[i].ip_address));
        cr_assert(span_equal(read[i].user_agent, clicks[i].user_agent));
    }
    free(read);
    buf_done(&storage);
    segment_done(&s);
}
