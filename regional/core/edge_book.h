/* SPDX-License-Identifier: Apache-2.0
 * edge_book: what one partition's fold knows of each edge and of each of its lines (spool epochs).
 * Audience: regional/core, tests. Pure. One thread at a time per object. Source: design 2.2, 4.8.
 */
#pragma once

#include "proto/segment.h"

/* Finished lines are remembered this long after they were last heard or listed: longer than a
 * stream keeps messages, so that nothing that can be read again is new to us. */
#define EDGE_BOOK_FORGET_MS (8 * 24 * 3600 * 1000ULL)

struct line {
    uint64_t epoch;
    uint64_t floor; /* every number below is folded */
    uint64_t
        gap_first;     /* highest start of a run that could not be folded; above the floor: a gap */
    uint64_t clock_ms; /* everything accepted before is folded; 0: not known yet */
    uint64_t heard_ms; /* message time of its last segment, gaps included; of its making at first */
    uint64_t listed_ms; /* message time when the edge last listed it among its older epochs */
    uint64_t accepted;  /* as the edge last said */
    bool heard;         /* had a segment of its own, was not only listed */
    bool finished;      /* FIN is folded, or an empty segment ended it at its floor */
    bool written_off;   /* an operator has given up what it has not delivered */
    /* Not part of the state: what a committed cut holds. */
    uint64_t cut_floor, durable_floor;
    bool cut_known, durable, cut_finished, durable_finished;
};

struct edge {
    char name[LIMIT_EDGE_NAME_BYTES + 1];
    bool enrolled;
    bool missing;          /* does not hold the watermark, but makes every answer incomplete */
    bool told_missing;     /* the last partial named it */
    bool given_up;         /* written off as a whole: neither holds the watermark nor is missed */
    uint64_t newest_epoch; /* as the edge last said; 0: not known */
    uint32_t line_count, line_capacity;
    struct line *lines; /* ascending epochs */
    /* Not part of the state: what its floors message has to say. */
    bool news, cut_news;  /* something was folded; and is in the cut under way */
    bool floor_due;       /* something is durable that it was not told */
    bool gap_due;         /* a gap was seen that it was not told of */
    uint64_t gap_told_ms; /* by the driver's clock */
};

/* Zero-initialised is empty and valid. */
struct edge_book {
    struct edge *edges; /* ascending names */
    uint32_t count, capacity;
};

void edge_book_done(struct edge_book *book);
struct edge *edge_book_find(const struct edge_book *book, const char *name);
/* Finds or makes; NULL when LIMIT_EDGES are known already. Earlier edge and line pointers are void
 * afterwards. */
struct edge *edge_book_open(struct edge_book *book, const char *name);
struct line *edge_book_line(const struct edge *edge, uint64_t epoch);
/* Finds or makes, heard at now_ms. Earlier line pointers of the edge are void afterwards. */
struct line *edge_book_open_line(struct edge *edge, uint64_t epoch, uint64_t now_ms);

static inline bool line_is_live(const struct line *l)
{
    return !l->finished && !l->written_off;
}

static inline bool line_has_gap(const struct line *l)
{
    return l->gap_first > l->floor;
}

enum line_verdict {
    LINE_TAKE,      /* fold the numbers from the floor on; none for a heartbeat */
    LINE_REPEAT,    /* below the floor: folded before */
    LINE_GAP,       /* above the floor: not folded; the edge sends again */
    LINE_BELOW_LOW, /* numbers from our floor on are gone at the edge: only a peer has them
                       (design 4.3) */
};

/* Judges a segment against its line; NULL: a line never heard of. Out: how many of its numbers are
 * below the floor. */
enum line_verdict line_judge(const struct line *l, const struct segment_head *head,
                             uint64_t *out_skip);

/* The clock of a segment: the lesser of what the edge's clock says and message time less age
 * (design 3.6). */
uint64_t line_clock(const struct segment_head *head, uint64_t time_ms);

/* Forgets finished lines that were neither heard nor listed for EDGE_BOOK_FORGET_MS, by message
 * time *and* by the watermark: one server's clock gone astray must not make us forget floors.
 * Unfinished lines stay: their edge may come back with them. */
void edge_book_forget(struct edge_book *book, uint64_t now_ms, uint64_t watermark_ms);

/* A cut takes the floors as they are; its commit makes them durable. */
void edge_book_cut(struct edge_book *book);
void edge_book_committed(struct edge_book *book);
