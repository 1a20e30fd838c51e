/* SPDX-License-Identifier: Apache-2.0
 * Answers in pieces: they go out as they are written, a slow client has no queue, and whoever
 * leaves is told of. Over real TLS. */
#include "h2_given.h"

TestSuite(h2_pieces, .timeout = 60);

static struct given *given_pieces(size_t piece_bytes)
{
    struct given *g = given_plain_server();
    g->piece_bytes = piece_bytes;
    return g;
}

static bool reached(_Atomic unsigned *counter, unsigned at_least)
{
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    while (*counter < at_least && h2_probe_now() < deadline)
        poll(NULL, 0, 2);
    return *counter >= at_least;
}

/* Has one piece written; true if it was taken. */
static bool written(struct given *g)
{
    unsigned taken = g->pieces_taken, before = taken + g->pieces_refused;
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    wish(g, WISH_WRITE);
    while (g->pieces_taken + g->pieces_refused == before && h2_probe_now() < deadline)
        poll(NULL, 0, 2);
    cr_assert_eq(g->pieces_taken + g->pieces_refused, before + 1);
    return g->pieces_taken > taken;
}

static size_t wanted_bytes;

static bool has_bytes(struct h2_probe *p, void *id)
{
    return h2_probe_of(p, *(int32_t *)id)->body.length >= wanted_bytes;
}

static void expect_bytes(struct h2_probe *p, int32_t id, size_t bytes)
{
    wanted_bytes = bytes;
    cr_assert(h2_probe_until(p, has_bytes, &id), "%zu of %zu bytes",
              h2_probe_of(p, id)->body.length, bytes);
    cr_assert_eq(h2_probe_of(p, id)->body.length, bytes);
}

static int32_t begun(struct given *g, struct h2_probe *p)
{
    int32_t id = h2_probe_ask(p, "GET", "/pieces", NULL, no_body, false);
    h2_probe_send(p);
    cr_assert(reached(&g->pieces_begun, 1));
    return id;
}

Test(h2_pieces, each_goes_out_when_it_is_written)
{
    struct given *g = given_pieces(100);
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    int32_t id = begun(g, p);

    for (unsigned i = 0; i < 50; i++) {
        cr_assert(written(g), "piece %u", i);
        expect_bytes(p, id, 100 * (i + 1));
    }
    wish(g, WISH_END);

    struct h2_probe_answer *a = h2_probe_of(p, id);
    cr_assert(h2_probe_until(p, h2_probe_stream_closed, &id));
    cr_assert(a->ended && a->error_code == NGHTTP2_NO_ERROR);
    cr_assert_eq(a->status, 200);
    cr_assert_not(h2_probe_has(a, "content-length"));
    cr_assert_eq(a->body.length, 5000);
    cr_assert_eq(g->pieces_gone, 0);
    cr_assert_eq(h2_probe_one(p, "GET", "/echo", NULL, no_body)->status, 200);
    h2_probe_close(p);
    over(g);
}

Test(h2_pieces, an_answer_without_any_ends_empty)
{
    struct given *g = given_pieces(100);
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    int32_t id = begun(g, p);

    wish(g, WISH_END);

    cr_assert(h2_probe_until(p, h2_probe_stream_closed, &id));
    cr_assert_eq(h2_probe_of(p, id)->body.length, 0);
    cr_assert(h2_probe_of(p, id)->ended);
    h2_probe_close(p);
    over(g);
}

Test(h2_pieces, head_gets_no_pieces)
{
    struct given *g = given_pieces(100);
    struct h2_probe *p = h2_probe_open(g->port, NULL);

    struct h2_probe_answer *a = h2_probe_one(p, "HEAD", "/pieces", NULL, no_body);

    cr_assert_eq(a->status, 200);
    cr_assert(a->ended);
    cr_assert_null(g->pieces);
    h2_probe_close(p);
    over(g);
}

Test(h2_pieces, a_slow_client_gets_what_is_newest_not_a_queue)
{
    struct given *g = given_pieces(40000);
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    int32_t id = begun(g, p);
    unsigned taken = 0;

    /* it does not read: its window takes the first, and a part of the second */
    for (unsigned i = 0; i < 20; i++)
        taken += written(g) ? 1 : 0;

    cr_assert_eq(taken, 2);
    expect_bytes(p, id, 80000);
    cr_assert(written(g)); /* the 21st: the others are gone for good */
    expect_bytes(p, id, 120000);
    cr_assert_arr_eq(h2_probe_of(p, id)->body.data + 40000, "00000001", 8);
    cr_assert_arr_eq(h2_probe_of(p, id)->body.data + 80000, "00000020", 8);
    h2_probe_close(p);
    cr_assert(reached(&g->pieces_gone, 1));
    over(g);
}

Test(h2_pieces, a_client_that_rests_with_the_server_is_not_stalled_but_one_that_takes_nothing_is)
{
    const struct h2_server_options quick = {.stall_timeout_ms = 200, .idle_timeout_ms = 200};
    struct given *g = given_server(&quick, false);
    g->piece_bytes = 40000;
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    int32_t id = begun(g, p);

    poll(NULL, 0, 600); /* three time-outs without a piece: nobody is slow */
    cr_assert_eq(g->pieces_gone, 0);
    cr_assert(written(g));
    expect_bytes(p, id, 40000);
    while (written(g)) /* until its window is full */
        ;

    cr_assert(reached(&g->pieces_gone, 1), "a reader that has died would be kept for ever");
    cr_assert_geq(g->counters.stalled_total, 1);
    h2_probe_close(p);
    over(g);
}

Test(h2_pieces, a_reset_and_a_lost_connection_are_told_once)
{
    struct given *g = given_pieces(100);
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    int32_t id = begun(g, p);
    cr_assert(written(g));

    nghttp2_submit_rst_stream(p->session, 0, id, NGHTTP2_CANCEL);
    h2_probe_send(p);
    cr_assert(reached(&g->pieces_gone, 1));

    (void)h2_probe_ask(p, "GET", "/pieces", NULL, no_body, false);
    h2_probe_send(p);
    cr_assert(reached(&g->pieces_begun, 2));
    h2_probe_close(p);
    cr_assert(reached(&g->pieces_gone, 2));
    over(g);
}

Test(h2_pieces, a_drain_ends_them_at_once)
{
    struct given *g = given_pieces(100);
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    int32_t id = begun(g, p);
    cr_assert(written(g));
    g->drain_ms = 60000;

    wish(g, WISH_DRAIN);

    cr_assert(h2_probe_until(p, h2_probe_stream_closed, &id));
    cr_assert(h2_probe_of(p, id)->ended);
    cr_assert_eq(h2_probe_of(p, id)->body.length, 100);
    cr_assert(h2_probe_until(p, h2_probe_is_dead, NULL) || p->dead);
    cr_assert_eq(g->pieces_gone, 1);
    h2_probe_close(p);
    join(g);
    buried(g);
}
