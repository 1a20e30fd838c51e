/* SPDX-License-Identifier: Apache-2.0
 * The forwarder's half: hears the buses, publishes what is durable, tells how far readers have
 * come. */
#include "edge/edge_pipeline_parts.h"

#include "proto/floor.h"
#include "proto/segment.h"

#include <stdlib.h>

#define EVENTS_A_BITE   512
#define SEGMENTS_A_BITE 64
#define PAUSE_MIN_MS    50
#define PAUSE_MAX_MS    2000
#define HEARTBEAT_BIT   (1ULL << 47)

/* What a segment may say about time, taken before the snapshot it is built from (design 3.6
 * [rule]). */
struct instant {
    uint64_t clock_ms; /* no click that this snapshot lacks will get a commit time below */
    uint64_t mono_ms;
};

static uint64_t token_make(struct edge_pipeline *p, const struct edge_line *line, bool heartbeat)
{
    uint64_t count = ++p->next_token & (HEARTBEAT_BIT - 1);
    return (uint64_t)line->slot << 48 | (heartbeat ? HEARTBEAT_BIT : 0) | count;
}

static void region_leaves(struct edge_pipeline *p, uint32_t home, uint32_t bytes)
{
    struct edge_region_state *region = &p->regions[home];
    CHECK(region->flying_bytes >= bytes);
    region->flying_bytes -= bytes;
}

static void on_ack(struct edge_pipeline *p, uint64_t token)
{
    struct edge_line *line = p->lines[token >> 48];
    p->regions[line->home].pause_ms = 0;
    if ((token & HEARTBEAT_BIT) != 0)
        return;
    region_leaves(p, line->home, send_window_acked(&line->window, token));
    if (line->window.acked > atomic_load(&line->acked)) {
        atomic_store(&line->acked, line->window.acked);
        if (!line->older && p->options.on_acked != NULL)
            p->options.on_acked(p->options.on_acked_context);
    }
}

static void went_back(struct edge_pipeline *p, struct edge_line *line)
{
    line->batch_known = false;
    atomic_fetch_add(&p->counters.resent_segments, 1);
}

static void on_nack(struct edge_pipeline *p, uint64_t token)
{
    struct edge_line *line = p->lines[token >> 48];
    struct edge_region_state *region = &p->regions[line->home];
    region->pause_ms = region->pause_ms == 0 ? PAUSE_MIN_MS : region->pause_ms * 2;
    region->pause_ms = region->pause_ms > PAUSE_MAX_MS ? PAUSE_MAX_MS : region->pause_ms;
    region->pause_until_ms = p->options.clock->mono_ms(p->options.clock) + region->pause_ms;
    if ((token & HEARTBEAT_BIT) != 0) {
        line->published = false; /* due again */
        return;
    }
    uint64_t next = line->window.next;
    region_leaves(p, line->home, send_window_failed(&line->window, token));
    if (line->window.next < next) {
        atomic_fetch_add(&p->counters.timeouts, 1);
        went_back(p, line);
    }
}

static struct edge_line *line_of(struct edge_pipeline *p, uint32_t home, uint64_t epoch,
                                 uint16_t partition)
{
    for (uint32_t i = 0; i < p->line_count; i++) {
        struct edge_line *line = p->lines[i];
        if (line->home == home && line->spool.epoch == epoch && line->spool.partition == partition)
            return line;
    }
    return NULL;
}

static void floor_apply(struct edge_pipeline *p, uint32_t home, uint32_t reader, uint64_t store_id,
                        const struct floor_line *floor)
{
    struct edge_line *line = line_of(p, home, floor->epoch, floor->partition);
    if (line == NULL)
        return;
    uint32_t bytes;
    uint64_t now_ms = p->options.clock->mono_ms(p->options.clock);
    struct send_reader said = {
        .store_id = store_id, .floor = floor->floor, .finished = floor->finished};
    if (send_window_floor(&line->window, reader, &said, floor->gap, now_ms, &bytes)) {
        atomic_fetch_add(&p->counters.gaps, 1);
        region_leaves(p, home, bytes);
        went_back(p, line);
    }
    pthread_mutex_lock(&p->lock);
    edge_pipeline_trim_share(p, line);
    line->shared_floors[reader] = line->window.readers[reader].floor;
    line->over = send_window_over(&line->window);
    pthread_mutex_unlock(&p->lock);
}

