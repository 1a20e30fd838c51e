/* SPDX-License-Identifier: Apache-2.0
 * The bus port while its nats-server is killed, stopped, rolled back or misconfigured. */
#include "bus_driver.h"

#include <nats/nats.h>

static void tear_down(void)
{
    bus_nats_close(bus);
    nats_fixture_done(&server);
}

TestSuite(bus_nats_faults, .fini = tear_down, .timeout = 120);

static void open_plainly(void)
{
    server.domain = "us";
    nats_fixture_start(&server);
    struct bus_nats_options options = options_for(&server);
    open_bus(&options);
    (void)expect(BUS_UP);
}

/* A driver's proof of its position: asks until it is learned. */
static enum err prove(const char *stream, uint64_t seq, char *out_text, size_t size)
{
    struct bus_event e;
    do {
        cr_assert_eq(bus_get(bus, stream, seq, 1), ERR_OK);
        e = skip_to(BUS_GOT);
    } while (e.err != ERR_OK && e.err != ERR_NOT_FOUND);
    if (e.err == ERR_OK)
        (void)snprintf(out_text, size, "%.*s", (int)e.data.length, (const char *)e.data.data);
    return e.err;
}

static void ask_api(const char *subject, const char *body, char *out, size_t size)
{
    struct bus_nats_reply reply;
    cr_assert_eq(bus_nats_request(bus, subject, span_of_text(body), &reply, 1, WAIT_MS), 1);
    (void)snprintf(out, size, "%.*s", (int)reply.data.length, (const char *)reply.data.data);
    buf_done(&reply.data);
}

Test(bus_nats_faults, a_killed_server_comes_back_and_nothing_acknowledged_or_read_is_lost)
{
    enum { COUNT = 3000, KILL_AT = 1000 };
    char text[32];
    char stored[64];
    uint64_t seq_of[COUNT + 1] = {0}; /* of each acknowledged number */
    uint64_t position = 0;
    unsigned read_seqs = 0;
    unsigned downs = 0;
    unsigned ups = 0;
    bool up = true;
    open_plainly();
    cr_assert_eq(bus_read(bus, "S", 0, 0), ERR_OK);

    uint64_t next = 1;
    uint64_t acked = 0;
    while (acked < COUNT || read_seqs < COUNT) {
        struct bus_event e;
        while (up && next <= COUNT && next < acked + 64) {
            if (seq_of[next] == 0 &&
                bus_publish(bus, "s.1", NULL, numbered(next, text, sizeof(text)), next) != ERR_OK)
                break;
            next++;
        }
        cr_assert(next_within(&e, WAIT_MS));
        if (e.kind == BUS_ACK && seq_of[e.token] == 0) {
            seq_of[e.token] = e.seq;
            acked++;
            if (acked == KILL_AT) {
                nats_fixture_stop(&server, SIGKILL);
                nats_fixture_start(&server);
            }
        } else if (e.kind == BUS_NACK) {
            next = base_min_u64(next, e.token); /* unknown: again */
        } else if (e.kind == BUS_DOWN) {
            downs++;
            up = false;
        } else if (e.kind == BUS_UP) {
            ups++;
            up = true;
            if (position > 0)
                cr_assert_eq(prove("S", position, stored, sizeof(stored)), ERR_OK);
            cr_assert_eq(bus_read(bus, "S", position, 0), ERR_OK);
        } else if (e.kind == BUS_MESSAGE) {
            cr_assert_eq(e.seq, position + 1);
            position = e.seq;
            read_seqs++;
        }
    }

    cr_expect_eq(downs, 1);
    cr_expect_eq(ups, 1);
    for (uint64_t n = 1; n <= COUNT; n += 97) {
        cr_assert_eq(prove("S", seq_of[n], stored, sizeof(stored)), ERR_OK);
        (void)numbered(n, text, sizeof(text));
        cr_assert_str_eq(stored, text, "acknowledged %llu", (unsigned long long)n);
    }
}

