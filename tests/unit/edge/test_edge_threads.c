/* SPDX-License-Identifier: Apache-2.0
 * Claims about edge_threads: whole requests through TLS, committer, spool and forwarder. */
#include "tests/unit/edge/running_edge.h"
#include "tests/unit/run/h2_probe.h"

#include <criterion/criterion.h>
#include <sys/wait.h>

static const char *const json_type[] = {"content-type", "application/json", NULL};
static const char *const durable[] = {"content-type", "application/json", "prefer",
                                      "durability=replicated", NULL};

static char click_text[512];

static struct span click(unsigned ad)
{
    snprintf(click_text, sizeof(click_text),
             "{\"ad_id\":\"ad-%u\",\"user_id\":\"u\",\"timestamp\":%llu}", ad,
             (unsigned long long)time(NULL));
    return span_of_text(click_text);
}

static void expect_answer(struct h2_probe_answer *a, unsigned status, const char *part)
{
    cr_expect_eq(a->status, status, "got %u: %s", a->status, h2_probe_text(a));
    cr_expect(strstr(h2_probe_text(a), part) != NULL, "got %s", h2_probe_text(a));
}

/* The value of a metric line, by its whole name and labels. */
static uint64_t metric(struct running_edge *e, const char *name)
{
    struct buf out = {0};
    char line[160];
    edge_threads_metrics(e->threads, &out);
    buf_put_u8(&out, 0);
    snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr((const char *)out.data, line);
    cr_assert(at != NULL, "no metric %s", name);
    uint64_t value = strtoull(at + strlen(line), NULL, 10);
    buf_done(&out);
    return value;
}

static bool metric_comes_to(struct running_edge *e, const char *name, uint64_t value)
{
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    while (metric(e, name) < value)
        if (h2_probe_now() > deadline)
            return false;
        else
            poll(NULL, 0, 2);
    return true;
}

static void over(struct running_edge *e)
{
    running_edge_hold(e, false);
    (void)edge_threads_stop(e->threads, 2000, 0);
    running_edge_free(e);
}

Test(edge_threads, a_click_that_the_quorum_has_is_answered_replicated)
{
    struct running_edge *e = running_edge_new(1, 5000, 5000);
    struct h2_probe *p = h2_probe_open(e->port, NULL);

    struct h2_probe_answer *a = h2_probe_one(p, "POST", "/v1/clicks?x=1", json_type, click(1));

    expect_answer(a, 202, "\"durability\":\"replicated\"}");
    cr_expect_eq(metric(e, "tributary_edge_answers_replicated_total"), 1);
    h2_probe_close(p);
    over(e);
}

Test(edge_threads, a_click_that_the_quorum_has_not_is_answered_spooled_after_the_budget)
{
    struct running_edge *e = running_edge_new(1, 100, 5000);
    struct h2_probe *p = h2_probe_open(e->port, NULL);
    running_edge_hold(e, true);
    uint64_t begun = h2_probe_now();

    struct h2_probe_answer *a = h2_probe_one(p, "POST", "/v1/clicks", json_type, click(1));

    expect_answer(a, 202, "\"durability\":\"spooled\"}");
    cr_expect_geq(h2_probe_now() - begun, 99);
    cr_expect_lt(h2_probe_now() - begun, 3000);
    h2_probe_close(p);
    over(e);
}

Test(edge_threads, a_budget_of_zero_answers_on_the_spool_alone)
{
    struct running_edge *e = running_edge_new(1, 0, 5000);
    struct h2_probe *p = h2_probe_open(e->port, NULL);
    running_edge_hold(e, true);

    expect_answer(h2_probe_one(p, "POST", "/v1/clicks", json_type, click(1)), 202, "spooled");

    h2_probe_close(p);
    over(e);
}

