/* SPDX-License-Identifier: Apache-2.0 */
#include "common/run/bus_nats_inside.h"
#include "common/run/bus_nats_wire.h"
#include "common/run/log.h"

#include <stdio.h>
#include <stdlib.h>

static unsigned find_free(struct bus_nats *b)
{
    for (unsigned slot = 0; slot < b->call_count; slot++)
        if (b->calls[slot].kind == CALL_FREE)
            return slot;
    unsigned count = b->call_count == 0 ? 64 : b->call_count * 2;
    b->calls = base_realloc(b->calls, count * sizeof(*b->calls));
    memset(b->calls + b->call_count, 0, (count - b->call_count) * sizeof(*b->calls));
    unsigned slot = b->call_count;
    b->call_count = count;
    return slot;
}

unsigned bus_nats_call_send(struct bus_nats *b, struct bus_nats_call call, const char *subject,
                            const char *msg_id, struct span data)
{
    CHECK(b->link != 0 && call.kind != CALL_FREE);
    unsigned slot = find_free(b);
    call.generation = b->calls[slot].generation;
    call.started_us = bus_nats_now_us();
    b->calls[slot] = call;
    b->open_calls[call.kind]++;
    b->publish_bytes += call.bytes;

    char reply[BUS_NATS_INBOX_BYTES + 32];
    (void)snprintf(reply, sizeof(reply), "%s.%u.%u", b->inbox, slot, call.generation);
    struct bus_nats_command *c =
        bus_nats_command_new(COMMAND_PUBLISH, subject, reply, msg_id, data);
    c->awaited = true;
    c->slot = slot;
    c->generation = call.generation;
    bus_nats_command_put(b, c);
    if (call.deadline_ms != 0)
        bus_nats_keep(b, call.deadline_ms);
    return slot;
}

void bus_nats_call_close(struct bus_nats *b, unsigned slot)
{
    CHECK(slot < b->call_count && b->calls[slot].kind != CALL_FREE);
    struct bus_nats_call *call = &b->calls[slot];
    CHECK(b->open_calls[call->kind] > 0 && b->publish_bytes >= call->bytes);
    b->open_calls[call->kind]--;
    b->publish_bytes -= call->bytes;
    *call = (struct bus_nats_call){.kind = CALL_FREE, .generation = call->generation + 1};
}

static void tell_failure(struct bus_nats *b, const struct bus_nats_call *call, enum err err)
{
    struct bus_nats_event *e = bus_nats_event_new(call->kind == CALL_PUBLISH ? BUS_NACK : BUS_GOT);
    e->event.token = call->token;
    e->event.seq = call->seq;
    e->event.err = err;
    /* Absence is an answer; the driver acts on it rather than asking again. */
    bool again = err != ERR_NOT_FOUND && err != ERR_BUS_TIMEOUT;
    bus_nats_queue_put(b, e, again ? call->started_us / 1000 + BUS_NATS_FAIL_PACE_MS : 0);
}

static void finish_publish(struct bus_nats *b, const struct bus_nats_call *call, enum err err,
                           struct span answer)
{
    struct bus_nats_wire_ack ack;
    if (err == ERR_BUS_REFUSED)
        bus_nats_ensure_all(b, false);
    if (err == ERR_OK && !bus_nats_wire_ack(answer, &ack)) {
        /* Some other subscriber answered: whether a stream stored it is unknown. */
        if (bus_nats_is_seldom(&b->refusals_seen))
            log_warn("a publish was answered by no stream", log_text("bus", b->name),
                     log_u64("refusals", b->refusals_seen));
        err = ERR_BUS_TIMEOUT;
    } else if (err == ERR_OK && !ack.stored) {
        if (bus_nats_is_seldom(&b->refusals_seen))
            log_warn("publish refused by the stream", log_text("bus", b->name),
                     log_bytes("answer", answer), log_u64("refusals", b->refusals_seen));
        err = ERR_BUS_REFUSED;
    }
    if (err != ERR_OK) {
        tell_failure(b, call, err);
        return;
    }
    metrics_histogram_add(&b->publish_times, bus_nats_now_us() - call->started_us);
    struct bus_nats_event *e = bus_nats_event_new(BUS_ACK);
    e->event.token = call->token;
    e->event.seq = ack.seq;
    bus_nats_queue_put(b, e, 0);
}

/* The bytes of the message in a MSG.GET answer; false if they cannot be read. */
static bool read_stored(struct span answer, uint64_t seq, struct buf *out)
{
    struct span message;
    struct span raw;
    uint64_t got = 0;
    if (!bus_nats_wire_field(answer, "message", &message) ||
        !bus_nats_wire_field(message, "seq", &raw) || !bus_nats_wire_u64(raw, &got) || got != seq)
        return false;
    /* An empty message has no data member. */
    return !bus_nats_wire_field(message, "data", &raw) || bus_nats_wire_base64(raw, out);
}

