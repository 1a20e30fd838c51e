/* SPDX-License-Identifier: Apache-2.0
 * A server of a few words, for what a real one says only when it is unlucky. */
#pragma once

#include "bus_driver.h"

#include <arpa/inet.h>
#include <sys/socket.h>

/* It runs the test's script for each message that is published. */
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
