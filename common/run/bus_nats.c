/* SPDX-License-Identifier: Apache-2.0 */
#include "common/run/bus_nats_inside.h"
#include "common/run/bus_nats_wire.h"
#include "common/run/log.h"

#include "common/base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PUBLISH_WINDOW       256U
#define PUBLISH_WINDOW_BYTES (16ULL * 1024 * 1024)
#define PUBLISH_TIMEOUT_MS   5000U
#define READ_WINDOW          64U
#define READ_WINDOW_BYTES    (16ULL * 1024 * 1024)
#define WINDOW_MAX           65536U
#define REPLICAS_MAX         5U
#define AGE_MAX_S            (10ULL * 365 * 24 * 3600)

static struct bus_nats *of(struct bus_port *bus)
{
    return container_of(bus, struct bus_nats, port);
}

/* The link as the driver knows it: between a lost link and the driver's poll of BUS_DOWN (and
 * of the next BUS_UP) everything it asks belongs to a world that is gone. */
static bool usable(const struct bus_nats *b)
{
    return b->link != 0 && b->seen_link == b->link;
}

static enum err port_publish(struct bus_port *bus, const char *subject, const char *msg_id,
                             struct span data, uint64_t token)
{
    struct bus_nats *b = of(bus);
    if (!bus_nats_wire_subject_ok(subject) || (msg_id != NULL && !bus_nats_wire_subject_ok(msg_id)))
        return ERR_FORMAT;
    if (data.length > LIMIT_MESSAGE_BYTES)
        return ERR_LIMIT;
    enum err err = ERR_OK;
    bus_nats_lock(b);
    if (!usable(b)) {
        err = ERR_BUS_DOWN;
    } else if (b->open_calls[CALL_PUBLISH] >= b->publish_window ||
               (b->publish_bytes > 0 && b->publish_bytes + data.length > b->publish_window_bytes)) {
        err = ERR_BUS_BUSY;
    } else {
        (void)bus_nats_call_send(b,
                                 (struct bus_nats_call){
                                     .kind = CALL_PUBLISH,
                                     .token = token,
                                     .deadline_ms = bus_nats_now_ms() + b->publish_timeout_ms,
                                     .bytes = data.length,
                                 },
                                 subject, msg_id, data);
    }
    bus_nats_unlock(b);
    return err;
}

static enum err port_send(struct bus_port *bus, const char *subject, struct span data)
{
    struct bus_nats *b = of(bus);
    if (!bus_nats_wire_subject_ok(subject))
        return ERR_FORMAT;
    if (data.length > LIMIT_MESSAGE_BYTES)
        return ERR_LIMIT;
    enum err err = ERR_OK;
    bus_nats_lock(b);
    if (!usable(b)) {
        err = ERR_BUS_DOWN;
    } else if (b->sending_bytes > 0 && b->sending_bytes + data.length > BUS_NATS_SEND_BYTES) {
        err = ERR_BUS_BUSY;
    } else {
        struct bus_nats_command *c =
            bus_nats_command_new(COMMAND_PUBLISH, subject, NULL, NULL, data);
        c->plain = true;
        bus_nats_command_put(b, c);
    }
    bus_nats_unlock(b);
    return err;
}

static enum err port_listen(struct bus_port *bus, const char *subject)
{
    struct bus_nats *b = of(bus);
    if (!bus_nats_wire_subject_ok(subject))
        return ERR_FORMAT;
    bus_nats_lock(b);
    bool known = false;
    for (unsigned i = 0; i < b->listen_count; i++)
        known = known || strcmp(b->listens[i], subject) == 0;
    if (!known) {
        b->listens = base_realloc(b->listens, (b->listen_count + 1) * sizeof(*b->listens));
        b->listens[b->listen_count] = base_alloc(strlen(subject) + 1);
        memcpy(b->listens[b->listen_count++], subject, strlen(subject) + 1);
        if (b->link != 0)
            bus_nats_command_put(
                b, bus_nats_command_new(COMMAND_LISTEN, subject, NULL, NULL, span_of(NULL, 0)));
    }
    bus_nats_unlock(b);
    return ERR_OK;
}

