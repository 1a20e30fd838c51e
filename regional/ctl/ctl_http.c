/* SPDX-License-Identifier: Apache-2.0
 * ctl_http: one question to a globe over HTTPS, by libcurl. */
#include "regional/ctl/ctl_http.h"

#include "common/run/options.h"
#include "regional/ctl/ctl_base.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define CONNECT_MS     10000L
#define ANSWER_MS      60000L
#define BODY_BYTES_MAX (64u * 1024 * 1024)
#define TOKEN_BYTES    256

void ctl_http_put_parameter(struct buf *path, const char *name, const char *value)
{
    static const char digits[] = "0123456789ABCDEF";
    bool first = memchr(path->data, '?', path->length) == NULL;
    buf_put_u8(path, first ? '?' : '&');
    buf_put(path, name, strlen(name));
    buf_put_u8(path, '=');
    for (const unsigned char *at = (const unsigned char *)value; *at != '\0'; at++) {
        bool plain = (*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') ||
                     (*at >= 'A' && *at <= 'Z') || strchr("-._~", *at) != NULL;
        if (plain)
            buf_put_u8(path, *at);
        else
            buf_put(path, (const char[]){'%', digits[*at >> 4], digits[*at & 15]}, 3);
    }
}

static size_t take(char *bytes, size_t size, size_t count, void *context)
{
    struct buf *body = context;
    size_t length = size * count;
    if (body->length + length > BODY_BYTES_MAX)
        return 0; /* curl: write error */
    buf_put(body, bytes, length);
    return length;
}

/* A name and a port, nothing that would lead a token elsewhere. */
static bool url_is_plain(const char *url)
{
    static const char scheme[] = "https://";
    size_t length = strlen(scheme);
    return strncmp(url, scheme, length) == 0 && url[length] != '\0' &&
           url[length + strcspn(url + length, "/?#@ \t\r\n")] == '\0';
}

/* "Authorization: Bearer ..." from a file that nobody else may read. */
static int put_token(const char *file, struct curl_slist **headers)
{
    struct buf token = {0}, line = {0};
    char *error = NULL;
    const struct rlimit no_core = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &no_core); /* a crash must not leave the token on a disk */
    if (options_secret(file, TOKEN_BYTES, &token, &error) != ERR_OK) {
        int code = ctl_fail(EXIT_CODE_CONFIG, error, "");
        free(error);
        return code;
    }
    static const char field[] = "Authorization: Bearer ";
    int code = 0;
    if (memchr(token.data, '\r', token.length) != NULL ||
        memchr(token.data, '\n', token.length) != NULL)
        code = ctl_fail(EXIT_CODE_CONFIG, "not one line: ", file);
    buf_put(&line, field, strlen(field));
    buf_put(&line, token.data, token.length);
    buf_put_u8(&line, '\0');
    if (code == 0)
        *headers = curl_slist_append(*headers, (const char *)line.data);
    explicit_bzero(token.data, token.capacity);
    explicit_bzero(line.data, line.capacity);
    buf_done(&token);
    buf_done(&line);
    return code;
}

static void prepare(CURL *curl, const struct ctl_http_globe *globe, struct buf *body)
{
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, ANSWER_MS);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "tributaryctl/" TRIBUTARY_VERSION);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    if (globe->ca_file != NULL)
        curl_easy_setopt(curl, CURLOPT_CAINFO, globe->ca_file);
}

static int told(CURLcode code, const char *url)
{
    if (code == CURLE_OK)
        return 0;
    (void)fprintf(stderr, "tributaryctl: %s: %s\n", url, curl_easy_strerror(code));
    bool is_trust = code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
    return is_trust ? EXIT_CODE_CONFIG : EXIT_CODE_TEMPORARY;
}

int ctl_http_get(const struct ctl_http_globe *globe, const char *path, long *out_status,
                 struct buf *out_body)
{
    struct curl_slist *headers = NULL;
    struct buf url = {0};
    if (!url_is_plain(globe->url))
        return ctl_fail(EXIT_CODE_USAGE, "--globe must be https://host[:port], not ", globe->url);
    int code = globe->token_file == NULL ? 0 : put_token(globe->token_file, &headers);
    CURL *curl = code == 0 ? curl_easy_init() : NULL;
    if (curl != NULL) {
        buf_put(&url, globe->url, strlen(globe->url));
        buf_put(&url, path, strlen(path) + 1);
        prepare(curl, globe, out_body);
        curl_easy_setopt(curl, CURLOPT_URL, (const char *)url.data);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        code = told(curl_easy_perform(curl), globe->url);
        if (code == 0)
            (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, out_status);
        curl_easy_cleanup(curl);
    }
    curl_slist_free_all(headers);
    buf_done(&url);
    return code;
}