static void on_floors(struct edge_pipeline *p, uint32_t home, struct span data)
{
    const struct edge_region *region = &p->options.regions[home];
    struct floor_message message;
    if (floor_read(&message, data) != ERR_OK)
        return;
    uint32_t reader = region->reader_count;
    for (uint32_t i = 0; i < region->reader_count; i++)
        if (strcmp(region->readers[i], message.reader) == 0)
            reader = i;
    if (reader < region->reader_count && strcmp(message.region, region->name) == 0 &&
        strcmp(message.edge, p->options.edge) == 0) {
        atomic_fetch_add(&p->counters.floors_heard, 1);
        edge_pipeline_heard(p, home, reader);
        edge_map_told(p, home, reader, &message.map);
        for (uint32_t i = 0; i < message.line_count; i++)
            floor_apply(p, home, reader, message.store_id, &message.lines[i]);
    }
    floor_done(&message);
}

static void on_up(struct edge_pipeline *p, uint32_t home)
{
    struct edge_region_state *region = &p->regions[home];
    region->pause_until_ms = 0;
    region->pause_ms = 0;
    atomic_store(&region->up, true);
    trim_watch_link(&region->watch, true, p->options.clock->mono_ms(p->options.clock));
    /* A heartbeat at once: the region hears of this epoch, and its readers of what we hold. */
    for (uint32_t i = 0; i < p->line_count; i++)
        if (p->lines[i]->home == home)
            p->lines[i]->published = false;
}

static bool events_take(struct edge_pipeline *p, uint32_t home)
{
    struct bus_event event;
    for (uint32_t i = 0; i < EVENTS_A_BITE; i++) {
        if (!bus_poll(p->options.regions[home].bus, &event))
            return false;
        switch (event.kind) {
        case BUS_UP:
            on_up(p, home);
            break;
        case BUS_DOWN:
            atomic_store(&p->regions[home].up, false);
            trim_watch_link(&p->regions[home].watch, false,
                            p->options.clock->mono_ms(p->options.clock));
            break;
        case BUS_ACK:
            on_ack(p, event.token);
            break;
        case BUS_NACK:
            on_nack(p, event.token);
            break;
        case BUS_PLAIN:
            on_floors(p, home, event.data);
            break;
        case BUS_MESSAGE:
        case BUS_READ_END:
        case BUS_GOT:
            break; /* an edge reads no stream */
        }
    }
    return true;
}

/* Takes over what the committer made durable, and the clock that goes with it. */
static struct instant look(struct edge_pipeline *p)
{
    struct instant at;
    pthread_mutex_lock(&p->lock);
    uint64_t now_ms = edge_clock_locked(p);
    at.clock_ms = p->committing_ms != 0 ? p->committing_ms : now_ms;
    for (uint32_t i = 0; i < p->line_count; i++) {
        struct edge_line *line = p->lines[i];
        send_window_grow(&line->window, line->shared_end);
        if (line->shared_low > line->window.low) {
            edge_pipeline_passed(p, line, line->shared_low);
            send_window_trimmed(&line->window, line->shared_low);
        }
        line->fin = line->older || line->shared_fin;
        line->done = line->gone;
    }
    for (uint32_t home = 0; home < p->options.region_count; home++)
        p->maps[home].known = p->maps[home].shared;
    pthread_mutex_unlock(&p->lock);
    at.mono_ms = p->options.clock->mono_ms(p->options.clock);
    return at;
}

static uint64_t batch_age_ms(const struct edge_pipeline *p, const struct edge_line *line,
                             const struct spool_batch *batch, const struct instant *at)
{
    if (!line->older)
        return at->mono_ms - base_min_u64(batch->commit_mono_ms, at->mono_ms);
    /* Another process committed it: at least as old as this one, and as the wall clock thinks. */
    uint64_t wall_age = at->clock_ms - base_min_u64(batch->commit_ms, at->clock_ms);
    return base_max_u64(at->mono_ms - p->start_mono_ms, wall_age);
}

