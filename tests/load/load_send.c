/* SPDX-License-Identifier: Apache-2.0
 * load_send: sends clicks for a while, retries what is unknown, repeats some on purpose, and keeps
 * the ledger.
 *
 * The life of a request: made -> its line is durable in the ledger -> on the wire -> answered.
 * Unknown and postponed ones wait and leave again, the same bytes, to an edge that gives them the
 * same home region. */
#include "load_send.h"

#include "load_h2.h"
#include "load_ledger.h"
#include "load_tally.h"

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEDGER_PAUSE_US 8000u /* gathers lines, so that the ledger leaves the disk to the edges */
#define PENDING_MAX     4000u
/* A request is made so long before it is due, so that its line in the ledger is durable by then. */
#define AHEAD_US 30000u

struct request {
    uint64_t number;
    unsigned attempt;
    struct load_body body;
    const char *home; /* region name or NULL */
    unsigned edge;    /* where this attempt goes; its region is the home if there is no other */
    bool replicated;
    bool accepted;   /* a 202 came */
    bool repeat;     /* this attempt is a repetition on purpose */
    uint64_t due_us; /* not before; with a rate the latency runs from here, whatever held it up */
    uint64_t mark;   /* ready: position in the ledger that must be durable */
    struct load_exchange exchange;
    struct sender *sender;
};

struct request_list {
    struct request **items;
    size_t count, room;
};

struct sender {
    const struct load_send_options *options;
    struct load_maker *maker;
    struct load_rand rand;
    struct load_ledger *ledger;
    struct load_loop *loop;
    struct load_conn **conns; /* edge * connections + i */
    struct load_tally tally;
    struct request_list waiting, ready;
    struct load_buf lines;
    uint64_t lines_before; /* bytes handed to the ledger already */
    uint64_t lines_us;
    uint64_t next_number, open, made;
    uint64_t answered_us; /* when the last answer came */
    bool closing;         /* connections are being freed */
};

static volatile sig_atomic_t stop_wanted;

static void on_signal(int number)
{
    (void)number;
    stop_wanted = 1;
}

static void push(struct request_list *list, struct request *r)
{
    if (list->count == list->room) {
        list->room = list->room ? list->room * 2 : 256;
        list->items = load_realloc(list->items, list->room * sizeof(struct request *));
    }
    list->items[list->count++] = r;
}

static void release(struct request *r)
{
    load_body_done(&r->body);
    load_exchange_reset(&r->exchange);
    free(r);
}

/* A line is in the ledger once it has reached r->mark. */
static void note_line_end(struct sender *s, struct request *r)
{
    load_buf_print(&s->lines, "\n");
    r->mark = s->lines_before + s->lines.length;
}

static bool edge_is_allowed(const struct sender *s, const struct request *r, unsigned edge)
{
    /* Another region would be another home, and the same click would count in both. */
    return r->home ||
           strcmp(s->options->edges[edge].region, s->options->edges[r->edge].region) == 0;
}

static struct load_conn *idle_conn(const struct sender *s, unsigned edge)
{
    struct load_conn *best = NULL;
    for (unsigned i = 0; i < s->options->connections; i++) {
        struct load_conn *c = s->conns[edge * s->options->connections + i];
        if (load_conn_is_up(c) && load_conn_open(c) < s->options->streams &&
            (!best || load_conn_open(c) < load_conn_open(best)))
            best = c;
    }
    return best;
}

static bool edge_is_up(const struct sender *s, unsigned edge)
{
    for (unsigned i = 0; i < s->options->connections; i++)
        if (load_conn_is_up(s->conns[edge * s->options->connections + i]))
            return true;
    return false;
}

/* Another allowed edge that is up, else the one it has. */
static unsigned other_edge(struct sender *s, const struct request *r)
{
    unsigned start = (unsigned)load_rand_below(&s->rand, s->options->edge_count);
    for (unsigned i = 0; i < s->options->edge_count; i++) {
        unsigned edge = (start + i) % s->options->edge_count;
        if (edge != r->edge && edge_is_allowed(s, r, edge) && edge_is_up(s, edge))
            return edge;
    }
    return r->edge;
}

static void try_again(struct sender *s, struct request *r, uint64_t after_us)
{
    r->attempt++;
    r->due_us = load_mono_us() + after_us;
    push(&s->waiting, r);
}

