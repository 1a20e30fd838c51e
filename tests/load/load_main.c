/* SPDX-License-Identifier: Apache-2.0
 * tributary-load: sends clicks and keeps a ledger of them; checks the globe's counts against
 * ledgers. Shares no code with the product. */
#include "load_check.h"
#include "load_compare.h"
#include "load_probe.h"

#include <getopt.h>
#include <signal.h>
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
    "                       [--retry-permille 50] [--home-permille 200] [--late-permille 50]\n"
    "                       [--replicated-permille 50] [--timeout-ms 10000] [--drain-seconds 30]\n"
    "                       [--seed N] [--latencies FILE] [--json] [--quiet]\n"
    "  tributary-load check --ledger FILE [--ledger ...] (--global HOST:PORT --ca FILE | --counts "
    "FILE)\n"
    "                       [--wait-seconds 30] [--settle-seconds 2] [--json] [--quiet]\n"
    "  tributary-load probe --edge ... --global HOST:PORT --ca FILE [--ledger FILE] [--samples "
    "FILE]\n"
    "                       [--count 100] [--interval-ms 100] [--poll-ms 25] [--wait-seconds 30] "
    "[--json]\n"
    "  tributary-load selftest\n"
    "\n"
    "send writes each request to the ledger, durably, before a byte of it leaves; what is unknown "
    "is sent\n"
    "again until it is answered. check exits with 0 only when no click is lost, double or from "
    "nowhere.\n";

struct line {
    struct load_send_options send;
    struct load_check_options check;
    const char *global, *samples, *ledger;
    unsigned count;
    uint32_t interval_ms, poll_ms;
};

enum line_option {
    O_EDGE = 256,
    O_CA,
    O_LEDGER,
    O_SECONDS,
    O_CLICKS,
    O_RATE,
    O_CONNECTIONS,
    O_STREAMS,
    O_ADS,
    O_ZIPF,
    O_SINGLE,
    O_BATCH,
    O_RETRY,
    O_HOME,
    O_LATE,
    O_REPLICATED,
    O_TIMEOUT,
    O_DRAIN,
    O_SEED,
    O_LATENCIES,
    O_JSON,
    O_QUIET,
    O_GLOBAL,
    O_COUNTS,
    O_WAIT,
    O_SETTLE,
    O_SAMPLES,
    O_COUNT,
    O_INTERVAL,
    O_POLL,
    O_HELP
};

static const struct option options[] = {{"edge", 1, 0, O_EDGE},
                                        {"ca", 1, 0, O_CA},
                                        {"ledger", 1, 0, O_LEDGER},
                                        {"seconds", 1, 0, O_SECONDS},
                                        {"clicks", 1, 0, O_CLICKS},
                                        {"rate", 1, 0, O_RATE},
                                        {"connections", 1, 0, O_CONNECTIONS},
                                        {"streams", 1, 0, O_STREAMS},
                                        {"ads", 1, 0, O_ADS},
                                        {"zipf", 1, 0, O_ZIPF},
                                        {"single-permille", 1, 0, O_SINGLE},
                                        {"batch", 1, 0, O_BATCH},
                                        {"retry-permille", 1, 0, O_RETRY},
                                        {"home-permille", 1, 0, O_HOME},
                                        {"late-permille", 1, 0, O_LATE},
                                        {"replicated-permille", 1, 0, O_REPLICATED},
                                        {"timeout-ms", 1, 0, O_TIMEOUT},
                                        {"drain-seconds", 1, 0, O_DRAIN},
                                        {"seed", 1, 0, O_SEED},
                                        {"latencies", 1, 0, O_LATENCIES},
                                        {"json", 0, 0, O_JSON},
                                        {"quiet", 0, 0, O_QUIET},
                                        {"global", 1, 0, O_GLOBAL},
                                        {"counts", 1, 0, O_COUNTS},
                                        {"wait-seconds", 1, 0, O_WAIT},
                                        {"settle-seconds", 1, 0, O_SETTLE},
                                        {"samples", 1, 0, O_SAMPLES},
                                        {"count", 1, 0, O_COUNT},
                                        {"interval-ms", 1, 0, O_INTERVAL},
                                        {"poll-ms", 1, 0, O_POLL},
                                        {"help", 0, 0, O_HELP},
                                        {0}};

