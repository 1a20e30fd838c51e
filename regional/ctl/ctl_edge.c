/* SPDX-License-Identifier: Apache-2.0
 * ctl_edge: tributaryctl edge ...: which edges hold the watermark of a region. */
#include "regional/ctl/ctl_edge.h"

#include "common/run/log.h"
#include "common/run/options.h"
#include "proto/control.h"
#include "proto/subject.h"
#include "regional/ctl/ctl_base.h"
#include "regional/ctl/ctl_region.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

const char ctl_edge_help[] =
    "tributaryctl edge tells the folds of one region which edges they must wait for.\n"
    "\n"
    "usage: tributaryctl edge list      --config FILE [--json]\n"
    "       tributaryctl edge enrol     --config FILE EDGE\n"
    "       tributaryctl edge retire    --config FILE EDGE\n"
    "       tributaryctl edge write-off --config FILE EDGE [--epoch N]\n"
    "\n"
    "  list       what every replica that answers knows of its edges\n"
    "  enrol      from now on minutes are complete only when this edge's clicks are in. Enrol an\n"
    "             edge before it takes its first click\n"
    "  retire     the edge is gone for good and has delivered everything: it is not waited for\n"
    "  write-off  the edge's disk is lost: what it has not delivered is given up, so that minutes "
    "can\n"
    "             be complete again. Clicks that arrive after all still count. Of one spool epoch\n"
    "             with --epoch, else of all its epochs so far\n"
    "\n"
    "  --config FILE   the YAML file of any replica of the region; its nats user must be allowed "
    "to\n"
    "                  publish clicks.<region>.*.control and roster.<region>\n"
    "  --json          one JSON object instead of a table\n"
    "\n"
    "exit codes: 0 done and applied by every replica that answers, 64 usage, 75 the bus or the\n"
    "replicas do not answer, 78 configuration\n";

enum action { ACTION_LIST, ACTION_ENROL, ACTION_RETIRE, ACTION_WRITE_OFF, ACTIONS };

struct request {
    enum action action;
    const char *config, *edge;
    uint64_t epoch;
    bool json;
};

static bool parse_action(const char *word, enum action *out)
{
    static const char *const words[ACTIONS] = {"list", "enrol", "retire", "write-off"};
    for (unsigned i = 0; i < ACTIONS; i++) {
        if (strcmp(word, words[i]) == 0) {
            *out = (enum action)i;
            return true;
        }
    }
    return false;
}

static bool parse_epoch(const char *text, uint64_t *out)
{
    char *end = NULL;
    *out = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && *out != 0;
}

/* Returns -1 to go on, else the exit code. */
static int parse(int argc, char **argv, struct request *out)
{
    if (argc < 2 || !parse_action(argv[1], &out->action))
        return ctl_fail(EXIT_CODE_USAGE, "say edge list, enrol, retire or write-off; try --help",
                        "");
    for (int i = 2; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--config") == 0 && has_value)
            out->config = argv[++i];
        else if (strcmp(argv[i], "--json") == 0)
            out->json = true;
        else if (strcmp(argv[i], "--epoch") == 0 && has_value && out->action == ACTION_WRITE_OFF &&
                 parse_epoch(argv[i + 1], &out->epoch))
            i++;
        else if (argv[i][0] != '-' && out->edge == NULL && out->action != ACTION_LIST)
            out->edge = argv[i];
        else
            return ctl_fail(EXIT_CODE_USAGE,
                            "unknown or incomplete argument; try --help: ", argv[i]);
    }
    if (out->config == NULL)
        return ctl_fail(EXIT_CODE_USAGE, "--config FILE is required; try --help", "");
    if (out->action != ACTION_LIST &&
        (out->edge == NULL || !subject_name_is_valid(out->edge, LIMIT_EDGE_NAME_BYTES)))
        return ctl_fail(EXIT_CODE_USAGE, "name one edge (a-z, 0-9, '-')", "");
    return -1;
}

static const char *state_words(const struct roster_edge *e)
{
    if (!e->enrolled)
        return "not enrolled";
    if (e->given_up)
        return "written off";
    return e->missing ? "missing" : "present";
}

