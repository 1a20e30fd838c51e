/* SPDX-License-Identifier: Apache-2.0
 * partition_map: steps by event minute. */
#include "proto/partition_map.h"

#include <criterion/criterion.h>
#include <signal.h>

#define SECOND (100 + LIMIT_HORIZON_MINUTES)

static struct partition_map grown(void)
{
    struct partition_map map = partition_map_of(4);
    cr_assert_eq(partition_map_grow(&map, 100, 8), ERR_OK);
    cr_assert_eq(partition_map_grow(&map, SECOND, 9), ERR_OK);
    return map;
}

Test(partition_map, a_minute_has_the_partitions_of_its_step)
{
    struct partition_map map = grown();
    static const struct {
        uint32_t minute, step, partitions, end;
    } cases[] = {{0, 0, 4, 100},
                 {99, 0, 4, 100},
                 {100, 1, 8, SECOND},
                 {SECOND - 1, 1, 8, SECOND},
                 {SECOND, 2, 9, UINT32_MAX},
                 {UINT32_MAX, 2, 9, UINT32_MAX}};
    for (unsigned i = 0; i < countof(cases); i++) {
        cr_assert_eq(partition_map_step(&map, cases[i].minute), cases[i].step);
        cr_assert_eq(partition_map_at(&map, cases[i].minute), cases[i].partitions);
        cr_assert_eq(partition_map_step_end(&map, cases[i].minute), cases[i].end);
    }
    cr_assert_eq(partition_map_last(&map), 9);
    cr_assert_eq(partition_map_last(&(struct partition_map){0}), 0);
}

Test(partition_map, it_grows_in_both_and_no_further_than_its_steps)
{
    struct partition_map map = grown();
    uint32_t next = SECOND + LIMIT_HORIZON_MINUTES;
    cr_assert_eq(partition_map_grow(&map, SECOND - 1, 10), ERR_RANGE);
    cr_assert_eq(partition_map_grow(&map, next - 1, 10), ERR_RANGE, "two at a time");
    cr_assert_eq(partition_map_grow(&map, next, 9), ERR_RANGE);
    cr_assert_eq(partition_map_grow(&map, next, LIMIT_PARTITIONS + 1), ERR_RANGE);
    for (uint16_t i = 0; map.count < PARTITION_MAP_STEPS; i++) {
        cr_assert_eq(partition_map_grow(&map, next, (uint16_t)(20 + i)), ERR_OK);
        next += LIMIT_HORIZON_MINUTES;
    }
    cr_assert_eq(partition_map_grow(&map, next, 1000), ERR_LIMIT);
    cr_assert(partition_map_is_valid(&map));
}

Test(partition_map, one_extends_another_when_it_holds_it_and_more)
{
    struct partition_map longer = grown(), map = longer, other = partition_map_of(4);
    map.count--;
    cr_assert_eq(partition_map_grow(&other, 101, 8), ERR_OK);
    cr_assert(partition_map_extends(&longer, &map));
    cr_assert_not(partition_map_extends(&longer, &longer));
    cr_assert_not(partition_map_extends(&longer, &other));
    cr_assert(partition_map_equal(&longer, &longer));
    cr_assert_not(partition_map_equal(&longer, &map));
    cr_assert_not(partition_map_equal(&map, &other));
    other = map;
    other.steps[1].partitions++;
    cr_assert_not(partition_map_equal(&map, &other));
}

static bool comes_back(const struct partition_map *map)
{
    struct buf stored = {0}, wired = {0};
    struct partition_map back;
    partition_map_put(map, &stored);
    partition_map_wire_put(map, &wired);
    struct reader r = reader_of(buf_span(&stored));
    struct wire_reader w = wire_reader_of(buf_span(&wired));
    bool from_store = partition_map_get(&back, &r) && partition_map_equal(&back, map);
    bool from_wire = partition_map_wire_get(&back, &w) == ERR_OK && partition_map_equal(&back, map);
    cr_assert_eq(from_store, from_wire);
    for (size_t length = 0; length < stored.length; length++) {
        r = reader_of(span_of(stored.data, length));
        cr_assert_not(partition_map_get(&back, &r));
    }
    for (size_t length = 0; length < wired.length; length++) {
        w = wire_reader_of(span_of(wired.data, length));
        cr_assert_neq(partition_map_wire_get(&back, &w), ERR_OK);
    }
    buf_done(&stored);
    buf_done(&wired);
    return from_store;
}

Test(partition_map, what_is_no_map_is_not_read_as_one)
{
    struct partition_map map = {0};
    cr_assert(comes_back(&map));
    map = grown();
    cr_assert(comes_back(&map));
    map.steps[2].from_minute = 100;
    cr_assert_not(comes_back(&map));
    map = grown();
    map.steps[0].from_minute = 1;
    cr_assert_not(comes_back(&map));
    map = (struct partition_map){.count = 1, .steps = {{0, 0}}};
    cr_assert_not(comes_back(&map));
    map.steps[0].partitions = LIMIT_PARTITIONS + 1;
    cr_assert_not(comes_back(&map));
}

Test(partition_map, numbers_beyond_their_width_are_refused)
{
    static const uint64_t numbers[][3] = {{2, 1ULL << 32, 4}, {2, 0, 70000}, {3, 0, 4}, {18, 0, 4}};
    for (unsigned i = 0; i < countof(numbers); i++) {
        struct buf b = {0};
        struct partition_map back;
        wire_put_array(&b, (uint32_t)numbers[i][0]);
        for (unsigned n = 0; n < numbers[i][0]; n++)
            wire_put_uint(&b, numbers[i][1 + n % 2]);
        struct wire_reader w = wire_reader_of(buf_span(&b));
        cr_assert_neq(partition_map_wire_get(&back, &w), ERR_OK);
        buf_done(&b);
    }
    uint8_t many = PARTITION_MAP_STEPS + 1;
    struct partition_map back;
    struct reader r = reader_of(span_of(&many, 1));
    cr_assert_not(partition_map_get(&back, &r));
}

Test(partition_map, a_turn_is_its_last_two_steps)
{
    struct partition_map map = grown(), one = partition_map_of(4);
    struct partition_turn turn =
        partition_turn_unpack(partition_turn_pack(partition_turn_of(&map)));
    cr_assert_eq(partition_turn_at(turn, SECOND - 1), 8);
    cr_assert_eq(partition_turn_at(turn, SECOND), 9);
    turn = partition_turn_of(&one);
    cr_assert_eq(partition_turn_at(turn, 0), 4);
    cr_assert_eq(partition_turn_at(turn, UINT32_MAX), 4);
}
