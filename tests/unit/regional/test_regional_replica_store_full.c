/* SPDX-License-Identifier: Apache-2.0
 * A full store: what a refused transaction would have deleted is deleted by the next, or the room
 * that it waits for never comes. */
#include "unit/regional/replica_given.h"

TestSuite(regional_replica_store_full, .timeout = 60);

/* Minutes of heartbeats: everything retires. From the moment that tables have gone, there is no
 * room but what their redo values leave, and the first transaction that would delete them is
 * refused. */
Test(regional_replica_store_full, room_comes_from_what_is_retired_also_after_a_refusal)
{
    struct world w;
    struct node n;
    given_short_horizon(&w, &n);
    uint64_t before = 0, cut = 0;
    for (unsigned i = 0; i < 12; i++) {
        world_advance(&w, 60000);
        publish_run(&w, SCHEDULE_CLICKS, SCHEDULE_CLICKS, schedule_clicks());
        for (unsigned step = 0; step < 8; step++) {
            uint32_t idle_ms;
            cr_assert_eq(replica_step(n.replica, &idle_ms), ERR_OK);
            if (cut > 0 || fold_of(&n)->retired_below <= GIVEN_MINUTE)
                continue;
            before = sim_kv_entries(n.kv, CUT_TABLE_REDO);
            sim_kv_limit(n.kv, sim_kv_bytes(n.kv));
            sim_kv_fail_commit(n.kv, 1, ERR_KV_FULL, false);
            cut = fold_of(&n)->cut;
        }
    }
    cr_assert_gt(cut, 0, "nothing was retired");
    cr_assert_gt(before, 20);
    cr_assert_geq(n.notes[REPLICA_STORE_FULL], 1);
    cr_assert_lt(sim_kv_entries(n.kv, CUT_TABLE_REDO), before);
    cr_assert_geq(fold_of(&n)->cut, cut + 5, "it goes on");
    node_done(&n);
    world_done(&w);
}
