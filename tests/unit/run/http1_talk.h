/* SPDX-License-Identifier: Apache-2.0
 * http1_talk: conversations of HTTP/1.1 with a given server over loopback, by hand.
 * Audience: tests. */
#pragma once

#include "tests/unit/run/h2_given.h"

#define WHAT "GET /what HTTP/1.1\r\nHost: localhost\r\n"

/* A client that writes bytes and reads text. */
struct talk {
    struct h2_probe *probe;
    struct buf heard; /* ends in a NUL that is not counted */
};

static inline struct talk talk_as(struct given *g, const char *alpn)
{
    const struct h2_probe_options options = {.alpn = alpn, .raw = true};
    return (struct talk){.probe = h2_probe_open(g->port, &options)};
}

static inline struct talk talk_to(struct given *g)
{
    return talk_as(g, "\10http/1.1");
}

static inline void say_bytes(struct talk *t, const void *bytes, size_t length)
{
    cr_assert(h2_probe_write(t->probe, bytes, length));
}

static inline void say(struct talk *t, const char *text)
{
    say_bytes(t, text, strlen(text));
}

static inline const char *heard(const struct talk *t)
{
    return t->heard.length > 0 ? (const char *)t->heard.data : "";
}

static inline void hear_some(struct talk *t, uint64_t deadline)
{
    static uint8_t bytes[65536];
    int got = SSL_read(t->probe->ssl, bytes, sizeof(bytes));
    if (got <= 0) {
        (void)h2_probe_step(t->probe, got, deadline);
        return;
    }
    buf_put(&t->heard, bytes, (size_t)got);
    buf_put_u8(&t->heard, 0);
    t->heard.length--;
}

static inline unsigned times(const struct talk *t, const char *text)
{
    unsigned count = 0;
    for (const char *at = heard(t); (at = strstr(at, text)) != NULL; at += strlen(text))
        count++;
    return count;
}

/* Until the text was heard so often; false at the end of the connection, or at the deadline. */
static inline bool hears_times(struct talk *t, const char *text, unsigned count)
{
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    while (times(t, text) < count && !t->probe->dead && h2_probe_now() < deadline)
        hear_some(t, deadline);
    return times(t, text) >= count;
}

static inline bool hears(struct talk *t, const char *text)
{
    return hears_times(t, text, 1);
}

static inline bool hears_the_end(struct talk *t)
{
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    while (!t->probe->dead && h2_probe_now() < deadline)
        hear_some(t, deadline);
    return t->probe->dead;
}

/* All but what came behind the first bytes. */
static inline void forget_until(struct talk *t, size_t length)
{
    cr_assert_leq(length, t->heard.length);
    t->heard.length -= length;
    memmove(t->heard.data, t->heard.data + length, t->heard.length + 1);
}

static inline void end_talk(struct talk *t)
{
    h2_probe_close(t->probe);
    buf_done(&t->heard);
}
