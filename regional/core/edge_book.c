/* SPDX-License-Identifier: Apache-2.0
 * edge_book: sorted arrays; edges are hundreds, lines of an edge a handful. */
#include "regional/core/edge_book.h"

#include <stdlib.h>

void edge_book_done(struct edge_book *book)
{
    for (uint32_t i = 0; i < book->count; i++)
        free(book->edges[i].lines);
    free(book->edges);
    *book = (struct edge_book){0};
}

static uint32_t edge_place(const struct edge_book *book, const char *name)
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

struct edge *edge_book_find(const struct edge_book *book, const char *name)
{
    uint32_t at = edge_place(book, name);
    return at < book->count && strcmp(book->edges[at].name, name) == 0 ? &book->edges[at] : NULL;
}

struct edge *edge_book_open(struct edge_book *book, const char *name)
{
    struct edge *found = edge_book_find(book, name);
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
    book->edges[at] = (struct edge){0};
    memcpy(book->edges[at].name, name, length);
    return &book->edges[at];
}

static uint32_t line_place(const struct edge *edge, uint64_t epoch)
{
    uint32_t at = 0;
    while (at < edge->line_count && edge->lines[at].epoch < epoch)
        at++;
    return at;
}

struct line *edge_book_line(const struct edge *edge, uint64_t epoch)
{
    uint32_t at = line_place(edge, epoch);
    return at < edge->line_count && edge->lines[at].epoch == epoch ? &edge->lines[at] : NULL;
}

struct line *edge_book_open_line(struct edge *edge, uint64_t epoch, uint64_t now_ms)
{
    struct line *found = edge_book_line(edge, epoch);
    if (found != NULL)
        return found;
    if (edge->line_count == edge->line_capacity) {
        edge->line_capacity = edge->line_capacity == 0 ? 4 : edge->line_capacity * 2;
        edge->lines = base_realloc(edge->lines, edge->line_capacity * sizeof(*edge->lines));
    }
    uint32_t at = line_place(edge, epoch);
    memmove(edge->lines + at + 1, edge->lines + at, (edge->line_count - at) * sizeof(*edge->lines));
    edge->line_count++;
    edge->lines[at] = (struct line){.epoch = epoch, .heard_ms = now_ms};
    return &edge->lines[at];
}

enum line_verdict line_judge(const struct line *l, const struct segment_head *head,
                             uint64_t *out_skip)
{
    uint64_t floor = l == NULL ? 0 : l->floor;
    CHECK(head->first <= head->last);
    if (head->low > floor)
        return LINE_BELOW_LOW;
    if (head->last < floor || (head->last == floor && head->first < floor))
        return LINE_REPEAT;
#ifdef TRIBUTARY_BREAK_GAP_FOLDED
    if (head->first > floor)
        return LINE_TAKE;
#endif
#ifdef TRIBUTARY_BREAK_STRADDLING_REFUSED
    if (head->first < floor)
        return LINE_REPEAT;
#endif
    if (head->first > floor)
        return LINE_GAP;
    *out_skip = floor - head->first;
#ifdef TRIBUTARY_BREAK_STRADDLING_COUNTED_TWICE
    *out_skip = 0;
#endif
    return LINE_TAKE;
}

uint64_t line_clock(const struct segment_head *head, uint64_t time_ms)
{
    uint64_t oldest_ms = time_ms > head->age_ms ? time_ms - head->age_ms : 0;
    return base_min_u64(head->clock_ms, oldest_ms);
}

static bool is_old(uint64_t now_ms, uint64_t then_ms)
{
    return now_ms > then_ms && now_ms - then_ms > EDGE_BOOK_FORGET_MS;
}

void edge_book_forget(struct edge_book *book, uint64_t now_ms, uint64_t watermark_ms)
{
    uint64_t time_ms = base_min_u64(now_ms, watermark_ms);
    for (uint32_t i = 0; i < book->count; i++) {
        struct edge *edge = &book->edges[i];
        uint32_t kept = 0;
        for (uint32_t l = 0; l < edge->line_count; l++) {
            struct line *line = &edge->lines[l];
            bool forget = line->finished && line->epoch != edge->newest_epoch &&
                          is_old(time_ms, base_max_u64(line->heard_ms, line->listed_ms));
            if (!forget)
                edge->lines[kept++] = *line;
        }
        edge->line_count = kept;
    }
}

void edge_book_cut(struct edge_book *book)
{
    for (uint32_t i = 0; i < book->count; i++) {
        book->edges[i].cut_news |= book->edges[i].news;
        book->edges[i].news = false;
        for (uint32_t l = 0; l < book->edges[i].line_count; l++) {
            struct line *line = &book->edges[i].lines[l];
            CHECK(line->floor >= line->cut_floor);
            line->cut_floor = line->floor;
            line->cut_known = true;
            line->cut_finished = line->finished;
        }
    }
}

void edge_book_committed(struct edge_book *book)
{
    for (uint32_t i = 0; i < book->count; i++) {
        book->edges[i].floor_due |= book->edges[i].cut_news;
        book->edges[i].cut_news = false;
        for (uint32_t l = 0; l < book->edges[i].line_count; l++) {
            struct line *line = &book->edges[i].lines[l];
            CHECK(line->cut_floor >= line->durable_floor);
            line->durable_floor = line->cut_floor;
            line->durable = line->cut_known;
            line->durable_finished = line->cut_finished;
        }
    }
}
