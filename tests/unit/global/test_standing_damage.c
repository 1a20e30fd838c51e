/* SPDX-License-Identifier: Apache-2.0
 * What a store holds of regions, partitions and replicas reads back or is refused; who gives way,
 * who is believed. */
#include "global/core/standing.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct standing_partition part;
static struct standing_card card;
static struct standing_replica *at;
static struct buf bytes;

static void fini(void)
{
    standing_partition_done(&part);
    standing_card_done(&card);
    buf_done(&bytes);
}

TestSuite(standing_damage, .fini = fini, .timeout = 30);

static void said(const char *replica, uint64_t stream_ms, uint32_t missing)
{
    struct partial_edge edges[16] = {{.epoch = 0}};
    struct partial p = {.store_id = 1,
                        .map = {.count = 1, .steps = {{0, 1}}},
                        .cut = 1,
                        .stream_ms = stream_ms,
                        .watermark_ms = 5,
                        .edges = edges,
                        .edge_count = missing,
                        .missing_count = missing};
    for (uint32_t i = 0; i < missing; i++) {
        (void)snprintf(edges[i].edge, sizeof(edges[i].edge), "e%02u", missing - i);
        edges[i].missing = true;
    }
    (void)snprintf(p.replica, sizeof(p.replica), "%s", replica);
    (void)standing_take(&part, &p, &at);
}

Test(standing_damage, many_missing_edges_are_all_named_in_order)
{
    struct standing_partition *const parts[] = {&part};
    said("a", 100, 16);
    standing_derive(&card, parts, 1);
    cr_assert_eq(card.missing.count, 16);
    for (unsigned i = 0; i < 16; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "e%02u", i + 1);
        cr_assert_str_eq(card.missing.names[i], name);
    }
}

Test(standing_damage, of_two_at_the_same_message_the_one_that_misses_more_is_believed)
{
    said("a", 100, 2);
    said("b", 100, 1);
    cr_assert_str_eq(standing_freshest(&part)->replica, "a");
    said("c", 100, 3);
    cr_assert_str_eq(standing_freshest(&part)->replica, "c");
    said("d", 99, 9);
    cr_assert_str_eq(standing_freshest(&part)->replica, "c");
    said("e", 101, 0);
    cr_assert_str_eq(standing_freshest(&part)->replica, "e");
}

Test(standing_damage, the_stalest_gives_way_wherever_it_stands)
{
    char name[8];
    for (unsigned i = 0; i < LIMIT_READERS; i++) {
        (void)snprintf(name, sizeof(name), "r%u", i);
        said(name, 100 + (i + 5) % LIMIT_READERS, 0);
    }
    said("new", 200, 1);
    for (unsigned i = 0; i < LIMIT_READERS; i++)
        cr_assert_str_neq(part.replicas[i].replica, "r3", "it stood at 100, behind all others");
    cr_assert_eq(part.replica_count, LIMIT_READERS);
}

Test(standing_damage, a_region_that_nobody_speaks_of_has_no_watermark)
{
    struct standing_partition *const none[] = {NULL, NULL};
    card.watermark_ms = 7;
    standing_derive(&card, none, 2);
    cr_assert(card.map.count == 0 && card.watermark_ms == 0);
    /* A replica that knows of more partitions than were heard holds the watermark. */
    struct standing_partition *const one[] = {&part};
    said("a", 100, 0);
    part.map = partition_map_of(2);
    standing_derive(&card, one, 1);
    cr_assert(partition_map_last(&card.map) == 2 && card.watermark_ms == 0);
}

static enum err read_card(uint16_t partitions, bool trailing)
{
    struct standing_card other = {.map = {.count = 1, .steps = {{0, partitions}}},
                                  .watermark_ms = 9};
    (void)snprintf(other.name, sizeof(other.name), "us");
    standing_names_add(&other.missing, "e1");
    buf_clear(&bytes);
    standing_card_put(&other, &bytes);
    if (trailing)
        buf_put_u8(&bytes, 0);
    standing_card_done(&other);
    return standing_card_read(&card, buf_span(&bytes));
}

Test(standing_damage, a_card_out_of_range_is_refused_and_changes_nothing)
{
    cr_assert_eq(read_card(LIMIT_PARTITIONS, false), ERR_OK);
    cr_assert_eq(read_card(LIMIT_PARTITIONS + 1, false), ERR_FORMAT);
    cr_assert_eq(read_card(1, true), ERR_FORMAT);
    cr_assert(partition_map_last(&card.map) == LIMIT_PARTITIONS && card.missing.count == 1);
}

Test(standing_damage, a_partition_out_of_range_is_refused_and_changes_nothing)
{
    part.map = partition_map_of(3);
    part.watermark_ms = 5;
    part.upto = 7;
    standing_partition_put(&part, &bytes);
    for (size_t length = 0; length < bytes.length; length++)
        cr_assert_eq(standing_partition_read(&part, span_of(bytes.data, length)), ERR_FORMAT);
    part.map.steps[0].partitions = LIMIT_PARTITIONS + 1;
    buf_clear(&bytes);
    standing_partition_put(&part, &bytes);
    part.map = partition_map_of(3);
    cr_assert_eq(standing_partition_read(&part, buf_span(&bytes)), ERR_FORMAT);
    cr_assert(partition_map_last(&part.map) == 3 && part.watermark_ms == 5 && part.upto == 7);
}

Test(standing_damage, a_replica_cut_within_its_numbers_or_names_is_refused)
{
    said("a", 100, 9);
    size_t edges = at->edges.length;
    standing_replica_put(at, &bytes);
    struct standing_replica back = {.store_id = 0};
    for (size_t length = 0; length < bytes.length - edges; length++)
        cr_assert_eq(standing_replica_read(&back, span_of(bytes.data, length)), ERR_TRUNCATED,
                     "%zu of %zu bytes", length, bytes.length);
    cr_assert_eq(standing_replica_read(&back, buf_span(&bytes)), ERR_OK);
    cr_assert_eq(back.missing.count, 9);
    standing_names_done(&back.missing);
    buf_done(&back.edges);
}
