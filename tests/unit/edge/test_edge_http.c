/* SPDX-License-Identifier: Apache-2.0
 * Claims about edge_http: the HTTP contract of the edge, request by request, without a network. */
#include "common/run/h2_server.h"
#include "edge/edge_http.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define NOW_MS 1700000000123ULL
#define GOOD   "{\"ad_id\":\"a\",\"user_id\":\"u\",\"timestamp\":1700000000}"
#define GOOD_2 "{\"ad_id\":\"b\",\"user_id\":\"u\",\"timestamp\":1700000000000,\"click_id\":\"c\"}"
#define TO_EU  "{\"ad_id\":\"a\",\"user_id\":\"u\",\"timestamp\":1700000000,\"home\":\"eu\"}"
#define BAD    "{\"ad_id\":\"a\",\"user_id\":\"u\",\"timestamp\":\"soon\"}"

static const uint8_t secret[HASH_KEY_BYTES] = {1};
static const char regions[2][LIMIT_REGION_NAME_BYTES + 1] = {"us", "eu"};
static const struct edge_http_rules rules = {
    .admit = {.secret = secret,
              .regions = regions,
              .region_count = 2,
              .own_region = 0,
              .partitions = 4,
              .horizon_ms = 24 * 3600 * 1000},
    .batch_clicks_max = 1000,
};

static struct edge_refused refused;
static struct h2_header fields[16];
static struct h2_request request;

static void given_field(const char *name, const char *value)
{
    fields[request.header_count++] = (struct h2_header){name, value};
}

static void given_request(const char *method, const char *path, const char *type, const char *body)
{
    request = (struct h2_request){.method = method,
                                  .path = path,
                                  .query = "",
                                  .authority = "x",
                                  .headers = fields,
                                  .peer_ip = "203.0.113.9",
                                  .body = span_of_text(body)};
    if (type != NULL)
        given_field("content-type", type);
}

static struct edge_job *judged_at(enum edge_gate gate)
{
    return edge_job_new(&rules, &refused, &request, gate, NOW_MS);
}

static struct edge_job *judged(void)
{
    return judged_at(EDGE_GATE_OPEN);
}

static struct edge_job *posted(const char *type, const char *body)
{
    given_request("POST", "/v1/clicks", type, body);
    return judged();
}

static json_t *parsed(const struct edge_job *job)
{
    json_error_t error;
    json_t *root = json_loadb((const char *)job->answer.body.data, job->answer.body.length,
                              JSON_REJECT_DUPLICATES, &error);
    cr_assert(root != NULL, "answer is no JSON: %s in %.*s", error.text,
              (int)job->answer.body.length, (const char *)job->answer.body.data);
    return root;
}

/* A problem document of that status and token, with nothing to be stored. Frees the job. */
static void expect_problem(struct edge_job *job, unsigned status, const char *token)
{
    char type[128];
    cr_assert_neq(job->answer.outcome, EDGE_OUTCOME_NONE, "expected a problem, got items");
    cr_expect_eq(job->answer.status, status, "%s: got %u, not %u", token, job->answer.status,
                 status);
    cr_expect_str_eq(job->answer.content_type, "application/problem+json");
    json_t *root = parsed(job);
    snprintf(type, sizeof(type), "urn:tributary:problem:%s", token);
    cr_expect_str_eq(json_string_value(json_object_get(root, "type")), type);
    cr_expect_eq(json_integer_value(json_object_get(root, "status")), status);
    cr_expect(json_is_string(json_object_get(root, "title")));
    cr_expect(json_is_string(json_object_get(root, "detail")));
    json_decref(root);
    edge_job_free(job);
}

static struct edge_job *stored(struct edge_job *job, uint32_t items)
{
    cr_assert_eq(job->answer.outcome, EDGE_OUTCOME_NONE, "answered %u: %.*s", job->answer.status,
                 (int)job->answer.body.length, (const char *)job->answer.body.data);
    cr_assert_eq(job->item_count, items);
    return job;
}

