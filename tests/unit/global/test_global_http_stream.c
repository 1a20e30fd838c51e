/* SPDX-License-Identifier: Apache-2.0
 * Over real TLS, HTTP/2 and LMDB: a stream says what /v1/stats would have said, only news after
 * that, to those who may read it, and ends with its token, its client or the server. */
#include "http_given.h"
#include "tokens_given.h"

static struct http_given g;
static struct tokens_given book;
static struct global_tokens *tokens;
static struct tokens_given_token all, one;
static char path[512];
static unsigned wanted;

static void setup(void)
{
    char *error = NULL;
    http_given_init(&g);
    tokens_given_init(&book, g.folder);
    all = tokens_given_add(&book, "*", TOKEN_STATS_READ, 0, 0);
    one = tokens_given_add(&book, g.ads[0], TOKEN_STATS_READ, 0, 0);
    tokens_given_write(&book);
    cr_assert_eq(global_tokens_open(book.path, book.key_path, &g.w->clock.port, &tokens, &error),
                 ERR_OK, "%s", error);
    (void)snprintf(path, sizeof(path), "/v1/stream?ad_id=%s&ad_id=%s&minutes=5", g.ads[0],
                   g.ads[1]);
}

static void teardown(void)
{
    http_given_done(&g);
    global_tokens_free(tokens);
    buf_done(&book.lines);
}

TestSuite(global_http_stream, .init = setup, .fini = teardown, .timeout = 60);

static int32_t follow(const char *token, const char *last_id)
{
    static char bearer[256];
    const char *fields[] = {"authorization", bearer, last_id == NULL ? NULL : "last-event-id",
                            last_id, NULL};
    (void)snprintf(bearer, sizeof(bearer), "Bearer %s", token == NULL ? "none" : token);
    return h2_probe_ask(g.probe, "GET", path, fields, (struct span){0}, false);
}

/* The start of event n (from 0), or NULL. */
static const char *nth(struct h2_probe_answer *a, unsigned n)
{
    const char *at = strstr(h2_probe_text(a), "event: counts\n");
    while (at != NULL && n-- > 0)
        at = strstr(at + 1, "event: counts\n");
    return at != NULL && strstr(at, "\n\n") != NULL ? at : NULL;
}

static bool has_event(struct h2_probe *p, void *id)
{
    struct h2_probe_answer *a = h2_probe_of(p, *(int32_t *)id);
    return a->closed || nth(a, wanted) != NULL;
}

/* The data of event n of the stream, waited for. */
static json_t *event(int32_t id, unsigned n)
{
    wanted = n;
    (void)h2_probe_until(g.probe, has_event, &id);
    const char *at = nth(h2_probe_of(g.probe, id), n);
    cr_assert_not_null(at, "event %u: %s", n, h2_probe_text(h2_probe_of(g.probe, id)));
    at = strstr(at, "\ndata: ") + 7;
    json_t *root = json_loadb(at, (size_t)(strstr(at, "\n\n") - at), JSON_REJECT_DUPLICATES, NULL);
    cr_assert_not_null(root, "%s", at);
    return root;
}

static json_t *ad_of(json_t *event_data, size_t i)
{
    return json_array_get(json_object_get(event_data, "ads"), i);
}

static size_t ads_in(json_t *event_data)
{
    return json_array_size(json_object_get(event_data, "ads"));
}

/* What /v1/stats says of that ad and the last five minutes. */
static json_t *stats_of(const char *token, const char *ad)
{
    char stats_path[512];
    (void)snprintf(stats_path, sizeof(stats_path),
                   "/v1/stats?ad_id=%s&window=1m&start=%llu&end=%llu", ad,
                   (GIVEN_MINUTE - 4) * 60ULL, (GIVEN_MINUTE + 1) * 60ULL);
    struct h2_probe_answer *a = http_given_get(&g, token, stats_path);
    cr_assert_eq(a->status, 200, "%s", h2_probe_text(a));
    return http_given_json(a);
}

Test(global_http_stream, the_first_event_says_what_stats_says)
{
    http_given_start(&g, tokens, -1);
    int32_t id = follow(all.text, NULL);
    json_t *data = event(id, 0);
    struct h2_probe_answer *a = h2_probe_of(g.probe, id);

    cr_assert_eq(a->status, 200);
    cr_assert(h2_probe_has(a, "content-type: text/event-stream\n"));
    cr_assert(h2_probe_has(a, "cache-control: no-store\n"));
    cr_assert_eq(strncmp(h2_probe_text(a), "retry: 2000\nevent: counts\nid: ", 30), 0);
    cr_assert_eq(ads_in(data), 2);
    for (size_t i = 0; i < 2; i++) {
        json_t *stats = stats_of(all.text, g.ads[i]);
        cr_assert_str_eq(json_string_value(json_object_get(ad_of(data, i), "ad_id")), g.ads[i]);
        cr_assert(
            json_equal(json_object_get(ad_of(data, i), "data"), json_object_get(stats, "data")));
        cr_assert(
            json_equal(json_object_get(data, "watermarks"), json_object_get(stats, "watermarks")));
        json_decref(stats);
    }
    json_decref(data);
}

