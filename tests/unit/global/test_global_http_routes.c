/* SPDX-License-Identifier: Apache-2.0
 * Over real TLS, HTTP/2 and LMDB: a token opens what it says, and what it does not open cannot be
 * told from what is not there. */
#include "global/core/retire.h"
#include "http_given.h"
#include "tokens_given.h"

static struct http_given g;
static struct tokens_given book;
static struct global_tokens *tokens;
static struct tokens_given_token all, one, prefix, none, admin, expired, slow;

static void setup(void)
{
    char *error = NULL;
    http_given_init(&g);
    tokens_given_init(&book, g.folder);
    all = tokens_given_add(&book, "*", TOKEN_STATS_READ, 0, 0);
    one = tokens_given_add(&book, g.ads[0], TOKEN_STATS_READ, GIVEN_NOW_MS / 1000 + 1, 0);
    prefix = tokens_given_add(&book, "ad-*", TOKEN_STATS_READ, 0, 0);
    none = tokens_given_add(&book, "-", TOKEN_STATS_READ, 0, 0);
    admin = tokens_given_add(&book, "-", TOKEN_ADMIN, 0, 0);
    expired = tokens_given_add(&book, "*", TOKEN_STATS_READ, GIVEN_NOW_MS / 1000, 0);
    slow = tokens_given_add(&book, "*", TOKEN_STATS_READ, 0, 2);
    tokens_given_write(&book);
    cr_assert_eq(global_tokens_open(book.path, book.key_path, &g.w->clock.port, &tokens, &error),
                 ERR_OK, "%s", error);
}

static void teardown(void)
{
    http_given_done(&g);
    global_tokens_free(tokens);
    buf_done(&book.lines);
}

TestSuite(global_http_routes, .init = setup, .fini = teardown, .timeout = 60);

/* The first minute is complete, the second is not. */
static const char *stats_path(const char *ad, unsigned minutes, const char *rest)
{
    static char path[512];
    (void)snprintf(path, sizeof(path), "/v1/stats?ad_id=%s&window=1m&start=%llu&end=%llu%s", ad,
                   GIVEN_MINUTE * 60ULL, (GIVEN_MINUTE + minutes) * 60ULL, rest);
    return path;
}

static const char *top_path(unsigned minutes, const char *rest)
{
    static char path[512];
    (void)snprintf(path, sizeof(path), "/v1/top?start=%llu&end=%llu%s", GIVEN_MINUTE * 60ULL,
                   (GIVEN_MINUTE + minutes) * 60ULL, rest);
    return path;
}

static void expect_problem(struct h2_probe_answer *a, unsigned status, const char *token,
                           const char *words)
{
    char type[128];
    cr_assert_eq(a->status, status, "%u: %s", a->status, h2_probe_text(a));
    cr_assert(h2_probe_has(a, "content-type: application/problem+json\n"));
    json_t *root = http_given_json(a);
    (void)snprintf(type, sizeof(type), "urn:tributary:problem:%s", token);
    cr_assert_str_eq(json_string_value(json_object_get(root, "type")), type);
    cr_assert_not_null(strstr(json_string_value(json_object_get(root, "detail")), words), "%s",
                       h2_probe_text(a));
    json_decref(root);
}

static void expect_body(struct h2_probe_answer *a, const char *wanted)
{
    cr_assert_eq(a->status, 200, "%u: %s", a->status, h2_probe_text(a));
    cr_assert(h2_probe_has(a, "cache-control: private, no-cache\n"));
    cr_assert_str_eq(h2_probe_text(a), wanted);
}

static const char *standing(void)
{
    static char text[256];
    unsigned long long mark = GIVEN_MINUTE * 60ULL + 70;
    (void)snprintf(text, sizeof(text),
                   "\"as_of\":%llu,\"watermarks\":{\"us\":%llu,\"eu\":%llu},\"missing_edges\":[]}",
                   GIVEN_NOW_MS / 1000, mark, mark);
    return text;
}