Test(edge_threads, who_asks_for_the_quorum_gets_it_or_503)
{
    struct running_edge *e = running_edge_new(1, 0, 200);
    struct h2_probe *p = h2_probe_open(e->port, NULL);

    running_edge_hold(e, true);
    struct h2_probe_answer *a = h2_probe_one(p, "POST", "/v1/clicks", durable, click(1));
    expect_answer(a, 503, "urn:tributary:problem:durability_not_reached");
    cr_expect(h2_probe_has(a, "retry-after: 1\n"));

    running_edge_hold(e, false);
    expect_answer(h2_probe_one(p, "POST", "/v1/clicks", durable, click(2)), 202, "replicated");

    cr_expect_eq(metric(e, "tributary_edge_durability_not_reached_total"), 1);
    h2_probe_close(p);
    over(e);
}

Test(edge_threads, an_acknowledgement_wakes_who_waits_before_the_deadline)
{
    struct running_edge *e = running_edge_new(2, 8000, 8000);
    struct h2_probe *p = h2_probe_open(e->port, NULL);
    running_edge_hold(e, true);
    for (unsigned i = 0; i < 20; i++)
        h2_probe_ask(p, "POST", "/v1/clicks", json_type, click(1), false);
    h2_probe_send(p);
    cr_assert(metric_comes_to(e, "tributary_edge_numbered_total", 20));
    cr_expect_eq(metric(e, "tributary_edge_answers_accepted_total"), 0);
    uint64_t begun = h2_probe_now();

    running_edge_hold(e, false);

    cr_assert(h2_probe_until(p, h2_probe_all_closed, NULL));
    cr_expect_lt(h2_probe_now() - begun, 4000);
    cr_expect_eq(metric(e, "tributary_edge_answers_replicated_total"), 20);
    h2_probe_close(p);
    over(e);
}

Test(edge_threads, a_batch_is_replicated_only_when_its_last_click_is)
{
    struct running_edge *e = running_edge_new(1, 1000, 5000);
    struct h2_probe *p = h2_probe_open(e->port, NULL);
    struct buf body = {0};
    for (unsigned i = 0; i < 9000; i++) { /* one ad: one line, more than two segments */
        struct span text = click(1);
        buf_put(&body, text.data, text.length);
        buf_put_u8(&body, '\n');
    }
    static const char *const lines[] = {"content-type", "application/x-ndjson", NULL};
    running_edge_hold(e, true);
    e->bus[0].allowed = 1;

    struct h2_probe_answer *a = h2_probe_one(p, "POST", "/v1/clicks", lines, buf_span(&body));

    cr_expect_eq(e->bus[0].allowed, 0, "one segment was acknowledged");
    expect_answer(a, 202,
                  "{\"accepted\":9000,\"refused\":0,\"home\":\"us\",\"durability\":\"spooled\"}");
    buf_done(&body);
    h2_probe_close(p);
    over(e);
}

#define CONNECTIONS 6
#define EACH        300

Test(edge_threads, clicks_of_many_connections_gather_in_few_commits_and_none_is_missing)
{
    struct running_edge *e = running_edge_new(2, 1000, 5000);
    struct h2_probe *probes[CONNECTIONS];
    static char bodies[CONNECTIONS][EACH][128];
    for (unsigned c = 0; c < CONNECTIONS; c++) {
        probes[c] = h2_probe_open(e->port, NULL);
        for (unsigned i = 0; i < EACH; i++) {
            struct span text = click(c * EACH + i);
            memcpy(bodies[c][i], text.data, text.length);
            h2_probe_ask(probes[c], "POST", "/v1/clicks", json_type,
                         span_of(bodies[c][i], text.length), false);
        }
    }

    for (unsigned c = 0; c < CONNECTIONS; c++)
        h2_probe_send(probes[c]);
    for (unsigned c = 0; c < CONNECTIONS; c++) {
        cr_assert(h2_probe_until(probes[c], h2_probe_all_closed, NULL));
        for (unsigned i = 0; i < EACH; i++)
            cr_expect_eq(probes[c]->answers[i].status, 202);
        h2_probe_close(probes[c]);
    }

    uint64_t by_line = 0;
    for (unsigned line = 0; line < 4; line++) {
        char name[128];
        snprintf(name, sizeof(name),
                 "tributary_edge_line_accepted_total{home=\"us\",partition=\"%u\"}", line);
        by_line += metric(e, name);
    }
    cr_expect_eq(by_line, CONNECTIONS * EACH);
    cr_expect_eq(metric(e, "tributary_edge_numbered_total"), CONNECTIONS * EACH);
    cr_expect_eq(metric(e, "tributary_edge_clicks_accepted_total"), CONNECTIONS * EACH);
    cr_expect_lt(metric(e, "tributary_edge_commits_total"), CONNECTIONS * EACH / 2);
    over(e);
}

