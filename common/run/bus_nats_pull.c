/* SPDX-License-Identifier: Apache-2.0 */
#include "common/run/bus_nats_inside.h"
#include "common/run/bus_nats_wire.h"
#include "common/run/log.h"

#include <stdio.h>
#include <stdlib.h>

/* A pull ends by itself after EXPIRES; until then the server says each HEARTBEAT that it is
 * there. A read that heard nothing for SILENT has lost its consumer: nobody answers for one
 * that is gone (a standalone 2.9.10 does not even say 503). */
#define PULL_EXPIRES_MS   5000U
#define PULL_HEARTBEAT_MS 1000U
#define PULL_SILENT_MS    3500U
#define PULL_GRACE_MS     1000U
/* The server forgets a consumer that nobody pulls from. */
#define CONSUMER_IDLE_MS 30000U
/* A cluster that elects does not answer; soon after it does. */
#define CONSUMER_MS       2000U
#define CONSUMER_AGAIN_MS 500U
#define MESSAGE_OVERHEAD  512U

static struct bus_nats_read *find(struct bus_nats *b, unsigned handle, uint32_t serial)
{
    if (handle >= b->read_count || b->reads[handle].serial != serial)
        return NULL;
    return &b->reads[handle];
}

struct bus_nats_read *bus_nats_pull_find(struct bus_nats *b, unsigned handle, uint32_t serial)
{
    struct bus_nats_read *r = find(b, handle, serial);
    return r != NULL && r->active ? r : NULL;
}

static unsigned handle_of(const struct bus_nats *b, const struct bus_nats_read *r)
{
    return (unsigned)(r - b->reads);
}

static void put_command(struct bus_nats *b, const struct bus_nats_read *r,
                        enum bus_nats_command_kind kind, const char *subject)
{
    struct bus_nats_command *c = bus_nats_command_new(kind, subject, NULL, NULL, span_of(NULL, 0));
    c->handle = handle_of(b, r);
    c->read_serial = r->serial;
    bus_nats_command_put(b, c);
}

static void inbox_of(const struct bus_nats *b, const struct bus_nats_read *r, const char *last,
                     char *out, size_t size)
{
    /* Four tokens behind the inbox: the wildcard of the calls' answers does not match it. */
    (void)snprintf(out, size, "%s.read.%u.%u.%s", b->inbox, handle_of(b, r), r->serial, last);
}

/* Ends what the server knows of the read. */
static void let_go(struct bus_nats *b, struct bus_nats_read *r)
{
    if (b->link != 0)
        put_command(b, r, COMMAND_READ_CLOSE, NULL);
    if (b->link != 0 && r->pulling) {
        char subject[256];
        (void)snprintf(subject, sizeof(subject), "%s.CONSUMER.DELETE.%s.%s", b->api, r->stream,
                       r->consumer);
        bus_nats_command_put(
            b, bus_nats_command_new(COMMAND_PUBLISH, subject, NULL, NULL, span_of(NULL, 0)));
    }
    free(r->stream);
    r->stream = NULL;
    r->active = false;
    r->pulling = false;
}

/* Messages told before stay good. */
void bus_nats_pull_end(struct bus_nats *b, struct bus_nats_read *r, const char *why,
                       uint64_t due_ms)
{
    if (r->pulling) /* else it never began, and it is tried again four times a second */
        log_info("stream read ended", log_text("bus", b->name), log_text("stream", r->stream),
                 log_text("why", why), log_u64("last_seq", r->stream_seq));
    let_go(b, r);
    struct bus_nats_event *e = bus_nats_event_new(BUS_READ_END);
    e->event.handle = handle_of(b, r);
    e->read_serial = r->serial;
    bus_nats_queue_put(b, e, due_ms);
}

