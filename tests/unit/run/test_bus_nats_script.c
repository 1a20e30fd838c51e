/* SPDX-License-Identifier: Apache-2.0
 * The bus port against a scripted server: what a real one says only when it is unlucky. */
#include "fake_nats.h"

TestSuite(bus_nats_script, .fini = tear_down, .timeout = 60);

static bool is_create(const char *subject, const char *reply)
{
    if (strncmp(subject, "$JS.API.CONSUMER.CREATE.", 24) != 0)
        return false;
    answer(reply, "{\"type\":\"t\",\"stream_name\":\"S\",\"name\":\"c\",\"config\":{}}");
    return true;
}

static unsigned pulls;

/* True for the first pull only. */
static bool is_first_pull(const char *subject)
{
    return strncmp(subject, "$JS.API.CONSUMER.MSG.NEXT.S.c", 29) == 0 && pulls++ == 0;
}

static void deliver(const char *pull, uint64_t stream_seq, uint64_t consumer_seq)
{
    char ack[128];
    (void)snprintf(ack, sizeof(ack), "$JS.ACK.d.h.S.c.1.%llu.%llu.1700000000123456789.0.r",
                   (unsigned long long)stream_seq, (unsigned long long)consumer_seq);
    fake_deliver(pull, "s.1", ack, "hello", NULL);
}

static void lose_third(const char *subject, const char *reply, const char *body)
{
    (void)body;
    if (is_create(subject, reply) || !is_first_pull(subject))
        return;
    deliver(reply, 11, 1);
    deliver(reply, 12, 2);
    deliver(reply, 14, 4);
    deliver(reply, 15, 5);
}

Test(bus_nats_script, a_message_lost_on_the_way_ends_the_read)
{
    open_scripted(lose_third);
    cr_assert_eq(bus_read(bus, "S", 10, 6), ERR_OK);

    struct bus_event e = expect(BUS_MESSAGE);
    cr_expect_eq(e.seq, 11);
    cr_expect_eq(e.time_ms, 1700000000123ULL);
    cr_expect_eq(expect(BUS_MESSAGE).seq, 12);
    cr_expect_eq(expect(BUS_READ_END).handle, 6);
    cr_expect_not(next_within(&e, 200), "nothing of an ended read follows");
}

static void skip_in_stream(const char *subject, const char *reply, const char *body)
{
    (void)body;
    if (is_create(subject, reply) || !is_first_pull(subject))
        return;
    deliver(reply, 11, 1);
    deliver(reply, 19, 2); /* 12..18 are not in the stream (any more) */
    deliver(reply, 19, 3); /* but a stream never goes back */
}

Test(bus_nats_script, a_hole_in_the_stream_is_told_and_a_step_back_ends_the_read)
{
    open_scripted(skip_in_stream);
    cr_assert_eq(bus_read(bus, "S", 10, 6), ERR_OK);

    cr_expect_eq(expect(BUS_MESSAGE).seq, 11);
    cr_expect_eq(expect(BUS_MESSAGE).seq, 19);
    (void)expect(BUS_READ_END);
}

static void lose_last(const char *subject, const char *reply, const char *body)
{
    (void)body;
    if (is_create(subject, reply) || !is_first_pull(subject))
        return;
    deliver(reply, 11, 1);
    fake_deliver(reply, reply, "", "",
                 "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\nNats-Last-Stream: 11");
    fake_deliver(reply, reply, "", "",
                 "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 2\r\nNats-Last-Stream: 12");
}

Test(bus_nats_script, a_heartbeat_tells_of_a_lost_last_message)
{
    open_scripted(lose_last);
    uint64_t start = nats_fixture_now_ms();
    cr_assert_eq(bus_read(bus, "S", 10, 6), ERR_OK);

    cr_expect_eq(expect(BUS_MESSAGE).seq, 11);
    (void)expect(BUS_READ_END);
    cr_expect_lt(nats_fixture_now_ms() - start, 2000, "sooner than by its silence");
}

static unsigned batches[4];

static void expire(const char *subject, const char *reply, const char *body)
{
    if (is_create(subject, reply) || strncmp(subject, "$JS.API.CONSUMER.MSG.NEXT.", 26) != 0)
        return;
    if (pulls < countof(batches))
        batches[pulls] = (unsigned)strtoul(strstr(body, "\"batch\":") + 8, NULL, 10);
    if (pulls == 0) {
        deliver(reply, 1, 1);
        fake_deliver(reply, reply, "", "",
                     "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 63");
    } else if (pulls == 1) { /* as a server without that header would */
        fake_deliver(reply, reply, "", "", "NATS/1.0 408 Request Timeout");
    } else if (pulls == 2) {
        deliver(reply, 2, 2);
    }
    pulls++;
}

Test(bus_nats_script, an_expired_pull_is_asked_again_in_full)
{
    open_scripted(expire);
    cr_assert_eq(bus_read(bus, "S", 0, 0), ERR_OK);

    cr_expect_eq(expect(BUS_MESSAGE).seq, 1);
    cr_expect_eq(expect(BUS_MESSAGE).seq, 2);

    cr_expect_eq(batches[0], 64);
    cr_expect_eq(batches[1], 64);
    cr_expect_eq(batches[2], 64);
}

