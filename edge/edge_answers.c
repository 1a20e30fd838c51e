/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/edge_answers.h"

#include "common/run/h2_server.h"

#include <stdarg.h>
#include <stdio.h>

static const char json_type[] = "application/json";
static const char problem_type[] = "application/problem+json";

PRINTF_LIKE(2, 3)
static void put_format(struct buf *out, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    CHECK(length >= 0 && (size_t)length < sizeof(text));
    buf_put(out, text, (size_t)length);
}

static void put_comma(struct buf *list)
{
    if (list->length > 0)
        buf_put_u8(list, ',');
}

void edge_answers_put_accepted(struct buf *list, uint32_t index, const char *home)
{
    put_comma(list);
    put_format(list, "{\"index\":%u,\"status\":\"accepted\",\"home\":\"%s\"}", index, home);
}

/* Details are our own words (never the client's): no quote and no backslash is in them. */
static void put_detail(struct buf *list, const struct admit_verdict *verdict,
                       const struct click_json_click *scanned)
{
    char detail[256];
    admit_explain(verdict, scanned, detail, sizeof(detail));
    buf_put_text(list, ",\"detail\":\"");
    for (const char *at = detail; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\')
            buf_put_u8(list, '\\');
        buf_put_u8(list, (unsigned char)*at < 0x20 ? ' ' : (uint8_t)*at);
    }
    buf_put_text(list, "\"");
}

void edge_answers_put_refused(struct buf *list, uint32_t index, const struct admit_verdict *verdict,
                              const struct click_json_click *scanned, bool with_status)
{
    put_comma(list);
    put_format(list, "{\"index\":%u", index);
    if (with_status)
        buf_put_text(list, ",\"status\":\"refused\"");
    if (verdict->field != NULL)
        put_format(list, ",\"field\":\"%s\"", verdict->field);
    else
        buf_put_text(list, ",\"field\":null");
    put_format(list, ",\"error\":\"%s\"", admit_token(verdict));
    put_detail(list, verdict, scanned);
    buf_put_u8(list, '}');
}

static void put_list(struct buf *out, const struct edge_tally *tally)
{
    if (!tally->all_listed && tally->refused == 0)
        return;
    buf_put_text(out, tally->all_listed ? ",\"results\":[" : ",\"refusals\":[");
    buf_put(out, tally->list.data, tally->list.length);
    buf_put_text(out, "]");
    if (tally->list_truncated)
        buf_put_text(out, ",\"refusals_truncated\":true");
}

static void begin(struct edge_answer *out, enum edge_outcome outcome, unsigned status,
                  const char *content_type)
{
    buf_clear(&out->body);
    out->outcome = outcome;
    out->status = status;
    out->content_type = content_type;
    out->retry_after_s = 0;
    out->allow = NULL;
}

void edge_answers_accepted(struct edge_answer *out, const struct edge_tally *tally,
                           enum edge_durability durability)
{
    begin(out, EDGE_OUTCOME_ACCEPTED, 202, json_type);
    out->durability = durability;
    buf_reserve(&out->body, 128); /* the answer to nearly every request: no formats here */
    buf_put_text(&out->body, "{\"accepted\":");
    buf_put_decimal(&out->body, tally->accepted);
    buf_put_text(&out->body, ",\"refused\":");
    buf_put_decimal(&out->body, tally->refused);
    buf_put_text(&out->body, ",\"home\":\"");
    buf_put_text(&out->body, tally->home);
    buf_put_text(&out->body, durability == EDGE_REPLICATED ? "\",\"durability\":\"replicated\""
                                                           : "\",\"durability\":\"spooled\"");
    put_list(&out->body, tally);
    buf_put_text(&out->body, "}");
}

void edge_answers_problem(struct edge_answer *out, unsigned status, const char *token,
                          const char *title, const char *detail, unsigned retry_after_s)
{
    begin(out, status >= 500 ? EDGE_OUTCOME_UNAVAILABLE : EDGE_OUTCOME_REFUSED, status,
          problem_type);
    out->retry_after_s = retry_after_s;
    h2_problem_begin(&out->body, status, token, title, detail);
    buf_put_text(&out->body, "}");
}

void edge_answers_all_refused(struct edge_answer *out, const struct edge_tally *tally,
                              const char *detail)
{
    begin(out, EDGE_OUTCOME_REFUSED, 400, problem_type);
    h2_problem_begin(&out->body, 400, "clicks_refused", "No click was accepted", detail);
    put_format(&out->body, ",\"accepted\":0,\"refused\":%llu", (unsigned long long)tally->refused);
    put_list(&out->body, tally);
    buf_put_text(&out->body, "}");
}

void edge_answers_home(struct edge_answer *out, const char *home)
{
    begin(out, EDGE_OUTCOME_HOME, 200, json_type);
    put_format(&out->body, "{\"home\":\"%s\"}", home);
}

void edge_answers_done(struct edge_answer *a)
{
    buf_done(&a->body);
}
