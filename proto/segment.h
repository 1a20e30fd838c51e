/* SPDX-License-Identifier: Apache-2.0
 * segment: a run of numbered clicks [first, last) of one line in one bus message; an empty one is a
 * heartbeat.
 * Audience: edge, regional, tests. Pure. One thread at a time per object.
 * Drawn byte by byte in proto/PROTOCOL.md, "Segment". Source: design 2.2, 3.5, 3.6.
 *
 * A line is (edge, epoch, home region, partition). Two zstd column frames: hot (what the fold
 * needs) and cold (what only the archive needs), so that the fold never touches the cold one. */
#pragma once

#include "proto/click.h"

#define SEGMENT_MAGIC   "TRSG"
#define SEGMENT_VERSION 1

struct segment_head {
    char edge[LIMIT_EDGE_NAME_BYTES + 1];
    char region[LIMIT_REGION_NAME_BYTES + 1]; /* the home region, whose stream this is for */
    uint64_t epoch;                           /* spool epoch of these numbers; never 0 */
    uint16_t partition;
    bool fin;              /* the line ends at `last`. A process that ends its own line gives FIN a
                              number, the last of the run. An older epoch is ended by an empty
                              segment: its next number is not the speaker's to give, since a copy
                              of the spool may still be giving it to a click */
    uint64_t first, last;  /* last >= first; last - first <= LIMIT_SEGMENT_CLICKS + 1 */
    uint64_t clock_ms;     /* edge wall clock that does not overtake the backlog (design 3.6) */
    uint64_t age_ms;       /* monotonic age of the oldest unsent click over all epochs; 0: none */
    uint64_t newest_epoch; /* the edge's newest epoch */
    uint64_t low;      /* lowest number that the edge still holds of this line; == last if none */
    uint64_t accepted; /* numbers given on this line so far (FIN included) */
    uint32_t older_count; /* older epochs of this edge, region and partition not yet drained */
    uint64_t older[LIMIT_OLDER_EPOCHS];
};

/* Hot part of one click. */
struct segment_hot {
    uint8_t key[HASH_CLICK_BYTES];
    uint64_t user_hash;
    uint32_t minute;
    uint32_t ad; /* index into ads[] */
    uint16_t flags;
};

struct segment {
    struct segment_head head;
    uint32_t click_count; /* last - first, less one if FIN took a number */
    struct segment_hot *hot;
    uint32_t ad_count;
    struct span *ads; /* distinct ad_ids, borrowed from hot_bytes */
    struct span cold; /* packed cold frame, borrowed from the message */
    /* storage, reused from one segment_read to the next */
    struct buf hot_bytes;
    uint32_t hot_capacity, ad_capacity;
};

/* Writes a whole message into `out` (cleared first). clicks[i] has number head->first + i;
 * click_count must equal last - first, less one if FIN took a number (CHECKed), and be <=
 * LIMIT_SEGMENT_CLICKS. */
void segment_write(struct buf *out, const struct segment_head *head, const struct click *clicks,
                   uint32_t click_count);

/* Reads head and hot columns; `message` must outlive s->cold only. Reuses s's storage;
 * zero-initialise before the first use. ERR_MAGIC, ERR_TRUNCATED, ERR_CHECKSUM: damaged, or not a
 * segment: a gap. ERR_VERSION, ERR_FORMAT, ERR_RANGE, ERR_LIMIT: intact but unreadable; s->head is
 * valid (and counts are 0) if segment_read_head says so. */
enum err WARN_UNUSED segment_read(struct segment *s, struct span message);

/* Head alone; cheap. */
enum err WARN_UNUSED segment_read_head(struct segment_head *out, struct span message);

/* All columns, for the archive and for tests: fills clicks[0..click_count) whose spans point into
 * `storage` (cleared first) and into s. Call after segment_read on the same message. */
enum err WARN_UNUSED segment_read_cold(const struct segment *s, struct click *clicks,
                                       struct buf *storage);

void segment_done(struct segment *s);