Test(bus_nats_faults, a_rolled_back_store_is_seen_by_the_position)
{
    char stored[64] = "";
    open_plainly();
    (void)publish_all(1, 100);
    nats_fixture_stop(&server, SIGTERM);
    (void)expect(BUS_DOWN);
    nats_fixture_copy_store(&server, false);
    nats_fixture_start(&server);
    (void)expect(BUS_UP);
    cr_assert_eq(publish_all(101, 100), 200);
    cr_assert_eq(prove("S", 200, stored, sizeof(stored)), ERR_OK);
    cr_expect_str_eq(stored, "message 200");

    nats_fixture_stop(&server, SIGKILL);
    nats_fixture_copy_store(&server, true);
    nats_fixture_start(&server);
    (void)expect(BUS_DOWN);
    (void)expect(BUS_UP);

    cr_expect_eq(prove("S", 200, stored, sizeof(stored)), ERR_NOT_FOUND);
    cr_expect_eq(prove("S", 100, stored, sizeof(stored)), ERR_OK);
    cr_assert_eq(publish_all(501, 150), 250);
    cr_expect_eq(prove("S", 200, stored, sizeof(stored)), ERR_OK);
    cr_expect_str_eq(stored, "message 600", "the same sequence holds another message now");
}

Test(bus_nats_faults, opening_returns_at_once_and_waits_for_a_server_for_ever)
{
    server.domain = "us";
    nats_fixture_start(&server); /* to have a port */
    nats_fixture_stop(&server, SIGKILL);
    struct bus_nats_options options = options_for(&server);
    uint64_t start = nats_fixture_now_ms();
    struct bus_event e;
    open_bus(&options);

    cr_expect_lt(nats_fixture_now_ms() - start, 1000);
    cr_expect_eq(bus_publish(bus, "s.1", NULL, span_of_text("x"), 1), ERR_BUS_DOWN);
    cr_expect_eq(bus_send(bus, "s.1", span_of_text("x")), ERR_BUS_DOWN);
    cr_expect_eq(bus_read(bus, "S", 0, 1), ERR_BUS_DOWN);
    cr_expect_eq(bus_get(bus, "S", 1, 1), ERR_BUS_DOWN);
    cr_expect_eq(bus_listen(bus, "p.>"), ERR_OK);
    cr_expect_not(next_within(&e, 700));

    nats_fixture_start(&server);
    (void)expect(BUS_UP);
    cr_assert_eq(bus_send(bus, "p.1", span_of_text("heard")), ERR_OK);
    cr_expect_str_eq(expect(BUS_PLAIN).subject, "p.1");
    nats_fixture_stop(&server, SIGKILL);
    nats_fixture_start(&server);
    (void)skip_to(BUS_UP);
    cr_assert_eq(bus_send(bus, "p.2", span_of_text("again")), ERR_OK);
    cr_expect_str_eq(expect(BUS_PLAIN).subject, "p.2", "listened to after a reconnect as well");
}

Test(bus_nats_faults, a_wrong_password_stays_down_until_the_server_accepts_it)
{
    server.domain = "us";
    server.extra = "authorization { user: \"u\", password: \"right\" }";
    nats_fixture_start(&server);
    struct bus_nats_options options = options_for(&server);
    options.user = "u";
    options.password = "new";
    struct bus_event e;
    open_bus(&options);

    /* Long enough for several refusals: the client library would have given up for ever. */
    cr_expect_not(next_within(&e, 2000));

    nats_fixture_stop(&server, SIGKILL);
    server.extra = "authorization { user: \"u\", password: \"new\" }";
    nats_fixture_start(&server);
    (void)expect(BUS_UP);
    cr_expect_eq(publish_all(1, 1), 1);
}