/* How many messages may be on their way: as many as fit what is left of the read's memory. */
static unsigned pull_room(const struct bus_nats *b, const struct bus_nats_read *r)
{
    uint64_t left =
        b->read_window_bytes > r->queued_bytes ? b->read_window_bytes - r->queued_bytes : 0;
    uint64_t room = base_min_u64(b->read_window, left / base_max_u64(r->biggest, 1));
    return room == 0 && r->queued_bytes == 0 ? 1 : (unsigned)room;
}

static void pull(struct bus_nats *b, struct bus_nats_read *r)
{
    unsigned room = pull_room(b, r);
    if (!r->pulling || room == 0 || r->outstanding > room / 2)
        return;
    unsigned wanted = room - r->outstanding;
    char number[16];
    char reply[BUS_NATS_INBOX_BYTES + 64];
    char subject[256];
    char body[128];
    (void)snprintf(number, sizeof(number), "%u", r->pull_count++);
    inbox_of(b, r, number, reply, sizeof(reply));
    (void)snprintf(subject, sizeof(subject), "%s.CONSUMER.MSG.NEXT.%s.%s", b->api, r->stream,
                   r->consumer);
    (void)snprintf(body, sizeof(body),
                   "{\"batch\":%u,\"expires\":%u000000,\"idle_heartbeat\":%u000000}", wanted,
                   PULL_EXPIRES_MS, PULL_HEARTBEAT_MS);
    bus_nats_command_put(
        b, bus_nats_command_new(COMMAND_PUBLISH, subject, reply, NULL, span_of_text(body)));
    uint64_t now_ms = bus_nats_now_ms();
    if (r->outstanding == 0)
        r->heard_ms = now_ms; /* nothing was asked, so nothing could be heard */
    r->outstanding += wanted;
    r->pull_end_ms = now_ms + PULL_EXPIRES_MS + PULL_GRACE_MS;
    bus_nats_keep(b, r->heard_ms + PULL_SILENT_MS);
}

static void create_consumer(struct bus_nats *b, struct bus_nats_read *r)
{
    uint64_t after_seq = r->stream_seq;
    r->consumer_stream_seq = after_seq;
    char subject[192];
    char start[96];
    char body[512];
    (void)snprintf(subject, sizeof(subject), "%s.CONSUMER.CREATE.%s", b->api, r->stream);
    (void)snprintf(start, sizeof(start),
                   "\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":%llu",
                   (unsigned long long)after_seq + 1);
    /* No acks: the position is the reader's own, and what the link loses shows as a gap in the
     * consumer's sequence. Ephemeral, in memory, on one server: it is worth a reconnect. */
    (void)snprintf(body, sizeof(body),
                   "{\"stream_name\":\"%s\",\"config\":{%s,\"ack_policy\":\"none\","
                   "\"replay_policy\":\"instant\",\"inactive_threshold\":%u000000,"
                   "\"mem_storage\":true,\"num_replicas\":1}}",
                   r->stream, after_seq == 0 ? "\"deliver_policy\":\"all\"" : start,
                   CONSUMER_IDLE_MS);
    (void)bus_nats_call_send(b,
                             (struct bus_nats_call){
                                 .kind = CALL_CONSUMER,
                                 .deadline_ms = bus_nats_now_ms() + CONSUMER_MS,
                                 .index = handle_of(b, r),
                                 .read_serial = r->serial,
                             },
                             subject, NULL, span_of_text(body));
    r->consumer_due_ms = 0;
}

