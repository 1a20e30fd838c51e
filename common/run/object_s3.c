/* SPDX-License-Identifier: Apache-2.0
 * object_s3: see object_s3.h. */
#include "common/run/object_s3.h"

#include "common/run/log.h"
#include "common/run/object_name.h"
#include "common/run/object_s3_call.h"

#include <stdio.h>
#include <stdlib.h>

#define PART_BYTES      (16ULL << 20)
#define PART_BYTES_MIN  (5ULL << 20) /* S3's own limits */
#define PARTS_MAX       10000u
#define XML_BYTES_MAX   (4u << 20)
#define QUERY_BYTES     2048u
#define UPLOAD_ID_BYTES 1024u

static struct object_s3 *s3_of(struct object_store *store)
{
    return container_of(store, struct object_s3, port);
}

/* A path of ours after the origin. */
static void path_of(const struct object_s3 *s, const char *name, char out[QUERY_BYTES])
{
    CHECK(object_name_is_valid(name));
    int length = snprintf(out, QUERY_BYTES, "%s%s", s->base, name);
    CHECK(length > 0 && (unsigned)length < QUERY_BYTES);
}

static enum err put_whole(struct object_s3 *s, const char *path, const char *class,
                          const char *type, struct span data)
{
    struct object_s3_call c = {.method = "PUT",
                               .path = path,
                               .query = "",
                               .type = type,
                               .body = data,
                               .storage_class = class,
                               .answer_bytes_max = XML_BYTES_MAX};
    enum err err = object_s3_call(s, &c);
    buf_done(&c.answer);
    return err;
}

/* --- parts --- */

static enum err begin_upload(struct object_s3 *s, const char *path, const char *class,
                             const char *type, char out_id[UPLOAD_ID_BYTES])
{
    struct object_s3_call c = {.method = "POST",
                               .path = path,
                               .query = "uploads=",
                               .type = type,
                               .storage_class = class,
                               .answer_bytes_max = XML_BYTES_MAX};
    enum err err = object_s3_call(s, &c);
    struct span at = buf_span(&c.answer), id;
    if (err == ERR_OK) {
        char *escaped = NULL;
        if (object_s3_tag(&at, "UploadId", &id) && id.length > 0)
            escaped = curl_easy_escape(s->curl, (const char *)id.data, (int)id.length);
        if (escaped == NULL || strlen(escaped) >= UPLOAD_ID_BYTES)
            err = ERR_STORE_REFUSED;
        else
            memcpy(out_id, escaped, strlen(escaped) + 1);
        curl_free(escaped);
    }
    buf_done(&c.answer);
    return err;
}

static enum err put_parts(struct object_s3 *s, const char *path, const char *id, struct span data,
                          struct buf *list)
{
    char query[QUERY_BYTES];
    uint64_t part_bytes = base_max_u64(s->part_bytes, data.length / (PARTS_MAX - 1) + 1);
    buf_put(list, "<CompleteMultipartUpload>", 25);
    for (uint64_t at = 0, number = 1; at < data.length; at += part_bytes, number++) {
        size_t length = (size_t)base_min_u64(part_bytes, data.length - at);
        (void)snprintf(query, sizeof(query), "partNumber=%llu&uploadId=%s",
                       (unsigned long long)number, id);
        struct object_s3_call c = {.method = "PUT",
                                   .path = path,
                                   .query = query,
                                   .type = "application/octet-stream",
                                   .body = span_of(data.data + at, length),
                                   .answer_bytes_max = XML_BYTES_MAX};
        enum err err = object_s3_call(s, &c);
        buf_done(&c.answer);
        if (err != ERR_OK)
            return err;
        char text[256];
        int text_length = snprintf(text, sizeof(text),
                                   "<Part><PartNumber>%llu</PartNumber><ETag>%s</ETag></Part>",
                                   (unsigned long long)number, c.etag);
        if (c.etag[0] == '\0' || strpbrk(c.etag, "<>&") != NULL)
            return ERR_STORE_REFUSED;
        buf_put(list, text, (size_t)text_length);
    }
    buf_put(list, "</CompleteMultipartUpload>", 26);
    return ERR_OK;
}

/* S3 may say 200 first and the error in the body. */
static enum err end_upload(struct object_s3 *s, const char *path, const char *id, struct span list)
{
    char query[QUERY_BYTES];
    (void)snprintf(query, sizeof(query), "uploadId=%s", id);
    struct object_s3_call c = {.method = "POST",
                               .path = path,
                               .query = query,
                               .type = "application/xml",
                               .body = list,
                               .answer_bytes_max = XML_BYTES_MAX};
    enum err err = object_s3_call(s, &c);
    struct span at = buf_span(&c.answer), code = {0};
    if (err == ERR_OK && memmem(c.answer.data, c.answer.length, "<Error>", 7) != NULL) {
        (void)object_s3_tag(&at, "Code", &code);
        log_warn("upload was not completed", log_text("path", path), log_bytes("code", code));
        err = ERR_STORE_AWAY;
    } else if (err == ERR_OK &&
               (c.answer.length == 0 || memmem(c.answer.data, c.answer.length,
                                               "CompleteMultipartUploadResult", 29) == NULL)) {
        err = ERR_STORE_AWAY; /* cut off: the outcome is unknown */
    }
    buf_done(&c.answer);
    return err;
}

