/* SPDX-License-Identifier: Apache-2.0
 * sim_bus_client: the bus port of one client: its queue, its reads, its link and the sins of that
 * link. */
#include "tests/sim/sim_bus_inside.h"

#include <stdlib.h>

static uint64_t latency(const struct sim_bus_client *c)
{
    return c->server->latency_ms + c->lag_ms;
}

static void wake(const struct sim_bus_client *c, uint64_t due_ms)
{
    if (c->ready != NULL)
        c->ready(c->ready_context, due_ms);
}

static char *text_of(const struct bus_event *event, struct span data)
{
    if (event->subject == NULL && event->reply == NULL && data.length == 0)
        return NULL;
    const char *subject = event->subject == NULL ? "" : event->subject;
    const char *reply = event->reply == NULL ? "" : event->reply;
    size_t subject_size = strlen(subject) + 1, reply_size = strlen(reply) + 1;
    char *text = base_alloc(subject_size + reply_size + data.length);
    memcpy(text, subject, subject_size);
    memcpy(text + subject_size, reply, reply_size);
    if (data.length > 0)
        memcpy(text + subject_size + reply_size, data.data, data.length);
    return text;
}

static struct sim_bus_queued *slot_at(struct sim_bus_client *c, size_t index)
{
    return &c->queue[(c->head + index) % c->capacity];
}

void sim_bus_enqueue(struct sim_bus_client *c, struct bus_event event, struct span data)
{
    if (c->count == c->capacity) {
        size_t grown = c->capacity == 0 ? 16 : c->capacity * 2;
        struct sim_bus_queued *queue = base_zalloc(grown, sizeof(*queue));
        for (size_t i = 0; i < c->count; i++)
            queue[i] = *slot_at(c, i);
        free(c->queue);
        c->queue = queue;
        c->head = 0;
        c->capacity = grown;
    }
    uint64_t due_ms = c->server->now_ms + latency(c);
    if (c->count > 0)
        due_ms = base_max_u64(due_ms, slot_at(c, c->count - 1)->due_ms);
    struct sim_bus_queued *q = slot_at(c, c->count++);
    *q = (struct sim_bus_queued){due_ms, event, text_of(&event, data)};
    q->event.data = (struct span){NULL, data.length};
    wake(c, due_ms);
}

/* What the client learns only by waiting: due after its time-out, behind whatever happens until
 * then. */
static void enqueue_late(struct sim_bus_client *c, struct bus_event event)
{
    if (c->timeout_ms == 0) {
        sim_bus_enqueue(c, event, (struct span){0});
        return;
    }
    if (c->late_count == c->late_capacity) {
        c->late_capacity = c->late_capacity == 0 ? 16 : c->late_capacity * 2;
        c->late = base_realloc(c->late, c->late_capacity * sizeof(*c->late));
    }
    uint64_t due_ms = c->server->now_ms + c->timeout_ms;
    c->late[c->late_count++] = (struct sim_bus_queued){due_ms, event, NULL};
    wake(c, due_ms);
}

void sim_bus_stored_new(struct sim_bus_server *s, const struct sim_bus_stream *st)
{
    for (struct sim_bus_client *c = s->clients; c != NULL; c = c->next)
        for (unsigned i = 0; c->up && i < c->read_count; i++)
            if (strcmp(c->reads[i].stream, st->name) == 0)
                wake(c, s->now_ms + latency(c));
}

static void plain(struct sim_bus_server *s, const char *subject, const char *reply,
                  struct span data)
{
    if (s->spy != NULL)
        s->spy(s->spy_context, subject, data, NULL, 0);
    struct bus_event event = {.kind = BUS_PLAIN, .subject = subject, .reply = reply};
    for (struct sim_bus_client *c = s->clients; c != NULL; c = c->next) {
        for (unsigned i = 0; c->up && !c->deaf && !c->mute_in && i < c->listen_count; i++) {
            if (sim_bus_matches(c->listens[i], subject)) {
                sim_bus_enqueue(c, event, data);
                break;
            }
        }
    }
}

static bool sins(struct sim_bus_client *c, unsigned *count, uint32_t chance)
{
    if (*count > 0) {
        (*count)--;
        return true;
    }
    return chance > 0 && rng_chance(&c->rng, chance);
}

/* This publish is answered so; applied: stored all the same. */
static bool answered_by_nth(struct sim_bus_client *c, struct bus_event *answer)
{
    enum err nth = sim_nth_meet(c->nth, SIM_CALL_ANSWER);
    if (nth == ERR_OK)
        return false;
    answer->err = nth;
    c->orphan += c->nth->applied;
    if (!c->nth->applied)
        sim_bus_enqueue(c, *answer, (struct span){0});
    return !c->nth->applied;
}

