/* SPDX-License-Identifier: Apache-2.0
 * Claims about h2_server, each made with a real client over loopback. The server runs on a thread of its own. */
#include "common/run/h2_server.h"
#include "common/run/tls.h"
#include "tests/unit/run/h2_probe.h"
#include "tests/unit/run/made_certs.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

#define HELD_MAX 4096

struct given {
    struct made_certs certs;
    SSL_CTX *tls;
    uv_loop_t loop;
    uv_async_t order;
    pthread_t thread;
    struct h2_server *server;
    struct h2_counters counters;
    uint16_t port;
    struct h2_request *held[HELD_MAX];
    unsigned held_count;
    _Atomic unsigned held_seen, cancelled_seen;
    _Atomic int wish; /* what the loop's thread shall do */
    uint32_t drain_ms;
    sem_t drained;
};

enum { WISH_NOTHING, WISH_RELEASE, WISH_DRAIN };

static void answer_text(struct h2_request *r, unsigned status, struct span body)
{
    const struct h2_header type = {"content-type", "text/plain"};
    h2_respond(r, status, &type, 1, body);
}

static void on_request(void *context, struct h2_request *r)
{
    struct given *g = context;
    static char text[1024];

    if (strcmp(r->path, "/hold") == 0) {
        g->held[g->held_count++] = r;
        g->held_seen++;
    } else if (strcmp(r->path, "/big") == 0) {
        size_t length = strtoul(r->query, NULL, 10);
        uint8_t *body = base_alloc(length);
        memset(body, 'x', length);
        answer_text(r, 200, span_of(body, length));
        free(body);
    } else if (strcmp(r->path, "/what") == 0) {
        snprintf(text, sizeof(text), "%s %s ?%s @%s from %s agent %s repeated %d body %zu", r->method,
                 r->path, r->query, r->authority, r->peer_ip,
                 h2_header(r, "user-agent") != NULL ? h2_header(r, "user-agent") : "-",
                 h2_header_repeated(r, "x-twice"), r->body.length);
        answer_text(r, 200, span_of_text(text));
    } else {
        answer_text(r, 200, r->body);
    }
}

static void on_drained(void *context)
{
    struct given *g = context;
    h2_server_free(g->server);
    uv_close((uv_handle_t *)&g->order, NULL);
    sem_post(&g->drained);
}

static void release(struct given *g)
{
    for (unsigned i = 0; i < g->held_count; i++) {
        g->cancelled_seen += g->held[i]->cancelled ? 1 : 0;
        answer_text(g->held[i], 200, span_of_text("released"));
    }
    g->held_count = 0;
}

static void on_order(uv_async_t *order)
{
    struct given *g = order->data;
    int wish = atomic_exchange(&g->wish, WISH_NOTHING);
    if (wish == WISH_RELEASE) {
        release(g);
        g->held_seen = 0;
    } else if (wish == WISH_DRAIN) {
        h2_server_drain(g->server, g->drain_ms, on_drained, g);
    }
}

