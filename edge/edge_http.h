/* SPDX-License-Identifier: Apache-2.0
 * edge_http: what a request to the edge means, and what it is answered with; the HTTP contract of
 * the tier. Audience: edge shell, tests. No I/O, no clock: a request in, items for the spool or an
 * answer out.
 *
 *   POST /v1/clicks   application/json, text/plain: an object or an array; application/x-ndjson:
 * one object a line GET, HEAD /v1/home
 *   OPTIONS of either: preflight, where origins are allowed
 *
 * A job is one request from its arrival to its answer. Its clicks borrow from the request's body,
 * so the request must live until the job is freed or edge_job_release was called. One thread at a
 * time per job. */
#pragma once

#include "common/run/body_decode.h"
#include "edge/edge_answers.h"
#include "edge/edge_pipeline.h"

#include <stdatomic.h>

struct h2_request;

/* Which pages of other origins may send clicks by script (Fetch, CORS protocol). */
struct edge_cors {
    char *const *origins;  /* as browsers send them, "https://shop.example"; a lone "*": all */
    uint32_t origin_count; /* 0: none; the edge then says nothing about it */
    uint32_t max_age_s;    /* how long a browser may remember a preflight */
};

struct edge_http_rules {
    struct admit_rules admit;
    uint32_t batch_clicks_max;
    struct edge_cors cors;
    struct body_decode_limits unpacked; /* bytes_max 0: workers have no decoder */
    struct body_decode *decoder;        /* the worker's own; NULL: identity bodies alone */
    struct edge_job_pool *pool;         /* the worker's own; NULL: every job is allocated */
};

/* Refused clicks by reason; written by any worker. */
struct edge_refused {
    _Atomic uint64_t scan[CLICK_JSON_FAULTS];
    _Atomic uint64_t admit[ADMIT_FAULTS];
};

/* Can clicks be taken at all now? Asked before a body is read. */
enum edge_gate { EDGE_GATE_OPEN, EDGE_GATE_SPOOL_FULL, EDGE_GATE_OVERLOADED };

/* The highest number that a job got on one line. */
struct edge_mark {
    uint64_t number;
    uint32_t home;
    uint16_t partition;
};

/* Ended jobs for the next requests, with their small buffers. One thread: that which makes and
 * frees jobs. */
struct edge_job_pool {
    struct edge_job *spare; /* by next */
    uint32_t count;
};
void edge_job_pool_done(struct edge_job_pool *pool);

struct edge_job {
    struct h2_request *request;
    struct edge_answer answer; /* outcome other than NONE: to be sent */
    struct click_json *scan;
    struct buf unpacked;     /* the body, where it came packed */
    struct edge_item *items; /* to be committed, all or none; at first only_item */
    uint32_t item_count, item_capacity;
    uint32_t click_count, refused_count;
    struct buf list; /* of refusals or results, as JSON */
    uint32_t listed_count;
    bool want_replicated;     /* Prefer: durability=replicated */
    bool want_results;        /* Prefer: return=representation */
    const char *home;         /* as the answer names it */
    const char *allow_origin; /* CORS; NULL: none. The rules' own text */
    bool vary_origin;         /* the answer depends on Origin: caches must know */
    /* the threads' own */
    struct edge_job *next;
    struct edge_mark *marks; /* only_mark, or as many as it takes */
    uint32_t mark_count;
    struct edge_mark only_mark;
    enum err stored;
    uint64_t came_ms, due_ms; /* monotonic: read from its socket, at the latest; deadline */
    void *owner;
    struct edge_job_pool *pool; /* where it came from */
    /* not cleared when a job is used again */
    char first_detail[256]; /* of the first refusal, where there is one */
    struct edge_item only_item;
};

/* Reads and judges a request. Either job->answer is set, or job->items are to be stored. */
struct edge_job *edge_job_new(const struct edge_http_rules *rules, struct edge_refused *refused,
                              struct h2_request *request, enum edge_gate gate, uint64_t now_ms);
/* The clicks are in the spool: their text is not needed any more. */
void edge_job_release(struct edge_job *job);
void edge_job_free(struct edge_job *job);

/* Set job->answer. */
void edge_job_accepted(struct edge_job *job, enum edge_durability durability);
void edge_job_spool_full(struct edge_job *job);
void edge_job_overloaded(struct edge_job *job);
/* Stored here, but the region's quorum did not confirm in time and the client had asked for it. */
void edge_job_not_replicated(struct edge_job *job);
