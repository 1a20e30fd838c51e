/* SPDX-License-Identifier: Apache-2.0
 * edge_answers: the bodies that the edge answers with, written into buffers.
 * Audience: edge shell, tests. Pure. */
#pragma once

#include "common/base/bytes.h"
#include "edge/core/admit.h"

enum edge_durability { EDGE_SPOOLED, EDGE_REPLICATED };

/* What an answer is made of; `outcome` is also what metrics count. */
enum edge_outcome {
    EDGE_OUTCOME_NONE, /* no answer yet */
    EDGE_OUTCOME_ACCEPTED,
    EDGE_OUTCOME_HOME,
    EDGE_OUTCOME_REFUSED,     /* 4xx: this input, never */
    EDGE_OUTCOME_UNAVAILABLE, /* 503: later, with the same input */
    EDGE_OUTCOME_PREFLIGHT,   /* 204 */
};

struct edge_answer {
    enum edge_outcome outcome;
    enum edge_durability durability; /* of ACCEPTED */
    unsigned status;
    const char *content_type;
    unsigned retry_after_s; /* 0: none */
    const char *allow;      /* NULL: none */
    uint32_t max_age_s;     /* of a preflight */
    struct buf body;
};

/* Appends {"index":0,"status":"accepted","home":"us"} to a list. */
void edge_answers_put_accepted(struct buf *list, uint32_t index, const char *home);
/* Appends {"index":3,"field":"timestamp","error":"wrong_kind","detail":"..."}; with_status adds
 * "status":"refused". */
void edge_answers_put_refused(struct buf *list, uint32_t index, const struct admit_verdict *verdict,
                              const struct click_json_click *scanned, bool with_status);

struct edge_tally {
    uint64_t accepted, refused;
    const char *home;
    bool all_listed;     /* `list` holds a result for each click, in order; else refusals alone */
    bool list_truncated; /* not every refusal is in the list */
    struct span list;    /* without its brackets */
};

/* 202. */
void edge_answers_accepted(struct edge_answer *out, const struct edge_tally *tally,
                           enum edge_durability durability);
/* RFC 9457 document; *out is overwritten. */
void edge_answers_problem(struct edge_answer *out, unsigned status, const char *token,
                          const char *title, const char *detail, unsigned retry_after_s);
/* 400: not one click could be taken. */
void edge_answers_all_refused(struct edge_answer *out, const struct edge_tally *tally,
                              const char *detail);
/* {"home":"us"} */
void edge_answers_home(struct edge_answer *out, const char *home);
void edge_answers_done(struct edge_answer *a);
