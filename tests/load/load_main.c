/* SPDX-License-Identifier: Apache-2.0
 * tributary-load: sends clicks and keeps a ledger of them; checks the globe's counts against
 * ledgers. Shares no code with the product. */
#include "load_blast.h"
#include "load_check.h"
#include "load_compare.h"
#include "load_probe.h"

#include <getopt.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "tributary-load: sends clicks, keeps a ledger of them, and holds the counts against it.\n"
    "\n"
    "  tributary-load send  --edge NAME=REGION@HOST:PORT [--edge ...] --ca FILE --ledger FILE\n"
    "                       [--seconds N] [--clicks N] [--rate N] [--connections 4] [--streams "
    "32]\n"
    "                       [--ads 2000] [--zipf 1.05] [--single-permille 100] [--batch 50-500]\n"
    "                       [--agent-bytes 0]\n"
    "                       [--retry-permille 50] [--home-permille 200] [--late-permille 50]\n"
    "                       [--aged-permille 100]\n"
    "                       [--replicated-permille 50] [--timeout-ms 10000] [--reconnect-ms 500]\n"
    "                       [--drain-seconds 30]\n"
    "                       [--seed N] [--latencies FILE] [--json] [--quiet]\n"
    "  tributary-load check --ledger FILE [--ledger ...] (--global HOST:PORT --ca FILE | --counts "
    "FILE)\n"
    "                       [--wait-seconds 30] [--settle-seconds 2] [--json] [--quiet]\n"
    "  tributary-load probe --edge ... --global HOST:PORT --ca FILE [--ledger FILE] [--samples "
    "FILE]\n"
    "                       [--count 100] [--interval-ms 100] [--poll-ms 25] [--wait-seconds 30] "
    "[--json]\n"
    "  tributary-load blast --edge ... --ca FILE --clicks N [--batch 1-1] [--rate REQUESTS]\n"
    "                       [--connections 4] [--streams 32] [--cipher NAME]\n"
    "  tributary-load selftest\n"
    "\n"
    "send writes each request to the ledger, durably, before a byte of it leaves; what is unknown "
    "is sent\n"
    "again until it is answered. check exits with 0 only when no click is lost, double or from "
    "nowhere.\n";

struct line {
    struct load_send_options send;
    struct load_check_options check;
    const char *global, *samples, *ledger, *cipher;
    unsigned count;
    uint32_t interval_ms, poll_ms;
    bool json, quiet;
};

enum kind { FLAG, TEXT, REAL, WHOLE, LARGE, EDGE, LEDGER, BATCH, HELP };

/* One row an option: where its value goes, and what it may be. */
static const struct line_option {
    const char *name;
    enum kind kind;
    size_t offset;
    double low, high;
} rows[] = {
#define AT(member) offsetof(struct line, member)
    {"edge", EDGE, 0, 0, 0},
    {"ledger", LEDGER, 0, 0, 0},
    {"batch", BATCH, 0, 0, 0},
    {"help", HELP, 0, 0, 0},
    {"ca", TEXT, AT(send.ca_file), 0, 0},
    {"latencies", TEXT, AT(send.latencies_file), 0, 0},
    {"global", TEXT, AT(global), 0, 0},
    {"counts", TEXT, AT(check.counts_file), 0, 0},
    {"samples", TEXT, AT(samples), 0, 0},
    {"cipher", TEXT, AT(cipher), 0, 0},
    {"json", FLAG, AT(json), 0, 0},
    {"quiet", FLAG, AT(quiet), 0, 0},
    {"seconds", REAL, AT(send.seconds), 0, 1e6},
    {"rate", REAL, AT(send.rate), 0, 1e9},
    {"zipf", REAL, AT(send.mix.zipf), 0, 5},
    {"drain-seconds", REAL, AT(send.drain_seconds), 0, 1e6},
    {"wait-seconds", REAL, AT(check.wait_seconds), 0, 1e6},
    {"settle-seconds", REAL, AT(check.settle_seconds), 0, 1e6},
    {"clicks", LARGE, AT(send.clicks), 1, 1e12},
    {"seed", LARGE, AT(send.mix.seed), 0, 1e15},
    {"connections", WHOLE, AT(send.connections), 1, 1000},
    {"streams", WHOLE, AT(send.streams), 1, 100},
    {"agent-bytes", WHOLE, AT(send.mix.agent_bytes), 0, 500},
    {"ads", WHOLE, AT(send.mix.ads), 1, 800000},
    {"single-permille", WHOLE, AT(send.mix.single_permille), 0, 1000},
    {"late-permille", WHOLE, AT(send.mix.late_permille), 0, 900},
    {"aged-permille", WHOLE, AT(send.mix.aged_permille), 0, 100},
    {"retry-permille", WHOLE, AT(send.repeat_permille), 0, 1000},
    {"home-permille", WHOLE, AT(send.home_permille), 0, 1000},
    {"replicated-permille", WHOLE, AT(send.replicated_permille), 0, 1000},
    {"reconnect-ms", WHOLE, AT(send.reconnect_ms), 1, 60000},
    {"timeout-ms", WHOLE, AT(send.timeout_ms), 1, 600000},
    {"count", WHOLE, AT(count), 1, 1000000},
    {"interval-ms", WHOLE, AT(interval_ms), 1, 600000},
    {"poll-ms", WHOLE, AT(poll_ms), 1, 600000},
#undef AT
};
#define ROWS (sizeof rows / sizeof rows[0])

