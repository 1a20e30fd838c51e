/* SPDX-License-Identifier: Apache-2.0
 * global_http_routes: who may ask what, and the answers: from a request to its bytes. */
#include "global/global_http_inside.h"

#include "common/run/log.h"
#include "common/run/log_line.h"
#include "global/global_page.h"
#include "proto/stats_rows.h"

#include <stdio.h>
#include <unistd.h>

static void fail(struct global_http_visit *v, enum err err)
{
    log_error("query failed", log_err(err));
    global_http_refuse(
        v, 503, "store_unavailable", "Store unavailable",
        "The store could not be read; nothing is known about the counts. Try again.");
}

static bool parse(struct global_http_visit *v, enum query_route route, struct query *out)
{
    struct query_fault fault = {.parameter = ""};
    if (query_parse_for(route, v->r->query, out, &fault))
        return true;
    char detail[256];
    (void)snprintf(detail, sizeof(detail), "%s: %s", fault.parameter, fault.rule);
    global_http_refuse(v, 400, "bad_parameter", "Bad query parameter", detail);
    return false;
}

/* A read for billing leaves its line before it is answered, or is not answered. */
static bool note_read(struct global_http_visit *v, const struct query *q)
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
    global_http_refuse(v, 503, "read_log_unavailable", "Log of reads unavailable",
                       "Reads for billing are answered only when they are on record. Try again.");
    return false;
}

static void refuse_incomplete(struct global_http_visit *v, const char *window, uint64_t start)
{
    char detail[160];
    (void)snprintf(detail, sizeof(detail),
                   "The window of %s that starts at %llu is not complete yet.", window,
                   (unsigned long long)start);
    global_http_refuse(v, 409, "not_complete", "Not complete", detail);
}

static void refuse_unsettled(struct global_http_visit *v)
{
    global_http_refuse(v, 409, "not_settled", "Not settled",
                       "No day of this range has been settled yet.");
}

/* False, and the request is answered, where not every point is as good as was asked for. */
static bool is_consistent(struct global_http_visit *v, const struct query *q,
                          const struct stats_json_answer *a)
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

static enum stats_rows_form form_of(enum negotiate_type type)
{
    return type == NEGOTIATE_CSV ? STATS_ROWS_CSV : STATS_ROWS_NDJSON;
}

static void close_json(struct global_http_visit *v, const struct stats_json_answer *found)
{
    v->tagged_bytes = v->w->body.length;
    v->standing = found;
    if (v->type == NEGOTIATE_JSON)
        stats_json_put_standing(&v->w->body, found);
}

/* The points as the client takes them. */
static void put_points(struct global_http_visit *v, const struct stats_json_answer *found)
{
    struct buf *body = &v->w->body;
    v->final_ = true;
    for (size_t i = 0; i < found->point_count; i++)
        v->final_ = v->final_ && found->points[i].final_;
    if (v->type == NEGOTIATE_JSON) {
        stats_json_begin(body, found);
        stats_json_put_points(body, found);
        buf_put_u8(body, ',');
    } else {
        stats_rows_begin(body, form_of(v->type));
        stats_rows_put(body, form_of(v->type), found);
    }
    close_json(v, found);
}

static void on_stats(struct global_http_visit *v)
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
    put_points(v, &found);
    global_http_answer(v);
}

static void on_watermarks(struct global_http_visit *v)
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
    global_http_answer(v);
}

static bool asker_may_read(const void *context, struct span ad_id)
{
    return token_may_read(context, ad_id);
}

static void on_top(struct global_http_visit *v)
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
        global_http_refuse(v, 409, "not_complete", "Not complete",
                           "The range is not complete yet.");
    } else {
        if (v->type == NEGOTIATE_JSON)
            stats_json_put_top(&v->w->body, &top);
        else
            stats_rows_put_top(&v->w->body, form_of(v->type), &top);
        close_json(v, &found);
        global_http_answer(v);
    }
}

static void on_ads(struct global_http_visit *v)
{
    struct query query;
    const struct global_reader_asker asker = {asker_may_read, v->token};
    if (!parse(v, QUERY_ADS, &query))
        return;
    bool all = v->token == NULL || v->token->all_ads;
    enum err err = global_reader_ads(v->w->reader, &query, all ? NULL : &asker, &v->w->body);
    v->tagged_bytes = v->w->body.length;
    if (err == ERR_OK)
        global_http_answer(v);
    else
        fail(v, err);
}

