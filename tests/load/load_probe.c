/* SPDX-License-Identifier: Apache-2.0
 * load_probe: how long after it was sent a click shows in the globe's answers.
 * Every probe is one click on an ad of its own; it keeps its id through retries, so it must show
 * exactly once. */
#include "load_probe.h"

#include "load_h2.h"
#include "load_ledger.h"

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct probe {
    struct prober *prober;
    unsigned number, edge, attempt;
    uint32_t minute;
    char body[400], path[300];
    uint64_t mark, sent_us, sent_wall_ms, accepted_us, shown_us, due_us, count;
    bool under_way; /* an exchange of this probe is open */
    struct load_exchange exchange;
};

struct prober {
    const struct load_probe_options *options;
    struct load_loop *loop;
    struct load_conn *edges[LOAD_EDGES_MAX], *global;
    struct load_ledger *ledger;
    struct probe *probes;
    unsigned started;
};

static volatile sig_atomic_t stop_wanted;

static void on_signal(int number)
{
    (void)number;
    stop_wanted = 1;
}

static void note(struct probe *p, const char *format, const char *more)
{
    if (!p->prober->ledger)
        return;
    struct load_buf line = {0};
    load_buf_print(&line, "%s %u", format, p->number);
    load_buf_print(&line, "%s\n", more);
    p->mark = load_ledger_add(p->prober->ledger, &line);
    load_buf_done(&line);
}

static void make(struct prober *s, struct probe *p)
{
    const struct load_probe_options *o = s->options;
    uint64_t now = load_wall_ms();
    p->prober = s;
    p->number = s->started++;
    p->edge = p->number % (o->edge_count ? o->edge_count : 1);
    p->minute = (uint32_t)(now / 60000);
    char ad[64], more[128];
    snprintf(ad, sizeof ad, "probe-%016" PRIx64 "-%u", o->run, p->number);
    snprintf(p->body, sizeof p->body,
             "{\"ad_id\":\"%s\",\"user_id\":\"probe\",\"timestamp\":%" PRIu64
             ",\"ip_address\":\"192.0.2.1\",\"user_agent\":\"probe\",\"click_id\":\"%s\","
             "\"home\":\"%s\"}",
             ad, now, ad, o->edges[p->edge].region);
    snprintf(p->path, sizeof p->path, "/v1/stats?ad_id=%s&window=1m&start=%" PRIu64 "&end=%" PRIu64,
             ad, (uint64_t)(p->minute - 1) * 60, (uint64_t)(p->minute + 2) * 60);
    snprintf(more, sizeof more, " 1 %s@%u", ad, p->minute);
    note(p, "I", more);
}

static void on_sent(struct load_exchange *x, enum load_outcome outcome)
{
    struct probe *p = x->context;
    char more[64];
    p->under_way = false;
    if (outcome == LOAD_ANSWERED && x->status == 202) {
        p->accepted_us = x->ended_us;
        p->due_us = x->ended_us;
        snprintf(more, sizeof more, " %u s", p->attempt);
        note(p, "O", more);
    } else {
        bool definite = outcome == LOAD_ANSWERED && (x->status == 503 || x->status == 429);
        if (outcome == LOAD_ANSWERED && x->status >= 400 && x->status < 500 && x->status != 429)
            load_die("probe refused: %u %.200s", x->status, x->answer.data ? x->answer.data : "");
        snprintf(more, sizeof more, " %u %s", p->attempt, definite ? "503" : "unknown");
        note(p, definite ? "F" : "U", more);
        p->attempt++;
        snprintf(more, sizeof more, " %u", p->attempt);
        note(p, "R", more);
        p->due_us = load_mono_us() + 50000;
        p->edge = (p->edge + 1) % p->prober->options->edge_count; /* home keeps it the same click */
    }
}

static void on_looked(struct load_exchange *x, enum load_outcome outcome)
{
    struct probe *p = x->context;
    p->under_way = false;
    p->due_us = load_mono_us() + p->prober->options->poll_ms * 1000u;
    if (outcome != LOAD_ANSWERED || x->status != 200 || !x->answer.data)
        return;
    json_t *answer = json_loadb(x->answer.data, x->answer.length, 0, NULL);
    json_t *point;
    size_t i;
    p->count = 0;
    json_array_foreach(json_object_get(answer, "data"), i, point)
    {
        p->count += (uint64_t)json_integer_value(json_object_get(point, "click_count"));
    }
    json_decref(answer);
    if (p->count > 0 && !p->shown_us)
        p->shown_us = x->ended_us;
}