Test(global_http_routes, without_a_token_that_holds_nothing_answers)
{
    static const char *const paths[] = {"/v1/stats", "/v1/top", "/v1/ads", "/v1/balance",
                                        "/v1/watermarks"};
    char wrong[TOKEN_TEXT_CHARS + 1];
    http_given_start(&g, tokens, -1);
    memcpy(wrong, all.text, sizeof(wrong));
    wrong[TOKEN_TEXT_CHARS - 1] ^= 1;
    const char *const bad[] = {NULL, "x", wrong, expired.text};
    const char *first = NULL;
    for (unsigned i = 0; i < countof(paths); i++)
        for (unsigned j = 0; j < countof(bad); j++) {
            struct h2_probe_answer *a = http_given_get(&g, bad[j], paths[i]);
            expect_problem(a, 401, "unauthorized", "Bearer");
            cr_assert(h2_probe_has(a, "www-authenticate: Bearer realm=\"tributary\"\n"));
            first = first == NULL ? h2_probe_text(a) : first;
            cr_assert_str_eq(h2_probe_text(a), first, "an answer tells why");
        }
    cr_assert_eq(metrics_get(g.metrics, GLOBAL_QUERIES_UNAUTHORIZED),
                 countof(paths) * countof(bad));
}

Test(global_http_routes, two_tokens_or_another_scheme_are_none)
{
    char bearer[256];
    char basic[256];
    http_given_start(&g, tokens, -1);
    (void)snprintf(bearer, sizeof(bearer), "Bearer %s", all.text);
    (void)snprintf(basic, sizeof(basic), "Basic %s", all.text);
    const char *twice[] = {"authorization", bearer, "authorization", bearer, NULL};
    const char *other[] = {"authorization", basic, NULL};
    const char *good[] = {"authorization", bearer, NULL};
    cr_assert_eq(h2_probe_one(g.probe, "GET", "/v1/ads", twice, (struct span){0})->status, 401);
    cr_assert_eq(h2_probe_one(g.probe, "GET", "/v1/ads", other, (struct span){0})->status, 401);
    cr_assert_eq(h2_probe_one(g.probe, "GET", "/v1/ads", good, (struct span){0})->status, 200);
    cr_assert_eq(h2_probe_one(g.probe, "POST", "/v1/top", good, (struct span){0})->status, 405);
}

static const char *without_tag(struct h2_probe_answer *a)
{
    static const char end[] = "etag: W/\"0123456789abcdef\"\n";
    (void)h2_probe_has(a, "");
    char *tag = strstr((char *)a->headers.data, "etag: ");
    if (tag != NULL)
        memmove(tag, tag + strlen(end), strlen(tag + strlen(end)) + 1);
    return (const char *)a->headers.data;
}

Test(global_http_routes, a_foreign_ad_is_answered_as_one_that_nobody_clicked)
{
    static const char *const rests[] = {"", "&fill=none", "&consistency=complete",
                                        "&consistency=final", "&window=2m"};
    char unknown[16];
    http_given_start(&g, tokens, -1);
    (void)snprintf(unknown, sizeof(unknown), "%s", g.ads[1]);
    do /* of one length and one partition, and without a click */
        unknown[3] = unknown[3] == 'Z' ? 'a' : unknown[3] < 'A' ? 'A' : (char)(unknown[3] + 1);
    while (hash_partition(hash_ad(span_of_text(unknown)), GIVEN_PARTITIONS) != 0);
    for (unsigned minutes = 1; minutes <= 3; minutes++)
        for (unsigned i = 0; i < countof(rests); i++) {
            struct h2_probe_answer *foreign =
                http_given_get(&g, one.text, stats_path(g.ads[1], minutes, rests[i]));
            struct h2_probe_answer *nobody =
                http_given_get(&g, one.text, stats_path(unknown, minutes, rests[i]));
            cr_assert_eq(foreign->status, nobody->status);
            char *text = strdup(h2_probe_text(foreign));
            char *name = strstr(text, g.ads[1]);
            for (size_t j = 0; name != NULL && unknown[j] != '\0'; j++)
                name[j] = unknown[j];
            cr_assert_str_eq(text, h2_probe_text(nobody));
            /* The tag is of the name as well. */
            cr_assert_str_eq(without_tag(foreign), without_tag(nobody));
            free(text);
        }
    json_t *own = http_given_json(http_given_get(&g, one.text, stats_path(g.ads[0], 1, "")));
    json_t *point = json_array_get(json_object_get(own, "data"), 0);
    cr_assert_eq(json_integer_value(json_object_get(point, "click_count")), 5);
    json_decref(own);
}

