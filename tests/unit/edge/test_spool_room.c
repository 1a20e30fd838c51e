/* SPDX-License-Identifier: Apache-2.0
 * Claims about spool_room: the disk may be smaller than the spool is allowed to be. */
#include "edge/core/spool_room.h"

#include <criterion/criterion.h>

#define MIB (1ULL << 20)

Test(spool_room, on_a_large_disk_the_options_bound_stands)
{
    cr_expect_eq(spool_room_bytes(1000 * MIB, 0, 1032 * MIB), 1000 * MIB);
    cr_expect_eq(spool_room_bytes(1000 * MIB, 900 * MIB, 500 * MIB), 1000 * MIB);
    cr_expect_eq(spool_room_bytes(1000 * MIB, 0, UINT64_MAX), 1000 * MIB);
}

Test(spool_room, a_small_disk_holds_what_it_has_and_what_is_free_less_a_reserve)
{
    cr_expect_eq(spool_room_bytes(1000 * MIB, 200 * MIB, 100 * MIB), 268 * MIB);
    cr_expect_eq(spool_room_bytes(1000 * MIB, 950 * MIB, 40 * MIB), 958 * MIB);
    cr_expect_eq(spool_room_bytes(1000 * MIB, 0, 1031 * MIB), 999 * MIB);
    cr_expect_eq(spool_room_bytes(1000 * MIB, 300 * MIB, 0), 300 * MIB, "others filled the disk");
    cr_expect_eq(spool_room_bytes(1000 * MIB, 1000 * MIB, 0), 1000 * MIB, "it need not grow");
    cr_expect_eq(spool_room_bytes(1000 * MIB, 1001 * MIB, 0), 1000 * MIB);
}

Test(spool_room, limit_of_the_reserve_nothing_grows_into_it)
{
    cr_expect_eq(spool_room_bytes(1000 * MIB, 1 * MIB, 32 * MIB), 1 * MIB);
    cr_expect_eq(spool_room_bytes(1000 * MIB, 0, 20 * MIB), 0);
    cr_expect(spool_room_is_full(1, 0));
}

Test(spool_room, full_begins_at_95_percent)
{
    cr_expect_not(spool_room_is_full(950, 1000));
    cr_expect(spool_room_is_full(951, 1000));
}
