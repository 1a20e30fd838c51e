/* SPDX-License-Identifier: Apache-2.0
 * The bus port against a real nats-server, which is killed, rolled back and misconfigured here. */
#include "bus_driver.h"

static void open_plainly(void)
{
    server.domain = "us";
    nats_fixture_start(&server);
    struct bus_nats_options options = options_for(&server);
    open_bus(&options);
    (void)expect(BUS_UP);
}

static void tear_down(void)
{
    bus_nats_close(bus);
    nats_fixture_done(&server);
}

TestSuite(bus_nats, .init = open_plainly, .fini = tear_down, .timeout = 120);

Test(bus_nats, ten_thousand_messages_are_stored_and_read_in_order_once)
{
    enum { COUNT = 10000 };
    cr_assert_eq(publish_all(1, COUNT), COUNT);

    cr_assert_eq(bus_read(bus, "S", 0, 3), ERR_OK);
    for (uint64_t n = 1; n <= COUNT; n++)
        expect_message(n, n);

    struct bus_event e;
    cr_expect_not(next_within(&e, 300), "nothing follows, but event %d did", e.kind);
    (void)publish_all(COUNT + 1, 1);
    expect_message(COUNT + 1, COUNT + 1);
}

Test(bus_nats, a_message_tells_handle_subject_time_and_content)
{
    (void)publish_all(1, 1);
    cr_assert_eq(bus_read(bus, "S", 0, 9), ERR_OK);

    struct bus_event e = expect(BUS_MESSAGE);

    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    cr_expect_eq(e.handle, 9);
    cr_expect_str_eq(e.subject, "s.1");
    cr_expect(e.time_ms <= now_ms && e.time_ms + 60000 > now_ms);
}

Test(bus_nats, a_read_starts_right_after_the_given_sequence)
{
    (void)publish_all(1, 20);

    cr_assert_eq(bus_read(bus, "S", 15, 0), ERR_OK);

    for (uint64_t n = 16; n <= 20; n++)
        expect_message(n, n);
}

Test(bus_nats, a_new_read_with_the_same_handle_silences_the_old_one)
{
    (void)publish_all(1, 100);
    cr_assert_eq(bus_read(bus, "S", 0, 1), ERR_OK);
    expect_message(1, 1);

    /* The other 99 are queued or on their way. */
    cr_assert_eq(bus_read(bus, "S", 50, 1), ERR_OK);

    for (uint64_t n = 51; n <= 100; n++)
        expect_message(n, n);
    struct bus_event e;
    cr_expect_not(next_within(&e, 300));
}

Test(bus_nats, two_reads_do_not_meet)
{
    (void)publish_all(1, 50);
    cr_assert_eq(bus_read(bus, "S", 0, 1), ERR_OK);
    cr_assert_eq(bus_read(bus, "S", 25, 2), ERR_OK);
    uint64_t next[3] = {0, 1, 26};

    for (int i = 0; i < 75; i++) {
        struct bus_event e = expect(BUS_MESSAGE);
        cr_assert(e.handle == 1 || e.handle == 2);
        cr_assert_eq(e.seq, next[e.handle]++);
    }

    cr_expect_eq(next[1], 51);
    cr_expect_eq(next[2], 51);
}

Test(bus_nats, equal_message_ids_are_stored_once_and_both_acknowledged)
{
    cr_assert_eq(bus_publish(bus, "s.1", "id-1", span_of_text("a"), 1), ERR_OK);
    cr_assert_eq(bus_publish(bus, "s.1", "id-1", span_of_text("a"), 2), ERR_OK);
    cr_assert_eq(bus_publish(bus, "s.1", "id-2", span_of_text("b"), 3), ERR_OK);

    cr_expect_eq(expect(BUS_ACK).seq, 1);
    cr_expect_eq(expect(BUS_ACK).seq, 1);
    cr_expect_eq(expect(BUS_ACK).seq, 2);
}