static void abort_upload(struct object_s3 *s, const char *path, const char *id)
{
    char query[QUERY_BYTES];
    (void)snprintf(query, sizeof(query), "uploadId=%s", id);
    struct object_s3_call c = {.method = "DELETE",
                               .path = path,
                               .query = query,
                               .not_found_is_fine = true,
                               .answer_bytes_max = XML_BYTES_MAX};
    uint32_t tries = s->tries;
    s->tries = 1; /* a bucket's lifecycle rule removes what stays */
    if (object_s3_call(s, &c) != ERR_OK)
        log_warn("parts of an upload may have stayed behind", log_text("path", path));
    s->tries = tries;
    buf_done(&c.answer);
}

static enum err put(struct object_store *store, const char *name, enum object_kind kind,
                    struct span data)
{
    struct object_s3 *s = s3_of(store);
    char path[QUERY_BYTES], id[UPLOAD_ID_BYTES];
    const char *class = kind == OBJECT_DATA ? s->storage_class : NULL;
    const char *type = kind == OBJECT_DATA ? "application/octet-stream" : "application/json";
    path_of(s, name, path);
    if (data.length <= s->part_bytes)
        return put_whole(s, path, class, type, data);
    enum err err = begin_upload(s, path, class, type, id);
    if (err != ERR_OK)
        return err;
    struct buf list = {0};
    err = put_parts(s, path, id, data, &list);
    if (err == ERR_OK)
        err = end_upload(s, path, id, buf_span(&list));
    if (err != ERR_OK)
        abort_upload(s, path, id);
    buf_done(&list);
    return err;
}

static enum err get(struct object_store *store, const char *name, size_t bytes_max, struct buf *out)
{
    struct object_s3 *s = s3_of(store);
    char path[QUERY_BYTES];
    path_of(s, name, path);
    struct object_s3_call c = {.method = "GET",
                               .path = path,
                               .query = "",
                               .not_found_is_fine = true,
                               .answer_bytes_max = bytes_max};
    enum err err = object_s3_call(s, &c);
    if (err == ERR_OK)
        buf_put(out, c.answer.data, c.answer.length);
    buf_done(&c.answer);
    return err;
}

/* --- list --- */

static enum err list_page(struct object_s3 *s, const char *prefix, const char *after,
                          struct object_s3_call *c)
{
    char query[QUERY_BYTES], name[2 * OBJECT_NAME_BYTES_MAX + 2];
    (void)snprintf(name, sizeof(name), "%s%s", s->prefix, prefix);
    char *prefix_text = curl_easy_escape(s->curl, name, 0);
    (void)snprintf(name, sizeof(name), "%s%s", after[0] == '\0' ? "" : s->prefix, after);
    char *after_text = curl_easy_escape(s->curl, name, 0);
    CHECK(prefix_text != NULL && after_text != NULL);
    /* The names sorted, and one without a value left out: curl 7.88 signs them as they stand. */
    int length = snprintf(query, sizeof(query), "list-type=2&max-keys=1000");
    if (prefix_text[0] != '\0')
        length +=
            snprintf(query + length, sizeof(query) - (size_t)length, "&prefix=%s", prefix_text);
    if (after_text[0] != '\0' && (size_t)length < sizeof(query))
        length +=
            snprintf(query + length, sizeof(query) - (size_t)length, "&start-after=%s", after_text);
    CHECK((size_t)length < sizeof(query));
    curl_free(prefix_text);
    curl_free(after_text);
    *c = (struct object_s3_call){
        .method = "GET", .path = s->bucket_path, .query = query, .answer_bytes_max = XML_BYTES_MAX};
    enum err err = object_s3_call(s, c);
    c->query = NULL;
    return err;
}

static enum err list(struct object_store *store, const char *prefix, const char *after,
                     struct buf *out_names)
{
    struct object_s3 *s = s3_of(store);
    size_t before = out_names->length, skipped = strlen(s->prefix);
    char last[OBJECT_NAME_BYTES_MAX + 1];
    (void)snprintf(last, sizeof(last), "%s", after);
    for (bool more = true; more && out_names->length == before;) {
        struct object_s3_call c;
        enum err err = list_page(s, prefix, last, &c);
        struct span at = buf_span(&c.answer), key;
        more = false;
        while (err == ERR_OK && object_s3_tag(&at, "Key", &key)) {
            if (key.length <= skipped || key.length - skipped > OBJECT_NAME_BYTES_MAX)
                continue; /* not ours */
            (void)snprintf(last, sizeof(last), "%.*s", (int)(key.length - skipped),
                           (const char *)key.data + skipped);
            if (object_name_is_valid(last))
                buf_put(out_names, last, strlen(last) + 1);
            more = true; /* there may be another page, of names that are ours */
        }
        buf_done(&c.answer);
        if (err != ERR_OK) {
            out_names->length = before;
            return err;
        }
    }
    return ERR_OK;
}

