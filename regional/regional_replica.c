/* SPDX-License-Identifier: Apache-2.0
 * regional_replica: the order of effects of a fold replica. Read replica_step first. */
#include "regional/regional_replica.h"

#include "proto/subject.h"
#include "regional/regional_replica_parts.h"

#include <stdlib.h>

#define REPLICA_IDLE_MS      50u
#define CAUGHT_UP_LAG_MS     3000u
#define CAUGHT_UP_SILENCE_MS 1000u

void replica_note(struct replica *r, const struct replica_note *note)
{
    if (r->options.on_note != NULL)
        r->options.on_note(r->options.on_note_context, note);
}

static void part_init(struct replica *r, uint32_t index)
{
    struct part *p = &r->parts[index];
    struct fold_options options = {
        .partition = r->partitions[index],
        .partitions = r->options.partitions_first,
        .lateness_ms = r->options.lateness_ms,
        .horizon_minutes = r->options.horizon_minutes,
        .partial_interval_ms = r->options.partial_interval_ms,
        .settle_ms = r->options.settle_ms,
        .memory_bytes = base_max_u64(r->options.memory_bytes / r->options.partition_count,
                                     r->options.memory_bytes > 0)};
    memcpy(options.region, r->options.region, sizeof(options.region));
    *p = (struct part){.index = index, .fold = fold_new(&options)};
    p->stream = subject_clicks_stream(options.region, options.partition);
}

enum err replica_new(const struct replica_options *options, struct replica **out)
{
    CHECK(options->partition_count >= 1 && options->partition_count <= LIMIT_PARTITIONS);
    struct replica *r = base_zalloc(1, sizeof(*r));
    r->options = *options;
    if (r->options.partitions_first == 0)
        r->options.partitions_first = options->partitions_total;
    CHECK(r->options.partitions_first <= options->partitions_total);
    r->partitions = base_zalloc(options->partition_count, sizeof(*r->partitions));
    memcpy(r->partitions, options->partitions, options->partition_count * sizeof(*r->partitions));
    r->options.partitions = r->partitions;
    if (r->options.sizes.chunk_keys == 0)
        r->options.sizes = minute_sizes_max;
    memcpy(r->who.replica, options->replica, sizeof(r->who.replica));
    r->parts = base_zalloc(options->partition_count, sizeof(*r->parts));
    for (uint32_t i = 0; i < options->partition_count; i++)
        part_init(r, i);
    /* Two replicas should not tick in the same instant: the first tick serves both. */
    r->tick_jitter_ms = (uint32_t)(hash_checksum(span_of_text(options->replica), 0) % 200);
    enum err err = replica_store_load(r);
    struct subject want = subject_want(options->region, options->replica);
    struct subject roster = subject_roster(options->region);
    if (err == ERR_OK)
        err = bus_listen(options->bus, want.text);
    if (err == ERR_OK)
        err = bus_listen(options->bus, roster.text);
    if (err != ERR_OK) {
        replica_free(r);
        return err;
    }
    *out = r;
    return ERR_OK;
}

void replica_free(struct replica *r)
{
    if (r == NULL)
        return;
    for (uint32_t i = 0; i < r->options.partition_count; i++) {
        fold_free(r->parts[i].fold);
        free(r->parts[i].want);
    }
    for (uint32_t i = 0; i < r->cut_count; i++)
        cut_done(&r->cuts[i]);
    for (uint32_t i = 0; i < r->answer_count; i++)
        buf_done(&r->answers[i].message);
    free(r->cuts);
    free(r->answers);
    free(r->outbox);
    free(r->parts);
    free(r->partitions);
    buf_done(&r->scratch);
    free(r);
}

/* Stops one partition for good: going on would guess (design 4.3). */
static void part_stop(struct replica *r, struct part *p, uint64_t seq, const char *words)
{
    p->state = REPLICA_PART_STOPPED;
    replica_note(r, &(struct replica_note){.kind = REPLICA_STOPPED,
                                           .partition = p->fold->options.partition,
                                           .seq = seq,
                                           .err = ERR_BELOW_LOW,
                                           .words = words});
}

static void part_ask_later(struct part *p, uint64_t now_ms)
{
    p->state = REPLICA_PROVING;
    p->generation++;
    p->ask_ms = now_ms + REPLICA_RETRY_MS;
}