Test(bus_nats, a_message_is_got_by_sequence_and_an_absent_one_is_not_found)
{
    (void)publish_all(1, 3);

    char text[32];
    cr_assert_eq(bus_get(bus, "S", 2, 77), ERR_OK);
    struct bus_event e = expect(BUS_GOT);
    cr_expect_eq(e.err, ERR_OK);
    cr_expect_eq(e.token, 77);
    cr_expect_eq(e.seq, 2);
    cr_expect(span_equal(e.data, numbered(2, text, sizeof(text))));

    cr_assert_eq(bus_get(bus, "S", 4, 78), ERR_OK);
    e = expect(BUS_GOT);
    cr_expect_eq(e.err, ERR_NOT_FOUND);
    cr_expect_eq(e.token, 78);

    /* No stream at all says nothing about a position. */
    cr_assert_eq(bus_get(bus, "NONE", 4, 79), ERR_OK);
    e = expect(BUS_GOT);
    cr_expect_eq(e.err, ERR_BUS_REFUSED);
    cr_expect_eq(e.token, 79);
}

Test(bus_nats, an_empty_message_comes_back_empty)
{
    cr_assert_eq(bus_publish(bus, "s.1", NULL, span_of(NULL, 0), 1), ERR_OK);
    cr_expect_eq(expect(BUS_ACK).seq, 1);

    cr_assert_eq(bus_get(bus, "S", 1, 5), ERR_OK);
    struct bus_event got = expect(BUS_GOT);
    cr_assert_eq(bus_read(bus, "S", 0, 0), ERR_OK);

    cr_expect_eq(got.err, ERR_OK);
    cr_expect_eq(got.data.length, 0);
    cr_expect_eq(expect(BUS_MESSAGE).data.length, 0);
}

Test(bus_nats, a_publish_that_no_stream_takes_is_refused_and_not_at_once)
{
    uint64_t start = nats_fixture_now_ms();
    cr_assert_eq(bus_publish(bus, "nobody.1", NULL, span_of_text("x"), 5), ERR_OK);

    struct bus_event e = expect(BUS_NACK);

    cr_expect_eq(e.err, ERR_BUS_REFUSED);
    cr_expect_eq(e.token, 5);
    cr_expect_geq(nats_fixture_now_ms() - start, 99, "a driver that retries must not spin");
}

Test(bus_nats, what_cannot_be_sent_is_refused_by_the_call)
{
    static const uint8_t big[1024 * 1024 + 1];

    cr_expect_eq(bus_publish(bus, "s.1", NULL, span_of(big, sizeof(big)), 1), ERR_LIMIT);
    cr_expect_eq(bus_publish(bus, "s 1", NULL, span_of_text("x"), 1), ERR_FORMAT);
    cr_expect_eq(bus_publish(bus, "s.1", "a\r\nb", span_of_text("x"), 1), ERR_FORMAT);
    cr_expect_eq(bus_send(bus, "s.1\r\nPUB s.2 0", span_of_text("x")), ERR_FORMAT);
    cr_expect_eq(bus_read(bus, "S.>", 0, 1), ERR_FORMAT);
    cr_expect_eq(bus_get(bus, "S S", 1, 1), ERR_FORMAT);
}