static void on_balance(struct global_http_visit *v)
{
    struct query query;
    if (!parse(v, QUERY_NOTHING, &query))
        return;
    enum err err = global_reader_balance(v->w->reader, &v->w->body);
    if (err == ERR_OK)
        global_http_answer(v);
    else
        fail(v, err);
}

#define JSON_ALONE NEGOTIATE_OFFER(NEGOTIATE_JSON)

static const struct route {
    const char *path;
    unsigned scopes;  /* one of these is needed; 0: any token */
    unsigned offered; /* types of its answer */
    void (*answer)(struct global_http_visit *v);
} routes[] = {
    {"/v1/stats", TOKEN_STATS_READ, NEGOTIATE_OFFER_ROWS, on_stats},
    {"/v1/watermarks", 0, JSON_ALONE, on_watermarks},
    {"/v1/top", TOKEN_STATS_READ, NEGOTIATE_OFFER_ROWS, on_top},
    {"/v1/ads", TOKEN_STATS_READ, JSON_ALONE, on_ads},
    {"/v1/balance", TOKEN_ADMIN, JSON_ALONE, on_balance},
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

static void refuse_token(struct global_http_visit *v)
{
    metrics_add(v->w->http->options.metrics, GLOBAL_QUERIES_UNAUTHORIZED, 1);
    global_http_refuse_with(v, 401, "unauthorized", "Unauthorized",
                            "A bearer token that holds is needed: Authorization: Bearer <token>.",
                            (struct h2_header){"www-authenticate", "Bearer realm=\"tributary\""});
}

/* With a token that holds, within its rate and its scope. */
static void serve(struct global_http_visit *v, const struct route *route)
{
    const struct global_http_options *o = &v->w->http->options;
    uint32_t wait_s = 0;
    char seconds[16];
    if (v->token != NULL &&
        !token_admit(v->token, o->reader.clock->mono_ms(o->reader.clock), &wait_s)) {
        metrics_add(o->metrics, GLOBAL_QUERIES_LIMITED, 1);
        (void)snprintf(seconds, sizeof(seconds), "%u", wait_s);
        global_http_refuse_with(v, 429, "rate_limited", "Too many requests",
                                "This token's rate of queries is used up.",
                                (struct h2_header){"retry-after", seconds});
    } else if (v->token != NULL && route->scopes != 0 && (v->token->scopes & route->scopes) == 0) {
        metrics_add(o->metrics, GLOBAL_QUERIES_UNAUTHORIZED, 1);
        global_http_refuse(v, 403, "forbidden", "Forbidden",
                           "This token's scopes do not open this resource.");
    } else if (global_http_negotiate(v, route->offered)) {
        uint64_t begun_ns = uv_hrtime();
        buf_clear(&v->w->body);
        route->answer(v);
        metrics_histogram_add(&v->w->http->times[route - routes], (uv_hrtime() - begun_ns) / 1000);
    }
}

void global_http_on_request(void *context, struct h2_request *r)
{
    struct global_http_visit v = {.w = context, .r = r};
    struct global_tokens *tokens = v.w->http->options.tokens;
    struct global_tokens_pin *pin = NULL;
    const struct route *route = routes;
    while (route < routes + countof(routes) && strcmp(route->path, r->path) != 0)
        route++;
    const struct global_page_file *file =
        route < routes + countof(routes) ? NULL : global_page_find(r->path);
    if (route == routes + countof(routes) && file == NULL) {
        global_http_refuse(
            &v, 404, "not_found", "Not found",
            "Known here are /v1/stats, /v1/watermarks, /v1/top, /v1/ads and /v1/balance.");
        return;
    }
    if (strcmp(r->method, "GET") != 0 && strcmp(r->method, "HEAD") != 0) {
        global_http_refuse_with(&v, 405, "method_not_allowed", "Method not allowed",
                                "This resource answers GET and HEAD.",
                                (struct h2_header){"allow", "GET, HEAD"});
        return;
    }
    if (file != NULL) {
        global_page_answer(r, file);
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
