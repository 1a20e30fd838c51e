/* SPDX-License-Identifier: Apache-2.0
 * archive_book: sorted arrays; edges are hundreds, lines of an edge a handful. */
#include "regional/core/archive_book.h"

#include <stdlib.h>

void archive_book_done(struct archive_book *book)
{
    for (uint32_t i = 0; i < book->count; i++)
        free(book->edges[i].lines);
    free(book->edges);
    *book = (struct archive_book){0};
}

static uint32_t edge_place(const struct archive_book *book, const char *name)
{
    uint32_t low = 0, high = book->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strcmp(book->edges[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct archive_edge *archive_book_find(const struct archive_book *book, const char *name)
{
    uint32_t at = edge_place(book, name);
    return at < book->count && strcmp(book->edges[at].name, name) == 0 ? &book->edges[at] : NULL;
}

struct archive_edge *archive_book_open(struct archive_book *book, const char *name)
{
    struct archive_edge *found = archive_book_find(book, name);
    if (found != NULL)
        return found;
    if (book->count >= LIMIT_EDGES)
        return NULL;
    if (book->count == book->capacity) {
        book->capacity = book->capacity == 0 ? 8 : book->capacity * 2;
        book->edges = base_realloc(book->edges, book->capacity * sizeof(*book->edges));
    }
    size_t length = strlen(name);
    CHECK(length >= 1 && length <= LIMIT_EDGE_NAME_BYTES);
    uint32_t at = edge_place(book, name);
    memmove(book->edges + at + 1, book->edges + at, (book->count - at) * sizeof(*book->edges));
    book->count++;
    book->edges[at] = (struct archive_edge){0};
    memcpy(book->edges[at].name, name, length);
    return &book->edges[at];
}

static uint32_t line_place(const struct archive_edge *edge, uint64_t epoch)
{
    uint32_t at = 0;
    while (at < edge->line_count && edge->lines[at].epoch < epoch)
        at++;
    return at;
}

struct archive_line *archive_book_line(const struct archive_edge *edge, uint64_t epoch)
{
    uint32_t at = line_place(edge, epoch);
    return at < edge->line_count && edge->lines[at].epoch == epoch ? &edge->lines[at] : NULL;
}

struct archive_line *archive_book_open_line(struct archive_edge *edge, uint64_t epoch)
{
    struct archive_line *found = archive_book_line(edge, epoch);
    if (found != NULL)
        return found;
    if (edge->line_count == edge->line_capacity) {
        edge->line_capacity = edge->line_capacity == 0 ? 4 : edge->line_capacity * 2;
        edge->lines = base_realloc(edge->lines, edge->line_capacity * sizeof(*edge->lines));
    }
    uint32_t at = line_place(edge, epoch);
    memmove(edge->lines + at + 1, edge->lines + at, (edge->line_count - at) * sizeof(*edge->lines));
    edge->line_count++;
    edge->lines[at] = (struct archive_line){.epoch = epoch};
    return &edge->lines[at];
}

static bool has_island(const struct archive_line *l)
{
    return l->island_last > l->island_first;
}

/* The floor has come to the island: it is land now. */
static void join(struct archive_line *l)
{
    if (has_island(l) && l->floor < l->island_first)
        return;
    l->floor = base_max_u64(l->floor, l->island_last);
    l->island_first = l->island_last = 0;
}

/* The edge holds nothing below `low` any more: what we do not have of it nobody can give us. */
static uint64_t raise_floor(struct archive_line *l, uint64_t low)
{
    if (low <= l->floor)
        return 0;
    uint64_t skipped = low - l->floor;
    if (has_island(l) && low > l->island_first)
        skipped -= base_min_u64(low, l->island_last) - l->island_first;
    l->floor = low;
    join(l);
    return skipped;
}

static void wish(struct archive_wish *out, uint64_t first, uint64_t last)
{
    if (first < last)
        out->runs[out->count++] = (struct archive_run){first, last};
}

/* A run that begins above the floor. */
static void take_above(struct archive_line *l, uint64_t first, uint64_t last,
                       struct archive_wish *out)
{
    out->gap = true;
    if (first == last)
        return;
    if (!has_island(l)) {
        wish(out, first, last);
        l->island_first = first;
        l->island_last = last;
        return;
    }
    /* Only what touches the island makes it larger; the rest will be sent again. */
    if (first > l->island_last || last < l->island_first) {
        out->beyond = true;
        return;
    }
    wish(out, first, l->island_first);
    wish(out, base_max_u64(first, l->island_last), last);
    l->island_first = base_min_u64(l->island_first, first);
    l->island_last = base_max_u64(l->island_last, last);
}

/* A run that begins at the floor or below it, and ends above. */
static void take_at_floor(struct archive_line *l, uint64_t last, struct archive_wish *out)
{
#ifdef TRIBUTARY_BREAK_ARCHIVE_ISLAND_FORGOTTEN
    l->island_first = l->floor;
#endif
    if (!has_island(l) || last < l->island_first) {
        wish(out, l->floor, last);
        l->floor = last;
        return;
    }
    wish(out, l->floor, l->island_first);
    wish(out, l->island_last, last);
    l->floor = last;
    join(l);
}

void archive_line_take(struct archive_line *l, const struct segment_head *head, uint64_t time_ms,
                       bool is_new, struct archive_wish *out)
{
    CHECK(head->first <= head->last);
    *out = (struct archive_wish){0};
    bool later = time_ms > l->heard_ms;
    l->heard_ms = base_max_u64(l->heard_ms, time_ms);
    uint64_t skipped = raise_floor(l, head->low);
    out->skipped = is_new ? 0 : skipped;
    if (head->first > l->floor) {
        l->gap_first = base_max_u64(l->gap_first, head->first);
        take_above(l, head->first, head->last, out);
    } else if (head->last > l->floor) {
        take_at_floor(l, head->last, out);
    }
    CHECK(out->count == 0 || out->runs[0].first >= head->first);
    CHECK(out->count < 2 || out->runs[0].last < out->runs[1].first);
    /* An end below the floor is that of a copy of the spool, which has less than its original. */
    if (head->fin && head->last >= l->floor) {
        l->ended = true;
        l->end = head->last;
    } else if (!head->fin && (head->last > l->end || (head->last == l->end && later))) {
        l->ended = false; /* a copy of the spool ended what its original goes on with */
    }
}

void archive_book_forget(struct archive_book *book, uint64_t stream_ms, uint64_t wall_ms)
{
    uint64_t now_ms = base_min_u64(stream_ms, wall_ms);
    for (uint32_t i = 0; i < book->count; i++) {
        struct archive_edge *edge = &book->edges[i];
        uint32_t kept = 0;
        for (uint32_t l = 0; l < edge->line_count; l++) {
            const struct archive_line *line = &edge->lines[l];
            bool forget = archive_line_is_finished(line) && now_ms > line->heard_ms &&
                          now_ms - line->heard_ms > ARCHIVE_FORGET_MS;
            if (!forget)
                edge->lines[kept++] = *line;
        }
        edge->line_count = kept;
    }
}

void archive_book_cut(struct archive_book *book)
{
    for (uint32_t i = 0; i < book->count; i++) {
        struct archive_edge *edge = &book->edges[i];
        edge->cut_news |= edge->news;
        edge->news = false;
        for (uint32_t l = 0; l < edge->line_count; l++) {
            struct archive_line *line = &edge->lines[l];
            CHECK(line->floor >= line->cut_floor);
            line->cut_floor = line->floor;
            line->cut_known = true;
            line->cut_finished = archive_line_is_finished(line);
        }
    }
}

void archive_book_committed(struct archive_book *book)
{
    for (uint32_t i = 0; i < book->count; i++) {
        struct archive_edge *edge = &book->edges[i];
        edge->floor_due |= edge->cut_news;
        edge->cut_news = false;
        for (uint32_t l = 0; l < edge->line_count; l++) {
            struct archive_line *line = &edge->lines[l];
            CHECK(line->cut_floor >= line->durable_floor);
            line->durable_floor = line->cut_floor;
            line->durable = line->cut_known;
            line->durable_finished = line->cut_finished;
        }
    }
}