Test(global_http_routes, the_top_holds_the_ads_of_the_token_alone)
{
    char head[128];
    char wanted[1024];
    http_given_start(&g, tokens, -1);
    (void)snprintf(head, sizeof(head),
                   "{\"start\":%llu,\"end\":%llu,\"complete\":true,\"final\":false,\"ads\":[",
                   GIVEN_MINUTE * 60ULL, (GIVEN_MINUTE + 1) * 60ULL);

    (void)snprintf(
        wanted, sizeof(wanted),
        "%s{\"ad_id\":\"%s\",\"click_count\":25},{\"ad_id\":\"%s\",\"click_count\":5}],%s", head,
        g.ads[1], g.ads[0], standing());
    expect_body(http_given_get(&g, all.text, top_path(1, "")), wanted);
    expect_body(http_given_get(&g, prefix.text, top_path(1, "&consistency=complete")), wanted);

    (void)snprintf(wanted, sizeof(wanted), "%s{\"ad_id\":\"%s\",\"click_count\":5}],%s", head,
                   g.ads[0], standing());
    expect_body(http_given_get(&g, one.text, top_path(1, "&limit=1")), wanted);

    (void)snprintf(wanted, sizeof(wanted), "%s],%s", head, standing());
    expect_body(http_given_get(&g, none.text, top_path(1, "")), wanted);

    expect_problem(http_given_get(&g, all.text, top_path(2, "&consistency=complete")), 409,
                   "not_complete", "range");
    expect_problem(http_given_get(&g, all.text, top_path(1, "&consistency=final")), 409,
                   "not_settled", "settled");
}

Test(global_http_routes, the_list_of_ads_holds_those_of_the_token_alone)
{
    char wanted[256];
    char path[256];
    http_given_start(&g, tokens, -1);
    unsigned long long minute = GIVEN_MINUTE * 60ULL;
    (void)snprintf(wanted, sizeof(wanted),
                   "{\"ads\":[{\"ad_id\":\"%s\",\"first_seen\":%llu,\"last_seen\":%llu}],"
                   "\"next\":null}",
                   g.ads[0], minute, minute);
    expect_body(http_given_get(&g, one.text, "/v1/ads"), wanted);
    expect_body(http_given_get(&g, one.text, "/v1/ads?limit=1"), wanted);
    (void)snprintf(path, sizeof(path), "/v1/ads?prefix=%s", g.ads[0]);
    expect_body(http_given_get(&g, all.text, path), wanted);
    (void)snprintf(path, sizeof(path), "/v1/ads?prefix=%s", g.ads[1]);
    expect_body(http_given_get(&g, one.text, path), "{\"ads\":[],\"next\":null}");
    expect_body(http_given_get(&g, none.text, "/v1/ads"), "{\"ads\":[],\"next\":null}");
    json_t *both = http_given_json(http_given_get(&g, prefix.text, "/v1/ads"));
    cr_assert_eq(json_array_size(json_object_get(both, "ads")), 2);
    json_decref(both);
}

Test(global_http_routes, the_balance_is_for_admins_and_counts_are_not)
{
    http_given_start(&g, tokens, -1);
    expect_problem(http_given_get(&g, all.text, "/v1/balance"), 403, "forbidden", "scopes");
    expect_problem(http_given_get(&g, admin.text, stats_path(g.ads[0], 1, "")), 403, "forbidden",
                   "scopes");
    expect_problem(http_given_get(&g, admin.text, "/v1/ads"), 403, "forbidden", "scopes");
    expect_problem(http_given_get(&g, admin.text, top_path(1, "")), 403, "forbidden", "scopes");
    cr_assert_eq(http_given_get(&g, admin.text, "/v1/watermarks")->status, 200);

    json_t *books = http_given_json(http_given_get(&g, admin.text, "/v1/balance"));
    json_t *totals = json_object_get(books, "totals");
    /* Two ads and one duplicate each in two regions; 5 + 25 clicks. */
    cr_assert_eq(json_integer_value(json_object_get(totals, "counted")), 30);
    cr_assert_eq(json_integer_value(json_object_get(totals, "duplicate")), 4);
    cr_assert_eq(json_integer_value(json_object_get(totals, "folded")), 34);
    cr_assert_eq(json_integer_value(json_object_get(books, "unexplained")), 0);
    cr_assert_eq(json_array_size(json_object_get(books, "lines")), 4);
    json_decref(books);
}

