/* SPDX-License-Identifier: Apache-2.0
 * completeness: when a minute of one (region, partition) is complete at the globe.
 * Audience: global core, drivers, tests. Pure. Source: design 2.6 [rule], 4.8 [rule].
 *
 * The globe keeps books of its own per minute (rows, sums, sum of row digests), moved with each
 * changed row. A replica announces totals of the minutes that its watermark has passed. Announced
 * totals are MET when
 *   - our books equal them now, or
 *   - they equalled them once, or we once merged that very state whole (rows only grow: we still
 * hold it), or
 *   - this message is a whole answer whose rows add up to the totals that it announces.
 * A met total completes its minute only if the message that announced it names no missing edge:
 * with one missing, the watermark went on without it, so a minute met then is HELD until a later
 * announcement or answer without one. Once complete stays complete: later clicks still count, and
 * later differences are healed. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "proto/partial.h"

/* Sums over rows of one minute. */
struct completeness_sums {
    uint32_t rows;
    uint64_t counted, duplicate;
    uint64_t digest; /* wrapping */
};

/* States (by fingerprint) of which we know that we hold everything. */
#define COMPLETENESS_MET_KEPT 4

struct completeness_book {
    struct completeness_sums own;
    bool announced; /* some replica has announced totals of this minute */
    bool complete;
    uint64_t met[COMPLETENESS_MET_KEPT]; /* newest first; 0: none */
};

enum completeness_verdict {
    COMPLETENESS_MET,    /* and the minute is complete */
    COMPLETENESS_HELD,   /* met, but an edge is missing: ask again once none is */
    COMPLETENESS_WANTED, /* differs: ask that replica for the whole minute */
};

/* Moves the books from the old form of a row (NULL: it was not there) to the new one. */
struct completeness_row {
    uint64_t counted, duplicate, digest;
};
void completeness_change(struct completeness_sums *sums, const struct completeness_row *old,
                         const struct completeness_row *new_);

bool completeness_sums_match(const struct completeness_sums *sums,
                             const struct partial_total *total);

/* Judges one announced total and notes it in the book.
 * sound   the message names no missing edge
 * whole   this message, or it and its fellows, hold the whole minute: sums of their rows equal the
 * totals */
enum completeness_verdict completeness_judge(struct completeness_book *book,
                                             const struct partial_total *total, bool sound,
                                             bool whole);

/* Do we hold at least as much as these totals, sum by sum? No proof, but for a minute that was
 * complete before, the sign of a replica that lags behind another one: such a difference most often
 * heals itself. */
bool completeness_sums_exceed(const struct completeness_sums *sums,
                              const struct partial_total *total);

/* True if totals of `minute` may be announced at all under this watermark: only after the minute's
 * end. */
bool completeness_may_announce(uint32_t minute, uint64_t watermark_ms);

/* Minutes before this are due to be announced by a replica whose watermark is there: the watermark
 * has passed their end by a further minute, more than the usual allowed lateness. One that was not
 * is asked for. */
uint32_t completeness_due_before(uint64_t watermark_ms);

void completeness_put(const struct completeness_book *book, struct buf *out);
enum err WARN_UNUSED completeness_read(struct completeness_book *book, struct span bytes);

/* 60 minutes of one (region, partition): bit i = minute i of the hour is complete. Which ads that
 * is follows from the region's map, which never changes for a minute that has clicks. */
struct completeness_hour {
    uint64_t bits;
    uint16_t partitions; /* P of the hour's last minute when a bit was set last */
};

/* P of the hour's first and of its last minute: they differ where the map grows in between. */
struct completeness_span {
    uint16_t first, last;
};

struct completeness_span completeness_span_of(const struct partition_map *map, uint32_t hour);

/* Marks a minute. Marks of a smaller map, of a region that was set up anew with more partitions,
 * are dropped (they spoke of other sets of ads); against those of a larger one it is ignored.
 * Returns true on change. */
bool completeness_hour_mark(struct completeness_hour *hour, uint8_t minute,
                            struct completeness_span map);
/* Do the marks speak of what the map has in that hour? */
bool completeness_hour_is_of(const struct completeness_hour *hour, struct completeness_span map);
void completeness_hour_put(const struct completeness_hour *hour, struct buf *out);
enum err WARN_UNUSED completeness_hour_read(struct completeness_hour *hour, struct span bytes);
