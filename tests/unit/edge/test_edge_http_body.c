/* SPDX-License-Identifier: Apache-2.0
 * Claims about edge_http_body: what a body is before it is judged: its coding, and whether it is
 * JSON. */
#include "edge/edge_http_body.h"

#include "common/run/h2_server.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define NOW_MS 1700000000123ULL
#define GOOD   "{\"ad_id\":\"a\",\"user_id\":\"u\",\"timestamp\":1700000000}"
#define GOOD_2 "{\"ad_id\":\"b\",\"user_id\":\"u\",\"timestamp\":1700000000000,\"click_id\":\"c\"}"

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

static struct edge_job *posted(const char *type, const char *body)
{
    given_request("POST", "/v1/clicks", type, body);
    return edge_job_new(&rules, &refused, &request, EDGE_GATE_OPEN, NOW_MS);
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

static const char *const valid_json[] = {"[]",
                                         "{}",
                                         "null",
                                         "true",
                                         "-0",
                                         "1E-2",
                                         "0e+1",
                                         "123.456e78",
                                         "\"\"",
                                         " [] ",
                                         "[[]   ]",
                                         "[\"\"]",
                                         "[1,null,null,null,2]",
                                         "[0.4e00669999999999999999999969999999006]",
                                         "{\"\":0}",
                                         "{\"a\":\"b\",\"a\":\"b\"}",
                                         "{\"foo\\u0000bar\": 42}",
                                         "[\"\\uD801\\udc37\"]",
                                         "[\"\\u0060\\u012a\\u12AB\"]",
                                         "[\"\\uFFFF\"]",
                                         "[\"\x7f\"]",
                                         "[\"\xe2\x80\xa8\"]",
                                         "[\"\xf4\x8f\xbf\xbf\"]",
                                         "[\"a/*b*/c/*d//e\"]",
                                         "[-1.1e-99999]",
                                         "[100000000000000000000000]",
                                         "{\"a\":[]}",
                                         "{\n\"a\": \"b\"\n}"};

Test(edge_http_body, valid_json_that_is_no_click_is_never_invalid_json)
{
    for (size_t i = 0; i < countof(valid_json); i++) {
        struct edge_job *job = posted("application/json", valid_json[i]);
        cr_expect_eq(job->answer.status, 400, "%s: %u", valid_json[i], job->answer.status);
        json_t *root = parsed(job);
        cr_expect_str_neq(json_string_value(json_object_get(root, "type")),
                          "urn:tributary:problem:invalid_json", "%s", valid_json[i]);
        json_decref(root);
        edge_job_free(job);
    }
}

static const char *const no_json[] = {"",
                                      " ",
                                      "[",
                                      "]",
                                      "[1 true]",
                                      "[a\xe5]",
                                      "[\"\": 1]",
                                      "[\"\"],",
                                      "[,1]",
                                      "[1,,2]",
                                      "[\"x\"]]",
                                      "[\"\",]",
                                      "[\"x\"",
                                      "[x",
                                      "[3[4]]",
                                      "[\xff]",
                                      "[,]",
                                      "[-]",
                                      "[1,",
                                      "[*]",
                                      "[1,]",
                                      "[{}",
                                      "[++1234]",
                                      "[+1]",
                                      "[-01]",
                                      "[-1.0.]",
                                      "[-2.]",
                                      "[-NaN]",
                                      "[.-1]",
                                      "[.2e-3]",
                                      "[0.1.2]",
                                      "[0.3e+]",
                                      "[0.e1]",
                                      "[0e]",
                                      "[1.0e-]",
                                      "[1eE2]",
                                      "[2.e3]",
                                      "[9.e+]",
                                      "[Inf]",
                                      "[NaN]",
                                      "[\xef\xbc\x91]",
                                      "[1+2]",
                                      "[0x1]",
                                      "[0x42]",
                                      "[Infinity]",
                                      "[-123.123foo]",
                                      "[012]",
                                      "[1.2a-3]",
                                      "[- 1]",
                                      "{[: \"x\"}",
                                      "{\"x\", null}",
                                      "{\"x\"::\"b\"}",
                                      "{\"a\":\"a\" 123}",
                                      "{key: 'value'}",
                                      "{\"a\" b}",
                                      "{:\"b\"}",
                                      "{\"a\"",
                                      "{1:1}",
                                      "{\"id\":0,,,,,}",
                                      "{'a':0}",
                                      "{\"id\":0,}",
                                      "{\"a\":\"b\"}/**/",
                                      "{\"a\":\"b\"}#",
                                      "{\"a\":\"b\",,\"c\":\"d\"}",
                                      "{a: \"b\"}",
                                      "{\"a\":\"a",
                                      "[\"\\uD800\\\"]",
                                      "[\"\\u00A\"]",
                                      "[\"\\\\\\\"]",
                                      "[\"\\x00\"]",
                                      "[\"\t\"]",
                                      "[\"new\nline\"]",
                                      "[\"\\a\"]",
                                      "[\"\\\xe5\"]",
                                      "[\xc3\xa9]",
                                      "['single quote']",
                                      "abc",
                                      "[\"\\",
                                      "<.>",
                                      "[<null>]",
                                      "[1]x",
                                      "aa",
                                      "{\"\":",
                                      "{}}",
                                      "[]\n{}",
                                      "{}\n{}",
                                      "[\\u000A\"\"]",
                                      "\xe2\x81\xa0",
                                      "*",
                                      "[\f]",
                                      "[\xe2\x81\xa0]",
                                      "2@",
                                      "nul",
                                      "truefalse",
                                      "[True]",
                                      "\xef\xbb\xbf{}"};

Test(edge_http_body, what_is_not_json_is_invalid_json)
{
    for (size_t i = 0; i < countof(no_json); i++)
        expect_problem(posted("application/json", no_json[i]), 400, "invalid_json");
}

static struct edge_job *packed_and_judged(const char *coding, struct span body,
                                          const struct body_decode_limits *limits)
{
    static struct body_decode *decoder;
    if (decoder == NULL)
        decoder = body_decode_new();
    struct edge_http_rules with_decoder = rules;
    with_decoder.unpacked = *limits;
    with_decoder.decoder = decoder;
    given_request("POST", "/v1/clicks", "application/json", "");
    request.body = body;
    given_field("content-encoding", coding);
    return edge_job_new(&with_decoder, &refused, &request, EDGE_GATE_OPEN, NOW_MS);
}

static const struct body_decode_limits unpacked = {
    .bytes_max = 1 << 20, .ratio_max = 100, .ratio_free_bytes = 65536};

Test(edge_http_body, a_packed_body_is_judged_as_if_it_had_come_plain)
{
    uint8_t body[512];
    size_t length = ZSTD_compress(body, sizeof(body), "[" GOOD "," GOOD_2 "]",
                                  strlen("[" GOOD "," GOOD_2 "]"), 3);
    struct edge_job *plain = stored(posted("application/json", "[" GOOD "," GOOD_2 "]"), 2);
    struct edge_job *packed =
        stored(packed_and_judged("ZSTD", span_of(body, length), &unpacked), 2);
    for (uint32_t i = 0; i < 2; i++) {
        cr_expect_arr_eq(packed->items[i].click.key, plain->items[i].click.key, HASH_CLICK_BYTES);
        cr_expect(span_equal(packed->items[i].click.ad_id, plain->items[i].click.ad_id));
    }
    edge_job_free(packed);
    edge_job_free(plain);
}

Test(edge_http_body, a_packed_body_that_is_none_or_too_large_stores_nothing)
{
    static char spaces[200000];
    uint8_t body[1024];
    struct body_decode_limits few = {.bytes_max = 1000, .ratio_max = 1000, .ratio_free_bytes = 1};
    memset(spaces, ' ', sizeof(spaces));

    expect_problem(packed_and_judged("gzip", span_of_text(GOOD), &unpacked), 400,
                   "content_encoding_invalid");
    expect_problem(packed_and_judged("zstd", span_of_text(""), &unpacked), 400,
                   "content_encoding_invalid");
    expect_problem(packed_and_judged("br", span_of_text(GOOD), &unpacked), 415,
                   "content_encoding_unknown");
    expect_problem(packed_and_judged("gzip, gzip", span_of_text(GOOD), &unpacked), 415,
                   "content_encoding_unknown");
    size_t length = ZSTD_compress(body, sizeof(body), spaces, sizeof(spaces), 3);
    expect_problem(packed_and_judged("zstd", span_of(body, length), &unpacked), 413,
                   "body_too_dense");
    length = ZSTD_compress(body, sizeof(body), spaces, 1001, 3);
    expect_problem(packed_and_judged("zstd", span_of(body, length), &few), 413, "body_too_large");
}