static void *run(void *context)
{
    struct given *g = context;
    uv_run(&g->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void wish(struct given *g, int what)
{
    g->wish = what;
    uv_async_send(&g->order);
}

static struct given *given_server(const struct h2_server_options *wanted, bool client_certificates)
{
    struct given *g = base_zalloc(1, sizeof(*g));
    signal(SIGPIPE, SIG_IGN); /* as every shell does */
    made_certs_init(&g->certs);
    const struct tls_options tls = {.certificate_file = g->certs.certificate,
                                    .key_file = g->certs.key,
                                    .client_ca_file = client_certificates ? g->certs.ca : NULL};
    cr_assert_eq(tls_server_new(&tls, &g->tls), ERR_OK);
    uv_loop_init(&g->loop);
    uv_async_init(&g->loop, &g->order, on_order);
    g->order.data = g;
    sem_init(&g->drained, 0, 0);
    struct h2_server_options options = *wanted;
    options.loop = &g->loop;
    options.tls = g->tls;
    options.listen = "127.0.0.1:0";
    options.counters = &g->counters;
    options.on_request = on_request;
    options.context = g;
    if (options.body_bytes_max == 0)
        options.body_bytes_max = 8 * 1024 * 1024;
    cr_assert_eq(h2_server_start(&options, &g->server), ERR_OK);
    g->port = h2_server_port(g->server);
    g->drain_ms = 2000;
    pthread_create(&g->thread, NULL, run, g);
    return g;
}

static struct given *given_plain_server(void)
{
    const struct h2_server_options defaults = {0};
    return given_server(&defaults, false);
}

static bool counted(_Atomic uint64_t *counter, uint64_t at_least)
{
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    while (*counter < at_least)
        if (h2_probe_now() > deadline)
            return false;
        else
            poll(NULL, 0, 2);
    return true;
}

static bool held(struct given *g, unsigned count)
{
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    while (g->held_seen < count)
        if (h2_probe_now() > deadline)
            return false;
        else
            poll(NULL, 0, 2);
    return true;
}

static void join(struct given *g)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 10;
    cr_assert_eq(sem_timedwait(&g->drained, &deadline), 0, "the server did not drain");
    pthread_join(g->thread, NULL);
}

/* After a drain that the test asked for. */
static void buried(struct given *g)
{
    cr_assert_eq(uv_loop_close(&g->loop), 0, "a handle was left open");
    cr_assert_eq(g->counters.connections_open, 0);
    SSL_CTX_free(g->tls);
    made_certs_done(&g->certs);
    free(g);
}

static void over(struct given *g)
{
    wish(g, WISH_DRAIN);
    join(g);
    buried(g);
}

static const struct span no_body = {NULL, 0};

Test(h2_server, a_request_arrives_whole_and_its_answer_is_dated)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    const char *fields[] = {"user-agent", "tab\there", "x-twice", "1", "x-twice", "2", NULL};

    struct h2_probe_answer *a = h2_probe_one(p, "POST", "/what?a=1&b", fields, span_of_text("12345"));

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

Test(h2_server, a_body_over_the_limit_is_413_and_its_neighbours_go_on)
{
    const struct h2_server_options options = {.body_bytes_max = 100000};
    struct given *g = given_server(&options, false);
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    size_t length = 10 * 1024 * 1024;
    uint8_t *body = base_zalloc(1, length);

    int32_t good[3], bad[3];
    for (unsigned i = 0; i < 3; i++) {
        bad[i] = h2_probe_ask(p, "POST", "/echo", NULL, span_of(body, length), false);
        good[i] = h2_probe_ask(p, "POST", "/echo", NULL, span_of(body, 100000), false);
    }

    cr_assert(h2_probe_until(p, h2_probe_all_closed, NULL));
    for (unsigned i = 0; i < 3; i++) {
        struct h2_probe_answer *a = h2_probe_of(p, bad[i]);
        cr_expect_eq(a->status, 413);
        cr_expect(a->ended && a->error_code == NGHTTP2_NO_ERROR);
        cr_expect(h2_probe_has(a, "content-type: application/problem+json\n"));
        cr_expect(strstr(h2_probe_text(a), "\"urn:tributary:problem:body_too_large\"") != NULL);
        cr_expect_eq(h2_probe_of(p, good[i])->body.length, 100000);
    }
    cr_expect_eq(g->counters.refused_by_server_total, 3);
    cr_expect_eq(g->counters.requests_total, 3);
    free(body);
    h2_probe_close(p);
    over(g);
}

Test(h2_server, a_declared_length_over_the_limit_is_413_before_the_body)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    const char *fields[] = {"content-length", "8388609", NULL};

    int32_t id = h2_probe_ask(p, "POST", "/echo", fields, no_body, true);

    cr_assert(h2_probe_until(p, h2_probe_stream_closed, &id));
    cr_expect_eq(h2_probe_of(p, id)->status, 413);
    cr_expect_eq(h2_probe_one(p, "GET", "/what", NULL, no_body)->status, 200);
    h2_probe_close(p);
    over(g);
}

Test(h2_server, bodies_beyond_the_common_budget_are_told_to_come_again)
{
    const struct h2_server_options options = {.body_bytes_max = 1000, .buffered_bytes_max = 2500};
    struct given *g = given_server(&options, false);
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    uint8_t body[1000] = {0};
    for (unsigned i = 0; i < 2; i++)
        h2_probe_ask(p, "POST", "/hold", NULL, span_of(body, 1000), false);
    h2_probe_send(p);
    cr_assert(held(g, 2));

    struct h2_probe_answer *third = h2_probe_one(p, "POST", "/echo", NULL, span_of(body, 1000));

    cr_expect_eq(third->status, 503);
    cr_expect(h2_probe_has(third, "retry-after: 1\n"));
    wish(g, WISH_RELEASE);
    cr_assert(h2_probe_until(p, h2_probe_all_closed, NULL));
    cr_expect_eq(h2_probe_one(p, "POST", "/echo", NULL, span_of(body, 1000))->status, 200);
    h2_probe_close(p);
    over(g);
}