static enum err sim_bus_publish(struct bus_port *bus, const char *subject, const char *msg_id,
                                struct span data, uint64_t token)
{
    struct sim_bus_client *c = sim_bus_client_of(bus);
    if (!c->up || !sim_fuse_burn(c->fuse))
        return ERR_BUS_DOWN;
    enum err nth = sim_nth_meet(c->nth, SIM_CALL_PUBLISH);
    if (nth != ERR_OK)
        return nth;
    struct bus_event answer = {.kind = BUS_NACK, .err = ERR_BUS_TIMEOUT, .token = token};
    struct sim_bus_stream *st = sim_bus_stream_for(c->server, subject);
    if (answered_by_nth(c, &answer))
        return ERR_OK;
    if (c->mute_out || sins(c, &c->lose, c->sins.lose)) {
        enqueue_late(c, answer); /* nothing arrives */
    } else if (c->sins.delay > 0 && rng_chance(&c->rng, c->sins.delay)) {
        sim_bus_delay(c->server, subject, msg_id, data,
                      1 + rng_below(&c->rng, c->sins.delay_ms + 1));
        enqueue_late(c, answer);
    } else if (st == NULL) {
        answer.err = ERR_BUS_REFUSED;
        sim_bus_enqueue(c, answer, (struct span){0});
    } else {
        uint64_t seq = sim_bus_store(c->server, st, subject, msg_id, data);
        if (c->sins.twice > 0 && rng_chance(&c->rng, c->sins.twice))
            (void)sim_bus_store(c->server, st, subject, msg_id, data);
        if (c->mute_in || sins(c, &c->orphan, c->sins.orphan)) {
            enqueue_late(c, answer);
        } else {
            answer = (struct bus_event){.kind = BUS_ACK, .token = token, .seq = seq};
            sim_bus_enqueue(c, answer, (struct span){0});
        }
    }
    return ERR_OK;
}

static enum err sim_bus_send(struct bus_port *bus, const char *subject, struct span data)
{
    struct sim_bus_client *c = sim_bus_client_of(bus);
    if (!c->up || !sim_fuse_burn(c->fuse))
        return ERR_BUS_DOWN;
    enum err nth = sim_nth_meet(c->nth, SIM_CALL_SEND);
    if (nth != ERR_OK)
        return nth;
    if (!c->mute_out && sim_nth_meet(c->nth, SIM_CALL_SENT) == ERR_OK)
        plain(c->server, subject, "", data);
    return ERR_OK;
}

static enum err sim_bus_listen(struct bus_port *bus, const char *subject)
{
    struct sim_bus_client *c = sim_bus_client_of(bus);
    CHECK(c->listen_count < SIM_BUS_LISTENS);
    enum err nth = sim_nth_meet(c->nth, SIM_CALL_LISTEN);
    if (nth != ERR_OK)
        return nth;
    size_t size = strlen(subject) + 1;
    c->listens[c->listen_count] = base_alloc(size);
    memcpy(c->listens[c->listen_count++], subject, size);
    return ERR_OK;
}

static void read_close(struct sim_bus_client *c, unsigned index)
{
    c->reads[index] = c->reads[--c->read_count];
}

static enum err sim_bus_read(struct bus_port *bus, const char *stream, uint64_t after_seq,
                             unsigned handle)
{
    struct sim_bus_client *c = sim_bus_client_of(bus);
    if (!c->up)
        return ERR_BUS_DOWN;
    enum err nth = sim_nth_meet(c->nth, SIM_CALL_READ);
    if (nth != ERR_OK)
        return nth;
    for (unsigned i = 0; i < c->read_count; i++) {
        if (c->reads[i].handle == handle) {
            read_close(c, i);
            break;
        }
    }
    if (sim_nth_meet(c->nth, SIM_CALL_READING) != ERR_OK) {
        sim_bus_enqueue(c, (struct bus_event){.kind = BUS_READ_END, .handle = handle},
                        (struct span){0});
        return ERR_OK;
    }
    CHECK(c->read_count < SIM_BUS_READS);
    struct sim_bus_read *r = &c->reads[c->read_count++];
    size_t size = strlen(stream) + 1;
    CHECK(size <= sizeof(r->stream));
    memcpy(r->stream, stream, size);
    r->handle = handle;
    r->next_seq = after_seq + 1;
    wake(c, sim_bus_due_ms(bus));
    return ERR_OK;
}

