/* SPDX-License-Identifier: Apache-2.0
 * http1_head: RFC 9112, 3.2, 6.1 to 6.3, 9.6. */
#include "common/run/http1_head.h"

/* 18 digits are a number that fits, and more than anyone may send. */
#define LENGTH_DIGITS_MAX 18

static bool is_name(struct span name, const char *text)
{
    return span_equal(name, span_of_text(text));
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static bool is_word(struct span value, const char *text)
{
    if (value.length != strlen(text))
        return false;
    for (size_t i = 0; i < value.length; i++)
        if (lower(value.data[i]) != (uint8_t)text[i])
            return false;
    return true;
}

/* uri-host [ ":" port ] of RFC 9110, 7.2, by its characters alone; never empty, as an https address
 * always has a host. */
static bool is_host(struct span value)
{
    static const char marks[] = "-._~%!$&'()*+;=:[]";
    for (size_t i = 0; i < value.length; i++) {
        uint8_t c = lower(value.data[i]);
        bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                    (c != 0 && strchr(marks, c) != NULL);
        if (!good)
            return false;
    }
    return value.length > 0;
}

static enum http1_refusal judge_length(struct http1_head *head, struct span value)
{
    uint64_t length = 0;
    if (head->has_length || value.length == 0 || value.length > LENGTH_DIGITS_MAX)
        return HTTP1_LENGTH;
    for (size_t i = 0; i < value.length; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return HTTP1_LENGTH;
        length = length * 10 + (uint64_t)(value.data[i] - '0');
    }
    head->has_length = true;
    head->content_length = length;
    return HTTP1_NOT_REFUSED;
}

/* A list of tokens; only "close" matters, as lasting is the rule in HTTP/1.1. */
static void judge_connection(struct http1_head *head, struct span value)
{
    size_t begin = 0;
    for (size_t i = 0; i <= value.length; i++) {
        if (i < value.length && value.data[i] != ',')
            continue;
        size_t from = begin, to = i;
        while (from < to && (value.data[from] == ' ' || value.data[from] == '\t'))
            from++;
        while (to > from && (value.data[to - 1] == ' ' || value.data[to - 1] == '\t'))
            to--;
        if (is_word(span_of(value.data + from, to - from), "close"))
            head->close = true;
        begin = i + 1;
    }
}

static enum http1_refusal judge_field(struct http1_head *head, const struct http1_field *field)
{
    if (is_name(field->name, "host")) {
        if (head->host.length > 0 || !is_host(field->value))
            return HTTP1_HOST;
        head->host = field->value;
    } else if (is_name(field->name, "content-length")) {
        return judge_length(head, field->value);
    } else if (is_name(field->name, "transfer-encoding")) {
        if (head->chunked || !is_word(field->value, "chunked"))
            return HTTP1_CODING;
        head->chunked = true;
    } else if (is_name(field->name, "connection")) {
        judge_connection(head, field->value);
    } else if (is_name(field->name, "expect")) {
        head->continues = is_word(field->value, "100-continue");
    }
    return HTTP1_NOT_REFUSED;
}

/* A path; no fragment, which a client keeps for itself; or * for the server as a whole. */
static enum http1_refusal judge_target(const struct http1_head *head)
{
    if (is_name(head->target, "*"))
        return strcmp(head->method, "OPTIONS") == 0 ? HTTP1_NOT_REFUSED : HTTP1_TARGET;
    if (head->target.length == 0 || head->target.data[0] != '/' ||
        memchr(head->target.data, '#', head->target.length) != NULL)
        return HTTP1_TARGET;
    return HTTP1_NOT_REFUSED;
}

enum http1_refusal http1_head_judge(struct http1_head *head)
{
    head->host = (struct span){NULL, 0};
    head->chunked = head->has_length = head->close = head->continues = false;
    head->content_length = 0;
    enum http1_refusal refusal = judge_target(head);
    for (size_t i = 0; refusal == HTTP1_NOT_REFUSED && i < head->field_count; i++)
        refusal = judge_field(head, &head->fields[i]);
    if (refusal != HTTP1_NOT_REFUSED)
        return refusal;
    if (head->chunked && head->has_length)
        return HTTP1_BOTH;
    return head->host.length == 0 ? HTTP1_HOST : HTTP1_NOT_REFUSED;
}

static bool is_one_of(struct span name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_word(name, names[i]))
            return true;
    return false;
}

bool http1_head_is_hop_field(struct span name)
{
    static const char *const names[] = {"connection", "host",    "keep-alive",
                                        "te",         "trailer", "transfer-encoding",
                                        "upgrade",    "expect",  "proxy-connection"};
    return is_one_of(name, names, countof(names));
}

bool http1_head_is_forbidden_trailer(struct span name)
{
    static const char *const names[] = {"content-length",  "transfer-encoding", "host",
                                        "connection",      "trailer",           "te",
                                        "expect",          "authorization",     "forwarded",
                                        "x-forwarded-for", "content-type",      "content-encoding",
                                        "upgrade"};
    return is_one_of(name, names, countof(names));
}
