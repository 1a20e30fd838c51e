/* SPDX-License-Identifier: Apache-2.0
 * bus_nats: the bus port on nats-server with JetStream, over cnats >= 3.4.1.
 * Audience: shells. See common/base/bus.h for the caveats. The port's functions: one thread; callbacks of the client
 * library only enqueue and call `notify`.
 *
 * Own publish window (reply subject <inbox>.<slot>), own pull (CONSUMER.MSG.NEXT with an own inbox, pipelined; never
 * natsSubscription_Fetch), reconnects for ever, pings 5 s x 2, tiny reconnect buffer. */
#pragma once

#include "common/base/bus.h"

struct bus_nats_stream {
    const char *name;
    const char *subjects;      /* one filter, e.g. "clicks.us.3.>" */
    unsigned replicas;
    uint64_t age_max_s;
    uint64_t bytes_max;        /* 0: unlimited */
};

struct bus_nats_options {
    const char *url;           /* nats://127.0.0.1:4222[,nats://...] */
    const char *user;          /* may be NULL */
    const char *password;      /* the secret itself, read from a file by the shell; may be NULL */
    const char *name;          /* client name, shown by the server */
    const char *domain;        /* JetStream domain, or NULL: $JS.API; else $JS.<domain>.API */
    const struct bus_nats_stream *streams; /* created if missing on every connect; never changed or shrunk */
    unsigned stream_count;
    unsigned publish_window;   /* open publishes; 0: 256 */
    uint64_t publish_window_bytes; /* 0: 16 MiB */
    uint32_t publish_timeout_ms;   /* 0: 5000 */
    unsigned read_window;      /* messages asked for ahead per read; 0: 64 */
    uint64_t read_window_bytes; /* queued per read before pulling pauses; 0: 16 MiB */
    void (*notify)(void *context); /* after an event was enqueued; any thread; may be NULL */
    void *notify_context;
};

/* Returns at once; BUS_UP follows when connected. ERR_CONFIG for options that cannot work. */
enum err WARN_UNUSED bus_nats_open(const struct bus_nats_options *options, struct bus_port **out);
void bus_nats_close(struct bus_port *bus);

/* Answers a plain request: publishes to the reply subject of a BUS_PLAIN event. Same as bus_send; here for tools:
 * sends and waits, blocking, for up to `replies_max` plain answers or timeout_ms. */
struct bus_nats_reply {
    struct buf data;
};
unsigned bus_nats_request(struct bus_port *bus, const char *subject, struct span data,
                          struct bus_nats_reply *replies, unsigned replies_max, uint32_t timeout_ms);