static enum err sim_bus_get(struct bus_port *bus, const char *stream, uint64_t seq, uint64_t token)
{
    struct sim_bus_client *c = sim_bus_client_of(bus);
    if (!c->up)
        return ERR_BUS_DOWN;
    enum err nth = sim_nth_meet(c->nth, SIM_CALL_FETCH);
    if (nth != ERR_OK)
        return nth;
    struct bus_event event = {.kind = BUS_GOT, .token = token, .seq = seq, .err = ERR_BUS_TIMEOUT};
    nth = sim_nth_meet(c->nth, SIM_CALL_GOT);
    if (nth != ERR_OK) {
        event.err = nth;
        sim_bus_enqueue(c, event, (struct span){0});
        return ERR_OK;
    }
    if (c->mute_out || c->mute_in) {
        enqueue_late(c, event);
        return ERR_OK;
    }
    struct span data = {0};
    uint64_t time_ms;
    event.err = sim_bus_message(c->server, stream, seq, &data, &time_ms) ? ERR_OK : ERR_NOT_FOUND;
    sim_bus_enqueue(c, event, data);
    return ERR_OK;
}

/* The message that is next for a read, or NULL; skips what has expired. */
static const struct sim_bus_stored *read_next(const struct sim_bus_client *c,
                                              struct sim_bus_read *r)
{
    const struct sim_bus_stream *st = sim_bus_stream_named(c->server, r->stream);
    while (st != NULL && r->next_seq <= st->count && st->messages[r->next_seq - 1].gone)
        r->next_seq++;
    return st != NULL && r->next_seq <= st->count ? &st->messages[r->next_seq - 1] : NULL;
}

static bool poll_message(struct sim_bus_client *c, struct bus_event *out)
{
    if (!c->up || c->mute_in)
        return false;
    for (unsigned n = 0; n < c->read_count; n++) {
        unsigned at = (c->next_read + n) % c->read_count;
        struct sim_bus_read *r = &c->reads[at];
        const struct sim_bus_stored *m = read_next(c, r);
        if (m == NULL || m->at_ms + latency(c) > c->server->now_ms)
            continue;
        *out = (struct bus_event){
            .kind = BUS_MESSAGE,
            .handle = r->handle,
            .seq = r->next_seq,
            .time_ms = m->time_ms,
            .pending = sim_bus_stream_named(c->server, r->stream)->count - r->next_seq,
            .subject = m->text,
            .reply = "",
            .data = span_of(m->text + m->subject_length + m->id_length + 2, m->length)};
        r->next_seq++;
        c->next_read = at + 1;
        return true;
    }
    return false;
}

static void hand_out(struct sim_bus_client *c, const struct sim_bus_queued *q,
                     struct bus_event *out)
{
    *out = q->event;
    c->current = q->text;
    out->subject = q->text == NULL ? "" : q->text;
    out->reply = q->text == NULL ? "" : q->text + strlen(q->text) + 1;
    if (q->text != NULL)
        out->data.data = (const uint8_t *)out->reply + strlen(out->reply) + 1;
}

static bool poll_any(struct bus_port *bus, struct bus_event *out_event)
{
    struct sim_bus_client *c = sim_bus_client_of(bus);
    uint64_t now_ms = c->server->now_ms;
    free(c->current);
    c->current = NULL;
    if (c->fuse != NULL && c->fuse->blown)
        return false;
    for (size_t i = 0; i < c->late_count; i++) {
        if (c->late[i].due_ms > now_ms)
            continue;
        struct sim_bus_queued q = c->late[i];
        memmove(&c->late[i], &c->late[i + 1], (c->late_count - i - 1) * sizeof(q));
        c->late_count--;
        hand_out(c, &q, out_event);
        return true;
    }
    if (c->count > 0 && c->queue[c->head].due_ms <= now_ms) {
        struct sim_bus_queued q = c->queue[c->head];
        c->head = (c->head + 1) % c->capacity;
        c->count--;
        hand_out(c, &q, out_event);
        return true;
    }
    return poll_message(c, out_event);
}

/* The link may fail behind any event that it brought. */
static bool sim_bus_poll(struct bus_port *bus, struct bus_event *out_event)
{
    if (!poll_any(bus, out_event))
        return false;
    if (sim_nth_meet(sim_bus_client_of(bus)->nth, SIM_CALL_EVENT) != ERR_OK) {
        sim_bus_cut(bus);
        sim_bus_heal(bus);
    }
    return true;
}

uint64_t sim_bus_due_ms(struct bus_port *client)
{
    struct sim_bus_client *c = sim_bus_client_of(client);
    uint64_t due_ms = c->count > 0 ? c->queue[c->head].due_ms : UINT64_MAX;
    for (size_t i = 0; i < c->late_count; i++)
        due_ms = base_min_u64(due_ms, c->late[i].due_ms);
    for (unsigned i = 0; c->up && !c->mute_in && i < c->read_count; i++) {
        const struct sim_bus_stored *m = read_next(c, &c->reads[i]);
        if (m != NULL)
            due_ms = base_min_u64(due_ms, m->at_ms + latency(c));
    }
    return due_ms;
}

