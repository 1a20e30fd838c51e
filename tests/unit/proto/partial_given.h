/* SPDX-License-Identifier: Apache-2.0
 * partial_given: made-up partials, and how two are compared.
 * Audience: tests/unit/proto. */
#pragma once

#include "common/base/hll.h"
#include "proto/partial.h"
#include "proto_test.h"

struct content {
    struct partial p;
    struct buf bytes; /* what sketches and names point into */
};

/* Offsets first, pointers once the buffer stands still. */
static inline struct span *later(struct buf *bytes, struct span *at, size_t length)
{
    *at = (struct span){(const uint8_t *)bytes->length, length};
    return at;
}

static inline struct content a_partial(uint64_t seed, uint32_t rows, uint32_t names,
                                       uint32_t totals, uint32_t edges)
{
    struct rng rng = {seed};
    struct content c = {.p = {.region = "us",
                              .replica = "fold-a",
                              .store_id = rng_next(&rng),
                              .partition = 3,
                              .map = {.count = 1, .steps = {{0, 4}}},
                              .cut = 77,
                              .stream_ms = 1731000000999,
                              .watermark_ms = 1731000000000,
                              .folded = 100,
                              .counted = 90,
                              .duplicate = 7,
                              .carried = 3,
                              .whole = seed % 2 == 1,
                              .missing_count = 2,
                              .row_count = rows,
                              .name_count = names,
                              .total_count = totals,
                              .edge_count = edges}};
    c.p.rows = calloc(rows + 1, sizeof(*c.p.rows));
    c.p.names = calloc(names + 1, sizeof(*c.p.names));
    c.p.totals = calloc(totals + 1, sizeof(*c.p.totals));
    c.p.edges = calloc(edges + 1, sizeof(*c.p.edges));
    for (uint32_t i = 0; i < rows; i++) {
        struct partial_row *row = &c.p.rows[i];
        *row = (struct partial_row){.ad_hash = rng_next(&rng),
                                    .minute = 28850000 + (uint32_t)rng_below(&rng, 3),
                                    .generation = rng_chance(&rng, 100),
                                    .counted = 1 + rng_below(&rng, 1000),
                                    .duplicate = rng_below(&rng, 3),
                                    .late = rng_below(&rng, 2)};
        row->flagged[i % PARTIAL_FLAG_SLOTS] = rng_below(&rng, 9);
        struct hll h = {0};
        uint64_t users = rng_chance(&rng, 300) ? 0 : rng_below(&rng, i % 16 == 3 ? 500 : 20);
        while (users-- > 0)
            (void)hll_add(&h, rng_next(&rng));
        size_t start = c.bytes.length;
        hll_put(&h, &c.bytes);
        row->sketch = (struct span){(const uint8_t *)start, c.bytes.length - start};
        hll_done(&h);
    }
    for (uint32_t i = 0; i < names; i++) {
        char name[16];
        int length = snprintf(name, sizeof(name), "ad-%u", (unsigned)rng_below(&rng, 1000000));
        c.p.names[i].ad_hash = hash_ad(span_of(name, (size_t)length));
        (void)later(&c.bytes, &c.p.names[i].ad_id, (size_t)length);
        buf_put(&c.bytes, name, (size_t)length);
    }
    for (uint32_t i = 0; i < totals; i++)
        c.p.totals[i] = (struct partial_total){.minute = 28850000 + i,
                                               .rows = (uint32_t)rng_below(&rng, 100),
                                               .counted = rng_below(&rng, 5000),
                                               .duplicate = rng_below(&rng, 50),
                                               .digest = rng_next(&rng)};
    for (uint32_t i = 0; i < edges; i++) {
        c.p.edges[i] = (struct partial_edge){.epoch = rng_next(&rng),
                                             .floor = rng_below(&rng, 100000),
                                             .accepted = rng_below(&rng, 100000),
                                             .missing = i % 3 == 1};
        (void)snprintf(c.p.edges[i].edge, sizeof(c.p.edges[i].edge), "us-e%u", i);
    }
    for (uint32_t i = 0; i < rows; i++)
        c.p.rows[i].sketch.data = c.bytes.data + (size_t)c.p.rows[i].sketch.data;
    for (uint32_t i = 0; i < names; i++)
        c.p.names[i].ad_id.data = c.bytes.data + (size_t)c.p.names[i].ad_id.data;
    return c;
}

static inline void content_done(struct content *c)
{
    free(c->p.rows);
    free(c->p.names);
    free(c->p.totals);
    free(c->p.edges);
    buf_done(&c->bytes);
}

static inline void expect_same_head(const struct partial *a, const struct partial *b)
{
    cr_assert_str_eq(a->region, b->region);
    cr_assert_str_eq(a->replica, b->replica);
    cr_assert_eq(a->store_id, b->store_id);
    cr_assert_eq(a->partition, b->partition);
    cr_assert(partition_map_equal(&a->map, &b->map));
    cr_assert_eq(a->cut, b->cut);
    cr_assert_eq(a->stream_ms, b->stream_ms);
    cr_assert_eq(a->watermark_ms, b->watermark_ms);
    cr_assert_eq(a->folded, b->folded);
    cr_assert_eq(a->counted, b->counted);
    cr_assert_eq(a->duplicate, b->duplicate);
    cr_assert_eq(a->carried, b->carried);
    cr_assert_eq(a->whole, b->whole);
    cr_assert_eq(a->missing_count, b->missing_count);
    cr_assert_eq(a->row_count, b->row_count);
    cr_assert_eq(a->name_count, b->name_count);
    cr_assert_eq(a->total_count, b->total_count);
    cr_assert_eq(a->edge_count, b->edge_count);
}

static inline void expect_same(const struct partial *a, const struct partial *b)
{
    expect_same_head(a, b);
    for (uint32_t i = 0; i < a->row_count; i++) {
        const struct partial_row *x = &a->rows[i], *y = &b->rows[i];
        cr_assert(x->ad_hash == y->ad_hash && x->minute == y->minute &&
                  x->generation == y->generation);
        cr_assert(x->counted == y->counted && x->duplicate == y->duplicate && x->late == y->late);
        cr_assert_arr_eq(x->flagged, y->flagged, sizeof(x->flagged));
        cr_assert(span_equal(x->sketch, y->sketch));
        cr_assert_eq(partial_row_digest(x), partial_row_digest(y));
    }
    for (uint32_t i = 0; i < a->name_count; i++) {
        cr_assert_eq(a->names[i].ad_hash, b->names[i].ad_hash);
        cr_assert(span_equal(a->names[i].ad_id, b->names[i].ad_id));
    }
    for (uint32_t i = 0; i < a->total_count; i++) {
        const struct partial_total *x = &a->totals[i], *y = &b->totals[i];
        cr_assert(x->minute == y->minute && x->rows == y->rows && x->counted == y->counted);
        cr_assert(x->duplicate == y->duplicate && x->digest == y->digest);
    }
    for (uint32_t i = 0; i < a->edge_count; i++) {
        const struct partial_edge *x = &a->edges[i], *y = &b->edges[i];
        cr_assert_str_eq(x->edge, y->edge);
        cr_assert(x->epoch == y->epoch && x->floor == y->floor);
        cr_assert(x->accepted == y->accepted && x->missing == y->missing);
    }
}
