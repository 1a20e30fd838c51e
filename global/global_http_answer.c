/* SPDX-License-Identifier: Apache-2.0
 * global_http_answer: how an answer leaves: its form, its coding, its entity tag, or a problem. */
#include "global/global_http_inside.h"

#include "common/base/hash.h"
#include "common/run/log.h"

#include <stdio.h>

#define PACK_BYTES_MIN 1024u /* what fits a packet or so is not worth packing */

/* Answers are of one customer: nothing shared on the way may keep them. What is final never
 * changes; anything else is kept by the client at most, and asked for again with its tag. */
#define CACHE_NEVER "no-store"
#define CACHE_ASK   "private, no-cache"
#define CACHE_LONG  "private, max-age=31536000, immutable"

#define VARY "accept, accept-encoding, authorization"

static void count(struct global_http_worker *w, unsigned status)
{
    enum global_metric id = status < 400   ? GLOBAL_QUERIES_OK
                            : status < 500 ? GLOBAL_QUERIES_REFUSED
                                           : GLOBAL_QUERIES_FAILED;
    metrics_add(w->http->options.metrics, id, 1);
}

void global_http_refuse(struct global_http_visit *v, unsigned status, const char *token,
                        const char *title, const char *detail)
{
    count(v->w, status);
    h2_respond_problem(v->r, status, token, title, detail, status == 503 ? 1 : 0);
}

void global_http_refuse_with(struct global_http_visit *v, unsigned status, const char *token,
                             const char *title, const char *detail, struct h2_header header)
{
    const struct h2_header headers[] = {
        {"content-type", "application/problem+json"}, {"cache-control", CACHE_NEVER}, header};
    count(v->w, status);
    buf_clear(&v->w->body);
    h2_problem_begin(&v->w->body, status, token, title, detail);
    buf_put_u8(&v->w->body, '}');
    h2_respond(v->r, status, headers, countof(headers), buf_span(&v->w->body));
}

/* Never zeros for what once was counted. */
static void refuse_retired(struct global_http_visit *v)
{
    char detail[160];
    (void)snprintf(
        detail, sizeof(detail),
        "start: this is kept from %llu on. Windows of whole hours (1h, 1d) are kept longer "
        "than minutes.",
        (unsigned long long)global_reader_kept_from_s(v->w->reader));
    global_http_refuse(v, 410, "range_retired", "Range retired", detail);
}

void global_http_fail(struct global_http_visit *v, enum err err)
{
    if (err == ERR_RETIRED) {
        refuse_retired(v);
        return;
    }
    log_error("query failed", log_err(err));
    global_http_refuse(
        v, 503, "store_unavailable", "Store unavailable",
        "The store could not be read; nothing is known about the counts. Try again.");
}

/* All lines of a field as one list (RFC 9110, 5.3). Valid until the next. */
static struct span listed(struct global_http_visit *v, const char *name)
{
    struct buf *list = &v->w->heads;
    buf_clear(list);
    for (size_t i = 0; i < v->r->header_count; i++)
        if (strcmp(v->r->headers[i].name, name) == 0) {
            if (list->length > 0)
                buf_put_u8(list, ',');
            buf_put(list, v->r->headers[i].value, strlen(v->r->headers[i].value));
        }
    return buf_span(list);
}

bool global_http_negotiate(struct global_http_visit *v, unsigned offered)
{
    char detail[160] = "This resource can be had as";
    if (negotiate_accept(listed(v, "accept"), offered, &v->type))
        return true;
    const char *between = " ";
    for (enum negotiate_type type = 0; type < NEGOTIATE_TYPES; type++) {
        size_t used = strlen(detail);
        if ((offered & NEGOTIATE_OFFER(type)) == 0)
            continue;
        (void)snprintf(detail + used, sizeof(detail) - used, "%s%s", between,
                       negotiate_type_name(type));
        between = ", ";
    }
    global_http_refuse(v, 406, "not_acceptable", "Not acceptable", detail);
    return false;
}

/* The tag is of what was counted: not of as_of and the watermarks, which move all the time and
 * change no count. So it is a weak one. */