static void expect_body(struct edge_job *job, const char *body)
{
    cr_expect_eq(job->answer.body.length, strlen(body));
    cr_expect(job->answer.body.length == strlen(body) &&
                  memcmp(job->answer.body.data, body, strlen(body)) == 0,
              "got %.*s", (int)job->answer.body.length, (const char *)job->answer.body.data);
    edge_job_free(job);
}

Test(edge_http, one_click_is_answered_with_its_home_and_durability)
{
    struct edge_job *job = stored(posted("application/json", GOOD), 1);

    edge_job_release(job);
    edge_job_accepted(job, EDGE_SPOOLED);

    cr_expect_eq(job->answer.status, 202);
    cr_expect_str_eq(job->answer.content_type, "application/json");
    expect_body(job, "{\"accepted\":1,\"refused\":0,\"home\":\"us\",\"durability\":\"spooled\"}");
}

Test(edge_http, a_single_click_answers_its_own_home_and_a_batch_the_edges)
{
    struct edge_job *one = stored(posted("application/json", TO_EU), 1);
    cr_expect_eq(one->items[0].home, 1);
    edge_job_accepted(one, EDGE_REPLICATED);
    expect_body(one,
                "{\"accepted\":1,\"refused\":0,\"home\":\"eu\",\"durability\":\"replicated\"}");

    struct edge_job *two = stored(posted("application/json", "[" TO_EU "," GOOD_2 "]"), 2);
    edge_job_accepted(two, EDGE_REPLICATED);
    expect_body(two,
                "{\"accepted\":2,\"refused\":0,\"home\":\"us\",\"durability\":\"replicated\"}");

    struct edge_job *half = stored(posted("application/json", "[" TO_EU "," BAD "]"), 1);
    cr_expect_str_eq(half->home, "us");
    edge_job_free(half);
}

Test(edge_http, a_bad_click_refuses_itself_alone_and_is_named)
{
    struct edge_job *job = stored(posted("application/json", "[" GOOD "," BAD "," GOOD_2 "]"), 2);

    edge_job_accepted(job, EDGE_SPOOLED);

    json_t *root = parsed(job), *refusals = json_object_get(root, "refusals");
    cr_expect_eq(json_integer_value(json_object_get(root, "accepted")), 2);
    cr_expect_eq(json_integer_value(json_object_get(root, "refused")), 1);
    cr_assert_eq(json_array_size(refusals), 1);
    json_t *first = json_array_get(refusals, 0);
    cr_expect_eq(json_integer_value(json_object_get(first, "index")), 1);
    cr_expect_str_eq(json_string_value(json_object_get(first, "field")), "timestamp");
    cr_expect_str_eq(json_string_value(json_object_get(first, "error")), "wrong_kind");
    cr_expect(json_object_get(root, "results") == NULL);
    cr_expect(json_object_get(root, "refusals_truncated") == NULL);
    json_decref(root);
    edge_job_free(job);
}

Test(edge_http, one_bad_click_among_ninety_nine_good_ones_costs_only_itself)
{
    struct buf body = {0};
    for (unsigned i = 0; i < 100; i++) {
        buf_put(&body, i == 0 ? "[" : ",", 1);
        const char *click = i == 42 ? BAD : GOOD;
        buf_put(&body, click, strlen(click));
    }
    buf_put(&body, "]\0", 2);

    struct edge_job *job = stored(posted("application/json", (const char *)body.data), 99);

    cr_expect_eq(job->refused_count, 1);
    cr_expect_eq(job->click_count, 100);
    edge_job_free(job);
    buf_done(&body);
}

Test(edge_http, at_most_a_hundred_refusals_are_listed_and_all_are_counted)
{
    struct buf body = {0};
    buf_put(&body, "[" GOOD, 1 + strlen(GOOD));
    for (unsigned i = 0; i < 150; i++)
        buf_put(&body, ",5", 2);
    buf_put(&body, "]\0", 2);

    struct edge_job *job = stored(posted("application/json", (const char *)body.data), 1);
    edge_job_accepted(job, EDGE_SPOOLED);

    json_t *root = parsed(job);
    cr_expect_eq(json_integer_value(json_object_get(root, "refused")), 150);
    cr_expect_eq(json_array_size(json_object_get(root, "refusals")), 100);
    cr_expect(json_is_true(json_object_get(root, "refusals_truncated")));
    json_decref(root);
    edge_job_free(job);
    buf_done(&body);
}

