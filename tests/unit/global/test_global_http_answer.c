/* SPDX-License-Identifier: Apache-2.0
 * Over real TLS, HTTP/2 and LMDB: forms, codings and tags of answers. */
#include "common/run/body_decode.h"
#include "http_given.h"

static struct http_given g;

static void setup(void)
{
    http_given_init(&g);
    http_given_start(&g, NULL, -1);
}

static void teardown(void)
{
    http_given_done(&g);
}

TestSuite(global_http_answer, .init = setup, .fini = teardown, .timeout = 60);

#define NO_FIELD NULL

/* One field more, or none. */
static struct h2_probe_answer *ask(const char *method, const char *path, const char *name,
                                   const char *value)
{
    const char *fields[] = {name, value, NULL};
    return h2_probe_one(g.probe, method, path, name == NULL ? NULL : fields, (struct span){0});
}

static const char *stats_path(unsigned minutes)
{
    static char path[256];
    (void)snprintf(path, sizeof(path), "/v1/stats?ad_id=%s&window=1m&start=%llu&end=%llu", g.ads[0],
                   GIVEN_MINUTE * 60ULL, (GIVEN_MINUTE + minutes) * 60ULL);
    return path;
}

static const char *header(struct h2_probe_answer *a, const char *name)
{
    static char value[8][128];
    static unsigned next;
    char *out = value[next++ % 8];
    char start[64];
    (void)snprintf(start, sizeof(start), "\n%s: ", name);
    (void)h2_probe_has(a, "");
    const char *found = strstr((const char *)a->headers.data, start);
    out[0] = '\0';
    if (found != NULL)
        (void)snprintf(out, 128, "%.*s", (int)strcspn(found + strlen(start), "\n"),
                       found + strlen(start));
    return out;
}

Test(global_http_answer, rows_come_where_the_client_takes_them)
{
    char wanted[512];
    char marks[64];
    (void)snprintf(wanted, sizeof(wanted),
                   "ad_id,timestamp,click_count,unique_users,unique_users_error,complete,final\r\n"
                   "\"%s\",%llu,5,2,0.0163,true,false\r\n\"%s\",%llu,0,,,false,false\r\n",
                   g.ads[0], GIVEN_MINUTE * 60ULL, g.ads[0], GIVEN_MINUTE * 60ULL + 60);
    (void)snprintf(marks, sizeof(marks), "us=%llu, eu=%llu", GIVEN_MINUTE * 60ULL + 70,
                   GIVEN_MINUTE * 60ULL + 70);

    struct h2_probe_answer *csv = ask("GET", stats_path(2), "accept", "text/csv, */*;q=0.5");
    cr_assert_eq(csv->status, 200);
    cr_assert_str_eq(h2_probe_text(csv), wanted);
    cr_assert_str_eq(header(csv, "content-type"), "text/csv; charset=utf-8");
    cr_assert_str_eq(header(csv, "tributary-watermarks"), marks);
    cr_assert_str_eq(header(csv, "tributary-missing-edges"), "0");
    cr_assert_eq(strtoull(header(csv, "tributary-as-of"), NULL, 10), GIVEN_NOW_MS / 1000);

    struct h2_probe_answer *rows = ask("GET", stats_path(1), "accept", "application/x-ndjson");
    json_t *row = http_given_json(rows);
    cr_assert_str_eq(header(rows, "content-type"), "application/x-ndjson");
    cr_assert_str_eq(json_string_value(json_object_get(row, "ad_id")), g.ads[0]);
    cr_assert_eq(json_integer_value(json_object_get(row, "click_count")), 5);
    json_decref(row);

    char top[128];
    (void)snprintf(top, sizeof(top), "/v1/top?start=%llu&end=%llu&limit=1", GIVEN_MINUTE * 60ULL,
                   GIVEN_MINUTE * 60ULL + 60);
    (void)snprintf(wanted, sizeof(wanted), "ad_id,click_count\r\n\"%s\",25\r\n", g.ads[1]);
    cr_assert_str_eq(h2_probe_text(ask("GET", top, "accept", "text/csv")), wanted);
}