/* Age of the oldest click that is unsent when [.., last) of `line` has gone out; 0: none. */
static enum err oldest_unsent(struct edge_pipeline *p, struct kv_txn *txn,
                              const struct edge_line *line, uint64_t last, const struct instant *at,
                              struct segment_head *head)
{
    for (uint32_t i = 0; i < p->line_count; i++) {
        struct edge_line *other = p->lines[i];
        bool same = other->home == line->home && other->spool.partition == line->spool.partition;
        if (!same || other->done)
            continue;
        if (other->older && !line->older && head->older_count < LIMIT_OLDER_EPOCHS)
            head->older[head->older_count++] = other->spool.epoch;
        struct spool_batch batch;
        bool found;
        enum err err = edge_pipeline_batch_find(
            txn, other, other == line ? last : other->window.next, &batch, &found);
        if (err != ERR_OK)
            return err;
        if (!found)
            continue;
        uint64_t age_ms = batch_age_ms(p, other, &batch, at);
        head->age_ms = base_max_u64(head->age_ms, age_ms == 0 ? 1 : age_ms);
        if (other == line)
            head->clock_ms = batch.commit_ms;
    }
    return ERR_OK;
}

/* Everything but the clicks. */
static enum err head_make(struct edge_pipeline *p, struct kv_txn *txn, const struct edge_line *line,
                          uint64_t first, uint64_t last, const struct instant *at,
                          struct segment_head *out)
{
    memset(out, 0, sizeof(*out));
    memcpy(out->edge, p->options.edge, sizeof(out->edge));
    memcpy(out->region, p->options.regions[line->home].name, sizeof(out->region));
    out->epoch = line->spool.epoch;
    out->partition = line->spool.partition;
    out->first = first;
    out->last = last;
    out->clock_ms = at->clock_ms;
    out->newest_epoch = p->epoch;
    out->low = line->window.low;
    out->accepted = line->window.end;
#ifdef TRIBUTARY_BREAK_CLOCK_OVERTAKES_BACKLOG
    (void)oldest_unsent;
    (void)txn;
    return ERR_OK;
#else
    return oldest_unsent(p, txn, line, last, at, out);
#endif
}

/* Clicks gathered for one segment. Spans point into p->rows_copy. */
struct load {
    uint32_t count;
    uint64_t last;
    bool fin;
    bool full;
};

/* Copies the rows [next, ...) of consecutive batches; decoded afterwards, when the copy no longer
 * moves. */
static enum err load_gather(struct edge_pipeline *p, struct kv_txn *txn, struct edge_line *line,
                            struct load *out)
{
    /* Rows are larger than their columns; about three to one after compression. */
    size_t rows_max = (size_t)p->options.segment_bytes * 3;
    *out = (struct load){.last = line->window.next};
    buf_clear(&p->rows_copy);
    while (!out->full && !out->fin && out->last < line->window.end) {
        struct spool_batch batch;
        bool found;
        enum err err = edge_pipeline_batch_find(txn, line, out->last, &batch, &found);
        if (err != ERR_OK)
            return err;
        if (!found || batch.first > out->last)
            return out->count == 0 && edge_pipeline_batch_trimmed(txn, line, out->last)
                       ? ERR_OK
                       : ERR_KV_CORRUPT;
        line->batch_first = batch.first;
        line->batch_known = true;
        struct reader rows = reader_of(batch.rows);
        uint64_t rows_last = batch.fin ? batch.last - 1 : batch.last;
        for (uint64_t at = batch.first; at < rows_last; at++) {
            struct click skipped;
            const uint8_t *start = rows.data;
            if (click_read(&rows, &skipped) != ERR_OK)
                return ERR_KV_CORRUPT;
            if (at < out->last)
                continue;
            if (out->count == LIMIT_SEGMENT_CLICKS || p->rows_copy.length >= rows_max) {
                out->full = true;
                break;
            }
            buf_put(&p->rows_copy, start, (size_t)(rows.data - start));
            out->count++;
            out->last++;
        }
        if (!out->full && batch.fin) {
            out->fin = true;
            out->last++;
        }
    }
    out->full = out->full || out->count == LIMIT_SEGMENT_CLICKS || p->rows_copy.length >= rows_max;
    return ERR_OK;
}

