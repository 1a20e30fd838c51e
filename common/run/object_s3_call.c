/* SPDX-License-Identifier: Apache-2.0
 * object_s3_call: see object_s3_call.h. */
#include "common/run/object_s3_call.h"

#include "common/run/log.h"
#include "common/run/object_digest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PAUSE_MS     200u /* after the first try that failed; doubled each time */
#define PAUSE_MS_MAX 5000u
#define ERROR_BYTES  65536u
#define URL_BYTES    4096u

/* What an operator should look at, by S3's code. */
static const struct {
    const char *code, *hint;
} hints[] = {
    {"SignatureDoesNotMatch", "secret_key_file holds another secret, or region is wrong"},
    {"InvalidAccessKeyId", "access_key_file names nobody there"},
    {"AccessDenied", "this key may not do that in this bucket"},
    {"RequestTimeTooSkewed", "the clock of this machine is off"},
    {"NoSuchBucket", "there is no such bucket"},
    {"AuthorizationHeaderMalformed", "region is wrong"},
    {"PermanentRedirect", "the bucket is in another region: endpoint and region are wrong"},
    {"ExpiredToken", "the session token has expired"},
};

bool object_s3_tag(struct span *at, const char *tag, struct span *out)
{
    char open[64], close[64];
    int open_length = snprintf(open, sizeof(open), "<%s>", tag);
    int close_length = snprintf(close, sizeof(close), "</%s>", tag);
    if (at->length == 0)
        return false;
    const uint8_t *start = memmem(at->data, at->length, open, (size_t)open_length);
    if (start == NULL)
        return false;
    start += open_length;
    size_t left = (size_t)(at->data + at->length - start);
    const uint8_t *end = memmem(start, left, close, (size_t)close_length);
    if (end == NULL)
        return false;
    *out = span_of(start, (size_t)(end - start));
    const uint8_t *behind = end + close_length;
    *at = span_of(behind, (size_t)(at->data + at->length - behind));
    return true;
}

struct transfer {
    struct object_s3 *s;
    struct object_s3_call *call;
    bool too_large;
};

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct transfer *t = context;
    size_t length = size * count;
    long status = 0;
    (void)curl_easy_getinfo(t->s->curl, CURLINFO_RESPONSE_CODE, &status);
    size_t most = status >= 200 && status < 300 ? t->call->answer_bytes_max : ERROR_BYTES;
    if (length > most || t->call->answer.length > most - length) {
        t->too_large = true;
        return 0;
    }
    buf_put(&t->call->answer, data, length);
    return length;
}

static size_t on_header(char *data, size_t size, size_t count, void *context)
{
    struct transfer *t = context;
    size_t length = size * count;
    static const char name[] = "etag:";
    if (length < sizeof(name) || strncasecmp(data, name, sizeof(name) - 1) != 0)
        return length;
    const char *at = data + sizeof(name) - 1, *end = data + length;
    while (at < end && *at == ' ')
        at++;
    while (end > at && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
        end--;
    (void)snprintf(t->call->etag, sizeof(t->call->etag), "%.*s", (int)(end - at), at);
    return length;
}

static int on_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct object_s3 *s = context;
    (void)a, (void)b, (void)c, (void)d;
    return s->stopping != NULL && s->stopping(s->stopping_context) ? 1 : 0;
}

static struct curl_slist *headers_of(const struct object_s3 *s, const struct object_s3_call *c)
{
    char digest[65], line[4200];
    struct curl_slist *list = NULL;
    object_digest(c->body, digest);
    (void)snprintf(line, sizeof(line), "x-amz-content-sha256: %s", digest);
    list = curl_slist_append(list, line);
    if (c->type != NULL) {
        (void)snprintf(line, sizeof(line), "Content-Type: %s", c->type);
        list = curl_slist_append(list, line);
    }
    if (c->storage_class != NULL) {
        (void)snprintf(line, sizeof(line), "x-amz-storage-class: %s", c->storage_class);
        list = curl_slist_append(list, line);
    }
    if (s->session_token != NULL) {
        (void)snprintf(line, sizeof(line), "x-amz-security-token: %s", s->session_token);
        list = curl_slist_append(list, line);
    }
    CHECK(list != NULL);
    return list;
}