Test(edge_threads, a_full_spool_is_503_and_nothing_is_numbered)
{
    struct running_edge *e = running_edge_new(1, 1000, 5000);
    struct h2_probe *p = h2_probe_open(e->port, NULL);

    e->begin_err = ERR_KV_FULL;
    struct h2_probe_answer *a = h2_probe_one(p, "POST", "/v1/clicks", json_type, click(1));
    expect_answer(a, 503, "urn:tributary:problem:spool_full");
    cr_expect(h2_probe_has(a, "retry-after: 1\n"));
    cr_expect_eq(metric(e, "tributary_edge_numbered_total"), 0);

    e->begin_err = ERR_OK;
    expect_answer(h2_probe_one(p, "POST", "/v1/clicks", json_type, click(1)), 202, "replicated");
    cr_expect_eq(metric(e, "tributary_edge_numbered_total"), 1);
    h2_probe_close(p);
    over(e);
}

static bool ready_is(struct running_edge *e, bool wanted)
{
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    for (;;) {
        struct buf reason = {0};
        bool ready = edge_threads_ready(e->threads, &reason);
        buf_done(&reason);
        if (ready == wanted || h2_probe_now() > deadline)
            return ready == wanted;
        poll(NULL, 0, 5);
    }
}

Test(edge_threads, a_spool_over_95_percent_closes_the_gate_until_it_is_emptier)
{
    struct running_edge *e = running_edge_new(1, 1000, 5000);
    struct h2_probe *p = h2_probe_open(e->port, NULL);

    e->used_bytes = 960;
    cr_assert(ready_is(e, false));
    expect_answer(h2_probe_one(p, "POST", "/v1/clicks", json_type, click(1)), 503, "spool_full");
    expect_answer(h2_probe_one(p, "GET", "/v1/home", NULL, (struct span){NULL, 0}), 200,
                  "{\"home\":\"us\"}");

    cr_expect_eq(metric(e, "tributary_edge_spool_full_total"), 1);
    cr_expect_eq(metric(e, "tributary_edge_numbered_total"), 0);
    e->used_bytes = 940;
    cr_assert(ready_is(e, true));
    expect_answer(h2_probe_one(p, "POST", "/v1/clicks", json_type, click(1)), 202, "replicated");
    h2_probe_close(p);
    over(e);
}

Test(edge_threads, a_request_whose_client_left_is_kept_and_hurts_nobody)
{
    struct running_edge *e = running_edge_new(1, 8000, 8000);
    struct h2_probe *p = h2_probe_open(e->port, NULL), *leaver = h2_probe_open(e->port, NULL);
    running_edge_hold(e, true);
    h2_probe_ask(leaver, "POST", "/v1/clicks", json_type, click(1), false);
    h2_probe_send(leaver);
    cr_assert(metric_comes_to(e, "tributary_edge_numbered_total", 1));

    h2_probe_close(leaver);
    cr_assert(metric_comes_to(e, "tributary_edge_h2_connections_total", 2));
    running_edge_hold(e, false);
    cr_assert(metric_comes_to(e, "tributary_edge_answers_accepted_total", 1));

    expect_answer(h2_probe_one(p, "POST", "/v1/clicks", json_type, click(2)), 202, "replicated");
    cr_expect_eq(metric(e, "tributary_edge_numbered_total"), 2);
    h2_probe_close(p);
    over(e);
}

