/* SPDX-License-Identifier: Apache-2.0
 * archive: what the archiver of one partition takes from its stream, and when an object ends.
 * Audience: regional/core, regional driver, tests. Pure. One thread at a time per object. Source:
 * design 2.2, 4.2, 4.9.
 *
 * archive_step takes messages; archive_cut ends what was taken: files, and the state that may be
 * committed once *all* of them are durable; archive_committed makes the floors of that state the
 * ones that edges may be told. In this order, and nothing is taken between a cut and its commit. */
#pragma once

#include "regional/core/archive_object.h"

#define ARCHIVE_STATE_VERSION 1

struct archive_options {
    struct archive_identity who; /* store_id may be set later, before the first cut */
    uint64_t object_bytes;       /* an object ends when it is so large, */
    uint32_t object_age_ms;      /* or its first click was taken so long ago */
};

/* The last message that a state stands behind (design 4.2); seq 0: none yet. */
struct archive_position {
    uint64_t seq, digest;
};

struct archive_message {
    const char *subject;
    uint64_t seq, time_ms;
    struct span data;
};

struct archive_counts {
    uint64_t clicks;     /* archived: in objects that are begun at least */
    uint64_t segments;   /* that brought numbers */
    uint64_t heartbeats; /* without numbers */
    uint64_t repeats;    /* all of whose numbers were there */
    uint64_t gaps;       /* numbers before it were missing */
    uint64_t beyond;     /* of these: not taken, they will come again */
    uint64_t damaged;    /* bad checksum: as if it had not come */
    uint64_t refused;    /* not for us, not from whom they say, or of no known version */
    uint64_t unreadable; /* good checksum, unknown content: kept as it is */
    uint64_t skipped;    /* numbers that no edge holds any more and that we have not: a hole */
};

struct archive {
    struct archive_options options;
    struct archive_book book;
    struct archive_position position;
    uint64_t stream_ms; /* message time of the last message */
    uint64_t cut;       /* number of the last cut */
    /* Not part of the state. */
    struct archive_object object;
    struct archive_file *raws; /* messages that nobody can read, since the last cut */
    uint32_t raw_count, raw_capacity;
    uint64_t raw_bytes;
    uint64_t since_ms; /* when the first thing since the last cut was taken; the driver's clock */
    uint64_t gap_ms;   /* when a gap was seen first since the last cut; 0: none */
    uint64_t cut_ms;   /* when the last cut was made */
    bool dirty;        /* something was taken since the last cut */
    bool urgent;       /* an edge waits to hear of it: a line is new, or ended */
    bool moved;        /* at least the position is another */
    struct archive_counts counts;
    struct segment segment;
    struct click *clicks;
    struct buf cold;
};

struct archive *archive_new(const struct archive_options *options);
void archive_free(struct archive *a);

/* Takes one message of the partition's stream; now_ms is the driver's monotonic clock. */
void archive_step(struct archive *a, const struct archive_message *m, uint64_t now_ms);

/* Bytes of memory that wait for the next cut. */
uint64_t archive_waiting_bytes(const struct archive *a);
bool archive_wants_cut(const struct archive *a, uint64_t now_ms);
/* Is there anything that a cut would make durable? */
bool archive_has_work(const struct archive *a);

struct archive_cut {
    struct archive_file *files;
    uint32_t count;
    struct buf state; /* for archive_load */
};
void archive_make_cut(struct archive *a, uint64_t now_ms, uint64_t wall_ms,
                      struct archive_cut *out);
void archive_cut_done(struct archive_cut *c);
/* The cut is committed: files, manifests, state. */
void archive_committed(struct archive *a);

/* Into a new archive. ERR_KV_CORRUPT: not what a cut has written. ERR_CONFIG: of another region or
 * partition. On failure the archive must be freed. */
enum err WARN_UNUSED archive_load(struct archive *a, struct span state);

/* Checksum of a message, for the position. */
uint64_t archive_digest(struct span message);
