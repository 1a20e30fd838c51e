/* SPDX-License-Identifier: Apache-2.0
 * load_check: asks the globe for every ad of the ledgers and says what is lost, double or phantom.
 */
#include "load_check.h"

#include "load_compare.h"
#include "load_h2.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARGIN_MINUTES 5  /* looked at before and after: clicks may not turn up there */
#define PHANTOM_ADS    64 /* ads that nobody ever sent */
#define CONNECTIONS    2
#define STREAMS        32
#define ROUND_PAUSE_MS 200

struct ad_check {
    const char *ad;
    const struct load_bound *bounds;
    size_t bound_count;
    struct load_count *counts;
    size_t count_count;
    struct load_verdict verdict;
    char path[512];
    char name[64];    /* storage for ads that are not in the ledger */
    bool asked, fits; /* in this round; the last answer lies within the bounds */
    struct load_exchange exchange;
    struct checker *checker;
};

struct checker {
    const struct load_check_options *options;
    struct load_bounds bounds;
    struct ad_check *ads;
    size_t ad_count;
    struct load_loop *loop;
    struct load_conn *conns[CONNECTIONS];
    uint64_t queries, failures;
    char failure[256];
};

static void judge(struct ad_check *a)
{
    a->verdict = (struct load_verdict){0};
    load_compare(a->bounds, a->bound_count, a->counts, a->count_count, &a->verdict);
    a->fits = a->verdict.rows_wrong == 0;
}

/* Takes the mission's shape: {"ad_id":..,"window":..,"data":[{"timestamp":s,"click_count":n},..]}.
 */
static bool take_answer(struct ad_check *a, json_t *answer)
{
    const char *ad = json_string_value(json_object_get(answer, "ad_id"));
    json_t *data = json_object_get(answer, "data");
    if (!ad || strcmp(ad, a->ad) != 0 || !json_is_array(data))
        return false;
    free(a->counts);
    a->counts = load_alloc(json_array_size(data) * sizeof *a->counts);
    a->count_count = 0;
    size_t i;
    json_t *point;
    uint64_t last = 0;
    json_array_foreach(data, i, point)
    {
        json_t *timestamp = json_object_get(point, "timestamp");
        json_t *count = json_object_get(point, "click_count");
        uint64_t start = (uint64_t)json_integer_value(timestamp);
        if (!json_is_integer(timestamp) || !json_is_integer(count) || start % 60 != 0 ||
            (i > 0 && start != last + 60))
            return false;
        last = start;
        if (json_integer_value(count) > 0)
            a->counts[a->count_count++] = (struct load_count){a->ad, (uint32_t)(start / 60),
                                                              (uint64_t)json_integer_value(count)};
    }
    return true;
}

static void on_done(struct load_exchange *x, enum load_outcome outcome)
{
    struct ad_check *a = x->context;
    struct checker *k = a->checker;
    json_t *answer = NULL;
    if (outcome == LOAD_ANSWERED && x->status == 200)
        answer = json_loadb(x->answer.data ? x->answer.data : "", x->answer.length, 0, NULL);
    if (answer && take_answer(a, answer)) {
        judge(a);
    } else {
        a->fits = false;
        k->failures++;
        snprintf(k->failure, sizeof k->failure, "%s: status %u: %.120s", a->ad, x->status,
                 x->answer.data ? x->answer.data : "(no answer)");
    }
    json_decref(answer);
    load_exchange_reset(x);
}

static struct load_conn *idle_conn(struct checker *k)
{
    for (int i = 0; i < CONNECTIONS; i++)
        if (load_conn_is_up(k->conns[i]) && load_conn_open(k->conns[i]) < STREAMS)
            return k->conns[i];
    return NULL;
}

static bool any_open(struct checker *k)
{
    for (int i = 0; i < CONNECTIONS; i++)
        if (load_conn_open(k->conns[i]) > 0)
            return true;
    return false;
}