Test(global_http_answer, what_cannot_be_had_is_a_406_that_names_what_can)
{
    struct h2_probe_answer *a = ask("GET", stats_path(1), "accept", "text/html");
    cr_assert_eq(a->status, 406);
    cr_assert_str_eq(header(a, "content-type"), "application/problem+json");
    cr_assert_not_null(strstr(h2_probe_text(a), "problem:not_acceptable"));
    cr_assert_not_null(
        strstr(h2_probe_text(a), "as application/json, application/x-ndjson, text/csv"));
    a = ask("GET", "/v1/watermarks", "accept", "text/csv");
    cr_assert_eq(a->status, 406);
    cr_assert_not_null(strstr(h2_probe_text(a), "as application/json\""), "%s", h2_probe_text(a));
    a = ask("GET", stats_path(1), "accept-encoding", "br, *;q=0");
    cr_assert_eq(a->status, 406);
    cr_assert_not_null(strstr(h2_probe_text(a), "gzip, zstd and identity"));
    cr_assert_eq(metrics_get(g.metrics, GLOBAL_QUERIES_REFUSED), 3);
}

Test(global_http_answer, long_answers_are_packed_and_unpack_to_the_same)
{
    const struct body_decode_limits limits = {.bytes_max = 1u << 20, .ratio_max = 1000};
    struct body_decode *d = body_decode_new();
    char *plain = strdup(h2_probe_text(ask("GET", stats_path(60), NO_FIELD, NULL)));
    static const struct {
        const char *name;
        enum body_decode_coding coding;
    } codings[] = {{"gzip", BODY_DECODE_GZIP}, {"zstd", BODY_DECODE_ZSTD}};
    for (unsigned i = 0; i < countof(codings); i++) {
        struct buf back = {0};
        struct h2_probe_answer *a = ask("GET", stats_path(60), "accept-encoding", codings[i].name);
        cr_assert_str_eq(header(a, "content-encoding"), codings[i].name);
        cr_assert_lt(a->body.length, strlen(plain) / 4);
        cr_assert_eq(body_decode_run(d, codings[i].coding, buf_span(&a->body), &limits, &back),
                     BODY_DECODE_OK);
        cr_assert(span_equal(buf_span(&back), span_of_text(plain)));
        buf_done(&back);
        struct h2_probe_answer *head =
            ask("HEAD", stats_path(60), "accept-encoding", codings[i].name);
        cr_assert(span_equal(buf_span(&head->headers), buf_span(&a->headers)));
        cr_assert_eq(head->body.length, 0);
    }
    cr_assert_str_eq(
        header(ask("GET", stats_path(1), "accept-encoding", "gzip"), "content-encoding"), "");
    cr_assert_eq(metrics_get(g.metrics, GLOBAL_ANSWERS_PACKED), 4);
    body_decode_free(d);
    free(plain);
}

Test(global_http_answer, what_the_client_has_is_not_sent_again_until_it_changes)
{
    struct h2_probe_answer *first = ask("GET", stats_path(2), NO_FIELD, NULL);
    const char *tag = header(first, "etag");
    cr_assert(tag[0] == 'W' && strlen(tag) == 20, "%s", tag);
    cr_assert_str_eq(header(first, "cache-control"), "private, no-cache");
    cr_assert_str_eq(header(first, "vary"), "accept, accept-encoding, authorization");

    sim_clock_advance(&g.w->clock, 5000); /* as_of moves, the counts do not */
    struct h2_probe_answer *again = ask("GET", stats_path(2), "if-none-match", tag);
    cr_assert_eq(again->status, 304);
    cr_assert_eq(again->body.length, 0);
    cr_assert_str_eq(header(again, "etag"), tag);
    cr_assert_str_eq(header(again, "content-length"), "");
    cr_assert_str_eq(header(again, "vary"), header(first, "vary"));
    cr_assert_eq(ask("HEAD", stats_path(2), "if-none-match", "*")->status, 304);
    cr_assert_eq(ask("GET", stats_path(1), "if-none-match", tag)->status, 200);
    cr_assert_eq(metrics_get(g.metrics, GLOBAL_NOT_MODIFIED), 2);
    const char *both[] = {"if-none-match", "\"x\"", "if-none-match", tag, NULL};
    cr_assert_eq(h2_probe_one(g.probe, "GET", stats_path(2), both, (struct span){0})->status, 304);
    const char *csv[] = {"if-none-match", tag, "accept", "text/csv", NULL};
    cr_assert_eq(h2_probe_one(g.probe, "GET", stats_path(2), csv, (struct span){0})->status, 200);

    struct given_replica *r = given_replica(g.w, 0, 0, "us-r2");
    r->closed_before = GIVEN_MINUTE + 1;
    given_click(r, g.ads[0], GIVEN_MINUTE + 1, 1, 9, 0);
    given_cut(r);
    given_replica_free(r);
    cr_assert_eq(given_run(g.w), ERR_OK);
    struct h2_probe_answer *new = ask("GET", stats_path(2), "if-none-match", tag);
    cr_assert_eq(new->status, 200);
    cr_assert_str_neq(header(new, "etag"), tag);
}

