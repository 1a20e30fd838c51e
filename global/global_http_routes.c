/* SPDX-License-Identifier: Apache-2.0
 * global_http_routes: who may ask what, and the answers: from a request to its bytes. */
#include "global/global_http_inside.h"

#include "common/run/log.h"
#include "common/run/log_line.h"
#include "global/global_metrics.h"

#include <stdio.h>
#include <unistd.h>

/* One request on its way to its answer. */
struct visit {
    struct global_http_worker *w;
    struct h2_request *r;
    struct token *token; /* NULL: the service is open */
};

static void count(struct global_http_worker *w, unsigned status)
{
    enum global_metric id = status < 400   ? GLOBAL_QUERIES_OK
                            : status < 500 ? GLOBAL_QUERIES_REFUSED
                                           : GLOBAL_QUERIES_FAILED;
    metrics_add(w->http->options.metrics, id, 1);
}

static void refuse(struct visit *v, unsigned status, const char *token, const char *title,
                   const char *detail)
{
    count(v->w, status);
    h2_respond_problem(v->r, status, token, title, detail, status == 503 ? 1 : 0);
}

/* A problem with one header more. */
static void refuse_with(struct visit *v, unsigned status, const char *token, const char *title,
                        const char *detail, struct h2_header header)
{
    const struct h2_header headers[] = {
        {"content-type", "application/problem+json"}, {"cache-control", "no-store"}, header};
    count(v->w, status);
    buf_clear(&v->w->body);
    h2_problem_begin(&v->w->body, status, token, title, detail);
    buf_put_u8(&v->w->body, '}');
    h2_respond(v->r, status, headers, countof(headers), buf_span(&v->w->body));
}

/* Counts grow all the time and answers may be of one customer: nothing on the way may keep them. */
static const struct h2_header answer_headers[] = {
    {"content-type", "application/json"},
    {"cache-control", "no-store"},
    {"x-content-type-options", "nosniff"},
};

static void answer(struct visit *v)
{
    count(v->w, 200);
    h2_respond(v->r, 200, answer_headers, countof(answer_headers), buf_span(&v->w->body));
}

static void fail(struct visit *v, enum err err)
{
    log_error("query failed", log_err(err));
    refuse(v, 503, "store_unavailable", "Store unavailable",
           "The store could not be read; nothing is known about the counts. Try again.");
}

static bool parse(struct visit *v, enum query_route route, struct query *out)
{
    struct query_fault fault = {.parameter = ""};
    if (query_parse_for(route, v->r->query, out, &fault))
        return true;
    char detail[256];
    (void)snprintf(detail, sizeof(detail), "%s: %s", fault.parameter, fault.rule);
    refuse(v, 400, "bad_parameter", "Bad query parameter", detail);
    return false;
}

/* A read for billing leaves its line before it is answered, or is not answered. */
static bool note_read(struct visit *v, const struct query *q)
{
    const struct global_http_options *o = &v->w->http->options;
    if (v->token == NULL || q->consistency == QUERY_EVENTUAL)
        return true;
    const struct log_field fields[] = {
        log_text("token", v->token->id),
        log_text("path", v->r->path),
        log_bytes("ad", query_ad(q)),
        log_u64("start", (uint64_t)q->start_minute * 60),
        log_u64("end", (uint64_t)q->end_minute * 60),
        log_text("window", minute_window_name(q->window)),
        log_text("consistency", q->consistency == QUERY_FINAL ? "final" : "complete"),
        log_text("from", v->r->peer_ip),
    };
    if (o->read_log < 0) {
        log_write(LOG_INFO, "read for billing", fields, countof(fields));
        return true;
    }
    struct buf line = {0};
    log_line_put(&line, o->reader.clock->wall_ms(o->reader.clock), LOG_INFO, "tributary-global",
                 "read for billing", fields, countof(fields));
    bool written = write(o->read_log, line.data, line.length) == (ssize_t)line.length;
    buf_done(&line);
    if (written)
        return true;
    metrics_add(o->metrics, GLOBAL_READS_UNLOGGED, 1);
    log_error("the log of reads cannot be written", log_err(ERR_SYSTEM));
    refuse(v, 503, "read_log_unavailable", "Log of reads unavailable",
           "Reads for billing are answered only when they are on record. Try again.");
    return false;
}

