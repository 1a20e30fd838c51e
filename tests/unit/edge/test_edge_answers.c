/* SPDX-License-Identifier: Apache-2.0
 * Claims about edge_answers: bodies byte by byte. */
#include "edge/edge_answers.h"

#include <criterion/criterion.h>

static void expect_body(struct edge_answer *a, const char *body)
{
    cr_expect(span_equal(buf_span(&a->body), span_of_text(body)), "got %.*s", (int)a->body.length,
              (const char *)a->body.data);
    edge_answers_done(a);
}

Test(edge_answers, accepted_without_refusals_has_no_list)
{
    struct edge_answer a = {0};
    struct edge_tally tally = {.accepted = 3, .home = "us"};

    edge_answers_accepted(&a, &tally, EDGE_REPLICATED);

    cr_expect_eq(a.status, 202);
    cr_expect_eq(a.outcome, EDGE_OUTCOME_ACCEPTED);
    cr_expect_eq(a.retry_after_s, 0);
    expect_body(&a, "{\"accepted\":3,\"refused\":0,\"home\":\"us\",\"durability\":\"replicated\"}");
}

Test(edge_answers, refusals_are_listed_and_truncation_is_said)
{
    struct edge_answer a = {0};
    struct buf list = {0};
    struct click_json_click scanned = {.fault = CLICK_JSON_FIELD_MISSING, .field = "ad_id"};
    struct admit_verdict verdict = {
        .fault = ADMIT_SCAN, .scan = CLICK_JSON_FIELD_MISSING, .field = "ad_id"};
    edge_answers_put_refused(&list, 7, &verdict, &scanned, false);
    struct edge_tally tally = {
        .accepted = 1, .refused = 2, .home = "eu", .list_truncated = true, .list = buf_span(&list)};

    edge_answers_accepted(&a, &tally, EDGE_SPOOLED);

    expect_body(&a, "{\"accepted\":1,\"refused\":2,\"home\":\"eu\",\"durability\":\"spooled\","
                    "\"refusals\":[{\"index\":7,\"field\":\"ad_id\",\"error\":\"field_missing\","
                    "\"detail\":\"ad_id: must be present\"}],\"refusals_truncated\":true}");
    buf_done(&list);
}

Test(edge_answers, results_name_status_and_home_of_each_click)
{
    struct buf list = {0};
    struct click_json_click scanned = {0};
    struct admit_verdict verdict = {.fault = ADMIT_HOME_UNKNOWN, .field = "home"};

    edge_answers_put_accepted(&list, 0, "us");
    edge_answers_put_refused(&list, 1, &verdict, &scanned, true);
    buf_put_u8(&list, 0);

    const char *text = (const char *)list.data;
    cr_expect(strstr(text, "{\"index\":0,\"status\":\"accepted\",\"home\":\"us\"},"
                           "{\"index\":1,\"status\":\"refused\",\"field\":\"home\",") == text,
              "%s", text);
    buf_done(&list);
}

Test(edge_answers, a_problem_escapes_its_words_and_5xx_means_later)
{
    struct edge_answer a = {0};

    edge_answers_problem(&a, 503, "overloaded", "T", "say \"no\" \\ \n", 2);

    cr_expect_eq(a.outcome, EDGE_OUTCOME_UNAVAILABLE);
    cr_expect_eq(a.retry_after_s, 2);
    expect_body(&a, "{\"type\":\"urn:tributary:problem:overloaded\",\"title\":\"T\",\"status\":503,"
                    "\"detail\":\"say \\\"no\\\" \\\\ \\u000a\"}");
}

Test(edge_answers, an_answer_can_be_overwritten)
{
    struct edge_answer a = {0};
    edge_answers_problem(&a, 503, "x", "X", "", 1);
    a.allow = "POST";

    edge_answers_home(&a, "us");

    cr_expect_eq(a.status, 200);
    cr_expect_eq(a.retry_after_s, 0);
    cr_expect_null(a.allow);
    expect_body(&a, "{\"home\":\"us\"}");
}
