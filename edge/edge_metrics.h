/* SPDX-License-Identifier: Apache-2.0
 * edge_metrics: the one table of the edge's counters and gauges. Labelled lines are in
 * edge_threads_report.c. Audience: edge shell. */
#pragma once

#include "common/run/metrics.h"

#define EDGE_METRICS(X)                                                                            \
    X(EDGE_BODY_BYTES, COUNTER, "body_bytes_total", "bytes", "request bodies to /v1/clicks")       \
    X(EDGE_CLICKS_ACCEPTED, COUNTER, "clicks_accepted_total", "clicks", "numbered and durable")    \
    X(EDGE_CLICKS_REFUSED, COUNTER, "clicks_refused_total", "clicks",                              \
      "refused one by one; the reasons are in clicks_refused_by_error_total")                      \
    X(EDGE_COMMITS, COUNTER, "commits_total", "", "group commits that succeeded")                  \
    X(EDGE_COMMITS_FULL, COUNTER, "commits_full_total", "",                                        \
      "group commits refused by a full spool")                                                     \
    X(EDGE_ANSWERED_ACCEPTED, COUNTER, "answers_accepted_total", "answers", "202")                 \
    X(EDGE_ANSWERED_HOME, COUNTER, "answers_home_total", "answers", "200 of /v1/home")             \
    X(EDGE_ANSWERED_REFUSED, COUNTER, "answers_refused_total", "answers", "4xx")                   \
    X(EDGE_ANSWERED_UNAVAILABLE, COUNTER, "answers_unavailable_total", "answers", "503")           \
    X(EDGE_ANSWERED_PREFLIGHT, COUNTER, "answers_preflight_total", "answers", "204 to OPTIONS")    \
    X(EDGE_ANSWERED_REPLICATED, COUNTER, "answers_replicated_total", "answers",                    \
      "202 after the region's quorum had the clicks")                                              \
    X(EDGE_ANSWERED_SPOOLED, COUNTER, "answers_spooled_total", "answers",                          \
      "202 on the spool alone")                                                                    \
    X(EDGE_NOT_REPLICATED, COUNTER, "durability_not_reached_total", "answers",                     \
      "503 to Prefer: durability=replicated")                                                      \
    X(EDGE_SPOOL_FULL, COUNTER, "spool_full_total", "answers", "503 because the spool was full")   \
    X(EDGE_OVERLOADED, COUNTER, "overloaded_total", "answers",                                     \
      "503 because the queue was full, or late (limits.queue_ms)")                                 \
    X(EDGE_CANCELLED, COUNTER, "cancelled_total", "answers", "whose client had gone")              \
    X(EDGE_QUEUE_CLICKS, GAUGE, "queue_clicks", "clicks", "waiting for the committer")             \
    X(EDGE_SPOOL_USED, GAUGE, "spool_used_bytes", "bytes", "pages of the spool in use")            \
    X(EDGE_SPOOL_MAP, GAUGE, "spool_map_bytes", "bytes", "size of the spool")                      \
    X(EDGE_SPOOL_ROOM, GAUGE, "spool_room_bytes", "bytes",                                         \
      "size that the spool can have on its disk: spool_map_bytes, or less")                        \
    X(EDGE_SPOOL_DISK_FREE, GAUGE, "spool_disk_free_bytes", "bytes",                               \
      "that the file system of the spool has left for us")                                         \
    X(EDGE_CERTIFICATE_END, GAUGE, "certificate_expiry_timestamp_seconds", "Unix seconds",         \
      "when the certificate ends")                                                                 \
    X(EDGE_NUMBERED, COUNTER, "numbered_total", "clicks", "numbers given by this process")         \
    X(EDGE_IN_FLIGHT, GAUGE, "in_flight", "numbers",                                               \
      "in the spool, not yet consumed by every reader, all epochs")                                \
    X(EDGE_PUBLISHED, COUNTER, "segments_published_total", "messages", "segments sent")            \
    X(EDGE_SEGMENT_BYTES, COUNTER, "segment_bytes_total", "bytes", "of segments sent")             \
    X(EDGE_RESENT, COUNTER, "segments_resent_total", "messages", "segments sent again")            \
    X(EDGE_TIMEOUTS, COUNTER, "publish_timeouts_total", "messages", "segments never answered")     \
    X(EDGE_GAPS, COUNTER, "gaps_total", "", "gaps that readers reported")                          \
    X(EDGE_FLOORS, COUNTER, "floors_heard_total", "messages", "floors messages of readers")        \
    X(EDGE_TRIMMED, COUNTER, "trimmed_total", "numbers", "let go after every reader had them")     \
    X(EDGE_OLDER_LINES, GAUGE, "older_lines", "lines", "of older epochs, still draining")          \
    X(EDGE_RELOADS, COUNTER, "reloads_total", "", "reloads of configuration and certificate")      \
    X(EDGE_RELOADS_FAILED, COUNTER, "reload_failures_total", "",                                   \
      "reloads that changed nothing, because something new was wrong")                             \
    X(EDGE_H2_CONNECTIONS, COUNTER, "h2_connections_total", "", "accepted connections")            \
    X(EDGE_H2_OPEN, GAUGE, "h2_connections_open", "", "connections open now")                      \
    X(EDGE_H2_REFUSED, COUNTER, "h2_connections_refused_total", "", "over limits.connections")     \
    X(EDGE_H2_PEER_MANY, COUNTER, "h2_peer_connections_refused_total", "",                         \
      "over limits.peer_connections")                                                              \
    X(EDGE_H2_PEER_FAST, COUNTER, "h2_peer_connects_refused_total", "",                            \
      "connections over limits.peer_connects_per_s")                                               \
    X(EDGE_H2_PEER_REQUESTS, COUNTER, "h2_peer_requests_refused_total", "",                        \
      "requests over limits.peer_requests_per_s: 429")                                             \
    X(EDGE_H2_PEERS, GAUGE, "h2_peers", "addresses",                                               \
      "client addresses that are remembered for these limits")                                     \
    X(EDGE_H2_DESCRIPTORS, COUNTER, "h2_descriptors_exhausted_total", "",                          \
      "connections closed because the process had no descriptor left")                             \
    X(EDGE_H2_REQUESTS, COUNTER, "h2_requests_total", "", "whole requests")                        \
    X(EDGE_H2_RESPONSES, COUNTER, "h2_responses_total", "", "answers handed to connections")       \
    X(EDGE_H2_HANDSHAKES_FAILED, COUNTER, "h2_handshake_failures_total", "", "TLS or ALPN")        \
    X(EDGE_TLS_1_2, COUNTER, "tls_1_2_total", "", "handshakes to TLS 1.2")                         \
    X(EDGE_TLS_1_3, COUNTER, "tls_1_3_total", "", "handshakes to TLS 1.3")                         \
    X(EDGE_TLS_RESUMED, COUNTER, "tls_resumed_total", "", "of them, by a session ticket")          \
    X(EDGE_TLS_FAILED, COUNTER, "tls_failed_total", "",                                            \
      "handshakes that TLS itself refused: no common version or cipher, bad record, bad client "   \
      "certificate")                                                                               \
    X(EDGE_TLS_NO_PROTOCOL, COUNTER, "tls_no_protocol_total", "",                                  \
      "handshakes without a common protocol (ALPN)")                                               \
    X(EDGE_TLS_STALLED, COUNTER, "tls_stalled_total", "", "handshakes not done in time")           \
    X(EDGE_TLS_GONE, COUNTER, "tls_gone_total", "", "handshakes that the client left half-way")    \
    X(EDGE_H2_PLAIN, COUNTER, "h2_plain_http_total", "", "plain HTTP on the TLS port")             \
    X(EDGE_H2_ABUSE, COUNTER, "h2_abuse_closed_total", "", "connections over their abuse budget")  \
    X(EDGE_H2_PROXY_FAILURES, COUNTER, "h2_proxy_header_failures_total", "",                       \
      "connections of proxies that began without a PROXY header of version 2")                     \
    X(EDGE_H2_BY_SERVER, COUNTER, "h2_refused_by_server_total", "",                                \
      "requests over header, body or memory limits, or stalled")                                   \
    X(EDGE_H2_STALLED, COUNTER, "h2_stalled_total", "",                                            \
      "time-outs of handshakes, requests, answers")                                                \
    X(EDGE_H2_BYTES_IN, COUNTER, "h2_bytes_in_total", "bytes", "ciphertext read")                  \
    X(EDGE_H2_BYTES_OUT, COUNTER, "h2_bytes_out_total", "bytes", "ciphertext written")

enum edge_metric {
#define EDGE_METRIC_ENUM(id, kind, name, unit, help) id,
    EDGE_METRICS(EDGE_METRIC_ENUM)
#undef EDGE_METRIC_ENUM
        EDGE_METRIC_COUNT
};
