/* SPDX-License-Identifier: Apache-2.0
 * bus_driver: a driver's half of the bus port: waits for events, publishes, expects messages.
 * Audience: tests of bus_nats. One program is one file, so everything is `static inline`. */
#pragma once

#include "common/run/bus_nats.h"
#include "nats_fixture.h"

#include <criterion/criterion.h>
#include <pthread.h>

#define WAIT_MS 20000

/* Counts notifications, so that the tests sleep until something was told. */
struct bell {
    pthread_mutex_t lock;
    pthread_cond_t rung;
    uint64_t count;
};

static struct bell bell = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
static struct nats_fixture server __attribute__((unused));
static struct bus_port *bus;

static inline void ring(void *context)
{
    struct bell *b = context;
    pthread_mutex_lock(&b->lock);
    b->count++;
    pthread_cond_broadcast(&b->rung);
    pthread_mutex_unlock(&b->lock);
}

/* Waits until the bell rang after `seen` or `ms` have passed. */
static inline void wait_bell(uint64_t seen, uint64_t ms)
{
    struct timespec due;
    clock_gettime(CLOCK_REALTIME, &due);
    due.tv_sec += (time_t)(ms / 1000);
    due.tv_nsec += (long)(ms % 1000) * 1000000;
    if (due.tv_nsec >= 1000000000) {
        due.tv_sec++;
        due.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&bell.lock);
    while (bell.count == seen && pthread_cond_timedwait(&bell.rung, &bell.lock, &due) == 0)
        ;
    pthread_mutex_unlock(&bell.lock);
}

/* The next event, or false after `ms`. */
static inline bool next_within(struct bus_event *e, uint64_t ms)
{
    uint64_t deadline = nats_fixture_now_ms() + ms;
    for (;;) {
        pthread_mutex_lock(&bell.lock);
        uint64_t seen = bell.count;
        pthread_mutex_unlock(&bell.lock);
        if (bus_poll(bus, e))
            return true;
        uint64_t now = nats_fixture_now_ms();
        if (now >= deadline)
            return false;
        wait_bell(seen, deadline - now);
    }
}

static inline struct bus_event expect(enum bus_event_kind kind)
{
    struct bus_event e = {0};
    cr_assert(next_within(&e, WAIT_MS), "waited for event %d in vain", kind);
    cr_assert_eq(e.kind, kind, "event %d instead of %d (err %d)", e.kind, kind, e.err);
    return e;
}

/* Skips events of other kinds: for moments in which several things happen at once. */
static inline struct bus_event skip_to(enum bus_event_kind kind)
{
    struct bus_event e = {0};
    do {
        cr_assert(next_within(&e, WAIT_MS), "waited for event %d in vain", kind);
    } while (e.kind != kind);
    return e;
}

static const struct bus_nats_stream streams[] = {
    {.name = "S", .subjects = "s.>", .replicas = 1, .age_max_s = 604800}};

static inline struct bus_nats_options options_for(const struct nats_fixture *f)
{
    return (struct bus_nats_options){.url = f->url,
                                     .name = "test",
                                     .domain = f->domain,
                                     .streams = streams,
                                     .stream_count = countof(streams),
                                     .notify = ring,
                                     .notify_context = &bell};
}

static inline void open_bus(const struct bus_nats_options *options)
{
    cr_assert_eq(bus_nats_open(options, &bus), ERR_OK);
}

static inline struct span numbered(uint64_t number, char *out, size_t size)
{
    return span_of(out, (size_t)snprintf(out, size, "message %llu", (unsigned long long)number));
}

/* Publishes `count` messages with tokens first.., each acknowledged. Returns the last sequence. */
static inline uint64_t publish_all(uint64_t first, uint64_t count)
{
    char text[32];
    uint64_t sent = 0;
    uint64_t acked = 0;
    uint64_t last_seq = 0;
    while (acked < count) {
        enum err err = ERR_OK;
        while (sent < count && err == ERR_OK) {
            err = bus_publish(bus, "s.1", NULL, numbered(first + sent, text, sizeof(text)),
                              first + sent);
            cr_assert(err == ERR_OK || err == ERR_BUS_BUSY);
            if (err == ERR_OK)
                sent++;
        }
        struct bus_event e = expect(BUS_ACK);
        cr_assert_eq(e.token, first + acked, "acks of one connection come in order");
        last_seq = e.seq;
        acked++;
    }
    return last_seq;
}

static inline void expect_message(uint64_t seq, uint64_t number)
{
    char text[32];
    struct bus_event e = expect(BUS_MESSAGE);
    cr_assert_eq(e.seq, seq);
    cr_assert(span_equal(e.data, numbered(number, text, sizeof(text))));
}
