/* SPDX-License-Identifier: Apache-2.0
 * Claims about h2_server: requests, answers, handshakes and the end, with a real client over
 * loopback. */
#include "tests/unit/run/h2_given.h"

Test(h2_server, a_request_arrives_whole_and_its_answer_is_dated)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    const char *fields[] = {"user-agent", "tab\there", "x-twice", "1", "x-twice", "2", NULL};

    struct h2_probe_answer *a =
        h2_probe_one(p, "POST", "/what?a=1&b", fields, span_of_text("12345"));

    cr_expect_eq(a->status, 200);
    cr_expect_str_eq(h2_probe_text(a), "POST /what ?a=1&b @localhost from 127.0.0.1 agent tab here "
                                       "repeated 1 body 5");
    cr_expect(h2_probe_has(a, "content-length: 76\n"), "%s", (char *)a->headers.data);
    cr_expect(h2_probe_has(a, "GMT\n"));
    cr_expect(h2_probe_has(a, "content-type: text/plain\n"));
    h2_probe_close(p);
    over(g);
}

Test(h2_server, head_gets_the_length_but_no_body)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);

    struct h2_probe_answer *a = h2_probe_one(p, "HEAD", "/big?100", NULL, no_body);

    cr_expect_eq(a->status, 200);
    cr_expect(a->ended);
    cr_expect(h2_probe_has(a, "content-length: 100\n"));
    cr_expect_eq(a->body.length, 0);
    h2_probe_close(p);
    over(g);
}

Test(h2_server, a_hundred_parallel_streams_get_each_its_own_answer)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    char bodies[100][16];
    int32_t ids[100];

    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < 100; i++) {
            snprintf(bodies[i], sizeof(bodies[i]), "%u/%u", round, i);
            ids[i] = h2_probe_ask(p, "POST", "/echo", NULL, span_of_text(bodies[i]), false);
        }
        cr_assert(h2_probe_until(p, h2_probe_all_closed, NULL));
        for (unsigned i = 0; i < 100; i++)
            cr_expect_str_eq(h2_probe_text(h2_probe_of(p, ids[i])), bodies[i]);
    }

    cr_expect_eq(g->counters.requests_total, 1000);
    h2_probe_close(p);
    over(g);
}

Test(h2_server, requests_answered_later_and_together_are_all_answered)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    for (unsigned i = 0; i < 100; i++)
        h2_probe_ask(p, "GET", "/hold", NULL, no_body, false);
    h2_probe_send(p);
    cr_assert(held(g, 100));

    wish(g, WISH_RELEASE);

    cr_assert(h2_probe_until(p, h2_probe_all_closed, NULL));
    for (unsigned i = 0; i < 100; i++)
        cr_expect_eq(p->answers[i].status, 200);
    h2_probe_close(p);
    over(g);
}

Test(h2_server, a_body_of_the_limit_passes_whole_and_a_big_answer_comes_back)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    nghttp2_session_set_local_window_size(p->session, 0, 0, 16 * 1024 * 1024);
    size_t length = 8 * 1024 * 1024;
    uint8_t *body = base_alloc(length);
    for (size_t i = 0; i < length; i++)
        body[i] = (uint8_t)(i * 2654435761u >> 24);

    struct h2_probe_answer *a = h2_probe_one(p, "POST", "/echo", NULL, span_of(body, length));

    cr_expect_eq(a->status, 200);
    cr_expect_eq(a->body.length, length);
    cr_expect(a->body.length == length && memcmp(a->body.data, body, length) == 0);
    free(body);
    h2_probe_close(p);
    over(g);
}

Test(h2_server, plain_http_is_told_that_this_port_speaks_tls)
{
    struct given *g = given_plain_server();
    int file = h2_probe_socket(g->port);
    const char *ask = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    char answer[1024] = "";
    size_t length = 0;

    cr_assert_eq(write(file, ask, strlen(ask)), (ssize_t)strlen(ask));
    for (ssize_t got = 1; got > 0; length += got > 0 ? (size_t)got : 0)
        got = read(file, answer + length, sizeof(answer) - 1 - length);

    cr_expect_eq(strncmp(answer, "HTTP/1.1 400 ", 13), 0);
    cr_expect(strstr(answer, "This port speaks TLS") != NULL);
    cr_expect_eq(g->counters.plain_http_total, 1);
    cr_expect_eq(g->counters.handshake_failures_total, 0);
    close(file);
    over(g);
}

Test(h2_server, a_client_without_h2_is_refused_in_the_handshake)
{
    struct given *g = given_plain_server();
    const struct h2_probe_options http1 = {.alpn = "\10http/1.1"}, none = {.alpn = ""};

    struct h2_probe *a = h2_probe_open(g->port, &http1), *b = h2_probe_open(g->port, &none);

    cr_expect(a->dead);
    cr_expect(b->dead);
    cr_expect(counted(&g->counters.handshake_failures_total, 2));
    h2_probe_close(a);
    h2_probe_close(b);
    over(g);
}

