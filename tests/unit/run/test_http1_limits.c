/* SPDX-License-Identifier: Apache-2.0
 * Claims about what HTTP/1.1 may not do: smuggle, grow, stall, flood. */
#include "common/run/h2_conn.h"
#include "tests/unit/run/http1_talk.h"
#include "tests/unit/run/http1_vectors.h"

static void setup(void)
{
    given_http1 = true;
}

TestSuite(http1_limits, .init = setup, .timeout = 60);

Test(http1_limits, a_body_too_long_is_not_sent_for)
{
    const struct h2_server_options options = {.body_bytes_max = 1000};
    struct given *g = given_server(&options, false);
    struct talk t = talk_to(g);

    say(&t,
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n");

    cr_expect(hears_the_end(&t));
    cr_expect_eq(strncmp(heard(&t), "HTTP/1.1 413 ", 13), 0, "%s", heard(&t));
    cr_expect_eq(times(&t, "connection: close\r\n"), 1);
    cr_expect_eq(g->counters.requests_total, 0);
    end_talk(&t);
    over(g);
}

Test(http1_limits, a_client_still_sending_a_body_too_long_gets_its_answer)
{
    const struct h2_server_options options = {.body_bytes_max = 100000};
    struct given *g = given_server(&options, false);
    struct talk t = talk_to(g);
    static char chunk[10000 + 8];
    (void)snprintf(chunk, sizeof(chunk), "2710\r\n");
    memset(chunk + 6, 'a', 10000);
    memcpy(chunk + 6 + 10000, "\r\n", 2);

    say(&t, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (unsigned i = 0; i < 100; i++)
        if (!h2_probe_write(t.probe, chunk, sizeof(chunk)))
            break;

    cr_expect(hears_the_end(&t));
    cr_expect_eq(strncmp(heard(&t), "HTTP/1.1 413 ", 13), 0, "%s", heard(&t));
    cr_expect_eq(g->counters.requests_total, 0);
    end_talk(&t);
    over(g);
}

static unsigned status_wanted(const char *refusal)
{
    for (unsigned kind = 1; kind < HTTP1_REFUSALS; kind++)
        if (strcmp(http1_refusal_token(kind), refusal) == 0)
            return http1_refusal_status(kind);
    return 0;
}

/* With a request behind it, which a server that misreads the first one would answer. */
static void expect_refused(struct given *g, const struct vector *v)
{
    struct talk t = talk_to(g);
    char wanted[32];
    (void)snprintf(wanted, sizeof(wanted), "HTTP/1.1 %u ", status_wanted(v->wanted + 1));

    say_bytes(&t, v->bytes, v->length);
    (void)h2_probe_write(t.probe, WHAT "\r\n", strlen(WHAT "\r\n"));

    cr_expect(hears_the_end(&t), "%s", v->name);
    cr_expect_eq(strncmp(heard(&t), wanted, strlen(wanted)), 0, "%s: %s", v->name, heard(&t));
    cr_expect_eq(times(&t, "content-length:"), 1, "%s: %s", v->name, heard(&t));
    cr_expect_eq(times(&t, "connection: close\r\n"), 1, "%s", v->name);
    cr_expect_eq(times(&t, "application/problem+json"), 1, "%s", v->name);
    end_talk(&t);
}

Test(http1_limits, what_smuggles_is_refused_and_nothing_of_it_reaches_the_application)
{
    struct given *g = given_plain_server();
    uint64_t refused = 0;

    for (size_t i = 0; i < countof(bad_heads); i++)
        expect_refused(g, &bad_heads[i]);
    for (size_t i = 0; i < countof(bad_bodies); i++)
        expect_refused(g, &bad_bodies[i]);

    for (unsigned kind = 0; kind < HTTP1_REFUSALS; kind++)
        refused += g->counters.http1_refused_by_kind[kind];
    cr_expect_eq(refused, countof(bad_heads) + countof(bad_bodies));
    cr_expect_eq(g->counters.requests_total, 0);
    over(g);
}

Test(http1_limits, header_fields_have_the_limits_of_http2)
{
    struct given *g = given_plain_server();
    struct talk t = talk_to(g);
    char value[4001];
    memset(value, 'a', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';

    say(&t, WHAT);
    for (unsigned i = 0; i < 5; i++) {
        say(&t, "x-long: ");
        if (!h2_probe_write(t.probe, value, sizeof(value) - 1) ||
            !h2_probe_write(t.probe, "\r\n", 2))
            break;
    }

    cr_expect(hears_the_end(&t));
    cr_expect_eq(strncmp(heard(&t), "HTTP/1.1 431 ", 13), 0, "%s", heard(&t));
    end_talk(&t);
    over(g);
}

static void expect_timed_out(struct given *g, const char *text, const char *wanted)
{
    struct talk t = talk_to(g);

    say(&t, text);

    cr_expect(hears_the_end(&t), "%s", text);
    cr_expect_eq(strncmp(heard(&t), wanted, strlen(wanted)), 0, "%s: %s", text, heard(&t));
    cr_expect(wanted[0] != '\0' || t.heard.length == 0, "%s: %s", text, heard(&t));
    end_talk(&t);
}

Test(http1_limits, who_stalls_is_told_and_who_idles_is_let_go)
{
    const struct h2_server_options options = {.idle_timeout_ms = 300, .stall_timeout_ms = 150};
    struct given *g = given_server(&options, false);

    expect_timed_out(g, "P", "HTTP/1.1 408 ");
    expect_timed_out(g, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na",
                     "HTTP/1.1 408 ");
    expect_timed_out(g, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n",
                     "HTTP/1.1 408 ");
    cr_expect_eq(g->counters.stalled_total, 3);
    expect_timed_out(g, WHAT "\r\n", "HTTP/1.1 200 ");
    expect_timed_out(g, "\r\n", "");

    cr_expect_eq(g->counters.stalled_total, 3);
    over(g);
}

Test(http1_limits, a_slow_head_is_cut_off_although_it_moves)
{
    const struct h2_server_options options = {.stall_timeout_ms = 200};
    struct given *g = given_server(&options, false);
    struct talk t = talk_to(g);
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;

    say(&t, WHAT);
    while (g->counters.stalled_total == 0 && h2_probe_now() < deadline) {
        (void)h2_probe_write(t.probe, "a", 1);
        poll(NULL, 0, 10);
    }

    cr_expect(hears_the_end(&t));
    cr_expect_eq(g->counters.requests_total, 0);
    end_talk(&t);
    over(g);
}

/* The budget itself is test_abuse_budget's: here it is empty, and stays so. */
Test(http1_limits, over_its_budget_of_header_bytes_a_connection_is_told_and_ended)
{
    struct given *g = given_plain_server();
    struct talk t = talk_to(g);
    say(&t, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    cr_assert(held(g, 1));
    struct h2_stream *stream = container_of(g->held[0], struct h2_stream, request);
    stream->conn->budget.left[ABUSE_HEADER_BYTES] = 0;
    stream->conn->budget.filled_ms[ABUSE_HEADER_BYTES] = UINT64_MAX;
    wish(g, WISH_RELEASE);
    cr_assert(hears(&t, "released"));

    say(&t, WHAT "\r\n" WHAT "\r\n");

    cr_expect(hears_the_end(&t));
    cr_expect_eq(times(&t, "HTTP/1.1 429 Too Many Requests\r\n"), 1, "%s", heard(&t));
    cr_expect_eq(times(&t, "connection: close\r\n"), 1);
    cr_expect_eq(times(&t, "GET /what"), 0);
    cr_expect_eq(g->counters.abuse_closed_by_kind[ABUSE_HEADER_BYTES], 1);
    end_talk(&t);
    over(g);
}

Test(http1_limits, who_goes_on_asking_while_his_answers_wait_for_him_gets_each_in_order)
{
    enum { RECORDS = 40, ASKS = 50 };
    struct given *g = given_plain_server();
    struct talk t = talk_to(g);
    struct h2_probe *other = h2_probe_open(g->port, NULL);
    struct buf asks = {0};
    char text[64];

    for (unsigned i = 0; i < RECORDS; i++) {
        buf_clear(&asks);
        for (unsigned k = 0; k < ASKS; k++) {
            (void)snprintf(text, sizeof(text), "GET /big?%u HTTP/1.1\r\nHost: x\r\n\r\n",
                           10000 + i * ASKS + k);
            buf_put(&asks, text, strlen(text));
        }
        say_bytes(&t, asks.data, asks.length);
        cr_assert_eq(h2_probe_one(other, "GET", "/", NULL, no_body)->status, 200);
    }

    cr_expect_lt(g->counters.requests_by_protocol[H2_PROTOCOL_HTTP1], RECORDS * ASKS);
    for (unsigned i = 0; i < RECORDS * ASKS; i++) {
        (void)snprintf(text, sizeof(text), "content-length: %u\r\n", 10000 + i);
        cr_assert(hears(&t, "\r\n\r\n"), "%u", i);
        cr_assert_not_null(strstr(heard(&t), text), "%u: %.100s", i, heard(&t));
        size_t head = (size_t)(strstr(heard(&t), "\r\n\r\n") + 4 - heard(&t));
        uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
        while (t.heard.length < head + 10000 + i && h2_probe_now() < deadline)
            hear_some(&t, deadline);
        forget_until(&t, head + 10000 + i);
    }
    buf_done(&asks);
    h2_probe_close(other);
    end_talk(&t);
    over(g);
}

Test(http1_limits, what_is_sent_behind_a_waiting_request_piles_up_in_the_kernel_alone)
{
    enum { COUNT = 500 };
    struct given *g = given_plain_server();
    struct talk t = talk_to(g);
    struct h2_probe *other = h2_probe_open(g->port, NULL);
    char piece[1024];
    memset(piece, 'a', sizeof(piece));
    memcpy(piece, WHAT "X: ", sizeof(WHAT "X: ") - 1);
    memcpy(piece + sizeof(piece) - 4, "\r\n\r\n", 4);
    say(&t, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    cr_assert(held(g, 1));

    for (unsigned i = 0; i < COUNT; i++) { /* each is read by itself, if it is read */
        say_bytes(&t, piece, sizeof(piece));
        cr_assert_eq(h2_probe_one(other, "GET", "/", NULL, no_body)->status, 200);
    }

    cr_expect_lt(g->counters.bytes_in_total, 200000); /* 64 KiB, and the other's requests */
    cr_expect_eq(g->counters.requests_by_protocol[H2_PROTOCOL_HTTP1], 1);
    wish(g, WISH_RELEASE);
    cr_expect(hears_times(&t, "GET /what", COUNT));
    h2_probe_close(other);
    end_talk(&t);
    over(g);
}