static void refuse_incomplete(struct visit *v, const char *window, uint64_t start)
{
    char detail[160];
    (void)snprintf(detail, sizeof(detail),
                   "The window of %s that starts at %llu is not complete yet.", window,
                   (unsigned long long)start);
    refuse(v, 409, "not_complete", "Not complete", detail);
}

static void refuse_unsettled(struct visit *v)
{
    refuse(v, 409, "not_settled", "Not settled", "No day of this range has been settled yet.");
}

/* False, and the request is answered, where not every point is as good as was asked for. */
static bool is_consistent(struct visit *v, const struct query *q, const struct stats_json_answer *a)
{
    if (q->consistency == QUERY_EVENTUAL)
        return true;
    if (q->consistency == QUERY_FINAL) {
        refuse_unsettled(v);
        return false;
    }
    for (size_t i = 0; i < a->point_count; i++) {
        if (a->points[i].complete)
            continue;
        refuse_incomplete(v, a->window, a->points[i].timestamp);
        return false;
    }
    return true;
}

static void on_stats(struct visit *v)
{
    struct query query;
    struct stats_json_answer found;
    if (!parse(v, QUERY_STATS, &query) || !note_read(v, &query))
        return;
    query.foreign = v->token != NULL && !token_may_read(v->token, query_ad(&query));
    enum err err = global_reader_stats(v->w->reader, &query, &found);
    if (err != ERR_OK) {
        fail(v, err);
        return;
    }
    if (!is_consistent(v, &query, &found))
        return;
    metrics_add(v->w->http->options.metrics, GLOBAL_QUERY_POINTS, found.point_count);
    stats_json_put(&v->w->body, &found);
    answer(v);
}

static void on_watermarks(struct visit *v)
{
    struct query query;
    struct stats_json_answer found;
    if (!parse(v, QUERY_NOTHING, &query))
        return;
    enum err err = global_reader_watermarks(v->w->reader, &found);
    if (err != ERR_OK) {
        fail(v, err);
        return;
    }
    stats_json_put_watermarks(&v->w->body, &found);
    answer(v);
}

static bool asker_may_read(const void *context, struct span ad_id)
{
    return token_may_read(context, ad_id);
}

static void on_top(struct visit *v)
{
    struct query query;
    struct stats_json_top top;
    struct stats_json_answer found;
    const struct global_reader_asker asker = {asker_may_read, v->token};
    if (!parse(v, QUERY_TOP, &query) || !note_read(v, &query))
        return;
    if (query.consistency == QUERY_FINAL) {
        refuse_unsettled(v);
        return;
    }
    bool all = v->token == NULL || v->token->all_ads;
    enum err err = global_reader_top(v->w->reader, &query, all ? NULL : &asker, &top, &found);
    if (err != ERR_OK) {
        fail(v, err);
    } else if (query.consistency == QUERY_COMPLETE && !top.complete) {
        refuse(v, 409, "not_complete", "Not complete", "The range is not complete yet.");
    } else {
        stats_json_put_top(&v->w->body, &top, &found);
        answer(v);
    }
}

static void on_ads(struct visit *v)
{
    struct query query;
    const struct global_reader_asker asker = {asker_may_read, v->token};
    if (!parse(v, QUERY_ADS, &query))
        return;
    bool all = v->token == NULL || v->token->all_ads;
    enum err err = global_reader_ads(v->w->reader, &query, all ? NULL : &asker, &v->w->body);
    if (err == ERR_OK)
        answer(v);
    else
        fail(v, err);
}

static void on_balance(struct visit *v)
{
    struct query query;
    if (!parse(v, QUERY_NOTHING, &query))
        return;
    enum err err = global_reader_balance(v->w->reader, &v->w->body);
    if (err == ERR_OK)
        answer(v);
    else
        fail(v, err);
}