/* Asks for every ad that does not fit, or for all; returns how many do not fit afterwards. */
static size_t ask_round(struct checker *k, bool all, uint64_t deadline_us)
{
    k->failures = 0;
    for (size_t i = 0; i < k->ad_count; i++)
        k->ads[i].asked = !all && k->ads[i].fits;
    size_t next = 0;
    while ((next < k->ad_count || any_open(k)) && load_mono_us() < deadline_us + 5000000) {
        for (; next < k->ad_count; next++) {
            struct ad_check *a = &k->ads[next];
            if (a->asked)
                continue;
            struct load_conn *c = idle_conn(k);
            if (!c)
                break;
            a->asked = true;
            a->exchange = (struct load_exchange){
                .method = "GET", .path = a->path, .done = on_done, .context = a};
            k->queries++;
            load_conn_submit(c, &a->exchange);
        }
        load_loop_turn(k->loop, 20, -1);
    }
    size_t wrong = 0;
    for (size_t i = 0; i < k->ad_count; i++)
        wrong += !k->ads[i].fits;
    return wrong;
}

static void build_path(struct ad_check *a, uint32_t first, uint32_t last)
{
    snprintf(a->path, sizeof a->path, "/v1/stats?ad_id=%s&window=1m&start=%" PRIu64 "&end=%" PRIu64,
             a->ad, (uint64_t)(first - MARGIN_MINUTES) * 60,
             (uint64_t)(last + 1 + MARGIN_MINUTES) * 60);
}

static void list_ads(struct checker *k)
{
    const struct load_bounds *b = &k->bounds;
    size_t ads = 0;
    uint32_t first = UINT32_MAX, last = MARGIN_MINUTES;
    for (size_t i = 0; i < b->count; i++) {
        ads += i == 0 || strcmp(b->rows[i].ad, b->rows[i - 1].ad) != 0;
        first = b->rows[i].minute < first ? b->rows[i].minute : first;
        last = b->rows[i].minute > last ? b->rows[i].minute : last;
    }
    if (ads == 0)
        first = last;
    k->ads = load_alloc((ads + PHANTOM_ADS) * sizeof *k->ads);
    for (size_t i = 0; i < b->count;) {
        struct ad_check *a = &k->ads[k->ad_count++];
        a->ad = b->rows[i].ad;
        a->bounds = &b->rows[i];
        while (i < b->count && strcmp(b->rows[i].ad, a->ad) == 0)
            i++;
        a->bound_count = (size_t)(&b->rows[i] - a->bounds);
    }
    for (unsigned i = 0; i < PHANTOM_ADS; i++) {
        struct ad_check *a = &k->ads[k->ad_count++];
        snprintf(a->name, sizeof a->name, "ad-%06u", 900000 + i);
        a->ad = a->name;
    }
    for (size_t i = 0; i < k->ad_count; i++) {
        k->ads[i].checker = k;
        build_path(&k->ads[i], first, last);
    }
}

static void read_counts_file(struct checker *k)
{
    struct load_buf file = load_read_file(k->options->counts_file);
    json_t *all = json_loadb(file.data ? file.data : "", file.length, 0, NULL);
    if (!json_is_object(all))
        load_die("%s is not a JSON object", k->options->counts_file);
    for (size_t i = 0; i < k->ad_count; i++) {
        struct ad_check *a = &k->ads[i];
        json_t *minutes = json_object_get(all, a->ad);
        a->counts = load_alloc(json_object_size(minutes) * sizeof *a->counts);
        const char *minute;
        json_t *count;
        json_object_foreach(minutes, minute, count)
        {
            /* Kept in order by insertion: objects of a few minutes. */
            struct load_count row = {a->ad, (uint32_t)strtoul(minute, NULL, 10),
                                     (uint64_t)json_integer_value(count)};
            size_t at = a->count_count++;
            for (; at > 0 && a->counts[at - 1].minute > row.minute; at--)
                a->counts[at] = a->counts[at - 1];
            a->counts[at] = row;
        }
        judge(a);
    }
    json_decref(all);
    load_buf_done(&file);
}