Test(h2_server, sixty_four_fields_pass_and_one_more_is_431)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    const char *fields[2 * 65 + 1];
    for (unsigned i = 0; i < 65; i++) {
        fields[2 * i] = "x-field";
        fields[2 * i + 1] = "v";
    }
    fields[2 * 64] = NULL;
    fields[2 * 65] = NULL;

    cr_expect_eq(h2_probe_one(p, "GET", "/what", fields, no_body)->status, 200);
    fields[2 * 64] = "x-field";
    cr_expect_eq(h2_probe_one(p, "GET", "/what", fields, no_body)->status, 431);

    h2_probe_close(p);
    over(g);
}

Test(h2_server, header_bytes_over_16_KiB_are_431)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    static char value[17000];
    memset(value, 'v', sizeof(value) - 1);
    const char *fields[] = {"x-long", value, NULL};

    cr_expect_eq(h2_probe_one(p, "GET", "/what", fields, no_body)->status, 431);
    cr_expect_eq(h2_probe_one(p, "GET", "/what", NULL, no_body)->status, 200);

    h2_probe_close(p);
    over(g);
}

Test(h2_server, a_control_character_in_a_field_is_400)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    const char *values[] = {"a\x01z", "a\nb", "a\rb", "\x7f"};

    for (unsigned i = 0; i < countof(values); i++) {
        const char *fields[] = {"x-odd", values[i], NULL};
        struct h2_probe_answer *a = h2_probe_one(p, "POST", "/what", fields, span_of_text("x"));
        cr_expect_eq(a->status, 400, "%u gave %u", i, a->status);
    }

    cr_expect_eq(h2_probe_one(p, "GET", "/what", NULL, no_body)->status, 200);
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
    const struct h2_probe_options known = {g->certs.client_certificate, g->certs.client_key, NULL, false};
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

Test(h2_server, a_flood_of_resets_ends_the_connection_and_no_other)
{
    struct given *g = given_plain_server();
    struct h2_probe *good = h2_probe_open(g->port, NULL), *bad = h2_probe_open(g->port, NULL);

    for (unsigned i = 0; i < 4000 && !bad->dead && !bad->goaway; i++) {
        int32_t id = h2_probe_ask(bad, "GET", "/what", NULL, no_body, false);
        h2_probe_send(bad);
        nghttp2_submit_rst_stream(bad->session, 0, id, NGHTTP2_CANCEL);
        h2_probe_send(bad);
    }
    (void)h2_probe_until(bad, h2_probe_is_dead, NULL);

    cr_expect(bad->dead);
    cr_expect_eq(g->counters.abuse_closed_total, 1);
    cr_expect_lt(g->counters.requests_total, 1000);
    cr_expect_eq(h2_probe_one(good, "GET", "/what", NULL, no_body)->status, 200);
    h2_probe_close(good);
    h2_probe_close(bad);
    over(g);
}

static void flood(uint8_t type, uint8_t flags, size_t payload, unsigned count)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    uint8_t frame[9 + 8] = {0, 0, (uint8_t)payload, type, flags};
    cr_assert_eq(h2_probe_one(p, "GET", "/what", NULL, no_body)->status, 200);

    if (type == NGHTTP2_DATA) { /* of a body that never ends */
        frame[8] = (uint8_t)h2_probe_ask(p, "POST", "/echo", NULL, no_body, true);
        h2_probe_send(p);
    }

    for (unsigned i = 0; i < count && h2_probe_write(p, frame, 9 + payload); i++)
        ;

    (void)h2_probe_until(p, h2_probe_is_dead, NULL);
    cr_expect_eq(g->counters.abuse_closed_total, 1);
    if (p->goaway) /* a reset may have overtaken it: we never read while we flooded */
        cr_expect_eq(p->goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    h2_probe_close(p);
    over(g);
}

Test(h2_server, a_flood_of_pings_is_ended)
{
    flood(NGHTTP2_PING, 0, 8, 110);
}

Test(h2_server, a_flood_of_settings_is_ended)
{
    flood(NGHTTP2_SETTINGS, 0, 0, 30);
}

Test(h2_server, a_flood_of_unknown_frames_is_ended)
{
    flood(0xbb, 0, 0, 110);
}

Test(h2_server, a_flood_of_empty_data_is_ended)
{
    flood(NGHTTP2_DATA, 0, 0, 110);
}

