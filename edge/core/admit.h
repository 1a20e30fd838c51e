/* SPDX-License-Identifier: Apache-2.0
 * admit: is this scanned click to be counted, under which key, and where does it go?
 * Audience: edge, tests. Pure: time and connection are arguments. Source: design 2.3, 3.2. */
#pragma once

#include "proto/click.h"
#include "proto/click_json.h"
#include "proto/partition_map.h"

struct admit_rules {
    const uint8_t *secret; /* HASH_KEY_BYTES, shared by the fleet */
    const char (*regions)[LIMIT_REGION_NAME_BYTES + 1];
    uint32_t region_count;
    uint32_t own_region;                /* index: home of a click that names none */
    uint32_t partitions;                /* lines that the edge has */
    const struct partition_turn *turns; /* each region's; NULL: `partitions` for all minutes */
    uint64_t horizon_ms;                /* older than this is refused */
};

struct admit_request {
    uint64_t now_ms;             /* edge wall clock when the request was read */
    struct span peer_ip;         /* fills a missing ip_address */
    struct span user_agent;      /* request header; fills a missing user_agent; may be empty */
    struct span idempotency_key; /* empty: none */
};

enum admit_fault {
    ADMIT_OK,
    ADMIT_SCAN,         /* see click_json fault */
    ADMIT_FUTURE,       /* timestamp more than LIMIT_FUTURE_MS ahead */
    ADMIT_TOO_OLD,      /* timestamp older than the dedupe horizon */
    ADMIT_HOME_UNKNOWN, /* home names no region we know */
    ADMIT_IP_INVALID,   /* ip_address is no IPv4 or IPv6 address in text form */
    ADMIT_FAULTS
};

struct admit_verdict {
    enum admit_fault fault;
    enum click_json_fault scan; /* for ADMIT_SCAN */
    const char *field;          /* static; NULL where none */
    uint32_t home;              /* region index */
    uint16_t partition;
    struct click click; /* spans borrow from the scan and from the request */
};

/* Judges one scanned click. The key is made from what the client sent, never from what was filled
 * in: click_id, else Idempotency-Key (with the index in the batch), else the five fields as sent.
 * An absent and an empty optional field differ in the key. */
void admit_click(const struct admit_rules *rules, const struct admit_request *request,
                 const struct click_json_click *scanned, struct admit_verdict *out);

/* One sentence for a person, e.g. "timestamp: must be a number, not a string". Writes at most size
 * bytes. */
void admit_explain(const struct admit_verdict *verdict, const struct click_json_click *scanned,
                   char *out, size_t size);
/* Stable token for programs, e.g. "timestamp_in_future". */
const char *admit_token(const struct admit_verdict *verdict);
