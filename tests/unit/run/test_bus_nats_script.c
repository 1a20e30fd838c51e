/* SPDX-License-Identifier: Apache-2.0
 * The bus port against a scripted server: what a real one says only when it is unlucky. */
#include "bus_driver.h"

#include <arpa/inet.h>
#include <sys/socket.h>

/* A server of a few words. It runs the test's script for each message that is published. */
struct fake {
    int listener;
    int connection;
    unsigned port;
    pthread_t thread;
    char subjects[32][256]; /* by sid */
    void (*script)(const char *subject, const char *reply, const char *body);
};

static struct fake fake;

static void fake_write(const void *data, size_t length)
{
    /* The peer may be gone already; the script ends with the connection. */
    (void)!send(fake.connection, data, length, MSG_NOSIGNAL);
}

static bool matches(const char *pattern, const char *subject)
{
    while (*pattern != '\0' && *subject != '\0') {
        if (*pattern == '>')
            return true;
        if (*pattern == '*') {
            pattern++;
            subject += strcspn(subject, ".");
        } else if (*pattern++ != *subject++) {
            return false;
        }
    }
    return *pattern == *subject;
}

/* Delivers to whoever subscribed `target`, as a message on `seen`. With `status`, headers only. */
static void fake_deliver(const char *target, const char *seen, const char *reply, const char *body,
                         const char *status)
{
    char out[2048];
    for (unsigned sid = 1; sid < 32; sid++) {
        if (fake.subjects[sid][0] == '\0' || !matches(fake.subjects[sid], target))
            continue;
        int n;
        if (status != NULL) {
            size_t length = strlen(status) + 4;
            n = snprintf(out, sizeof(out), "HMSG %s %u %zu %zu\r\n%s\r\n\r\n\r\n", seen, sid,
                         length, length, status);
        } else {
            n = snprintf(out, sizeof(out), "MSG %s %u %s %zu\r\n%s\r\n", seen, sid, reply,
                         strlen(body), body);
        }
        fake_write(out, (size_t)n);
        return;
    }
}

static void answer(const char *reply, const char *body)
{
    fake_deliver(reply, reply, "", body, NULL);
}

static void fake_line(char *line, FILE *in)
{
    char words[4][256] = {"", "", "", ""};
    char body[4096] = "";
    int n = sscanf(line, "%255s %255s %255s %255s", words[0], words[1], words[2], words[3]);
    if (strcmp(words[0], "PING") == 0)
        fake_write("PONG\r\n", 6);
    if (strcmp(words[0], "SUB") == 0)
        (void)snprintf(fake.subjects[strtoul(words[2], NULL, 10) % 32], 256, "%s", words[1]);
    if (strcmp(words[0], "UNSUB") == 0)
        fake.subjects[strtoul(words[1], NULL, 10) % 32][0] = '\0';
    if (strcmp(words[0], "PUB") != 0)
        return;
    size_t length = strtoul(words[n - 1], NULL, 10);
    if (length + 2 > sizeof(body) || fread(body, 1, length + 2, in) != length + 2)
        return;
    body[length] = '\0';
    fake.script(words[1], n == 4 ? words[2] : "", body);
}

static void *fake_main(void *context)
{
    static const char info[] =
        "INFO {\"server_id\":\"F\",\"version\":\"2.9.10\",\"proto\":1,\"headers\":true,"
        "\"max_payload\":1048576,\"jetstream\":true}\r\n";
    (void)context;
    for (;;) {
        int connection = accept(fake.listener, NULL, NULL);
        if (connection < 0)
            return NULL;
        fake.connection = connection;
        memset(fake.subjects, 0, sizeof(fake.subjects));
        FILE *in = fdopen(connection, "r");
        char line[4096];
        fake_write(info, sizeof(info) - 1);
        while (fgets(line, sizeof(line), in) != NULL)
            fake_line(line, in);
        (void)fclose(in);
    }
}

static void fake_start(void (*script)(const char *, const char *, const char *))
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    fake.script = script;
    fake.listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(fake.listener, (struct sockaddr *)&at, size), 0);
    cr_assert_eq(listen(fake.listener, 4), 0);
    cr_assert_eq(getsockname(fake.listener, (struct sockaddr *)&at, &size), 0);
    fake.port = ntohs(at.sin_port);
    cr_assert_eq(pthread_create(&fake.thread, NULL, fake_main, NULL), 0);
}

static void open_scripted(void (*script)(const char *, const char *, const char *))
{
    char url[64];
    fake_start(script);
    (void)snprintf(url, sizeof(url), "nats://127.0.0.1:%u", fake.port);
    struct bus_nats_options options = {.url = url,
                                       .name = "test",
                                       .notify = ring,
                                       .notify_context = &bell,
                                       .publish_timeout_ms = WAIT_MS * 10};
    open_bus(&options);
    (void)expect(BUS_UP);
}

static void tear_down(void)
{
    bus_nats_close(bus);
    (void)shutdown(fake.listener, SHUT_RDWR);
    pthread_join(fake.thread, NULL);
    (void)close(fake.listener);
}

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