Test(global_http_answer, an_edge_that_goes_missing_changes_the_tag)
{
    const char *tag = header(ask("GET", stats_path(1), NO_FIELD, NULL), "etag");
    struct given_replica *r = given_replica(g.w, 0, 1, "us-r1");
    (void)snprintf(r->missing, sizeof(r->missing), "us-e1");
    r->cut = 10;
    given_cut(r);
    given_replica_free(r);
    cr_assert_eq(given_run(g.w), ERR_OK);
    struct h2_probe_answer *a = ask("GET", stats_path(1), "if-none-match", tag);
    cr_assert_eq(a->status, 200);
    cr_assert_not_null(strstr(h2_probe_text(a), "us-e1"));
}

Test(global_http_answer, what_moves_all_the_time_is_kept_by_nobody)
{
    static const char *const paths[] = {"/v1/balance", "/v1/watermarks"};
    for (unsigned i = 0; i < countof(paths); i++) {
        struct h2_probe_answer *a = ask("GET", paths[i], "if-none-match", "*");
        cr_assert_eq(a->status, 200);
        cr_assert_str_eq(header(a, "cache-control"), "no-store");
        cr_assert_str_eq(header(a, "etag"), "");
    }
    cr_assert_eq(ask("GET", "/v1/ads", "if-none-match", "*")->status, 304);
}

static void damage(unsigned table, struct leaf_key key)
{
    struct kv_txn *txn;
    cr_assert_eq(kv_begin(g.kv, true, &txn), ERR_OK);
    kv_put(txn, table, leaf_key_span(&key), span_of_text("no value of ours"));
    cr_assert_eq(kv_commit(&txn), ERR_OK);
}

static void expect_unavailable(const char *path)
{
    struct h2_probe_answer *a = ask("GET", path, NO_FIELD, NULL);
    cr_assert_eq(a->status, 503, "%s: %u: %s", path, a->status, h2_probe_text(a));
    cr_assert_not_null(strstr(h2_probe_text(a), "problem:store_unavailable"));
    cr_assert_str_eq(header(a, "retry-after"), "1");
    cr_assert_str_eq(header(a, "etag"), "");
}

Test(global_http_answer, a_damaged_store_is_a_503_and_never_no_clicks)
{
    char top[128];
    (void)snprintf(top, sizeof(top), "/v1/top?start=%llu&end=%llu", GIVEN_MINUTE * 60ULL,
                   GIVEN_MINUTE * 60ULL + 60);
    uint64_t ad = hash_ad(span_of_text(g.ads[0]));
    damage(LEAF_TABLE_PAGE, leaf_key_page(ad, GIVEN_MINUTE / 60));
    expect_unavailable(stats_path(1));
    expect_unavailable(top);
    expect_unavailable("/v1/ads");
    damage(LEAF_TABLE_REGION, leaf_key_region(1));
    expect_unavailable("/v1/balance");
    expect_unavailable("/v1/watermarks");
    cr_assert_eq(metrics_get(g.metrics, GLOBAL_QUERIES_FAILED), 5);
}