/* --- life --- */

static char *text_of(const char *pattern, const char *a, const char *b, const char *c)
{
    char *out = NULL;
    CHECK(asprintf(&out, pattern, a, b, c) >= 0);
    return out;
}

static char *copy_of(const char *text)
{
    char *copy = text == NULL ? NULL : strdup(text);
    CHECK(text == NULL || copy != NULL);
    return copy;
}

static const char *wrong(const struct object_s3_options *o, const char *prefix)
{
    const char *host = strstr(o->endpoint, "://");
    bool http = strncmp(o->endpoint, "http://", 7) == 0,
         https = strncmp(o->endpoint, "https://", 8) == 0;
    if ((!http && !https) || host[3] == '\0' || strpbrk(host + 3, "/?#@ ") != NULL)
        return "endpoint must be http://host[:port] or https://host[:port]";
    if (o->bucket[0] == '\0' || strlen(o->bucket) > 63 ||
        strspn(o->bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-") != strlen(o->bucket))
        return "bucket must be of a-z, 0-9, '.' and '-'";
    size_t length = strlen(prefix);
    if (length > 0) {
        char name[OBJECT_NAME_BYTES_MAX + 1];
        if (length > 200 || prefix[length - 1] != '/')
            return "prefix must end with a slash, and be of at most 200 bytes";
        (void)snprintf(name, sizeof(name), "%sx", prefix);
        if (!object_name_is_valid(name))
            return "prefix must be of a-z, A-Z, 0-9, '/', '_', '.' and '-'";
    }
    if (o->part_bytes != 0 && o->part_bytes < PART_BYTES_MIN)
        return "parts must have 5 MiB at least";
    if (strchr(o->access_key, ':') != NULL)
        return "the access key must not hold a colon";
    return NULL;
}

enum err object_s3_open(const struct object_s3_options *o, struct object_store **out)
{
    const char *prefix = o->prefix == NULL ? "" : o->prefix;
    const char *words = wrong(o, prefix);
    if (words != NULL) {
        log_error("object store cannot be used", log_text("reason", words));
        return ERR_CONFIG;
    }
    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    struct object_s3 *s = base_zalloc(1, sizeof(*s));
    s->port = (struct object_store){put, get, list};
    s->curl = curl_easy_init();
    CHECK(s->curl != NULL);
    const char *host = strstr(o->endpoint, "://") + 3;
    if (o->path_style) {
        s->origin = copy_of(o->endpoint);
        s->bucket_path = text_of("/%s%s%s", o->bucket, "", "");
        s->base = text_of("/%s/%s%s", o->bucket, prefix, "");
    } else {
        const char *scheme = strncmp(o->endpoint, "https", 5) == 0 ? "https" : "http";
        s->origin = text_of("%s://%s.%s", scheme, o->bucket, host);
        s->bucket_path = copy_of("/");
        s->base = text_of("/%s%s%s", prefix, "", "");
    }
    s->prefix = copy_of(prefix);
    s->user = text_of("%s:%s%s", o->access_key, o->secret_key, "");
    s->sigv4 = text_of("aws:amz:%s:s3%s%s", o->region, "", "");
    s->session_token = copy_of(o->session_token);
    s->storage_class = copy_of(o->storage_class);
    s->ca_file = copy_of(o->ca_file);
    s->part_bytes = o->part_bytes == 0 ? PART_BYTES : o->part_bytes;
    s->timeout_ms = o->timeout_ms == 0 ? 60000 : o->timeout_ms;
    s->connect_timeout_ms = o->connect_timeout_ms == 0 ? 5000 : o->connect_timeout_ms;
    s->tries = o->tries == 0 ? 4 : o->tries;
    s->stopping = o->stopping;
    s->stopping_context = o->stopping_context;
    *out = &s->port;
    return ERR_OK;
}

static void wipe(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

void object_s3_close(struct object_store *store)
{
    if (store == NULL)
        return;
    struct object_s3 *s = s3_of(store);
    curl_easy_cleanup(s->curl);
    wipe(s->user);
    wipe(s->session_token);
    free(s->origin);
    free(s->base);
    free(s->bucket_path);
    free(s->prefix);
    free(s->sigv4);
    free(s->storage_class);
    free(s->ca_file);
    free(s);
}

struct object_s3_counts object_s3_counts(const struct object_store *store)
{
    return ((const struct object_s3 *)(const void *)store)->counts;
}