Test(bus_nats, large_messages_go_both_ways_unharmed)
{
    enum { BYTES = 900 * 1024, COUNT = 40 };
    uint8_t *data = malloc(BYTES);
    for (size_t i = 0; i < BYTES; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    uint64_t acked = 0;
    for (uint64_t sent = 0; acked < COUNT;) {
        enum err err =
            sent < COUNT ? bus_publish(bus, "s.1", NULL, span_of(data, BYTES), sent) : ERR_BUS_BUSY;
        if (err == ERR_OK) {
            sent++;
        } else {
            cr_assert_eq(err, ERR_BUS_BUSY);
            cr_assert_eq(expect(BUS_ACK).token, acked);
            acked++;
        }
    }

    cr_assert_eq(bus_get(bus, "S", COUNT, 1), ERR_OK);
    cr_expect(span_equal(expect(BUS_GOT).data, span_of(data, BYTES)));
    cr_assert_eq(bus_read(bus, "S", 0, 1), ERR_OK);
    for (uint64_t n = 1; n <= COUNT; n++) {
        struct bus_event e = expect(BUS_MESSAGE);
        cr_assert_eq(e.seq, n);
        cr_assert(span_equal(e.data, span_of(data, BYTES)));
    }
    free(data);
}

Test(bus_nats, plain_messages_reach_those_who_listen_and_answers_go_to_inboxes_only)
{
    cr_assert_eq(bus_listen(bus, "p.*"), ERR_OK);
    cr_assert_eq(bus_listen(bus, "p.*"), ERR_OK);

    /* The subscription was asked for before, on the same connection. */
    cr_assert_eq(bus_send(bus, "p.one", span_of_text("hello")), ERR_OK);
    struct bus_event e = expect(BUS_PLAIN);

    cr_expect_str_eq(e.subject, "p.one");
    cr_expect_str_eq(e.reply, "");
    cr_expect(span_equal(e.data, span_of_text("hello")));
    cr_expect_not(next_within(&e, 100), "listening twice is listening once");
}

static void *answer_two(void *context)
{
    (void)context;
    for (int i = 0; i < 2; i++) {
        struct bus_event e = expect(BUS_PLAIN);
        (void)bus_send(bus, e.reply, span_of_text("first"));
        (void)bus_send(bus, e.reply, span_of_text("second"));
    }
    return NULL;
}

Test(bus_nats, a_request_collects_the_answers_it_waits_for)
{
    struct bus_nats_options options = options_for(&server);
    options.stream_count = 0;
    options.notify = NULL;
    struct bus_port *tool;
    cr_assert_eq(bus_listen(bus, "ask"), ERR_OK);
    (void)publish_all(1, 1); /* the server has the subscription before this ack */
    cr_assert_eq(bus_nats_open(&options, &tool), ERR_OK);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, answer_two, NULL), 0);

    struct bus_nats_reply replies[3];
    unsigned full = bus_nats_request(tool, "ask", span_of_text("?"), replies, 2, WAIT_MS);
    cr_assert_eq(full, 2);
    cr_expect(span_equal(buf_span(&replies[0].data), span_of_text("first")));
    cr_expect(span_equal(buf_span(&replies[1].data), span_of_text("second")));
    buf_done(&replies[0].data);
    buf_done(&replies[1].data);
    unsigned fewer = bus_nats_request(tool, "ask", span_of_text("?"), replies, 3, 500);
    cr_assert_eq(fewer, 2);
    buf_done(&replies[0].data);
    buf_done(&replies[1].data);
    pthread_join(thread, NULL);
    uint64_t start = nats_fixture_now_ms();
    unsigned nobody = bus_nats_request(tool, "nobody", span_of_text("?"), replies, 3, WAIT_MS);

    cr_expect_eq(nobody, 0);
    cr_expect_lt(nats_fixture_now_ms() - start, WAIT_MS / 2, "nobody listens: no need to wait");
    bus_nats_close(tool);
}

Test(bus_nats, a_stream_that_is_deleted_ends_the_read_and_is_made_again)
{
    struct bus_nats_options options = options_for(&server);
    struct bus_port *tool;
    (void)publish_all(1, 3);
    cr_assert_eq(bus_read(bus, "S", 3, 0), ERR_OK);
    options.notify = NULL;
    options.stream_count = 0;
    cr_assert_eq(bus_nats_open(&options, &tool), ERR_OK);
    struct bus_nats_reply reply;

    cr_assert_eq(
        bus_nats_request(tool, "$JS.us.API.STREAM.DELETE.S", span_of(NULL, 0), &reply, 1, WAIT_MS),
        1);
    cr_expect_eq(expect(BUS_READ_END).handle, 0);

    /* As a driver does: prove the position, again while it cannot be learned. */
    enum err proof;
    do {
        cr_assert_eq(bus_get(bus, "S", 3, 1), ERR_OK);
        proof = expect(BUS_GOT).err;
    } while (proof == ERR_BUS_REFUSED || proof == ERR_BUS_TIMEOUT);
    cr_expect_eq(proof, ERR_NOT_FOUND);
    cr_assert_eq(bus_read(bus, "S", 0, 0), ERR_OK);
    cr_assert_eq(bus_publish(bus, "s.1", NULL, span_of_text("again"), 9), ERR_OK);
    cr_expect_eq(skip_to(BUS_MESSAGE).seq, 1);
    buf_done(&reply.data);
    bus_nats_close(tool);
}