static void print_table(const struct ctl_region *t)
{
    (void)printf("%-16s %-9s %-32s %-12s %20s %12s\n", "REPLICA", "PARTITION", "EDGE", "STATE",
                 "CLOCK (Unix ms)", "FOLDED");
    for (unsigned r = 0; r < t->roster_count; r++) {
        for (uint32_t p = 0; p < t->rosters[r].part_count; p++) {
            const struct roster_part *part = &t->rosters[r].parts[p];
            for (uint32_t i = 0; i < part->edge_count; i++) {
                const struct roster_edge *e = &part->edges[i];
                (void)printf("%-16s %-9u %-32s %-12s %20" PRIu64 " %12" PRIu64 "\n",
                             t->rosters[r].replica, part->partition, e->name, state_words(e),
                             e->clock_ms, e->folded);
            }
            if (part->stopped)
                (void)printf("%-16s %-9u stopped: copy a peer's store\n", t->rosters[r].replica,
                             part->partition);
        }
    }
}

static void print_json_part(const struct roster_part *part)
{
    (void)printf("{\"partition\":%u,\"stopped\":%s,\"control_floor\":%" PRIu64
                 ",\"watermark_ms\":%" PRIu64 ",\"edges\":[",
                 part->partition, part->stopped ? "true" : "false", part->control_floor,
                 part->watermark_ms);
    for (uint32_t i = 0; i < part->edge_count; i++) {
        const struct roster_edge *e = &part->edges[i];
        (void)printf("%s{\"edge\":\"%s\",\"enrolled\":%s,\"missing\":%s,\"written_off\":%s,"
                     "\"clock_ms\":%" PRIu64 ",\"folded\":%" PRIu64 ",\"live_lines\":%u}",
                     i == 0 ? "" : ",", e->name, e->enrolled ? "true" : "false",
                     e->missing ? "true" : "false", e->given_up ? "true" : "false", e->clock_ms,
                     e->folded, e->live_lines);
    }
    (void)printf("]}");
}

/* All names are [a-z0-9-]: nothing needs escaping. */
static void print_json(const struct ctl_region *t)
{
    (void)printf("{\"region\":\"%s\",\"replicas\":[", t->options->region);
    for (unsigned r = 0; r < t->roster_count; r++) {
        (void)printf("%s{\"replica\":\"%s\",\"partitions\":[", r == 0 ? "" : ",",
                     t->rosters[r].replica);
        for (uint32_t p = 0; p < t->rosters[r].part_count; p++) {
            (void)printf("%s", p == 0 ? "" : ",");
            print_json_part(&t->rosters[r].parts[p]);
        }
        (void)printf("]}");
    }
    (void)printf("]}\n");
}

static int apply(struct ctl_region *t, const struct request *q)
{
    static const enum control_kind kinds[ACTIONS] = {0, CONTROL_ENROL, CONTROL_RETIRE,
                                                     CONTROL_WRITE_OFF};
    struct control_message m = {.kind = kinds[q->action], .epoch = q->epoch};
    (void)snprintf(m.edge, sizeof(m.edge), "%s", q->edge);
    uint16_t failed = ctl_region_apply(t, &m, 0, t->options->partitions_total);
    return failed == t->options->partitions_total ? 0 : ctl_region_not_applied(failed);
}

static int run(struct ctl_region *t, const struct request *q)
{
    int code = q->action == ACTION_LIST ? 0 : apply(t, q);
    if (code != 0)
        return code;
    ctl_region_ask(t);
    if (t->roster_count == 0)
        return ctl_fail(EXIT_CODE_TEMPORARY, "no replica answers in region ", t->options->region);
    if (q->json)
        print_json(t);
    else
        print_table(t);
    return 0;
}

int ctl_edge(int argc, char **argv)
{
    struct request request = {0};
    struct ctl_region region = {0};
    int code = parse(argc, argv, &request);
    if (code >= 0)
        return code;
    log_init("tributaryctl", LOG_ERROR);
    code = ctl_region_open(&region, request.config);
    if (code == 0)
        code = run(&region, &request);
    ctl_region_close(&region);
    return code;
}