Test(h2_server, a_header_bomb_is_ended_after_a_quarter_of_a_mebibyte)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    static char value[2500]; /* short enough for the table of HPACK: then a byte a field */
    static const char *fields[2 * 4000 + 1];
    memset(value, 'b', sizeof(value) - 1);
    for (unsigned i = 0; i < 4000; i++) {
        fields[2 * i] = "x-bomb";
        fields[2 * i + 1] = value;
    }

    h2_probe_ask(p, "GET", "/what", fields, no_body, false);
    (void)h2_probe_until(p, h2_probe_is_dead, NULL);

    cr_expect(p->dead);
    cr_expect_eq(g->counters.abuse_closed_total, 1, "goaway %d code %u", p->goaway, p->goaway_code);
    h2_probe_close(p);
    over(g);
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

Test(h2_server, a_body_that_stops_is_408_and_a_silent_connection_is_closed)
{
    const struct h2_server_options options = {.idle_timeout_ms = 300, .stall_timeout_ms = 150};
    struct given *g = given_server(&options, false);
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    int silent = h2_probe_socket(g->port);
    char byte;

    int32_t id = h2_probe_ask(p, "POST", "/echo", NULL, span_of_text("half"), true);
    cr_assert(h2_probe_until(p, h2_probe_stream_closed, &id));

    cr_expect_eq(h2_probe_of(p, id)->status, 408);
    cr_expect(h2_probe_until(p, h2_probe_is_dead, NULL));
    cr_expect_eq(p->goaway_code, NGHTTP2_NO_ERROR);
    cr_expect_eq(read(silent, &byte, 1), 0);
    cr_expect(counted(&g->counters.stalled_total, 2));
    close(silent);
    h2_probe_close(p);
    over(g);
}

Test(h2_server, an_answer_that_nobody_takes_is_dropped)
{
    const struct h2_server_options options = {.stall_timeout_ms = 150};
    struct given *g = given_server(&options, false);
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    nghttp2_settings_entry none = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0};
    nghttp2_submit_settings(p->session, 0, &none, 1);

    int32_t id = h2_probe_ask(p, "GET", "/big?100000", NULL, no_body, false);
    cr_assert(h2_probe_until(p, h2_probe_stream_closed, &id));

    cr_expect_eq(h2_probe_of(p, id)->error_code, NGHTTP2_CANCEL);
    h2_probe_close(p);
    over(g);
}

Test(h2_server, connections_over_the_limit_are_refused_and_counted)
{
    const struct h2_server_options options = {.connections_max = 1};
    struct given *g = given_server(&options, false);
    struct h2_probe *first = h2_probe_open(g->port, NULL);
    cr_assert_eq(h2_probe_one(first, "GET", "/what", NULL, no_body)->status, 200);

    struct h2_probe *second = h2_probe_open(g->port, NULL);

    cr_expect(second->dead);
    cr_expect_eq(g->counters.connections_refused_total, 1);
    h2_probe_close(second);
    h2_probe_close(first);
    over(g);
}

Test(h2_server, running_out_of_descriptors_does_not_spin_and_passes)
{
    struct given *g = given_plain_server();
    int waiting[4];
    struct rlimit limit, low;
    struct rusage before, after;
    getrlimit(RLIMIT_NOFILE, &limit);
    for (unsigned i = 0; i < countof(waiting); i++)
        waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(g->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    low = limit;
    low.rlim_cur = (rlim_t)waiting[3] + 1; /* all that is open stays; nothing new */
    setrlimit(RLIMIT_NOFILE, &low);

    getrusage(RUSAGE_SELF, &before);
    for (unsigned i = 0; i < countof(waiting); i++)
        cr_assert_eq(connect(waiting[i], (struct sockaddr *)&address, sizeof(address)), 0);
    poll(NULL, 0, 250); /* the time in which a spinning server would burn */
    getrusage(RUSAGE_SELF, &after);
    setrlimit(RLIMIT_NOFILE, &limit);

    long burnt_ms = (after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000 +
                    (after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1000;
    cr_expect_lt(burnt_ms, 100);
    cr_expect(counted(&g->counters.connections_total, countof(waiting)));
    for (unsigned i = 0; i < countof(waiting); i++)
        close(waiting[i]);
    over(g);
}

Test(h2_server, servers_of_one_process_share_a_port_and_a_stranger_is_refused)
{
    struct given *g = given_plain_server();
    char listen[32];
    snprintf(listen, sizeof(listen), "127.0.0.1:%u", g->port);
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct h2_server_options options = {.loop = &loop, .tls = g->tls, .listen = listen, .body_bytes_max = 10,
                                        .on_request = on_request, .port_exclusive = true};
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
