/* SPDX-License-Identifier: Apache-2.0
 * global_http_counts: GET /v1/stats and /v1/top: reads for billing go on record first, and an
 * answer that is not as good as was asked for is refused. */
#include "global/global_http_inside.h"

#include "common/run/log.h"
#include "common/run/log_line.h"
#include "proto/stats_rows.h"

#include <stdio.h>
#include <unistd.h>

static bool refuse_query(struct global_http_visit *v, const struct query_fault *fault)
{
    char detail[256];
    (void)snprintf(detail, sizeof(detail), "%s: %s", fault->parameter, fault->rule);
    global_http_refuse(v, 400, "bad_parameter", "Bad query parameter", detail);
    return false;
}

bool global_http_parse(struct global_http_visit *v, enum query_route route, struct query *out)
{
    struct query_fault fault = {.parameter = ""};
    if (!query_parse_for(route, v->r->query, out, &fault))
        return refuse_query(v, &fault);
    if (out->zone[0] == '\0')
        return true;
    struct zone zone = {.change_count = 0};
    if (global_http_zone(v->w->http->options.zoneinfo, out->zone, &zone) != ERR_OK) {
        (void)query_refuse(&fault, "tz", QUERY_ZONE_RULE);
        return refuse_query(v, &fault);
    }
    bool laid = query_localise(out, &zone, &v->w->edges, &fault);
    zone_done(&zone);
    return laid || refuse_query(v, &fault);
}

/* The line of one ad, or of none. */
static void put_read(struct global_http_visit *v, const struct query *q, struct span ad,
                     struct buf *out)
{
    const struct global_http_options *o = &v->w->http->options;
    const struct log_field fields[] = {
        log_text("token", v->token->id),
        log_text("path", v->r->path),
        log_bytes("ad", ad),
        log_u64("start", (uint64_t)q->start_minute * 60),
        log_u64("end", (uint64_t)q->end_minute * 60),
        log_text("window", minute_window_name(q->window)),
        log_text("consistency", q->consistency == QUERY_FINAL ? "final" : "complete"),
        log_text("from", v->r->peer_ip),
    };
    if (o->read_log < 0)
        log_write(LOG_INFO, "read for billing", fields, countof(fields));
    else
        log_line_put(out, o->reader.clock->wall_ms(o->reader.clock), LOG_INFO, "tributary-global",
                     "read for billing", fields, countof(fields));
}

/* A read for billing leaves its lines before it is answered, or is not answered. */
static bool note_read(struct global_http_visit *v, const struct query *q)
{
    const struct global_http_options *o = &v->w->http->options;
    struct buf lines = {0};
    uint32_t start = 0;
    if (v->token == NULL || q->consistency == QUERY_EVENTUAL)
        return true;
    if (q->ad_count == 0)
        put_read(v, q, query_ad(q), &lines);
    for (uint32_t i = 0; i < q->ad_count; start = q->ad_ends[i++])
        put_read(v, q, span_of(q->ads + start, (size_t)q->ad_ends[i] - start), &lines);
    bool written =
        o->read_log < 0 || write(o->read_log, lines.data, lines.length) == (ssize_t)lines.length;
    buf_done(&lines);
    if (written)
        return true;
    metrics_add(o->metrics, GLOBAL_READS_UNLOGGED, 1);
    log_error("the log of reads cannot be written", log_err(ERR_SYSTEM));
    global_http_refuse(v, 503, "read_log_unavailable", "Log of reads unavailable",
                       "Reads for billing are answered only when they are on record. Try again.");
    return false;
}

static void refuse_unsettled(struct global_http_visit *v)
{
    global_http_refuse(v, 409, "not_settled", "Not settled",
                       "No day of this range has been settled yet.");
}

/* The first point that is not as good as was asked for, or NULL. */
static const struct stats_json_point *short_of(const struct query *q,
                                               const struct stats_json_answer *a)
{
    for (size_t i = 0; q->consistency != QUERY_EVENTUAL && i < a->point_count; i++)
        if (!(q->consistency == QUERY_FINAL ? a->points[i].final_ : a->points[i].complete))
            return &a->points[i];
    return NULL;
}

static void refuse_short(struct global_http_visit *v, const struct query *q, uint64_t start)
{
    char detail[160];
    if (q->consistency == QUERY_FINAL) {
        refuse_unsettled(v);
        return;
    }
    (void)snprintf(detail, sizeof(detail),
                   "The window of %s that starts at %llu is not complete yet.",
                   minute_window_name(q->window), (unsigned long long)start);
    global_http_refuse(v, 409, "not_complete", "Not complete", detail);
}

static enum stats_rows_form form_of(enum negotiate_type type)
{
    return type == NEGOTIATE_CSV ? STATS_ROWS_CSV : STATS_ROWS_NDJSON;
}

