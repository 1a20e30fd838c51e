/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/edge_http.h"

#include "common/run/h2_server.h"
#include "edge/edge_http_body.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define REFUSALS_LISTED_MAX 100
#define RETRY_AFTER_S       1

/* Jobs kept for the next requests. None under AddressSanitizer, which should see every use after
 * the end. */
#ifdef __SANITIZE_ADDRESS__
#define SPARE_JOBS 0
#else
#define SPARE_JOBS 1024
#endif
#define SPARE_BYTES 1024

static const char clicks_path[] = "/v1/clicks";
static const char home_path[] = "/v1/home";

static void problem(struct edge_job *job, unsigned status, const char *token, const char *title,
                    const char *detail)
{
    edge_answers_problem(&job->answer, status, token, title, detail, 0);
}

void edge_job_spool_full(struct edge_job *job)
{
    edge_answers_problem(&job->answer, 503, "spool_full", "Spool full",
                         "The clicks were not stored, because the edge's spool is full. Send the "
                         "same request again later.",
                         RETRY_AFTER_S);
}

void edge_job_overloaded(struct edge_job *job)
{
    edge_answers_problem(&job->answer, 503, "overloaded", "Overloaded",
                         "The clicks were not stored, because too many wait already. Send the same "
                         "request again later.",
                         RETRY_AFTER_S);
}

void edge_job_not_replicated(struct edge_job *job)
{
    edge_answers_problem(&job->answer, 503, "durability_not_reached", "Durability not reached",
                         "The clicks are in the edge's spool, but the region did not confirm them "
                         "in time. Sending the same request again is safe: a click with the same "
                         "identity is counted once.",
                         RETRY_AFTER_S);
}

static struct edge_tally tally_of(const struct edge_job *job)
{
    return (struct edge_tally){
        .accepted = job->item_count,
        .refused = job->refused_count,
        .home = job->home,
        .all_listed = job->want_results,
        .list_truncated = !job->want_results && job->refused_count > job->listed_count,
        .list = buf_span(&job->list),
    };
}

void edge_job_accepted(struct edge_job *job, enum edge_durability durability)
{
    struct edge_tally tally = tally_of(job);
    edge_answers_accepted(&job->answer, &tally, durability);
}

/* -- header fields ------------------------------------------------------------------------- */

/* The media type before any parameter is exactly `type` (RFC 9110, 8.3.1: case does not matter). */
static bool media_type_is(const char *value, const char *type)
{
    size_t length = strcspn(value, "; ");
    return length == strlen(type) && strncasecmp(value, type, length) == 0;
}

static bool read_format(struct edge_job *job, const struct edge_http_rules *rules,
                        enum click_json_format *out)
{
    const struct h2_request *r = job->request;
    const char *type = h2_header(r, "content-type");

    bool once = type != NULL && !h2_header_repeated(r, "content-type");
    if (once && media_type_is(type, "application/json")) {
        *out = CLICK_JSON_DOCUMENT;
    } else if (once && media_type_is(type, "application/x-ndjson")) {
        *out = CLICK_JSON_LINES;
    } else if (once && media_type_is(type, "text/plain")) {
        *out = CLICK_JSON_BEACON;
    } else {
        problem(job, 415, "content_type_unknown", "Content type not supported",
                "content-type must be application/json, application/x-ndjson or text/plain.");
        return false;
    }
    return edge_http_body_coding(job, rules);
}

static bool read_idempotency_key(struct edge_job *job, struct span *out)
{
    const char *key = h2_header(job->request, "idempotency-key");
    *out = (struct span){NULL, 0};
    if (key == NULL)
        return true;

    bool valid = !h2_header_repeated(job->request, "idempotency-key");
    size_t length = strlen(key);
    for (size_t i = 0; i < length; i++)
        valid = valid && key[i] > ' ' && key[i] < 0x7f;
    if (!valid || length == 0 || length > LIMIT_ID_BYTES) {
        problem(job, 400, "idempotency_key_invalid", "Idempotency-Key not valid",
                "idempotency-key must occur once and hold 1 to 128 visible ASCII characters.");
        return false;
    }
    *out = span_of(key, length);
    return true;
}

static bool token_is(const char *at, size_t length, const char *token)
{
    return length == strlen(token) && strncasecmp(at, token, length) == 0;
}

/* RFC 7240: a list, perhaps over several fields; what we do not know is ignored. */
static void read_preferences(struct edge_job *job)
{
    const struct h2_request *r = job->request;
    for (size_t i = 0; i < r->header_count; i++) {
        if (strcmp(r->headers[i].name, "prefer") != 0)
            continue;
        for (const char *at = r->headers[i].value; *at != '\0';) {
            at += strspn(at, ", ");
            size_t length = strcspn(at, ",; ");
            if (token_is(at, length, "durability=replicated"))
                job->want_replicated = true;
            else if (token_is(at, length, "return=representation"))
                job->want_results = true;
            at += strcspn(at, ",");
        }
    }
}

