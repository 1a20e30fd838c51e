/* SPDX-License-Identifier: Apache-2.0
 * regional_metrics: every number that tributary-regional shows, documented where it is declared.
 * Audience: regional shell. */
#pragma once

#include "common/run/metrics.h"

#define REGIONAL_NAME(name) "tributary_regional_" name

/* X(id, kind, name, unit, meaning, member of struct replica_view) */
#define REGIONAL_METRICS(X)                                                                        \
    X(REGIONAL_FOLDED, COUNTER, "folded_total", "clicks",                                          \
      "click numbers consumed: counted + duplicate + carried, always", books.folded)               \
    X(REGIONAL_COUNTED, COUNTER, "counted_total", "clicks", "distinct clicks counted",             \
      books.counted)                                                                               \
    X(REGIONAL_DUPLICATE, COUNTER, "duplicate_total", "clicks", "repeats that dedupe found",       \
      books.duplicate)                                                                             \
    X(REGIONAL_CARRIED, COUNTER, "carried_total", "clicks",                                        \
      "clicks left to the settlement, which judges exactly", books.carried)                        \
    X(REGIONAL_LATE, COUNTER, "late_total", "clicks",                                              \
      "of counted, since start: came after their minute had closed", counts.late)                  \
    X(REGIONAL_SEGMENTS, COUNTER, "segments_total", "messages",                                    \
      "segments that brought new numbers, since start", counts.segments)                           \
    X(REGIONAL_HEARTBEATS, COUNTER, "heartbeats_total", "messages",                                \
      "segments without new numbers, since start", counts.heartbeats)                              \
    X(REGIONAL_REPEATS, COUNTER, "repeats_total", "messages",                                      \
      "segments below their floor, ignored, since start", counts.repeats)                          \
    X(REGIONAL_GAPS, COUNTER, "gaps_total", "messages",                                            \
      "segments above their floor: not folded, asked for again, since start", counts.gaps)         \
    X(REGIONAL_CONTROLS, COUNTER, "controls_total", "messages",                                    \
      "control messages applied, since start", counts.controls)                                    \
    X(REGIONAL_DAMAGED, COUNTER, "alarm_damaged_total", "messages",                                \
      "alarm: bad checksum; the edge sends again", counts.damaged)                                 \
    X(REGIONAL_UNREADABLE, COUNTER, "alarm_unreadable_total", "messages",                          \
      "alarm: good checksum, unknown content; its clicks are carried", counts.unreadable)          \
    X(REGIONAL_REFUSED, COUNTER, "alarm_refused_total", "messages",                                \
      "alarm: not for us, or not from whom they say; never folded", counts.refused)                \
    X(REGIONAL_UNENROLLED, COUNTER, "alarm_unenrolled_total", "messages",                          \
      "alarm: from edges that no operator enrolled; folded all the same", counts.unenrolled)       \
    X(REGIONAL_COLLISIONS, COUNTER, "alarm_collisions_total", "clicks",                            \
      "alarm: carried because two ad ids share one hash", counts.collisions)                       \
    X(REGIONAL_FULL, COUNTER, "alarm_count_full_total", "clicks",                                  \
      "alarm: carried because a counter can take no more", counts.full)                            \
    X(REGIONAL_MISPLACED, COUNTER, "alarm_misplaced_total", "clicks",                              \
      "alarm: carried because their ad is of another partition", counts.misplaced)                 \
    X(REGIONAL_EXPIRED, COUNTER, "expired_total", "clicks",                                        \
      "carried because their minute is beyond the horizon, since start", counts.expired)           \
    X(REGIONAL_AFTER_FIN, COUNTER, "alarm_after_fin_total", "messages",                            \
      "alarm: numbers after the end of their line; folded all the same", counts.after_fin)         \
    X(REGIONAL_CONTROL_GAPS, COUNTER, "alarm_control_gaps_total", "messages",                      \
      "alarm: control messages beyond the next number, not applied", counts.control_gaps)          \
    X(REGIONAL_CONTROL_REFUSED, COUNTER, "alarm_control_refused_total", "messages",                \
      "alarm: control messages that could not be read", counts.control_refused)                    \
    X(REGIONAL_MAP_REFUSED, COUNTER, "alarm_map_refused_total", "messages",                        \
      "alarm: steps of the partition map that came too late for a partition", counts.map_refused)  \
    X(REGIONAL_PROOFS_FAILED, COUNTER, "alarm_proofs_failed_total", "proofs",                      \
      "alarm: the stream did not hold our position; read again from its start", proofs_failed)     \
    X(REGIONAL_STOPPED, GAUGE, "alarm_partitions_stopped", "partitions",                           \
      "alarm: stopped until a peer's store is copied", parts_stopped)                              \
    X(REGIONAL_STORE_FULL, COUNTER, "alarm_store_full_total", "transactions",                      \
      "alarm: transactions refused because the store is full", store_full)                         \
    X(REGIONAL_CUTS, COUNTER, "cuts_total", "cuts", "cuts made, since start", cuts)                \
    X(REGIONAL_COMMITS, COUNTER, "commits_total", "transactions", "durable transactions", commits) \
    X(REGIONAL_PARTIALS, COUNTER, "partials_total", "messages",                                    \
      "partials stored by the region's stream, since start", partials)                             \
    X(REGIONAL_PARTIAL_BYTES, COUNTER, "partial_bytes_total", "bytes",                             \
      "bytes of partials published, answers included", partial_bytes)                              \
    X(REGIONAL_PARTIAL_RETRIES, COUNTER, "partial_retries_total", "messages",                      \
      "partials published again after no answer", partial_retries)                                 \
    X(REGIONAL_OUTBOX, GAUGE, "outbox", "messages", "partials not known to be stored", outbox)     \
    X(REGIONAL_FLOORS, COUNTER, "floors_sent_total", "messages", "floors messages sent",           \
      floors_sent)                                                                                 \
    X(REGIONAL_TICKS, COUNTER, "ticks_sent_total", "messages", "ticks sent into silent streams",   \
      ticks_sent)                                                                                  \
    X(REGIONAL_WANTS, COUNTER, "wants_total", "messages", "wants heard", wants)                    \
    X(REGIONAL_ANSWERS, COUNTER, "answers_total", "messages", "answers to wants published",        \
      answers)                                                                                     \
    X(REGIONAL_PROOFS, COUNTER, "proofs_total", "proofs", "position proofs asked for", proofs)     \
    X(REGIONAL_KEYS, GAUGE, "keys", "keys", "click keys in memory", keys)                          \
    X(REGIONAL_ROWS, GAUGE, "rows", "rows", "rows of (ad, minute) in memory", rows)                \
    X(REGIONAL_MINUTES_STORED, GAUGE, "stored_tables", "tables",                                   \
      "closed minutes that left memory, over all partitions", minutes_stored)                      \
    X(REGIONAL_MEMORY, GAUGE, "table_memory_bytes", "bytes",                                       \
      "memory of tables and names as measured at the last partial; 0 without memory_mib",          \
      memory_bytes)                                                                                \
    X(REGIONAL_MEMORY_SHORT, COUNTER, "alarm_memory_short_total", "cuts",                          \
      "alarm: cuts that found more than memory_mib; the largest minutes went to the store",        \
      memory_short)                                                                                \
    X(REGIONAL_MOVES, COUNTER, "table_moves_total", "tables",                                      \
      "times that a closed minute, or what came late for it, went to the store, since start",      \
      moves)                                                                                       \
    X(REGIONAL_STORE_READS, COUNTER, "late_reads_total", "reads",                                  \
      "values read from the store for late clicks, since start", store_reads)                      \
    X(REGIONAL_STORE_READ_BYTES, COUNTER, "late_read_bytes_total", "bytes", "their bytes",         \
      store_read_bytes)                                                                            \
    X(REGIONAL_READS_DEFERRED, COUNTER, "late_reads_deferred_total", "steps",                      \
      "steps that ended early because late clicks had read their share, since start",              \
      reads_deferred)                                                                              \
    X(REGIONAL_BUS_UP, GAUGE, "bus_up", "", "1: connected to the region's bus", bus_up)

#define REGIONAL_METRIC_ENUM(id, kind, name, unit, help, member) id,
enum {
    REGIONAL_METRICS(REGIONAL_METRIC_ENUM) REGIONAL_STORE_USED,
    REGIONAL_STORE_SIZE,
    REGIONAL_STORE_DISK_FREE,
    REGIONAL_METRIC_COUNT
};
#undef REGIONAL_METRIC_ENUM

extern const struct metric_row regional_metric_rows[REGIONAL_METRIC_COUNT];