void bus_nats_pull_open(struct bus_nats *b, const char *stream, uint64_t after_seq, unsigned handle)
{
    CHECK(b->link != 0 && handle < BUS_NATS_HANDLES);
    if (handle >= b->read_count) {
        unsigned count = handle + 1;
        b->reads = base_realloc(b->reads, count * sizeof(*b->reads));
        memset(b->reads + b->read_count, 0, (count - b->read_count) * sizeof(*b->reads));
        b->read_count = count;
    }
    struct bus_nats_read *r = &b->reads[handle];
    if (r->active)
        let_go(b, r);
    *r = (struct bus_nats_read){
        .active = true,
        .serial = bus_nats_route_serial(),
        .stream = base_alloc(strlen(stream) + 1),
        .stream_seq = after_seq,
    };
    memcpy(r->stream, stream, strlen(stream) + 1);
    char inbox[BUS_NATS_INBOX_BYTES + 64];
    inbox_of(b, r, "*", inbox, sizeof(inbox));
    put_command(b, r, COMMAND_READ_OPEN, inbox);
    create_consumer(b, r);
    bus_nats_step_begin(r, bus_nats_now_ms());
    bus_nats_keep(b, r->step_due_ms);
}

void bus_nats_pull_created(struct bus_nats *b, unsigned handle, uint32_t serial, enum err err,
                           struct span answer)
{
    struct bus_nats_read *r = bus_nats_pull_find(b, handle, serial);
    if (r == NULL)
        return;
    struct span raw;
    if (err == ERR_OK && bus_nats_wire_error(answer) == 0 &&
        bus_nats_wire_field(answer, "name", &raw) &&
        bus_nats_wire_text(raw, r->consumer, sizeof(r->consumer)) &&
        bus_nats_wire_subject_ok(r->consumer)) {
        r->pulling = true;
        r->delivered_ms = bus_nats_now_ms();
        pull(b, r);
        return;
    }
    if (err == ERR_OK && bus_nats_is_seldom(&b->refusals_seen))
        log_warn("consumer refused", log_text("bus", b->name), log_bytes("answer", answer),
                 log_u64("refusals", b->refusals_seen));
    bus_nats_ensure_all(b, false);
    if (err == ERR_OK && bus_nats_wire_error(answer) == BUS_NATS_NO_STREAM) {
        bus_nats_pull_end(b, r, "no stream", bus_nats_now_ms() + BUS_NATS_READ_PACE_MS);
        return;
    }
    /* Consumers are made by the cluster's own leader, which may be gone while the stream's is not:
     * the read goes on step by step meanwhile. */
    r->consumer_due_ms = bus_nats_now_ms() + CONSUMER_AGAIN_MS;
    bus_nats_keep(b, r->consumer_due_ms);
}

static bool header_u64(natsMsg *msg, const char *name, uint64_t *out)
{
    const char *text = NULL;
    return natsMsgHeader_Get(msg, name, &text) == NATS_OK &&
           bus_nats_wire_u64(span_of_text(text), out);
}

/* What the server says about a pull, or about the consumer. */
static void take_status(struct bus_nats *b, struct bus_nats_read *r, unsigned status, natsMsg *msg)
{
    uint64_t value = 0;
    if (status == 100) {
        if (header_u64(msg, "Nats-Last-Consumer", &value) && value > r->consumer_seq)
            bus_nats_pull_end(b, r, "messages lost on the way", 0);
        return;
    }
    if (status == 404 || status == 408) {
        /* The pull has ended; what it did not deliver is not on its way any more. */
        uint64_t rest = r->outstanding;
        if (header_u64(msg, "Nats-Pending-Messages", &value))
            rest = base_min_u64(rest, value);
        r->outstanding -= (unsigned)rest;
        pull(b, r);
        return;
    }
    bus_nats_pull_end(b, r, status == 409 ? "consumer gone" : "refused",
                      bus_nats_now_ms() + BUS_NATS_READ_PACE_MS);
}

void bus_nats_pull_tell(struct bus_nats *b, struct bus_nats_read *r, struct bus_nats_event *e)
{
    e->cost = e->event.data.length + MESSAGE_OVERHEAD;
    e->read_serial = r->serial;
    e->event.handle = handle_of(b, r);
    r->stream_seq = e->event.seq;
    r->biggest = base_max_u64(r->biggest, e->cost);
    r->queued_bytes += e->cost;
    bus_nats_queue_put(b, e, 0);
}

