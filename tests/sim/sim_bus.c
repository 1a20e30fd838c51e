/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_bus.h"

#include "common/base/rng.h"

#include <stdlib.h>

#define SIM_BUS_READS    64
#define SIM_BUS_LISTENS  32
#define MSG_ID_WINDOW_MS 120000ULL

struct stored {
    bool gone; /* expired */
    uint64_t time_ms;
    char *subject;
    char *msg_id; /* NULL: none */
    struct buf data;
};

struct stream {
    char *name, *filter;
    struct stored *messages; /* index = seq - 1 */
    size_t count, capacity;
};

struct queued {
    uint64_t due_ms;
    struct bus_event event;
    char *subject, *reply;
    struct buf data;
};

struct read {
    bool open;
    char *stream;
    unsigned handle;
    uint64_t next_seq;
};

struct client {
    struct bus_port port;
    struct sim_bus_server *server;
    bool up, deaf;
    unsigned lose, orphan;
    struct sim_bus_sins sins;
    struct rng rng;
    struct queued *queue;
    size_t head, count, capacity;
    struct queued current; /* storage of the event last polled */
    struct read reads[SIM_BUS_READS];
    char *listens[SIM_BUS_LISTENS];
    unsigned listen_count;
    struct client *next;
};

/* A publish that is still on its way although its client has given it up. */
struct delayed {
    uint64_t due_ms;
    char *subject, *msg_id;
    struct buf data;
};

struct sim_bus_server {
    uint64_t now_ms, latency_ms;
    int64_t skew_ms;
    struct delayed *delayed;
    size_t delayed_count;
    struct stream *streams;
    size_t stream_count;
    struct client *clients;
};

static struct client *client_of(struct bus_port *bus)
{
    return container_of(bus, struct client, port);
}

static char *copy_text(const char *text)
{
    if (text == NULL)
        return NULL;
    size_t size = strlen(text) + 1;
    char *copy = base_alloc(size);
    memcpy(copy, text, size);
    return copy;
}

/* NATS subject matching: tokens, '*' for one, '>' for the rest (at least one). */
static bool matches(const char *filter, const char *subject)
{
    for (;;) {
        if (filter[0] == '>' && filter[1] == '\0')
            return *subject != '\0';
        if (*filter == '*') {
            filter++;
            if (*subject == '\0')
                return false;
            while (*subject != '\0' && *subject != '.')
                subject++;
        } else {
            while (*filter != '\0' && *filter != '.' && *filter == *subject)
                filter++, subject++;
        }
        if (*filter == '\0' || *subject == '\0')
            return *filter == *subject;
        if (*filter != '.' || *subject != '.')
            return false;
        filter++;
        subject++;
    }
}

static void queued_done(struct queued *q)
{
    free(q->subject);
    free(q->reply);
    buf_done(&q->data);
    *q = (struct queued){0};
}

static void enqueue(struct client *c, struct bus_event event, struct span data)
{
    if (c->count == c->capacity) {
        size_t grown = c->capacity == 0 ? 64 : c->capacity * 2;
        struct queued *queue = base_zalloc(grown, sizeof(*queue));
        for (size_t i = 0; i < c->count; i++)
            queue[i] = c->queue[(c->head + i) % c->capacity];
        free(c->queue);
        c->queue = queue;
        c->head = 0;
        c->capacity = grown;
    }
    struct queued *q = &c->queue[(c->head + c->count++) % c->capacity];
    *q = (struct queued){.due_ms = c->server->now_ms + c->server->latency_ms,
                         .event = event,
                         .subject = copy_text(event.subject),
                         .reply = copy_text(event.reply == NULL ? "" : event.reply)};
    buf_put(&q->data, data.data, data.length);
}

static struct stream *stream_named(const struct sim_bus_server *s, const char *name)
{
    for (size_t i = 0; i < s->stream_count; i++)
        if (strcmp(s->streams[i].name, name) == 0)
            return &s->streams[i];
    return NULL;
}

static struct stream *stream_for(const struct sim_bus_server *s, const char *subject)
{
    for (size_t i = 0; i < s->stream_count; i++)
        if (matches(s->streams[i].filter, subject))
            return &s->streams[i];
    return NULL;
}

static void stored_done(struct stored *m)
{
    free(m->subject);
    free(m->msg_id);
    buf_done(&m->data);
}

static uint64_t stamp(const struct sim_bus_server *s)
{
    return (uint64_t)((int64_t)s->now_ms + s->skew_ms);
}

