/* SPDX-License-Identifier: Apache-2.0
 * roster: what a replica answers to a plain request on roster.<region>: its edges and control
 * floors, as of its last commit or later. Audience: regional tier, tributaryctl, tests. Pure. Drawn
 * in proto/PROTOCOL.md, "Roster". */
#pragma once

#include "regional/core/fold.h"

#define ROSTER_MAGIC   "TRRO"
#define ROSTER_VERSION 2

struct roster_edge {
    char name[LIMIT_EDGE_NAME_BYTES + 1];
    bool enrolled, missing, given_up;
    uint64_t clock_ms; /* of its live lines; 0: it has none, or is not present */
    uint64_t folded;   /* sum of its floors */
    uint32_t live_lines;
};

struct roster_part {
    uint16_t partition;
    bool stopped; /* needs a peer's store */
    uint64_t control_floor, watermark_ms;
    struct partition_map map;
    struct fold_applied applied[FOLD_APPLIED];
    uint32_t edge_count;
    struct roster_edge *edges; /* malloc'ed */
};

struct roster {
    char replica[LIMIT_READER_NAME_BYTES + 1];
    uint32_t part_count;
    struct roster_part *parts; /* malloc'ed */
};

/* Replaces *out. Frees with roster_done as well. */
void roster_part_of(struct roster_part *out, const struct fold *f, bool stopped);
void roster_write(struct buf *out, const struct roster *roster);
/* On failure *out is empty. */
enum err WARN_UNUSED roster_read(struct roster *out, struct span message);
void roster_done(struct roster *roster);