Test(global_http_routes, a_revoked_token_is_refused_without_a_restart)
{
    char words[3][16] = {"token", "revoke", "--tokens"};
    char *argv[] = {words[0], words[1], words[2], book.path, one.id, NULL};
    http_given_start(&g, tokens, -1);
    cr_assert_eq(http_given_get(&g, one.text, "/v1/ads")->status, 200);
    cr_assert_not(global_tokens_look(tokens, false), "nothing changed");

    cr_assert_eq(global_tokens_command(5, argv, &g.w->clock.port), 0);
    cr_assert(global_tokens_look(tokens, false));

    cr_assert_eq(http_given_get(&g, one.text, "/v1/ads")->status, 401);
    cr_assert_eq(http_given_get(&g, all.text, "/v1/ads")->status, 200);
}

Test(global_http_routes, a_token_expires_while_it_is_used)
{
    http_given_start(&g, tokens, -1);
    cr_assert_eq(http_given_get(&g, one.text, "/v1/ads")->status, 200);
    sim_clock_advance(&g.w->clock, 1000);
    cr_assert_eq(http_given_get(&g, one.text, "/v1/ads")->status, 401);
}

Test(global_http_routes, over_its_rate_a_token_is_told_when_to_come_again)
{
    http_given_start(&g, tokens, -1);
    cr_assert_eq(http_given_get(&g, slow.text, "/v1/ads")->status, 200);
    cr_assert_eq(http_given_get(&g, slow.text, "/v1/balance")->status, 403, "refusals count too");
    struct h2_probe_answer *a = http_given_get(&g, slow.text, "/v1/ads");
    expect_problem(a, 429, "rate_limited", "rate");
    cr_assert(h2_probe_has(a, "retry-after: 1\n"));
    cr_assert_eq(http_given_get(&g, all.text, "/v1/ads")->status, 200, "others go on");
    cr_assert_eq(metrics_get(g.metrics, GLOBAL_QUERIES_LIMITED), 1);
    sim_clock_advance(&g.w->clock, 1000);
    cr_assert_eq(http_given_get(&g, slow.text, "/v1/ads")->status, 200);
}

Test(global_http_routes, bad_parameters_are_named)
{
    static const struct {
        const char *path, *words;
    } bad[] = {
        {"/v1/top", "start: is required"},
        {"/v1/top?start=0", "end: is required"},
        {"/v1/top?start=0&end=30", "end: must be aligned"},
        {"/v1/top?start=60&end=60", "end: must be after start"},
        {"/v1/top?start=0&end=604860", "end: the range must hold at most 10080"},
        {"/v1/top?start=0&end=60&limit=0", "limit: must be a whole number from 1 to 1000"},
        {"/v1/top?start=0&end=60&limit=1001", "limit: must be"},
        {"/v1/top?start=0&end=60&ad_id=x", "ad_id: unknown parameter"},
        {"/v1/top?start=0&end=60&consistency=Final", "consistency: must be one of"},
        {"/v1/ads?limit=x", "limit: must be"},
        {"/v1/ads?cursor=123", "cursor: must be the `next`"},
        {"/v1/ads?prefix=", "prefix: must not be empty"},
        {"/v1/ads?window=1m", "window: unknown parameter"},
        {"/v1/stats?ad_id=x&window=1m&start=0&end=60&fill=no", "fill: must be one of zero, none"},
        {"/v1/stats?ad_id=x&window=1m&start=2026-13-01T00:00:00Z&end=60", "start: must be Unix"},
        {"/v1/watermarks?x=1", "x: unknown parameter"},
    };
    http_given_start(&g, tokens, -1);
    for (unsigned i = 0; i < countof(bad); i++)
        expect_problem(http_given_get(&g, all.text, bad[i].path), 400, "bad_parameter",
                       bad[i].words);
    expect_problem(http_given_get(&g, admin.text, "/v1/balance?all=1"), 400, "bad_parameter",
                   "all: unknown parameter");
}