/* Returns the sequence under which the message lies, a repeat within the window included. */
static uint64_t store(struct sim_bus_server *s, struct stream *st, const char *subject,
                      const char *msg_id, struct span data)
{
    if (msg_id != NULL) {
        for (size_t i = st->count; i > 0; i--) {
            const struct stored *m = &st->messages[i - 1];
            if (m->time_ms + MSG_ID_WINDOW_MS < stamp(s))
                break;
            if (m->msg_id != NULL && strcmp(m->msg_id, msg_id) == 0)
                return i;
        }
    }
    if (st->count == st->capacity) {
        st->capacity = st->capacity == 0 ? 64 : st->capacity * 2;
        st->messages = base_realloc(st->messages, st->capacity * sizeof(*st->messages));
    }
    struct stored *m = &st->messages[st->count++];
    *m = (struct stored){
        .time_ms = stamp(s), .subject = copy_text(subject), .msg_id = copy_text(msg_id)};
    buf_put(&m->data, data.data, data.length);
    return st->count;
}

static void delay(struct sim_bus_server *s, const char *subject, const char *msg_id,
                  struct span data, uint64_t ms)
{
    s->delayed = base_realloc(s->delayed, (s->delayed_count + 1) * sizeof(*s->delayed));
    struct delayed *d = &s->delayed[s->delayed_count++];
    *d = (struct delayed){s->now_ms + ms, copy_text(subject), copy_text(msg_id), {0}};
    buf_put(&d->data, data.data, data.length);
}

static void delayed_done(struct delayed *d)
{
    free(d->subject);
    free(d->msg_id);
    buf_done(&d->data);
}

static void plain(struct sim_bus_server *s, const char *subject, const char *reply,
                  struct span data)
{
    for (struct client *c = s->clients; c != NULL; c = c->next) {
        for (unsigned i = 0; c->up && !c->deaf && i < c->listen_count; i++) {
            if (matches(c->listens[i], subject)) {
                enqueue(c,
                        (struct bus_event){.kind = BUS_PLAIN, .subject = subject, .reply = reply},
                        data);
                break;
            }
        }
    }
}

static enum err sim_bus_publish(struct bus_port *bus, const char *subject, const char *msg_id,
                                struct span data, uint64_t token)
{
    struct client *c = client_of(bus);
    if (!c->up)
        return ERR_BUS_DOWN;
    struct bus_event answer = {.kind = BUS_NACK, .err = ERR_BUS_TIMEOUT, .token = token};
    struct stream *st = stream_for(c->server, subject);
    const struct sim_bus_sins *sins = &c->sins;
    if (c->lose > 0) {
        c->lose--;
    } else if (sins->lose > 0 && rng_chance(&c->rng, sins->lose)) {
        /* nothing arrives */
    } else if (sins->delay > 0 && rng_chance(&c->rng, sins->delay)) {
        delay(c->server, subject, msg_id, data, 1 + rng_below(&c->rng, sins->delay_ms + 1));
    } else if (st == NULL) {
        answer.err = ERR_BUS_REFUSED;
    } else {
        answer.seq = store(c->server, st, subject, msg_id, data);
        if (sins->twice > 0 && rng_chance(&c->rng, sins->twice))
            (void)store(c->server, st, subject, msg_id, data);
        if (c->orphan > 0) {
            c->orphan--;
            answer.seq = 0;
        } else if (sins->orphan > 0 && rng_chance(&c->rng, sins->orphan)) {
            answer.seq = 0;
        } else {
            answer.kind = BUS_ACK;
            answer.err = ERR_OK;
        }
    }
    enqueue(c, answer, (struct span){0});
    return ERR_OK;
}

static enum err sim_bus_send(struct bus_port *bus, const char *subject, struct span data)
{
    struct client *c = client_of(bus);
    if (!c->up)
        return ERR_BUS_DOWN;
    plain(c->server, subject, "", data);
    return ERR_OK;
}

static enum err sim_bus_listen(struct bus_port *bus, const char *subject)
{
    struct client *c = client_of(bus);
    CHECK(c->listen_count < SIM_BUS_LISTENS);
    c->listens[c->listen_count++] = copy_text(subject);
    return ERR_OK;
}

static void read_end(struct client *c, unsigned index, bool tell)
{
    struct read *r = &c->reads[index];
    if (!r->open)
        return;
    r->open = false;
    free(r->stream);
    if (tell)
        enqueue(c, (struct bus_event){.kind = BUS_READ_END, .handle = r->handle}, (struct span){0});
}

