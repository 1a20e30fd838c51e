/* SPDX-License-Identifier: Apache-2.0
 * tsan_bus_nats: the threads of bus_nats under ThreadSanitizer, against a real nats-server that is
 * killed once. A plain main(): Criterion cannot start under that sanitizer. Ends with 0 if all went
 * well. */
#include "common/run/bus_nats.h"
#include "common/run/wake.h"
#include "nats_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

enum { DRIVERS = 3, COUNT = 1500, WINDOW = 64 };

static struct nats_fixture server = {.domain = "us"};
static _Atomic unsigned halfway;

/* One driver, as the programs have them: its bus, and a bell that the library's threads ring. */
struct driver {
    pthread_t thread;
    unsigned number;
    struct wake *wake;
    struct bus_port *bus;
    bool up;
    uint64_t next;
    uint64_t acked;
    bool stored[COUNT];
    uint64_t position;
    uint64_t plains;
};

static void take(struct driver *d, const struct bus_event *e)
{
    switch (e->kind) {
    case BUS_UP:
        d->up = true;
        CHECK(bus_read(d->bus, "S", d->position, 0) == ERR_OK);
        (void)bus_get(d->bus, "S", d->position == 0 ? 1 : d->position, 1);
        break;
    case BUS_DOWN:
        d->up = false;
        break;
    case BUS_ACK:
        d->acked += !d->stored[e->token];
        d->stored[e->token] = true;
        if (d->acked == COUNT / 2)
            (void)atomic_fetch_add(&halfway, 1);
        break;
    case BUS_NACK:
        d->next = base_min_u64(d->next, e->token);
        break;
    case BUS_MESSAGE:
        CHECK(e->seq == d->position + 1 && e->data.length > 0);
        d->position = e->seq;
        break;
    case BUS_READ_END:
        (void)bus_read(d->bus, "S", d->position, 0);
        break;
    case BUS_PLAIN:
        d->plains++;
        break;
    case BUS_GOT:
        break;
    }
}

static void *drive(void *context)
{
    static const struct bus_nats_stream stream = {
        .name = "S", .subjects = "s.>", .replicas = 1, .age_max_s = 3600};
    struct driver *d = context;
    struct bus_nats_options options = {.url = server.url,
                                       .name = "tsan",
                                       .domain = server.domain,
                                       .streams = &stream,
                                       .stream_count = 1,
                                       .notify = wake_signal,
                                       .notify_context = d->wake,
                                       .read_window = 16};
    char subject[16];
    (void)snprintf(subject, sizeof(subject), "s.%u", d->number);
    uint64_t deadline_ms = nats_fixture_now_ms() + 120000;
    CHECK(bus_nats_open(&options, &d->bus) == ERR_OK);
    CHECK(bus_listen(d->bus, "p.>") == ERR_OK);
    while (d->acked < COUNT || d->position < DRIVERS * COUNT) {
        struct bus_event e;
        CHECK(nats_fixture_now_ms() < deadline_ms);
        while (d->up && d->next < COUNT && d->next < d->acked + WINDOW) {
            if (!d->stored[d->next] &&
                bus_publish(d->bus, subject, NULL, span_of_text(subject), d->next) != ERR_OK)
                break;
            if (d->next++ % 16 == 0)
                (void)bus_send(d->bus, "p.1", span_of_text("plain"));
        }
        bool any = bus_poll(d->bus, &e);
        if (any)
            take(d, &e);
        else
            (void)wake_wait(d->wake, 1000);
    }
    bus_nats_close(d->bus);
    return NULL;
}

int main(void)
{
    static struct driver drivers[DRIVERS];
    nats_fixture_start(&server);
    for (unsigned i = 0; i < DRIVERS; i++) {
        drivers[i].number = i;
        drivers[i].wake = wake_new();
        CHECK(pthread_create(&drivers[i].thread, NULL, drive, &drivers[i]) == 0);
    }
    struct timespec bite = {.tv_nsec = 2000000};
    while (atomic_load(&halfway) == 0)
        (void)nanosleep(&bite, NULL);
    nats_fixture_stop(&server, SIGKILL);
    nats_fixture_start(&server);
    for (unsigned i = 0; i < DRIVERS; i++) {
        CHECK(pthread_join(drivers[i].thread, NULL) == 0);
        wake_free(drivers[i].wake);
        (void)printf("driver %u: %llu acknowledged, %llu read, %llu plain\n", i,
                     (unsigned long long)drivers[i].acked, (unsigned long long)drivers[i].position,
                     (unsigned long long)drivers[i].plains);
    }
    nats_fixture_done(&server);
    return 0;
}
