/* SPDX-License-Identifier: Apache-2.0
 * A read without a consumer, or with one that says that all is well and delivers nothing. */
#include "fake_nats.h"

TestSuite(bus_nats_step, .fini = tear_down, .timeout = 60);

/* The stream holds messages up to here; a test's own thread reads, the server's writes. */
static uint64_t last_seq;
static unsigned creates, creates_answered_from;

static bool answer_get(const char *subject, const char *reply, const char *body)
{
    char text[512];
    if (strncmp(subject, "$JS.API.STREAM.MSG.GET.S", 24) != 0)
        return false;
    uint64_t seq = strtoull(strstr(body, "\"seq\":") + 6, NULL, 10);
    if (seq > last_seq)
        answer(reply, "{\"type\":\"t\",\"error\":{\"code\":404,\"err_code\":10037}}");
    else {
        (void)snprintf(text, sizeof(text),
                       "{\"type\":\"t\",\"message\":{\"subject\":\"s.1\",\"seq\":%llu,"
                       "\"data\":\"aGVsbG8=\",\"time\":\"2023-11-14T22:13:20.123456789Z\"}}",
                       (unsigned long long)seq);
        answer(reply, text);
    }
    return true;
}

static bool answer_create(const char *subject, const char *reply)
{
    if (strncmp(subject, "$JS.API.CONSUMER.CREATE.", 24) != 0)
        return false;
    if (creates++ >= creates_answered_from)
        answer(reply, "{\"type\":\"t\",\"stream_name\":\"S\",\"name\":\"c\",\"config\":{}}");
    return true;
}

static void expect_hello(uint64_t seq)
{
    struct bus_event e = expect(BUS_MESSAGE);
    cr_expect_eq(e.seq, seq);
    cr_expect_eq(e.time_ms, 1700000000123ULL, "the same time as a consumer would say");
    cr_expect_str_eq(e.subject, "s.1");
    cr_expect(span_equal(e.data, span_of_text("hello")));
}

static void never_a_consumer(const char *subject, const char *reply, const char *body)
{
    if (!answer_create(subject, reply))
        (void)answer_get(subject, reply, body);
}

Test(bus_nats_step, without_a_consumer_the_leader_is_asked)
{
    last_seq = 12;
    creates_answered_from = UINT32_MAX;
    open_scripted(never_a_consumer);

    cr_assert_eq(bus_read(bus, "S", 9, 6), ERR_OK);

    for (uint64_t seq = 10; seq <= 12; seq++)
        expect_hello(seq);
    struct bus_event e;
    cr_expect_not(next_within(&e, 300), "there is no more");
    last_seq = 13;
    expect_hello(13);
}

/* A heartbeat for each message that the leader gives: all is well, says the consumer. */
static void say_nothing_new(const char *subject, const char *reply, const char *body)
{
    static char pull[256];
    if (strncmp(subject, "$JS.API.CONSUMER.MSG.NEXT.S.c", 29) == 0)
        (void)snprintf(pull, sizeof(pull), "%s", reply);
    (void)answer_create(subject, reply);
    (void)answer_get(subject, reply, body);
    if (pull[0] != '\0')
        fake_deliver(pull, pull, "", "",
                     "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 0\r\nNats-Last-Stream: 9");
}

Test(bus_nats_step, a_consumer_that_does_not_deliver_is_given_up)
{
    last_seq = UINT64_MAX;
    creates_answered_from = 0;
    open_scripted(say_nothing_new);

    cr_assert_eq(bus_read(bus, "S", 9, 6), ERR_OK);

    uint64_t seq = 10, until_ms = nats_fixture_now_ms() + WAIT_MS;
    struct bus_event e = {.kind = BUS_MESSAGE};
    while (nats_fixture_now_ms() < until_ms && next_within(&e, WAIT_MS) && e.kind == BUS_MESSAGE)
        cr_assert_eq(e.seq, seq++, "in order, none twice");
    cr_expect_eq(e.kind, BUS_READ_END);
    cr_expect_gt(seq, 11, "the leader's messages came meanwhile");
}

/* A consumer that is late repeats what the leader gave, when the leader has no more. */
static void come_late(const char *subject, const char *reply, const char *body)
{
    static char pull[256];
    char ack[128];
    if (strncmp(subject, "$JS.API.CONSUMER.MSG.NEXT.S.c", 29) == 0 && pull[0] == '\0') {
        (void)snprintf(pull, sizeof(pull), "%s", reply);
        last_seq = 12;
    }
    bool is_end = answer_get(subject, reply, body) && strstr(body, ":13}") != NULL;
    if (answer_create(subject, reply) || !is_end || pull[0] == '\0')
        return;
    for (unsigned i = 0; i < 4; i++) {
        (void)snprintf(ack, sizeof(ack), "$JS.ACK.d.h.S.c.1.%u.%u.1700000000123456789.0.r", 10 + i,
                       i + 1);
        fake_deliver(pull, "s.1", ack, "hello", NULL);
    }
    pull[0] = '\0';
    last_seq = 13;
}

Test(bus_nats_step, what_a_late_consumer_repeats_is_told_once)
{
    last_seq = 9;
    creates_answered_from = 0;
    open_scripted(come_late);

    cr_assert_eq(bus_read(bus, "S", 9, 6), ERR_OK);

    for (uint64_t seq = 10; seq <= 13; seq++)
        expect_hello(seq);
    struct bus_event e;
    cr_expect_not(next_within(&e, 200), "none twice, and the read goes on");
}

static void no_stream(const char *subject, const char *reply, const char *body)
{
    (void)body;
    if (strncmp(subject, "$JS.API.STREAM.MSG.GET.S", 24) == 0)
        answer(reply, "{\"type\":\"t\",\"error\":{\"code\":404,\"err_code\":10059}}");
}

Test(bus_nats_step, a_stream_that_is_gone_ends_the_read)
{
    open_scripted(no_stream);

    cr_assert_eq(bus_read(bus, "S", 9, 6), ERR_OK);

    cr_expect_eq(expect(BUS_READ_END).handle, 6);
}