Test(bus_nats_faults, a_full_window_says_busy_and_a_stopped_server_blocks_nobody)
{
    server.domain = "us";
    nats_fixture_start(&server);
    struct bus_nats_options options = options_for(&server);
    options.publish_window = 8;
    options.publish_timeout_ms = 1000;
    open_bus(&options);
    (void)expect(BUS_UP);
    nats_fixture_pause(&server);
    uint64_t start = nats_fixture_now_ms();

    for (uint64_t token = 0; token < 8; token++)
        cr_assert_eq(bus_publish(bus, "s.1", NULL, span_of_text("x"), token), ERR_OK);
    cr_expect_eq(bus_publish(bus, "s.1", NULL, span_of_text("x"), 8), ERR_BUS_BUSY);
    cr_expect_lt(nats_fixture_now_ms() - start, 500);
    for (uint64_t token = 0; token < 8; token++) {
        struct bus_event e = expect(BUS_NACK);
        cr_expect_eq(e.token, token);
        cr_expect_eq(e.err, ERR_BUS_TIMEOUT);
    }
    cr_expect_geq(nats_fixture_now_ms() - start, 999);

    /* The slots are free again; the late answers to their last use find nobody. */
    cr_assert_eq(bus_publish(bus, "s.1", NULL, span_of_text("y"), 100), ERR_OK);
    nats_fixture_resume(&server);
    struct bus_event e = expect(BUS_ACK);
    cr_expect_eq(e.token, 100);
    cr_expect_eq(e.seq, 9, "the eight whose outcome was unknown had been stored");
    cr_expect_not(next_within(&e, 200));
}

Test(bus_nats_faults, megabytes_to_a_stopped_server_do_not_block_the_driver)
{
    static const uint8_t data[900 * 1024];
    server.domain = "us";
    nats_fixture_start(&server);
    struct bus_nats_options options = options_for(&server);
    options.publish_window_bytes = 8 * sizeof(data);
    open_bus(&options);
    (void)expect(BUS_UP);
    nats_fixture_pause(&server);
    uint64_t start = nats_fixture_now_ms();
    unsigned sent = 0;

    while (bus_publish(bus, "s.1", NULL, span_of(data, sizeof(data)), sent) == ERR_OK)
        sent++;
    cr_expect_eq(sent, 8, "the window of bytes holds eight, not %u", sent);
    cr_expect_eq(bus_listen(bus, "p.>"), ERR_OK);
    cr_expect_lt(nats_fixture_now_ms() - start, 1000);

    nats_fixture_resume(&server);
    for (unsigned n = 0; n < sent; n++)
        cr_expect_eq(expect(BUS_ACK).token, n);
}

Test(bus_nats_faults, a_server_stopped_for_long_is_left_and_found_again)
{
    enum { COUNT = 12 };
    static const uint8_t data[900 * 1024];
    unsigned nacked[COUNT] = {0};
    open_plainly();
    nats_fixture_pause(&server);
    for (uint64_t token = 0; token < COUNT; token++)
        cr_assert_eq(bus_publish(bus, "s.1", NULL, span_of(data, sizeof(data)), token), ERR_OK);

    /* The write that stays stuck costs the link, and every publish its one answer. */
    struct bus_event e;
    unsigned nacks = 0;
    unsigned downs = 0;
    while (nacks < COUNT || downs < 1) {
        cr_assert(next_within(&e, WAIT_MS));
        if (e.kind == BUS_NACK) {
            cr_expect_eq(e.err, ERR_BUS_TIMEOUT);
            nacked[e.token]++;
            nacks++;
        } else {
            cr_assert_eq(e.kind, BUS_DOWN);
            downs++;
        }
    }
    for (int token = 0; token < COUNT; token++)
        cr_expect_eq(nacked[token], 1);
    nats_fixture_resume(&server);
    (void)expect(BUS_UP);
    cr_expect_gt(publish_all(100, 3), 0);
}

Test(bus_nats_faults, a_read_whose_server_falls_silent_ends)
{
    open_plainly();
    (void)publish_all(1, 1);
    cr_assert_eq(bus_read(bus, "S", 0, 4), ERR_OK);
    expect_message(1, 1);
    uint64_t start = nats_fixture_now_ms();

    nats_fixture_pause(&server);
    struct bus_event e = expect(BUS_READ_END);
    nats_fixture_resume(&server);

    cr_expect_eq(e.handle, 4);
    cr_expect_lt(nats_fixture_now_ms() - start, 6000);
    cr_assert_eq(bus_read(bus, "S", 0, 4), ERR_OK);
    expect_message(1, 1);
}