static const char *tag_of(struct global_http_visit *v, enum negotiate_coding coding,
                          char out_tag[24])
{
    uint64_t seed = (uint64_t)v->type * NEGOTIATE_CODINGS + coding;
    for (size_t i = 0; v->standing != NULL && i < v->standing->missing_count; i++) {
        seed = hash_checksum(span_of_text(v->standing->missing[i].region), seed);
        seed = hash_checksum(span_of_text(v->standing->missing[i].edge), seed);
    }
    uint64_t tag = hash_checksum(span_of(v->w->body.data, v->tagged_bytes), seed);
    (void)snprintf(out_tag, 24, "W/\"%016llx\"", (unsigned long long)tag);
    return out_tag;
}

static bool client_has(struct global_http_visit *v, const char *weak_tag)
{
    return h2_header(v->r, "if-none-match") != NULL &&
           negotiate_has_tag(listed(v, "if-none-match"), span_of_text(weak_tag + 2));
}

/* What rows have no room for: when they were true, and how far each region was counted. */
static void add_standing(struct global_http_visit *v, struct h2_header *headers, size_t *used,
                         char out_as_of[24], char out_missing[24])
{
    const struct stats_json_answer *s = v->standing;
    struct buf *text = &v->w->heads;
    buf_clear(text);
    for (size_t i = 0; i < s->watermark_count; i++) {
        buf_put(text, ", ", i > 0 ? 2 : 0);
        buf_put(text, s->watermarks[i].region, strlen(s->watermarks[i].region));
        buf_put_u8(text, '=');
        buf_put_decimal(text, s->watermarks[i].watermark);
    }
    buf_put_u8(text, '\0');
    (void)snprintf(out_as_of, 24, "%llu", (unsigned long long)s->as_of);
    (void)snprintf(out_missing, 24, "%zu", s->missing_count);
    headers[(*used)++] = (struct h2_header){"tributary-as-of", out_as_of};
    headers[(*used)++] = (struct h2_header){"tributary-watermarks", (const char *)text->data};
    headers[(*used)++] = (struct h2_header){"tributary-missing-edges", out_missing};
    if (v->next[0] != '\0')
        headers[(*used)++] = (struct h2_header){"tributary-next", v->next};
}

static struct buf *packed(struct global_http_visit *v, enum negotiate_coding coding)
{
    struct global_http_worker *w = v->w;
    if (coding == NEGOTIATE_IDENTITY)
        return &w->body;
    buf_clear(&w->packed);
    if (coding == NEGOTIATE_GZIP)
        body_encode_gzip(w->encode, buf_span(&w->body), &w->packed);
    else
        body_encode_zstd(w->encode, buf_span(&w->body), &w->packed);
    metrics_add(w->http->options.metrics, GLOBAL_ANSWERS_PACKED, 1);
    return &w->packed;
}

void global_http_answer(struct global_http_visit *v)
{
    struct h2_header headers[12];
    enum negotiate_coding coding;
    char tag[24];
    char as_of[24];
    char missing[24];
    size_t used = 0;
    bool asked = h2_header(v->r, "accept-encoding") != NULL;
    if (!negotiate_encoding(asked ? listed(v, "accept-encoding") : (struct span){0}, asked,
                            v->w->body.length < PACK_BYTES_MIN, &coding)) {
        global_http_refuse(v, 406, "not_acceptable", "Not acceptable",
                           "Answers can be had in gzip, zstd and identity.");
        return;
    }
    bool kept = v->tagged_bytes > 0;
    headers[used++] = (struct h2_header){"cache-control", v->final_ && kept ? CACHE_LONG
                                                          : kept            ? CACHE_ASK
                                                                            : CACHE_NEVER};
    headers[used++] = (struct h2_header){"vary", VARY};
    if (kept)
        headers[used++] = (struct h2_header){"etag", tag_of(v, coding, tag)};
    count(v->w, 200);
    if (kept && client_has(v, tag)) {
        metrics_add(v->w->http->options.metrics, GLOBAL_NOT_MODIFIED, 1);
        h2_respond(v->r, 304, headers, used, (struct span){0});
        return;
    }
    headers[used++] =
        (struct h2_header){"content-type", v->type == NEGOTIATE_CSV ? "text/csv; charset=utf-8"
                                                                    : negotiate_type_name(v->type)};
    headers[used++] = (struct h2_header){"x-content-type-options", "nosniff"};
    if (coding != NEGOTIATE_IDENTITY)
        headers[used++] = (struct h2_header){"content-encoding", negotiate_coding_name(coding)};
    if (v->type != NEGOTIATE_JSON && v->standing != NULL)
        add_standing(v, headers, &used, as_of, missing);
    CHECK(used <= countof(headers));
    h2_respond_taking(v->r, 200, headers, used, packed(v, coding));
}