static enum err port_read(struct bus_port *bus, const char *stream, uint64_t after_seq,
                          unsigned handle)
{
    struct bus_nats *b = of(bus);
    CHECK(handle < BUS_NATS_HANDLES);
    if (!bus_nats_wire_name_ok(stream))
        return ERR_FORMAT;
    enum err err = ERR_OK;
    bus_nats_lock(b);
    if (usable(b))
        bus_nats_pull_open(b, stream, after_seq, handle);
    else
        err = ERR_BUS_DOWN;
    bus_nats_unlock(b);
    return err;
}

static enum err port_get(struct bus_port *bus, const char *stream, uint64_t seq, uint64_t token)
{
    struct bus_nats *b = of(bus);
    if (!bus_nats_wire_name_ok(stream))
        return ERR_FORMAT;
    char subject[192];
    char body[64];
    (void)snprintf(subject, sizeof(subject), "%s.STREAM.MSG.GET.%s", b->api, stream);
    (void)snprintf(body, sizeof(body), "{\"seq\":%llu}", (unsigned long long)seq);
    enum err err = ERR_OK;
    bus_nats_lock(b);
    if (!usable(b)) {
        err = ERR_BUS_DOWN;
    } else if (b->open_calls[CALL_GET] >= BUS_NATS_GETS) {
        err = ERR_BUS_BUSY;
    } else {
        (void)bus_nats_call_send(b,
                                 (struct bus_nats_call){
                                     .kind = CALL_GET,
                                     .token = token,
                                     .seq = seq,
                                     .deadline_ms = bus_nats_now_ms() + BUS_NATS_GET_MS,
                                 },
                                 subject, NULL, span_of_text(body));
    }
    bus_nats_unlock(b);
    return err;
}

/* Whether the driver may see it. */
static bool admit(struct bus_nats *b, const struct bus_nats_event *e)
{
    switch (e->event.kind) {
    case BUS_MESSAGE:
    case BUS_READ_END:
        return bus_nats_pull_is_current(b, e->event.handle, e->read_serial);
    case BUS_UP:
        b->seen_link = e->link;
        return true;
    case BUS_DOWN:
        b->seen_link = 0;
        return true;
    case BUS_ACK:
    case BUS_NACK:
    case BUS_GOT:
    case BUS_PLAIN:
        break;
    }
    return true;
}

static bool port_poll(struct bus_port *bus, struct bus_event *out_event)
{
    struct bus_nats *b = of(bus);
    bus_nats_event_free(b->polled);
    b->polled = NULL;
    bool found = false;
    bus_nats_lock(b);
    struct bus_nats_event *e;
    while (!found && (e = bus_nats_queue_take(b)) != NULL) {
        found = admit(b, e);
        if (found && e->event.kind == BUS_MESSAGE)
            bus_nats_pull_taken(b, e->event.handle, e->read_serial, e->cost);
        if (found)
            b->polled = e;
        else
            bus_nats_event_free(e);
    }
    bus_nats_unlock(b);
    if (found)
        *out_event = b->polled->event;
    return found;
}

static void *keeper_main(void *port)
{
    struct bus_nats *b = port;
    bus_nats_lock(b);
    while (!b->stopping) {
        uint64_t now_ms = bus_nats_now_ms();
        b->keeper_due_ms = UINT64_MAX;
        bus_nats_keep(b, bus_nats_call_due(b, now_ms));
        bus_nats_keep(b, bus_nats_pull_due(b, now_ms));
        bus_nats_keep(b, bus_nats_ensure_due(b, now_ms));
        bus_nats_keep(b, bus_nats_link_due(b, now_ms));
        bus_nats_keep(b, bus_nats_queue_due(b, now_ms));
        if (b->notify_due) {
            bus_nats_unlock(b);
            bus_nats_lock(b);
        }
        if (b->stopping)
            break;
        if (b->keeper_due_ms == UINT64_MAX) {
            (void)pthread_cond_wait(&b->tick, &b->lock);
        } else if (b->keeper_due_ms > bus_nats_now_ms()) {
            struct timespec t = {.tv_sec = (time_t)(b->keeper_due_ms / 1000),
                                 .tv_nsec = (long)(b->keeper_due_ms % 1000) * 1000000};
            (void)pthread_cond_timedwait(&b->tick, &b->lock, &t);
        }
    }
    bus_nats_unlock(b);
    return NULL;
}

