/* SPDX-License-Identifier: Apache-2.0
 * global_http_stream: GET /v1/stream: the counts of a few ads as server-sent events (WHATWG HTML,
 * 9.2). Every second a look at the store, an event where it shows news: what it says is what
 * /v1/stats would have answered at that moment, so it is never ahead of the count.
 *
 * Looks of several streams are spread over the second, a few a turn of the loop: queries that wait
 * behind them wait for a few only. A client that does not take its event is asked again a second
 * later, with what is newest then. */
#include "global/core/live.h"
#include "global/global_http_inside.h"

#include "common/run/log.h"

#include <stdio.h>
#include <stdlib.h>

#define LOOK_MS      1000u
#define TURN_MS      20u
#define TURN_LOOKS   2u /* at most, of one turn; a worker with over 100 streams looks less often */
#define HEARTBEAT_MS 15000u
#define RETRY_MS     2000u /* when clients shall come again after an end */

struct global_http_stream {
    struct h2_request *r;
    struct global_http_worker *w;
    struct global_http_stream *next; /* the one that is due after this */
    struct query query;
    struct live *live;
    uint64_t due_ms, said_ms;
    char token_id[TOKEN_ID_CHARS + 1];
    bool fresh; /* nothing was said yet */
};

/* -- the list of a worker ------------------------------------------------------------------ */

static void append(struct global_http_stream *s)
{
    struct global_http_stream **end = &s->w->streams;
    while (*end != NULL)
        end = &(*end)->next;
    s->next = NULL;
    *end = s;
}

/* Takes it off and frees it; the answer is ended by who calls. */
static void drop(struct global_http_stream *s)
{
    struct global_http_worker *w = s->w;
    struct global_http_stream **at = &w->streams;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    if (w->streams == NULL)
        (void)uv_timer_stop(&w->turn);
    global_http_seats_leave(w->http->seats, s->token_id);
    live_free(s->live);
    free(s);
}

static void on_gone(struct h2_request *r)
{
    drop(r->user);
}

static void end(struct global_http_stream *s)
{
    struct h2_request *r = s->r;
    drop(s);
    h2_respond_end(r);
}

/* -- a look -------------------------------------------------------------------------------- */

/* The token may have been revoked, or have other ads or scopes now. False: the stream ends. */
static bool is_admitted(struct global_http_stream *s, struct token **out,
                        struct global_tokens_pin **out_pin)
{
    struct global_tokens *tokens = s->w->http->options.tokens;
    *out = NULL;
    if (tokens == NULL)
        return true;
    *out = global_tokens_find(tokens, h2_header(s->r, "authorization"), out_pin);
    return *out != NULL && ((*out)->scopes & TOKEN_STATS_READ) != 0;
}

static void span_ads(const struct query *q, struct span ids[LIMIT_STREAM_ADS])
{
    struct query slice;
    uint32_t ad = 0, count;
    for (uint32_t row = 0; (count = query_slice(q, row, &slice)) > 0; row += count, ad++) {
        const char *from = ad == 0 ? q->ads : q->ads + q->ad_ends[ad - 1];
        ids[ad] = span_of(from, slice.ad_id_length);
    }
}

/* All ads from one snapshot. */
static enum err look(struct global_http_stream *s, const struct token *token,
                     struct stats_json_answer *standing)
{
    struct global_reader *reader = s->w->reader;
    struct clock_port *clock = s->w->http->options.reader.clock;
    struct query slice;
    struct query_fault fault;
    uint32_t ad = 0, count;
    s->query.end_s = (clock->wall_ms(clock) / 60000 + 1) * 60;
    s->query.start_s = s->query.end_s - s->query.minutes * 60ULL;
    if (!query_lay_out(&s->query, &fault)) /* beyond the year 9999 */
        return ERR_RANGE;
    enum err err = global_reader_open(reader, standing);
    if (err != ERR_OK)
        return err;
    for (uint32_t row = 0; (count = query_slice(&s->query, row, &slice)) > 0; row += count, ad++) {
        slice.foreign = token != NULL && !token_may_read(token, query_ad(&slice));
        err = global_reader_points(reader, &slice, standing);
        if (err != ERR_OK)
            break;
        CHECK(standing->point_count == s->query.minutes);
        live_see(s->live, ad, standing->points);
    }
    return global_reader_close(reader, err);
}

/* A client that comes again and names what it has is spared it. */
static void resume(struct global_http_stream *s, const struct span *ids)
{
    const char *last = h2_header(s->r, "last-event-id");
    uint64_t version;
    if (last != NULL && live_version_parse(last, &version) && version == live_version(s->live, ids))
        live_given(s->live, NULL);
}

