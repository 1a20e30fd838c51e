/* SPDX-License-Identifier: Apache-2.0
 * regional_archiver_parts: private to the files of the driver, regional_archiver*.c. */
#pragma once

#include "proto/subject.h"
#include "regional/regional_archiver.h"

#define ARCHIVER_FLOORS_MS   5000u /* floors are told again at least so often */
#define ARCHIVER_GAP_MS      1000u /* a gap is told again after so long */
#define ARCHIVER_RETRY_MS    250u
#define ARCHIVER_AWAY_MS     1000u      /* after a put that failed; doubled each time, */
#define ARCHIVER_AWAY_MS_MAX 30000u     /* up to this */
#define ARCHIVER_SILENT_MS   60000u     /* the position is proven again */
#define ARCHIVER_EVENTS      512u       /* per step */
#define ARCHIVER_EVENT_BYTES (8u << 20) /* likewise */
#define ARCHIVER_IDLE_MS     50u

struct archiver_part {
    uint32_t index;
    struct subject stream;
    struct archive *archive;
    enum archiver_part_state state;
    uint64_t expected_seq;        /* 0: the first message after a read may be any */
    uint64_t seq;                 /* of the last message, ticks too */
    uint32_t generation;          /* of the proof asked for */
    uint64_t ask_ms;              /* ask (again) for the proof then; 0: an answer is due */
    uint64_t read_ms, heard_ms;   /* when reading began; last message, or that */
    uint64_t pending, message_ms; /* of the last message: how many follow it; when it was stored */
    bool caught_up;
    uint64_t skipped; /* holes that were noted */
};

struct archiver {
    struct archiver_options options;
    uint16_t *partitions;
    struct archiver_part *parts;
    uint64_t store_id;
    bool bus_up;
    uint64_t floors_ms, gaps_ms; /* when all floors, and gaps, were told last */
    bool all_floors_due;

    /* The cut under way: made, and not committed yet. */
    struct archive_cut cut;
    struct archiver_part *cut_part; /* NULL: there is none */
    uint32_t cut_file;              /* files before it are durable, manifests too; */
    bool cut_object;                /* and the object of this one */
    bool away;                      /* it failed: nothing is read before it succeeds */
    uint64_t away_ms, away_wait_ms; /* tried again then; the wait before */

    struct buf scratch;
    struct archiver_view totals; /* the counters of it */
};

void archiver_note(const struct archiver *r, const struct archiver_note *note);

/* regional_archiver_read.c */
/* Takes events at our own pace; false when there was none. */
bool archiver_take_events(struct archiver *r, uint64_t now_ms);
void archiver_keep_reading(struct archiver *r, uint64_t now_ms);

/* regional_archiver_send.c */
void archiver_send_floors(struct archiver *r, uint64_t now_ms);
