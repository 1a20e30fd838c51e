/* SPDX-License-Identifier: Apache-2.0
 * The balance is that of the partials, line by line, and what does not add up is shown. */
#include "globe_given.h"

#include <jansson.h>

static struct given_world *w;
static struct given_replica *replicas[GIVEN_REGIONS][GIVEN_PARTITIONS];

static void setup(void)
{
    w = given_world();
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        for (uint16_t p = 0; p < GIVEN_PARTITIONS; p++) {
            struct given_replica *r = given_replica(w, i, p, i == 0 ? "us-r1" : "eu-r1");
            replicas[i][p] = r;
            given_click(r, given_ad(p, 0), GIVEN_MINUTE, 1, 10 + 3 * i + p, 1 + i + p);
        }
}

static void teardown(void)
{
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        for (uint16_t p = 0; p < GIVEN_PARTITIONS; p++)
            given_replica_free(replicas[i][p]);
    given_world_free(w);
}

TestSuite(global_reader_balance, .init = setup, .fini = teardown, .timeout = 30);

static void cut_all(void)
{
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        for (uint16_t p = 0; p < GIVEN_PARTITIONS; p++)
            given_cut(replicas[i][p]);
    cr_assert_eq(given_run(w), ERR_OK);
}

static json_t *balance(void)
{
    struct global_reader_options options = {.regions = {w->regions[0], w->regions[1]},
                                            .region_count = GIVEN_REGIONS,
                                            .kv = w->kv,
                                            .clock = &w->clock.port};
    struct global_reader *reader = global_reader_new(&options);
    struct buf out = {0};
    cr_assert_eq(global_reader_balance(reader, &out), ERR_OK);
    json_t *root = json_loadb((const char *)out.data, out.length, JSON_REJECT_DUPLICATES, NULL);
    cr_assert_not_null(root);
    buf_done(&out);
    global_reader_free(reader);
    return root;
}

static uint64_t number(json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    cr_assert(json_is_integer(value), "%s", name);
    return (uint64_t)json_integer_value(value);
}

Test(global_reader_balance, before_the_first_partial_it_is_empty)
{
    json_t *root = balance();
    cr_assert_eq(json_array_size(json_object_get(root, "lines")), 0);
    cr_assert_eq(number(json_object_get(root, "totals"), "folded"), 0);
    cr_assert_eq(number(root, "unexplained"), 0);
    json_decref(root);
}

Test(global_reader_balance, lines_and_totals_are_those_of_the_partials)
{
    cut_all();
    json_t *root = balance();
    json_t *lines = json_object_get(root, "lines");
    cr_assert_eq(json_array_size(lines), GIVEN_REGIONS * GIVEN_PARTITIONS);
    uint64_t counted = 0;
    uint64_t duplicate = 0;
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        for (unsigned p = 0; p < GIVEN_PARTITIONS; p++) {
            json_t *line = json_array_get(lines, i * GIVEN_PARTITIONS + p);
            cr_assert_str_eq(json_string_value(json_object_get(line, "region")), w->regions[i]);
            cr_assert_eq(number(line, "partition"), p);
            cr_assert_eq(number(line, "counted"), 10 + 3 * i + p);
            cr_assert_eq(number(line, "duplicate"), 1 + i + p);
            cr_assert_eq(number(line, "folded"), 11 + 4 * i + 2 * p);
            cr_assert_eq(number(line, "carried"), 0);
            cr_assert_eq(number(line, "merged"), 10 + 3 * i + p, "the rows themselves");
            cr_assert_eq(number(line, "unexplained"), 0);
            cr_assert_eq(number(line, "in_flight"), 2, "7 accepted, 5 folded");
            json_t *edge = json_array_get(json_object_get(line, "edges"), 1);
            cr_assert_str_eq(json_string_value(json_object_get(edge, "edge")), "us-e2");
            cr_assert_eq(number(edge, "accepted"), 7);
            cr_assert_eq(number(edge, "floor"), 5);
            cr_assert_eq(number(edge, "in_flight"), 2);
            counted += 10 + 3 * i + p;
            duplicate += 1 + i + p;
        }
    json_t *totals = json_object_get(root, "totals");
    cr_assert_eq(number(totals, "counted"), counted);
    cr_assert_eq(number(totals, "merged"), counted);
    cr_assert_eq(number(totals, "duplicate"), duplicate);
    cr_assert_eq(number(totals, "folded"), counted + duplicate);
    cr_assert_eq(number(totals, "in_flight"), 8);
    cr_assert_eq(number(root, "as_of"), GIVEN_NOW_MS / 1000);
    json_decref(root);
}

Test(global_reader_balance, a_click_too_many_is_not_set_off_against_one_too_few)
{
    replicas[0][0]->folded += 3;
    replicas[1][1]->folded -= 3;
    cut_all();
    json_t *root = balance();
    cr_assert_eq(number(root, "unexplained"), 6);
    cr_assert_eq(number(json_object_get(root, "totals"), "unexplained"), 6);
    json_t *lines = json_object_get(root, "lines");
    cr_assert_eq(number(json_array_get(lines, 0), "unexplained"), 3);
    cr_assert_eq(number(json_array_get(lines, 1), "unexplained"), 0);
    cr_assert_eq(number(json_array_get(lines, 3), "unexplained"), 3);
    json_decref(root);
}

Test(global_reader_balance, two_replicas_of_a_partition_are_one_line)
{
    struct given_replica *second = given_replica(w, 0, 0, "us-r2");
    given_click(second, given_ad(0, 0), GIVEN_MINUTE, 1, 4, 0);
    given_cut(second);
    given_pass_ms(w, 5000); /* its peers are further in the stream */
    cut_all();
    json_t *root = balance();
    json_t *lines = json_object_get(root, "lines");
    cr_assert_eq(json_array_size(lines), GIVEN_REGIONS * GIVEN_PARTITIONS);
    cr_assert_eq(number(json_array_get(lines, 0), "replicas"), 2);
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(lines, 0), "replica")),
                     "us-r1");
    cr_assert_eq(number(json_array_get(lines, 0), "counted"), 10);
    json_decref(root);
    given_replica_free(second);
}
