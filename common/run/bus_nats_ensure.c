/* SPDX-License-Identifier: Apache-2.0 */
#include "common/run/bus_nats_inside.h"
#include "common/run/bus_nats_wire.h"
#include "common/run/log.h"

#include <stdio.h>

#define API_STREAM_EXISTS 10058
#define BACKOFF_MIN_MS    250U
#define BACKOFF_MAX_MS    5000U

static void send_call(struct bus_nats *b, unsigned index, enum bus_nats_call_kind kind,
                      const char *verb, struct span body)
{
    char subject[192];
    (void)snprintf(subject, sizeof(subject), "%s.STREAM.%s.%s", b->api, verb,
                   b->streams[index].name);
    (void)bus_nats_call_send(b,
                             (struct bus_nats_call){
                                 .kind = kind,
                                 .deadline_ms = bus_nats_now_ms() + BUS_NATS_API_MS,
                                 .index = index,
                             },
                             subject, NULL, body);
}

/* Asked first, so that a user without the right to create can still use what is there. */
static void ask(struct bus_nats *b, unsigned index)
{
    b->streams[index].state = STREAM_ASKED;
    send_call(b, index, CALL_STREAM_INFO, "INFO", span_of(NULL, 0));
}

static void create(struct bus_nats *b, unsigned index)
{
    const struct bus_nats_stream *w = &b->streams[index].wanted;
    char limit[32] = "-1";
    char body[768];
    if (w->bytes_max != 0)
        (void)snprintf(limit, sizeof(limit), "%llu", (unsigned long long)w->bytes_max);
    /* discard new: a full stream refuses, and the spools keep; it never forgets the oldest. */
    (void)snprintf(body, sizeof(body),
                   "{\"name\":\"%s\",\"subjects\":[\"%s\"],\"retention\":\"limits\","
                   "\"storage\":\"file\",\"discard\":\"new\",\"max_age\":%llu,"
                   "\"max_bytes\":%s,\"num_replicas\":%u}",
                   w->name, w->subjects, (unsigned long long)w->age_max_s * 1000000000ULL, limit,
                   w->replicas);
    send_call(b, index, CALL_STREAM_CREATE, "CREATE", span_of_text(body));
}

static bool config_u64(struct span config, const char *name, uint64_t wanted)
{
    struct span raw;
    uint64_t value = 0;
    return bus_nats_wire_field(config, name, &raw) && bus_nats_wire_u64(raw, &value) &&
           value == wanted;
}

static bool config_text(struct span raw, const char *wanted)
{
    char text[256];
    return bus_nats_wire_text(raw, text, sizeof(text)) && strcmp(text, wanted) == 0;
}

struct difference {
    const char *what; /* NULL: none */
    char is[64], wanted[64];
};

static void differ(struct difference *d, const char *what, struct span config, const char *wanted)
{
    struct span raw;
    d->what = what;
    if (!bus_nats_wire_field(config, what, &raw))
        raw = span_of_text("not there");
    (void)snprintf(d->is, sizeof(d->is), "%.*s", (int)base_min_u64(raw.length, 60),
                   (const char *)raw.data);
    (void)snprintf(d->wanted, sizeof(d->wanted), "%s", wanted);
}

static void compare_u64(struct difference *d, struct span config, const char *name, uint64_t wanted)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)wanted);
    if (d->what == NULL && !config_u64(config, name, wanted))
        differ(d, name, config, text);
}

/* The first thing in which the stream differs from what we would have created. */
static struct difference compare(struct span config, const struct bus_nats_stream *w)
{
    static const struct {
        const char *name;
        const char *wanted;
    } texts[] = {{"storage", "file"}, {"retention", "limits"}, {"discard", "new"}};
    struct difference d = {0};
    struct span raw;
    for (size_t i = 0; i < countof(texts) && d.what == NULL; i++)
        if (!bus_nats_wire_field(config, texts[i].name, &raw) || !config_text(raw, texts[i].wanted))
            differ(&d, texts[i].name, config, texts[i].wanted);
    if (d.what == NULL && (!bus_nats_wire_field(config, "subjects", &raw) ||
                           !bus_nats_wire_first(raw, &raw) || !config_text(raw, w->subjects)))
        differ(&d, "subjects", config, w->subjects);
    compare_u64(&d, config, "max_age", w->age_max_s * 1000000000ULL);
    compare_u64(&d, config, "num_replicas", w->replicas);
    if (w->bytes_max != 0)
        compare_u64(&d, config, "max_bytes", w->bytes_max);
    return d;
}

