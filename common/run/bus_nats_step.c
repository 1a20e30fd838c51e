/* SPDX-License-Identifier: Apache-2.0
 * bus_nats_step: why it is there. Making a consumer takes the leader of the whole cluster, and one
 * consumer of one copy lives on one server. After the loss of a zone the first is not there for ten
 * seconds and more, and the second may be put on a copy of the stream that does not catch up (on
 * 2.9.10 for ever), where it says with each heartbeat that all is well. The stream's own leader
 * knows better: it is asked for the message after the last one. */
#include "common/run/bus_nats_inside.h"
#include "common/run/bus_nats_wire.h"
#include "common/run/log.h"

#include <stdio.h>

/* A new consumer has so long to deliver before the leader is asked as well. */
#define STEP_BEGIN_MS  500U
#define STEP_SILENT_MS 1000U
#define STEP_ANSWER_MS 500U
/* While the leader has nothing: with no consumer we are the only ones who ask. */
#define STEP_POLL_MS 100U
#define STEP_IDLE_MS 4000U
/* So long the leader may give what the consumer does not; then another consumer is tried. */
#define STEP_DEAF_MS 2000U
#define SUBJECT_SIZE 256

void bus_nats_step_begin(struct bus_nats_read *r, uint64_t now_ms)
{
    r->delivered_ms = now_ms;
    r->deaf_ms = 0;
    r->step_wait_ms = STEP_SILENT_MS;
    r->step_due_ms = now_ms + STEP_BEGIN_MS;
}

static void ask_leader(struct bus_nats *b, struct bus_nats_read *r, uint64_t now_ms)
{
    char subject[192];
    char body[64];
    (void)snprintf(subject, sizeof(subject), "%s.STREAM.MSG.GET.%s", b->api, r->stream);
    (void)snprintf(body, sizeof(body), "{\"seq\":%llu}", (unsigned long long)r->stream_seq + 1);
    r->step_due_ms = 0;
    (void)bus_nats_call_send(b,
                             (struct bus_nats_call){
                                 .kind = CALL_STEP,
                                 .seq = r->stream_seq + 1,
                                 .deadline_ms = now_ms + STEP_ANSWER_MS,
                                 .index = (unsigned)(r - b->reads),
                                 .read_serial = r->serial,
                             },
                             subject, NULL, span_of_text(body));
}

/* The message of an answer as the consumer would have given it, its bytes in `out_e->owned`. False
 * if that cannot be read. */
static bool read_message(struct span answer, uint64_t seq, struct bus_nats_event *e)
{
    struct span message, raw;
    uint64_t got = 0;
    char subject[SUBJECT_SIZE];
    if (!bus_nats_wire_field(answer, "message", &message) ||
        !bus_nats_wire_field(message, "seq", &raw) || !bus_nats_wire_u64(raw, &got) || got != seq ||
        !bus_nats_wire_field(message, "subject", &raw) ||
        !bus_nats_wire_text(raw, subject, sizeof(subject)) ||
        !bus_nats_wire_field(message, "time", &raw) || !bus_nats_wire_time(raw, &e->event.time_ms))
        return false;
    buf_put(&e->owned, subject, strlen(subject) + 1);
    size_t head = e->owned.length;
    /* An empty message has no data member. */
    if (bus_nats_wire_field(message, "data", &raw) && !bus_nats_wire_base64(raw, &e->owned))
        return false;
    e->event.seq = seq;
    e->event.pending = UINT64_MAX;
    e->event.subject = (const char *)e->owned.data;
    e->event.data = span_of(e->owned.data + head, e->owned.length - head);
    return true;
}

/* Nothing for us there now. */
static void wait_longer(struct bus_nats_read *r, uint64_t now_ms)
{
    uint32_t wait_ms = r->pulling ? r->step_wait_ms : STEP_POLL_MS;
    r->step_wait_ms = r->step_wait_ms * 2 > STEP_IDLE_MS ? STEP_IDLE_MS : r->step_wait_ms * 2;
    r->deaf_ms = 0;
    r->step_due_ms = now_ms + wait_ms;
}

static void take_message(struct bus_nats *b, struct bus_nats_read *r,
                         const struct bus_nats_call *call, struct span answer, uint64_t now_ms)
{
    if (call->seq <= r->stream_seq) { /* the consumer was faster */
        r->step_due_ms = now_ms + STEP_SILENT_MS;
        return;
    }
    CHECK(call->seq == r->stream_seq + 1);
    struct bus_nats_event *e = bus_nats_event_new(BUS_MESSAGE);
    if (!read_message(answer, call->seq, e)) {
        bus_nats_event_free(e);
        wait_longer(r, now_ms);
        return;
    }
    r->step_wait_ms = STEP_SILENT_MS;
    if (r->deaf_ms == 0)
        r->deaf_ms = now_ms;
    bus_nats_pull_tell(b, r, e);
    if (r->pulling && now_ms - r->deaf_ms >= STEP_DEAF_MS) {
        bus_nats_pull_end(b, r, "the consumer's copy is behind the stream", 0);
        return;
    }
    r->step_due_ms = now_ms; /* the next one, when there is room */
}

void bus_nats_step_answer(struct bus_nats *b, const struct bus_nats_call *call, enum err err,
                          struct span answer)
{
    struct bus_nats_read *r = bus_nats_pull_find(b, call->index, call->read_serial);
    if (r == NULL)
        return;
    uint64_t now_ms = bus_nats_now_ms();
    uint64_t code = err == ERR_OK ? bus_nats_wire_error(answer) : 0;
    if (err == ERR_OK && code == 0) {
        take_message(b, r, call, answer, now_ms);
    } else if (code == BUS_NATS_NO_STREAM) {
        bus_nats_ensure_all(b, false);
        bus_nats_pull_end(b, r, "no stream", now_ms + BUS_NATS_READ_PACE_MS);
    } else if (code == BUS_NATS_NO_MESSAGE) {
        wait_longer(r, now_ms);
    } else { /* no leader (yet), no right to ask: nothing is known */
        r->step_due_ms = now_ms + STEP_POLL_MS;
    }
    if (r->active)
        bus_nats_keep(b, r->step_due_ms);
}

uint64_t bus_nats_step_due(struct bus_nats *b, struct bus_nats_read *r, uint64_t now_ms)
{
    if (r->step_due_ms == 0) /* asked; its answer or time-out comes */
        return UINT64_MAX;
    uint64_t due_ms = r->step_due_ms;
    bool delivers = r->pulling && r->deaf_ms == 0;
    if (delivers)
        due_ms = base_max_u64(due_ms, r->delivered_ms + STEP_SILENT_MS);
    if (now_ms < due_ms)
        return due_ms;
    if (r->queued_bytes >= b->read_window_bytes) {
        r->step_due_ms = now_ms + STEP_POLL_MS; /* the driver is behind, not the consumer */
        return r->step_due_ms;
    }
    ask_leader(b, r, now_ms);
    return UINT64_MAX;
}
