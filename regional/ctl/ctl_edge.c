/* SPDX-License-Identifier: Apache-2.0
 * ctl_edge: tributaryctl edge ...: which edges hold the watermark of a region. */
#include "regional/ctl/ctl_edge.h"

#include "common/run/bus_nats.h"
#include "common/run/clock_os.h"
#include "common/run/log.h"
#include "common/run/options.h"
#include "common/run/wake.h"
#include "proto/control.h"
#include "proto/subject.h"
#include "regional/core/roster.h"
#include "regional/ctl/ctl_base.h"
#include "regional/regional_options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECT_MS   10000u
#define ANSWER_MS    400u
#define APPLY_MS     30000u
#define REPLICAS_MAX 16u

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

struct tool {
    struct request request;
    struct regional_options *options;
    struct bus_port *bus;
    struct wake *wake;
    struct roster rosters[REPLICAS_MAX];
    unsigned roster_count;
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

static uint64_t now_ms(void)
{
    return clock_os()->mono_ms(clock_os());
}

/* Waits for one of two events; false at the deadline. */
static bool wait_event(struct tool *t, enum bus_event_kind kind, enum bus_event_kind other,
                       uint64_t deadline_ms, struct bus_event *out)
{
    for (;;) {
        while (bus_poll(t->bus, out)) {
            if (out->kind == kind || out->kind == other)
                return true;
        }
        uint64_t now = now_ms();
        if (now >= deadline_ms)
            return false;
        (void)wake_wait(t->wake, (uint32_t)(deadline_ms - now));
    }
}

static int open_tool(struct tool *t)
{
    char *error = NULL;
    struct buf password = {0};
    if (regional_options_load(t->request.config, &t->options, &error) != ERR_OK) {
        int code = ctl_fail(EXIT_CODE_CONFIG, error, "");
        free(error);
        return code;
    }
    const struct regional_options_nats *nats = &t->options->nats;
    if (nats->password_file != NULL) {
        if (options_secret(nats->password_file, 256, &password, &error) != ERR_OK) {
            int code = ctl_fail(EXIT_CODE_CONFIG, error, "");
            free(error);
            return code;
        }
        buf_put_u8(&password, '\0');
    }
    t->wake = wake_new();
    struct bus_nats_options options = {
        .url = nats->url,
        .user = nats->user,
        .password = nats->password_file == NULL ? NULL : (const char *)password.data,
        .name = "tributaryctl",
        .domain = nats->domain,
        .notify = wake_signal,
        .notify_context = t->wake,
    };
    enum err err = bus_nats_open(&options, &t->bus);
    if (password.data != NULL)
        explicit_bzero(password.data, password.capacity);
    buf_done(&password);
    struct bus_event e;
    if (err != ERR_OK)
        return ctl_fail(EXIT_CODE_CONFIG, err_words(err), "");
    if (!wait_event(t, BUS_UP, BUS_UP, now_ms() + CONNECT_MS, &e))
        return ctl_fail(EXIT_CODE_TEMPORARY, "no answer from ", nats->url);
    return 0;
}

static void drop_rosters(struct tool *t)
{
    for (unsigned i = 0; i < t->roster_count; i++)
        roster_done(&t->rosters[i]);
    t->roster_count = 0;
}

static int by_replica(const void *left, const void *right)
{
    const struct roster *a = left, *b = right;
    return strcmp(a->replica, b->replica);
}

/* Asks all replicas. How many there are is not known: the first time waits for whoever answers,
 * later ones until as many have answered again. */
static void ask_rosters(struct tool *t)
{
    struct bus_nats_reply replies[REPLICAS_MAX] = {0};
    struct subject subject = subject_roster(t->options->region);
    unsigned expected = t->roster_count == 0 ? REPLICAS_MAX : t->roster_count;
    drop_rosters(t);
    unsigned count =
        bus_nats_request(t->bus, subject.text, span_of_text("?"), replies, expected, ANSWER_MS);
    for (unsigned i = 0; i < count; i++) {
        if (roster_read(&t->rosters[t->roster_count], buf_span(&replies[i].data)) == ERR_OK)
            t->roster_count++;
        buf_done(&replies[i].data);
    }
    qsort(t->rosters, t->roster_count, sizeof(t->rosters[0]), by_replica);
}

struct state_of_partition {
    bool known; /* some replica answers for it */
    uint64_t floor_max;
    uint64_t floor_min;
    bool nonce_is_seen;   /* everywhere */
    bool nonce_is_beaten; /* another took the number */
};

static void look_at(const struct tool *t, uint16_t partition, uint64_t number, uint64_t nonce,
                    struct state_of_partition *out)
{
    *out = (struct state_of_partition){.floor_min = UINT64_MAX, .nonce_is_seen = true};
    for (unsigned r = 0; r < t->roster_count; r++) {
        for (uint32_t p = 0; p < t->rosters[r].part_count; p++) {
            const struct roster_part *part = &t->rosters[r].parts[p];
            if (part->partition != partition || part->stopped)
                continue;
            out->known = true;
            out->floor_max = base_max_u64(out->floor_max, part->control_floor);
            out->floor_min = base_min_u64(out->floor_min, part->control_floor);
            const struct fold_applied *applied = &part->applied[number % FOLD_APPLIED];
            bool passed = part->control_floor > number;
            bool ours = passed && applied->number == number && applied->nonce == nonce;
            out->nonce_is_seen = out->nonce_is_seen && ours;
            out->nonce_is_beaten = out->nonce_is_beaten || (passed && !ours);
        }
    }
}

static bool publish(struct tool *t, uint16_t partition, uint64_t number, uint64_t nonce)
{
    static const enum control_kind kinds[ACTIONS] = {0, CONTROL_ENROL, CONTROL_RETIRE,
                                                     CONTROL_WRITE_OFF};
    struct control_message m = {.number = number,
                                .nonce = nonce,
                                .kind = kinds[t->request.action],
                                .epoch = t->request.epoch};
    (void)snprintf(m.edge, sizeof(m.edge), "%s", t->request.edge);
    struct buf message = {0};
    control_write(&message, &m);
    struct subject to = subject_control(t->options->region, partition);
    struct bus_event e = {.kind = BUS_NACK};
    bool sent = bus_publish(t->bus, to.text, NULL, buf_span(&message), 1) == ERR_OK;
    buf_done(&message);
    /* Stored or unknown: the roster tells. A second copy of the same number and nonce is a repeat.
     */
    return sent && wait_event(t, BUS_ACK, BUS_NACK, now_ms() + CONNECT_MS, &e) && e.kind == BUS_ACK;
}

/* The message under way in one partition. */
struct errand {
    bool numbered, stored, applied;
    uint64_t number, nonce;
};

/* One look at the rosters, one step on; true when every replica that answers has applied it. */
static bool advance(struct tool *t, struct errand *e, uint16_t partition)
{
    struct state_of_partition state;
    look_at(t, partition, e->number, e->nonce, &state);
    if (!state.known)
        return false;
    if (e->numbered && state.nonce_is_seen)
        return true;
    if (!e->numbered || state.nonce_is_beaten) {
        clock_os()->random(clock_os(), &e->nonce, sizeof(e->nonce));
        e->number = state.floor_max;
        e->numbered = true;
        e->stored = false;
    }
    if (!e->stored)
        e->stored = publish(t, partition, e->number, e->nonce);
    return false;
}

/* Sends until the message is applied in all partitions. Returns the first where it is not, or the
 * number of them. */
static uint16_t apply_everywhere(struct tool *t)
{
    static struct errand errands[LIMIT_PARTITIONS];
    uint64_t deadline_ms = now_ms() + APPLY_MS;
    uint16_t first = 0;
    while (first < t->options->partitions_total && now_ms() < deadline_ms) {
        ask_rosters(t);
        for (uint16_t p = first; p < t->options->partitions_total; p++) {
            if (!errands[p].applied)
                errands[p].applied = advance(t, &errands[p], p);
        }
        while (first < t->options->partitions_total && errands[first].applied)
            first++;
    }
    return first;
}

static const char *state_words(const struct roster_edge *e)
{
    if (!e->enrolled)
        return "not enrolled";
    if (e->given_up)
        return "written off";
    return e->missing ? "missing" : "present";
}

static void print_table(const struct tool *t)
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
static void print_json(const struct tool *t)
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

static int run(struct tool *t)
{
    if (t->request.action != ACTION_LIST) {
        uint16_t failed = apply_everywhere(t);
        if (failed < t->options->partitions_total) {
            char partition[24];
            (void)snprintf(partition, sizeof(partition), "%u", failed);
            return ctl_fail(EXIT_CODE_TEMPORARY,
                            "not known to be applied by every replica; say it again (harmless). "
                            "First partition without: ",
                            partition);
        }
    }
    ask_rosters(t);
    if (t->roster_count == 0)
        return ctl_fail(EXIT_CODE_TEMPORARY, "no replica answers in region ", t->options->region);
    if (t->request.json)
        print_json(t);
    else
        print_table(t);
    return 0;
}

int ctl_edge(int argc, char **argv)
{
    static struct tool tool; /* once a process */
    int code = parse(argc, argv, &tool.request);
    if (code >= 0)
        return code;
    log_init("tributaryctl", LOG_ERROR);
    code = open_tool(&tool);
    if (code == 0)
        code = run(&tool);
    drop_rosters(&tool);
    if (tool.bus != NULL)
        bus_nats_close(tool.bus);
    wake_free(tool.wake);
    regional_options_free(tool.options);
    return code;
}