/* -- clicks -------------------------------------------------------------------------------- */

static void add_item(struct edge_job *job, const struct admit_verdict *verdict)
{
    if (job->item_count == job->item_capacity) {
        bool first_growth = job->items == &job->only_item;
        job->item_capacity *= 4;
        job->items = base_realloc(first_growth ? NULL : job->items,
                                  job->item_capacity * sizeof(*job->items));
        if (first_growth)
            job->items[0] = job->only_item;
    }
    job->items[job->item_count++] = (struct edge_item){
        .click = verdict->click, .home = verdict->home, .partition = verdict->partition};
}

static void count_refused(struct edge_refused *refused, const struct admit_verdict *verdict)
{
    _Atomic uint64_t *counter = verdict->fault == ADMIT_SCAN ? &refused->scan[verdict->scan]
                                                             : &refused->admit[verdict->fault];
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void add_refusal(struct edge_job *job, const struct admit_verdict *verdict,
                        const struct click_json_click *scanned)
{
    if (job->refused_count++ == 0)
        admit_explain(verdict, scanned, job->first_detail, sizeof(job->first_detail));
    if (!job->want_results && job->listed_count == REFUSALS_LISTED_MAX)
        return;
    job->listed_count++;
    edge_answers_put_refused(&job->list, scanned->index, verdict, scanned, job->want_results);
}

/* False where the batch is longer than allowed. */
static bool judge_clicks(struct edge_job *job, const struct edge_http_rules *rules,
                         struct edge_refused *refused, const struct admit_request *request)
{
    struct click_json_click scanned;
    struct admit_verdict verdict;

    while (click_json_next(job->scan, &scanned)) {
        if (++job->click_count > rules->batch_clicks_max)
            return false;
        admit_click(&rules->admit, request, &scanned, &verdict);
        if (verdict.fault == ADMIT_OK) {
            add_item(job, &verdict);
            if (job->want_results)
                edge_answers_put_accepted(&job->list, scanned.index,
                                          rules->admit.regions[verdict.home]);
        } else {
            count_refused(refused, &verdict);
            add_refusal(job, &verdict, &scanned);
        }
    }
    return true;
}

static bool check_body(struct edge_job *job)
{
    size_t offset = 0;
    char detail[256];
    enum click_json_fault fault = click_json_body_fault(job->scan, &offset);

    if (fault == CLICK_JSON_OK)
        return true;
    (void)snprintf(detail, sizeof(detail), "The body %s, at byte offset %zu. Nothing was stored.",
                   click_json_fault_words(fault), offset);
    bool unreadable =
        fault == CLICK_JSON_SYNTAX || fault == CLICK_JSON_UTF8 || fault == CLICK_JSON_DEPTH;
    CHECK(unreadable || fault == CLICK_JSON_NOT_OBJECT);
    problem(job, 400, unreadable ? "invalid_json" : "not_object", "Body not readable", detail);
    return false;
}

/* Whole requests are refused before a single click is kept: all or nothing, so that "not stored" is
 * definite. */
static void judge(struct edge_job *job, const struct edge_http_rules *rules,
                  struct edge_refused *refused, const struct admit_request *request)
{
    char detail[128];
    bool in_limit = judge_clicks(job, rules, refused, request);

    if (!in_limit) {
        (void)snprintf(detail, sizeof(detail),
                       "A request may carry at most %u clicks. Nothing was stored.",
                       rules->batch_clicks_max);
        problem(job, 413, "batch_too_large", "Batch too large", detail);
    } else if (!check_body(job)) {
        return;
    } else if (job->click_count == 0) {
        problem(job, 400, "batch_empty", "No clicks", "The body holds no click.");
    } else if (job->item_count == 0) {
        struct edge_tally tally = tally_of(job);
        edge_answers_all_refused(&job->answer, &tally, job->first_detail);
    } else {
        job->home =
            rules->admit
                .regions[job->click_count == 1 ? job->items[0].home : rules->admit.own_region];
    }
}

static void post_clicks(struct edge_job *job, const struct edge_http_rules *rules,
                        struct edge_refused *refused, enum edge_gate gate, uint64_t now_ms)
{
    const struct h2_request *r = job->request;
    struct admit_request request = {.now_ms = now_ms, .peer_ip = span_of_text(r->peer_ip)};
    const char *agent = h2_header(r, "user-agent");
    enum click_json_format format;
    struct span body;

    if (!read_format(job, rules, &format) || !read_idempotency_key(job, &request.idempotency_key))
        return;
    if (gate != EDGE_GATE_OPEN) {
        if (gate == EDGE_GATE_SPOOL_FULL)
            edge_job_spool_full(job);
        else
            edge_job_overloaded(job);
        return;
    }
    if (agent != NULL)
        request.user_agent = span_of_text(agent);
    read_preferences(job);
    if (!edge_http_body_read(job, rules, &body))
        return;
    job->scan = click_json_new(body, format);
    judge(job, rules, refused, &request);
}

/* -- jobs ---------------------------------------------------------------------------------- */

static bool method_is(const struct edge_job *job, const char *method)
{
    return strcmp(job->request->method, method) == 0;
}

static void wrong_method(struct edge_job *job, const char *allow)
{
    char detail[64];
    (void)snprintf(detail, sizeof(detail), "This path takes %s.", allow);
    problem(job, 405, "method_not_allowed", "Method not allowed", detail);
    job->answer.allow = allow;
}

static void read_origin(struct edge_job *job, const struct edge_cors *cors)
{
    const char *origin = h2_header(job->request, "origin");

    if (cors->origin_count == 0)
        return;
    job->vary_origin = strcmp(cors->origins[0], "*") != 0;
    if (origin == NULL || h2_header_repeated(job->request, "origin"))
        return;
    if (!job->vary_origin)
        job->allow_origin = "*";
    for (uint32_t i = 0; job->allow_origin == NULL && i < cors->origin_count; i++)
        if (strcmp(origin, cors->origins[i]) == 0)
            job->allow_origin = cors->origins[i];
}

/* A browser that is not allowed gets an answer without the fields that it looks for. */
static void preflight(struct edge_job *job, const struct edge_cors *cors)
{
    job->answer.outcome = EDGE_OUTCOME_PREFLIGHT;
    job->answer.status = 204;
    job->answer.max_age_s = cors->max_age_s;
}

static struct edge_job *job_take(struct edge_job_pool *pool)
{
    struct edge_job *job;
    if (pool != NULL && pool->spare != NULL) {
        job = pool->spare;
        pool->spare = job->next;
        pool->count--;
        struct buf list = job->list, body = job->answer.body;
        memset(job, 0, offsetof(struct edge_job, first_detail));
        job->list = list;
        job->answer.body = body;
    } else {
        job = base_zalloc(1, sizeof(*job));
    }
    job->pool = pool;
    job->items = &job->only_item;
    job->item_capacity = 1;
    return job;
}

struct edge_job *edge_job_new(const struct edge_http_rules *rules, struct edge_refused *refused,
                              struct h2_request *request, enum edge_gate gate, uint64_t now_ms)
{
    struct edge_job *job = job_take(rules->pool);
    const char *own = rules->admit.regions[rules->admit.own_region];

    job->request = request;
    job->home = own;
    read_origin(job, &rules->cors);
    bool asks_first = rules->cors.origin_count > 0 && method_is(job, "OPTIONS");
    if (strcmp(request->path, clicks_path) == 0) {
        if (asks_first)
            preflight(job, &rules->cors);
        else if (method_is(job, "POST"))
            post_clicks(job, rules, refused, gate, now_ms);
        else
            wrong_method(job, "POST");
    } else if (strcmp(request->path, home_path) == 0) {
        if (asks_first)
            preflight(job, &rules->cors);
        else if (method_is(job, "GET") || method_is(job, "HEAD"))
            edge_answers_home(&job->answer, own);
        else
            wrong_method(job, "GET, HEAD");
    } else {
        problem(job, 404, "path_unknown", "Not found",
                "Clicks go to POST /v1/clicks; GET /v1/home tells the home region.");
    }
    return job;
}

void edge_job_release(struct edge_job *job)
{
    click_json_free(job->scan);
    job->scan = NULL;
    buf_done(&job->unpacked);
    if (job->items != &job->only_item)
        free(job->items);
    job->items = NULL;
}

static void job_destroy(struct edge_job *job)
{
    buf_done(&job->list);
    edge_answers_done(&job->answer);
    free(job);
}

void edge_job_pool_done(struct edge_job_pool *pool)
{
    while (pool->spare != NULL) {
        struct edge_job *job = pool->spare;
        pool->spare = job->next;
        job_destroy(job);
    }
    pool->count = 0;
}

void edge_job_free(struct edge_job *job)
{
    if (job == NULL)
        return;
    edge_job_release(job);
    if (job->marks != &job->only_mark)
        free(job->marks);
    struct edge_job_pool *pool = job->pool;
    bool small = job->list.capacity + job->answer.body.capacity <= SPARE_BYTES;
    if (pool == NULL || !small || pool->count == SPARE_JOBS) {
        job_destroy(job);
        return;
    }
    buf_clear(&job->list);
    buf_clear(&job->answer.body);
    job->next = pool->spare;
    pool->spare = job;
    pool->count++;
}
