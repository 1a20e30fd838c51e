/* SPDX-License-Identifier: Apache-2.0
 * test_peer_budget: limits by client address, and that being forgotten helps nobody. */
#include "common/run/peer_budget.h"

#include "common/base/rng.h"

#include <criterion/criterion.h>

static const struct peer_limits limits = {.connections = 3,
                                          .connects_per_s = 2,
                                          .connects_burst = 5,
                                          .requests_per_s = 10,
                                          .requests_burst = 20};

struct address {
    uint8_t ip[16];
};

static struct address v4(uint32_t host)
{
    struct address a = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10}};
    a.ip[13] = (uint8_t)(host >> 16);
    a.ip[14] = (uint8_t)(host >> 8);
    a.ip[15] = (uint8_t)host;
    return a;
}

static struct address v6(uint8_t net, uint8_t host)
{
    struct address a = {{0x20, 1, 0xd, 0xb8, 0, 0, 0, net, [15] = host}};
    return a;
}

static enum peer_verdict connect_once(struct peer_budget *b, struct address a, uint64_t now_ms)
{
    uint32_t entry;
    enum peer_verdict verdict = peer_budget_connect(b, a.ip, now_ms, &entry);
    if (verdict == PEER_FINE)
        peer_budget_disconnect(b, entry);
    return verdict;
}

Test(peer_budget, the_connections_of_an_address_are_bounded_and_given_back)
{
    struct peer_budget *b = peer_budget_new(&limits, 16, 1);
    uint32_t entries[4];

    for (int i = 0; i < 3; i++)
        cr_assert_eq(peer_budget_connect(b, v4(1).ip, 0, &entries[i]), PEER_FINE);
    cr_assert_eq(peer_budget_connect(b, v4(1).ip, 0, &entries[3]), PEER_TOO_MANY);
    cr_assert_eq(peer_budget_connect(b, v4(2).ip, 0, &entries[3]), PEER_FINE);
    peer_budget_disconnect(b, entries[1]);

    cr_assert_eq(peer_budget_connect(b, v4(1).ip, 0, &entries[1]), PEER_FINE);
    cr_assert_eq(peer_budget_known(b), 2);
    peer_budget_free(b);
}

Test(peer_budget, new_connections_come_at_a_rate)
{
    struct peer_budget *b = peer_budget_new(&limits, 16, 1);

    for (int i = 0; i < 5; i++)
        cr_assert_eq(connect_once(b, v4(1), 1000), PEER_FINE);
    cr_assert_eq(connect_once(b, v4(1), 1000), PEER_TOO_FAST);
    cr_assert_eq(connect_once(b, v4(1), 1499), PEER_TOO_FAST);
    cr_assert_eq(connect_once(b, v4(1), 1500), PEER_FINE);
    cr_assert_eq(connect_once(b, v4(1), 1500), PEER_TOO_FAST);
    cr_assert_eq(connect_once(b, v4(1), 0), PEER_TOO_FAST, "a clock that went back");
    cr_assert_eq(connect_once(b, v4(1), UINT64_MAX), PEER_FINE);
    peer_budget_free(b);
}

Test(peer_budget, a_v6_network_of_64_bits_is_one_peer_and_v4_addresses_are_not)
{
    struct peer_budget *b = peer_budget_new(&limits, 16, 1);

    for (uint8_t i = 0; i < 5; i++)
        cr_assert_eq(connect_once(b, v6(1, i), 0), PEER_FINE);
    cr_assert_eq(connect_once(b, v6(1, 77), 0), PEER_TOO_FAST);
    cr_assert_eq(connect_once(b, v6(2, 77), 0), PEER_FINE);
    for (uint32_t i = 0; i < 6; i++)
        cr_assert_eq(connect_once(b, v4(i), 0), PEER_FINE);
    peer_budget_free(b);
}

Test(peer_budget, requests_are_told_when_to_come_again)
{
    struct peer_budget *b = peer_budget_new(&limits, 16, 1);
    const struct peer_limits slow = {.requests_per_s = 1, .requests_burst = 1};
    uint32_t wait_s = 0;

    for (int i = 0; i < 20; i++)
        cr_assert_eq(peer_budget_request(b, v4(1).ip, 0, &wait_s), PEER_FINE);
    cr_assert_eq(peer_budget_request(b, v4(1).ip, 0, &wait_s), PEER_TOO_FAST);
    cr_assert_eq(wait_s, 1);
    cr_assert_eq(peer_budget_request(b, v4(1).ip, 99, &wait_s), PEER_TOO_FAST);
    cr_assert_eq(peer_budget_request(b, v4(1).ip, 100, &wait_s), PEER_FINE);
    peer_budget_free(b);

    b = peer_budget_new(&slow, 1, 1);
    cr_assert_eq(peer_budget_request(b, v4(1).ip, 0, &wait_s), PEER_FINE);
    cr_assert_eq(peer_budget_request(b, v4(1).ip, 0, &wait_s), PEER_TOO_FAST);
    cr_assert_eq(wait_s, 1);
    peer_budget_free(b);
}

