/* SPDX-License-Identifier: Apache-2.0
 * divergence: do two replicas of one partition tell different stories of one minute?
 * Audience: global core, drivers, tests. Pure. One thread at a time per object.
 *
 * All replicas fold one stream, and counts only grow: so the totals of a minute that they announce
 * are points of one line, each at the time of the stream up to which its replica had read. Two
 * points that cannot lie on one line show that a replica is wrong, or that it has read messages
 * which the stream lost afterwards: neither heals by itself, and the maximum of both is billed.
 * Source: design 2.5, 2.6.
 *
 * It is a watch, not a proof of equality: the last claims of two replicas are kept for each minute,
 * in a table of fixed size in which minutes may push each other out. Replicas tell every minute of
 * the horizon again in turn, so what differs for good is met sooner or later. */
#pragma once

#include "common/base/limits.h"
#include "proto/partial.h"

#define DIVERGENCE_MINUTES 8192u
/* Servers that lead a stream one after the other may disagree on the time so much. */
#define DIVERGENCE_MARGIN_MS 5000u

struct divergence_claim {
    uint16_t region, partition;
    char replica[LIMIT_READER_NAME_BYTES + 1]; /* "": none */
    uint64_t since_ms;                         /* stream time at which it said so first */
    uint64_t stream_ms;                        /* and last */
    struct partial_total total;
};

struct divergence {
    struct divergence_claim claims[DIVERGENCE_MINUTES][2];
};

enum divergence_verdict {
    DIVERGENCE_ALONE,       /* nothing of another replica to hold it against */
    DIVERGENCE_EQUAL,       /* another one said just the same */
    DIVERGENCE_BEHIND,      /* one of them has read further */
    DIVERGENCE_CONTRADICTS, /* *out_other is the other claim */
};

/* Keeps what this partial says of a minute, and holds it against what another replica said last. */
enum divergence_verdict divergence_take(struct divergence *d, uint16_t region,
                                        const struct partial *p, const struct partial_total *total,
                                        struct divergence_claim *out_other);
