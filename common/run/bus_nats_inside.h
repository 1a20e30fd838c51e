/* SPDX-License-Identifier: Apache-2.0
 * bus_nats_inside: the parts of one port, as its own files share them.
 * Audience: bus_nats*.c only.
 *
 * Threads of a port, and what each may do:
 *   the driver   calls the port's functions; they look at `lock`ed state and enqueue commands
 *   the sender   alone calls the client library: connects, subscribes, publishes. A write to a
 *                stalled server may block it, and nobody else
 *   the keeper   alone watches time: time-outs, back-offs, silent reads
 *   callbacks    (the library's threads) turn what arrived into events
 * One lock, never held while the client library or `notify` is called: so no lock order.
 *
 * A *link* is one connection. The library's own reconnecting is switched off: it keeps
 * subscriptions, pending publishes and (after two authorization errors) gives up for ever. A new
 * connection with a new number, inbox and subscriptions leaves nothing stale behind. */
#pragma once

#include "common/run/bus_nats.h"
#include "common/run/metrics.h"

#include <nats/nats.h>
#include <pthread.h>

enum {
    BUS_NATS_HANDLES = 4096,
    BUS_NATS_GETS = 64,
    BUS_NATS_PLAINS = 65536,
    BUS_NATS_INBOX_BYTES = 64,
    BUS_NATS_CONSUMER_BYTES = 64,
};
#define BUS_NATS_PLAIN_BYTES (64ULL * 1024 * 1024)
#define BUS_NATS_SEND_BYTES  (16ULL * 1024 * 1024)
#define BUS_NATS_API_MS      5000U
/* Errors of the JetStream API by its own numbers. */
#define BUS_NATS_NO_MESSAGE 10037
#define BUS_NATS_NO_STREAM  10059
/* A stream without a leader does not answer; soon after an election it does. */
#define BUS_NATS_GET_MS 1000U
/* A failure is told no sooner than this after its request, so that a driver that simply tries
 * again does not spin against a stream that is not there yet. */
#define BUS_NATS_FAIL_PACE_MS 100U
#define BUS_NATS_READ_PACE_MS 250U

struct bus_nats_event {
    struct bus_nats_event *next;
    struct bus_event event;
    uint64_t order;       /* of arrival, over both queues */
    size_t cost;          /* BUS_MESSAGE: what it counts in its read's queue */
    uint64_t due_ms;      /* in the later list: when it may be told */
    uint32_t link;        /* BUS_UP */
    uint32_t read_serial; /* BUS_MESSAGE, BUS_READ_END */
    natsMsg *msg;         /* owns subject, reply, data; or NULL */
    struct buf owned;     /* owns data when there is no msg */
};

struct bus_nats_queue {
    struct bus_nats_event *first;
    struct bus_nats_event *last;
    size_t count;
    size_t bytes;
};

enum bus_nats_command_kind {
    COMMAND_PUBLISH,
    COMMAND_LISTEN,
    COMMAND_READ_OPEN,
    COMMAND_READ_CLOSE
};

struct bus_nats_command {
    struct bus_nats_command *next;
    enum bus_nats_command_kind kind;
    bool awaited; /* PUBLISH: an open call (slot, generation) waits for the answer */
    unsigned slot;
    uint32_t generation;
    unsigned handle; /* READ_* */
    uint32_t read_serial;
    bool plain; /* counts in sending_bytes */
    char *subject;
    char *reply;  /* may be NULL */
    char *msg_id; /* may be NULL */
    struct buf data;
};

enum bus_nats_call_kind {
    CALL_FREE,
    CALL_PUBLISH,
    CALL_GET,
    CALL_CONSUMER,
    CALL_STEP,
    CALL_STREAM_INFO,
    CALL_STREAM_CREATE,
    CALL_REQUEST,
    CALL_KINDS,
};

/* A request whose answer is awaited at <inbox>.<slot>.<generation>. The generation changes when
 * the slot is freed, so a late answer of an earlier use finds nobody. */
struct bus_nats_call {
    enum bus_nats_call_kind kind;
    uint32_t generation;
    uint64_t token;
    uint64_t seq; /* GET */
    uint64_t started_us;
    uint64_t deadline_ms; /* 0: its owner watches */
    size_t bytes;         /* PUBLISH */
    unsigned index;       /* CONSUMER, STEP: handle; STREAM_*: stream */
    uint32_t read_serial; /* CONSUMER, STEP */
    struct bus_nats_request *request;
};

struct bus_nats_request {
    struct bus_nats_reply *replies;
    unsigned count;
    unsigned count_max;
    bool ended; /* nobody will answer (any more) */
};