Test(global_http_routes, what_is_kept_no_longer_is_gone_and_never_zero)
{
    static const struct {
        const char *path;
        unsigned status;
    } asked[] = {
        {"/v1/stats?ad_id=a&window=1m&start=7140&end=7200", 410},
        {"/v1/stats?ad_id=a&window=1m&start=7200&end=7260", 200},
        {"/v1/stats?ad_id=a&window=1h&start=0&end=7200", 200},
        {"/v1/stats?ad_id=a&window=1m&start=0&end=86400", 410},
        {"/v1/top?start=0&end=86400", 200},
        {"/v1/top?start=7140&end=7200", 410},
    };
    struct kv_txn *txn;
    struct buf value = {0};
    struct leaf_key key = leaf_key_horizon();
    const struct retire_horizon horizon = {.minute = 120, .day = 0};
    http_given_start(&g, tokens, -1);
    retire_put(&horizon, &value);
    leaf_seal(&value);
    cr_assert_eq(kv_begin(g.kv, true, &txn), ERR_OK);
    kv_put(txn, LEAF_TABLE_META, leaf_key_span(&key), buf_span(&value));
    cr_assert_eq(kv_commit(&txn), ERR_OK);
    buf_done(&value);

    for (unsigned i = 0; i < countof(asked); i++) {
        struct h2_probe_answer *a = http_given_get(&g, all.text, asked[i].path);
        cr_assert_eq(a->status, asked[i].status, "%s: %s", asked[i].path, h2_probe_text(a));
        if (asked[i].status == 410)
            expect_problem(a, 410, "range_retired", "from 7200 on");
    }
}

Test(global_http_routes, times_are_read_as_rfc_3339_too)
{
    char path[256];
    /* 2023-11-14T22:13:00Z is GIVEN_MINUTE. */
    http_given_start(&g, tokens, -1);
    (void)snprintf(path, sizeof(path),
                   "/v1/stats?ad_id=%s&window=1m&start=2023-11-14T22:13:00Z&"
                   "end=2023-11-14T23:14:00%%2B01:00",
                   g.ads[0]);
    char *by_seconds =
        strdup(h2_probe_text(http_given_get(&g, all.text, stats_path(g.ads[0], 1, ""))));
    expect_body(http_given_get(&g, all.text, path), by_seconds);
    free(by_seconds);
}

Test(global_http_routes, a_read_for_billing_is_on_record_without_the_token)
{
    char line[2048] = {0};
    const char *path = scratch_path(g.folder, "reads");
    int file = open(path, O_RDWR | O_APPEND | O_CREAT, 0600);
    http_given_start(&g, tokens, file);

    cr_assert_eq(http_given_get(&g, all.text, stats_path(g.ads[0], 1, ""))->status, 200);
    cr_assert_eq(lseek(file, 0, SEEK_END), 0, "eventual reads are not for billing");
    cr_assert_eq(
        http_given_get(&g, all.text, stats_path(g.ads[0], 1, "&consistency=complete"))->status,
        200);

    cr_assert_gt(pread(file, line, sizeof(line) - 1, 0), 0);
    cr_assert_not_null(strstr(line, all.id), "%s", line);
    cr_assert_not_null(strstr(line, g.ads[0]), "%s", line);
    cr_assert_null(strstr(line, all.text + 5 + TOKEN_ID_CHARS), "%s", line);
    cr_assert_eq(strchr(line, '\n'), line + strlen(line) - 1, "one line: %s", line);
    (void)close(file);
}

Test(global_http_routes, a_read_that_cannot_be_recorded_is_not_answered)
{
    int file = open("/dev/full", O_WRONLY | O_APPEND);
    http_given_start(&g, tokens, file);
    expect_problem(http_given_get(&g, all.text, stats_path(g.ads[0], 1, "&consistency=complete")),
                   503, "read_log_unavailable", "record");
    expect_problem(http_given_get(&g, all.text, top_path(1, "&consistency=complete")), 503,
                   "read_log_unavailable", "record");
    cr_assert_eq(http_given_get(&g, all.text, stats_path(g.ads[0], 1, ""))->status, 200);
    cr_assert_eq(metrics_get(g.metrics, GLOBAL_READS_UNLOGGED), 2);
    (void)close(file);
}

Test(global_http_routes, tokens_are_in_no_log)
{
    struct scratch_stderr heard = scratch_stderr_begin();
    log_init("test", LOG_DEBUG);
    http_given_start(&g, tokens, -1);
    (void)http_given_get(&g, all.text, stats_path(g.ads[0], 1, "&consistency=complete"));
    (void)http_given_get(&g, all.text, stats_path(g.ads[0], 2, "&consistency=complete"));
    (void)http_given_get(&g, all.text, "/v1/balance");
    (void)http_given_get(&g, expired.text, "/v1/ads");
    (void)global_tokens_look(tokens, true);
    char *log = scratch_stderr_end(heard);
    cr_assert_not_null(strstr(log, all.id), "the log was heard: %s", log);
    cr_assert_null(strstr(log, all.text + 5 + TOKEN_ID_CHARS));
    cr_assert_null(strstr(log, expired.text + 5 + TOKEN_ID_CHARS));
    free(log);
}
