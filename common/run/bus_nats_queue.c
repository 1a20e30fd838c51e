/* SPDX-License-Identifier: Apache-2.0 */
#include "common/run/bus_nats_inside.h"
#include "common/run/log.h"

#include <stdlib.h>
#include <time.h>

uint64_t bus_nats_now_us(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t bus_nats_now_ms(void)
{
    return bus_nats_now_us() / 1000;
}

void bus_nats_lock(struct bus_nats *b)
{
    CHECK(pthread_mutex_lock(&b->lock) == 0);
}

void bus_nats_unlock(struct bus_nats *b)
{
    bool due = b->notify_due && b->notify != NULL;
    b->notify_due = false;
    CHECK(pthread_mutex_unlock(&b->lock) == 0);
    if (due)
        b->notify(b->notify_context);
}

bool bus_nats_is_seldom(uint64_t *count)
{
    ++*count;
    return (*count & (*count - 1)) == 0;
}

void bus_nats_keep(struct bus_nats *b, uint64_t due_ms)
{
    if (due_ms < b->keeper_due_ms) {
        b->keeper_due_ms = due_ms;
        (void)pthread_cond_signal(&b->tick);
    }
}

struct bus_nats_event *bus_nats_event_new(enum bus_event_kind kind)
{
    struct bus_nats_event *e = base_zalloc(1, sizeof(*e));
    e->event.kind = kind;
    e->event.subject = "";
    e->event.reply = "";
    return e;
}

void bus_nats_event_free(struct bus_nats_event *e)
{
    if (e == NULL)
        return;
    natsMsg_Destroy(e->msg);
    buf_done(&e->owned);
    free(e);
}

static void append(struct bus_nats_queue *q, struct bus_nats_event *e)
{
    e->next = NULL;
    if (q->last == NULL)
        q->first = e;
    else
        q->last->next = e;
    q->last = e;
    q->count++;
    q->bytes += e->event.data.length;
}

static struct bus_nats_event *pop(struct bus_nats_queue *q)
{
    struct bus_nats_event *e = q->first;
    if (e == NULL)
        return NULL;
    q->first = e->next;
    if (q->first == NULL)
        q->last = NULL;
    CHECK(q->count > 0 && q->bytes >= e->event.data.length);
    q->count--;
    q->bytes -= e->event.data.length;
    e->next = NULL;
    return e;
}

/* Plain messages are at most once anyway; a driver that lags must not eat the memory. */
static void bound_plains(struct bus_nats *b)
{
    while (b->plains.count > BUS_NATS_PLAINS ||
           (b->plains.bytes > BUS_NATS_PLAIN_BYTES && b->plains.count > 1)) {
        bus_nats_event_free(pop(&b->plains));
        if (bus_nats_is_seldom(&b->plains_dropped))
            log_warn("plain messages dropped, the driver lags", log_text("bus", b->name),
                     log_u64("dropped", b->plains_dropped));
    }
}

static void tell(struct bus_nats *b, struct bus_nats_event *e)
{
    e->order = b->order++;
    if (e->event.kind == BUS_PLAIN) {
        append(&b->plains, e);
        bound_plains(b);
    } else {
        append(&b->events, e);
    }
    b->notify_due = true;
}

void bus_nats_queue_put(struct bus_nats *b, struct bus_nats_event *e, uint64_t due_ms)
{
    e->due_ms = due_ms;
    if (due_ms <= bus_nats_now_ms()) {
        tell(b, e);
    } else {
        append(&b->later, e);
        bus_nats_keep(b, due_ms);
    }
}

uint64_t bus_nats_queue_due(struct bus_nats *b, uint64_t now_ms)
{
    uint64_t due = UINT64_MAX;
    size_t left = b->later.count;
    while (left-- > 0) {
        struct bus_nats_event *e = pop(&b->later);
        if (e->due_ms <= now_ms) {
            tell(b, e);
        } else {
            due = base_min_u64(due, e->due_ms);
            append(&b->later, e);
        }
    }
    return due;
}

struct bus_nats_event *bus_nats_queue_take(struct bus_nats *b)
{
    struct bus_nats_event *e = b->events.first;
    struct bus_nats_event *plain = b->plains.first;
    if (plain != NULL && (e == NULL || plain->order < e->order))
        return pop(&b->plains);
    return pop(&b->events);
}

static void empty(struct bus_nats_queue *q)
{
    struct bus_nats_event *e;
    while ((e = pop(q)) != NULL)
        bus_nats_event_free(e);
}

void bus_nats_queue_done(struct bus_nats *b)
{
    empty(&b->events);
    empty(&b->plains);
    empty(&b->later);
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

struct bus_nats_command *bus_nats_command_new(enum bus_nats_command_kind kind, const char *subject,
                                              const char *reply, const char *msg_id,
                                              struct span data)
{
    struct bus_nats_command *c = base_zalloc(1, sizeof(*c));
    c->kind = kind;
    c->subject = copy_text(subject);
    c->reply = copy_text(reply);
    c->msg_id = copy_text(msg_id);
    if (data.length > 0)
        buf_put(&c->data, data.data, data.length);
    return c;
}

void bus_nats_command_free(struct bus_nats_command *c)
{
    if (c == NULL)
        return;
    free(c->subject);
    free(c->reply);
    free(c->msg_id);
    buf_done(&c->data);
    free(c);
}

void bus_nats_command_put(struct bus_nats *b, struct bus_nats_command *c)
{
    c->next = NULL;
    if (b->command_last == NULL)
        b->command_first = c;
    else
        b->command_last->next = c;
    b->command_last = c;
    if (c->plain)
        b->sending_bytes += c->data.length;
    (void)pthread_cond_signal(&b->work);
}

struct bus_nats_command *bus_nats_command_take(struct bus_nats *b)
{
    struct bus_nats_command *c = b->command_first;
    if (c == NULL)
        return NULL;
    b->command_first = c->next;
    if (b->command_first == NULL)
        b->command_last = NULL;
    if (c->plain) {
        CHECK(b->sending_bytes >= c->data.length);
        b->sending_bytes -= c->data.length;
    }
    return c;
}

void bus_nats_command_drop_all(struct bus_nats *b)
{
    struct bus_nats_command *c;
    while ((c = bus_nats_command_take(b)) != NULL)
        bus_nats_command_free(c);
    CHECK(b->sending_bytes == 0);
}
