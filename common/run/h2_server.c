/* SPDX-License-Identifier: Apache-2.0
 * h2_server: the listening socket, the list of connections, and their common end. */
#include "common/run/h2_conn.h"

#include "common/run/log.h"
#include "common/run/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A handshake costs more than half a millisecond: those who wait for an answer wait for all of a
 * turn's handshakes. */
#define ACCEPTS_A_TURN  4
#define ACCEPT_PAUSE_MS 100
#define DRAIN_SWEEP_MS  20
/* Between the two GOAWAYs: requests that were on their way arrive meanwhile (RFC 9113, 6.8). */
#define DRAIN_GRACE_MS 100

/* -- accepting ----------------------------------------------------------------------------- */

static void peer_text(const struct sockaddr_storage *address, char *out, size_t size)
{
    out[0] = '\0';
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)address;
        (void)inet_ntop(AF_INET, &v4->sin_addr, out, (socklen_t)size);
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)address;
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
            (void)inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], out, (socklen_t)size);
        else
            (void)inet_ntop(AF_INET6, &v6->sin6_addr, out, (socklen_t)size);
    }
}

static void on_listener(uv_poll_t *listener, int status, int events);

static void on_pause_over(uv_timer_t *pause)
{
    struct h2_server *s = container_of(pause, struct h2_server, pause);
    if (!s->draining)
        (void)uv_poll_start(&s->listener, UV_READABLE, on_listener);
}

/* The log bounds how often it is told. */
static void tell_exhausted(const struct h2_server *s, int reason)
{
    log_warn("cannot accept now", log_text("reason", strerror(reason)), log_u64("port", s->port));
}

static int open_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Out of descriptors: the client is better told so, by a close, than left to wait. True: go on
 * accepting; the listening socket has one connection less. */
static bool turn_away(struct h2_server *s)
{
    if ((errno != EMFILE && errno != ENFILE) || s->reserve_file < 0)
        return false;
    tell_exhausted(s, errno);
    (void)close(s->reserve_file);
    int file = accept4(s->listen_file, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    int reason = errno;
    if (file >= 0) {
        (void)close(file);
        H2_COUNT(s, descriptors_out_total, 1);
    }
    s->reserve_file = open_reserve();
    errno = reason;
    return file >= 0;
}

/* Out of descriptors or buffers: the socket stays readable, so asking again at once would spin. */
static void pause_accepting(struct h2_server *s)
{
    tell_exhausted(s, errno);
    if (s->reserve_file < 0) /* another thread was faster */
        s->reserve_file = open_reserve();
    (void)uv_poll_stop(&s->listener);
    (void)uv_timer_start(&s->pause, on_pause_over, ACCEPT_PAUSE_MS, 0);
}

static void on_listener(uv_poll_t *listener, int status, int events)
{
    struct h2_server *s = container_of(listener, struct h2_server, listener);
    (void)status;
    (void)events;

    for (unsigned i = 0; i < ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage address;
        socklen_t length = sizeof(address);
        char text[INET6_ADDRSTRLEN];
        int file = accept4(s->listen_file, (struct sockaddr *)&address, &length,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (file < 0) {
            if (errno == EAGAIN)
                return;
            if (errno == ECONNABORTED || errno == EINTR || turn_away(s))
                continue;
            if (errno == EAGAIN)
                return;
            pause_accepting(s);
            return;
        }
        if (s->conn_count >= s->options.connections_max) {
            H2_COUNT(s, connections_refused_total, 1);
            (void)close(file);
            continue;
        }
        peer_text(&address, text, sizeof(text));
        h2_conn_accept(s, file, text);
    }
}

static bool bind_socket(int file, const struct addrinfo *address, bool share)
{
    int yes = 1;
    if (setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0)
        return false;
    if (share && setsockopt(file, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)) != 0)
        return false;
    return bind(file, address->ai_addr, address->ai_addrlen) == 0;
}

/* SO_REUSEPORT would let a second process share our clients in silence: so see first whether the
 * port can be had without it. */
static bool port_is_free(const struct addrinfo *address)
{
    int file = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool free_now = file >= 0 && bind_socket(file, address, false);
    int reason = errno;
    if (file >= 0)
        (void)close(file);
    errno = reason;
    return free_now;
}

static enum err listen_on(struct h2_server *s)
{
    char host[256], port[8];
    uint16_t number;
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *address = NULL;
    const char *text = s->options.listen;

    if (!options_address(text, host, sizeof(host), &number)) {
        log_error("listen address is not host:port", log_text("listen", text));
        return ERR_CONFIG;
    }
    (void)snprintf(port, sizeof(port), "%u", number);
    int failed = getaddrinfo(host, port, &hints, &address);
    if (failed != 0) {
        log_error("listen address unknown", log_text("listen", text),
                  log_text("reason", gai_strerror(failed)));
        return ERR_CONFIG;
    }
    s->listen_file = -1;
    if (!s->options.port_exclusive || port_is_free(address))
        s->listen_file = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool bound = s->listen_file >= 0 && bind_socket(s->listen_file, address, true) &&
                 listen(s->listen_file, 1024) == 0;
    if (!bound)
        log_error("cannot listen", log_text("listen", text), log_text("reason", strerror(errno)));
    freeaddrinfo(address);
    if (!bound && s->listen_file >= 0)
        (void)close(s->listen_file);
    return bound ? ERR_OK : ERR_SYSTEM;
}

/* Connections that nobody accepts wait in it for the next process. */
static enum err share_listener(struct h2_server *s)
{
    s->listen_file = fcntl(s->options.inherited_file, F_DUPFD_CLOEXEC, 3);
    if (s->listen_file >= 0)
        return ERR_OK;
    log_error("inherited socket cannot be used", log_text("reason", strerror(errno)));
    return ERR_SYSTEM;
}

static void learn_port(struct h2_server *s)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    CHECK(getsockname(s->listen_file, (struct sockaddr *)&address, &length) == 0);
    /* the port lies at the same place in both families */
    s->port = ntohs(((const struct sockaddr_in *)(const void *)&address)->sin_port);
}