static void part_read(struct replica *r, struct part *p, uint64_t now_ms)
{
    if (bus_read(r->options.bus, p->stream.text, p->position.seq, p->index) != ERR_OK) {
        p->ask_ms = now_ms + REPLICA_RETRY_MS;
        return;
    }
    p->state = REPLICA_READING;
    p->expected_seq = 0;
    p->ask_ms = 0;
    p->active_ms = p->read_ms = p->heard_ms = now_ms;
}

/* Design 4.2: on connect and on every discontinuity, does the stream still hold our last message
 * there? */
static void part_prove(struct replica *r, struct part *p, uint64_t now_ms)
{
    if (p->state == REPLICA_PART_STOPPED)
        return;
    p->state = REPLICA_PROVING;
    p->generation++;
    if (p->position.seq == 0) {
        part_read(r, p, now_ms);
        return;
    }
    r->totals.proofs++;
    uint64_t token = replica_token(TOKEN_GET, (uint64_t)p->generation << 16 | p->index);
    enum err err = bus_get(r->options.bus, p->stream.text, p->position.seq, token);
    p->ask_ms = err == ERR_OK ? 0 : now_ms + REPLICA_RETRY_MS;
}

static void part_proof(struct replica *r, const struct bus_event *e, uint64_t now_ms)
{
    uint32_t index = (uint32_t)(e->token & 0xffff);
    CHECK(index < r->options.partition_count);
    struct part *p = &r->parts[index];
    uint64_t expected = replica_token(TOKEN_GET, (uint64_t)p->generation << 16 | p->index);
    if (p->state != REPLICA_PROVING || e->token != expected)
        return;
    if (e->err != ERR_OK && e->err != ERR_NOT_FOUND) {
        p->ask_ms = now_ms + REPLICA_RETRY_MS;
        return;
    }
#ifdef TRIBUTARY_BREAK_POSITION_NOT_PROVEN
    if (false) {
#else
    if (e->err == ERR_NOT_FOUND || fold_state_digest(e->data) != p->position.digest) {
#endif
        /* Expired, rolled back or made anew: read all there is. Harmless, the floors see to it. */
        r->totals.proofs_failed++;
        replica_note(r, &(struct replica_note){.kind = REPLICA_PROOF_FAILED,
                                               .partition = p->fold->options.partition,
                                               .seq = p->position.seq});
        p->position = (struct fold_position){0};
    }
    part_read(r, p, now_ms);
}

/* ERR_KV_BUSY: nothing has happened, try again. Class STOP: end the process. */
static enum err make_cut(struct replica *r, struct part *p, uint64_t time_ms, bool by_stream)
{
    struct replica_rest rest = {0};
    enum err err = replica_minutes_rest(r, p, by_stream && announce_reads(p->fold), &rest);
    if (err != ERR_OK) {
        r->read_err = err_class(err) == ERR_CLASS_STOP ? err : r->read_err;
        return err;
    }
    if (r->cut_count == r->cut_capacity) {
        r->cut_capacity = r->cut_capacity == 0 ? 16 : r->cut_capacity * 2;
        r->cuts = base_realloc(r->cuts, r->cut_capacity * sizeof(*r->cuts));
    }
    struct cut *c = &r->cuts[r->cut_count++];
    *c = (struct cut){0};
    struct cut_request request = {.who = r->who,
                                  .position = p->position,
                                  .store = &rest.store,
                                  .time_ms = time_ms,
                                  .by_stream = by_stream};
    err = replica_minutes_rest_done(&rest, cut_make(p->fold, &request, c));
    if (err != ERR_OK) {
        r->read_err = err; /* the fold is unusable: the process ends */
        return err;
    }
    r->totals.cuts++;
    p->memory_bytes = c->memory_bytes > 0 ? c->memory_bytes : p->memory_bytes;
    r->totals.memory_short +=
        c->memory_bytes > p->fold->options.memory_bytes && p->fold->options.memory_bytes > 0;
    /* What the tables hold at this moment is what the transaction will hold: a want may be answered
     * from it. */
    replica_make_answer(r, p);
#ifdef TRIBUTARY_BREAK_FLOOR_BEFORE_COMMIT
    edge_book_committed(&p->fold->edges);
    r->all_floors_due = true;
    replica_send_floors(r, r->options.clock->mono_ms(r->options.clock));
#endif
    return ERR_OK;
}

static void part_caught_up(struct replica *r, struct part *p, uint64_t seq)
{
    if (p->caught_up)
        return;
    p->caught_up = true;
    replica_note(r, &(struct replica_note){.kind = REPLICA_CAUGHT_UP,
                                           .partition = p->fold->options.partition,
                                           .seq = seq});
}

static void part_message(struct replica *r, const struct bus_event *e, uint64_t now_ms)
{
    CHECK(e->handle < r->options.partition_count);
    struct part *p = &r->parts[e->handle];
    if (p->state != REPLICA_READING)
        return;
    if (r->commit_failed) {
        /* No room to fold into: the message stays in the stream, and is read again when there is.
         */
        part_ask_later(p, now_ms);
        return;
    }
    if (e->seq <= p->position.seq || (p->expected_seq != 0 && e->seq != p->expected_seq)) {
        part_prove(r, p, now_ms);
        return;
    }
    if (p->fold->cut == 0 && p->position.seq == 0 && p->expected_seq == 0 && e->seq > 1) {
        part_stop(r, p, e->seq,
                  "this store is new, but the start of the stream is gone: copy a peer's store "
                  "(--restore-from)");
        return;
    }
    if (fold_wants_cut(p->fold, e->time_ms) && make_cut(r, p, e->time_ms, true) != ERR_OK) {
        part_ask_later(p, now_ms);
        return;
    }
    struct fold_message m = {.subject = e->subject, .time_ms = e->time_ms, .data = e->data};
#ifdef TRIBUTARY_BREAK_FOLD_BY_OWN_CLOCK
    m.time_ms = r->options.clock->wall_ms(r->options.clock);
#endif
    enum err read = replica_minutes_look(r, p, &m);
    if (read != ERR_OK) {
        /* Nothing was folded: the message is read again, or the process ends. */
        r->read_err = err_class(read) == ERR_CLASS_STOP ? read : r->read_err;
        part_ask_later(p, now_ms);
        return;
    }
    if (fold_step(p->fold, &m) != ERR_OK) {
        part_stop(r, p, e->seq,
                  "an edge no longer holds what this store lacks: copy a peer's store "
                  "(--restore-from)");
        return;
    }
    if (!tick_is(e->data))
        p->position = (struct fold_position){e->seq, fold_state_digest(e->data)};
    p->expected_seq = e->seq + 1;
    p->active_ms = p->heard_ms = now_ms;
    p->pending = e->pending;
    p->message_ms = e->time_ms;
    uint64_t wall_ms = r->options.clock->wall_ms(r->options.clock);
    /* Either by itself is enough: our clock may be ahead, the stream may never rest. */
    if (e->pending == 0 || e->time_ms + CAUGHT_UP_LAG_MS >= wall_ms)
        part_caught_up(r, p, e->seq);
}

static void take_want(struct replica *r, struct span data)
{
    if (want_read(&r->want, data) != ERR_OK || strcmp(r->want.region, r->options.region) != 0 ||
        strcmp(r->want.replica, r->options.replica) != 0)
        return;
    for (uint32_t i = 0; i < r->options.partition_count; i++) {
        struct part *p = &r->parts[i];
        if (p->fold->options.partition != r->want.partition)
            continue;
        if (p->want == NULL)
            p->want = base_alloc(sizeof(*p->want));
        *p->want = r->want; /* the newest says it all: what is still lacking is asked again */
        r->totals.wants++;
    }
}

static void take_plain(struct replica *r, const struct bus_event *e)
{
    struct subject roster = subject_roster(r->options.region);
    if (strcmp(e->subject, roster.text) == 0) {
        if (e->reply[0] != '\0')
            replica_send_roster(r, e->reply);
        return;
    }
    take_want(r, e->data);
}

static void take_settled(struct replica *r, const struct bus_event *e, uint64_t now_ms)
{
    uint64_t value = e->token & ((1ULL << 56) - 1);
    if (e->token >> 56 == TOKEN_OUTBOX)
        replica_outbox_settle(r, value, e->kind == BUS_ACK, now_ms);
}

static void take_event(struct replica *r, const struct bus_event *e, uint64_t now_ms)
{
    switch (e->kind) {
    case BUS_UP:
        r->bus_up = true;
        r->all_floors_due = true;
        for (uint32_t i = 0; i < r->options.partition_count; i++)
            part_prove(r, &r->parts[i], now_ms);
        break;
    case BUS_DOWN:
        r->bus_up = false;
        for (uint32_t i = 0; i < r->options.partition_count; i++) {
            if (r->parts[i].state != REPLICA_PART_STOPPED)
                r->parts[i].state = REPLICA_WAITING;
            r->parts[i].ask_ms = 0;
        }
        break;
    case BUS_READ_END:
        CHECK(e->handle < r->options.partition_count);
        if (r->parts[e->handle].state == REPLICA_READING)
            part_ask_later(&r->parts[e->handle], now_ms);
        break;
    case BUS_MESSAGE:
        part_message(r, e, now_ms);
        break;
    case BUS_GOT:
        part_proof(r, e, now_ms);
        break;
    case BUS_PLAIN:
        take_plain(r, e);
        break;
    case BUS_ACK:
    case BUS_NACK:
        take_settled(r, e, now_ms);
        break;
    }
}

/* Returns false when there was nothing to take. */
static bool take_events(struct replica *r, uint64_t now_ms)
{
    size_t bytes = 0;
    r->reads = 0;
    for (unsigned taken = 0; taken < REPLICA_EVENTS && bytes < REPLICA_EVENT_BYTES; taken++) {
        struct bus_event e;
        if (r->reads >= REPLICA_READS) {
            /* Late clicks cost what they cost; the others' commits and floors do not wait for more
             * of them than this. */
            r->totals.reads_deferred++;
            return true;
        }
        if (r->read_err != ERR_OK)
            return true;
        if (!bus_poll(r->options.bus, &e))
            return taken > 0;
        bytes += e.data.length;
        take_event(r, &e, now_ms);
    }
    return true;
}

static void keep_reading(struct replica *r, uint64_t now_ms)
{
    for (uint32_t i = 0; i < r->options.partition_count; i++) {
        struct part *p = &r->parts[i];
        if (r->bus_up && !r->commit_failed && p->state == REPLICA_PROVING && p->ask_ms != 0 &&
            now_ms >= p->ask_ms)
            part_prove(r, p, now_ms);
        if (p->state == REPLICA_READING && now_ms - p->active_ms >= CAUGHT_UP_SILENCE_MS &&
            now_ms - p->read_ms >= CAUGHT_UP_SILENCE_MS)
            part_caught_up(r, p, p->position.seq);
        /* A stream that lost its tail, or was made anew, without a word: we wait for numbers that
         * may not come for long, while those below are given to others. */
        if (p->state == REPLICA_READING && now_ms - p->heard_ms >= REPLICA_SILENT_MS)
            part_prove(r, p, now_ms);
        if (p->want != NULL && !p->fold->uncut)
            replica_make_answer(r, p);
    }
}

enum err replica_step(struct replica *r, uint32_t *out_idle_ms)
{
    uint64_t now_ms = r->options.clock->mono_ms(r->options.clock);
    bool busy = take_events(r, now_ms);
    keep_reading(r, now_ms);
    if (r->read_err != ERR_OK)
        return r->read_err;
    /* Commit, then tell: nothing below may be seen by anyone before this has returned. */
    if (replica_store_has_work(r, now_ms)) {
        enum err err = replica_store_commit(r, now_ms);
        if (err_class(err) == ERR_CLASS_STOP)
            return err;
        r->commit_failed = err != ERR_OK;
    }
    enum err err = replica_send_outbox(r, now_ms);
    if (err_class(err) == ERR_CLASS_STOP)
        return err;
    replica_send_floors(r, now_ms);
    if (!r->commit_failed)
        replica_send_answers(r);
    replica_send_ticks(r, now_ms);
    *out_idle_ms = busy && !r->commit_failed ? 0 : REPLICA_IDLE_MS;
    return ERR_OK;
}

enum err replica_stop(struct replica *r)
{
    for (uint32_t i = 0; i < r->options.partition_count; i++) {
        enum err err = r->read_err;
        if (err == ERR_OK && r->parts[i].fold->uncut)
            err = make_cut(r, &r->parts[i], 0, false);
        if (err != ERR_OK)
            return err;
    }
    if (r->cut_count == 0)
        return ERR_OK;
    uint64_t now_ms = r->options.clock->mono_ms(r->options.clock);
    enum err err = replica_store_commit(r, now_ms);
    if (err == ERR_OK)
        replica_send_floors(r, now_ms);
    return err;
}