struct bus_nats_read {
    bool active;
    bool pulling; /* its consumer exists */
    uint32_t serial;
    char *stream;
    char consumer[BUS_NATS_CONSUMER_BYTES];
    uint64_t stream_seq; /* last told */
    uint64_t consumer_seq;
    uint64_t consumer_stream_seq; /* last that the consumer delivered, or where it begins */
    unsigned outstanding;         /* messages asked for and not here yet, by our books */
    uint64_t pull_end_ms;         /* when the newest pull has surely ended */
    uint64_t heard_ms;
    size_t queued_bytes; /* delivered, not polled yet */
    size_t biggest;      /* message seen so far, with its overhead */
    unsigned pull_count;
    uint64_t consumer_due_ms; /* when to ask for a consumer again; 0: one is there or asked for */
    uint64_t delivered_ms;    /* last message of the consumer, or when this began */
    uint64_t step_due_ms;     /* when to ask the stream's leader for the next message; 0: asked */
    uint32_t step_wait_ms;    /* grows while the leader has nothing for us */
    uint64_t deaf_ms;         /* since when the leader gives what the consumer does not; 0: never */
};

enum bus_nats_stream_state { STREAM_WAITS, STREAM_ASKED, STREAM_THERE };

struct bus_nats_stream_keep {
    enum bus_nats_stream_state state;
    uint64_t due_ms; /* WAITS: when to ask */
    unsigned failures;
    char *name;
    char *subjects;
    struct bus_nats_stream wanted; /* with name and subjects pointing to ours */
};

struct bus_nats {
    struct bus_port port;       /* first: the driver's handle */
    struct bus_nats *next_port; /* registry of bus_nats_route */
    uint16_t number;
    unsigned pins;

    /* Options, constant after open. */
    char *url;
    char *user;
    char *password;
    char *name;
    char *api; /* "$JS.API" or "$JS.<domain>.API" */
    unsigned publish_window;
    uint64_t publish_window_bytes;
    uint32_t publish_timeout_ms;
    unsigned read_window;
    uint64_t read_window_bytes;
    void (*notify)(void *context);
    void *notify_context;

    pthread_t sender;
    pthread_t keeper;

    /* The driver's thread alone. */
    uint32_t seen_link;            /* link of the last BUS_UP it polled; 0 after BUS_DOWN */
    struct bus_nats_event *polled; /* what the last poll handed out */

    pthread_mutex_t lock;    /* guards all below */
    pthread_cond_t work;     /* sender: a command, a lost link, stopping */
    pthread_cond_t tick;     /* keeper: an earlier due time, stopping */
    pthread_cond_t answered; /* bus_nats_request */
    bool stopping;
    bool notify_due;

    uint32_t link;        /* 0: none */
    uint32_t link_closed; /* the last link whose end was heard */
    bool announced;       /* BUS_UP was told */
    uint64_t announce_due_ms;
    char inbox[BUS_NATS_INBOX_BYTES];

    uint64_t order;
    struct bus_nats_queue events;
    struct bus_nats_queue plains;
    struct bus_nats_queue later;
    uint64_t plains_dropped;
    uint64_t errors_seen;
    uint64_t refusals_seen;
    struct metrics_histogram publish_times; /* any thread */

    struct bus_nats_command *command_first;
    struct bus_nats_command *command_last;
    uint64_t sending_bytes;

    struct bus_nats_call *calls;
    unsigned call_count;
    unsigned open_calls[CALL_KINDS];
    uint64_t publish_bytes;

    struct bus_nats_read *reads; /* by handle */
    unsigned read_count;

    struct bus_nats_stream_keep *streams;
    unsigned stream_count;

    char **listens;
    unsigned listen_count;

    uint64_t keeper_due_ms;
};

/* bus_nats_queue: events, commands, the lock. All but lock expect the lock to be held. */
uint64_t bus_nats_now_ms(void);
uint64_t bus_nats_now_us(void);
void bus_nats_lock(struct bus_nats *b);
/* Unlocks, then calls notify if an event was put meanwhile. */
void bus_nats_unlock(struct bus_nats *b);
/* Counts, and says whether to log it: the 1st, 2nd, 4th, 8th ... of a kind that may flood. */
bool bus_nats_is_seldom(uint64_t *count);
/* Has the keeper look at the books at `due_ms` at the latest. */
void bus_nats_keep(struct bus_nats *b, uint64_t due_ms);
struct bus_nats_event *bus_nats_event_new(enum bus_event_kind kind);
void bus_nats_event_free(struct bus_nats_event *e);
/* Tells an event now, or not before due_ms. Takes it over. */
void bus_nats_queue_put(struct bus_nats *b, struct bus_nats_event *e, uint64_t due_ms);
/* Moves what is due; returns when the next one is (UINT64_MAX: none). */
uint64_t bus_nats_queue_due(struct bus_nats *b, uint64_t now_ms);
/* The oldest event, now the caller's; NULL when there is none. */
struct bus_nats_event *bus_nats_queue_take(struct bus_nats *b);
void bus_nats_queue_done(struct bus_nats *b);
/* Texts are copied; `reply` and `msg_id` may be NULL. */
struct bus_nats_command *bus_nats_command_new(enum bus_nats_command_kind kind, const char *subject,
                                              const char *reply, const char *msg_id,
                                              struct span data);