Test(edge_http, representation_lists_a_result_for_each_click_in_order)
{
    given_request("POST", "/v1/clicks", "application/json", "[" BAD "," TO_EU "," GOOD "]");
    given_field("prefer", "respond-async, RETURN=representation; foo=bar");
    struct edge_job *job = stored(judged(), 2);

    edge_job_accepted(job, EDGE_SPOOLED);

    json_t *root = parsed(job), *results = json_object_get(root, "results");
    cr_assert_eq(json_array_size(results), 3);
    const char *statuses[] = {"refused", "accepted", "accepted"};
    for (size_t i = 0; i < 3; i++) {
        json_t *result = json_array_get(results, i);
        cr_expect_eq(json_integer_value(json_object_get(result, "index")), (json_int_t)i);
        cr_expect_str_eq(json_string_value(json_object_get(result, "status")), statuses[i]);
    }
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(results, 1), "home")), "eu");
    cr_expect(json_object_get(root, "refusals") == NULL);
    json_decref(root);
    edge_job_free(job);
}

Test(edge_http, preferences_may_come_in_several_fields_and_unknown_ones_are_ignored)
{
    given_request("POST", "/v1/clicks", "application/json", GOOD);
    given_field("prefer", "wait=5");
    given_field("prefer", "durability=replicated");
    struct edge_job *job = stored(judged(), 1);
    cr_expect(job->want_replicated);
    cr_expect(!job->want_results);
    edge_job_free(job);

    given_request("POST", "/v1/clicks", "application/json", GOOD);
    given_field("prefer", "durability=replicatedx, xreturn=representation");
    job = stored(judged(), 1);
    cr_expect(!job->want_replicated && !job->want_results);
    edge_job_free(job);
}

Test(edge_http, a_body_without_one_good_click_is_400_and_says_why)
{
    struct edge_job *job = posted("application/json", "[" BAD "," BAD "]");
    cr_assert_eq(job->answer.status, 400);
    cr_expect_eq(job->item_count, 0);
    json_t *root = parsed(job);
    cr_expect_eq(json_array_size(json_object_get(root, "refusals")), 2);
    cr_expect_eq(json_integer_value(json_object_get(root, "refused")), 2);
    json_decref(root);
    expect_problem(job, 400, "clicks_refused");

    expect_problem(posted("application/json", BAD), 400, "clicks_refused");
}

Test(edge_http, a_syntax_fault_of_a_document_refuses_all_of_it_with_the_offset)
{
    struct edge_job *job = posted("application/json", "[" GOOD ",}");
    json_t *root = parsed(job);
    char offset[32];
    snprintf(offset, sizeof(offset), "byte offset %zu.", strlen("[" GOOD ","));
    cr_expect(strstr(json_string_value(json_object_get(root, "detail")), offset) != NULL, "%s",
              json_string_value(json_object_get(root, "detail")));
    json_decref(root);
    expect_problem(job, 400, "invalid_json");
    expect_problem(posted("application/json", ""), 400, "invalid_json");
    expect_problem(posted("application/json", "\xff"), 400, "invalid_json");
    expect_problem(posted("application/json", GOOD "x"), 400, "invalid_json");
    expect_problem(posted("application/json", "5"), 400, "not_object");
}

Test(edge_http, a_bad_line_refuses_that_line_alone)
{
    struct edge_job *job =
        stored(posted("application/x-ndjson", GOOD "\n{\"ad_id\":\n\n" GOOD_2 "\n"), 2);

    edge_job_accepted(job, EDGE_SPOOLED);

    json_t *root = parsed(job);
    json_t *first = json_array_get(json_object_get(root, "refusals"), 0);
    cr_expect_eq(json_integer_value(json_object_get(first, "index")), 1);
    cr_expect(json_is_null(json_object_get(first, "field")));
    json_decref(root);
    edge_job_free(job);
}