static void close_body(struct global_http_visit *v, const struct stats_json_answer *found)
{
    v->tagged_bytes = v->w->body.length;
    v->standing = found;
    if (v->type == NEGOTIATE_JSON)
        stats_json_put_standing(&v->w->body, found);
}

/* The points of one ad, or of the part of them that is on the page. */
static void put_slice(struct global_http_visit *v, const struct query *q, bool first,
                      const struct stats_json_answer *found)
{
    struct buf *body = &v->w->body;
    for (size_t i = 0; i < found->point_count; i++)
        v->final_ = v->final_ && found->points[i].final_;
    if (v->type != NEGOTIATE_JSON) {
        if (first)
            stats_rows_begin(body, form_of(v->type));
        stats_rows_put(body, form_of(v->type), found);
    } else if (q->ad_count == 1) {
        stats_json_begin(body, found);
        stats_json_put_points(body, found);
        buf_put_u8(body, ',');
    } else {
        if (first)
            stats_json_begin_several(body, found);
        stats_json_put_one(body, first, found);
    }
}

static void put_end(struct global_http_visit *v, const struct query *q,
                    const struct stats_json_answer *found)
{
    struct buf *body = &v->w->body;
    if (v->type == NEGOTIATE_JSON && q->ad_count > 1)
        buf_put(body, "],", 2);
    bool more = q->paged && query_next(q, v->next);
    if (v->type == NEGOTIATE_JSON && q->paged) {
        buf_put(body, "\"next\":", 7);
        buf_put(body, more ? "\"" : "null", more ? 1 : 4);
        buf_put(body, v->next, strlen(v->next));
        buf_put(body, more ? "\"," : ",", more ? 2 : 1);
    }
    close_body(v, found);
}

/* All rows from one snapshot. *out_short: a point that is not as good as was asked for. */
static enum err read_rows(struct global_http_visit *v, const struct query *q,
                          struct stats_json_answer *found, struct stats_json_point *out_short,
                          bool *out_is_short)
{
    struct global_reader *reader = v->w->reader;
    struct query slice;
    uint32_t count;
    enum err err = global_reader_open(reader, found);
    if (err != ERR_OK)
        return err;
    found->zone = q->zone[0] == '\0' ? NULL : q->zone;
    v->final_ = true;
    for (uint32_t row = q->first_row; (count = query_slice(q, row, &slice)) > 0; row += count) {
        slice.foreign = v->token != NULL && !token_may_read(v->token, query_ad(&slice));
        err = global_reader_points(reader, &slice, found);
        const struct stats_json_point *bad = err == ERR_OK ? short_of(q, found) : NULL;
        if (bad != NULL) {
            *out_short = *bad;
            *out_is_short = true;
        }
        if (err != ERR_OK || bad != NULL)
            break;
        put_slice(v, q, row == q->first_row, found);
    }
    return global_reader_close(reader, err);
}

void global_http_on_stats(struct global_http_visit *v)
{
    struct query query;
    struct stats_json_answer found = {.point_count = 0};
    struct stats_json_point point;
    bool is_short = false;
    if (!global_http_parse(v, QUERY_STATS, &query) || !note_read(v, &query))
        return;
    enum err err = read_rows(v, &query, &found, &point, &is_short);
    if (err != ERR_OK) {
        global_http_fail(v, err);
        return;
    }
    if (is_short) {
        refuse_short(v, &query, point.timestamp);
        return;
    }
    metrics_add(v->w->http->options.metrics, GLOBAL_QUERY_POINTS, query.last_row - query.first_row);
    put_end(v, &query, &found);
    global_http_answer(v);
}

void global_http_on_top(struct global_http_visit *v)
{
    struct query query;
    struct stats_json_top top;
    struct stats_json_answer found;
    if (!global_http_parse(v, QUERY_TOP, &query) || !note_read(v, &query))
        return;
    if (query.consistency == QUERY_FINAL) {
        refuse_unsettled(v);
        return;
    }
    bool all = v->token == NULL || v->token->all_ads;
    enum err err = global_reader_top(v->w->reader, &query, all ? NULL : v->token, &top, &found);
    if (err != ERR_OK) {
        global_http_fail(v, err);
        return;
    }
    if (query.consistency == QUERY_COMPLETE && !top.complete) {
        global_http_refuse(v, 409, "not_complete", "Not complete",
                           "The range is not complete yet.");
        return;
    }
    if (v->type == NEGOTIATE_JSON)
        stats_json_put_top(&v->w->body, &top);
    else
        stats_rows_put_top(&v->w->body, form_of(v->type), &top);
    close_body(v, &found);
    global_http_answer(v);
}
