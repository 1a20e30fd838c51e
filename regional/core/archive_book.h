/* SPDX-License-Identifier: Apache-2.0
 * archive_book: what the archive of one partition holds of each line (edge, epoch).
 * Audience: regional/core, regional driver, tests. Pure. One thread at a time per object. Source:
 * design 2.2, 4.9.
 *
 * A fold may take a number only when it has all below. An archive may take any number, for a
 * recount takes each once: so beside the floor a line has one island, a run above a gap that is
 * archived already. It keeps what a stream still holds when numbers before it are lost or not yet
 * sent again.
 */
#pragma once

#include "proto/segment.h"

/* Finished lines are remembered so long after they were last heard: longer than a stream keeps
 * messages. One that is forgotten and read again is archived twice, which is harmless. */
#define ARCHIVE_FORGET_MS (8 * 24 * 3600 * 1000ULL)

struct archive_line {
    uint64_t epoch;
    uint64_t floor;                     /* every number below is taken, or is lost for good */
    uint64_t island_first, island_last; /* taken above the floor; equal: there is no island */
    bool ended;                         /* FIN was heard: the line ends at `end` */
    uint64_t end;
    uint64_t gap_first; /* highest start heard; above the floor: a gap */
    uint64_t heard_ms;  /* message time */
    /* Not part of the state: what a committed cut holds. */
    uint64_t cut_floor, durable_floor;
    bool cut_known, durable, cut_finished, durable_finished;
};

struct archive_edge {
    char name[LIMIT_EDGE_NAME_BYTES + 1];
    uint32_t line_count, line_capacity;
    struct archive_line *lines; /* ascending epochs */
    /* Not part of the state: what its floors message has to say. */
    bool news, cut_news; /* something was taken; and is in the cut under way */
    bool floor_due;      /* something is durable that it was not told */
};

/* Zero-initialised is empty and valid. */
struct archive_book {
    struct archive_edge *edges; /* ascending names */
    uint32_t count, capacity;
};

void archive_book_done(struct archive_book *book);
struct archive_edge *archive_book_find(const struct archive_book *book, const char *name);
/* Finds or makes; NULL when LIMIT_EDGES are known already. Earlier edge and line pointers are void
 * afterwards. */
struct archive_edge *archive_book_open(struct archive_book *book, const char *name);
struct archive_line *archive_book_line(const struct archive_edge *edge, uint64_t epoch);
/* Finds or makes. Earlier line pointers of the edge are void afterwards. */
struct archive_line *archive_book_open_line(struct archive_edge *edge, uint64_t epoch);

struct archive_run {
    uint64_t first, last;
};

/* What a segment brings that its line does not have: at most two runs, ascending, within
 * [head->first, head->last). */
struct archive_wish {
    struct archive_run runs[2];
    uint32_t count;
    bool gap;         /* numbers before it are missing: the edge should send them again */
    bool beyond;      /* above the gap, and there is an island elsewhere: not taken */
    uint64_t skipped; /* numbers that nobody holds any more, of a line known before: a hole */
};

/* Takes the segment into the line (whose caller then archives the runs), heard at time_ms. is_new:
 * the line was made for this segment; it begins at what the edge still holds. */
void archive_line_take(struct archive_line *l, const struct segment_head *head, uint64_t time_ms,
                       bool is_new, struct archive_wish *out);

static inline bool archive_line_is_finished(const struct archive_line *l)
{
    return l->ended && l->floor == l->end;
}
static inline bool archive_line_has_gap(const struct archive_line *l)
{
    return l->gap_first > l->floor;
}

/* Forgets finished lines that were not heard for ARCHIVE_FORGET_MS, by message time *and* by our
 * clock. */
void archive_book_forget(struct archive_book *book, uint64_t stream_ms, uint64_t wall_ms);

/* A cut takes the floors as they are; its commit makes them durable. */
void archive_book_cut(struct archive_book *book);
void archive_book_committed(struct archive_book *book);
