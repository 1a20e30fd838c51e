/* SPDX-License-Identifier: Apache-2.0
 * click: one accepted click, as it lies in the spool and travels in segments.
 * Audience: edge, regional, tests. Pure. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/limits.h"

/* Verdict bits of a click; 0 = nothing known against it. Flag, never drop. */
#define CLICK_FLAG_IP_FILLED    0x0001u /* ip_address taken from the connection */
#define CLICK_FLAG_AGENT_FILLED 0x0002u /* user_agent taken from the request */

/* Spans are borrowed: from the request's arena at the edge, from the message elsewhere. */
struct click {
    uint8_t key[HASH_CLICK_BYTES];
    uint32_t minute; /* event minute */
    uint16_t flags;
    uint64_t user_hash;
    uint64_t timestamp_ms;  /* event time */
    uint64_t received_ms;   /* the edge's wall clock */
    struct span ad_id;      /* 1..LIMIT_ID_BYTES, UTF-8 */
    struct span user_id;    /* 1..LIMIT_ID_BYTES, UTF-8 */
    struct span click_id;   /* empty: none was sent */
    struct span ip_address; /* text form */
    struct span user_agent;
};

/* Are all texts within their bounds? What is not can neither be put nor sent (CHECKed there). */
bool click_is_bounded(const struct click *c);

/* Appends the row form used in the spool. */
void click_put(struct buf *out, const struct click *c);

/* Reads one row form; spans point into the input. ERR_TRUNCATED or ERR_LIMIT leave *out alone. */
enum err WARN_UNUSED click_read(struct reader *r, struct click *out);
