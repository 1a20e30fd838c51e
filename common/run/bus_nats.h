/* SPDX-License-Identifier: Apache-2.0
 * bus_nats: the bus port on nats-server with JetStream, over cnats >= 3.4.1.
 * Audience: shells. See common/base/bus.h for the caveats. The port's functions: one thread;
 * callbacks of the client library only enqueue and call `notify`.
 *
 * Own publish window (reply subject <inbox>.<slot>.<generation>), own pull (CONSUMER.MSG.NEXT
 * with an own inbox, pipelined; never natsSubscription_Fetch), pings 5 s x 2. Reconnects for
 * ever, by a new connection each time: nothing of an old one can be sent or heard again.
 *
 * What it adds to the contract of bus.h:
 *   - Between a lost connection and the driver's poll of BUS_DOWN, and then until its poll of
 *     the next BUS_UP, every call but `listen` says ERR_BUS_DOWN. So a call may say it right
 *     after BUS_UP, when that connection is gone again: BUS_DOWN and BUS_UP follow.
 *   - BUS_UP comes once the listed streams are there, or 1 s after connecting without them.
 *   - A refusal (no stream, stream full) is told 100 ms after its request, the end of a read
 *     that got no consumer after 250 ms: a driver that just tries again does not spin.
 *   - ERR_LIMIT: above LIMIT_MESSAGE_BYTES. ERR_FORMAT: a subject or stream name that could
 *     break the protocol. Nothing was sent, and nothing follows.
 *   - BUS_PLAIN.reply is "" unless it is an inbox (_INBOX.): our answer goes out with our
 *     rights, and an asker must not choose the stream or API that it reaches.
 *   - Plain messages wait in a bounded queue (65,536, 64 MiB); the oldest are dropped. */
#pragma once

#include "common/base/bus.h"

struct metrics_histogram;

struct bus_nats_stream {
    const char *name;
    const char *subjects; /* one filter, e.g. "clicks.us.3.>" */
    unsigned replicas;
    uint64_t age_max_s;
    uint64_t bytes_max; /* 0: unlimited if we create it, and as it is if it is there */
};

struct bus_nats_options {
    const char *url;      /* nats://127.0.0.1:4222[,nats://...] */
    const char *user;     /* may be NULL */
    const char *password; /* the secret itself, read from a file by the shell; may be NULL */
    const char *name;     /* client name, shown by the server */
    const char *domain;   /* JetStream domain, or NULL: $JS.API; else $JS.<domain>.API */
    const struct bus_nats_stream
        *streams; /* created if missing on every connect; one that differs is used, never changed,
                     and named in an error of the log */
    unsigned stream_count;
    unsigned publish_window;       /* open publishes; 0: 256 */
    uint64_t publish_window_bytes; /* 0: 16 MiB */
    uint32_t publish_timeout_ms;   /* 0: 5000 */
    unsigned read_window;          /* messages asked for ahead per read; 0: 64 */
    uint64_t read_window_bytes;    /* queued per read before pulling pauses; 0: 16 MiB */
    void (*notify)(void *context); /* after an event was enqueued; any thread; may be NULL */
    void *notify_context;
};

/* Returns at once; BUS_UP follows when connected. ERR_CONFIG for options that cannot work: a url
 * that is not nats:// (TLS is the business of the nats-server on loopback), names that are none.
 * The options are copied. */
enum err WARN_UNUSED bus_nats_open(const struct bus_nats_options *options, struct bus_port **out);
/* Sends what is enqueued (for up to a second or the write deadline), then frees. NULL is fine. May
 * wait for a connection attempt under way; no notify follows. */
void bus_nats_close(struct bus_port *bus);

/* How long each stored publish took, from its call to the stream's answer. Any thread; as long as
 * the bus is open. */
const struct metrics_histogram *bus_nats_publish_times(struct bus_port *bus);

struct bus_nats_reply {
    struct buf data; /* the caller's: buf_done */
};
/* For tools: publishes a plain request and waits, blocking, for up to `replies_max` answers or
 * timeout_ms, connecting included; returns how many came. Ends early when the server says that
 * nobody listens. Any thread; needs no poll. */
unsigned bus_nats_request(struct bus_port *bus, const char *subject, struct span data,
                          struct bus_nats_reply *replies, unsigned replies_max,
                          uint32_t timeout_ms);
