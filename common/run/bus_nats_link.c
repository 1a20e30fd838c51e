/* SPDX-License-Identifier: Apache-2.0 */
#include "common/run/bus_nats_inside.h"
#include "common/run/bus_nats_wire.h"
#include "common/run/log.h"

#include "common/base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_MS   2000
#define PING_MS      5000
#define PINGS_OUT    2
#define WRITE_MS     5000
#define RECONNECT_MS 250U
#define SERVERS_MAX  16
/* BUS_UP waits so long for the streams, so that a first publish does not meet an empty server. */
#define ANNOUNCE_MS 1000U

/* What the sender alone holds of the connection. */
struct subscription {
    struct subscription *next;
    unsigned handle;
    uint32_t serial; /* of the read; 0: of the whole link */
    natsSubscription *handle_of_library;
};
struct sender {
    struct bus_nats *b;
    natsConnection *connection;
    uint32_t link;
    struct subscription *subscriptions;
    uint64_t retry_at_ms;
    uint64_t failures;
    unsigned listened;
    struct rng jitter;
};

/* Lock held. Ends the link for the driver. */
static void link_down(struct bus_nats *b)
{
    b->link = 0;
    if (b->announced)
        bus_nats_queue_put(b, bus_nats_event_new(BUS_DOWN), 0);
    b->announced = false;
    bus_nats_command_drop_all(b);
    bus_nats_pull_lost(b);
    bus_nats_call_lost(b);
    /* Nothing of this link may be told behind the next BUS_UP. */
    (void)bus_nats_queue_due(b, UINT64_MAX);
    log_info("bus disconnected", log_text("bus", b->name));
    (void)pthread_cond_signal(&b->work);
}

static void on_closed(natsConnection *connection, void *closure)
{
    (void)connection;
    struct bus_nats_route route;
    struct bus_nats *b = bus_nats_route_enter(closure, &route);
    if (b == NULL)
        return;
    if (route.serial > b->link_closed) /* of two links the younger may end first */
        b->link_closed = route.serial;
    if (b->link == route.serial)
        link_down(b);
    bus_nats_route_leave(b);
}

static void on_error(natsConnection *connection, natsSubscription *subscription, natsStatus status,
                     void *closure)
{
    (void)subscription;
    struct bus_nats_route route;
    const char *text = NULL;
    (void)natsConnection_GetLastError(connection, &text);
    struct bus_nats *b = bus_nats_route_enter(closure, &route);
    if (b == NULL)
        return;
    if (bus_nats_is_seldom(&b->errors_seen))
        log_warn("bus error", log_text("bus", b->name),
                 log_text("status", natsStatus_GetText(status)),
                 log_text("last", text == NULL ? "" : text), log_u64("errors", b->errors_seen));
    bus_nats_route_leave(b);
}

/* Answers to a foreign subject would be published with *our* rights: whoever may ask us could
 * have us write into a stream or call the JetStream API. So only inboxes are answered. */
static const char *safe_reply(const char *reply)
{
    bool inbox = reply != NULL && strncmp(reply, "_INBOX.", 7) == 0;
    return inbox && bus_nats_wire_subject_ok(reply) ? reply : "";
}

static void take_plain(struct bus_nats *b, natsMsg *msg)
{
    struct bus_nats_event *e = bus_nats_event_new(BUS_PLAIN);
    e->msg = msg;
    e->event.subject = natsMsg_GetSubject(msg);
    e->event.reply = safe_reply(natsMsg_GetReply(msg));
    e->event.data = span_of(natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg));
    bus_nats_queue_put(b, e, 0);
}

static void on_message(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                       void *closure)
{
    (void)connection;
    (void)subscription;
    struct bus_nats_route route;
    struct bus_nats *b = bus_nats_route_enter(closure, &route);
    if (b == NULL) {
        natsMsg_Destroy(msg);
        return;
    }
    if (route.kind == ROUTE_READ) {
        bus_nats_pull_message(b, route.handle, route.serial, msg);
    } else if (route.kind == ROUTE_PLAIN && route.serial == b->link) {
        take_plain(b, msg);
    } else {
        if (route.kind == ROUTE_REPLY && route.serial == b->link)
            bus_nats_call_reply(b, msg);
        natsMsg_Destroy(msg);
    }
    bus_nats_route_leave(b);
}

static natsStatus subscribe(struct sender *s, const char *subject, struct bus_nats_route route)
{
    natsSubscription *made = NULL;
    natsStatus status = natsConnection_Subscribe(&made, s->connection, subject, on_message,
                                                 bus_nats_route_closure(s->b, route));
    if (status != NATS_OK)
        return status;
    if (route.kind != ROUTE_PLAIN) /* bounded by our own windows */
        (void)natsSubscription_SetPendingLimits(made, -1, -1);
    struct subscription *entry = base_zalloc(1, sizeof(*entry));
    *entry = (struct subscription){
        .next = s->subscriptions,
        .handle = route.handle,
        .serial = route.kind == ROUTE_READ ? route.serial : 0,
        .handle_of_library = made,
    };
    s->subscriptions = entry;
    return NATS_OK;
}

