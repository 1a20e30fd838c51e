/* SPDX-License-Identifier: Apache-2.0
 * held_bus: a bus whose acknowledgements the test holds back or lets go, from any thread.
 * Audience: tests. The port's functions: one thread. */
#pragma once

#include "common/base/bus.h"
#include "common/base/bytes.h"
#include "common/run/wake.h"

#include <stdatomic.h>
#include <stdlib.h>

#define HELD_BUS_OPEN 4096

struct held_bus {
    struct bus_port port; /* must be first */
    struct wake *wake;    /* an event may be there */
    _Atomic bool holding;
    _Atomic uint64_t allowed; /* acknowledgements that pass while holding */
    _Atomic uint64_t published;
    _Atomic(struct buf *) word; /* the next plain message; from malloc, the bus's from then on */
    struct buf *heard;          /* the last one */
    bool told_up;
    uint64_t seq;
    uint64_t tokens[HELD_BUS_OPEN];
    size_t first, count;
};

static enum err held_bus_publish(struct bus_port *bus, const char *subject, const char *msg_id,
                                 struct span data, uint64_t token)
{
    struct held_bus *b = (struct held_bus *)bus;
    (void)subject, (void)msg_id, (void)data;
    if (b->count == HELD_BUS_OPEN)
        return ERR_BUS_BUSY;
    b->tokens[(b->first + b->count++) % HELD_BUS_OPEN] = token;
    b->published++;
    wake_signal(b->wake);
    return ERR_OK;
}

static enum err held_bus_send(struct bus_port *bus, const char *subject, struct span data)
{
    (void)bus, (void)subject, (void)data;
    return ERR_OK;
}

static enum err held_bus_listen(struct bus_port *bus, const char *subject)
{
    (void)bus, (void)subject;
    return ERR_OK;
}

static inline void held_bus_forget(struct held_bus *b)
{
    if (b->heard != NULL)
        buf_done(b->heard);
    free(b->heard);
    b->heard = NULL;
}

static bool held_bus_poll(struct bus_port *bus, struct bus_event *out)
{
    struct held_bus *b = (struct held_bus *)bus;
    if (!b->told_up) {
        b->told_up = true;
        *out = (struct bus_event){.kind = BUS_UP};
        return true;
    }
    struct buf *word = atomic_exchange(&b->word, NULL);
    if (word != NULL) {
        held_bus_forget(b);
        b->heard = word;
        *out = (struct bus_event){.kind = BUS_PLAIN, .data = buf_span(word)};
        return true;
    }
    if (b->count == 0 || (b->holding && b->allowed == 0))
        return false;
    if (b->holding)
        b->allowed--;
    *out = (struct bus_event){.kind = BUS_ACK, .token = b->tokens[b->first], .seq = ++b->seq};
    b->first = (b->first + 1) % HELD_BUS_OPEN;
    b->count--;
    return true;
}

static inline void held_bus_init(struct held_bus *b, struct wake *wake)
{
    *b = (struct held_bus){.wake = wake,
                           .port = {.publish = held_bus_publish,
                                    .send = held_bus_send,
                                    .listen = held_bus_listen,
                                    .poll = held_bus_poll}};
}