void bus_nats_command_free(struct bus_nats_command *c);
void bus_nats_command_put(struct bus_nats *b, struct bus_nats_command *c);
struct bus_nats_command *bus_nats_command_take(struct bus_nats *b);
void bus_nats_command_drop_all(struct bus_nats *b);

/* bus_nats_call: requests and their answers. Lock held, link up. */
/* Opens a call and sends its request. Returns its slot. */
unsigned bus_nats_call_send(struct bus_nats *b, struct bus_nats_call call, const char *subject,
                            const char *msg_id, struct span data);
void bus_nats_call_close(struct bus_nats *b, unsigned slot);
/* An answer arrived. */
void bus_nats_call_reply(struct bus_nats *b, natsMsg *msg);
/* The sender could not send it. */
void bus_nats_call_unsent(struct bus_nats *b, const struct bus_nats_command *c, enum err err);
/* Ends all with an unknown outcome: the link is lost. */
void bus_nats_call_lost(struct bus_nats *b);
uint64_t bus_nats_call_due(struct bus_nats *b, uint64_t now_ms);
/* Status of a headers-only message ("503"), or 0. */
unsigned bus_nats_call_status(natsMsg *msg);

/* bus_nats_pull: reads. Lock held. */
void bus_nats_pull_open(struct bus_nats *b, const char *stream, uint64_t after_seq,
                        unsigned handle);
/* The answer to the creation of a consumer; err when there was none. */
void bus_nats_pull_created(struct bus_nats *b, unsigned handle, uint32_t serial, enum err err,
                           struct span answer);
/* Takes the message over. */
void bus_nats_pull_message(struct bus_nats *b, unsigned handle, uint32_t serial, natsMsg *msg);
/* The driver has taken a message of `bytes`: perhaps ask for more. */
void bus_nats_pull_taken(struct bus_nats *b, unsigned handle, uint32_t serial, size_t bytes);
/* False for events of a read that was replaced or whose link is lost. */
bool bus_nats_pull_is_current(const struct bus_nats *b, unsigned handle, uint32_t serial);
void bus_nats_pull_lost(struct bus_nats *b);
uint64_t bus_nats_pull_due(struct bus_nats *b, uint64_t now_ms);
/* Ends a read and tells the driver, now or not before due_ms. */
void bus_nats_pull_end(struct bus_nats *b, struct bus_nats_read *r, const char *why,
                       uint64_t due_ms);
/* Hands a message to the driver; `e` is filled in but for order and read. */
void bus_nats_pull_tell(struct bus_nats *b, struct bus_nats_read *r, struct bus_nats_event *e);
/* The read, or NULL when it was replaced or has ended. */
struct bus_nats_read *bus_nats_pull_find(struct bus_nats *b, unsigned handle, uint32_t serial);

/* bus_nats_step: a read goes on, message by message from the stream's leader, while it has no
 * consumer, or one that does not deliver. Lock held. */
void bus_nats_step_begin(struct bus_nats_read *r, uint64_t now_ms);
void bus_nats_step_answer(struct bus_nats *b, const struct bus_nats_call *call, enum err err,
                          struct span answer);
/* Returns when to look again. May end the read. */
uint64_t bus_nats_step_due(struct bus_nats *b, struct bus_nats_read *r, uint64_t now_ms);

/* bus_nats_ensure: streams that must exist. Lock held. */
/* Looks at every stream again; at once for a new link, else with the usual back-off. */
void bus_nats_ensure_all(struct bus_nats *b, bool at_once);
bool bus_nats_ensure_done(const struct bus_nats *b);
void bus_nats_ensure_answer(struct bus_nats *b, const struct bus_nats_call *call, enum err err,
                            struct span answer);
uint64_t bus_nats_ensure_due(struct bus_nats *b, uint64_t now_ms);

/* bus_nats_link: the sender thread, and connections. */
void *bus_nats_link_main(void *port);
/* Lock held; tells BUS_UP once streams are there or waited for long enough. */
uint64_t bus_nats_link_due(struct bus_nats *b, uint64_t now_ms);

/* bus_nats_route: from a callback's closure to the port it belongs to, if that still lives.
 * The library may call back after an unsubscribe or close, so a closure is never a pointer. */
enum bus_nats_route_kind { ROUTE_REPLY, ROUTE_PLAIN, ROUTE_READ, ROUTE_LINK };
struct bus_nats_route {
    enum bus_nats_route_kind kind;
    unsigned handle; /* READ */
    uint32_t serial; /* READ: of the read; else of the link */
};
void bus_nats_route_add(struct bus_nats *b);
/* Waits for callbacks under way; none follows. */
void bus_nats_route_remove(struct bus_nats *b);
/* Never repeats in this process. */
uint32_t bus_nats_route_serial(void);
void *bus_nats_route_closure(const struct bus_nats *b, struct bus_nats_route route);
/* The port, locked and pinned; NULL if it is gone. End with leave, which unlocks. */
struct bus_nats *bus_nats_route_enter(const void *closure, struct bus_nats_route *out);
void bus_nats_route_leave(struct bus_nats *b);