static double number(const char *text, double low, double high)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || value < low || value > high)
        load_die("not a number from %.0f to %.0f: %s", low, high, text);
    return value;
}

static void take_batch(struct load_mix *mix, const char *text)
{
    if (sscanf(text, "%u-%u", &mix->batch_min, &mix->batch_max) != 2 || mix->batch_min < 1 ||
        mix->batch_max < mix->batch_min || mix->batch_max > 10000)
        load_die("not a range of batch sizes: %s (want e.g. 50-500)", text);
}

static void take_edge(struct load_send_options *o, const char *text)
{
    if (o->edge_count == LOAD_EDGES_MAX)
        load_die("at most %d edges", LOAD_EDGES_MAX);
    load_edge_parse(text, &o->edges[o->edge_count++]);
}

static void take_ledger(struct line *line, const char *text)
{
    if (line->check.ledger_count == 64)
        load_die("at most 64 ledgers");
    line->ledger = line->check.ledgers[line->check.ledger_count++] = text;
}

static void take(struct line *line, const struct line_option *row, const char *value)
{
    void *at = (char *)line + row->offset;
    switch (row->kind) {
    case FLAG:
        *(bool *)at = true;
        break;
    case TEXT:
        *(const char **)at = value;
        break;
    case REAL:
        *(double *)at = number(value, row->low, row->high);
        break;
    case WHOLE:
        *(uint32_t *)at = (uint32_t)number(value, row->low, row->high);
        break;
    case LARGE:
        *(uint64_t *)at = (uint64_t)number(value, row->low, row->high);
        break;
    case EDGE:
        take_edge(&line->send, value);
        break;
    case LEDGER:
        take_ledger(line, value);
        break;
    case BATCH:
        take_batch(&line->send.mix, value);
        break;
    case HELP:
        fputs(help, stdout);
        exit(0);
    }
}

