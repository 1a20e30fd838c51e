/* SPDX-License-Identifier: Apache-2.0
 * The admin port over a real socket: routes, refusals, files, limits. */
#include "common/run/admin_http.h"

#include "scratch.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <sys/socket.h>

struct seen {
    char *folder;
    atomic_uint calls;
    char query[200];
};

static void metrics(void *context, const char *query, struct admin_reply *reply)
{
    struct seen *seen = context;
    atomic_fetch_add(&seen->calls, 1);
    (void)snprintf(seen->query, sizeof(seen->query), "%s", query);
    reply->content_type = "text/plain; version=0.0.4";
    buf_put(&reply->body, "clicks 7\n", 9);
}

static void not_ready(void *context, const char *query, struct admin_reply *reply)
{
    (void)context, (void)query;
    reply->status = 503;
}

static void copy(void *context, const char *query, struct admin_reply *reply)
{
    (void)query;
    const struct seen *seen = context;
    reply->content_type = "application/octet-stream";
    reply->file = open(scratch_path(seen->folder, "store"), O_RDONLY);
}

static void broken_copy(void *context, const char *query, struct admin_reply *reply)
{
    (void)query;
    const struct seen *seen = context;
    reply->file = open(seen->folder, O_RDONLY | O_DIRECTORY);
}

static const struct admin_route routes[] = {{"GET", "/metrics", metrics},
                                            {"GET", "/readyz", not_ready},
                                            {"POST", "/copy", copy},
                                            {"GET", "/broken", broken_copy}};

static struct seen seen;
static struct admin_http *admin;

static void setup(void)
{
    seen.folder = scratch_new();
    const struct admin_options options = {.listen = "127.0.0.1:0",
                                          .routes = routes,
                                          .route_count = countof(routes),
                                          .context = &seen};
    cr_assert_eq(admin_http_start(&options, &admin), ERR_OK);
    cr_assert_neq(admin_http_port(admin), 0);
}

static void teardown(void)
{
    admin_http_stop(admin);
    admin_http_stop(NULL);
    scratch_free(seen.folder);
}

TestSuite(admin_http, .init = setup, .fini = teardown, .timeout = 60);

static int connected(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(admin_http_port(admin)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval deadline = {.tv_sec = 20};
    cr_assert_eq(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)), 0);
    cr_assert_eq(connect(s, (struct sockaddr *)&to, sizeof(to)), 0);
    return s;
}

/* Sends a request as it stands and returns the whole answer, NUL-terminated; out must be
 * buf_done'd. */
static const char *ask(const char *request, struct buf *out)
{
    int s = connected();
    size_t length = strlen(request);
    cr_assert_eq(send(s, request, length, MSG_NOSIGNAL), (ssize_t)length);
    buf_clear(out);
    for (;;) {
        buf_reserve(out, 65536);
        ssize_t got = recv(s, out->data + out->length, 65536, 0);
        if (got <= 0)
            break;
        out->length += (size_t)got;
    }
    (void)close(s);
    buf_put_u8(out, 0);
    return (const char *)out->data;
}

#define REQUEST(line) line " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static bool has(const char *answer, const char *what)
{
    return strstr(answer, what) != NULL;
}

static bool begins(const char *answer, const char *what)
{
    return strncmp(answer, what, strlen(what)) == 0;
}

Test(admin_http, a_route_answers_and_gets_its_query)
{
    struct buf out = {0};

    const char *answer = ask(REQUEST("GET /metrics?a=%20b&c"), &out);

    cr_assert(begins(answer, "HTTP/1.1 200 "), "%s", answer);
    cr_assert(has(answer, "Content-Type: text/plain; version=0.0.4\r\n"));
    cr_assert(has(answer, "Cache-Control: no-store\r\n"));
    cr_assert(has(answer, "\r\n\r\nclicks 7\n"));
    cr_assert_str_eq(seen.query, "a=%20b&c");
    (void)ask(REQUEST("GET /metrics"), &out);
    cr_assert_str_eq(seen.query, "");
    buf_done(&out);
}

Test(admin_http, head_is_get_without_the_body)
{
    struct buf out = {0};

    const char *answer = ask(REQUEST("HEAD /metrics"), &out);

    cr_assert(begins(answer, "HTTP/1.1 200 "));
    cr_assert(has(answer, "Content-Length: 9\r\n"), "%s", answer);
    cr_assert_not(has(answer, "clicks"));
    cr_assert_eq(atomic_load(&seen.calls), 1);
    buf_done(&out);
}

Test(admin_http, the_handler_chooses_the_status)
{
    struct buf out = {0};
    cr_assert(begins(ask(REQUEST("GET /readyz"), &out), "HTTP/1.1 503 "));
    buf_done(&out);
}

Test(admin_http, unknown_paths_are_404_and_other_methods_405)
{
    struct buf out = {0};
    cr_assert(begins(ask(REQUEST("GET /"), &out), "HTTP/1.1 404 "));
    cr_assert(begins(ask(REQUEST("GET /metrics/"), &out), "HTTP/1.1 404 "));
    cr_assert(begins(ask(REQUEST("GET /../etc/passwd"), &out), "HTTP/1.1 404 "));
    cr_assert(begins(ask(REQUEST("DELETE /metrics"), &out), "HTTP/1.1 405 "));
    cr_assert(has((const char *)out.data, "Allow: GET, HEAD\r\n"));
    cr_assert(begins(ask(REQUEST("GET /copy"), &out), "HTTP/1.1 405 "));
    cr_assert(has((const char *)out.data, "Allow: POST\r\n"));
    cr_assert_eq(atomic_load(&seen.calls), 0);
    buf_done(&out);
}