static void maybe_repeat(struct sender *s, struct request *r)
{
    if (r->repeat || !load_rand_permille(&s->rand, s->options->repeat_permille)) {
        release(r);
        return;
    }
    /* To the same edge, to another of its region, or, with a home, through anywhere. */
    if (load_rand_permille(&s->rand, 600))
        r->edge = other_edge(s, r);
    r->repeat = true;
    s->tally.repeated += r->body.count;
    try_again(s, r, load_rand_below(&s->rand, load_rand_permille(&s->rand, 500) ? 50000 : 3000000));
}

/* Reads the verdicts of a 202; returns false when they do not add up. */
static bool read_verdicts(struct sender *s, struct request *r, json_t *answer)
{
    const char *durability = json_string_value(json_object_get(answer, "durability"));
    json_int_t accepted = json_integer_value(json_object_get(answer, "accepted"));
    json_int_t refused = json_integer_value(json_object_get(answer, "refused"));
    json_t *refusals = json_object_get(answer, "refusals");
    if (!durability || accepted + refused != r->body.count ||
        (json_int_t)json_array_size(refusals) != refused)
        return false;
    bool replicated = strcmp(durability, "replicated") == 0;
    load_buf_print(&s->lines, "O %" PRIu64 " %u %c", r->number, r->attempt, replicated ? 'r' : 's');
    size_t i;
    json_t *refusal;
    json_array_foreach(refusals, i, refusal)
    {
        load_buf_print(&s->lines, " %" PRId64,
                       (int64_t)json_integer_value(json_object_get(refusal, "index")));
    }
    note_line_end(s, r);
    if (!r->accepted) {
        s->tally.accepted += (uint64_t)accepted;
        s->tally.refused += (uint64_t)refused;
        *(replicated ? &s->tally.replicated : &s->tally.spooled) += (uint64_t)accepted;
    }
    r->accepted = true;
    return true;
}

static void note_unknown(struct sender *s, struct request *r, const char *why)
{
    s->tally.unknown++;
    load_buf_print(&s->lines, "U %" PRIu64 " %u %s", r->number, r->attempt, why);
    note_line_end(s, r);
    if (!s->closing)
        r->edge = other_edge(s, r);
    try_again(s, r, 20000 + load_rand_below(&s->rand, 100000));
}

static void on_answer(struct sender *s, struct request *r)
{
    struct load_exchange *x = &r->exchange;
    json_t *answer = x->answer.data ? json_loadb(x->answer.data, x->answer.length, 0, NULL) : NULL;
    if (x->status == 202) {
        load_tally_latency(&s->tally, load_wall_ms(),
                           x->ended_us - (s->options->rate > 0 ? r->due_us : x->started_us));
        if (read_verdicts(s, r, answer))
            maybe_repeat(s, r);
        else
            load_die("an answer that cannot be understood: %.300s",
                     x->answer.data ? x->answer.data : "(empty)");
    } else if ((x->status == 503 || x->status == 429) &&
               !strstr(x->answer.data ? x->answer.data : "", "durability_not_reached")) {
        s->tally.postponed++;
        load_buf_print(&s->lines, "F %" PRIu64 " %u %u", r->number, r->attempt, x->status);
        note_line_end(s, r);
        r->edge = other_edge(s, r);
        try_again(s, r, x->retry_after_s ? x->retry_after_s * 1000000u : 500000u);
    } else if (x->status >= 400 && x->status < 500 && x->status != 408) {
        if (s->tally.refused == 0)
            fprintf(stderr, "refused with %u: %.300s\n", x->status,
                    x->answer.data ? x->answer.data : "");
        s->tally.refused += r->body.count;
        load_buf_print(&s->lines, "F %" PRIu64 " %u %u", r->number, r->attempt, x->status);
        note_line_end(s, r);
        release(r);
    } else {
        note_unknown(s, r, "status");
    }
    json_decref(answer);
}

static void on_done(struct load_exchange *x, enum load_outcome outcome)
{
    struct request *r = x->context;
    struct sender *s = r->sender;
    s->open--;
    if (outcome == LOAD_ANSWERED) {
        s->answered_us = x->ended_us;
        on_answer(s, r);
        return;
    }
    s->tally.reset += outcome == LOAD_BROKEN;
    note_unknown(s, r, outcome == LOAD_BROKEN ? "broken" : "timeout");
}