Test(bus_nats_faults, a_read_of_no_stream_ends_and_not_at_once)
{
    open_plainly();
    uint64_t start = nats_fixture_now_ms();

    cr_assert_eq(bus_read(bus, "NONE", 0, 1), ERR_OK);

    cr_expect_eq(expect(BUS_READ_END).handle, 1);
    cr_expect_geq(nats_fixture_now_ms() - start, 249, "a driver that reads again must not spin");
}

Test(bus_nats_faults, an_idle_read_outlives_its_pulls)
{
    struct bus_event e;
    open_plainly();
    cr_assert_eq(bus_read(bus, "S", 0, 1), ERR_OK);

    cr_expect_not(next_within(&e, 11500), "two pulls have expired and nothing is told");

    (void)publish_all(1, 1);
    expect_message(1, 1);
}

Test(bus_nats_faults, a_driver_that_does_not_poll_is_not_flooded)
{
    enum { COUNT = 400, BYTES = 8192 };
    static const uint8_t data[BYTES];
    char answer[4096];
    struct bus_port *writer;
    server.domain = "us";
    nats_fixture_start(&server);
    struct bus_nats_options options = options_for(&server);
    open_bus(&options);
    (void)expect(BUS_UP);
    for (uint64_t n = 0; n < COUNT; n++) {
        while (bus_publish(bus, "s.1", NULL, span_of(data, BYTES), n) == ERR_BUS_BUSY)
            (void)expect(BUS_ACK);
    }
    do {
        ask_api("$JS.us.API.STREAM.INFO.S", "", answer, sizeof(answer));
    } while (strstr(answer, "\"last_seq\":400,") == NULL);
    writer = bus;
    options.read_window = 16;
    options.read_window_bytes = 20 * BYTES;
    open_bus(&options);
    (void)expect(BUS_UP);

    cr_assert_eq(bus_read(bus, "S", 0, 1), ERR_OK);
    for (uint64_t seq = 1; seq <= 100; seq++)
        cr_assert_eq(expect(BUS_MESSAGE).seq, seq);
    struct timespec half = {.tv_nsec = 500000000};
    (void)nanosleep(&half, NULL); /* the absence of more cannot be waited for */
    ask_api("$JS.us.API.CONSUMER.LIST.S", "", answer, sizeof(answer));
    const char *pending = strstr(answer, "\"num_pending\":");
    cr_assert_not_null(pending);
    unsigned long left = strtoul(pending + 14, NULL, 10);
    cr_expect_geq(left, 300 - 16 - 20, "only %lu of 300 wait at the server", left);
    for (uint64_t seq = 101; seq <= COUNT; seq++)
        cr_assert_eq(expect(BUS_MESSAGE).seq, seq);
    bus_nats_close(writer);
}

Test(bus_nats_faults, an_existing_stream_is_used_and_never_changed)
{
    char answer[4096];
    server.domain = "us";
    nats_fixture_start(&server);
    struct bus_nats_options options = options_for(&server);
    options.stream_count = 0;
    open_bus(&options);
    ask_api("$JS.us.API.STREAM.CREATE.S",
            "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"storage\":\"file\",\"discard\":\"old\","
            "\"max_age\":3600000000000}",
            answer, sizeof(answer));
    struct bus_port *tool = bus;
    options.stream_count = countof(streams);
    open_bus(&options);
    (void)expect(BUS_UP);

    cr_expect_eq(publish_all(1, 1), 1);

    ask_api("$JS.us.API.STREAM.INFO.S", "", answer, sizeof(answer));
    cr_expect_not_null(strstr(answer, "\"discard\":\"old\""));
    cr_expect_not_null(strstr(answer, "\"max_age\":3600000000000,"));
    bus_nats_close(tool);
}

