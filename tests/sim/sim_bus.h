/* SPDX-License-Identifier: Apache-2.0
 * sim_bus: JetStream and plain NATS in memory: streams with message ids, tail loss, unknown
 * time-outs. Audience: tests. One thread. A server is shared; each client is a bus port of its own.
 */
#pragma once

#include "common/base/bus.h"
#include "tests/sim/sim_fuse.h"
#include "tests/sim/sim_nth.h"

struct sim_bus_server;

/* Time is set by the test; messages stored now carry it. */
struct sim_bus_server *sim_bus_server_new(void);
void sim_bus_server_free(struct sim_bus_server *s); /* frees its clients too */
void sim_bus_time(struct sim_bus_server *s, uint64_t now_ms);
/* `filter` as in NATS, e.g. "clicks.us.0.>". */
void sim_bus_stream(struct sim_bus_server *s, const char *name, const char *filter);

/* A new client, connected: its first event is BUS_UP. */
struct bus_port *sim_bus_client(struct sim_bus_server *s);
void sim_bus_cut(
    struct bus_port *client); /* BUS_DOWN; open publishes end unknown (NACK, ERR_BUS_TIMEOUT) */
void sim_bus_heal(struct bus_port *client); /* BUS_UP */
/* A client that crashed: its events and subscriptions are gone; frees it. */
void sim_bus_client_free(struct bus_port *client);

/* Faults of the next publishes, one shot each, in this order: lost unknown (not stored, time-out),
 * stored unknown (stored, time-out). */
void sim_bus_lose_publishes(struct bus_port *client, unsigned n);
void sim_bus_orphan_publishes(struct bus_port *client, unsigned n);
/* Chances in 1000 that a publish of this client is lost (not stored, time-out), orphaned (stored,
 * time-out), doubled (stored twice), or delayed (time-out now, stored up to delay_ms later, behind
 * what was published since). */
struct sim_bus_sins {
    uint32_t lose, orphan, twice, delay;
    uint64_t delay_ms;
};
void sim_bus_sin(struct bus_port *client, const struct sim_bus_sins *sins, uint64_t seed);
/* Every event reaches every client this much later than it happened; 0 at first. */
void sim_bus_latency(struct sim_bus_server *s, uint64_t ms);
/* The server's wall clock stands so far from true time; stamps of messages show it. */
void sim_bus_skew(struct sim_bus_server *s, int64_t ms);

/* Plain messages to this client are dropped while true. */
void sim_bus_deaf(struct bus_port *client, bool deaf);

uint64_t sim_bus_last_seq(const struct sim_bus_server *s, const char *stream);
/* Removes the messages above `seq`: they were acknowledged and are gone; sequences are used again.
 */
void sim_bus_lose_tail(struct sim_bus_server *s, const char *stream, uint64_t seq);
/* Expires the messages up to and with `seq`: the stream then starts behind it. */
void sim_bus_expire(struct sim_bus_server *s, const char *stream, uint64_t seq);
/* Deletes and re-creates the stream, empty, from sequence 1. */
void sim_bus_recreate(struct sim_bus_server *s, const char *stream);
/* Borrowed; false if not there. */
bool sim_bus_message(const struct sim_bus_server *s, const char *stream, uint64_t seq,
                     struct span *out_data, uint64_t *out_time_ms);

/* For simulations. */

/* Sees every message as the server takes it: stored under stream and seq, or plain (stream NULL).
 */
void sim_bus_watch(struct sim_bus_server *s,
                   void (*spy)(void *context, const char *subject, struct span data,
                               const char *stream, uint64_t seq),
                   void *context);
/* Ends all reads of a stream, as when its consumer is deleted (BUS_READ_END). */
void sim_bus_end_reads(struct sim_bus_server *s, const char *stream);
/* When the next delayed publish arrives; UINT64_MAX: none is under way. */
uint64_t sim_bus_delayed_ms(const struct sim_bus_server *s);
/* One direction of the link swallows everything: out, what the client says; in, what it would hear.
 */
void sim_bus_mute(struct bus_port *client, bool out, bool in);
/* This client's own latency, on top of the server's. */
void sim_bus_lag(struct bus_port *client, uint64_t ms);
/* An unknown outcome is told so much later; 0 at first. */
void sim_bus_timeout(struct bus_port *client, uint64_t ms);
void sim_bus_fuse(struct bus_port *client, struct sim_fuse *fuse);
/* Calls and answers that fail. */
void sim_bus_nth(struct bus_port *client, struct sim_nth *nth);
/* `ready` is told when poll will have something. */
void sim_bus_ready(struct bus_port *client, void (*ready)(void *context, uint64_t due_ms),
                   void *context);
/* When poll has something to give; UINT64_MAX: nothing is under way. */
uint64_t sim_bus_due_ms(struct bus_port *client);