Test(admin_http, a_web_page_is_refused)
{
    struct buf out = {0};

    const char *answer = ask("POST /copy HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.test\r\n"
                             "Content-Length: 0\r\nConnection: close\r\n\r\n",
                             &out);

    cr_assert(begins(answer, "HTTP/1.1 403 "), "%s", answer);
    buf_done(&out);
}

Test(admin_http, a_file_is_streamed_whole_and_closed)
{
    enum { SIZE = 3000000 };
    char *content = malloc(SIZE + 1);
    for (size_t i = 0; i < SIZE; i++)
        content[i] = (char)('a' + i * i % 23);
    content[SIZE] = '\0';
    scratch_file(seen.folder, "store", content, 0600);
    struct buf out = {0};
    int lowest_free = dup(0);
    (void)close(lowest_free);

    const char *answer = ask("POST /copy HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
                             "Connection: close\r\n\r\n",
                             &out);

    cr_assert(begins(answer, "HTTP/1.1 200 "));
    cr_assert(has(answer, "Content-Length: 3000000\r\n"));
    const char *body = strstr(answer, "\r\n\r\n");
    cr_assert_not_null(body);
    cr_assert_str_eq(body + 4, content);
    cr_assert(begins(ask(REQUEST("GET /metrics"), &out), "HTTP/1.1 200 "));
    free(content);
    buf_done(&out);
    admin_http_stop(admin);
    admin = NULL;
    int now_free = dup(0);
    (void)close(now_free);
    cr_assert_leq(now_free, lowest_free);
}

Test(admin_http, a_reply_that_is_no_file_is_500)
{
    struct buf out = {0};
    struct scratch_stderr captured = scratch_stderr_begin();
    bool failed = begins(ask(REQUEST("GET /broken"), &out), "HTTP/1.1 500 ");
    free(scratch_stderr_end(captured));
    cr_assert(failed);
    buf_done(&out);
}

Test(admin_http, long_bodies_and_long_heads_are_refused)
{
    struct buf out = {0}, request = {0};

    cr_assert(begins(ask("POST /copy HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n", &out),
                     "HTTP/1.1 413 "));
    const char head[] = "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Long: ";
    buf_put(&request, head, sizeof(head) - 1);
    for (unsigned i = 0; i < 40000; i++)
        buf_put_u8(&request, 'x');
    buf_put(&request, "\r\n\r\n", 5);
    const char *answer = ask((const char *)request.data, &out);
    cr_assert(begins(answer, "HTTP/1.1 431 ") || begins(answer, "HTTP/1.1 413 ") ||
                  answer[0] == '\0',
              "%s", answer);
    cr_assert_eq(atomic_load(&seen.calls), 0);
    cr_assert(begins(ask(REQUEST("GET /metrics"), &out), "HTTP/1.1 200 "));
    buf_done(&request);
    buf_done(&out);
}

Test(admin_http, garbage_does_not_stop_the_port)
{
    struct buf out = {0};
    (void)ask("\x16\x03\x01\x02\r\n\r\n", &out);
    (void)ask("GET\r\n\r\n", &out);
    cr_assert(begins(ask(REQUEST("GET /metrics"), &out), "HTTP/1.1 200 "));
    buf_done(&out);
}

Test(admin_http, a_taken_port_and_a_bad_address_are_told)
{
    char taken[32];
    (void)snprintf(taken, sizeof(taken), "127.0.0.1:%u", admin_http_port(admin));
    struct admin_options options = {.listen = taken, .routes = routes, .route_count = 1};
    struct admin_http *second = NULL;

    struct scratch_stderr captured = scratch_stderr_begin();
    enum err on_taken = admin_http_start(&options, &second);
    options.listen = "localhost";
    enum err on_bad = admin_http_start(&options, &second);
    options.listen = "no-ip:80";
    enum err on_name = admin_http_start(&options, &second);
    char *said = scratch_stderr_end(captured);

    cr_assert_eq(on_taken, ERR_SYSTEM);
    cr_assert_eq(on_bad, ERR_CONFIG);
    cr_assert_eq(on_name, ERR_CONFIG);
    cr_assert_null(second);
    cr_assert(has(said, "Address already in use"), "%s", said);
    free(said);
}

Test(admin_http, it_also_speaks_ipv6)
{
    const struct admin_options options = {
        .listen = "[::1]:0", .routes = routes, .route_count = countof(routes), .context = &seen};
    struct admin_http *v6 = NULL;

    struct scratch_stderr captured = scratch_stderr_begin();
    enum err err = admin_http_start(&options, &v6);
    free(scratch_stderr_end(captured));

    if (err != ERR_OK)
        cr_skip_test("no IPv6 loopback here");
    cr_assert_neq(admin_http_port(v6), 0);
    admin_http_stop(v6);
}