Test(edge_threads, stopping_answers_what_is_open_and_finishes_the_lines)
{
    struct running_edge *e = running_edge_new(2, 300, 5000);
    struct h2_probe *p = h2_probe_open(e->port, NULL);
    running_edge_hold(e, true);
    int32_t id = h2_probe_ask(p, "POST", "/v1/clicks", json_type, click(1), false);
    h2_probe_send(p);
    cr_assert(metric_comes_to(e, "tributary_edge_numbered_total", 1));

    cr_expect(!edge_threads_stop(e->threads, 5000, 100),
              "readers have said nothing: the spool keeps all");

    cr_expect(h2_probe_until(p, h2_probe_stream_closed, &id));
    expect_answer(h2_probe_of(p, id), 202, "spooled");
    cr_expect(h2_probe_until(p, h2_probe_is_dead, NULL));
    struct edge_view view;
    edge_pipeline_view(e->pipeline, &view);
    cr_expect_eq(view.in_flight, 1 + 8, "one click, and FIN on each line");
    h2_probe_close(p);
    running_edge_free(e);
}

struct told {
    uint16_t port;
    struct made_certs certs;
    char spool_path[96];
};

/* A commit whose outcome is unknown: the process ends with 70, and nobody was told anything. */
Test(edge_threads, after_a_commit_of_unknown_outcome_nobody_is_answered)
{
    int ends[2], status = 0;
    struct told told = {0};
    signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        struct running_edge *e = running_edge_new(1, 1000, 5000);
        e->begin_err = ERR_KV_IO;
        told = (struct told){.port = e->port, .certs = e->certs};
        memcpy(told.spool_path, e->spool_path, sizeof(told.spool_path));
        if (write(ends[1], &told, sizeof(told)) != sizeof(told))
            _exit(1);
        poll(NULL, 0, 2 * H2_PROBE_WAIT_MS); /* ended by unfit long before */
        _exit(2);
    }
    cr_assert_eq(read(ends[0], &told, sizeof(told)), (ssize_t)sizeof(told));
    struct h2_probe *p = h2_probe_open(told.port, NULL);

    struct h2_probe_answer *a = h2_probe_one(p, "POST", "/v1/clicks", json_type, click(1));

    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 70, "status %d", status);
    cr_expect_eq(a->status, 0);
    cr_expect(p->dead);
    h2_probe_close(p);
    running_edge_remove(&told.certs, told.spool_path);
    close(ends[0]);
    close(ends[1]);
}

Test(edge_threads, latencies_count_each_answer_by_what_it_promised_and_readers_show_what_they_hold)
{
    struct running_edge *e = running_edge_new(1, 300, 5000);
    struct h2_probe *p = h2_probe_open(e->port, NULL);

    expect_answer(h2_probe_one(p, "POST", "/v1/clicks", durable, click(1)), 202, "replicated");
    running_edge_hold(e, true);
    expect_answer(h2_probe_one(p, "POST", "/v1/clicks", json_type, click(2)), 202, "spooled");
    expect_answer(h2_probe_one(p, "POST", "/v1/clicks", json_type, span_of_text("{")), 400, "");

    cr_expect_eq(metric(e, "tributary_edge_answer_seconds_count{durability=\"replicated\"}"), 1);
    cr_expect_eq(metric(e, "tributary_edge_answer_seconds_count{durability=\"spooled\"}"), 1);
    cr_expect_eq(metric(e, "tributary_edge_answer_seconds_count{durability=\"none\"}"), 1);
    cr_expect_eq(metric(e, "tributary_edge_commit_seconds_count"),
                 metric(e, "tributary_edge_commits_total"));
    uint64_t held = 0;
    for (unsigned i = 0; i < 4; i++) {
        char name[128];
        snprintf(name, sizeof(name),
                 "tributary_edge_reader_held{home=\"us\",partition=\"%u\",reader=\"r1\"}", i);
        held += metric(e, name);
    }
    cr_expect_eq(held, 2, "no reader has said anything");
    cr_expect_eq(metric(e, "tributary_edge_tls_1_3_total"), 1);
    h2_probe_close(p);
    (void)edge_threads_stop(e->threads, 2000, 100);
    running_edge_free(e);
}
