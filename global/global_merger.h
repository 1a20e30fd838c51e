/* SPDX-License-Identifier: Apache-2.0
 * global_merger: the driver that joins every region's partials into one store.
 * Audience: global shell, tests, simulator. Works through the ports kv, bus, clock only; nothing
 * here blocks except the commit itself. One thread.
 *
 * One transaction holds the rows of a bite of messages and the position behind them, so that a
 * crash at any moment leaves both or neither; reading a message twice changes nothing (the rows are
 * a lattice), and what the bus lost is found by totals and asked for again. Source:
 * design 2.6, 4.2, 4.7, 4.8, 5.1. */
#pragma once

#include "common/base/bus.h"
#include "common/base/clock.h"
#include "common/base/kv.h"
#include "common/base/limits.h"
#include "global/core/divergence.h"
#include "global/core/leaf.h"

struct merger_region {
    char name[LIMIT_REGION_NAME_BYTES + 1];
    struct bus_port *bus; /* of that region alone */
};

struct merger_options {
    struct merger_region regions[LIMIT_REGIONS];
    uint32_t region_count;
    struct kv_port *kv; /* with the tables of leaf_table_names */
    struct clock_port *clock;
    uint32_t bite_messages; /* in one transaction; 0: 64 */
    uint64_t bite_bytes;    /* 0: 4 MiB */
    /* How many days minutes (pages, sketches, books) and hours are kept; 0: for ever, else at least
     * RETIRE_DAYS_MIN. */
    uint32_t minutes_days, hours_days;
};

struct merger;

/* Opens the store and gives new regions their ids. ERR_VERSION: the store is of another version of
 * this program. */
enum err WARN_UNUSED merger_new(const struct merger_options *options, struct merger **out);
void merger_free(struct merger *m);

/* One bounded bite: events of all buses, one commit, then questions. Returns ERR_OK or a class STOP
 * error; *out_idle_ms: call again after that long at the latest (0: at once). */
enum err WARN_UNUSED merger_step(struct merger *m, uint32_t *out_idle_ms);

struct merger_region_view {
    char name[LIMIT_REGION_NAME_BYTES + 1];
    bool up, heard;        /* connected; a partial was taken since the store began */
    uint64_t watermark_ms; /* 0: none yet */
    uint64_t counted, duplicate, carried, folded; /* highest replica of each partition, summed */
    uint64_t merged;                              /* clicks of all rows that were ever merged */
    uint64_t unexplained; /* of every replica by itself: no excess makes up for another's lack */
    uint32_t missing_edges;
    uint64_t position;
};

/* Counts since this process began, but for the gauges at the end. */
struct merger_view {
    uint64_t messages, bytes, commits, commit_failures;
    uint64_t rows, rows_changed, rows_older; /* older: of a lower generation */
    uint64_t rows_retired;                   /* of minutes that are kept no longer: refused */
    uint64_t keys_retired;
    uint64_t damaged, refused, bad_sketches, collisions;
    uint64_t proofs, proofs_failed, gaps;
    uint64_t totals, mismatches, wants_sent, minutes_completed, minutes_given_up;
    uint64_t totals_equal, divergences;
    /* The last of them: what two replicas said of one minute. */
    struct divergence_claim divergence[2];
    const char *divergence_region;
    uint64_t minutes_wanted, minutes_held, names_wanted; /* gauges */
    uint64_t kept_from_s; /* minutes are kept from here on, Unix seconds; gauge */
    uint32_t region_count;
    struct merger_region_view regions[LIMIT_REGIONS];
};
void merger_view(const struct merger *m, struct merger_view *out);
