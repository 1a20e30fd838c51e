/* SPDX-License-Identifier: Apache-2.0
 * Claims about http1_session: whole conversations of HTTP/1.1 with a server over loopback. */
#include "tests/unit/run/http1_talk.h"

static void setup(void)
{
    given_http1 = true;
}

TestSuite(http1_session, .init = setup, .timeout = 60);

Test(http1_session, a_request_arrives_as_one_of_http2_does)
{
    struct given *g = given_plain_server();
    struct talk t = talk_to(g);

    say(&t, "POST /what?a=1&b HTTP/1.1\r\nHost: localhost\r\nUser-Agent: tab\there\r\n"
            "X-Twice: 1\r\nx-twice: 2\r\nContent-Length: 5\r\n\r\n12345");

    cr_expect(hears(&t, "repeated 1 body 5"), "%s", heard(&t));
    cr_expect_eq(strncmp(heard(&t), "HTTP/1.1 200 OK\r\n", 17), 0);
    cr_expect_eq(times(&t, "POST /what ?a=1&b @localhost from 127.0.0.1 agent tab here"), 1);
    cr_expect_eq(times(&t, "content-length: 76\r\n"), 1);
    cr_expect_eq(times(&t, "GMT\r\n"), 1);
    cr_expect_eq(times(&t, "connection:"), 0);
    cr_expect_eq(g->counters.requests_by_protocol[H2_PROTOCOL_HTTP1], 1);
    cr_expect_eq(g->counters.requests_by_protocol[H2_PROTOCOL_HTTP2], 0);
    end_talk(&t);
    over(g);
}

Test(http1_session, without_alpn_http1_is_spoken_and_with_both_http2)
{
    struct given *g = given_plain_server();
    struct talk t = talk_as(g, "");
    const struct h2_probe_options both = {.alpn = "\10http/1.1\2h2"};
    struct h2_probe *p = h2_probe_open(g->port, &both);

    say(&t, WHAT "\r\n");

    cr_expect(hears(&t, "GET /what"));
    cr_expect_eq(h2_probe_one(p, "GET", "/what", NULL, no_body)->status, 200);
    cr_expect_eq(g->counters.connections_by_protocol[H2_PROTOCOL_HTTP1], 1);
    cr_expect_eq(g->counters.connections_by_protocol[H2_PROTOCOL_HTTP2], 1);
    h2_probe_close(p);
    end_talk(&t);
    over(g);
}

Test(http1_session, a_client_that_offers_neither_is_refused_in_the_handshake)
{
    struct given *g = given_plain_server();

    struct talk t = talk_as(g, "\6spdy/3");

    cr_expect(t.probe->dead);
    cr_expect(counted(&g->counters.handshake_failures_total, 1));
    end_talk(&t);
    over(g);
}

Test(http1_session, chunks_become_one_body_and_the_connection_goes_on)
{
    struct given *g = given_plain_server();
    struct talk t = talk_to(g);

    say(&t, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            "3\r\none\r\n4;note=1\r\n two\r\n0\r\nX-Sum: 1\r\n\r\n");
    cr_expect(hears(&t, "\r\n\r\none two"), "%s", heard(&t));
    say(&t, WHAT "\r\n");

    cr_expect(hears(&t, "GET /what"));
    cr_expect_eq(g->counters.requests_total, 2);
    end_talk(&t);
    over(g);
}

Test(http1_session, bytes_may_come_one_by_one)
{
    struct given *g = given_plain_server();
    struct talk t = talk_to(g);
    const char *text = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" WHAT "\r\n";

    for (; *text != '\0'; text++)
        say_bytes(&t, text, 1);

    cr_expect(hears(&t, "\r\n\r\nabc"));
    cr_expect(hears(&t, "GET /what"));
    end_talk(&t);
    over(g);
}

Test(http1_session, what_is_sent_ahead_is_answered_in_order)
{
    struct given *g = given_plain_server();
    struct talk t = talk_to(g);
    struct buf all = {0};
    char text[128];

    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(text, sizeof(text),
                       "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n<%05u>", i);
        buf_put(&all, text, strlen(text));
    }
    say_bytes(&t, all.data, all.length);

    cr_assert(hears(&t, "<00099>"));
    const char *at = heard(&t);
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(text, sizeof(text), "\r\n\r\n<%05u>", i);
        at = strstr(at, text);
        cr_assert_not_null(at, "%u", i);
    }
    buf_done(&all);
    end_talk(&t);
    over(g);
}