static enum err sim_bus_read(struct bus_port *bus, const char *stream, uint64_t after_seq,
                             unsigned handle)
{
    struct client *c = client_of(bus);
    if (!c->up)
        return ERR_BUS_DOWN;
    unsigned at = SIM_BUS_READS;
    for (unsigned i = 0; i < SIM_BUS_READS; i++) {
        if (c->reads[i].open && c->reads[i].handle == handle)
            read_end(c, i, false);
        if (!c->reads[i].open && at == SIM_BUS_READS)
            at = i;
    }
    CHECK(at < SIM_BUS_READS);
    c->reads[at] = (struct read){true, copy_text(stream), handle, after_seq + 1};
    return ERR_OK;
}

static enum err sim_bus_get(struct bus_port *bus, const char *stream, uint64_t seq, uint64_t token)
{
    struct client *c = client_of(bus);
    if (!c->up)
        return ERR_BUS_DOWN;
    struct span data = {0};
    uint64_t time_ms;
    bool found = sim_bus_message(c->server, stream, seq, &data, &time_ms);
    enqueue(c,
            (struct bus_event){
                .kind = BUS_GOT, .token = token, .seq = seq, .err = found ? ERR_OK : ERR_NOT_FOUND},
            data);
    return ERR_OK;
}

/* The next message of an open read, as the event that poll hands out. */
static bool next_message(struct client *c)
{
    for (unsigned i = 0; i < SIM_BUS_READS; i++) {
        struct read *r = &c->reads[i];
        struct stream *st = r->open ? stream_named(c->server, r->stream) : NULL;
        while (st != NULL && r->next_seq <= st->count && st->messages[r->next_seq - 1].gone)
            r->next_seq++;
        if (st == NULL || r->next_seq > st->count)
            continue;
        const struct stored *m = &st->messages[r->next_seq - 1];
        enqueue(c,
                (struct bus_event){.kind = BUS_MESSAGE,
                                   .handle = r->handle,
                                   .seq = r->next_seq,
                                   .time_ms = m->time_ms,
                                   .subject = m->subject},
                buf_span(&m->data));
        r->next_seq++;
        return true;
    }
    return false;
}

static bool sim_bus_poll(struct bus_port *bus, struct bus_event *out_event)
{
    struct client *c = client_of(bus);
    queued_done(&c->current);
    if (c->count == 0 && !(c->up && next_message(c)))
        return false;
    if (c->queue[c->head].due_ms > c->server->now_ms)
        return false;
    c->current = c->queue[c->head];
    c->head = (c->head + 1) % c->capacity;
    c->count--;
    *out_event = c->current.event;
    out_event->subject = c->current.subject;
    out_event->reply = c->current.reply;
    out_event->data = buf_span(&c->current.data);
    return true;
}

struct sim_bus_server *sim_bus_server_new(void)
{
    return base_zalloc(1, sizeof(struct sim_bus_server));
}

void sim_bus_time(struct sim_bus_server *s, uint64_t now_ms)
{
    s->now_ms = now_ms;
    size_t kept = 0;
    for (size_t i = 0; i < s->delayed_count; i++) {
        struct delayed *d = &s->delayed[i];
        struct stream *st = stream_for(s, d->subject);
        if (d->due_ms > now_ms) {
            s->delayed[kept++] = *d;
            continue;
        }
        if (st != NULL)
            (void)store(s, st, d->subject, d->msg_id, buf_span(&d->data));
        delayed_done(d);
    }
    s->delayed_count = kept;
}

void sim_bus_latency(struct sim_bus_server *s, uint64_t ms)
{
    s->latency_ms = ms;
}

void sim_bus_skew(struct sim_bus_server *s, int64_t ms)
{
    s->skew_ms = ms;
}

void sim_bus_sin(struct bus_port *client, const struct sim_bus_sins *sins, uint64_t seed)
{
    struct client *c = client_of(client);
    c->sins = *sins;
    c->rng.state = seed;
}

void sim_bus_expire(struct sim_bus_server *s, const char *stream, uint64_t seq)
{
    struct stream *st = stream_named(s, stream);
    CHECK(st != NULL && seq <= st->count);
    for (uint64_t i = 0; i < seq; i++)
        st->messages[i].gone = true;
}