static void load_decode(struct edge_pipeline *p, const struct load *load)
{
    struct reader rows = reader_of(buf_span(&p->rows_copy));
    for (uint32_t i = 0; i < load->count; i++)
        CHECK(click_read(&rows, &p->clicks[i]) == ERR_OK);
    CHECK(reader_at_end(&rows));
}

static enum err publish(struct edge_pipeline *p, const struct edge_line *line, uint64_t token)
{
    const struct edge_region *region = &p->options.regions[line->home];
    struct subject subject = subject_segment(region->name, line->spool.partition, p->options.edge);
    enum err err = bus_publish(region->bus, subject.text, NULL, buf_span(&p->message), token);
    if (err == ERR_OK) {
        atomic_fetch_add(&p->counters.published, 1);
        atomic_fetch_add(&p->counters.segment_bytes, p->message.length);
    }
    return err;
}

/* Publishes the next segment of a line if its window is open. What was read is known to be so only
 * when its transaction has ended well: after an error of the store all looks absent, and a clock
 * made of that would overtake the backlog. Therefore it ends before the publish. */
static enum err line_send(struct edge_pipeline *p, struct kv_txn **txn, struct edge_line *line,
                          const struct instant *at, bool *out_sent)
{
    struct edge_region_state *region = &p->regions[line->home];
    struct send_window *w = &line->window;
    *out_sent = false;
    bool may_be_full = w->end - w->next >= LIMIT_SEGMENT_CLICKS;
    if (!send_window_open(w, may_be_full) || region->flying_bytes >= p->options.window_bytes)
        return ERR_OK;
    struct load load;
    struct segment_head head;
    enum err err = load_gather(p, *txn, line, &load);
    if (err == ERR_OK && load.last == w->next)
        return ERR_OK; /* consumed and trimmed meanwhile: the next look moves on */
    if (err == ERR_OK)
        err = head_make(p, *txn, line, w->next, load.last, at, &head);
#ifndef TRIBUTARY_BREAK_FAILED_READS_BELIEVED
    if (err == ERR_OK)
        err = kv_abort(txn);
#endif
    if (err != ERR_OK)
        return err;
    load_decode(p, &load);
    head.fin = load.fin;
    segment_write(&p->message, &head, p->clicks, load.count);
    uint64_t token = token_make(p, line, false);
    if (publish(p, line, token) != ERR_OK) {
        /* Window full or down: the same numbers next time, which may begin before the batch
         * gathered last. */
        line->batch_known = false;
        return ERR_OK;
    }
    send_window_sent(w, token, load.last, (uint32_t)p->message.length, load.full);
    region->flying_bytes += p->message.length;
    /* An older line is ended by an empty segment, at once. */
    line->published = !line->older || w->next < w->end;
    line->published_mono_ms = at->mono_ms;
    *out_sent = true;
    return ERR_OK;
}

static uint64_t heartbeat_in_ms(const struct edge_pipeline *p, const struct edge_line *line,
                                uint64_t mono_ms)
{
    if (!line->published)
        return 0;
    uint64_t since_ms = mono_ms - base_min_u64(line->published_mono_ms, mono_ms);
    return since_ms >= p->options.heartbeat_ms ? 0 : p->options.heartbeat_ms - since_ms;
}

/* An empty segment at the line's next number: tells the clock, shows a lost tail as a gap, and ends
 * an older line. That one beats until every reader has said that it knows. */