/* Ends the subscription of one read, or with `all` every one. */
static void unsubscribe(struct sender *s, bool all, unsigned handle, uint32_t serial)
{
    struct subscription **at = &s->subscriptions;
    while (*at != NULL) {
        struct subscription *entry = *at;
        if (all || (entry->serial == serial && entry->handle == handle)) {
            *at = entry->next;
            natsSubscription_Destroy(entry->handle_of_library);
            free(entry);
        } else {
            at = &entry->next;
        }
    }
}

static natsStatus set_options(struct sender *s, natsOptions *options)
{
    struct bus_nats *b = s->b;
    const char *servers[SERVERS_MAX];
    int count = 0;
    char *urls = base_alloc(strlen(b->url) + 1);
    memcpy(urls, b->url, strlen(b->url) + 1);
    char *rest = urls;
    char *one;
    while ((one = strsep(&rest, ",")) != NULL && count < SERVERS_MAX)
        servers[count++] = one;
    void *closure =
        bus_nats_route_closure(b, (struct bus_nats_route){.kind = ROUTE_LINK, .serial = s->link});
    natsStatus status = natsOptions_SetServers(options, servers, count);
    free(urls);
    if (status == NATS_OK && b->user != NULL)
        status = natsOptions_SetUserInfo(options, b->user, b->password == NULL ? "" : b->password);
    if (status == NATS_OK)
        status = natsOptions_SetName(options, b->name);
    if (status == NATS_OK)
        status = natsOptions_SetTimeout(options, CONNECT_MS);
    if (status == NATS_OK)
        status = natsOptions_SetPingInterval(options, PING_MS);
    if (status == NATS_OK)
        status = natsOptions_SetMaxPingsOut(options, PINGS_OUT);
    if (status == NATS_OK)
        status = natsOptions_SetAllowReconnect(options, false);
    if (status == NATS_OK)
        status = natsOptions_SetSendAsap(options, true);
    if (status == NATS_OK)
        status = natsOptions_SetWriteDeadline(options, WRITE_MS);
    if (status == NATS_OK)
        status = natsOptions_UseGlobalMessageDelivery(options, true);
    if (status == NATS_OK)
        status = natsOptions_SetClosedCB(options, on_closed, closure);
    if (status == NATS_OK)
        status = natsOptions_SetErrorHandler(options, on_error, closure);
    return status;
}

/* Subscribes all that a link always has, and waits until the server knows of it. */
static natsStatus furnish(struct sender *s, char *inbox)
{
    struct bus_nats *b = s->b;
    natsInbox *made = NULL;
    natsStatus status = natsInbox_Create(&made);
    if (status != NATS_OK)
        return status;
    CHECK(strlen(made) + 1 <= BUS_NATS_INBOX_BYTES);
    memcpy(inbox, made, strlen(made) + 1);
    natsInbox_Destroy(made);
    char wildcard[BUS_NATS_INBOX_BYTES + 8];
    (void)snprintf(wildcard, sizeof(wildcard), "%s.*.*", inbox);
    status =
        subscribe(s, wildcard, (struct bus_nats_route){.kind = ROUTE_REPLY, .serial = s->link});
    for (s->listened = 0; status == NATS_OK; s->listened++) {
        bus_nats_lock(b);
        /* The texts live as long as the port; only the array may move. */
        const char *subject = s->listened < b->listen_count ? b->listens[s->listened] : NULL;
        bus_nats_unlock(b);
        if (subject == NULL)
            break;
        status =
            subscribe(s, subject, (struct bus_nats_route){.kind = ROUTE_PLAIN, .serial = s->link});
    }
    return status == NATS_OK ? natsConnection_FlushTimeout(s->connection, CONNECT_MS) : status;
}

/* Lock not held. */
static void drop_link(struct sender *s)
{
    unsubscribe(s, true, 0, 0);
    natsConnection_Destroy(s->connection);
    s->connection = NULL;
}

/* Lock held again on return, as at entry; connects without it. */
static void connect_once(struct sender *s)
{
    struct bus_nats *b = s->b;
    char inbox[BUS_NATS_INBOX_BYTES] = "";
    bus_nats_unlock(b);
    s->link = bus_nats_route_serial();
    natsOptions *options = NULL;
    natsStatus status = natsOptions_Create(&options);
    if (status == NATS_OK)
        status = set_options(s, options);
    if (status == NATS_OK)
        status = natsConnection_Connect(&s->connection, options);
    natsOptions_Destroy(options);
    if (status == NATS_OK)
        status = furnish(s, inbox);
    bus_nats_lock(b);
    if (status == NATS_OK && b->link_closed != s->link) {
        s->failures = 0;
        b->link = s->link;
        memcpy(b->inbox, inbox, sizeof(inbox));
        b->announce_due_ms = bus_nats_now_ms() + ANNOUNCE_MS;
        bus_nats_keep(b, b->stream_count == 0 ? 0 : b->announce_due_ms);
        for (unsigned i = s->listened; i < b->listen_count; i++)
            bus_nats_command_put(b, bus_nats_command_new(COMMAND_LISTEN, b->listens[i], NULL, NULL,
                                                         span_of(NULL, 0)));
        bus_nats_ensure_all(b, true);
        (void)pthread_cond_broadcast(&b->answered);
        log_info("bus connected", log_text("bus", b->name));
        return;
    }
    bus_nats_unlock(b);
    drop_link(s);
    bus_nats_lock(b);
    if (bus_nats_is_seldom(&s->failures))
        log_warn("bus cannot connect", log_text("bus", b->name),
                 log_text("status", natsStatus_GetText(status)), log_u64("tries", s->failures));
    s->retry_at_ms = bus_nats_now_ms() + RECONNECT_MS + rng_below(&s->jitter, RECONNECT_MS);
}