unsigned bus_nats_request(struct bus_port *bus, const char *subject, struct span data,
                          struct bus_nats_reply *replies, unsigned replies_max, uint32_t timeout_ms)
{
    struct bus_nats *b = of(bus);
    CHECK(bus_nats_wire_subject_ok(subject) && data.length <= LIMIT_MESSAGE_BYTES);
    uint64_t due_ms = bus_nats_now_ms() + timeout_ms;
    struct timespec due = {.tv_sec = (time_t)(due_ms / 1000),
                           .tv_nsec = (long)(due_ms % 1000) * 1000000};
    struct bus_nats_request request = {.replies = replies, .count_max = replies_max};
    if (replies_max == 0)
        return 0;
    bus_nats_lock(b);
    while (b->link == 0 && bus_nats_now_ms() < due_ms)
        (void)pthread_cond_timedwait(&b->answered, &b->lock, &due);
    if (b->link != 0) {
        unsigned slot =
            bus_nats_call_send(b, (struct bus_nats_call){.kind = CALL_REQUEST, .request = &request},
                               subject, NULL, data);
        while (!request.ended && bus_nats_now_ms() < due_ms)
            (void)pthread_cond_timedwait(&b->answered, &b->lock, &due);
        if (!request.ended)
            bus_nats_call_close(b, slot);
    }
    bus_nats_unlock(b);
    return request.count;
}

static bool text_ok(const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        if ((uint8_t)*at < ' ' || *at == '"' || *at == '\\')
            return false;
    return true;
}

static bool url_ok(const char *urls)
{
    static const char scheme[] = "nats://";
    const char *at = urls;
    /* No tls://: the client library shares one SSL object between threads before 3.11. The
     * server on loopback carries TLS further on. */
    while (strncmp(at, scheme, sizeof(scheme) - 1) == 0) {
        at = strchr(at, ',');
        if (at == NULL)
            return true;
        at++;
    }
    return false;
}

static bool options_ok(const struct bus_nats_options *o)
{
    if (o->url == NULL || !url_ok(o->url) || o->name == NULL || !text_ok(o->name))
        return false;
    if (o->domain != NULL && !bus_nats_wire_name_ok(o->domain))
        return false;
    if (o->publish_window > WINDOW_MAX || o->read_window > WINDOW_MAX)
        return false;
    for (unsigned i = 0; i < o->stream_count; i++) {
        const struct bus_nats_stream *s = &o->streams[i];
        if (s->name == NULL || !bus_nats_wire_name_ok(s->name) || s->subjects == NULL ||
            !bus_nats_wire_subject_ok(s->subjects) || !text_ok(s->subjects) || s->replicas == 0 ||
            s->replicas > REPLICAS_MAX || s->age_max_s > AGE_MAX_S)
            return false;
    }
    return true;
}

static char *copy_text(const char *text)
{
    if (text == NULL)
        return NULL;
    char *copy = base_alloc(strlen(text) + 1);
    memcpy(copy, text, strlen(text) + 1);
    return copy;
}

