/* SPDX-License-Identifier: Apache-2.0
 * global_http_routes: who may ask what, and the answers: from a request to its bytes. */
#include "global/global_http_inside.h"

#include "global/global_page.h"

#include <stdio.h>

static void on_watermarks(struct global_http_visit *v)
{
    struct query query;
    struct stats_json_answer found;
    if (!global_http_parse(v, QUERY_NOTHING, &query))
        return;
    enum err err = global_reader_watermarks(v->w->reader, &found);
    if (err != ERR_OK) {
        global_http_fail(v, err);
        return;
    }
    stats_json_put_watermarks(&v->w->body, &found);
    global_http_answer(v);
}

static void on_ads(struct global_http_visit *v)
{
    struct query query;
    if (!global_http_parse(v, QUERY_ADS, &query))
        return;
    bool all = v->token == NULL || v->token->all_ads;
    enum err err = global_reader_ads(v->w->reader, &query, all ? NULL : v->token, &v->w->body);
    v->tagged_bytes = v->w->body.length;
    if (err == ERR_OK)
        global_http_answer(v);
    else
        global_http_fail(v, err);
}

static void on_balance(struct global_http_visit *v)
{
    struct query query;
    if (!global_http_parse(v, QUERY_NOTHING, &query))
        return;
    enum err err = global_reader_balance(v->w->reader, &v->w->body);
    if (err == ERR_OK)
        global_http_answer(v);
    else
        global_http_fail(v, err);
}

#define JSON_ALONE NEGOTIATE_OFFER(NEGOTIATE_JSON)

static const struct route {
    const char *path;
    unsigned scopes;  /* one of these is needed; 0: any token */
    unsigned offered; /* types of its answer; 0: always the same */
    void (*answer)(struct global_http_visit *v);
} routes[] = {
    {"/v1/stats", TOKEN_STATS_READ, NEGOTIATE_OFFER_ROWS, global_http_on_stats},
    {"/v1/watermarks", 0, JSON_ALONE, on_watermarks},
    {"/v1/top", TOKEN_STATS_READ, NEGOTIATE_OFFER_ROWS, global_http_on_top},
    {"/v1/ads", TOKEN_STATS_READ, JSON_ALONE, on_ads},
    {"/v1/balance", TOKEN_ADMIN, JSON_ALONE, on_balance},
    {"/v1/stream", TOKEN_STATS_READ, 0, global_http_on_stream},
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
    } else if (route->offered == 0 || global_http_negotiate(v, route->offered)) {
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
        global_http_refuse(&v, 404, "not_found", "Not found",
                           "Known here are /v1/stats, /v1/watermarks, /v1/top, /v1/ads, /v1/stream "
                           "and /v1/balance.");
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