static void read_line(struct line *line, int argc, char **argv)
{
    struct option options[ROWS + 1] = {0};
    for (size_t i = 0; i < ROWS; i++)
        options[i] = (struct option){.name = rows[i].name,
                                     .has_arg = rows[i].kind != FLAG && rows[i].kind != HELP,
                                     .val = (int)i + 1};
    for (int found; (found = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (found < 1 || (size_t)found > ROWS) {
            fputs(help, stderr);
            exit(64);
        }
        take(line, &rows[found - 1], optarg);
    }
    line->send.json = line->check.json = line->json;
    line->send.quiet = line->check.quiet = line->quiet;
}

static int run_send(struct line *line)
{
    const struct load_send_options *s = &line->send;
    if (s->edge_count == 0 || !s->ca_file || !line->ledger || (s->seconds <= 0 && !s->clicks))
        load_die("send wants --edge, --ca, --ledger, and --seconds or --clicks");
    line->send.ledger_file = line->ledger;
    return load_send(s);
}

static int run_check(struct line *line)
{
    if (!line->ledger || (!line->check.counts_file && (!line->global || !line->send.ca_file)))
        load_die("check wants --ledger, and --global with --ca, or --counts");
    line->check.global = line->global;
    line->check.ca_file = line->send.ca_file;
    return load_check(&line->check);
}

static int run_probe(const struct line *line)
{
    const struct load_send_options *s = &line->send;
    if (s->edge_count == 0 || !s->ca_file || !line->global)
        load_die("probe wants --edge, --global and --ca");
    struct load_probe_options p = {.edge_count = s->edge_count,
                                   .global = line->global,
                                   .ca_file = s->ca_file,
                                   .ledger_file = line->ledger,
                                   .samples_file = line->samples,
                                   .count = line->count,
                                   .interval_ms = line->interval_ms,
                                   .poll_ms = line->poll_ms,
                                   .wait_seconds = line->check.wait_seconds,
                                   .run = s->mix.run,
                                   .json = s->json};
    memcpy(p.edges, s->edges, sizeof p.edges);
    return load_probe(&p);
}

/* All of its clicks are in batches of the given size, or single where that is one; none is late. */
static int run_blast(const struct line *line)
{
    const struct load_send_options *s = &line->send;
    if (s->edge_count != 1 || !s->ca_file || !s->clicks)
        load_die("blast wants one --edge, --ca and --clicks");
    struct load_blast_options b = {.address = s->edges[0].address,
                                   .ca_file = s->ca_file,
                                   .cipher = line->cipher,
                                   .requests = s->clicks / s->mix.batch_max,
                                   .rate = s->rate,
                                   .connections = s->connections,
                                   .streams = s->streams,
                                   .timeout_ms = s->timeout_ms,
                                   .mix = s->mix};
    b.mix.single_permille = s->mix.batch_max == 1 ? 1000 : 0;
    b.mix.batch_min = s->mix.batch_max;
    b.mix.late_permille = 0;
    b.mix.lines_only = true;
    return load_blast(&b);
}

int main(int argc, char **argv)
{
    struct line line = {.send = {.connections = 4,
                                 .streams = 32,
                                 .repeat_permille = 50,
                                 .home_permille = 200,
                                 .replicated_permille = 50,
                                 .timeout_ms = 10000,
                                 .reconnect_ms = 500,
                                 .drain_seconds = 30,
                                 .mix = {.ads = 2000,
                                         .zipf = 1.05,
                                         .single_permille = 100,
                                         .batch_min = 50,
                                         .batch_max = 500,
                                         .late_permille = 50,
                                         .aged_permille = 100}},
                        .check = {.wait_seconds = 30, .settle_seconds = 2},
                        .count = 100,
                        .interval_ms = 100,
                        .poll_ms = 25};
    line.send.mix.run = load_rand_system();
    line.send.mix.seed = load_rand_system() % 1000000;
    signal(SIGPIPE, SIG_IGN);
    const char *command = argc > 1 ? argv[1] : "";
    if (argc < 2 || strcmp(command, "--help") == 0 || strcmp(command, "help") == 0) {
        fputs(help, argc < 2 ? stderr : stdout);
        return argc < 2 ? 64 : 0;
    }
    read_line(&line, argc - 1, argv + 1);
    if (strcmp(command, "send") == 0)
        return run_send(&line);
    if (strcmp(command, "check") == 0)
        return run_check(&line);
    if (strcmp(command, "probe") == 0)
        return run_probe(&line);
    if (strcmp(command, "blast") == 0)
        return run_blast(&line);
    if (strcmp(command, "selftest") == 0)
        return load_compare_selftest() ? 1 : (puts("selftest: planted faults are found"), 0);
    fputs(help, stderr);
    return 64;
}