static void finish_get(struct bus_nats *b, const struct bus_nats_call *call, enum err err,
                       struct span answer)
{
    uint64_t code = err == ERR_OK ? bus_nats_wire_error(answer) : 0;
    if (code == BUS_NATS_NO_MESSAGE)
        err = ERR_NOT_FOUND;
    else if (code != 0)
        err = ERR_BUS_REFUSED;
    if (code == BUS_NATS_NO_STREAM)
        bus_nats_ensure_all(b, false);
    struct buf data = {0};
    if (err == ERR_OK && !read_stored(answer, call->seq, &data))
        err = ERR_BUS_REFUSED;
    if (err != ERR_OK) {
        buf_done(&data);
        tell_failure(b, call, err);
        return;
    }
    struct bus_nats_event *e = bus_nats_event_new(BUS_GOT);
    e->event.token = call->token;
    e->event.seq = call->seq;
    e->event.data = buf_span(&data);
    e->owned = data;
    bus_nats_queue_put(b, e, 0);
}

/* Ends a call with an answer, or with the reason why there is none. */
static void finish(struct bus_nats *b, unsigned slot, enum err err, struct span answer)
{
    struct bus_nats_call call = b->calls[slot];
    bus_nats_call_close(b, slot);
    switch (call.kind) {
    case CALL_PUBLISH:
        finish_publish(b, &call, err, answer);
        break;
    case CALL_GET:
        finish_get(b, &call, err, answer);
        break;
    case CALL_CONSUMER:
        bus_nats_pull_created(b, call.index, call.read_serial, err, answer);
        break;
    case CALL_STEP:
        bus_nats_step_answer(b, &call, err, answer);
        break;
    case CALL_STREAM_INFO:
    case CALL_STREAM_CREATE:
        bus_nats_ensure_answer(b, &call, err, answer);
        break;
    case CALL_REQUEST:
        call.request->ended = true;
        (void)pthread_cond_broadcast(&b->answered);
        break;
    case CALL_FREE:
    case CALL_KINDS:
        CHECK(false);
    }
}

static void collect_reply(struct bus_nats *b, unsigned slot, struct span answer)
{
    struct bus_nats_request *request = b->calls[slot].request;
    if (request->count < request->count_max) {
        struct buf *data = &request->replies[request->count++].data;
        *data = (struct buf){0};
        buf_put(data, answer.data, answer.length);
    }
    if (request->count == request->count_max)
        finish(b, slot, ERR_OK, answer);
}

unsigned bus_nats_call_status(natsMsg *msg)
{
    const char *text = NULL;
    uint64_t status = 0;
    if (natsMsg_GetDataLength(msg) != 0 || natsMsgHeader_Get(msg, "Status", &text) != NATS_OK ||
        !bus_nats_wire_u64(span_of_text(text), &status) || status > 999)
        return 0;
    return (unsigned)status;
}

/* The slot that a reply subject <inbox>.<slot>.<generation> names, if it still waits. */
static bool find_call(const struct bus_nats *b, const char *subject, unsigned *out_slot)
{
    size_t inbox = strlen(b->inbox);
    if (strncmp(subject, b->inbox, inbox) != 0 || subject[inbox] != '.')
        return false;
    const char *at = subject + inbox + 1;
    const char *dot = strchr(at, '.');
    uint64_t slot = 0;
    uint64_t generation = 0;
    if (dot == NULL || !bus_nats_wire_u64(span_of(at, (size_t)(dot - at)), &slot) ||
        !bus_nats_wire_u64(span_of_text(dot + 1), &generation) || slot >= b->call_count ||
        b->calls[slot].kind == CALL_FREE || b->calls[slot].generation != generation)
        return false;
    *out_slot = (unsigned)slot;
    return true;
}

void bus_nats_call_reply(struct bus_nats *b, natsMsg *msg)
{
    unsigned slot = 0;
    if (!find_call(b, natsMsg_GetSubject(msg), &slot))
        return;
    struct span answer = span_of(natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg));
    /* 503: nobody listens there. No stream has that subject (yet), or JetStream is not up. */
    if (bus_nats_call_status(msg) != 0)
        finish(b, slot, ERR_BUS_REFUSED, span_of(NULL, 0));
    else if (b->calls[slot].kind == CALL_REQUEST)
        collect_reply(b, slot, answer);
    else
        finish(b, slot, ERR_OK, answer);
}

void bus_nats_call_unsent(struct bus_nats *b, const struct bus_nats_command *c, enum err err)
{
    if (c->awaited && c->slot < b->call_count && b->calls[c->slot].kind != CALL_FREE &&
        b->calls[c->slot].generation == c->generation)
        finish(b, c->slot, err, span_of(NULL, 0));
}

void bus_nats_call_lost(struct bus_nats *b)
{
    for (unsigned slot = 0; slot < b->call_count; slot++)
        if (b->calls[slot].kind != CALL_FREE)
            finish(b, slot, ERR_BUS_TIMEOUT, span_of(NULL, 0));
}

uint64_t bus_nats_call_due(struct bus_nats *b, uint64_t now_ms)
{
    uint64_t due = UINT64_MAX;
    for (unsigned slot = 0; slot < b->call_count; slot++) {
        struct bus_nats_call *call = &b->calls[slot];
        if (call->kind == CALL_FREE || call->deadline_ms == 0)
            continue;
        if (call->deadline_ms <= now_ms)
            finish(b, slot, ERR_BUS_TIMEOUT, span_of(NULL, 0));
        else
            due = base_min_u64(due, call->deadline_ms);
    }
    return due;
}