static enum err line_beat(struct edge_pipeline *p, struct kv_txn **txn, struct edge_line *line,
                          const struct instant *at)
{
    struct send_window *w = &line->window;
    if (line->done || !edge_map_has(&p->maps[line->home].known, line) || w->next < w->end ||
        heartbeat_in_ms(p, line, at->mono_ms) > 0)
        return ERR_OK;
    struct segment_head head;
    enum err err = head_make(p, *txn, line, w->next, w->next, at, &head);
    if (err == ERR_OK)
        err = kv_abort(txn);
    if (err != ERR_OK)
        return err;
    head.fin = line->fin;
    segment_write(&p->message, &head, NULL, 0);
    if (publish(p, line, token_make(p, line, true)) == ERR_OK) {
        line->published = true;
        line->published_mono_ms = at->mono_ms;
    }
    return ERR_OK;
}

static bool region_open(const struct edge_pipeline *p, uint32_t home, uint64_t mono_ms)
{
    return atomic_load(&p->regions[home].up) && p->regions[home].pause_until_ms <= mono_ms;
}

static enum err line_turn(struct edge_pipeline *p, struct kv_txn **txn, struct edge_line *line,
                          const struct instant *at, bool *out_sent)
{
    enum err err = *txn != NULL ? ERR_OK : kv_begin(p->options.kv, false, txn);
    if (err == ERR_OK)
        err = line_send(p, txn, line, at, out_sent);
    /* Without a snapshot there was something to send, which the bus did not take. */
    if (err == ERR_OK && !*out_sent && *txn != NULL)
        err = line_beat(p, txn, line, at);
    return err;
}

/* Segments of all lines in turn, each message from a short snapshot. */
static enum err send_bite(struct edge_pipeline *p, const struct instant *at, bool *out_more)
{
    struct kv_txn *txn = NULL;
    enum err err = ERR_OK;
    uint32_t sent = 0, idle_lines = 0;
    while (err == ERR_OK && sent < SEGMENTS_A_BITE && idle_lines < p->line_count) {
        struct edge_line *line = p->lines[p->next_line];
        p->next_line = (p->next_line + 1) % p->line_count;
        bool line_sent = false;
        if (region_open(p, line->home, at->mono_ms))
            err = line_turn(p, &txn, line, at, &line_sent);
        idle_lines = line_sent ? 0 : idle_lines + 1;
        sent += line_sent ? 1 : 0;
    }
    *out_more = sent == SEGMENTS_A_BITE;
    enum err sticky = txn == NULL ? ERR_OK : kv_abort(&txn);
    return sticky != ERR_OK ? sticky : err;
}

static uint32_t idle_ms(const struct edge_pipeline *p, uint64_t mono_ms)
{
    uint64_t idle = 1000;
    for (uint32_t i = 0; i < p->line_count; i++) {
        const struct edge_line *line = p->lines[i];
        const struct edge_region_state *region = &p->regions[line->home];
        if (!atomic_load(&region->up) || line->done ||
            !edge_map_has(&p->maps[line->home].known, line))
            continue;
        /* Unsent clicks behind a closed window wait for an answer of the bus, which wakes us. */
        bool unsent = line->window.next < line->window.end;
        uint64_t pause = region->pause_until_ms > mono_ms ? region->pause_until_ms - mono_ms : 0;
        if (unsent && pause > 0)
            idle = base_min_u64(idle, pause);
        if (!unsent)
            idle = base_min_u64(idle, base_max_u64(heartbeat_in_ms(p, line, mono_ms), pause) + 1);
    }
    return (uint32_t)idle;
}

enum err edge_forward(struct edge_pipeline *p, uint32_t *out_idle_ms)
{
    bool more = false;
    for (uint32_t home = 0; home < p->options.region_count; home++) {
        bool more_here = events_take(p, home);
        if (!more_here)
            edge_pipeline_look_who(p, home);
        more = more || more_here;
    }
    struct instant at = look(p);
    bool more_segments = false;
    enum err err = send_bite(p, &at, &more_segments);
    *out_idle_ms = more || more_segments ? 0 : idle_ms(p, at.mono_ms);
    if (err_class(err) != ERR_CLASS_RETRY)
        return err;
    *out_idle_ms = PAUSE_MIN_MS; /* too many readers of the store: nothing was read, nothing said */
    return ERR_OK;
}
