/* SPDX-License-Identifier: Apache-2.0
 * load_blast: requests made beforehand, sent in a closed or an open loop, counted and timed. */
#include "load_blast.h"

#include "load_h2.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUSES 600

struct shot {
    struct load_body body;
    struct load_exchange exchange;
    struct blast *blast;
    uint64_t due_us; /* open loop: when it should leave */
};

struct blast {
    const struct load_blast_options *options;
    struct load_loop *loop;
    struct load_conn **conns;
    struct shot *shots;
    uint64_t *latencies; /* of 202 (or any other 2xx, 3xx), in the order of the answers */
    uint64_t next, ended, good, broken;
    uint64_t accepted, replicated; /* clicks and answers, as the answers say */
    uint64_t clicks, body_bytes;
    uint64_t unsent_max; /* most that were due and found no free stream */
    uint64_t statuses[STATUSES];
    uint64_t started_us;
};

static uint64_t field_of(const char *text, const char *name)
{
    const char *at = text ? strstr(text, name) : NULL;
    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static void on_done(struct load_exchange *x, enum load_outcome outcome)
{
    struct shot *shot = x->context;
    struct blast *b = shot->blast;

    b->ended++;
    if (outcome != LOAD_ANSWERED) {
        b->broken++;
    } else {
        b->statuses[x->status < STATUSES ? x->status : 0]++;
        if (x->status >= 200 && x->status < 400) {
            b->latencies[b->good++] = x->ended_us - shot->due_us;
            b->accepted += field_of(x->answer.data, "\"accepted\":");
            b->replicated += x->answer.data && strstr(x->answer.data, "\"replicated\"");
        }
    }
    load_exchange_reset(x);
    load_body_done(&shot->body);
}

static void make_shots(struct blast *b)
{
    struct load_maker *maker = load_maker_new(&b->options->mix);
    uint64_t now_ms = load_wall_ms();
    b->shots = load_alloc(b->options->requests * sizeof *b->shots);
    b->latencies = load_alloc(b->options->requests * sizeof *b->latencies);
    for (uint64_t i = 0; i < b->options->requests; i++) {
        b->shots[i].blast = b;
        load_make_body(maker, now_ms, NULL, UINT32_MAX, &b->shots[i].body);
        b->clicks += b->shots[i].body.count;
        b->body_bytes += b->shots[i].body.text.length;
    }
    load_maker_free(maker);
}

static void open_all(struct blast *b)
{
    const struct load_blast_options *o = b->options;
    uint64_t start = load_mono_us();
    b->loop = load_loop_new(o->ca_file, o->timeout_ms);
    if (o->cipher)
        load_loop_one_cipher(b->loop, o->cipher);
    b->conns = load_alloc(o->connections * sizeof(struct load_conn *));
    for (unsigned i = 0; i < o->connections; i++)
        b->conns[i] = load_conn_new(b->loop, o->address);
    for (unsigned i = 0; i < o->connections;) {
        if (load_conn_is_up(b->conns[i]))
            i++;
        else if (load_mono_us() - start > 20000000)
            load_die("no connection to %s: %s", o->address, load_conn_why_down(b->conns[i]));
        else
            load_loop_turn(b->loop, 50, -1);
    }
}

/* The connection with the fewest streams under way, if it takes one more. */
static struct load_conn *free_conn(const struct blast *b)
{
    struct load_conn *best = NULL;
    for (unsigned i = 0; i < b->options->connections; i++) {
        struct load_conn *c = b->conns[i];
        if (load_conn_is_up(c) && load_conn_open(c) < b->options->streams &&
            (!best || load_conn_open(c) < load_conn_open(best)))
            best = c;
    }
    return best;
}

static void fire(struct load_conn *c, struct shot *shot)
{
    shot->exchange = (struct load_exchange){
        .method = "POST",
        .path = "/v1/clicks",
        .content_type = shot->body.content_type,
        .idempotency_key = shot->body.idempotency_key[0] ? shot->body.idempotency_key : NULL,
        .body = shot->body.text.data,
        .body_length = shot->body.text.length,
        .done = on_done,
        .context = shot};
    load_conn_submit(c, &shot->exchange);
}

/* How many should have left by now. */
static uint64_t due_count(const struct blast *b, uint64_t now)
{
    const struct load_blast_options *o = b->options;
    if (o->rate <= 0)
        return o->requests;
    double due = (double)(now - b->started_us) * o->rate / 1e6 + 1;
    return due < (double)o->requests ? (uint64_t)due : o->requests;
}

static int wait_ms(const struct blast *b)
{
    return b->options->rate > 0 && b->next < b->options->requests ? 1 : 10;
}

static void run(struct blast *b)
{
    const struct load_blast_options *o = b->options;
    b->started_us = load_mono_us();
    while (b->ended < o->requests) {
        uint64_t now = load_mono_us(), due = due_count(b, now);
        struct load_conn *c = NULL;
        while (b->next < due && (c = free_conn(b)) != NULL) {
            struct shot *shot = &b->shots[b->next];
            shot->due_us =
                o->rate > 0 ? b->started_us + (uint64_t)((double)b->next * 1e6 / o->rate) : now;
            b->next++;
            fire(c, shot);
        }
        if (due - b->next > b->unsent_max)
            b->unsent_max = due - b->next;
        load_loop_turn(b->loop, wait_ms(b), -1);
        if (now - b->started_us > 600000000)
            load_die("gave up after 600 s: %" PRIu64 " of %" PRIu64 " answered", b->ended,
                     o->requests);
    }
}

static void put(json_t *object, const char *name, uint64_t value)
{
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

static void tell(const struct blast *b, uint64_t ended_us)
{
    json_t *o = json_object(), *statuses = json_object();
    qsort(b->latencies, b->good, sizeof *b->latencies, load_compare_u64);
    json_object_set_new(o, "seconds", json_real((double)(ended_us - b->started_us) / 1e6));
    put(o, "requests", b->options->requests);
    put(o, "clicks", b->clicks);
    put(o, "body_bytes", b->body_bytes);
    put(o, "good", b->good);
    put(o, "broken", b->broken);
    put(o, "accepted", b->accepted);
    put(o, "replicated", b->replicated);
    put(o, "unsent_max", b->unsent_max);
    for (unsigned i = 0; i < STATUSES; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u", i);
        if (b->statuses[i])
            put(statuses, name, b->statuses[i]);
    }
    json_object_set_new(o, "statuses", statuses);
    put(o, "p50_us", load_percentile(b->latencies, b->good, 50));
    put(o, "p99_us", load_percentile(b->latencies, b->good, 99));
    put(o, "p999_us", load_percentile(b->latencies, b->good, 99.9));
    put(o, "max_us", load_percentile(b->latencies, b->good, 100));
    json_dumpf(o, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
    putchar('\n');
    fflush(stdout);
    json_decref(o);
}

int load_blast(const struct load_blast_options *options)
{
    struct blast b = {.options = options};
    make_shots(&b);
    open_all(&b);
    run(&b);
    tell(&b, load_mono_us());
    load_loop_free(b.loop);
    free(b.conns);
    free(b.shots);
    free(b.latencies);
    return b.broken ? 3 : 0;
}