Test(global_http_stream, later_events_say_what_is_new_alone)
{
    http_given_start(&g, NULL, -1);
    int32_t id = follow(NULL, NULL);
    json_decref(event(id, 0));

    struct given_replica *r = given_replica(g.w, 0, 0, "us-r2");
    given_click(r, g.ads[1], GIVEN_MINUTE, 7, 1000, 1);
    given_cut(r);
    cr_assert_eq(given_run(g.w), ERR_OK);
    given_replica_free(r);
    json_t *data = event(id, 1);

    cr_assert_eq(ads_in(data), 1);
    cr_assert_str_eq(json_string_value(json_object_get(ad_of(data, 0), "ad_id")), g.ads[1]);
    json_t *points = json_object_get(ad_of(data, 0), "data");
    cr_assert_eq(json_array_size(points), 1);
    cr_assert_eq(json_integer_value(json_object_get(json_array_get(points, 0), "timestamp")),
                 GIVEN_MINUTE * 60LL);
    json_decref(data);
    cr_assert_eq(metrics_get(g.metrics, GLOBAL_STREAM_EVENTS), 2);
    cr_assert_eq(metrics_get(g.metrics, GLOBAL_STREAMS), 1);
}

Test(global_http_stream, a_client_that_names_what_it_has_is_spared_it)
{
    char name[17] = "";
    http_given_start(&g, tokens, -1);
    int32_t id = follow(all.text, NULL);
    json_decref(event(id, 0));
    memcpy(name, strstr(h2_probe_text(h2_probe_of(g.probe, id)), "\nid: ") + 5, 16);

    json_t *data = event(follow(all.text, name), 0);
    cr_assert_eq(ads_in(data), 0);
    json_decref(data);
    /* with fewer ads to read it is another state */
    data = event(follow(one.text, name), 0);
    cr_assert_eq(ads_in(data), 2);
    json_decref(data);
    data = event(follow(all.text, "nonsense"), 0);
    cr_assert_eq(ads_in(data), 2);
    json_decref(data);
}

Test(global_http_stream, a_foreign_ad_looks_like_one_without_clicks)
{
    char missing[512];
    http_given_start(&g, tokens, -1);
    json_t *data = event(follow(one.text, NULL), 0);
    json_t *stats = stats_of(all.text, g.ads[0]);
    cr_assert(json_equal(json_object_get(ad_of(data, 0), "data"), json_object_get(stats, "data")));
    json_decref(stats);

    (void)snprintf(missing, sizeof(missing), "/v1/stream?ad_id=%.*s-x&minutes=5",
                   (int)strlen(g.ads[1]) - 2, g.ads[1]);
    (void)snprintf(path, sizeof(path), "%s", missing);
    json_t *unknown = event(follow(one.text, NULL), 0);
    cr_assert(json_equal(json_object_get(ad_of(data, 1), "data"),
                         json_object_get(ad_of(unknown, 0), "data")));
    json_decref(unknown);
    json_decref(data);
}

Test(global_http_stream, a_revoked_token_ends_its_streams_and_no_other)
{
    http_given_start(&g, tokens, -1);
    int32_t id = follow(all.text, NULL), other = follow(one.text, NULL);
    json_decref(event(id, 0));
    json_decref(event(other, 0));

    struct buf rest = {0};
    cr_assert(token_line_drop(&rest, buf_span(&book.lines), all.id));
    buf_clear(&book.lines);
    buf_put(&book.lines, rest.data, rest.length);
    buf_done(&rest);
    tokens_given_write(&book);
    cr_assert(global_tokens_look(tokens, true));

    cr_assert(h2_probe_until(g.probe, h2_probe_stream_closed, &id));
    cr_assert(h2_probe_of(g.probe, id)->ended, "it ends as answers end");
    cr_assert_not(h2_probe_of(g.probe, other)->closed);
    cr_assert_eq(global_http_streams(g.http), 1);
}

/* One more click of the first ad. */
static void click_at(struct given_replica *r, uint32_t minute, unsigned user)
{
    given_click(r, g.ads[0], minute, user, 1000 + user, 1);
    given_cut(r);
    cr_assert_eq(given_run(g.w), ERR_OK);
}

static bool is_counted(enum global_metric metric, uint64_t events)
{
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    while (metrics_get(g.metrics, metric) < events && h2_probe_now() < deadline)
        poll(NULL, 0, 2);
    return metrics_get(g.metrics, metric) >= events;
}

