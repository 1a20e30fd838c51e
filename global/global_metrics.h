/* SPDX-License-Identifier: Apache-2.0
 * global_metrics: every number that tributary-global shows, documented where it is declared.
 * Audience: global shell. */
#pragma once

#include "common/run/metrics.h"

/*    id                      kind     name                                       unit, meaning */
#define GLOBAL_METRICS(X)                                                                          \
    X(GLOBAL_MESSAGES, COUNTER, "tributary_global_partials_total", "messages",                     \
      "messages taken from the regions' streams of partials, repeats included")                    \
    X(GLOBAL_BYTES, COUNTER, "tributary_global_partial_bytes_total", "bytes",                      \
      "bytes of those messages: what crosses the oceans")                                          \
    X(GLOBAL_COMMITS, COUNTER, "tributary_global_commits_total", "transactions",                   \
      "durable transactions of rows together with positions")                                      \
    X(GLOBAL_COMMIT_FAILURES, COUNTER, "tributary_global_commit_failures_total", "transactions",   \
      "transactions that the store refused; the same messages are read again")                     \
    X(GLOBAL_ROWS, COUNTER, "tributary_global_rows_total", "rows",                                 \
      "rows that those messages held")                                                             \
    X(GLOBAL_ROWS_CHANGED, COUNTER, "tributary_global_rows_changed_total", "rows",                 \
      "rows that raised what was held")                                                            \
    X(GLOBAL_ROWS_REPEATED, COUNTER, "tributary_global_rows_repeated_total", "rows",               \
      "rows that said nothing new: another replica's, or read again")                              \
    X(GLOBAL_ROWS_RETIRED, COUNTER, "tributary_global_rows_retired_total", "rows",                 \
      "alarm: rows of minutes that are kept no longer, refused")                                   \
    X(GLOBAL_KEYS_RETIRED, COUNTER, "tributary_global_keys_retired_total", "keys",                 \
      "pages, sketches, books and roll-ups deleted because their time was over")                   \
    X(GLOBAL_KEPT_FROM, GAUGE, "tributary_global_kept_from_timestamp_seconds", "Unix seconds",     \
      "start of the first minute that is kept; 0: all are")                                        \
    X(GLOBAL_DAMAGED, COUNTER, "tributary_global_damaged_total", "messages",                       \
      "alarm: messages that could not be read; skipped, and healed by totals")                     \
    X(GLOBAL_REFUSED, COUNTER, "tributary_global_refused_total", "items",                          \
      "alarm: messages, names or totals that contradict their sender or themselves")               \
    X(GLOBAL_BAD_SKETCHES, COUNTER, "tributary_global_bad_sketches_total", "rows",                 \
      "alarm: rows whose sketch could not be read")                                                \
    X(GLOBAL_COLLISIONS, COUNTER, "tributary_global_collisions_total", "names",                    \
      "alarm: a second ad id with the hash of a known one")                                        \
    X(GLOBAL_PROOFS, COUNTER, "tributary_global_position_proofs_total", "proofs",                  \
      "times that a position was held against its stream")                                         \
    X(GLOBAL_PROOFS_FAILED, COUNTER, "tributary_global_position_proofs_failed_total", "proofs",    \
      "alarm: the stream no longer held the message at the position; it was read again from its "  \
      "start")                                                                                     \
    X(GLOBAL_GAPS, COUNTER, "tributary_global_gaps_total", "gaps",                                 \
      "alarm: sequence numbers that the stream no longer holds")                                   \
    X(GLOBAL_TOTALS, COUNTER, "tributary_global_totals_total", "totals",                           \
      "announced totals judged")                                                                   \
    X(GLOBAL_MISMATCHES, COUNTER, "tributary_global_mismatches_total", "totals",                   \
      "announced totals that differed from the books; the minute is asked for")                    \
    X(GLOBAL_TOTALS_EQUAL, COUNTER, "tributary_global_totals_equal_total", "totals",               \
      "totals of a minute that equal what another replica said last, digest included")             \
    X(GLOBAL_DIVERGENCES, COUNTER, "tributary_global_divergences_total", "totals",                 \
      "alarm: totals of a minute that contradict another replica's; the log names both")           \
    X(GLOBAL_WANTS, COUNTER, "tributary_global_wants_sent_total", "messages",                      \
      "questions to replicas for whole minutes or names")                                          \
    X(GLOBAL_COMPLETED, COUNTER, "tributary_global_minute_windows_completed_total", "minutes",     \
      "minutes of a region's partition that became complete")                                      \
    X(GLOBAL_GIVEN_UP, COUNTER, "tributary_global_minute_windows_given_up_total", "minutes",       \
      "alarm: minutes that left every horizon before they were complete")                          \
    X(GLOBAL_MINUTES_WANTED, GAUGE, "tributary_global_minute_windows_wanted", "minutes",           \
      "minutes that are incomplete or differ, and are being asked for")                            \
    X(GLOBAL_MINUTES_HELD, GAUGE, "tributary_global_minute_windows_held", "minutes",               \
      "minutes that are not complete because a known edge is missing")                             \
    X(GLOBAL_NAMES_WANTED, GAUGE, "tributary_global_names_wanted", "ads",                          \
      "ads whose name is not known")                                                               \
    X(GLOBAL_STORE_USED, GAUGE, "tributary_global_store_used_bytes", "bytes",                      \
      "live pages of the store")                                                                   \
    X(GLOBAL_STORE_SIZE, GAUGE, "tributary_global_store_size_bytes", "bytes",                      \
      "size of the store's map")                                                                   \
    X(GLOBAL_STORE_DISK_FREE, GAUGE, "tributary_global_store_disk_free_bytes", "bytes",            \
      "that the file system of the store has left for us")                                         \
    X(GLOBAL_CERTIFICATE_END, GAUGE, "tributary_global_certificate_expiry_timestamp_seconds",      \
      "Unix seconds", "when the certificate ends")                                                 \
    X(GLOBAL_RELOADS, COUNTER, "tributary_global_reloads_total", "reloads",                        \
      "on SIGHUP: tokens and certificate were read again")                                         \
    X(GLOBAL_RELOADS_FAILED, COUNTER, "tributary_global_reload_failures_total", "reloads",         \
      "alarm: tokens or certificate could not be read again; what was in use still is")            \
    X(GLOBAL_TOKENS_STALE, GAUGE, "tributary_global_tokens_stale", "",                             \
      "1: the file of tokens cannot be read; revoked tokens in it still hold")                     \
    X(GLOBAL_QUERIES_OK, COUNTER, "tributary_global_queries_ok_total", "requests",                 \
      "queries answered")                                                                          \
    X(GLOBAL_QUERIES_REFUSED, COUNTER, "tributary_global_queries_refused_total", "requests",       \
      "queries answered with a 4xx problem")                                                       \
    X(GLOBAL_QUERIES_FAILED, COUNTER, "tributary_global_queries_failed_total", "requests",         \
      "queries answered with a 5xx problem")                                                       \
    X(GLOBAL_QUERIES_UNAUTHORIZED, COUNTER, "tributary_global_queries_unauthorized_total",         \
      "requests", "queries without a token that holds, or beyond its scope (also refused)")        \
    X(GLOBAL_QUERIES_LIMITED, COUNTER, "tributary_global_queries_limited_total", "requests",       \
      "queries over the rate of their token (also refused)")                                       \
    X(GLOBAL_READS_UNLOGGED, COUNTER, "tributary_global_reads_unlogged_total", "requests",         \
      "alarm: billing reads that were refused because their line could not be written")            \
    X(GLOBAL_NOT_MODIFIED, COUNTER, "tributary_global_not_modified_total", "requests",             \
      "queries answered with 304: the client has the answer already (also ok)")                    \
    X(GLOBAL_ANSWERS_PACKED, COUNTER, "tributary_global_answers_packed_total", "requests",         \
      "answers sent in gzip or zstd")                                                              \
    X(GLOBAL_QUERY_POINTS, COUNTER, "tributary_global_query_points_total", "points",               \
      "points in answered queries")                                                                \
    X(GLOBAL_STREAMS_OPEN, GAUGE, "tributary_global_streams_open", "streams",                      \
      "answers of /v1/stream that go on now; at most `streams`")                                   \
    X(GLOBAL_STREAMS, COUNTER, "tributary_global_streams_total", "streams",                        \
      "answers of /v1/stream begun")                                                               \
    X(GLOBAL_STREAMS_REFUSED, COUNTER, "tributary_global_streams_refused_total", "requests",       \
      "streams over `streams` (503) or `token_streams` (429)")                                     \
    X(GLOBAL_STREAM_EVENTS, COUNTER, "tributary_global_stream_events_total", "events",             \
      "events sent to streams")                                                                    \
    X(GLOBAL_STREAM_SKIPPED, COUNTER, "tributary_global_stream_events_skipped_total", "events",    \
      "events that a slow reader did not take; the next one makes up for them")

enum global_metric {
#define GLOBAL_METRIC_ID(id, kind, name, unit, help) id,
    GLOBAL_METRICS(GLOBAL_METRIC_ID)
#undef GLOBAL_METRIC_ID
        GLOBAL_METRIC_COUNT
};

extern const struct metric_row global_metric_rows[GLOBAL_METRIC_COUNT];
