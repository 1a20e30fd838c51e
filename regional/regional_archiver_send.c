/* SPDX-License-Identifier: Apache-2.0
 * regional_archiver_send: floors, all of them from what is durable. */
#include "proto/floor.h"
#include "regional/regional_archiver_parts.h"

#include <stdlib.h>

#define FLOOR_RECENT_MS (3600 * 1000ULL)

static bool line_is_recent(const struct archive_line *l, uint64_t stream_ms)
{
    return !l->durable_finished || stream_ms < l->heard_ms ||
           stream_ms - l->heard_ms <= FLOOR_RECENT_MS;
}

/* The edge sends again from the floor that it hears: so a gap is told when nothing taken is above
 * that floor; a cut sees to it (archive_wants_cut). */
static bool gap_may_be_told(const struct archive_line *l)
{
    return archive_line_has_gap(l) && l->durable && l->durable_floor == l->floor;
}

static bool edge_has_gap(const struct archive_edge *e)
{
    for (uint32_t i = 0; i < e->line_count; i++) {
        if (gap_may_be_told(&e->lines[i]))
            return true;
    }
    return false;
}

/* One message for one edge: its recent lines in all partitions of this process. */
static void send_edge(struct archiver *r, const char *name, struct floor_line *lines)
{
    struct floor_message m = {.store_id = r->store_id, .lines = lines};
    memcpy(m.reader, r->options.archiver, sizeof(m.reader));
    memcpy(m.region, r->options.region, sizeof(m.region));
    memcpy(m.edge, name, base_min_u64(strlen(name), sizeof(m.edge) - 1));
    for (uint32_t i = 0; i < r->options.partition_count; i++) {
        struct archive *a = r->parts[i].archive;
        struct archive_edge *e = archive_book_find(&a->book, name);
        if (e == NULL)
            continue;
        e->floor_due = false;
        for (uint32_t l = 0; l < e->line_count && m.line_count < FLOOR_LINES_MAX; l++) {
            const struct archive_line *line = &e->lines[l];
            if (!line->durable || !line_is_recent(line, a->stream_ms))
                continue;
            lines[m.line_count++] = (struct floor_line){.epoch = line->epoch,
                                                        .partition = a->options.who.partition,
                                                        .gap = gap_may_be_told(line),
                                                        .floor = line->durable_floor,
                                                        .finished = line->durable_finished};
        }
    }
    if (m.line_count == 0)
        return;
    floor_write(&r->scratch, &m);
    struct subject to = subject_floors(r->options.region, name, r->options.archiver);
    if (bus_send(r->options.bus, to.text, buf_span(&r->scratch)) == ERR_OK)
        r->totals.floors_sent++;
}

static bool is_told(const struct archiver *r, uint32_t before, const char *name)
{
    for (uint32_t i = 0; i < before; i++) {
        if (archive_book_find(&r->parts[i].archive->book, name) != NULL)
            return true;
    }
    return false;
}

void archiver_send_floors(struct archiver *r, uint64_t now_ms)
{
    if (!r->bus_up)
        return;
    bool all = r->all_floors_due || now_ms - r->floors_ms >= ARCHIVER_FLOORS_MS;
    bool gaps = now_ms - r->gaps_ms >= ARCHIVER_GAP_MS;
    if (all)
        r->floors_ms = now_ms;
    if (gaps)
        r->gaps_ms = now_ms;
    r->all_floors_due = false;
    struct floor_line *lines = NULL;
    for (uint32_t i = 0; i < r->options.partition_count; i++) {
        struct archive_book *book = &r->parts[i].archive->book;
        for (uint32_t e = 0; e < book->count; e++) {
            struct archive_edge *edge = &book->edges[e];
            bool due = edge->floor_due || (gaps && edge_has_gap(edge));
            /* An edge that an earlier partition knows was told there, of all its partitions. */
            if (!(all ? !is_told(r, i, edge->name) : due))
                continue;
            if (lines == NULL)
                lines = base_alloc(FLOOR_LINES_MAX * sizeof(*lines));
            send_edge(r, edge->name, lines);
        }
    }
    free(lines);
}
