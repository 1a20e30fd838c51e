/* SPDX-License-Identifier: Apache-2.0
 * archiver_metrics: every number that tributary-archiver shows, documented where it is declared.
 * Audience: regional shell. */
#pragma once

#include "common/run/metrics.h"

#define ARCHIVER_NAME(name) "tributary_archiver_" name

/* X(id, kind, name, unit, meaning, member of struct archiver_view) */
#define ARCHIVER_METRICS(X)                                                                        \
    X(ARCHIVER_CLICKS, COUNTER, "clicks_total", "clicks",                                          \
      "taken into objects that are begun at least, since start", counts.clicks)                    \
    X(ARCHIVER_OBJECTS, COUNTER, "objects_total", "objects",                                       \
      "durable, with their manifests, since start", objects)                                       \
    X(ARCHIVER_OBJECT_CLICKS, COUNTER, "object_clicks_total", "clicks", "in these objects",        \
      object_clicks)                                                                               \
    X(ARCHIVER_OBJECT_BYTES, COUNTER, "object_bytes_total", "bytes", "of these objects",           \
      object_bytes)                                                                                \
    X(ARCHIVER_SEGMENTS, COUNTER, "segments_total", "messages",                                    \
      "segments that brought new numbers, since start", counts.segments)                           \
    X(ARCHIVER_HEARTBEATS, COUNTER, "heartbeats_total", "messages",                                \
      "segments without numbers, since start", counts.heartbeats)                                  \
    X(ARCHIVER_REPEATS, COUNTER, "repeats_total", "messages",                                      \
      "segments whose numbers were all there, since start", counts.repeats)                        \
    X(ARCHIVER_GAPS, COUNTER, "gaps_total", "messages",                                            \
      "segments before which numbers are missing: asked for again, since start", counts.gaps)      \
    X(ARCHIVER_BEYOND, COUNTER, "gaps_beyond_total", "messages",                                   \
      "of gaps: not taken now, for there is a run above a gap already", counts.beyond)             \
    X(ARCHIVER_DAMAGED, COUNTER, "alarm_damaged_total", "messages",                                \
      "alarm: bad checksum; the edge sends again", counts.damaged)                                 \
    X(ARCHIVER_UNREADABLE, COUNTER, "alarm_unreadable_total", "messages",                          \
      "alarm: good checksum, unknown content; kept as it is, as an object of its own",             \
      counts.unreadable)                                                                           \
    X(ARCHIVER_REFUSED, COUNTER, "alarm_refused_total", "messages",                                \
      "alarm: not for us, or not from whom they say; never archived", counts.refused)              \
    X(ARCHIVER_SKIPPED, COUNTER, "alarm_skipped_total", "numbers",                                 \
      "alarm: that no edge holds any more and that were not archived here: a hole unless another " \
      "archive has them",                                                                          \
      counts.skipped)                                                                              \
    X(ARCHIVER_PROOFS_FAILED, COUNTER, "alarm_proofs_failed_total", "proofs",                      \
      "alarm: the stream did not hold our position; read again from its start", proofs_failed)     \
    X(ARCHIVER_PUT_FAILURES, COUNTER, "alarm_put_failures_total", "cuts",                          \
      "alarm: an object, a manifest or our state could not be made durable; tried again",          \
      put_failures)                                                                                \
    X(ARCHIVER_AWAY, GAUGE, "alarm_store_away", "",                                                \
      "alarm: 1 while objects cannot be put; nothing is read meanwhile", store_away)               \
    X(ARCHIVER_CUTS, COUNTER, "cuts_total", "cuts", "cuts made, since start", cuts)                \
    X(ARCHIVER_COMMITS, COUNTER, "commits_total", "transactions", "durable transactions", commits) \
    X(ARCHIVER_FLOORS, COUNTER, "floors_sent_total", "messages", "floors messages sent",           \
      floors_sent)                                                                                 \
    X(ARCHIVER_PROOFS, COUNTER, "proofs_total", "proofs", "position proofs asked for", proofs)     \
    X(ARCHIVER_BUFFER, GAUGE, "waiting_bytes", "bytes", "of objects under way, in memory",         \
      waiting_bytes)                                                                               \
    X(ARCHIVER_BUS_UP, GAUGE, "bus_up", "", "1: connected to the region's bus", bus_up)

#define ARCHIVER_METRIC_ENUM(id, kind, name, unit, help, member) id,
enum {
    ARCHIVER_METRICS(ARCHIVER_METRIC_ENUM) ARCHIVER_STORE_USED,
    ARCHIVER_STORE_SIZE,
    ARCHIVER_STORE_DISK_FREE,
    ARCHIVER_METRIC_COUNT
};
#undef ARCHIVER_METRIC_ENUM

extern const struct metric_row archiver_metric_rows[ARCHIVER_METRIC_COUNT];