uint64_t bus_nats_link_due(struct bus_nats *b, uint64_t now_ms)
{
    if (b->link == 0 || b->announced)
        return UINT64_MAX;
    if (now_ms < b->announce_due_ms && !bus_nats_ensure_done(b))
        return b->announce_due_ms;
    b->announced = true;
    struct bus_nats_event *e = bus_nats_event_new(BUS_UP);
    e->link = b->link;
    bus_nats_queue_put(b, e, 0);
    return UINT64_MAX;
}

static natsStatus publish(struct sender *s, const struct bus_nats_command *c)
{
    if (c->msg_id == NULL)
        return natsConnection_PublishRequest(s->connection, c->subject, c->reply, c->data.data,
                                             (int)c->data.length);
    natsMsg *msg = NULL;
    natsStatus status =
        natsMsg_Create(&msg, c->subject, c->reply, (const char *)c->data.data, (int)c->data.length);
    if (status == NATS_OK)
        status = natsMsgHeader_Set(msg, "Nats-Msg-Id", c->msg_id);
    if (status == NATS_OK)
        status = natsConnection_PublishMsg(s->connection, msg);
    natsMsg_Destroy(msg);
    return status;
}

static natsStatus perform(struct sender *s, const struct bus_nats_command *c)
{
    switch (c->kind) {
    case COMMAND_PUBLISH:
        return c->reply == NULL && c->msg_id == NULL
                   ? natsConnection_Publish(s->connection, c->subject, c->data.data,
                                            (int)c->data.length)
                   : publish(s, c);
    case COMMAND_LISTEN:
        return subscribe(s, c->subject,
                         (struct bus_nats_route){.kind = ROUTE_PLAIN, .serial = s->link});
    case COMMAND_READ_OPEN:
        return subscribe(s, c->subject,
                         (struct bus_nats_route){
                             .kind = ROUTE_READ, .handle = c->handle, .serial = c->read_serial});
    case COMMAND_READ_CLOSE:
        unsubscribe(s, false, c->handle, c->read_serial);
        return NATS_OK;
    }
    return NATS_ERR;
}

/* Lock held at entry and return. */
static void perform_unlocked(struct sender *s, struct bus_nats_command *c)
{
    struct bus_nats *b = s->b;
    bus_nats_unlock(b);
    natsStatus status = perform(s, c);
    bool too_big = status == NATS_MAX_PAYLOAD;
    /* A failed write may have left half a message on the wire: the connection is done for. */
    if (status != NATS_OK && !too_big)
        natsConnection_Close(s->connection);
    bus_nats_lock(b);
    if (status != NATS_OK && s->link == b->link)
        bus_nats_call_unsent(b, c, too_big ? ERR_BUS_REFUSED : ERR_BUS_TIMEOUT);
    bus_nats_command_free(c);
}

static void wait_until(struct bus_nats *b, uint64_t due_ms)
{
    struct timespec t = {.tv_sec = (time_t)(due_ms / 1000),
                         .tv_nsec = (long)(due_ms % 1000) * 1000000};
    (void)pthread_cond_timedwait(&b->work, &b->lock, &t);
}

void *bus_nats_link_main(void *port)
{
    struct bus_nats *b = port;
    struct timespec seed;
    CHECK(clock_gettime(CLOCK_REALTIME, &seed) == 0);
    struct sender s = {.b = b, .jitter = {(uint64_t)seed.tv_nsec ^ (uint64_t)getpid() << 32}};
    bus_nats_lock(b);
    for (;;) {
        struct bus_nats_command *c = NULL;
        if (s.connection != NULL && b->link == 0) {
            bus_nats_unlock(b);
            drop_link(&s);
            bus_nats_lock(b);
            /* A fleet that lost its server does not come back as one. */
            s.retry_at_ms = bus_nats_now_ms() + rng_below(&s.jitter, RECONNECT_MS);
        } else if (s.connection == NULL) {
            if (b->stopping)
                break;
            if (bus_nats_now_ms() < s.retry_at_ms)
                wait_until(b, s.retry_at_ms);
            else
                connect_once(&s);
        } else if ((c = bus_nats_command_take(b)) != NULL) {
            perform_unlocked(&s, c);
        } else if (b->stopping) {
            break;
        } else {
            (void)pthread_cond_wait(&b->work, &b->lock);
        }
    }
    bus_nats_unlock(b);
    if (s.connection != NULL)
        (void)natsConnection_FlushTimeout(s.connection, 1000); /* the last words go out */
    drop_link(&s);
    return NULL;
}