Test(global_http_stream, a_slow_client_misses_events_and_no_count)
{
    const nghttp2_settings_entry small = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 100};
    struct given_replica *r = given_replica(g.w, 0, 0, "us-r2");
    http_given_start(&g, NULL, -1);
    cr_assert_eq(nghttp2_submit_settings(g.probe->session, 0, &small, 1), 0);
    int32_t id = follow(NULL, NULL);
    h2_probe_send(g.probe); /* and reads nothing: the first event stays half sent */

    cr_assert(is_counted(GLOBAL_STREAM_EVENTS, 1));
    click_at(r, GIVEN_MINUTE - 1, 1);
    cr_assert(is_counted(GLOBAL_STREAM_SKIPPED, 1));
    click_at(r, GIVEN_MINUTE, 2);
    cr_assert(is_counted(GLOBAL_STREAM_SKIPPED, metrics_get(g.metrics, GLOBAL_STREAM_SKIPPED) + 1));
    json_decref(event(id, 0));
    json_t *data = event(id, 1);

    json_t *points = json_object_get(ad_of(data, 0), "data");
    json_t *stats = stats_of(NULL, g.ads[0]);
    cr_assert_eq(json_array_size(points), 2);
    for (size_t i = 0; i < 2; i++)
        cr_assert(json_equal(json_array_get(points, i),
                             json_array_get(json_object_get(stats, "data"), 3 + i)));
    json_decref(stats);
    json_decref(data);
    given_replica_free(r);
}

static void expect_refused(const char *token, const char *query, unsigned status, const char *words)
{
    (void)snprintf(path, sizeof(path), "/v1/stream?%s", query);
    struct h2_probe_answer *a = http_given_get(&g, token, path);
    cr_assert_eq(a->status, status, "%s: %u %s", query, a->status, h2_probe_text(a));
    cr_assert_not_null(strstr(h2_probe_text(a), words), "%s", h2_probe_text(a));
}

Test(global_http_stream, what_it_does_not_know_is_refused)
{
    http_given_start(&g, tokens, -1);
    expect_refused(NULL, "ad_id=x", 401, "unauthorized");
    expect_refused(all.text, "", 400, "ad_id: is required");
    expect_refused(all.text, "ad_id=x&minutes=0", 400, "minutes: must be a whole number");
    expect_refused(all.text, "ad_id=x&minutes=181", 400, "from 1 to 180");
    expect_refused(all.text, "ad_id=x&minutes=1e2", 400, "minutes");
    expect_refused(all.text, "ad_id=x&start=60", 400, "known are ad_id, minutes");
    expect_refused(all.text,
                   "ad_id=1&ad_id=2&ad_id=3&ad_id=4&ad_id=5&ad_id=6&ad_id=7&ad_id=8&ad_id=9", 400,
                   "at most 8 times");
    cr_assert_eq(global_http_streams(g.http), 0);
}

static bool is_taken(unsigned streams)
{
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    while (global_http_streams(g.http) != streams && h2_probe_now() < deadline)
        poll(NULL, 0, 2);
    return global_http_streams(g.http) == streams;
}

Test(global_http_stream, there_are_so_many_and_no_more_and_left_ones_are_free)
{
    int32_t ids[8];
    http_given_start(&g, tokens, -1);
    for (unsigned i = 0; i < 8; i++)
        ids[i] = follow(all.text, NULL);
    json_decref(event(ids[7], 0));
    cr_assert_eq(global_http_streams(g.http), 8);

    struct h2_probe_answer *a = h2_probe_of(g.probe, follow(all.text, NULL));
    int32_t ninth = (int32_t)(a - g.probe->answers) * 2 + 1;
    cr_assert(h2_probe_until(g.probe, h2_probe_stream_closed, &ninth));
    cr_assert_eq(a->status, 429);
    cr_assert(h2_probe_has(a, "retry-after: "));
    cr_assert_eq(metrics_get(g.metrics, GLOBAL_STREAMS_REFUSED), 1);
    json_decref(event(follow(one.text, NULL), 0));

    nghttp2_submit_rst_stream(g.probe->session, 0, ids[3], NGHTTP2_CANCEL);
    h2_probe_send(g.probe);
    cr_assert(is_taken(8));
    json_decref(event(follow(all.text, NULL), 0));
}

Test(global_http_stream, head_begins_none)
{
    http_given_start(&g, NULL, -1);
    struct h2_probe_answer *a = h2_probe_one(g.probe, "HEAD", path, NULL, (struct span){0});
    cr_assert_eq(a->status, 200);
    cr_assert_eq(a->body.length, 0);
    cr_assert(is_taken(0));
}

Test(global_http_stream, a_stop_ends_them_as_answers_end)
{
    http_given_start(&g, NULL, -1);
    int32_t id = follow(NULL, NULL);
    json_decref(event(id, 0));
    json_decref(event(follow(NULL, NULL), 0));

    global_http_stop(g.http);
    g.http = NULL;

    cr_assert(h2_probe_until(g.probe, h2_probe_stream_closed, &id));
    cr_assert(h2_probe_of(g.probe, id)->ended, "not cut off when the drain's time was over");
}