static CURLcode perform(struct object_s3 *s, struct object_s3_call *c, struct transfer *t)
{
    char url[URL_BYTES];
    int length = snprintf(url, sizeof(url), "%s%s%s%s", s->origin, c->path,
                          c->query[0] == '\0' ? "" : "?", c->query);
    CHECK(length > 0 && (size_t)length < sizeof(url));
    struct curl_slist *headers = headers_of(s, c);
    curl_easy_reset(s->curl);
    buf_clear(&c->answer);
    c->etag[0] = '\0';
    c->status = 0;
#define SET(option, value) CHECK(curl_easy_setopt(s->curl, option, value) == CURLE_OK)
    SET(CURLOPT_URL, url);
    SET(CURLOPT_CUSTOMREQUEST, c->method);
    SET(CURLOPT_AWS_SIGV4, s->sigv4);
    SET(CURLOPT_USERPWD, s->user);
    SET(CURLOPT_HTTPHEADER, headers);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_EXPECT_100_TIMEOUT_MS, 1L); /* we do not wait for leave to send */
    SET(CURLOPT_TIMEOUT_MS, (long)s->timeout_ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)s->connect_timeout_ms);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(CURLOPT_XFERINFODATA, s);
    if (s->ca_file != NULL)
        SET(CURLOPT_CAINFO, s->ca_file);
    if (c->type != NULL) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body.length);
        SET(CURLOPT_POSTFIELDS, c->body.length == 0 ? "" : (const char *)c->body.data);
    }
#undef SET
    CURLcode code = curl_easy_perform(s->curl);
    (void)curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &c->status);
    curl_slist_free_all(headers);
    return code;
}

static const char *hint_of(struct span code)
{
    for (size_t i = 0; i < countof(hints); i++) {
        if (span_equal(code, span_of_text(hints[i].code)))
            return hints[i].hint;
    }
    return "";
}

/* What one try came to. */
static enum err judge(struct object_s3 *s, struct object_s3_call *c, const struct transfer *t,
                      CURLcode code)
{
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return ERR_STOPPING;
    if (t->too_large)
        return ERR_LIMIT;
    if (code != CURLE_OK) {
        log_warn("no answer of the object store", log_text("method", c->method),
                 log_text("path", c->path), log_text("reason", curl_easy_strerror(code)));
        return ERR_STORE_AWAY;
    }
    if (c->status >= 200 && c->status < 300)
        return ERR_OK;
    struct span at = buf_span(&c->answer), words = {0}, name = {0};
    (void)object_s3_tag(&at, "Code", &name);
    at = buf_span(&c->answer);
    (void)object_s3_tag(&at, "Message", &words);
    bool no_bucket = span_equal(name, span_of_text("NoSuchBucket"));
    if (c->status == 404 && c->not_found_is_fine && !no_bucket)
        return ERR_NOT_FOUND;
    bool later = c->status >= 500 || c->status == 429 || c->status == 408 ||
                 span_equal(name, span_of_text("RequestTimeout"));
    s->counts.refused += !later;
    if (later)
        log_warn("object store is busy", log_text("method", c->method), log_text("path", c->path),
                 log_u64("status", (uint64_t)c->status), log_bytes("code", name));
    else
        log_error("object store refused", log_text("method", c->method), log_text("path", c->path),
                  log_u64("status", (uint64_t)c->status), log_bytes("code", name),
                  log_bytes("words", words), log_text("look_at", hint_of(name)));
    return later ? ERR_STORE_AWAY : ERR_STORE_REFUSED;
}

/* False: it was told to stop. */
static bool pause_ms(const struct object_s3 *s, uint32_t ms)
{
    for (uint32_t slept = 0; slept < ms; slept += 50) {
        struct timespec bite = {.tv_nsec = 50000000};
        if (s->stopping != NULL && s->stopping(s->stopping_context))
            return false;
        (void)nanosleep(&bite, NULL);
    }
    return true;
}

enum err object_s3_call(struct object_s3 *s, struct object_s3_call *c)
{
    uint32_t wait_ms = PAUSE_MS;
    for (uint32_t attempt = 1;; attempt++) {
        struct transfer t = {.s = s, .call = c};
        s->counts.requests++;
        enum err err = judge(s, c, &t, perform(s, c, &t));
        if (err != ERR_STORE_AWAY || attempt >= s->tries)
            return err;
        s->counts.retries++;
        if (!pause_ms(s, wait_ms))
            return ERR_STOPPING;
        wait_ms = wait_ms * 2 > PAUSE_MS_MAX ? PAUSE_MS_MAX : wait_ms * 2;
    }
}