void sim_bus_stream(struct sim_bus_server *s, const char *name, const char *filter)
{
    s->streams = base_realloc(s->streams, (s->stream_count + 1) * sizeof(*s->streams));
    s->streams[s->stream_count++] = (struct stream){copy_text(name), copy_text(filter), NULL, 0, 0};
}

struct bus_port *sim_bus_client(struct sim_bus_server *s)
{
    struct client *c = base_zalloc(1, sizeof(*c));
    c->port = (struct bus_port){sim_bus_publish, sim_bus_send, sim_bus_listen,
                                sim_bus_read,    sim_bus_get,  sim_bus_poll};
    c->server = s;
    c->next = s->clients;
    s->clients = c;
    sim_bus_heal(&c->port);
    return &c->port;
}

void sim_bus_cut(struct bus_port *client)
{
    struct client *c = client_of(client);
    if (!c->up)
        return;
    c->up = false;
    for (unsigned i = 0; i < SIM_BUS_READS; i++)
        read_end(c, i, false);
    /* An answer that had not been read yet did not arrive. */
    for (size_t i = 0; i < c->count; i++) {
        struct bus_event *e = &c->queue[(c->head + i) % c->capacity].event;
        if (e->kind == BUS_ACK || e->kind == BUS_NACK) {
            e->kind = BUS_NACK;
            e->err = ERR_BUS_TIMEOUT;
        } else if (e->kind == BUS_GOT) {
            e->err = ERR_BUS_TIMEOUT;
        }
    }
    enqueue(c, (struct bus_event){.kind = BUS_DOWN}, (struct span){0});
}

void sim_bus_heal(struct bus_port *client)
{
    struct client *c = client_of(client);
    if (c->up)
        return;
    c->up = true;
    enqueue(c, (struct bus_event){.kind = BUS_UP}, (struct span){0});
}

void sim_bus_client_free(struct bus_port *client)
{
    if (client == NULL)
        return;
    struct client *c = client_of(client);
    struct client **at = &c->server->clients;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    while (c->count > 0) {
        queued_done(&c->queue[c->head]);
        c->head = (c->head + 1) % c->capacity;
        c->count--;
    }
    queued_done(&c->current);
    for (unsigned i = 0; i < SIM_BUS_READS; i++)
        read_end(c, i, false);
    for (unsigned i = 0; i < c->listen_count; i++)
        free(c->listens[i]);
    free(c->queue);
    free(c);
}

void sim_bus_server_free(struct sim_bus_server *s)
{
    if (s == NULL)
        return;
    while (s->clients != NULL)
        sim_bus_client_free(&s->clients->port);
    for (size_t i = 0; i < s->stream_count; i++) {
        for (size_t j = 0; j < s->streams[i].count; j++)
            stored_done(&s->streams[i].messages[j]);
        free(s->streams[i].messages);
        free(s->streams[i].name);
        free(s->streams[i].filter);
    }
    for (size_t i = 0; i < s->delayed_count; i++)
        delayed_done(&s->delayed[i]);
    free(s->delayed);
    free(s->streams);
    free(s);
}

void sim_bus_lose_publishes(struct bus_port *client, unsigned n)
{
    client_of(client)->lose = n;
}

void sim_bus_orphan_publishes(struct bus_port *client, unsigned n)
{
    client_of(client)->orphan = n;
}

void sim_bus_deaf(struct bus_port *client, bool deaf)
{
    client_of(client)->deaf = deaf;
}

uint64_t sim_bus_last_seq(const struct sim_bus_server *s, const char *stream)
{
    const struct stream *st = stream_named(s, stream);
    return st == NULL ? 0 : st->count;
}

void sim_bus_lose_tail(struct sim_bus_server *s, const char *stream, uint64_t seq)
{
    struct stream *st = stream_named(s, stream);
    CHECK(st != NULL && seq <= st->count);
    while (st->count > seq)
        stored_done(&st->messages[--st->count]);
}

void sim_bus_recreate(struct sim_bus_server *s, const char *stream)
{
    sim_bus_lose_tail(s, stream, 0);
}

bool sim_bus_message(const struct sim_bus_server *s, const char *stream, uint64_t seq,
                     struct span *out_data, uint64_t *out_time_ms)
{
    const struct stream *st = stream_named(s, stream);
    if (st == NULL || seq == 0 || seq > st->count || st->messages[seq - 1].gone)
        return false;
    *out_data = buf_span(&st->messages[seq - 1].data);
    *out_time_ms = st->messages[seq - 1].time_ms;
    return true;
}