Test(bus_nats_faults, processes_that_create_the_same_stream_at_once_all_get_it)
{
    enum { PORTS = 6 };
    struct bus_port *ports[PORTS];
    server.domain = "us";
    nats_fixture_start(&server);
    struct bus_nats_options options = options_for(&server);

    for (int i = 0; i < PORTS; i++)
        cr_assert_eq(bus_nats_open(&options, &ports[i]), ERR_OK);

    for (int i = 0; i < PORTS; i++) {
        bus = ports[i];
        (void)expect(BUS_UP);
        cr_expect_eq(publish_all(1, 1), (uint64_t)i + 1);
    }
    for (int i = 0; i < PORTS - 1; i++)
        bus_nats_close(ports[i]);
}

Test(bus_nats_faults, a_full_stream_refuses_and_forgets_nothing)
{
    static const struct bus_nats_stream small = {
        .name = "S", .subjects = "s.>", .replicas = 1, .age_max_s = 604800, .bytes_max = 4096};
    static const uint8_t data[1000];
    char text[64];
    server.domain = "us";
    nats_fixture_start(&server);
    struct bus_nats_options options = options_for(&server);
    options.streams = &small;
    struct bus_event e;
    open_bus(&options);
    (void)expect(BUS_UP);
    unsigned stored = 0;

    do {
        cr_assert_eq(bus_publish(bus, "s.1", NULL, span_of(data, sizeof(data)), 1), ERR_OK);
        cr_assert(next_within(&e, WAIT_MS));
        stored += e.kind == BUS_ACK;
    } while (e.kind == BUS_ACK && stored < 100);

    cr_expect_eq(e.kind, BUS_NACK);
    cr_expect_eq(e.err, ERR_BUS_REFUSED);
    cr_expect(stored >= 1 && stored <= 4);
    cr_expect_eq(prove("S", 1, text, sizeof(text)), ERR_OK, "the first message is still there");
}

Test(bus_nats_faults, an_asker_cannot_have_us_write_into_a_stream)
{
    natsConnection *asker = NULL;
    open_plainly();
    cr_assert_eq(bus_listen(bus, "ask"), ERR_OK);
    (void)publish_all(1, 1); /* the server has the subscription before this ack */
    cr_assert_eq(natsConnection_ConnectTo(&asker, server.url), NATS_OK);

    cr_assert_eq(natsConnection_PublishRequestString(asker, "ask", "s.evil", "?"), NATS_OK);
    struct bus_event evil = expect(BUS_PLAIN);
    cr_expect_str_eq(evil.reply, "");
    cr_assert_eq(natsConnection_PublishRequestString(asker, "ask", "_INBOX.mine", "?"), NATS_OK);
    struct bus_event good = expect(BUS_PLAIN);

    cr_expect_str_eq(good.reply, "_INBOX.mine");
    natsConnection_Destroy(asker);
}

Test(bus_nats_faults, options_that_cannot_work_are_refused)
{
    struct bus_port *none = NULL;
    static const struct bus_nats_stream bad[] = {{.name = "S.1", .subjects = "s.>", .replicas = 1},
                                                 {.name = "S", .subjects = "s.\"", .replicas = 1},
                                                 {.name = "S", .subjects = "s.>", .replicas = 0},
                                                 {.name = "S", .subjects = NULL, .replicas = 1}};
    static const char *const urls[] = {
        NULL, "", "127.0.0.1:4222", "tls://127.0.0.1:4222", "nats://a:1,", "nats://a:1,http://b"};

    for (size_t i = 0; i < countof(urls); i++) {
        struct bus_nats_options options = {.url = urls[i], .name = "x"};
        cr_expect_eq(bus_nats_open(&options, &none), ERR_CONFIG);
    }
    for (size_t i = 0; i < countof(bad); i++) {
        struct bus_nats_options options = {
            .url = "nats://a:1", .name = "x", .streams = &bad[i], .stream_count = 1};
        cr_expect_eq(bus_nats_open(&options, &none), ERR_CONFIG);
    }
    struct bus_nats_options options = {.url = "nats://a:1", .name = "x", .domain = "a.b"};
    cr_expect_eq(bus_nats_open(&options, &none), ERR_CONFIG);
    cr_expect_null(none);
}
