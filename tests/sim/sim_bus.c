/* SPDX-License-Identifier: Apache-2.0
 * sim_bus: the server: streams, message ids, and what a server does to them. */
#include "tests/sim/sim_bus_inside.h"

#include <stdlib.h>

#define MSG_ID_WINDOW_MS 120000ULL

/* FNV-1a: only so that most ids differ at the first look. */
static uint64_t id_hash(const char *text)
{
    uint64_t hash = 14695981039346656037ULL;
    for (; *text != '\0'; text++)
        hash = (hash ^ (uint8_t)*text) * 1099511628211ULL;
    return hash == 0 ? 1 : hash;
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
bool sim_bus_matches(const char *filter, const char *subject)
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

struct sim_bus_stream *sim_bus_stream_named(const struct sim_bus_server *s, const char *name)
{
    for (size_t i = 0; i < s->stream_count; i++)
        if (strcmp(s->streams[i].name, name) == 0)
            return &s->streams[i];
    return NULL;
}

struct sim_bus_stream *sim_bus_stream_for(const struct sim_bus_server *s, const char *subject)
{
    for (size_t i = 0; i < s->stream_count; i++)
        if (sim_bus_matches(s->streams[i].filter, subject))
            return &s->streams[i];
    return NULL;
}

static uint64_t stamp(const struct sim_bus_server *s)
{
    return (uint64_t)((int64_t)s->now_ms + s->skew_ms);
}

static uint64_t repeat_of(const struct sim_bus_server *s, const struct sim_bus_stream *st,
                          const char *msg_id, uint64_t hash)
{
    for (size_t i = st->count; i > 0; i--) {
        const struct sim_bus_stored *m = &st->messages[i - 1];
        if (m->time_ms + MSG_ID_WINDOW_MS < stamp(s))
            return 0;
        if (m->id_hash == hash && strcmp(m->text + m->subject_length + 1, msg_id) == 0)
            return i;
    }
    return 0;
}

uint64_t sim_bus_store(struct sim_bus_server *s, struct sim_bus_stream *st, const char *subject,
                       const char *msg_id, struct span data)
{
    uint64_t hash = msg_id == NULL ? 0 : id_hash(msg_id);
    uint64_t repeat = msg_id == NULL ? 0 : repeat_of(s, st, msg_id, hash);
    if (repeat > 0)
        return repeat;
    if (st->count == st->capacity) {
        st->capacity = st->capacity == 0 ? 64 : st->capacity * 2;
        st->messages = base_realloc(st->messages, st->capacity * sizeof(*st->messages));
    }
    struct sim_bus_stored *m = &st->messages[st->count++];
    *m = (struct sim_bus_stored){.at_ms = s->now_ms,
                                 .time_ms = stamp(s),
                                 .id_hash = hash,
                                 .subject_length = (uint32_t)strlen(subject),
                                 .id_length = msg_id == NULL ? 0 : (uint32_t)strlen(msg_id),
                                 .length = (uint32_t)data.length};
    m->text = base_alloc((size_t)m->subject_length + m->id_length + m->length + 2);
    memcpy(m->text, subject, (size_t)m->subject_length + 1);
    memcpy(m->text + m->subject_length + 1, msg_id == NULL ? "" : msg_id, (size_t)m->id_length + 1);
    if (data.length > 0)
        memcpy(m->text + m->subject_length + m->id_length + 2, data.data, data.length);
    if (s->spy != NULL)
        s->spy(s->spy_context, subject, data, st->name, st->count);
    sim_bus_stored_new(s, st);
    return st->count;
}

void sim_bus_delay(struct sim_bus_server *s, const char *subject, const char *msg_id,
                   struct span data, uint64_t ms)
{
    s->delayed = base_realloc(s->delayed, (s->delayed_count + 1) * sizeof(*s->delayed));
    struct sim_bus_delayed *d = &s->delayed[s->delayed_count++];
    *d = (struct sim_bus_delayed){s->now_ms + ms, copy_text(subject), copy_text(msg_id), {0}};
    buf_put(&d->data, data.data, data.length);
}

static void delayed_done(struct sim_bus_delayed *d)
{
    free(d->subject);
    free(d->msg_id);
    buf_done(&d->data);
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
        struct sim_bus_delayed *d = &s->delayed[i];
        struct sim_bus_stream *st = sim_bus_stream_for(s, d->subject);
        if (d->due_ms > now_ms) {
            s->delayed[kept++] = *d;
            continue;
        }
        if (st != NULL)
            (void)sim_bus_store(s, st, d->subject, d->msg_id, buf_span(&d->data));
        delayed_done(d);
    }
    s->delayed_count = kept;
}

uint64_t sim_bus_delayed_ms(const struct sim_bus_server *s)
{
    uint64_t due = UINT64_MAX;
    for (size_t i = 0; i < s->delayed_count; i++)
        due = base_min_u64(due, s->delayed[i].due_ms);
    return due;
}

void sim_bus_latency(struct sim_bus_server *s, uint64_t ms)
{
    s->latency_ms = ms;
}

void sim_bus_skew(struct sim_bus_server *s, int64_t ms)
{
    s->skew_ms = ms;
}

void sim_bus_watch(struct sim_bus_server *s,
                   void (*spy)(void *context, const char *subject, struct span data,
                               const char *stream, uint64_t seq),
                   void *context)
{
    s->spy = spy;
    s->spy_context = context;
}

void sim_bus_stream(struct sim_bus_server *s, const char *name, const char *filter)
{
    s->streams = base_realloc(s->streams, (s->stream_count + 1) * sizeof(*s->streams));
    s->streams[s->stream_count++] =
        (struct sim_bus_stream){copy_text(name), copy_text(filter), NULL, 0, 0};
}

void sim_bus_expire(struct sim_bus_server *s, const char *stream, uint64_t seq)
{
    struct sim_bus_stream *st = sim_bus_stream_named(s, stream);
    CHECK(st != NULL && seq <= st->count);
    for (uint64_t i = 0; i < seq; i++)
        st->messages[i].gone = true;
}

void sim_bus_server_free(struct sim_bus_server *s)
{
    if (s == NULL)
        return;
    while (s->clients != NULL)
        sim_bus_client_free(&s->clients->port);
    for (size_t i = 0; i < s->stream_count; i++) {
        for (size_t j = 0; j < s->streams[i].count; j++)
            free(s->streams[i].messages[j].text);
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

uint64_t sim_bus_last_seq(const struct sim_bus_server *s, const char *stream)
{
    const struct sim_bus_stream *st = sim_bus_stream_named(s, stream);
    return st == NULL ? 0 : st->count;
}

void sim_bus_lose_tail(struct sim_bus_server *s, const char *stream, uint64_t seq)
{
    struct sim_bus_stream *st = sim_bus_stream_named(s, stream);
    CHECK(st != NULL && seq <= st->count);
    while (st->count > seq)
        free(st->messages[--st->count].text);
}

void sim_bus_recreate(struct sim_bus_server *s, const char *stream)
{
    sim_bus_lose_tail(s, stream, 0);
}

bool sim_bus_message(const struct sim_bus_server *s, const char *stream, uint64_t seq,
                     struct span *out_data, uint64_t *out_time_ms)
{
    const struct sim_bus_stream *st = sim_bus_stream_named(s, stream);
    if (st == NULL || seq == 0 || seq > st->count || st->messages[seq - 1].gone)
        return false;
    const struct sim_bus_stored *m = &st->messages[seq - 1];
    *out_data = span_of(m->text + m->subject_length + m->id_length + 2, m->length);
    *out_time_ms = m->time_ms;
    return true;
}
