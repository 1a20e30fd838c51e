/* SPDX-License-Identifier: Apache-2.0
 * sim_bus_inside: what the two halves of sim_bus share: servers with their streams, and clients.
 * Audience: sim_bus*.c alone. */
#pragma once

#include "common/base/rng.h"
#include "tests/sim/sim_bus.h"

#define SIM_BUS_READS   64
#define SIM_BUS_LISTENS 32

struct sim_bus_stored {
    uint64_t at_ms;   /* true time */
    uint64_t time_ms; /* by the server's clock */
    uint64_t id_hash; /* 0: no message id */
    uint32_t subject_length, id_length, length;
    bool gone;  /* expired */
    char *text; /* subject, NUL, id, NUL, data */
};

struct sim_bus_stream {
    char *name, *filter;
    struct sim_bus_stored *messages; /* index = seq - 1 */
    size_t count, capacity;
};

struct sim_bus_queued {
    uint64_t due_ms;
    struct bus_event event;
    char *text; /* subject, NUL, reply, NUL, data; NULL: neither */
};

struct sim_bus_read {
    char stream[128];
    unsigned handle;
    uint64_t next_seq;
};

struct sim_bus_client {
    struct bus_port port;
    struct sim_bus_server *server;
    bool up, deaf, mute_out, mute_in;
    unsigned lose, orphan;
    struct sim_bus_sins sins;
    uint64_t lag_ms, timeout_ms;
    struct rng rng;
    struct sim_fuse *fuse;
    struct sim_nth *nth;
    struct sim_bus_queued *queue; /* a ring; dues never fall */
    size_t head, count, capacity;
    struct sim_bus_queued *late; /* time-outs: due long after what happened later */
    size_t late_count, late_capacity;
    char *current; /* storage of the event last polled */
    struct sim_bus_read reads[SIM_BUS_READS];
    unsigned read_count, next_read;
    char *listens[SIM_BUS_LISTENS];
    unsigned listen_count;
    void (*ready)(void *context, uint64_t due_ms);
    void *ready_context;
    struct sim_bus_client *next;
};

/* A publish that is still on its way although its client has given it up. */
struct sim_bus_delayed {
    uint64_t due_ms;
    char *subject, *msg_id;
    struct buf data;
};

struct sim_bus_server {
    uint64_t now_ms, latency_ms;
    int64_t skew_ms;
    struct sim_bus_delayed *delayed;
    size_t delayed_count;
    struct sim_bus_stream *streams;
    size_t stream_count;
    struct sim_bus_client *clients;
    void (*spy)(void *context, const char *subject, struct span data, const char *stream,
                uint64_t seq);
    void *spy_context;
};

static inline struct sim_bus_client *sim_bus_client_of(struct bus_port *bus)
{
    return container_of(bus, struct sim_bus_client, port);
}

struct sim_bus_stream *sim_bus_stream_named(const struct sim_bus_server *s, const char *name);
struct sim_bus_stream *sim_bus_stream_for(const struct sim_bus_server *s, const char *subject);
/* Returns the sequence under which the message lies, that of a repeat within the window included.
 */
uint64_t sim_bus_store(struct sim_bus_server *s, struct sim_bus_stream *st, const char *subject,
                       const char *msg_id, struct span data);
void sim_bus_delay(struct sim_bus_server *s, const char *subject, const char *msg_id,
                   struct span data, uint64_t ms);
bool sim_bus_matches(const char *filter, const char *subject);

/* sim_bus_client.c */
void sim_bus_enqueue(struct sim_bus_client *c, struct bus_event event, struct span data);
void sim_bus_stored_new(struct sim_bus_server *s, const struct sim_bus_stream *st);