static double number(const char *text, double low, double high)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || value < low || value > high)
        load_die("not a number from %.0f to %.0f: %s", low, high, text);
    return value;
}

static unsigned whole(const char *text, unsigned low, unsigned high)
{
    return (unsigned)number(text, low, high);
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

static void take(struct line *line, int option, const char *value)
{
    struct load_send_options *s = &line->send;
    switch (option) {
    case O_EDGE:
        take_edge(s, value);
        break;
    case O_CA:
        s->ca_file = value;
        break;
    case O_LEDGER:
        take_ledger(line, value);
        break;
    case O_SECONDS:
        s->seconds = number(value, 0, 1e6);
        break;
    case O_CLICKS:
        s->clicks = (uint64_t)number(value, 1, 1e12);
        break;
    case O_RATE:
        s->rate = number(value, 0, 1e9);
        break;
    case O_CONNECTIONS:
        s->connections = whole(value, 1, 1000);
        break;
    case O_STREAMS:
        s->streams = whole(value, 1, 100);
        break;
    case O_ADS:
        s->mix.ads = whole(value, 1, 800000);
        break;
    case O_ZIPF:
        s->mix.zipf = number(value, 0, 5);
        break;
    case O_SINGLE:
        s->mix.single_permille = whole(value, 0, 1000);
        break;
    case O_BATCH:
        take_batch(&s->mix, value);
        break;
    case O_RETRY:
        s->repeat_permille = whole(value, 0, 1000);
        break;
    case O_HOME:
        s->home_permille = whole(value, 0, 1000);
        break;
    case O_LATE:
        s->mix.late_permille = whole(value, 0, 900);
        break;
    case O_REPLICATED:
        s->replicated_permille = whole(value, 0, 1000);
        break;
    case O_TIMEOUT:
        s->timeout_ms = whole(value, 1, 600000);
        break;
    case O_DRAIN:
        s->drain_seconds = number(value, 0, 1e6);
        break;
    case O_SEED:
        s->mix.seed = (uint64_t)number(value, 0, 1e15);
        break;
    case O_LATENCIES:
        s->latencies_file = value;
        break;
    case O_JSON:
        s->json = line->check.json = true;
        break;
    case O_QUIET:
        s->quiet = line->check.quiet = true;
        break;
    case O_GLOBAL:
        line->global = value;
        break;
    case O_COUNTS:
        line->check.counts_file = value;
        break;
    case O_WAIT:
        line->check.wait_seconds = number(value, 0, 1e6);
        break;
    case O_SETTLE:
        line->check.settle_seconds = number(value, 0, 1e6);
        break;
    case O_SAMPLES:
        line->samples = value;
        break;
    case O_COUNT:
        line->count = whole(value, 1, 1000000);
        break;
    case O_INTERVAL:
        line->interval_ms = whole(value, 1, 600000);
        break;
    case O_POLL:
        line->poll_ms = whole(value, 1, 600000);
        break;
    case O_HELP:
        fputs(help, stdout);
        exit(0);
    default:
        fputs(help, stderr);
        exit(64);
    }
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

int main(int argc, char **argv)
{
    struct line line = {.send = {.connections = 4,
                                 .streams = 32,
                                 .repeat_permille = 50,
                                 .home_permille = 200,
                                 .replicated_permille = 50,
                                 .timeout_ms = 10000,
                                 .drain_seconds = 30,
                                 .mix = {.ads = 2000,
                                         .zipf = 1.05,
                                         .single_permille = 100,
                                         .batch_min = 50,
                                         .batch_max = 500,
                                         .late_permille = 50}},
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
    for (int option; (option = getopt_long(argc - 1, argv + 1, "", options, NULL)) != -1;)
        take(&line, option, optarg);
    if (strcmp(command, "send") == 0)
        return run_send(&line);
    if (strcmp(command, "check") == 0)
        return run_check(&line);
    if (strcmp(command, "probe") == 0)
        return run_probe(&line);
    if (strcmp(command, "selftest") == 0)
        return load_compare_selftest() ? 1 : (puts("selftest: planted faults are found"), 0);
    fputs(help, stderr);
    return 64;
}