Test(h2_server, a_client_certificate_of_a_stranger_gets_no_answer)
{
    const struct h2_server_options options = {0};
    struct given *g = given_server(&options, true);
    const struct h2_probe_options known = {g->certs.client_certificate, g->certs.client_key, NULL,
                                           false};
    const struct h2_probe_options stranger = {g->certs.stranger_certificate, g->certs.stranger_key,
                                              NULL, false};
    const struct h2_probe_options *refused[] = {&stranger, NULL};

    struct h2_probe *p = h2_probe_open(g->port, &known);
    cr_expect_eq(h2_probe_one(p, "GET", "/what", NULL, no_body)->status, 200);
    h2_probe_close(p);

    for (unsigned i = 0; i < 2; i++) {
        p = h2_probe_open(g->port, refused[i]);
        if (!p->dead)
            cr_expect_eq(h2_probe_one(p, "GET", "/what", NULL, no_body)->status, 0);
        cr_expect(p->dead);
        h2_probe_close(p);
    }
    cr_expect(counted(&g->counters.handshake_failures_total, 2));
    cr_expect_eq(g->counters.requests_total, 1);
    over(g);
}

Test(h2_server, a_request_reset_by_its_client_is_cancelled_and_the_connection_lives)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    int32_t id = h2_probe_ask(p, "POST", "/hold", NULL, span_of_text("x"), false);
    h2_probe_send(p);
    cr_assert(held(g, 1));

    nghttp2_submit_rst_stream(p->session, 0, id, NGHTTP2_CANCEL);
    cr_expect_eq(h2_probe_one(p, "GET", "/what", NULL, no_body)->status, 200);
    wish(g, WISH_RELEASE);

    cr_expect_eq(h2_probe_one(p, "GET", "/what", NULL, no_body)->status, 200);
    cr_expect_eq(g->cancelled_seen, 1);
    h2_probe_close(p);
    over(g);
}

Test(h2_server, requests_whose_connection_died_are_cancelled)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    for (unsigned i = 0; i < 5; i++)
        h2_probe_ask(p, "POST", "/hold", NULL, span_of_text("x"), false);
    h2_probe_send(p);
    cr_assert(held(g, 5));

    h2_probe_close(p);
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    while (g->counters.connections_open > 0 && h2_probe_now() < deadline)
        poll(NULL, 0, 2);
    wish(g, WISH_RELEASE);
    p = h2_probe_open(g->port, NULL);
    cr_expect_eq(h2_probe_one(p, "GET", "/what", NULL, no_body)->status, 200);

    cr_expect_eq(g->cancelled_seen, 5);
    h2_probe_close(p);
    over(g);
}

Test(h2_server, draining_finishes_open_requests_and_takes_no_new_connection)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    int32_t id = h2_probe_ask(p, "POST", "/hold", NULL, span_of_text("x"), false);
    h2_probe_send(p);
    cr_assert(held(g, 1));
    g->drain_ms = 5000;

    wish(g, WISH_DRAIN);
    while (!p->goaway && !p->dead) /* the first, which names no last stream */
        h2_probe_one(p, "GET", "/what", NULL, no_body);
    cr_expect_eq(h2_probe_socket(g->port), -1);
    wish(g, WISH_RELEASE);

    cr_expect(h2_probe_until(p, h2_probe_stream_closed, &id));
    cr_expect_eq(h2_probe_of(p, id)->status, 200);
    cr_expect(h2_probe_until(p, h2_probe_is_dead, NULL));
    cr_expect_eq(p->goaway_code, NGHTTP2_NO_ERROR);
    h2_probe_close(p);
    join(g);
    buried(g);
}

Test(h2_server, draining_ends_at_its_deadline_and_late_answers_are_dropped)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    h2_probe_ask(p, "POST", "/hold", NULL, span_of_text("x"), false);
    h2_probe_send(p);
    cr_assert(held(g, 1));
    g->drain_ms = 200;

    wish(g, WISH_DRAIN);
    join(g);

    cr_expect(g->held[0]->cancelled);
    release(g); /* the loop has ended and the server was freed: memory alone */
    cr_expect(h2_probe_until(p, h2_probe_is_dead, NULL));
    h2_probe_close(p);
    buried(g);
}

Test(h2_server, what_is_not_http2_inside_tls_is_ended)
{
    struct given *g = given_plain_server();
    const struct h2_probe_options raw = {.raw = true};
    struct h2_probe *p = h2_probe_open(g->port, &raw);
    char byte;

    cr_assert(h2_probe_write(p, "GET / HTTP/1.1\r\n\r\n", 18));
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    for (int got = 1; !p->dead && h2_probe_now() < deadline;)
        if ((got = SSL_read(p->ssl, &byte, 1)) <= 0)
            (void)h2_probe_step(p, got, deadline);

    cr_expect(p->dead);
    h2_probe_close(p);
    over(g);
}

Test(h2_server, servers_of_one_process_share_a_port_and_a_stranger_is_refused)
{
    struct given *g = given_plain_server();
    char listen[32];
    snprintf(listen, sizeof(listen), "127.0.0.1:%u", g->port);
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct h2_server_options options = {.loop = &loop,
                                        .tls = g->tls,
                                        .listen = listen,
                                        .body_bytes_max = 10,
                                        .on_request = on_request,
                                        .port_exclusive = true};
    struct h2_server *second;

    cr_expect_eq(h2_server_start(&options, &second), ERR_SYSTEM);
    options.port_exclusive = false;
    cr_expect_eq(h2_server_start(&options, &second), ERR_OK);

    h2_server_drain(second, 0, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    h2_server_free(second);
    cr_expect_eq(uv_loop_close(&loop), 0);
    options.listen = "nonsense";
    cr_expect_eq(h2_server_start(&options, &second), ERR_CONFIG);
    over(g);
}