/* -- turns of the loop --------------------------------------------------------------------- */

static void flush_all(struct h2_server *s)
{
    struct h2_conn *c = s->dirty;
    s->dirty = NULL;
    while (c != NULL) {
        struct h2_conn *next = c->next_dirty;
        c->dirty = false;
        h2_conn_flush(c);
        c = next;
    }
}

/* Answers may be given from timers (before the poll) and from wake-ups (in it): flush after both,
 * so that all answers of one turn share records and writes. */
static void on_before_poll(uv_prepare_t *handle)
{
    flush_all(container_of(handle, struct h2_server, before_poll));
}

static void on_after_poll(uv_check_t *handle)
{
    flush_all(container_of(handle, struct h2_server, after_poll));
}

static void on_sweep(uv_timer_t *sweep)
{
    struct h2_server *s = container_of(sweep, struct h2_server, sweep);
    uint64_t now_ms = uv_now(s->options.loop);
    bool last = s->draining && s->drain_began_ms + DRAIN_GRACE_MS <= now_ms;

    for (struct h2_conn *c = s->conns; c != NULL; c = c->next) {
        if (s->draining)
            h2_conn_end_pieces(c);
        if (last)
            h2_conn_goaway(c);
        h2_conn_sweep(c, now_ms);
    }
    if (last)
        s->drain_began_ms = UINT64_MAX - DRAIN_GRACE_MS; /* said once */
}

const char *h2_server_date(struct h2_server *s)
{
    struct timespec now;
    struct tm parts;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != s->date_second || s->date[0] == '\0') {
        s->date_second = now.tv_sec;
        (void)gmtime_r(&now.tv_sec, &parts);
        (void)strftime(s->date, sizeof(s->date), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    }
    return s->date;
}

/* -- the end ------------------------------------------------------------------------------- */

static void free_if_over(struct h2_server *s)
{
    if (!s->freed || s->stream_count > 0)
        return;
    h2_stream_free_spares(s);
    if (s->reserve_file >= 0)
        (void)close(s->reserve_file);
    SSL_CTX_free(s->options.tls);
    free(s);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct h2_server *s = handle->data;
    if (--s->open_handles > 0)
        return;
    s->drained = true;
    if (s->done != NULL)
        s->done(s->done_context);
}

static void finish_if_empty(struct h2_server *s)
{
    if (!s->draining || s->conn_count > 0 || uv_is_closing((uv_handle_t *)&s->sweep))
        return;
    uv_close((uv_handle_t *)&s->sweep, on_handle_closed);
    uv_close((uv_handle_t *)&s->pause, on_handle_closed);
    uv_close((uv_handle_t *)&s->drain_end, on_handle_closed);
    uv_close((uv_handle_t *)&s->before_poll, on_handle_closed);
    uv_close((uv_handle_t *)&s->after_poll, on_handle_closed);
}

static void on_drain_end(uv_timer_t *timer)
{
    struct h2_server *s = container_of(timer, struct h2_server, drain_end);
    for (struct h2_conn *c = s->conns; c != NULL; c = c->next)
        h2_conn_close(c);
}