Test(edge_http, a_batch_of_none_is_400_and_a_batch_over_the_limit_is_413)
{
    struct buf body = {0};
    expect_problem(posted("application/json", "[]"), 400, "batch_empty");
    expect_problem(posted("application/x-ndjson", "\n\n"), 400, "batch_empty");

    for (unsigned i = 0; i < 1001; i++) {
        buf_put(&body, i == 0 ? "[" : ",", 1);
        buf_put(&body, GOOD, strlen(GOOD));
        if (i == 999) {
            struct buf full = {0};
            buf_put(&full, body.data, body.length);
            buf_put(&full, "]\0", 2);
            edge_job_free(stored(posted("application/json", (const char *)full.data), 1000));
            buf_done(&full);
        }
    }
    buf_put(&body, "]\0", 2);
    expect_problem(posted("application/json", (const char *)body.data), 413, "batch_too_large");
    buf_done(&body);
}

Test(edge_http, content_types_with_parameters_pass_and_others_are_415)
{
    const char *passing[] = {"application/json", "application/json;charset=utf-8",
                             "Application/JSON ; charset=utf-8", "text/plain;charset=UTF-8",
                             "application/x-ndjson"};
    for (size_t i = 0; i < countof(passing); i++)
        edge_job_free(stored(posted(passing[i], GOOD), 1));

    const char *failing[] = {
        NULL, "", "text/html", "application/jsonx", "application/x-www-form-urlencoded", ";"};
    for (size_t i = 0; i < countof(failing); i++)
        expect_problem(posted(failing[i], GOOD), 415, "content_type_unknown");

    given_request("POST", "/v1/clicks", "application/json", GOOD);
    given_field("content-type", "text/plain");
    expect_problem(judged(), 415, "content_type_unknown");
}

Test(edge_http, without_a_decoder_an_encoding_other_than_identity_is_415)
{
    given_request("POST", "/v1/clicks", "application/json", GOOD);
    given_field("content-encoding", "identity");
    edge_job_free(stored(judged(), 1));

    given_request("POST", "/v1/clicks", "application/json", GOOD);
    given_field("content-encoding", "gzip");
    expect_problem(judged(), 415, "content_encoding_unknown");
}

Test(edge_http, an_idempotency_key_is_one_to_128_visible_characters_once)
{
    char key[LIMIT_ID_BYTES + 2];
    memset(key, 'k', sizeof(key));
    key[LIMIT_ID_BYTES] = '\0';
    given_request("POST", "/v1/clicks", "application/json", GOOD);
    given_field("idempotency-key", key);
    edge_job_free(stored(judged(), 1));

    key[LIMIT_ID_BYTES] = 'k';
    key[LIMIT_ID_BYTES + 1] = '\0';
    const char *failing[] = {"", "a b", "\xc3\xa4", "a\x7f", key};
    for (size_t i = 0; i < countof(failing); i++) {
        given_request("POST", "/v1/clicks", "application/json", GOOD);
        given_field("idempotency-key", failing[i]);
        expect_problem(judged(), 400, "idempotency_key_invalid");
    }
    given_request("POST", "/v1/clicks", "application/json", GOOD);
    given_field("idempotency-key", "a");
    given_field("idempotency-key", "a");
    expect_problem(judged(), 400, "idempotency_key_invalid");
}

Test(edge_http, the_idempotency_key_identifies_clicks_that_have_no_id)
{
    uint8_t keys[3][HASH_CLICK_BYTES];
    const char *idempotency[] = {"one", "two", "one"};
    for (unsigned i = 0; i < 3; i++) {
        given_request("POST", "/v1/clicks", "application/json", GOOD);
        given_field("idempotency-key", idempotency[i]);
        struct edge_job *job = stored(judged(), 1);
        memcpy(keys[i], job->items[0].click.key, HASH_CLICK_BYTES);
        edge_job_free(job);
    }
    cr_expect_arr_neq(keys[0], keys[1], HASH_CLICK_BYTES);
    cr_expect_arr_eq(keys[0], keys[2], HASH_CLICK_BYTES);
}