static void delete_consumer(const char *subject, const char *reply, const char *body)
{
    (void)body;
    if (!is_create(subject, reply) && is_first_pull(subject))
        fake_deliver(reply, reply, "", "", "NATS/1.0 409 Consumer Deleted");
}

Test(bus_nats_script, a_deleted_consumer_ends_the_read)
{
    open_scripted(delete_consumer);
    uint64_t start = nats_fixture_now_ms();
    cr_assert_eq(bus_read(bus, "S", 0, 2), ERR_OK);

    cr_expect_eq(expect(BUS_READ_END).handle, 2);
    cr_expect_lt(nats_fixture_now_ms() - start, 2000, "sooner than by its silence");
}

static void answer_oddly(const char *subject, const char *reply, const char *body)
{
    (void)subject;
    if (strcmp(body, "chat") == 0)
        answer(reply, "hello, who are you?");
    if (strcmp(body, "full") == 0)
        answer(reply, "{\"error\":{\"code\":503,\"err_code\":10077,\"description\":\"full\"},"
                      "\"stream\":\"S\",\"seq\":0}");
    if (strcmp(body, "zero") == 0)
        answer(reply, "{\"stream\":\"S\",\"seq\":0}");
    if (strcmp(body, "twice") == 0) {
        answer(reply, "{\"stream\":\"S\",\"seq\":5}");
        answer(reply, "{\"stream\":\"S\",\"seq\":6}");
    }
}

Test(bus_nats_script, only_a_stream_acknowledges_and_only_once)
{
    static const struct {
        const char *body;
        enum err err;
    } odd[] = {{"chat", ERR_BUS_TIMEOUT}, {"full", ERR_BUS_REFUSED}, {"zero", ERR_BUS_TIMEOUT}};
    struct bus_event e;
    open_scripted(answer_oddly);

    for (uint64_t token = 0; token < countof(odd); token++) {
        cr_assert_eq(bus_publish(bus, "s.1", NULL, span_of_text(odd[token].body), token), ERR_OK);
        e = expect(BUS_NACK);
        cr_expect_eq(e.token, token);
        cr_expect_eq(e.err, odd[token].err, "%s", odd[token].body);
    }
    cr_assert_eq(bus_publish(bus, "s.1", NULL, span_of_text("twice"), 7), ERR_OK);
    cr_expect_eq(expect(BUS_ACK).seq, 5);
    cr_expect_not(next_within(&e, 200));
}

static void hang_up(const char *subject, const char *reply, const char *body)
{
    (void)subject;
    (void)reply;
    if (strcmp(body, "last") == 0)
        (void)shutdown(fake.connection, SHUT_RDWR);
}

Test(bus_nats_script, a_lost_connection_ends_all_that_was_open_at_once_and_once)
{
    open_scripted(hang_up);
    uint64_t start = nats_fixture_now_ms();
    cr_assert_eq(bus_read(bus, "S", 0, 0), ERR_OK);
    cr_assert_eq(bus_get(bus, "S", 4, 50), ERR_OK);
    for (uint64_t token = 0; token < 3; token++)
        cr_assert_eq(bus_publish(bus, "s.1", NULL, span_of_text("x"), token), ERR_OK);
    cr_assert_eq(bus_publish(bus, "s.1", NULL, span_of_text("last"), 3), ERR_OK);

    (void)expect(BUS_DOWN);
    unsigned nacks = 0;
    unsigned gots = 0;
    for (int i = 0; i < 5; i++) {
        struct bus_event e;
        cr_assert(next_within(&e, WAIT_MS));
        cr_expect_eq(e.err, ERR_BUS_TIMEOUT);
        nacks += e.kind == BUS_NACK;
        gots += e.kind == BUS_GOT && e.token == 50 && e.seq == 4;
    }
    cr_expect_eq(nacks, 4);
    cr_expect_eq(gots, 1);
    cr_expect_lt(nats_fixture_now_ms() - start, 3000);
    (void)expect(BUS_UP);
    struct bus_event e;
    cr_expect_not(next_within(&e, 200), "the read has ended without a word: BUS_UP says it");
}

static void talk_nonsense(const char *subject, const char *reply, const char *body)
{
    static const char nonsense[] = "MSG \x01 999999999999 -5\r\n\xff\xfe{]}\r\nHMSG a 1 9 2\r\n";
    (void)subject;
    (void)reply;
    if (strcmp(body, "speak") == 0)
        fake_write(nonsense, sizeof(nonsense) - 1);
    else
        answer(reply, "{\"stream\":\"S\",\"seq\":1}");
}

Test(bus_nats_script, a_server_that_talks_nonsense_is_left_and_tried_again)
{
    open_scripted(talk_nonsense);
    cr_assert_eq(bus_publish(bus, "s.1", NULL, span_of_text("speak"), 1), ERR_OK);

    (void)expect(BUS_DOWN);
    cr_expect_eq(expect(BUS_NACK).token, 1);
    (void)expect(BUS_UP);

    cr_assert_eq(bus_publish(bus, "s.1", NULL, span_of_text("x"), 2), ERR_OK);
    cr_expect_eq(expect(BUS_ACK).token, 2);
}
