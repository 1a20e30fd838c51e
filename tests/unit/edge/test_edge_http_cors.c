/* SPDX-License-Identifier: Apache-2.0
 * Claims about edge_http: which pages of other origins may send clicks, and what that changes. */
#include "common/run/h2_server.h"
#include "edge/edge_http.h"

#include <criterion/criterion.h>

#define NOW_MS 1700000000123ULL
#define GOOD   "{\"ad_id\":\"a\",\"user_id\":\"u\",\"timestamp\":1700000000}"

static const uint8_t secret[HASH_KEY_BYTES] = {1};
static const char regions[1][LIMIT_REGION_NAME_BYTES + 1] = {"us"};
static struct edge_refused refused;
static struct h2_request request;
static struct h2_header fields[2];

static char shop[] = "https://shop.example", other_shop[] = "https://other.example:8443",
            any_origin[] = "*";

static struct edge_job *judged_from(char *const *origins, uint32_t count, const char *method,
                                    const char *origin)
{
    const struct edge_http_rules rules = {
        .admit = {.secret = secret,
                  .regions = regions,
                  .region_count = 1,
                  .partitions = 4,
                  .horizon_ms = 24 * 3600 * 1000},
        .batch_clicks_max = 1000,
        .cors = {.origins = origins, .origin_count = count, .max_age_s = 600},
    };
    bool posts = strcmp(method, "POST") == 0;
    fields[0] = (struct h2_header){"content-type", "application/json"};
    fields[1] = (struct h2_header){"origin", origin};
    request = (struct h2_request){.method = method,
                                  .path = "/v1/clicks",
                                  .query = "",
                                  .authority = "x",
                                  .headers = fields,
                                  .header_count = origin == NULL ? 1 : 2,
                                  .peer_ip = "203.0.113.9",
                                  .body = span_of_text(posts ? GOOD : "")};
    return edge_job_new(&rules, &refused, &request, EDGE_GATE_OPEN, NOW_MS);
}

Test(edge_http_cors, a_preflight_of_an_allowed_origin_is_answered_and_stores_nothing)
{
    char *const origins[] = {other_shop, shop};

    struct edge_job *job = judged_from(origins, 2, "OPTIONS", "https://shop.example");

    cr_assert_eq(job->answer.outcome, EDGE_OUTCOME_PREFLIGHT);
    cr_assert_eq(job->answer.status, 204);
    cr_assert_eq(job->answer.max_age_s, 600);
    cr_assert_str_eq(job->allow_origin, "https://shop.example");
    cr_assert(job->vary_origin);
    cr_assert_eq(job->item_count, 0);
    edge_job_free(job);
}

Test(edge_http_cors, only_the_very_origin_is_allowed)
{
    static const char *const strangers[] = {
        "https://shop.example.evil",
        "https://shop.exampl",
        "http://shop.example",
        "https://shop.example:443",
        "null",
        "https://SHOP.example",
    };
    char *const origins[] = {shop};
    for (size_t i = 0; i < countof(strangers); i++) {
        struct edge_job *job = judged_from(origins, 1, "OPTIONS", strangers[i]);
        cr_expect_null(job->allow_origin, "%s", strangers[i]);
        cr_expect(job->vary_origin);
        edge_job_free(job);
    }
    struct edge_job *none = judged_from(origins, 1, "POST", NULL);
    cr_assert_null(none->allow_origin);
    cr_assert(none->vary_origin, "a cache must not give this answer to an origin");
    edge_job_free(none);
}

Test(edge_http_cors, a_click_of_a_strange_origin_counts_all_the_same)
{
    char *const origins[] = {shop}, *const all[] = {any_origin};

    struct edge_job *strange = judged_from(origins, 1, "POST", "https://evil.example");
    struct edge_job *open = judged_from(all, 1, "POST", "https://evil.example");

    cr_assert_eq(strange->item_count, 1);
    cr_assert_null(strange->allow_origin);
    cr_assert_eq(open->item_count, 1);
    cr_assert_str_eq(open->allow_origin, "*");
    cr_assert_not(open->vary_origin);
    edge_job_free(strange);
    edge_job_free(open);
}