static void copy_options(struct bus_nats *b, const struct bus_nats_options *o)
{
    char api[96];
    if (o->domain == NULL)
        (void)snprintf(api, sizeof(api), "$JS.API");
    else
        (void)snprintf(api, sizeof(api), "$JS.%s.API", o->domain);
    b->url = copy_text(o->url);
    b->user = copy_text(o->user);
    b->password = copy_text(o->password);
    b->name = copy_text(o->name);
    b->api = copy_text(api);
    b->publish_window = o->publish_window != 0 ? o->publish_window : PUBLISH_WINDOW;
    b->publish_window_bytes =
        o->publish_window_bytes != 0 ? o->publish_window_bytes : PUBLISH_WINDOW_BYTES;
    b->publish_timeout_ms = o->publish_timeout_ms != 0 ? o->publish_timeout_ms : PUBLISH_TIMEOUT_MS;
    b->read_window = o->read_window != 0 ? o->read_window : READ_WINDOW;
    b->read_window_bytes = o->read_window_bytes != 0 ? o->read_window_bytes : READ_WINDOW_BYTES;
    b->notify = o->notify;
    b->notify_context = o->notify_context;
    b->stream_count = o->stream_count;
    b->streams = base_zalloc(o->stream_count, sizeof(*b->streams));
    for (unsigned i = 0; i < o->stream_count; i++) {
        struct bus_nats_stream_keep *s = &b->streams[i];
        s->name = copy_text(o->streams[i].name);
        s->subjects = copy_text(o->streams[i].subjects);
        s->wanted = o->streams[i];
        s->wanted.name = s->name;
        s->wanted.subjects = s->subjects;
    }
}

enum err bus_nats_open(const struct bus_nats_options *options, struct bus_port **out)
{
    if (!options_ok(options))
        return ERR_CONFIG;
    struct bus_nats *b = base_zalloc(1, sizeof(*b));
    b->port = (struct bus_port){.publish = port_publish,
                                .send = port_send,
                                .listen = port_listen,
                                .read = port_read,
                                .get = port_get,
                                .poll = port_poll};
    copy_options(b, options);
    b->keeper_due_ms = UINT64_MAX;
    pthread_condattr_t attributes;
    CHECK(pthread_condattr_init(&attributes) == 0);
    CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_mutex_init(&b->lock, NULL) == 0);
    CHECK(pthread_cond_init(&b->work, &attributes) == 0);
    CHECK(pthread_cond_init(&b->tick, &attributes) == 0);
    CHECK(pthread_cond_init(&b->answered, &attributes) == 0);
    (void)pthread_condattr_destroy(&attributes);
    bus_nats_route_add(b);
    CHECK(pthread_create(&b->sender, NULL, bus_nats_link_main, b) == 0);
    CHECK(pthread_create(&b->keeper, NULL, keeper_main, b) == 0);
    *out = &b->port;
    return ERR_OK;
}

static void free_all(struct bus_nats *b)
{
    bus_nats_event_free(b->polled);
    bus_nats_queue_done(b);
    bus_nats_command_drop_all(b);
    for (unsigned i = 0; i < b->read_count; i++)
        free(b->reads[i].stream);
    for (unsigned i = 0; i < b->stream_count; i++) {
        free(b->streams[i].name);
        free(b->streams[i].subjects);
    }
    for (unsigned i = 0; i < b->listen_count; i++)
        free(b->listens[i]);
    free(b->reads);
    free(b->streams);
    free(b->listens);
    free(b->calls);
    free(b->url);
    free(b->user);
    if (b->password != NULL)
        explicit_bzero(b->password, strlen(b->password));
    free(b->password);
    free(b->name);
    free(b->api);
    free(b);
}

void bus_nats_close(struct bus_port *bus)
{
    if (bus == NULL)
        return;
    struct bus_nats *b = of(bus);
    bus_nats_lock(b);
    b->stopping = true;
    (void)pthread_cond_broadcast(&b->work);
    (void)pthread_cond_broadcast(&b->tick);
    bus_nats_unlock(b);
    CHECK(pthread_join(b->sender, NULL) == 0);
    CHECK(pthread_join(b->keeper, NULL) == 0);
    bus_nats_route_remove(b);
    (void)pthread_cond_destroy(&b->work);
    (void)pthread_cond_destroy(&b->tick);
    (void)pthread_cond_destroy(&b->answered);
    CHECK(pthread_mutex_destroy(&b->lock) == 0);
    free_all(b);
}

const struct metrics_histogram *bus_nats_publish_times(struct bus_port *bus)
{
    return &of(bus)->publish_times;
}
