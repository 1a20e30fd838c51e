/* SPDX-License-Identifier: Apache-2.0
 * bus: the port to JetStream and plain NATS. Six functions; nothing blocks.
 * Audience: drivers, shells. Cores never include it.
 * Implementations: common/run/bus_nats, tests/sim.
 *
 * Caveats first (facts measured on nats-server 2.9 to 2.15):
 *   - BUS_ACK is not durability, BUS_NACK with ERR_BUS_TIMEOUT is not absence: half
 *     of the timed-out publishes had been stored.
 *   - After losing an un-synced tail a stream re-uses sequence numbers. A reader
 *     proves its position with `get` after every BUS_UP and whenever BUS_MESSAGE.seq
 *     is not the one it expects.
 *   - Everything a driver reads comes out of `poll`, one event at a time, at the
 *     driver's own pace. Callbacks of the client library only enqueue.
 *
 * Thread rule: one thread per bus. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"

enum bus_event_kind {
    BUS_UP,       /* connected (again); every read has ended: prove, then read again */
    BUS_DOWN,     /* disconnected; open publishes will still get their ACK or NACK */
    BUS_ACK,      /* token, seq: a stream's quorum has stored the publish */
    BUS_NACK,     /* token, err: refused, timed out (unknown) or not connected */
    BUS_MESSAGE,  /* handle, seq, time_ms, pending, subject, data: the next message of a read */
    BUS_READ_END, /* handle: this read has ended (stream or consumer gone): prove, read again */
    BUS_GOT,      /* token, seq, data: the stream message asked for; err ERR_NOT_FOUND: it
                     is not there; any other err: could not be learned, ask again */
    BUS_PLAIN,    /* subject, reply (may be ""), data: a plain message on a listened subject */
};

struct bus_event {
    enum bus_event_kind kind;
    enum err err;
    uint64_t token;
    uint64_t seq;
    uint64_t time_ms; /* BUS_MESSAGE: when the server stored it, its wall clock */
    uint64_t pending; /* BUS_MESSAGE: how many follow it in the stream; UINT64_MAX: not known */
    unsigned handle;
    const char *subject; /* this and the next two are valid until the next poll */
    const char *reply;
    struct span data;
};

struct bus_port {
    /* Publishes to a stream; exactly one BUS_ACK or BUS_NACK with `token` follows, unless
     * an error is returned at once (ERR_BUS_DOWN, ERR_BUS_BUSY: nothing was sent).
     * msg_id NULL: none. `data` is copied or sent before return. */
    enum err (*publish)(struct bus_port *bus, const char *subject, const char *msg_id,
                        struct span data, uint64_t token);
    /* Plain publish: at most once, no answer. */
    enum err (*send)(struct bus_port *bus, const char *subject, struct span data);
    /* Subscribes to a plain subject (wildcards allowed), now and after each reconnect. */
    enum err (*listen)(struct bus_port *bus, const char *subject);
    /* Starts reading `stream` after `after_seq` (0: from its first message); messages come
     * as BUS_MESSAGE with `handle`. A later read with the same handle replaces it: no
     * message of the old one follows. A stream whose first message is beyond simply starts there.
     */
    enum err (*read)(struct bus_port *bus, const char *stream, uint64_t after_seq, unsigned handle);
    /* Fetches one stored message; one BUS_GOT with `token` follows. */
    enum err (*get)(struct bus_port *bus, const char *stream, uint64_t seq, uint64_t token);
    /* Next event, or false when there is none now. */
    bool (*poll)(struct bus_port *bus, struct bus_event *out_event);
};

static inline enum err bus_publish(struct bus_port *bus, const char *subject, const char *msg_id,
                                   struct span data, uint64_t token)
{
    return bus->publish(bus, subject, msg_id, data, token);
}
static inline enum err bus_send(struct bus_port *bus, const char *subject, struct span data)
{
    return bus->send(bus, subject, data);
}
static inline enum err bus_listen(struct bus_port *bus, const char *subject)
{
    return bus->listen(bus, subject);
}
static inline enum err bus_read(struct bus_port *bus, const char *stream, uint64_t after_seq,
                                unsigned handle)
{
    return bus->read(bus, stream, after_seq, handle);
}
static inline enum err bus_get(struct bus_port *bus, const char *stream, uint64_t seq,
                               uint64_t token)
{
    return bus->get(bus, stream, seq, token);
}
static inline bool bus_poll(struct bus_port *bus, struct bus_event *out_event)
{
    return bus->poll(bus, out_event);
}