static void serve(struct prober *s, struct probe *p, uint64_t now)
{
    if (p->under_way || p->shown_us || now < p->due_us)
        return;
    bool sent = p->accepted_us != 0;
    if (!sent && s->ledger && load_ledger_durable(s->ledger) < p->mark)
        return;
    struct load_conn *c = sent ? s->global : s->edges[p->edge];
    if (!load_conn_is_up(c)) {
        if (!sent)
            p->edge = (p->edge + 1) % s->options->edge_count;
        return;
    }
    if (load_conn_open(c) >= 60)
        return;
    load_exchange_reset(&p->exchange);
    p->exchange = (struct load_exchange){.method = sent ? "GET" : "POST",
                                         .path = sent ? p->path : "/v1/clicks",
                                         .content_type = sent ? NULL : "application/json",
                                         .body = p->body,
                                         .body_length = sent ? 0 : strlen(p->body),
                                         .done = sent ? on_looked : on_sent,
                                         .context = p};
    if (!p->sent_us) {
        p->sent_us = now;
        p->sent_wall_ms = load_wall_ms();
    }
    p->under_way = true;
    load_conn_submit(c, &p->exchange);
}

static void run(struct prober *s)
{
    const struct load_probe_options *o = s->options;
    uint64_t next_us = load_mono_us(), end_us = 0;
    for (;;) {
        uint64_t now = load_mono_us();
        if (!stop_wanted && s->started < o->count && now >= next_us) {
            make(s, &s->probes[s->started]);
            next_us += o->interval_ms * 1000u;
        }
        bool all = stop_wanted || s->started == o->count;
        if (all && !end_us)
            end_us = now + (uint64_t)(o->wait_seconds * 1e6);
        unsigned missing = 0;
        for (unsigned i = 0; i < s->started; i++) {
            serve(s, &s->probes[i], now);
            missing += !s->probes[i].shown_us;
        }
        if (all && (missing == 0 || now >= end_us))
            return;
        if (s->ledger)
            load_ledger_heard(s->ledger);
        load_loop_turn(s->loop, 5, s->ledger ? load_ledger_fd(s->ledger) : -1);
    }
}

static int report(const struct prober *s)
{
    uint64_t *ms = load_alloc(s->started * sizeof *ms);
    size_t shown = 0;
    unsigned twice = 0;
    FILE *samples = NULL;
    if (s->options->samples_file && !(samples = fopen(s->options->samples_file, "we")))
        load_die("cannot write %s", s->options->samples_file);
    for (unsigned i = 0; i < s->started; i++) {
        const struct probe *p = &s->probes[i];
        twice += p->count > 1;
        if (!p->shown_us)
            continue;
        ms[shown] = (p->shown_us - p->sent_us) / 1000;
        if (samples)
            fprintf(samples, "%" PRIu64 " %" PRIu64 "\n", p->sent_wall_ms, ms[shown]);
        shown++;
    }
    if (samples && fclose(samples) != 0)
        load_die("cannot write %s", s->options->samples_file);
    qsort(ms, shown, sizeof *ms, load_compare_u64);
    printf(s->options->json
               ? "{\"probes\": %u, \"shown\": %zu, \"double\": %u, \"p50_ms\": %" PRIu64
                 ", \"p99_ms\": %" PRIu64 ", \"max_ms\": %" PRIu64 "}\n"
               : "probes %u  shown %zu  double %u  p50 %" PRIu64 " ms  p99 %" PRIu64
                 " ms  max %" PRIu64 " ms\n",
           s->started, shown, twice, load_percentile(ms, shown, 50), load_percentile(ms, shown, 99),
           load_percentile(ms, shown, 100));
    free(ms);
    return shown == s->started && twice == 0 ? 0 : 1;
}

int load_probe(const struct load_probe_options *options)
{
    if (options->edge_count == 0)
        load_die("probe wants an edge");
    struct prober s = {.options = options};
    s.loop = load_loop_new(options->ca_file, 5000);
    for (unsigned i = 0; i < options->edge_count; i++)
        s.edges[i] = load_conn_new(s.loop, options->edges[i].address);
    s.global = load_conn_new(s.loop, options->global);
    if (options->ledger_file)
        s.ledger = load_ledger_open(options->ledger_file, options->run);
    s.probes = load_alloc(options->count * sizeof *s.probes);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    run(&s);
    int code = report(&s);
    load_loop_free(s.loop);
    if (s.ledger)
        load_ledger_close(s.ledger);
    for (unsigned i = 0; i < options->count; i++)
        load_exchange_reset(&s.probes[i].exchange);
    free(s.probes);
    return code;
}