static void make_request(struct sender *s, uint64_t due_us)
{
    const struct load_send_options *o = s->options;
    struct request *r = load_alloc(sizeof *r);
    r->sender = s;
    r->due_us = due_us;
    r->number = s->next_number++;
    r->edge = (unsigned)load_rand_below(&s->rand, o->edge_count);
    if (load_rand_permille(&s->rand, o->home_permille))
        r->home = o->edges[load_rand_below(&s->rand, o->edge_count)].region;
    r->replicated = load_rand_permille(&s->rand, o->replicated_permille);
    uint64_t left = o->clicks ? o->clicks - s->made : UINT32_MAX;
    load_make_body(s->maker, load_wall_ms(), r->home, (unsigned)(left < 100000 ? left : 100000),
                   &r->body);
    s->made += r->body.count;
    s->tally.requests++;
    s->tally.distinct += r->body.count;
    s->tally.json_bytes += r->body.text.length;
    load_buf_print(&s->lines, "I %" PRIu64 " %u", r->number, r->body.count);
    for (unsigned i = 0; i < r->body.count; i++) {
        char ad[LOAD_AD_NAME_BYTES];
        load_ad_name(r->body.clicks[i].ad, ad);
        load_buf_print(&s->lines, " %s@%u", ad, r->body.clicks[i].minute);
    }
    note_line_end(s, r);
    push(&s->ready, r);
}

static void wake_waiting(struct sender *s, uint64_t now, bool all_now)
{
    for (size_t i = 0; i < s->waiting.count;) {
        struct request *r = s->waiting.items[i];
        if (r->due_us > now && !(all_now && r->repeat && r->accepted)) {
            i++;
            continue;
        }
        if (r->due_us > now)
            r->due_us = now;
        s->waiting.items[i] = s->waiting.items[--s->waiting.count];
        load_buf_print(&s->lines, "R %" PRIu64 " %u", r->number, r->attempt);
        note_line_end(s, r);
        push(&s->ready, r);
    }
}

static void send_ready(struct sender *s, uint64_t now)
{
    uint64_t durable = load_ledger_durable(s->ledger);
    size_t kept = 0;
    for (size_t i = 0; i < s->ready.count; i++) {
        struct request *r = s->ready.items[i];
        if (r->mark <= durable && !edge_is_up(s, r->edge))
            r->edge = other_edge(s, r);
        bool may_leave = r->mark <= durable && r->due_us <= now;
        struct load_conn *c = may_leave ? idle_conn(s, r->edge) : NULL;
        if (!c) {
            s->ready.items[kept++] = r;
            continue;
        }
        r->exchange = (struct load_exchange){
            .method = "POST",
            .path = "/v1/clicks",
            .content_type = r->body.content_type,
            .idempotency_key = r->body.idempotency_key[0] ? r->body.idempotency_key : NULL,
            .prefer = r->replicated ? "durability=replicated" : NULL,
            .body = r->body.text.data,
            .body_length = r->body.text.length,
            .done = on_done,
            .context = r,
            .answer = r->exchange.answer};
        s->tally.attempts++;
        s->tally.sent += r->body.count;
        s->open++;
        load_conn_submit(c, &r->exchange);
    }
    s->ready.count = kept;
}

static void write_lines(struct sender *s, uint64_t now)
{
    if (s->lines.length == 0 || now - s->lines_us < LEDGER_PAUSE_US)
        return;
    s->lines_us = now;
    s->lines_before = load_ledger_add(s->ledger, &s->lines);
    s->lines.length = 0;
}

static bool making_is_over(const struct sender *s, uint64_t now)
{
    const struct load_send_options *o = s->options;
    /* Nobody has answered for as long as we would wait at the end: it is the end. */
    bool deserted = (double)(now - s->answered_us) > o->drain_seconds * 1e6;
    return stop_wanted || deserted || (o->clicks && s->made >= o->clicks) ||
           (o->seconds > 0 && (double)(now - s->tally.started_us) >= o->seconds * 1e6);
}

static void make_due(struct sender *s, uint64_t now)
{
    double due =
        s->options->rate > 0 ? s->options->rate * (double)(now - s->tally.started_us) / 1e6 : 1e18;
    size_t pending_max =
        s->options->rate > 0 ? PENDING_MAX : 4 * s->options->edge_count * s->options->connections;
    while ((double)s->made < due && s->ready.count + s->open < pending_max &&
           !making_is_over(s, now))
        make_request(s, s->options->rate > 0
                            ? s->tally.started_us + AHEAD_US +
                                  (uint64_t)((double)s->made * 1e6 / s->options->rate)
                            : now);
}

