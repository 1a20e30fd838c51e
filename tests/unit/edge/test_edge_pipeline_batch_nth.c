/* SPDX-License-Identifier: Apache-2.0
 * Reads of the spool that fail: what looks absent then is not, and the end of the transaction says
 * so. Whoever publishes asks for that end first. */
#include "edge/edge_pipeline_parts.h"
#include "tests/sim/sim_kv.h"

#include <criterion/criterion.h>

TestSuite(edge_pipeline_batch_nth, .timeout = 30);

static struct edge_line line;

/* Batches of one number each: [low, end). */
static struct kv_port *given_spool(uint64_t low, uint64_t end, bool older)
{
    struct kv_port *kv = sim_kv_new(EDGE_TABLES);
    struct kv_txn *txn;
    struct buf value = {0};
    line = (struct edge_line){.spool = {.epoch = 9, .home = "us", .low = low, .end = end},
                              .older = older};
    cr_assert_eq(kv_begin(kv, true, &txn), ERR_OK);
    for (uint64_t first = low; first < end; first++) {
        struct spool_key key = spool_batch_key(&line.spool, first);
        spool_batch_put(&value, &(struct spool_batch){.first = first, .last = first + 1});
        kv_put(txn, EDGE_TABLE_BATCH, span_of(key.bytes, key.length), buf_span(&value));
    }
    struct spool_key key = spool_line_key(&line.spool);
    spool_line_put(&value, &line.spool);
    kv_put(txn, EDGE_TABLE_LINE, span_of(key.bytes, key.length), buf_span(&value));
    cr_assert_eq(kv_commit(&txn), ERR_OK);
    buf_done(&value);
    send_window_init(&line.window, 0, end, older, 1);
    return kv;
}

Test(edge_pipeline_batch_nth, a_number_is_found_or_the_end_tells_why_not)
{
    struct kv_port *kv = given_spool(0, 50, false);
    struct sim_nth nth = {.fired = true};
    unsigned failed = 0;
    sim_kv_nth(kv, &nth);
    for (unsigned n = 1; nth.fired; n++) {
        struct kv_txn *txn;
        struct spool_batch batch;
        bool found;
        nth = (struct sim_nth){
            .awake = true, .calls = 1u << SIM_CALL_SEEK, .left = n, .err = ERR_KV_IO};
        cr_assert_eq(kv_begin(kv, false, &txn), ERR_OK);
        enum err err = edge_pipeline_batch_find(txn, &line, 40, &batch, &found);
        cr_assert_eq(err, ERR_OK);
        cr_assert_eq(kv_abort(&txn), nth.fired ? ERR_KV_IO : ERR_OK);
        cr_assert(nth.fired || found);
        failed += nth.fired;
    }
    cr_assert_geq(failed, 1);
    sim_kv_free(kv);
}

Test(edge_pipeline_batch_nth, a_record_that_cannot_be_read_excuses_nothing)
{
    for (unsigned i = 0; i < 4; i++) {
        struct kv_port *kv = given_spool(10, 20, i % 2 == 1);
        struct kv_txn *txn;
        struct sim_nth nth = {.awake = true,
                              .calls = 1u << SIM_CALL_GET,
                              .left = 1,
                              .err = i < 2 ? ERR_KV_IO : ERR_KV_CORRUPT};
        cr_assert_eq(kv_begin(kv, false, &txn), ERR_OK);
        cr_assert(edge_pipeline_batch_trimmed(txn, &line, 5));
        cr_assert_not(edge_pipeline_batch_trimmed(txn, &line, 15));
        cr_assert_eq(kv_abort(&txn), ERR_OK);

        sim_kv_nth(kv, &nth);
        cr_assert_eq(kv_begin(kv, false, &txn), ERR_OK);
        bool trimmed = edge_pipeline_batch_trimmed(txn, &line, 5);
        cr_assert_eq(kv_abort(&txn), i < 2 ? ERR_KV_IO : ERR_KV_CORRUPT);
        /* An older line's record goes with its last batch: absence means drained there, and the
         * end of the transaction is what tells that it was none. */
        cr_assert_eq(trimmed, i % 2 == 1);
        sim_kv_free(kv);
    }
}