Test(edge_http, missing_address_and_agent_are_taken_from_the_request)
{
    given_request("POST", "/v1/clicks", "application/json", GOOD);
    given_field("user-agent", "probe/1");

    struct edge_job *job = stored(judged(), 1);

    const struct click *click = &job->items[0].click;
    cr_expect(span_equal(click->ip_address, span_of_text("203.0.113.9")));
    cr_expect(span_equal(click->user_agent, span_of_text("probe/1")));
    cr_expect_eq(click->received_ms, NOW_MS);
    edge_job_free(job);
}

Test(edge_http, home_is_told_to_get_and_head_alone)
{
    given_request("GET", "/v1/home", NULL, "");
    expect_body(judged(), "{\"home\":\"us\"}");
    given_request("HEAD", "/v1/home", NULL, "");
    expect_body(judged(), "{\"home\":\"us\"}");

    given_request("POST", "/v1/home", NULL, "");
    struct edge_job *job = judged();
    cr_expect_str_eq(job->answer.allow, "GET, HEAD");
    expect_problem(job, 405, "method_not_allowed");
}

Test(edge_http, a_wrong_method_is_405_and_an_unknown_path_404)
{
    const char *methods[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "post"};
    for (size_t i = 0; i < countof(methods); i++) {
        given_request(methods[i], "/v1/clicks", "application/json", GOOD);
        struct edge_job *job = judged();
        cr_expect_str_eq(job->answer.allow, "POST");
        expect_problem(job, 405, "method_not_allowed");
    }
    const char *paths[] = {"/", "", "/v1/clicks/", "/v1/Clicks", "/v1", "*", "/metrics"};
    for (size_t i = 0; i < countof(paths); i++) {
        given_request("POST", paths[i], "application/json", GOOD);
        expect_problem(judged(), 404, "path_unknown");
    }
}

Test(edge_http, a_closed_gate_says_not_stored_and_when_to_come_again)
{
    given_request("POST", "/v1/clicks", "application/json", GOOD);
    struct edge_job *job = judged_at(EDGE_GATE_SPOOL_FULL);
    cr_expect_eq(job->answer.retry_after_s, 1);
    cr_expect_eq(job->item_count, 0);
    cr_expect(strstr((const char *)job->answer.body.data, "not stored") != NULL);
    expect_problem(job, 503, "spool_full");

    job = judged_at(EDGE_GATE_OVERLOADED);
    cr_expect_eq(job->answer.retry_after_s, 1);
    expect_problem(job, 503, "overloaded");

    given_request("GET", "/v1/home", NULL, "");
    expect_body(judged_at(EDGE_GATE_SPOOL_FULL), "{\"home\":\"us\"}");
}

Test(edge_http, what_follows_the_spool_has_its_own_503s)
{
    struct edge_job *job = stored(posted("application/json", GOOD), 1);
    edge_job_spool_full(job);
    expect_problem(job, 503, "spool_full");

    job = stored(posted("application/json", GOOD), 1);
    edge_job_not_replicated(job);
    cr_expect(strstr((const char *)job->answer.body.data, "is safe") != NULL);
    expect_problem(job, 503, "durability_not_reached");
}

Test(edge_http, refused_clicks_are_counted_by_reason)
{
    memset(&refused, 0, sizeof(refused));

    edge_job_free(posted("application/json", "[" GOOD "," BAD "," BAD ",7]"));

    cr_expect_eq(refused.scan[CLICK_JSON_WRONG_KIND], 2);
    cr_expect_eq(refused.scan[CLICK_JSON_NOT_OBJECT], 1);
    edge_job_free(
        posted("application/json", "{\"ad_id\":\"a\",\"user_id\":\"u\",\"timestamp\":1800000000}"));
    cr_expect_eq(refused.admit[ADMIT_FUTURE], 1);
}

Test(edge_http, no_input_is_echoed)
{
    struct edge_job *job =
        posted("application/json", "[" GOOD ",{\"ad_id\":\"zzsecretzz\",\"user_id\":7,"
                                   "\"zzsecretzz\":1}]");
    edge_job_accepted(job, EDGE_SPOOLED);
    buf_put_u8(&job->answer.body, 0);

    cr_expect(strstr((const char *)job->answer.body.data, "zzsecretzz") == NULL);
    edge_job_free(job);
}
