/* SPDX-License-Identifier: Apache-2.0
 * regional_replica_send: what a replica tells others, all of it from what is durable. */
#include "proto/floor.h"
#include "proto/subject.h"
#include "regional/core/roster.h"
#include "regional/regional_replica_parts.h"

#include <stdio.h>
#include <stdlib.h>

#define FLOOR_RECENT_MS (3600 * 1000ULL)

void replica_outbox_add(struct replica *r, uint64_t id)
{
    if (r->outbox_count == r->outbox_capacity) {
        r->outbox_capacity = r->outbox_capacity == 0 ? 64 : r->outbox_capacity * 2;
        r->outbox = base_realloc(r->outbox, r->outbox_capacity * sizeof(*r->outbox));
    }
    CHECK(r->outbox_count == 0 || r->outbox[r->outbox_count - 1].id < id);
    r->outbox[r->outbox_count++] = (struct outbox_item){.id = id};
}

void replica_outbox_settle(struct replica *r, uint64_t id, bool stored, uint64_t now_ms)
{
    uint32_t low = 0, high = r->outbox_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (r->outbox[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    struct outbox_item *item = &r->outbox[low];
    if (low == r->outbox_count || item->id != id || item->state != OUTBOX_OPEN)
        return;
    item->state = stored ? OUTBOX_DONE : OUTBOX_WAITING;
    item->retry_ms = now_ms + REPLICA_RETRY_MS;
    r->outbox_done += stored;
    r->totals.partials += stored;
    r->totals.partial_retries += !stored;
}

static enum err publish_item(struct replica *r, struct kv_txn *txn, struct outbox_item *item)
{
    uint16_t partition;
    enum err err = replica_store_outbox(r, txn, item->id, &partition, &r->scratch);
    if (err != ERR_OK)
        return err == ERR_NOT_FOUND ? ERR_KV_CORRUPT : err;
    char msg_id[33];
    partial_message_id(buf_span(&r->scratch), msg_id);
#ifdef TRIBUTARY_BREAK_PARTIAL_ID_BY_SEQUENCE
    (void)snprintf(msg_id, sizeof(msg_id), "%u-%llu", partition, (unsigned long long)item->id);
#endif
    struct subject to = subject_partial(r->options.region, partition, r->options.replica);
    err = bus_publish(r->options.bus, to.text, msg_id, buf_span(&r->scratch),
                      replica_token(TOKEN_OUTBOX, item->id));
    if (err == ERR_OK) {
        item->state = OUTBOX_OPEN;
        r->totals.partial_bytes += r->scratch.length;
    }
    return err;
}

enum err replica_send_outbox(struct replica *r, uint64_t now_ms)
{
    if (!r->bus_up)
        return ERR_OK;
    struct kv_txn *txn = NULL;
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < r->outbox_count && err == ERR_OK; i++) {
        struct outbox_item *item = &r->outbox[i];
        if (item->state != OUTBOX_WAITING || item->retry_ms > now_ms)
            continue;
        if (txn == NULL)
            err = kv_begin(r->options.kv, false, &txn);
        if (err == ERR_OK)
            err = publish_item(r, txn, item);
    }
    if (txn != NULL) {
        enum err sticky = kv_abort(&txn);
        if (err_class(sticky) == ERR_CLASS_STOP)
            return sticky;
    }
    /* Class RETRY (bus away or busy): the next step tries again. */
    return err_class(err) == ERR_CLASS_STOP ? err : ERR_OK;
}

static bool line_is_recent(const struct line *l, uint64_t now_ms)
{
    uint64_t last_ms = base_max_u64(l->heard_ms, l->listed_ms);
    return line_is_live(l) || now_ms < last_ms || now_ms - last_ms <= FLOOR_RECENT_MS;
}

/* A grown map is told only when all partitions of this process durably have it: an edge must not
 * follow a step that someone who counts by it lacks. */
static struct partition_map map_to_tell(const struct replica *r)
{
    const struct partition_map *map = &r->parts[0].map_durable;
    bool agreed = map->count > 1;
    for (uint32_t i = 1; i < r->options.partition_count; i++)
        agreed = agreed && partition_map_equal(map, &r->parts[i].map_durable);
    return agreed ? *map : (struct partition_map){0};
}

/* One message for one edge: its recent lines in all partitions of this process. */
static void send_edge_floors(struct replica *r, const char *name, struct floor_line *lines,
                             uint64_t now_ms)
{
    struct floor_message m = {.store_id = r->who.store_id, .map = map_to_tell(r), .lines = lines};
    memcpy(m.reader, r->options.replica, sizeof(m.reader));
    memcpy(m.region, r->options.region, sizeof(m.region));
    memcpy(m.edge, name, base_min_u64(strlen(name), sizeof(m.edge) - 1));
    for (uint32_t i = 0; i < r->options.partition_count; i++) {
        struct fold *f = r->parts[i].fold;
        struct edge *e = edge_book_find(&f->edges, name);
        if (e == NULL)
            continue;
        e->floor_due = false;
        if (e->gap_due)
            e->gap_told_ms = now_ms;
        e->gap_due = false;
        for (uint32_t l = 0; l < e->line_count && m.line_count < FLOOR_LINES_MAX; l++) {
            const struct line *line = &e->lines[l];
            if (!line->durable || !line_is_recent(line, f->stream_ms))
                continue;
            uint64_t floor = line->durable_floor;
            /* A partition that is stopped takes nothing that would be sent again. */
            bool gap = r->parts[i].state != REPLICA_PART_STOPPED && line_has_gap(line);
#ifdef TRIBUTARY_BREAK_ACK_FLOOR_TOO_HIGH
            floor++;
#endif
            lines[m.line_count++] = (struct floor_line){.epoch = line->epoch,
                                                        .partition = f->options.partition,
                                                        .gap = gap,
                                                        .floor = floor,
                                                        .finished = line->durable_finished};
        }
    }
    if (m.line_count == 0)
        return;
    floor_write(&r->scratch, &m);
    struct subject to = subject_floors(r->options.region, name, r->options.replica);
    if (bus_send(r->options.bus, to.text, buf_span(&r->scratch)) == ERR_OK)
        r->totals.floors_sent++;
}

static bool edge_is_due(const struct edge *e, bool all, uint64_t now_ms)
{
    return all || e->floor_due ||
           (e->gap_due && (e->gap_told_ms == 0 || now_ms >= e->gap_told_ms + REPLICA_GAP_MS));
}

void replica_send_floors(struct replica *r, uint64_t now_ms)
{
    if (!r->bus_up)
        return;
    bool all = r->all_floors_due || now_ms - r->floors_ms >= REPLICA_FLOORS_MS;
    if (all)
        r->floors_ms = now_ms;
    r->all_floors_due = false;
    struct floor_line *lines = NULL;
    for (uint32_t i = 0; i < r->options.partition_count; i++) {
        struct edge_book *book = &r->parts[i].fold->edges;
        for (uint32_t e = 0; e < book->count; e++) {
            /* An edge that an earlier partition knows was told there, of all its partitions. */
            bool told = false;
            for (uint32_t before = 0; all && before < i && !told; before++)
                told = edge_book_find(&r->parts[before].fold->edges, book->edges[e].name) != NULL;
            if (told || !edge_is_due(&book->edges[e], all, now_ms))
                continue;
            if (lines == NULL)
                lines = base_alloc(FLOOR_LINES_MAX * sizeof(*lines));
            send_edge_floors(r, book->edges[e].name, lines, now_ms);
        }
    }
    free(lines);
}

void replica_send_ticks(struct replica *r, uint64_t now_ms)
{
    for (uint32_t i = 0; i < r->options.partition_count; i++) {
        struct part *p = &r->parts[i];
        if (!r->bus_up || p->state != REPLICA_READING || !p->fold->uncut ||
            now_ms - p->active_ms < REPLICA_TICK_MS + r->tick_jitter_ms)
            continue;
        p->active_ms = now_ms;
        struct subject to =
            subject_tick(r->options.region, p->fold->options.partition, r->options.replica);
        tick_write(&r->scratch);
        if (bus_publish(r->options.bus, to.text, NULL, buf_span(&r->scratch),
                        replica_token(TOKEN_TICK, i)) == ERR_OK)
            r->totals.ticks_sent++;
    }
}

void replica_make_answer(struct replica *r, struct part *p)
{
    if (p->want == NULL)
        return;
    struct announce_messages messages = {0};
    const struct announce_wanted wanted = {.minutes = p->want->minutes,
                                           .names = p->want->names,
                                           .minute_count = p->want->minute_count,
                                           .name_count = p->want->name_count};
    enum err err = replica_minutes_whole(r, p, &wanted, &messages);
    free(p->want);
    p->want = NULL;
    if (err != ERR_OK) {
        /* It will be asked for again, if we live. */
        r->read_err = err_class(err) == ERR_CLASS_STOP ? err : r->read_err;
        announce_messages_done(&messages);
        return;
    }
    for (uint32_t i = 0; i < messages.count; i++) {
        if (r->answer_count == r->answer_capacity) {
            r->answer_capacity = r->answer_capacity == 0 ? 8 : r->answer_capacity * 2;
            r->answers = base_realloc(r->answers, r->answer_capacity * sizeof(*r->answers));
        }
        r->answers[r->answer_count++] =
            (struct answer){p->fold->options.partition, messages.items[i]};
        messages.items[i] = (struct buf){0};
    }
    announce_messages_done(&messages);
}

void replica_send_answers(struct replica *r)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->answer_count; i++) {
        struct answer *a = &r->answers[i];
        struct subject to = subject_partial(r->options.region, a->partition, r->options.replica);
        /* No message id: an answer must be stored however equal it is to an earlier one
         * (design 2.6). */
        enum err err = bus_publish(r->options.bus, to.text, NULL, buf_span(&a->message),
                                   replica_token(TOKEN_ANSWER, 0));
        if (err == ERR_BUS_BUSY) {
            r->answers[kept++] = *a;
            continue;
        }
        /* With the bus away it is dropped: it will be asked for again. */
        r->totals.answers += err == ERR_OK;
        r->totals.partial_bytes += err == ERR_OK ? a->message.length : 0;
        buf_done(&a->message);
    }
    r->answer_count = kept;
}

void replica_send_roster(struct replica *r, const char *reply)
{
    struct roster roster = {.part_count = r->options.partition_count};
    memcpy(roster.replica, r->options.replica, sizeof(roster.replica));
    roster.parts = base_zalloc(roster.part_count, sizeof(*roster.parts));
    for (uint32_t i = 0; i < roster.part_count; i++)
        roster_part_of(&roster.parts[i], r->parts[i].fold,
                       r->parts[i].state == REPLICA_PART_STOPPED);
    roster_write(&r->scratch, &roster);
    (void)bus_send(r->options.bus, reply, buf_span(&r->scratch));
    roster_done(&roster);
}