static void say(struct global_http_stream *s, const struct stats_json_answer *standing,
                uint64_t now_ms)
{
    struct global_http_worker *w = s->w;
    struct metrics *metrics = w->http->options.metrics;
    struct span ids[LIMIT_STREAM_ADS];
    span_ads(&s->query, ids);
    buf_clear(&w->body);
    if (s->fresh) {
        char retry[32];
        int length = snprintf(retry, sizeof(retry), "retry: %u\n", RETRY_MS);
        buf_put(&w->body, retry, (size_t)length);
        resume(s, ids);
    }
    bool news = s->fresh || live_has_news(s->live, standing);
    if (news)
        live_put(s->live, ids, standing, &w->body);
    else if (now_ms - s->said_ms >= HEARTBEAT_MS)
        buf_put(&w->body, ":\n\n", 3);
    if (w->body.length == 0)
        return;
    if (!h2_respond_write(s->r, buf_span(&w->body))) {
        metrics_add(metrics, GLOBAL_STREAM_SKIPPED, 1);
        return;
    }
    s->fresh = false;
    s->said_ms = now_ms;
    if (news) {
        metrics_add(metrics, GLOBAL_STREAM_EVENTS, 1);
        live_given(s->live, standing);
    }
}

/* False: the stream has ended. */
static bool serve(struct global_http_stream *s)
{
    struct global_tokens_pin *pin = NULL;
    struct stats_json_answer standing = {.point_count = 0};
    struct token *token;
    bool goes_on = is_admitted(s, &token, &pin);
    enum err err = goes_on ? look(s, token, &standing) : ERR_OK;
    if (s->w->http->options.tokens != NULL)
        global_tokens_unpin(s->w->http->options.tokens, &pin);
    if (err !=
        ERR_OK) { /* nothing is known, so nothing is said; the next request gets the reason */
        log_error("a stream's look failed", log_err(err));
        goes_on = false;
    }
    uint64_t now_ms = uv_now(&s->w->loop);
    s->due_ms = now_ms + LOOK_MS;
    if (goes_on)
        say(s, &standing, now_ms);
    else
        end(s);
    return goes_on;
}

void global_http_on_turn(uv_timer_t *turn)
{
    struct global_http_worker *w = container_of(turn, struct global_http_worker, turn);
    uint64_t now_ms = uv_now(&w->loop);
    for (unsigned i = 0; i < TURN_LOOKS; i++) {
        struct global_http_stream *s = w->streams;
        if (s == NULL || s->due_ms > now_ms)
            return;
        if (serve(s) && s->next != NULL) {
            w->streams = s->next;
            append(s);
        }
    }
}

/* -- the beginning ------------------------------------------------------------------------- */

static const struct h2_header stream_headers[] = {
    {"content-type", "text/event-stream"},
    {"cache-control", "no-store"},
    {"x-content-type-options", "nosniff"},
};

static bool take_seat(struct global_http_visit *v, const char *token_id)
{
    struct metrics *metrics = v->w->http->options.metrics;
    enum global_http_seat said = global_http_seats_take(v->w->http->seats, token_id);
    if (said == GLOBAL_HTTP_SEAT_TAKEN)
        return true;
    metrics_add(metrics, GLOBAL_STREAMS_REFUSED, 1);
    if (said == GLOBAL_HTTP_SEAT_TOKEN_NONE)
        global_http_refuse_with(v, 429, "too_many_streams", "Too many streams",
                                "This token follows as many streams as it may; end one.",
                                (struct h2_header){"retry-after", "5"});
    else
        global_http_refuse(v, 503, "overloaded", "Overloaded",
                           "As many streams go on as this globe bears. Ask /v1/stats instead.");
    return false;
}

void global_http_on_stream(struct global_http_visit *v)
{
    struct global_http_worker *w = v->w;
    const char *token_id = v->token == NULL ? "" : v->token->id;
    struct query query;
    if (!global_http_parse(v, QUERY_STREAM, &query) || !take_seat(v, token_id))
        return;
    metrics_add(w->http->options.metrics, GLOBAL_QUERIES_OK, 1);
    metrics_add(w->http->options.metrics, GLOBAL_STREAMS, 1);
    if (!h2_respond_begin(v->r, 200, stream_headers, countof(stream_headers), on_gone)) {
        global_http_seats_leave(w->http->seats, token_id);
        return;
    }
    struct global_http_stream *s = base_zalloc(1, sizeof(*s));
    s->r = v->r;
    s->r->user = s;
    s->w = w;
    s->query = query;
    s->live = live_new(query.ad_count, query.minutes);
    s->fresh = true;
    (void)snprintf(s->token_id, sizeof(s->token_id), "%s", token_id);
    if (w->streams == NULL)
        CHECK(uv_timer_start(&w->turn, global_http_on_turn, TURN_MS, TURN_MS) == 0);
    append(s);
}