static void there(struct bus_nats *b, unsigned index, struct span answer)
{
    struct bus_nats_stream_keep *s = &b->streams[index];
    struct span config = {0};
    (void)bus_nats_wire_field(answer, "config", &config);
    s->state = STREAM_THERE;
    s->failures = 0;
    struct difference d = compare(config, &s->wanted);
    /* An operator may have reasons; but one that discards old messages, or has fewer copies, breaks
     * what we promise with it. */
    if (d.what != NULL)
        log_error(
            "stream is not as configured: used as it is, mend the stream or the configuration",
            log_text("stream", s->name), log_text("differs", d.what), log_text("is", d.is),
            log_text("wanted", d.wanted));
    if (bus_nats_ensure_done(b))
        bus_nats_keep(b, 0); /* perhaps BUS_UP waits for it */
}

static void try_later(struct bus_nats *b, unsigned index, enum err err, struct span answer)
{
    struct bus_nats_stream_keep *s = &b->streams[index];
    uint64_t wait_ms = BACKOFF_MIN_MS << (s->failures < 5 ? s->failures : 5);
    s->failures++;
    s->state = STREAM_WAITS;
    s->due_ms = bus_nats_now_ms() + base_min_u64(wait_ms, BACKOFF_MAX_MS);
    bus_nats_keep(b, s->due_ms);
    /* Once soon, then at every doubling: it may last for as long as an operator sleeps. */
    if (b->link != 0 && s->failures > 1 && (s->failures & (s->failures - 1)) == 0)
        log_warn("stream is not there and could not be created", log_text("stream", s->name),
                 log_err(err), log_bytes("answer", answer));
}

void bus_nats_ensure_answer(struct bus_nats *b, const struct bus_nats_call *call, enum err err,
                            struct span answer)
{
    CHECK(call->index < b->stream_count);
    uint64_t code = err == ERR_OK ? bus_nats_wire_error(answer) : 0;
    if (err != ERR_OK)
        try_later(b, call->index, err, answer);
    else if (code == 0) {
        if (call->kind == CALL_STREAM_CREATE)
            log_info("stream created", log_text("stream", b->streams[call->index].name));
        there(b, call->index, answer);
    } else if (call->kind == CALL_STREAM_INFO && code == BUS_NATS_NO_STREAM)
        create(b, call->index);
    else if (call->kind == CALL_STREAM_CREATE && code == API_STREAM_EXISTS)
        ask(b, call->index); /* another process was first */
    else
        try_later(b, call->index, ERR_BUS_REFUSED, answer);
}

void bus_nats_ensure_all(struct bus_nats *b, bool at_once)
{
    for (unsigned i = 0; i < b->stream_count; i++) {
        struct bus_nats_stream_keep *s = &b->streams[i];
        if (at_once) {
            s->failures = 0;
            ask(b, i);
        } else if (s->state == STREAM_THERE) {
            s->state = STREAM_WAITS;
            s->due_ms = bus_nats_now_ms() + BACKOFF_MIN_MS;
            bus_nats_keep(b, s->due_ms);
        }
    }
}

bool bus_nats_ensure_done(const struct bus_nats *b)
{
    for (unsigned i = 0; i < b->stream_count; i++)
        if (b->streams[i].state != STREAM_THERE)
            return false;
    return true;
}

uint64_t bus_nats_ensure_due(struct bus_nats *b, uint64_t now_ms)
{
    uint64_t due = UINT64_MAX;
    for (unsigned i = 0; i < b->stream_count && b->link != 0; i++) {
        if (b->streams[i].state != STREAM_WAITS)
            continue;
        if (b->streams[i].due_ms <= now_ms)
            ask(b, i);
        else
            due = base_min_u64(due, b->streams[i].due_ms);
    }
    return due;
}