void h2_server_drain(struct h2_server *s, uint32_t drain_ms, void (*done)(void *context),
                     void *context)
{
    CHECK(!s->draining);
    s->draining = true;
    s->done = done;
    s->done_context = context;
    s->drain_began_ms = uv_now(s->options.loop);
    /* at once, so that whoever sees our GOAWAY finds the port closed */
    uv_close((uv_handle_t *)&s->listener, on_handle_closed);
    (void)close(s->listen_file);
    (void)uv_timer_start(&s->drain_end, on_drain_end, drain_ms, 0);
    (void)uv_timer_start(&s->sweep, on_sweep, DRAIN_SWEEP_MS, DRAIN_SWEEP_MS);
    for (struct h2_conn *c = s->conns; c != NULL; c = c->next)
        h2_conn_goaway_soon(c);
    finish_if_empty(s);
}

void h2_server_free(struct h2_server *s)
{
    CHECK(s->drained);
    s->freed = true;
    free_if_over(s);
}

void h2_server_conn_gone(struct h2_server *s, struct h2_conn *c)
{
    if (c->next != NULL)
        c->next->previous = c->previous;
    if (c->previous != NULL)
        c->previous->next = c->next;
    else
        s->conns = c->next;
    for (struct h2_conn **at = &s->dirty; c->dirty && *at != NULL; at = &(*at)->next_dirty)
        if (*at == c) {
            *at = c->next_dirty;
            break;
        }
    s->conn_count--;
    atomic_fetch_sub_explicit(&s->options.counters->connections_open, 1, memory_order_relaxed);
    finish_if_empty(s);
}

void h2_server_stream_gone(struct h2_server *s)
{
    s->stream_count--;
    free_if_over(s);
}

/* -- the beginning ------------------------------------------------------------------------- */

static void fill_defaults(struct h2_server *s)
{
    struct h2_server_options *o = &s->options;
    if (o->connections_max == 0)
        o->connections_max = 4096;
    if (o->streams_max == 0)
        o->streams_max = 128;
    if (o->idle_timeout_ms == 0)
        o->idle_timeout_ms = 60000;
    if (o->stall_timeout_ms == 0)
        o->stall_timeout_ms = 10000;
    if (o->buffered_bytes_max == 0)
        o->buffered_bytes_max = 32 * base_max_u64(o->body_bytes_max, H2_STREAM_WINDOW);
    if (o->counters == NULL)
        o->counters = &s->own_counters;
}

/* The only place that knows all of them. */
static const struct h2_protocol *const protocols[] = {&h2_session_protocol, &http1_session_protocol,
                                                      NULL};

enum err h2_server_start(const struct h2_server_options *options, struct h2_server **out)
{
    struct h2_server *s = base_zalloc(1, sizeof(*s));
    uv_loop_t *loop = options->loop;
    CHECK(options->on_request != NULL && options->tls != NULL);

    s->options = *options;
    s->protocols = protocols;
    fill_defaults(s);
    enum err err = options->inherited_file > 0 ? share_listener(s) : listen_on(s);
    if (err != ERR_OK) {
        free(s);
        return err;
    }
    learn_port(s);
    s->reserve_file = open_reserve();
    CHECK(SSL_CTX_up_ref(s->options.tls) == 1);
    CHECK(uv_poll_init(loop, &s->listener, s->listen_file) == 0);
    CHECK(uv_timer_init(loop, &s->sweep) == 0 && uv_timer_init(loop, &s->pause) == 0 &&
          uv_timer_init(loop, &s->drain_end) == 0);
    CHECK(uv_prepare_init(loop, &s->before_poll) == 0 && uv_check_init(loop, &s->after_poll) == 0);
    s->listener.data = s->sweep.data = s->pause.data = s->drain_end.data = s;
    s->before_poll.data = s->after_poll.data = s;
    s->open_handles = 6;

    uint64_t sweep_ms = base_min_u64(s->options.idle_timeout_ms, s->options.stall_timeout_ms) / 4;
    sweep_ms = base_max_u64(10, base_min_u64(1000, sweep_ms));
    CHECK(uv_poll_start(&s->listener, UV_READABLE, on_listener) == 0);
    CHECK(uv_timer_start(&s->sweep, on_sweep, sweep_ms, sweep_ms) == 0);
    CHECK(uv_prepare_start(&s->before_poll, on_before_poll) == 0);
    CHECK(uv_check_start(&s->after_poll, on_after_poll) == 0);
    *out = s;
    return ERR_OK;
}

uint16_t h2_server_port(const struct h2_server *s)
{
    return s->port;
}

void h2_server_use_tls(struct h2_server *s, SSL_CTX *tls)
{
    CHECK(SSL_CTX_up_ref(tls) == 1);
    SSL_CTX_free(s->options.tls); /* open connections hold it as long as they need it */
    s->options.tls = tls;
}