struct bus_port *sim_bus_client(struct sim_bus_server *s)
{
    struct sim_bus_client *c = base_zalloc(1, sizeof(*c));
    c->port = (struct bus_port){sim_bus_publish, sim_bus_send, sim_bus_listen,
                                sim_bus_read,    sim_bus_get,  sim_bus_poll};
    c->server = s;
    c->next = s->clients;
    s->clients = c;
    sim_bus_heal(&c->port);
    return &c->port;
}

static void unknown(struct bus_event *e)
{
    if (e->kind == BUS_ACK || e->kind == BUS_NACK) {
        e->kind = BUS_NACK;
        e->err = ERR_BUS_TIMEOUT;
    } else if (e->kind == BUS_GOT) {
        e->err = ERR_BUS_TIMEOUT;
    }
}

void sim_bus_cut(struct bus_port *client)
{
    struct sim_bus_client *c = sim_bus_client_of(client);
    if (!c->up)
        return;
    c->up = false;
    c->read_count = 0;
    /* An answer that had not been read yet did not arrive; whoever waits need wait no longer. */
    for (size_t i = 0; i < c->count; i++)
        unknown(&slot_at(c, i)->event);
    for (size_t i = 0; i < c->late_count; i++)
        sim_bus_enqueue(c, c->late[i].event, (struct span){0});
    c->late_count = 0;
    sim_bus_enqueue(c, (struct bus_event){.kind = BUS_DOWN}, (struct span){0});
}

void sim_bus_heal(struct bus_port *client)
{
    struct sim_bus_client *c = sim_bus_client_of(client);
    if (c->up)
        return;
    c->up = true;
    sim_bus_enqueue(c, (struct bus_event){.kind = BUS_UP}, (struct span){0});
}

void sim_bus_client_free(struct bus_port *client)
{
    if (client == NULL)
        return;
    struct sim_bus_client *c = sim_bus_client_of(client);
    struct sim_bus_client **at = &c->server->clients;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    for (size_t i = 0; i < c->count; i++)
        free(slot_at(c, i)->text);
    free(c->current);
    for (unsigned i = 0; i < c->listen_count; i++)
        free(c->listens[i]);
    free(c->queue);
    free(c->late);
    free(c);
}

void sim_bus_end_reads(struct sim_bus_server *s, const char *stream)
{
    for (struct sim_bus_client *c = s->clients; c != NULL; c = c->next) {
        for (unsigned i = c->read_count; i > 0; i--) {
            if (strcmp(c->reads[i - 1].stream, stream) != 0)
                continue;
            struct bus_event event = {.kind = BUS_READ_END, .handle = c->reads[i - 1].handle};
            read_close(c, i - 1);
            sim_bus_enqueue(c, event, (struct span){0});
        }
    }
}

void sim_bus_sin(struct bus_port *client, const struct sim_bus_sins *sins_, uint64_t seed)
{
    struct sim_bus_client *c = sim_bus_client_of(client);
    c->sins = *sins_;
    c->rng.state = seed;
}

void sim_bus_lose_publishes(struct bus_port *client, unsigned n)
{
    sim_bus_client_of(client)->lose = n;
}

void sim_bus_orphan_publishes(struct bus_port *client, unsigned n)
{
    sim_bus_client_of(client)->orphan = n;
}

void sim_bus_deaf(struct bus_port *client, bool deaf)
{
    sim_bus_client_of(client)->deaf = deaf;
}

void sim_bus_mute(struct bus_port *client, bool out, bool in)
{
    struct sim_bus_client *c = sim_bus_client_of(client);
    c->mute_out = out;
    c->mute_in = in;
    wake(c, c->server->now_ms);
}

void sim_bus_lag(struct bus_port *client, uint64_t ms)
{
    sim_bus_client_of(client)->lag_ms = ms;
}

void sim_bus_timeout(struct bus_port *client, uint64_t ms)
{
    sim_bus_client_of(client)->timeout_ms = ms;
}

void sim_bus_fuse(struct bus_port *client, struct sim_fuse *fuse)
{
    sim_bus_client_of(client)->fuse = fuse;
}

void sim_bus_nth(struct bus_port *client, struct sim_nth *nth)
{
    sim_bus_client_of(client)->nth = nth;
}

void sim_bus_ready(struct bus_port *client, void (*ready)(void *context, uint64_t due_ms),
                   void *context)
{
    struct sim_bus_client *c = sim_bus_client_of(client);
    c->ready = ready;
    c->ready_context = context;
}
