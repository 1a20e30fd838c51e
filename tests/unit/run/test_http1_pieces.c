/* SPDX-License-Identifier: Apache-2.0
 * Answers in pieces over HTTP/1.1: each is a chunk, and the connection goes on behind the last. */
#include "tests/unit/run/http1_talk.h"

static void setup(void)
{
    given_http1 = true;
}

TestSuite(http1_pieces, .init = setup, .timeout = 60);

#define PIECES "/pieces HTTP/1.1\r\nHost: x\r\n\r\n"

static bool reached(_Atomic unsigned *counter, unsigned at_least)
{
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    while (*counter < at_least && h2_probe_now() < deadline)
        poll(NULL, 0, 2);
    return *counter >= at_least;
}

static struct given *given_pieces(size_t piece_bytes)
{
    struct given *g = given_plain_server();
    g->piece_bytes = piece_bytes;
    return g;
}

static void begin(struct given *g, struct talk *t)
{
    say(t, "GET " PIECES);
    cr_assert(reached(&g->pieces_begun, 1));
}

Test(http1_pieces, each_is_a_chunk_and_the_next_request_is_answered_behind_the_last)
{
    struct given *g = given_pieces(10);
    struct talk t = talk_to(g);
    begin(g, &t);

    for (unsigned i = 1; i <= 5; i++) {
        wish(g, WISH_WRITE);
        cr_assert(reached(&g->pieces_taken, i));
        cr_assert(hears_times(&t, "\r\na\r\n0000", i), "%s", heard(&t));
    }
    say(&t, WHAT "\r\n");
    cr_expect_eq(times(&t, "0\r\n\r\n"), 0);
    wish(g, WISH_END);

    cr_expect(hears(&t, "GET /what"), "%s", heard(&t));
    cr_expect_eq(times(&t, "transfer-encoding: chunked\r\n"), 1);
    cr_expect_eq(times(&t, "content-length: "), 1, "of the second answer alone");
    cr_expect_eq(times(&t, "\r\na\r\n00000000..\r\na\r\n00000001..\r\n"), 1, "%s", heard(&t));
    cr_expect_eq(times(&t, "\r\na\r\n00000004..\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"), 1);
    cr_expect_eq(g->pieces_gone, 0);
    end_talk(&t);
    over(g);
}

Test(http1_pieces, an_answer_without_any_ends_empty_and_head_gets_none)
{
    struct given *g = given_pieces(10);
    struct talk t = talk_to(g);
    begin(g, &t);

    wish(g, WISH_END);
    cr_expect(hears(&t, "\r\n\r\n0\r\n\r\n"));
    say(&t, "HEAD " PIECES WHAT "\r\n");

    cr_expect(hears(&t, "GET /what"), "%s", heard(&t));
    cr_expect_eq(times(&t, "0\r\n\r\n"), 1);
    end_talk(&t);
    over(g);
}

Test(http1_pieces, a_slow_client_gets_what_is_newest_not_a_queue)
{
    struct given *g = given_pieces(1000000);
    struct talk t = talk_to(g);
    begin(g, &t);

    for (unsigned i = 1; i <= 20; i++) {
        wish(g, WISH_WRITE);
        uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
        while (g->pieces_taken + g->pieces_refused < i && h2_probe_now() < deadline)
            poll(NULL, 0, 2);
    }

    cr_expect_geq(g->pieces_taken, 1);
    cr_expect_geq(g->pieces_refused, 1);
    end_talk(&t);
    cr_expect(reached(&g->pieces_gone, 1));
    over(g);
}

Test(http1_pieces, a_client_that_rests_is_not_stalled_and_one_that_leaves_is_told_of)
{
    const struct h2_server_options options = {.stall_timeout_ms = 100, .idle_timeout_ms = 100};
    struct given *g = given_server(&options, false);
    g->piece_bytes = 10;
    struct talk t = talk_to(g);
    struct h2_probe *other = h2_probe_open(g->port, NULL);
    begin(g, &t);

    cr_expect(h2_probe_until(other, h2_probe_is_dead, NULL)); /* idle for as long as it may be */
    wish(g, WISH_WRITE);
    cr_expect(hears(&t, "00000000"));
    cr_expect_eq(g->pieces_gone, 0);
    end_talk(&t);

    cr_expect(reached(&g->pieces_gone, 1));
    cr_expect_eq(g->counters.stalled_total, 0);
    h2_probe_close(other);
    over(g);
}

Test(http1_pieces, a_drain_ends_them_at_once)
{
    struct given *g = given_pieces(10);
    struct talk t = talk_to(g);
    begin(g, &t);
    g->drain_ms = 10000;

    wish(g, WISH_DRAIN);

    cr_expect(hears_the_end(&t));
    cr_expect_eq(times(&t, "0\r\n\r\n"), 1);
    cr_expect_eq(g->pieces_gone, 1);
    end_talk(&t);
    join(g);
    buried(g);
}