/* Returns false when the globe did not answer at all. */
static bool ask_globe(struct checker *k)
{
    const struct load_check_options *o = k->options;
    k->loop = load_loop_new(o->ca_file, 10000);
    for (int i = 0; i < CONNECTIONS; i++)
        k->conns[i] = load_conn_new(k->loop, o->global);
    uint64_t deadline = load_mono_us() + (uint64_t)(o->wait_seconds * 1e6);
    size_t wrong;
    bool all = true;
    for (;;) {
        wrong = ask_round(k, all, deadline);
        all = false;
        if (wrong == 0 || load_mono_us() >= deadline)
            break;
        if (!o->quiet)
            fprintf(stderr, "check: %zu of %zu ads not there yet\n", wrong, k->ad_count);
        uint64_t until = load_mono_us() + ROUND_PAUSE_MS * 1000;
        while (load_mono_us() < until)
            load_loop_turn(k->loop, ROUND_PAUSE_MS, -1);
    }
    if (wrong == 0) {
        uint64_t until = load_mono_us() + (uint64_t)(o->settle_seconds * 1e6);
        while (load_mono_us() < until)
            load_loop_turn(k->loop, 50, -1);
        ask_round(k, true, load_mono_us() + 10000000);
    }
    load_loop_free(k->loop);
    return k->failures == 0;
}

static void tell_wrong(const struct checker *k)
{
    unsigned told = 0;
    for (size_t i = 0; i < k->ad_count && told < 20; i++) {
        const struct ad_check *a = &k->ads[i];
        if (a->fits)
            continue;
        for (size_t r = 0; r < a->bound_count; r++) {
            uint64_t count = 0;
            for (size_t c = 0; c < a->count_count; c++)
                if (a->counts[c].minute == a->bounds[r].minute)
                    count = a->counts[c].count;
            if ((count < a->bounds[r].lower || count > a->bounds[r].upper) && told++ < 20)
                fprintf(stderr,
                        "  %s minute %u: counted %" PRIu64 ", must be %" PRIu64 "..%" PRIu64 "\n",
                        a->ad, a->bounds[r].minute, count, a->bounds[r].lower, a->bounds[r].upper);
        }
    }
}

static void report(const struct checker *k, const struct load_verdict *v)
{
    const struct load_bounds *b = &k->bounds;
    struct {
        const char *name;
        uint64_t value;
    } rows[] = {{"requests", b->requests},
                {"attempts", b->attempts},
                {"distinct", b->distinct},
                {"accepted", b->accepted},
                {"unknown", b->unknown},
                {"refused", b->refused},
                {"repeats", b->repeats_answered},
                {"ads", k->ad_count - PHANTOM_ADS},
                {"rows", b->count},
                {"counted", v->counted},
                {"lost", v->lost},
                {"double", v->doubled},
                {"phantom", v->phantom},
                {"rows_wrong", v->rows_wrong},
                {"queries", k->queries},
                {"failed_queries", k->failures}};
    size_t count = sizeof rows / sizeof rows[0];
    if (k->options->json) {
        for (size_t i = 0; i < count; i++)
            printf("%s\"%s\": %" PRIu64, i ? ", " : "{", rows[i].name, rows[i].value);
        printf("}\n");
    } else {
        for (size_t i = 0; i < count; i++)
            printf("%-16s %12" PRIu64 "\n", rows[i].name, rows[i].value);
    }
    if (k->failures)
        fprintf(stderr, "check: %s\n", k->failure);
}

int load_check(const struct load_check_options *options)
{
    struct checker k = {.options = options};
    load_bounds_read(&k.bounds, options->ledgers, options->ledger_count);
    list_ads(&k);
    bool answered = true;
    if (options->counts_file)
        read_counts_file(&k);
    else
        answered = ask_globe(&k);
    struct load_verdict sum = {0};
    for (size_t i = 0; i < k.ad_count; i++) {
        const struct load_verdict *v = &k.ads[i].verdict;
        sum.lower += v->lower;
        sum.upper += v->upper;
        sum.counted += v->counted;
        sum.lost += v->lost;
        sum.doubled += v->doubled;
        sum.phantom += v->phantom;
        sum.rows_wrong += v->rows_wrong;
    }
    tell_wrong(&k);
    report(&k, &sum);
    for (size_t i = 0; i < k.ad_count; i++)
        free(k.ads[i].counts);
    free(k.ads);
    load_bounds_done(&k.bounds);
    if (!answered)
        return 2;
    return sum.lost || sum.doubled || sum.phantom ? 1 : 0;
}