Test(http1_session, a_request_sent_ahead_waits_for_the_answer_before_it)
{
    struct given *g = given_plain_server();
    struct talk t = talk_to(g);

    say(&t, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n" WHAT "\r\n");
    cr_assert(held(g, 1));
    say(&t, WHAT "\r\n");
    cr_expect_eq(g->counters.requests_total, 1);
    wish(g, WISH_RELEASE);

    cr_expect(hears_times(&t, "GET /what", 2));
    cr_expect_lt(strstr(heard(&t), "released"), strstr(heard(&t), "GET /what"));
    end_talk(&t);
    over(g);
}

Test(http1_session, a_client_that_does_not_read_is_not_read_from)
{
    struct given *g = given_plain_server();
    struct talk t = talk_to(g);
    static const char ask[] = "GET /big?4000000 HTTP/1.1\r\nHost: x\r\n\r\n";
    enum { COUNT = 64 };

    for (unsigned i = 0; i < COUNT; i++)
        say_bytes(&t, ask, sizeof(ask) - 1);
    cr_expect(counted(&g->counters.requests_total, 1));
    struct h2_probe *other = h2_probe_open(g->port, NULL);
    for (unsigned i = 0; i < 20; i++) /* turns of the loop in which it might have gone on */
        cr_expect_eq(h2_probe_one(other, "GET", "/what", NULL, no_body)->status, 200);

    /* what the kernel takes, and what is under way; not all */
    cr_expect_lt(g->counters.requests_by_protocol[H2_PROTOCOL_HTTP1], COUNT / 2);
    for (unsigned i = 0; i < COUNT; i++) {
        cr_assert(hears(&t, "content-length: 4000000\r\n"));
        size_t head = (size_t)(strstr(heard(&t), "\r\n\r\n") + 4 - heard(&t));
        uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
        while (t.heard.length < head + 4000000 && h2_probe_now() < deadline)
            hear_some(&t, deadline);
        forget_until(&t, head + 4000000);
    }
    cr_expect_eq(g->counters.requests_by_protocol[H2_PROTOCOL_HTTP1], COUNT);
    h2_probe_close(other);
    end_talk(&t);
    over(g);
}

Test(http1_session, head_gets_the_length_but_no_body)
{
    struct given *g = given_plain_server();
    struct talk t = talk_to(g);

    say(&t, "HEAD /big?100 HTTP/1.1\r\nHost: x\r\n\r\n" WHAT "\r\n");

    cr_expect(hears(&t, "GET /what"));
    cr_expect_eq(times(&t, "content-length: 100\r\n"), 1);
    cr_expect_eq(times(&t, "xxxx"), 0);
    end_talk(&t);
    over(g);
}

Test(http1_session, a_body_is_sent_for_when_the_client_asks_first)
{
    struct given *g = given_plain_server();
    struct talk t = talk_to(g);

    say(&t, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    cr_assert(hears(&t, "HTTP/1.1 100 Continue\r\n\r\n"));
    say(&t, "abc");

    cr_expect(hears(&t, "\r\n\r\nabc"));
    end_talk(&t);
    over(g);
}

Test(http1_session, a_body_of_the_limit_passes_whole_and_a_big_answer_comes_back)
{
    struct given *g = given_plain_server();
    struct talk t = talk_to(g);
    size_t length = 8 * 1024 * 1024;
    char *body = base_alloc(length);
    for (size_t i = 0; i < length; i++)
        body[i] = (char)('a' + (i * 2654435761u >> 24) % 26);

    say(&t, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n\r\n");
    say_bytes(&t, body, length);

    cr_assert(hears(&t, "\r\n\r\n"));
    size_t head = (size_t)(strstr(heard(&t), "\r\n\r\n") + 4 - heard(&t));
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    while (t.heard.length < head + length && !t.probe->dead && h2_probe_now() < deadline)
        hear_some(&t, deadline);
    cr_expect_eq(t.heard.length, head + length);
    cr_expect(t.heard.length == head + length && memcmp(t.heard.data + head, body, length) == 0);
    free(body);
    end_talk(&t);
    over(g);
}

Test(http1_session, close_is_obeyed_and_what_follows_is_no_request)
{
    struct given *g = given_plain_server();
    struct talk t = talk_to(g);

    say(&t, WHAT "Connection: close\r\n\r\n" WHAT "\r\n");

    cr_expect(hears_the_end(&t));
    cr_expect_eq(times(&t, "GET /what"), 1);
    cr_expect_eq(times(&t, "connection: close\r\n"), 1);
    cr_expect_eq(g->counters.requests_total, 1);
    end_talk(&t);
    over(g);
}

Test(http1_session, a_request_whose_connection_died_is_cancelled)
{
    struct given *g = given_plain_server();
    struct talk t = talk_to(g);
    say(&t, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n" WHAT);
    cr_assert(held(g, 1));

    end_talk(&t);
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    while (g->counters.connections_open > 0 && h2_probe_now() < deadline)
        poll(NULL, 0, 2);
    wish(g, WISH_RELEASE);
    t = talk_to(g);
    say(&t, WHAT "\r\n");

    cr_expect(hears(&t, "GET /what"));
    cr_expect_eq(g->cancelled_seen, 1);
    end_talk(&t);
    over(g);
}

Test(http1_session, draining_answers_what_is_open_says_close_and_lets_idle_ones_go)
{
    struct given *g = given_plain_server();
    struct talk busy = talk_to(g), idle = talk_to(g);
    say(&idle, WHAT "\r\n");
    cr_assert(hears(&idle, "GET /what"));
    say(&busy, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    cr_assert(held(g, 1));
    g->drain_ms = 10000;

    wish(g, WISH_DRAIN);
    cr_expect(hears_the_end(&idle));
    cr_expect_eq(times(&idle, "HTTP/1.1 "), 1);
    wish(g, WISH_RELEASE);

    cr_expect(hears_the_end(&busy));
    cr_expect_eq(times(&busy, "connection: close\r\n"), 1);
    cr_expect_eq(times(&busy, "released"), 1);
    end_talk(&busy);
    end_talk(&idle);
    join(g);
    buried(g);
}

Test(http1_session, forwarded_names_the_client_here_too)
{
    struct proxy_network network;
    cr_assert(proxy_header_network_parse("127.0.0.0/8", &network));
    const struct h2_server_options options = {.forwarded_networks = &network,
                                              .forwarded_network_count = 1};
    struct given *g = given_server(&options, false);
    struct talk t = talk_to(g);

    say(&t, WHAT "X-Forwarded-For: 203.0.113.7\r\n\r\n");

    cr_expect(hears(&t, "from 203.0.113.7 "), "%s", heard(&t));
    end_talk(&t);
    over(g);
}
