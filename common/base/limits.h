/* SPDX-License-Identifier: Apache-2.0
 * limits: every bound of the system on one page, with the asserts between them.
 * Audience: everyone. Pure.
 * A bound that an operator may change is a default here and an option of its tier. */
#pragma once

#include "common/base/base.h"

/* Names. All names are [a-z0-9-], start with a letter; lengths without the NUL. */
#define LIMIT_REGION_NAME_BYTES 15
#define LIMIT_EDGE_NAME_BYTES   31
#define LIMIT_READER_NAME_BYTES 31
#define LIMIT_REGIONS           16
#define LIMIT_PARTITIONS        1024
#define LIMIT_READERS           8
#define LIMIT_EDGES             4096

/* A click as clients send it. */
#define LIMIT_ID_BYTES              128 /* ad_id, user_id, click_id, Idempotency-Key */
#define LIMIT_IP_TEXT_BYTES         45  /* RFC 4291 text form with an embedded IPv4 */
#define LIMIT_USER_AGENT_BYTES      512
#define LIMIT_FUTURE_MS             (5 * 60 * 1000ULL)
#define LIMIT_TIMESTAMP_SECONDS_MAX 100000000000ULL    /* from 10^11 up: milliseconds */
#define LIMIT_TIMESTAMP_MS_MAX      253402300799999ULL /* 9999-12-31T23:59:59.999Z */
/* Row form of one click in the spool: three ids, address, agent, fixed fields and lengths. */
#define LIMIT_CLICK_ROW_BYTES                                                                      \
    (3 * LIMIT_ID_BYTES + LIMIT_IP_TEXT_BYTES + LIMIT_USER_AGENT_BYTES + 128)
#define LIMIT_JSON_DEPTH   32
#define LIMIT_BATCH_CLICKS 10000
#define LIMIT_BODY_BYTES   (8 * 1024 * 1024)
#define LIMIT_CLICK_BYTES  16384 /* JSON text of one click, unknown keys included */

/* Segments. */
#define LIMIT_SEGMENT_CLICKS       4096
#define LIMIT_SEGMENT_COLUMN_BYTES (8 * 1024 * 1024) /* one column frame, unpacked */
#define LIMIT_MESSAGE_BYTES        (1024 * 1024)     /* NATS default max_payload */
#define LIMIT_OLDER_EPOCHS         64

/* Partials. */
#define LIMIT_PARTIAL_ROWS         65536
#define LIMIT_PARTIAL_TOTALS       4096
#define LIMIT_PARTIAL_MISSING      64
#define LIMIT_PARTIAL_COLUMN_BYTES (64 * 1024 * 1024)
#define LIMIT_WANT_MINUTES         1440

/* The fold. */
#define LIMIT_HORIZON_MINUTES (7 * 24 * 60)
#define LIMIT_SILENT_MS       (90 * 1000ULL)

/* Queries. */
#define LIMIT_QUERY_POINTS  10080 /* a week of minutes; rows of one answer */
#define LIMIT_QUERY_BYTES   4096
#define LIMIT_QUERY_ADS     64               /* of one answer */
#define LIMIT_QUERY_WINDOWS (2 * 366 * 1440) /* of one range that is read in pages */
/* The same by a zone's clocks: each window's edge is looked for, and a page looks for all. */
#define LIMIT_QUERY_LOCAL_WINDOWS (2 * 366 * 24)
#define LIMIT_STREAM_ADS          8   /* of one stream */
#define LIMIT_STREAM_MINUTES      180 /* back from now */

_Static_assert(LIMIT_SEGMENT_CLICKS <= LIMIT_BATCH_CLICKS, "a batch may span segments");
_Static_assert(LIMIT_CLICK_BYTES <= LIMIT_BODY_BYTES, "one click fits one body");
_Static_assert(LIMIT_SEGMENT_COLUMN_BYTES / LIMIT_SEGMENT_CLICKS >=
                   3 * LIMIT_ID_BYTES + LIMIT_IP_TEXT_BYTES + LIMIT_USER_AGENT_BYTES + 64,
               "a full segment fits its frame");