Test(peer_budget, no_limit_is_no_limit)
{
    const struct peer_limits none = {0};
    struct peer_budget *b = peer_budget_new(&none, 2, 1);
    uint32_t entries[100], wait_s;

    for (uint32_t i = 0; i < countof(entries); i++) {
        cr_assert_eq(peer_budget_connect(b, v4(i).ip, 0, &entries[i]), PEER_FINE);
        cr_assert_eq(peer_budget_request(b, v4(i).ip, 0, &wait_s), PEER_FINE);
    }
    for (uint32_t i = 0; i < countof(entries); i++)
        peer_budget_disconnect(b, entries[i]);
    peer_budget_free(b);
    peer_budget_free(NULL);
}

Test(peer_budget, a_crowd_does_not_reset_the_budget_of_one)
{
    struct peer_budget *b = peer_budget_new(&limits, 8, 1);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(connect_once(b, v4(0), 0), PEER_FINE);

    for (uint32_t i = 1; i < 1000; i++)
        (void)connect_once(b, v4(i), 0);

    cr_assert_eq(connect_once(b, v4(0), 0), PEER_TOO_FAST);
    cr_assert_eq(peer_budget_known(b), 8);
    peer_budget_free(b);
}

Test(peer_budget, without_room_newcomers_share_one_bounded_entry_until_others_are_as_new)
{
    struct peer_budget *b = peer_budget_new(&limits, 4, 1);
    uint32_t fine = 0, entry;
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(connect_once(b, v4(i), 0), PEER_FINE);

    for (uint32_t i = 100; i < 10100; i++)
        fine += connect_once(b, v4(i), 0) == PEER_FINE;
    cr_assert_eq(fine, PEER_BUDGET_SHARED * limits.connects_burst);

    /* half a second later the four have refilled, and are forgotten for one who asks */
    cr_assert_eq(peer_budget_connect(b, v4(9000).ip, 500, &entry), PEER_FINE);
    cr_assert_lt(entry, 4);
    peer_budget_disconnect(b, entry);
    peer_budget_free(b);
}

Test(peer_budget, an_address_with_a_connection_is_never_forgotten)
{
    struct peer_budget *b = peer_budget_new(&limits, 4, 1);
    uint32_t held[3], entry;
    for (int i = 0; i < 3; i++)
        cr_assert_eq(peer_budget_connect(b, v4(1).ip, 0, &held[i]), PEER_FINE);

    for (uint32_t i = 2; i < 500; i++)
        (void)connect_once(b, v4(i), i * 1000);

    cr_assert_eq(peer_budget_connect(b, v4(1).ip, 1000000, &entry), PEER_TOO_MANY);
    for (int i = 0; i < 3; i++)
        peer_budget_disconnect(b, held[i]);
    peer_budget_free(b);
}

/* Whatever a crowd does, no address ever gets more than burst + rate * time, nor holds more than
 * its limit, unless it was served by the shared entry, whose own bound holds. */
Test(peer_budget, nobody_gets_more_than_his_budget_over_any_history)
{
    enum { PEERS = 40, HELD = 3 * PEERS };
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct rng rng = {seed};
        struct peer_budget *b = peer_budget_new(&limits, 24, seed);
        uint64_t opened[PEERS] = {0}, shared = 0, now_ms = 0;
        uint32_t held_by[PEERS] = {0}, entries[HELD], owners[HELD], held = 0;
        for (int step = 0; step < 4000; step++) {
            uint32_t who = (uint32_t)rng_below(&rng, PEERS), entry;
            now_ms += rng_below(&rng, 30);
            if (held > 0 && rng_chance(&rng, 400)) {
                uint32_t at = (uint32_t)rng_below(&rng, held);
                peer_budget_disconnect(b, entries[at]);
                if (entries[at] < 24)
                    held_by[owners[at]]--;
                held--;
                entries[at] = entries[held];
                owners[at] = owners[held];
            } else if (held < HELD &&
                       peer_budget_connect(b, v4(who).ip, now_ms, &entry) == PEER_FINE) {
                if (entry < 24) {
                    opened[who]++;
                    held_by[who]++;
                } else {
                    shared++;
                }
                entries[held] = entry;
                owners[held++] = who;
            }
            cr_assert_leq(held_by[who], limits.connections);
            cr_assert_leq(opened[who] * 1000,
                          limits.connects_burst * 1000 + limits.connects_per_s * now_ms);
            cr_assert_leq(shared * 1000, PEER_BUDGET_SHARED * (limits.connects_burst * 1000 +
                                                               limits.connects_per_s * now_ms));
            cr_assert_leq(peer_budget_known(b), 24);
        }
        peer_budget_free(b);
    }
}