static void run(struct sender *s)
{
    uint64_t over_us = 0, told_us = s->tally.started_us;
    for (;;) {
        uint64_t now = load_mono_us();
        if (!over_us && making_is_over(s, now))
            over_us = now;
        if (!over_us)
            make_due(s, now);
        wake_waiting(s, now, over_us != 0);
        if (over_us && !s->waiting.count && !s->ready.count && !s->open)
            break;
        if (over_us && (double)(now - over_us) > s->options->drain_seconds * 1e6)
            break;
        write_lines(s, now);
        load_ledger_heard(s->ledger);
        send_ready(s, now);
        load_loop_turn(s->loop, s->ready.count > 0 ? 1 : 4, load_ledger_fd(s->ledger));
        if (!s->options->quiet && now - told_us >= 1000000) {
            told_us += 1000000;
            load_tally_progress(&s->tally, now, s->open + s->ready.count + s->waiting.count);
        }
    }
}

static void open_all(struct sender *s)
{
    const struct load_send_options *o = s->options;
    s->conns = load_alloc(o->edge_count * o->connections * sizeof(struct load_conn *));
    for (unsigned e = 0; e < o->edge_count; e++)
        for (unsigned i = 0; i < o->connections; i++)
            s->conns[e * o->connections + i] = load_conn_new(s->loop, o->edges[e].address);
    /* Sending begins when every edge has answered once, so that the first seconds measure what the
     * others do. */
    uint64_t start = load_mono_us();
    for (unsigned e = 0; e < o->edge_count;) {
        if (edge_is_up(s, e))
            e++;
        else if (load_mono_us() - start > 20000000)
            load_die("no connection to %s: %s", o->edges[e].address,
                     load_conn_why_down(s->conns[e * o->connections]));
        else
            load_loop_turn(s->loop, 50, -1);
    }
}

static uint64_t give_up(struct request_list *list)
{
    uint64_t clicks = 0;
    for (size_t i = 0; i < list->count; i++) {
        clicks += list->items[i]->accepted ? 0 : list->items[i]->body.count;
        release(list->items[i]);
    }
    free(list->items);
    return clicks;
}

int load_send(const struct load_send_options *options)
{
    struct sender s = {.options = options};
    s.rand.state = options->mix.seed ^ 0x5eed;
    s.maker = load_maker_new(&options->mix);
    s.loop = load_loop_new(options->ca_file, options->timeout_ms);
    load_loop_reconnect(s.loop, options->reconnect_ms);
    s.ledger = load_ledger_open(options->ledger_file, options->mix.run);
    /* The ledger counts from its own first line; marks must speak the same positions. */
    s.lines_before = load_ledger_add(s.ledger, &(struct load_buf){0});
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    open_all(&s);
    s.tally.started_us = s.answered_us = load_mono_us();
    run(&s);
    s.tally.ended_us = load_mono_us();
    s.closing = true;
    load_loop_free(s.loop); /* what is open ends as unknown */
    s.tally.unresolved = give_up(&s.waiting) + give_up(&s.ready);
    load_ledger_add(s.ledger, &s.lines);
    load_ledger_close(s.ledger);
    load_tally_report(&s.tally, options->json, options->latencies_file);
    int code = s.tally.refused ? 1 : s.tally.unresolved ? 3 : 0;
    load_tally_done(&s.tally);
    load_maker_free(s.maker);
    load_buf_done(&s.lines);
    free(s.conns);
    return code;
}

void load_edge_parse(const char *text, struct load_edge *out)
{
    const char *equals = strchr(text, '='), *at = strchr(text, '@');
    size_t name = equals ? (size_t)(equals - text) : 0;
    size_t region = at && equals && at > equals ? (size_t)(at - equals - 1) : 0;
    if (name == 0 || region == 0 || name >= sizeof out->name || region >= sizeof out->region ||
        strlen(at + 1) >= sizeof out->address)
        load_die("not an edge: %s (want NAME=REGION@HOST:PORT)", text);
    memset(out, 0, sizeof *out);
    memcpy(out->name, text, name);
    memcpy(out->region, equals + 1, region);
    memcpy(out->address, at + 1, strlen(at + 1));
}
