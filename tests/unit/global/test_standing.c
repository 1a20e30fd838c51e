/* SPDX-License-Identifier: Apache-2.0
 * Watermarks never go back, the freshest replica names the missing edges, repeats are seen through.
 */
#include "global/core/standing.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct standing_partition parts[2];
static struct standing_partition *const both[2] = {&parts[0], &parts[1]};
static struct standing_card card;
static struct standing_replica *at;

static void fini(void)
{
    standing_partition_done(&parts[0]);
    standing_partition_done(&parts[1]);
    standing_card_done(&card);
}

TestSuite(standing, .fini = fini, .timeout = 30);

static struct partial said(const char *replica, uint64_t cut, uint64_t stream_ms,
                           uint64_t watermark_ms)
{
    struct partial p = {.store_id = 1,
                        .map = {.count = 1, .steps = {{0, 2}}},
                        .cut = cut,
                        .stream_ms = stream_ms,
                        .watermark_ms = watermark_ms};
    (void)snprintf(p.replica, sizeof(p.replica), "%s", replica);
    return p;
}

Test(standing, the_watermark_is_the_highest_of_any_replica_and_the_lowest_of_any_partition)
{
    struct partial p = said("a", 1, 100, 90);
    cr_assert(standing_take(&parts[0], &p, &at));
    standing_derive(&card, both, 2);
    cr_assert_eq(partition_map_last(&card.map), 2);
    cr_assert_eq(card.watermark_ms, 0); /* the other was not heard */

    p = said("a", 1, 50, 40);
    cr_assert(standing_take(&parts[1], &p, &at));
    p = said("b", 1, 70, 60);
    cr_assert(standing_take(&parts[1], &p, &at));
    standing_derive(&card, both, 2);
    cr_assert_eq(card.watermark_ms, 60);

    p = said("b", 2, 80, 10); /* a replica that lags after a restore takes nothing back */
    cr_assert(standing_take(&parts[1], &p, &at));
    standing_derive(&card, both, 2);
    cr_assert_eq(card.watermark_ms, 60);
}

Test(standing, a_repeat_of_an_older_cut_is_passed_over_and_a_new_store_is_not)
{
    struct partial p = said("a", 5, 100, 90);
    p.counted = 7;
    cr_assert(standing_take(&parts[0], &p, &at));
    p = said("a", 4, 90, 80);
    cr_assert_not(standing_take(&parts[0], &p, &at));
    cr_assert_null(at);
    cr_assert_eq(parts[0].replicas[0].counted, 7);

    p = said("a", 1, 110, 90);
    p.store_id = 2;
    cr_assert(standing_take(&parts[0], &p, &at));
    cr_assert_eq(parts[0].replicas[0].counted, 0);
    cr_assert_eq(parts[0].replica_count, 1);
}

Test(standing, the_freshest_replica_says_what_is_missing)
{
    struct partial_edge edges[3] = {{.edge = "e2", .missing = true},
                                    {.edge = "e1", .missing = true},
                                    {.edge = "e2", .epoch = 2, .missing = true}};
    struct partial p = said("a", 1, 100, 90);
    p.edges = edges;
    p.edge_count = 3;
    p.missing_count = 2;
    (void)standing_take(&parts[0], &p, &at);
    p = said("b", 1, 50, 40); /* behind: it does not know yet */
    (void)standing_take(&parts[0], &p, &at);
    standing_derive(&card, both, 2);
    cr_assert_eq(card.missing.count, 2);
    cr_assert_str_eq(card.missing.names[0], "e1");
    cr_assert_str_eq(card.missing.names[1], "e2");

    p = said("b", 2, 150, 140);
    (void)standing_take(&parts[0], &p, &at);
    standing_derive(&card, both, 2);
    cr_assert_eq(card.missing.count, 0);
}

Test(standing, the_stalest_of_too_many_replicas_gives_way)
{
    char name[8];
    for (unsigned i = 0; i < LIMIT_READERS + 1; i++) {
        (void)snprintf(name, sizeof(name), "r%u", i);
        struct partial p = said(name, 1, 100 + i, 0);
        (void)standing_take(&parts[0], &p, &at);
    }
    cr_assert_eq(parts[0].replica_count, LIMIT_READERS);
    cr_assert_str_eq(parts[0].replicas[0].replica, "r8");
}

Test(standing, all_of_it_reads_back)
{
    struct partial_edge edge = {
        .edge = "e1", .epoch = 7, .floor = 3, .accepted = 4, .missing = true};
    struct partial p = said("a", 9, 100, 90);
    p.edges = &edge;
    p.edge_count = p.missing_count = 1;
    p.carried = 6;
    (void)standing_take(&parts[0], &p, &at);
    parts[0].upto = 12;
    standing_derive(&card, both, 1);
    (void)snprintf(card.name, sizeof(card.name), "%s", "us");
    struct buf bytes = {0};

    struct standing_card back = {0};
    standing_card_put(&card, &bytes);
    cr_assert_eq(standing_card_read(&back, buf_span(&bytes)), ERR_OK);
    cr_assert_str_eq(back.name, "us");
    cr_assert_eq(partition_map_last(&back.map), 2);
    cr_assert_str_eq(back.missing.names[0], "e1");
    for (size_t length = 0; length < bytes.length; length++)
        cr_assert_neq(standing_card_read(&back, span_of(bytes.data, length)), ERR_OK);
    standing_card_done(&back);

    struct standing_partition partition = {0};
    buf_clear(&bytes);
    standing_partition_put(&parts[0], &bytes);
    cr_assert_eq(standing_partition_read(&partition, buf_span(&bytes)), ERR_OK);
    cr_assert(partition.upto == 12 && partition.watermark_ms == 90 &&
              partition_map_last(&partition.map) == 2);

    partition.replica_count = 1;
    buf_clear(&bytes);
    standing_replica_put(at, &bytes);
    cr_assert_eq(standing_replica_read(&partition.replicas[0], buf_span(&bytes)), ERR_OK);
    cr_assert_eq(partition.replicas[0].carried, 6);
    cr_assert_eq(partition.replicas[0].cut, 9);
    cr_assert_str_eq(partition.replicas[0].missing.names[0], "e1");
    cr_assert(span_equal(buf_span(&partition.replicas[0].edges), buf_span(&at->edges)));
    standing_partition_done(&partition);
    buf_done(&bytes);
}
