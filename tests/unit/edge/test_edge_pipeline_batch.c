/* SPDX-License-Identifier: Apache-2.0
 * Batches are found by a few seeks, wherever the search begins. */
#include "edge/edge_pipeline_parts.h"
#include "tests/sim/sim_kv.h"

#include <criterion/criterion.h>

#define BATCHES 1000
#define CLICKS  7 /* a batch: numbers [7i, 7i + 7) */

static bool (*sim_seek)(struct kv_txn *, unsigned, struct span, struct span *, struct span *);
static unsigned seeks;

static bool counted_seek(struct kv_txn *txn, unsigned table, struct span key, struct span *out_key,
                         struct span *out_value)
{
    seeks++;
    return sim_seek(txn, table, key, out_key, out_value);
}

/* Batches from number `kept` on; the line's record says so. */
static struct kv_port *spool(struct edge_line *line, uint64_t kept)
{
    struct kv_port *kv = sim_kv_new(EDGE_TABLES);
    struct kv_txn *txn;
    struct buf value = {0};
    cr_assert_eq(kv_begin(kv, true, &txn), ERR_OK);
    line->spool = (struct spool_line){.epoch = 9, .home = "us", .low = kept};
    line->spool.end = BATCHES * CLICKS;
    for (uint64_t first = kept; first < line->spool.end; first += CLICKS) {
        struct spool_batch batch = {.first = first, .last = first + CLICKS};
        struct spool_key key = spool_batch_key(&line->spool, first);
        spool_batch_put(&value, &batch);
        kv_put(txn, EDGE_TABLE_BATCH, span_of(key.bytes, key.length), buf_span(&value));
    }
    struct spool_key key = spool_line_key(&line->spool);
    spool_line_put(&value, &line->spool);
    kv_put(txn, EDGE_TABLE_LINE, span_of(key.bytes, key.length), buf_span(&value));
    cr_assert_eq(kv_commit(&txn), ERR_OK);
    buf_done(&value);
    send_window_init(&line->window, 0, line->spool.end, false, 1);
    sim_seek = kv->seek;
    kv->seek = counted_seek;
    return kv;
}

Test(edge_pipeline_batch, every_number_is_found_by_a_few_seeks_whatever_was_sent_last)
{
    struct edge_line line = {0};
    struct kv_port *kv = spool(&line, 0);
    struct kv_txn *txn;
    cr_assert_eq(kv_begin(kv, false, &txn), ERR_OK);
    for (uint64_t number = 0; number <= BATCHES * CLICKS; number++) {
        struct spool_batch batch;
        bool found;
        line.batch_known = number % 2 == 0; /* as after a jump back: the hint is too high */
        line.batch_first = (BATCHES - 1) * CLICKS;
        seeks = 0;
        cr_assert_eq(edge_pipeline_batch_find(txn, &line, number, &batch, &found), ERR_OK);
        cr_assert_eq(found, number < BATCHES * CLICKS);
        if (found)
            cr_assert_eq(batch.first, number / CLICKS * CLICKS);
        cr_assert_leq(seeks, 10, "%u seeks for %lu", seeks, number);
    }
    cr_assert_eq(kv_abort(&txn), ERR_OK);
    sim_kv_free(kv);
}

Test(edge_pipeline_batch, a_number_trimmed_since_the_last_look_is_no_damage)
{
    struct edge_line line = {0};
    struct kv_port *kv = spool(&line, 70);
    struct kv_txn *txn;
    cr_assert_eq(kv_begin(kv, false, &txn), ERR_OK);
    cr_assert(edge_pipeline_batch_trimmed(txn, &line, 69));
    cr_assert_not(edge_pipeline_batch_trimmed(txn, &line, 70));
    struct spool_batch batch;
    bool found;
    cr_assert_eq(edge_pipeline_batch_find(txn, &line, 20, &batch, &found), ERR_OK);
    cr_assert(found && batch.first == 70);
    cr_assert_eq(kv_abort(&txn), ERR_OK);
    sim_kv_free(kv);
}
