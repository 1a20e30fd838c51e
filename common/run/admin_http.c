/* SPDX-License-Identifier: Apache-2.0
 * admin_http: the plain HTTP/1.1 port for machines of the operator, over libmicrohttpd.
 * Audience: see admin_http.h. */
#include "common/run/admin_http.h"

#include "common/run/log.h"
#include "common/run/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONNECTIONS_MAX      64
#define CONNECTION_BYTES_MAX (16 * 1024)
#define IDLE_SECONDS         30
#define BODY_BYTES_MAX       (64 * 1024) /* read and thrown away: no route takes a body */

struct admin_http {
    struct admin_options options;
    struct MHD_Daemon *daemon;
    uint16_t port;
};

/* One request, from its first line to its last byte. */
struct request {
    char *path;
    char *query; /* inside path */
    bool begun;
    size_t body_bytes;
};

static void *on_line(void *context, const char *uri, struct MHD_Connection *connection)
{
    (void)context;
    (void)connection;
    struct request *r = base_zalloc(1, sizeof(*r));
    r->path = strdup(uri);
    CHECK(r->path != NULL);
    char *mark = strchr(r->path, '?');
    r->query = mark == NULL ? r->path + strlen(r->path) : mark + 1;
    if (mark != NULL)
        *mark = '\0';
    return r;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode why)
{
    (void)context, (void)connection, (void)why;
    struct request *r = *request;
    if (r == NULL)
        return;
    free(r->path);
    free(r);
    *request = NULL;
}

static struct MHD_Response *response_of(struct admin_reply *reply)
{
    struct stat stat;
    if (reply->file < 0)
        return MHD_create_response_from_buffer(reply->body.length, reply->body.data,
                                               MHD_RESPMEM_MUST_COPY);
    if (fstat(reply->file, &stat) == 0 && S_ISREG(stat.st_mode))
        return MHD_create_response_from_fd64((uint64_t)stat.st_size, reply->file);
    log_error("admin reply is not a regular file", log_u64("file", (uint64_t)reply->file));
    (void)close(reply->file);
    reply->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
}

/* Sends and frees the reply. */
static enum MHD_Result answer(struct MHD_Connection *connection, struct admin_reply *reply,
                              const char *allow)
{
    struct MHD_Response *response = response_of(reply);
    CHECK(response != NULL);
    enum MHD_Result added =
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->content_type);
    CHECK(added == MHD_YES);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (allow != NULL)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
    enum MHD_Result queued = MHD_queue_response(connection, reply->status, response);
    MHD_destroy_response(response);
    buf_done(&reply->body);
    return queued;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status, const char *words,
                              const char *allow)
{
    struct admin_reply reply = {
        .status = status, .content_type = "text/plain; charset=utf-8", .file = -1};
    buf_put(&reply.body, words, strlen(words));
    return answer(connection, &reply, allow);
}

static enum MHD_Result route(struct admin_http *a, struct MHD_Connection *connection,
                             const char *method, const struct request *r)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    const char *allow = NULL;
    for (size_t i = 0; i < a->options.route_count; i++) {
        const struct admin_route *known = &a->options.routes[i];
        if (strcmp(known->path, r->path) != 0)
            continue;
        if (strcmp(known->method, wanted) == 0) {
            struct admin_reply reply = {
                .status = MHD_HTTP_OK, .content_type = "text/plain; charset=utf-8", .file = -1};
            known->handle(a->options.context, r->query, &reply);
            return answer(connection, &reply, NULL);
        }
        const bool gets = strcmp(known->method, "GET") == 0;
        allow = allow != NULL ? "GET, HEAD, POST" : gets ? "GET, HEAD" : "POST";
    }
    if (allow == NULL)
        return refuse(connection, MHD_HTTP_NOT_FOUND, "not found\n", NULL);
    return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "method not allowed\n", allow);
}

static bool declares_too_much(struct MHD_Connection *connection)
{
    const char *length =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return length != NULL && strtoull(length, NULL, 10) > BODY_BYTES_MAX;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_bytes, void **request)
{
    (void)url, (void)version, (void)upload;
    struct admin_http *a = context;
    struct request *r = *request;
    CHECK(r != NULL);
    if (!r->begun) {
        r->begun = true;
        if (declares_too_much(connection))
            return refuse(connection, MHD_HTTP_CONTENT_TOO_LARGE, "body too long\n", NULL);
        return MHD_YES;
    }
    if (*upload_bytes > 0) {
        r->body_bytes += *upload_bytes;
        *upload_bytes = 0;
        return r->body_bytes <= BODY_BYTES_MAX ? MHD_YES : MHD_NO;
    }
    /* Browsers say where a page comes from; no page has business here, even when a browser runs on
     * this machine. */
    if (MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ORIGIN) != NULL)
        return refuse(connection, MHD_HTTP_FORBIDDEN, "not for web pages\n", NULL);
    return route(a, connection, method, r);
}

static enum err refuse_listen(const char *listen_on, const char *doing)
{
    log_error("admin port cannot be opened", log_text("listen", listen_on),
              log_text("doing", doing), log_text("reason", strerror(errno)));
    return ERR_SYSTEM;
}

static enum err open_listener(const char *text, int *out_socket, uint16_t *out_port)
{
    char host[64] = "";
    uint16_t port = 0;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (!options_address(text, host, sizeof(host), &port) ||
        (inet_pton(AF_INET, host, &v4.sin_addr) != 1 &&
         inet_pton(AF_INET6, host, &v6.sin6_addr) != 1)) {
        log_error("admin address is not IP:port", log_text("listen", text));
        return ERR_CONFIG;
    }
    const bool is_v6 = strchr(host, ':') != NULL;
    v4.sin_port = v6.sin6_port = htons(port);
    const struct sockaddr *address = is_v6 ? (const void *)&v6 : (const void *)&v4;
    socklen_t size = is_v6 ? sizeof(v6) : sizeof(v4);
    int opened = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (opened < 0)
        return refuse_listen(text, "socket");
    const int on = 1;
    (void)setsockopt(opened, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(opened, address, size) != 0 || listen(opened, 64) != 0) {
        enum err err = refuse_listen(text, "bind");
        (void)close(opened);
        return err;
    }
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } bound = {0};
    size = sizeof(bound);
    CHECK(getsockname(opened, &bound.any, &size) == 0);
    *out_port = ntohs(is_v6 ? bound.v6.sin6_port : bound.v4.sin_port);
    *out_socket = opened;
    return ERR_OK;
}

enum err admin_http_start(const struct admin_options *options, struct admin_http **out)
{
    int listener = -1;
    uint16_t port = 0;
    enum err err = open_listener(options->listen, &listener, &port);
    if (err != ERR_OK)
        return err;
    struct admin_http *a = base_zalloc(1, sizeof(*a));
    a->options = *options;
    a->port = port;
    a->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL, on_request, a,
        MHD_OPTION_LISTEN_SOCKET, listener, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_URI_LOG_CALLBACK, on_line, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
        MHD_OPTION_END);
    if (a->daemon == NULL) {
        err = refuse_listen(options->listen, "start thread");
        (void)close(listener);
        free(a);
        return err;
    }
    *out = a;
    return ERR_OK;
}

uint16_t admin_http_port(const struct admin_http *a)
{
    return a->port;
}

void admin_http_stop(struct admin_http *a)
{
    if (a == NULL)
        return;
    MHD_stop_daemon(a->daemon);
    free(a);
}
