/* SPDX-License-Identifier: Apache-2.0
 * regional_archiver_read: where each partition's stream is read, and how the place is proven
 * (design 4.2): on connect and on every discontinuity the stream must still hold our last message
 * there; if it does not, all of it is read again, which is harmless. */
#include "regional/regional_archiver_parts.h"

#include "proto/control.h"

#define CAUGHT_UP_LAG_MS     3000u
#define CAUGHT_UP_SILENCE_MS 1000u

static uint64_t token_of(const struct archiver_part *p)
{
    return (uint64_t)p->generation << 16 | p->index;
}

static void ask_later(struct archiver_part *p, uint64_t now_ms)
{
    p->state = ARCHIVER_PROVING;
    p->generation++;
    p->ask_ms = now_ms + ARCHIVER_RETRY_MS;
}

static void read_on(struct archiver *r, struct archiver_part *p, uint64_t now_ms)
{
    if (bus_read(r->options.bus, p->stream.text, p->archive->position.seq, p->index) != ERR_OK) {
        p->ask_ms = now_ms + ARCHIVER_RETRY_MS;
        return;
    }
    p->state = ARCHIVER_READING;
    p->expected_seq = 0;
    p->ask_ms = 0;
    p->read_ms = p->heard_ms = now_ms;
}

static void prove(struct archiver *r, struct archiver_part *p, uint64_t now_ms)
{
    p->state = ARCHIVER_PROVING;
    p->generation++;
    if (p->archive->position.seq == 0) {
        read_on(r, p, now_ms);
        return;
    }
    r->totals.proofs++;
    enum err err = bus_get(r->options.bus, p->stream.text, p->archive->position.seq, token_of(p));
    p->ask_ms = err == ERR_OK ? 0 : now_ms + ARCHIVER_RETRY_MS;
}

static void take_proof(struct archiver *r, const struct bus_event *e, uint64_t now_ms)
{
    uint32_t index = (uint32_t)(e->token & 0xffff);
    CHECK(index < r->options.partition_count);
    struct archiver_part *p = &r->parts[index];
    if (p->state != ARCHIVER_PROVING || e->token != token_of(p))
        return;
    if (e->err != ERR_OK && e->err != ERR_NOT_FOUND) {
        p->ask_ms = now_ms + ARCHIVER_RETRY_MS;
        return;
    }
#ifdef TRIBUTARY_BREAK_ARCHIVE_POSITION_NOT_PROVEN
    if (false) {
#else
    if (e->err == ERR_NOT_FOUND || archive_digest(e->data) != p->archive->position.digest) {
#endif
        r->totals.proofs_failed++;
        archiver_note(r, &(struct archiver_note){.kind = ARCHIVER_PROOF_FAILED,
                                                 .partition = p->archive->options.who.partition,
                                                 .seq = p->archive->position.seq});
        p->archive->position = (struct archive_position){0};
    }
    read_on(r, p, now_ms);
}

static void caught_up(struct archiver *r, struct archiver_part *p)
{
    if (p->caught_up)
        return;
    p->caught_up = true;
    archiver_note(r, &(struct archiver_note){.kind = ARCHIVER_CAUGHT_UP,
                                             .partition = p->archive->options.who.partition,
                                             .seq = p->seq});
}

static void take_message(struct archiver *r, const struct bus_event *e, uint64_t now_ms)
{
    CHECK(e->handle < r->options.partition_count);
    struct archiver_part *p = &r->parts[e->handle];
    if (p->state != ARCHIVER_READING)
        return;
    if (e->seq <= p->archive->position.seq || (p->expected_seq != 0 && e->seq != p->expected_seq)) {
        prove(r, p, now_ms);
        return;
    }
    struct archive_message m = {e->subject, e->seq, e->time_ms, e->data};
    archive_step(p->archive, &m, now_ms);
    p->seq = e->seq;
    p->expected_seq = e->seq + 1;
    p->heard_ms = now_ms;
    p->pending = e->pending;
    p->message_ms = e->time_ms;
    if (p->archive->counts.skipped > p->skipped)
        archiver_note(r,
                      &(struct archiver_note){.kind = ARCHIVER_HOLE,
                                              .partition = p->archive->options.who.partition,
                                              .seq = e->seq,
                                              .clicks = p->archive->counts.skipped - p->skipped});
    p->skipped = p->archive->counts.skipped;
    uint64_t wall_ms = r->options.clock->wall_ms(r->options.clock);
    /* Either by itself is enough: our clock may be ahead, the stream may never rest. */
    if (e->pending == 0 || e->time_ms + CAUGHT_UP_LAG_MS >= wall_ms)
        caught_up(r, p);
}

static void take_link(struct archiver *r, bool up, uint64_t now_ms)
{
    r->bus_up = up;
    r->all_floors_due |= up;
    for (uint32_t i = 0; i < r->options.partition_count; i++) {
        struct archiver_part *p = &r->parts[i];
        if (up) {
            prove(r, p, now_ms);
        } else {
            p->state = ARCHIVER_WAITING;
            p->ask_ms = 0;
        }
    }
}

static void take_event(struct archiver *r, const struct bus_event *e, uint64_t now_ms)
{
    switch (e->kind) {
    case BUS_UP:
    case BUS_DOWN:
        take_link(r, e->kind == BUS_UP, now_ms);
        break;
    case BUS_READ_END:
        CHECK(e->handle < r->options.partition_count);
        if (r->parts[e->handle].state == ARCHIVER_READING)
            ask_later(&r->parts[e->handle], now_ms);
        break;
    case BUS_MESSAGE:
        take_message(r, e, now_ms);
        break;
    case BUS_GOT:
        take_proof(r, e, now_ms);
        break;
    case BUS_PLAIN:
    case BUS_ACK:
    case BUS_NACK:
        break;
    }
}

bool archiver_take_events(struct archiver *r, uint64_t now_ms)
{
    size_t bytes = 0;
    for (unsigned taken = 0; taken < ARCHIVER_EVENTS && bytes < ARCHIVER_EVENT_BYTES; taken++) {
        struct bus_event e;
        if (!bus_poll(r->options.bus, &e))
            return taken > 0;
        bytes += e.data.length;
        take_event(r, &e, now_ms);
    }
    return true;
}

void archiver_keep_reading(struct archiver *r, uint64_t now_ms)
{
    for (uint32_t i = 0; i < r->options.partition_count; i++) {
        struct archiver_part *p = &r->parts[i];
        if (r->bus_up && p->state == ARCHIVER_PROVING && p->ask_ms != 0 && now_ms >= p->ask_ms)
            prove(r, p, now_ms);
        if (p->state != ARCHIVER_READING)
            continue;
        if (now_ms - p->heard_ms >= CAUGHT_UP_SILENCE_MS)
            caught_up(r, p);
        /* A stream that lost its tail, or was made anew, without a word: we wait for numbers that
         * may not come for long, while those below are given to others. */
        if (now_ms - p->heard_ms >= ARCHIVER_SILENT_MS)
            prove(r, p, now_ms);
    }
}