void bus_nats_pull_message(struct bus_nats *b, unsigned handle, uint32_t serial, natsMsg *msg)
{
    struct bus_nats_read *r = bus_nats_pull_find(b, handle, serial);
    if (r == NULL) {
        natsMsg_Destroy(msg);
        return;
    }
    r->heard_ms = bus_nats_now_ms();
    const char *reply = natsMsg_GetReply(msg);
    struct bus_nats_wire_delivery d;
    if (reply == NULL || !bus_nats_wire_delivery(reply, &d)) {
        unsigned status = bus_nats_call_status(msg);
        if (status != 0)
            take_status(b, r, status, msg);
        natsMsg_Destroy(msg);
        return;
    }
    if (d.consumer_seq != r->consumer_seq + 1 || d.stream_seq <= r->consumer_stream_seq) {
        natsMsg_Destroy(msg);
        bus_nats_pull_end(b, r, "messages lost on the way", 0);
        return;
    }
    r->consumer_seq = d.consumer_seq;
    r->consumer_stream_seq = d.stream_seq;
    r->delivered_ms = r->heard_ms;
    if (r->outstanding > 0)
        r->outstanding--;
    if (d.stream_seq <= r->stream_seq) { /* the stream's leader gave it before */
        natsMsg_Destroy(msg);
        pull(b, r);
        return;
    }
    r->deaf_ms = 0;
    struct bus_nats_event *e = bus_nats_event_new(BUS_MESSAGE);
    e->msg = msg;
    e->event.seq = d.stream_seq;
    e->event.time_ms = d.time_ns / 1000000;
    e->event.pending = d.pending;
    e->event.subject = natsMsg_GetSubject(msg);
    e->event.data = span_of(natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg));
    bus_nats_pull_tell(b, r, e);
    pull(b, r);
}

void bus_nats_pull_taken(struct bus_nats *b, unsigned handle, uint32_t serial, size_t bytes)
{
    struct bus_nats_read *r = find(b, handle, serial);
    if (r == NULL)
        return;
    CHECK(r->queued_bytes >= bytes);
    r->queued_bytes -= bytes;
    if (r->active)
        pull(b, r);
}

bool bus_nats_pull_is_current(const struct bus_nats *b, unsigned handle, uint32_t serial)
{
    return handle < b->read_count && b->reads[handle].serial == serial;
}

void bus_nats_pull_lost(struct bus_nats *b)
{
    CHECK(b->link == 0);
    for (unsigned handle = 0; handle < b->read_count; handle++) {
        struct bus_nats_read *r = &b->reads[handle];
        if (r->active)
            let_go(b, r);
        r->serial = 0; /* what is queued of it is not told any more */
    }
}

uint64_t bus_nats_pull_due(struct bus_nats *b, uint64_t now_ms)
{
    uint64_t due = UINT64_MAX;
    for (unsigned handle = 0; handle < b->read_count; handle++) {
        struct bus_nats_read *r = &b->reads[handle];
        if (r->active)
            due = base_min_u64(due, bus_nats_step_due(b, r, now_ms));
        if (r->active && r->consumer_due_ms != 0) {
            if (now_ms >= r->consumer_due_ms)
                create_consumer(b, r);
            else
                due = base_min_u64(due, r->consumer_due_ms);
        }
        if (!r->active || !r->pulling || r->outstanding == 0)
            continue;
        if (now_ms >= r->heard_ms + PULL_SILENT_MS) {
            bus_nats_pull_end(b, r, "the server says nothing of it", 0);
            continue;
        }
        if (now_ms >= r->pull_end_ms) {
            /* Every pull has ended, whatever our books say. */
            r->outstanding = 0;
            pull(b, r);
        }
        due = base_min_u64(due, base_min_u64(r->heard_ms + PULL_SILENT_MS, r->pull_end_ms));
    }
    return due;
}