static const struct route {
    const char *path;
    unsigned scopes; /* one of these is needed; 0: any token */
    void (*answer)(struct visit *v);
} routes[] = {
    {"/v1/stats", TOKEN_STATS_READ, on_stats}, {"/v1/watermarks", 0, on_watermarks},
    {"/v1/top", TOKEN_STATS_READ, on_top},     {"/v1/ads", TOKEN_STATS_READ, on_ads},
    {"/v1/balance", TOKEN_ADMIN, on_balance},
};

_Static_assert(countof(routes) <= GLOBAL_HTTP_ROUTES, "each has its times");

void global_http_put_times(const struct global_http *http, struct buf *out)
{
    static const char name[] = "tributary_global_query_seconds";
    metrics_head(out, name, "histogram", "from a whole request to its answer, without the network");
    for (unsigned i = 0; i < countof(routes); i++)
        metrics_histogram_put(out, name, (const char *const[]){"route", routes[i].path, NULL},
                              &http->times[i]);
}

static void refuse_token(struct visit *v)
{
    metrics_add(v->w->http->options.metrics, GLOBAL_QUERIES_UNAUTHORIZED, 1);
    refuse_with(v, 401, "unauthorized", "Unauthorized",
                "A bearer token that holds is needed: Authorization: Bearer <token>.",
                (struct h2_header){"www-authenticate", "Bearer realm=\"tributary\""});
}

/* With a token that holds, within its rate and its scope. */
static void serve(struct visit *v, const struct route *route)
{
    const struct global_http_options *o = &v->w->http->options;
    uint32_t wait_s = 0;
    char seconds[16];
    if (v->token != NULL &&
        !token_admit(v->token, o->reader.clock->mono_ms(o->reader.clock), &wait_s)) {
        metrics_add(o->metrics, GLOBAL_QUERIES_LIMITED, 1);
        (void)snprintf(seconds, sizeof(seconds), "%u", wait_s);
        refuse_with(v, 429, "rate_limited", "Too many requests",
                    "This token's rate of queries is used up.",
                    (struct h2_header){"retry-after", seconds});
    } else if (v->token != NULL && route->scopes != 0 && (v->token->scopes & route->scopes) == 0) {
        metrics_add(o->metrics, GLOBAL_QUERIES_UNAUTHORIZED, 1);
        refuse(v, 403, "forbidden", "Forbidden", "This token's scopes do not open this resource.");
    } else {
        uint64_t begun_ns = uv_hrtime();
        buf_clear(&v->w->body);
        route->answer(v);
        metrics_histogram_add(&v->w->http->times[route - routes], (uv_hrtime() - begun_ns) / 1000);
    }
}

void global_http_on_request(void *context, struct h2_request *r)
{
    struct visit v = {.w = context, .r = r};
    struct global_tokens *tokens = v.w->http->options.tokens;
    struct global_tokens_pin *pin = NULL;
    const struct route *route = routes;
    while (route < routes + countof(routes) && strcmp(route->path, r->path) != 0)
        route++;
    if (route == routes + countof(routes)) {
        refuse(&v, 404, "not_found", "Not found",
               "Known here are /v1/stats, /v1/watermarks, /v1/top, /v1/ads and /v1/balance.");
        return;
    }
    if (strcmp(r->method, "GET") != 0 && strcmp(r->method, "HEAD") != 0) {
        refuse_with(&v, 405, "method_not_allowed", "Method not allowed",
                    "This resource answers GET and HEAD.",
                    (struct h2_header){"allow", "GET, HEAD"});
        return;
    }
    if (tokens == NULL) {
        serve(&v, route);
        return;
    }
    v.token = h2_header_repeated(r, "authorization")
                  ? NULL
                  : global_tokens_find(tokens, h2_header(r, "authorization"), &pin);
    if (v.token == NULL)
        refuse_token(&v);
    else
        serve(&v, route);
    global_tokens_unpin(tokens, &pin);
}
