/* SPDX-License-Identifier: Apache-2.0
 * ctl_partitions: tributaryctl partitions ...: into how many partitions a region's ads are divided.
 */
#include "regional/ctl/ctl_partitions.h"

#include "common/base/minute.h"
#include "common/run/clock_os.h"
#include "common/run/log.h"
#include "common/run/options.h"
#include "regional/ctl/ctl_base.h"
#include "regional/ctl/ctl_region.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define AHEAD_S (10 * 60) /* clicks may lie 5 minutes ahead; the rest is for word to travel */

const char ctl_partitions_help[] =
    "tributaryctl partitions tells the folds and edges of one region that it has more partitions.\n"
    "\n"
    "usage: tributaryctl partitions show --config FILE [--json]\n"
    "       tributaryctl partitions grow --config FILE [--from TIME] [--again]\n"
    "\n"
    "  show       the map that every replica has, partition by partition\n"
    "  grow       to partitions_total of the configuration. Clicks of minutes from TIME on go by "
    "the\n"
    "             new map, older ones stay where they are, so that a retry meets its first "
    "attempt.\n"
    "             Before: give replicas and edges partitions_first (as many as there are now), "
    "raise\n"
    "             partitions_total and the edges' partitions, restart them one by one, and start\n"
    "             replicas for the new partitions (docs/OPERATING.md)\n"
    "\n"
    "  --from TIME     a full minute, 2026-11-24T18:50Z or Unix seconds (default: ten minutes "
    "from\n"
    "                  now). A partition that has clicks of that minute or later refuses\n"
    "  --again         puts off a step that some partition refused\n"
    "  --config FILE   the YAML file of any replica of the region\n"
    "  --json          one JSON object instead of a table\n"
    "\n"
    "exit codes: 0 done and applied by every replica that answers, 1 a partition refused, 64 "
    "usage,\n"
    "75 the bus or the replicas do not answer, 78 configuration\n";

struct request {
    bool grow, json, again;
    const char *config;
    int64_t from_s; /* 0: not said */
};

static bool parse_time(const char *text, int64_t *out)
{
    uint64_t seconds;
    struct tm tm = {0};
    if (ctl_parse_count(text, (uint64_t)UINT32_MAX * 60, &seconds)) {
        *out = (int64_t)seconds;
    } else {
        const char *end = strptime(text, "%Y-%m-%dT%H:%MZ", &tm);
        if (end == NULL || *end != '\0')
            return false;
        *out = (int64_t)timegm(&tm);
    }
    return *out > 0 && *out % 60 == 0;
}

/* Returns -1 to go on, else the exit code. */
static int parse(int argc, char **argv, struct request *out)
{
    if (argc < 2 || (strcmp(argv[1], "show") != 0 && strcmp(argv[1], "grow") != 0))
        return ctl_fail(EXIT_CODE_USAGE, "say partitions show or partitions grow; try --help", "");
    out->grow = argv[1][0] == 'g';
    for (int i = 2; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--config") == 0 && has_value)
            out->config = argv[++i];
        else if (strcmp(argv[i], "--json") == 0)
            out->json = true;
        else if (strcmp(argv[i], "--again") == 0 && out->grow)
            out->again = true;
        else if (strcmp(argv[i], "--from") == 0 && has_value && out->grow) {
            if (!parse_time(argv[++i], &out->from_s))
                return ctl_fail(EXIT_CODE_USAGE,
                                "--from: must be a full minute, 2026-11-24T18:50Z or Unix seconds",
                                "");
        } else
            return ctl_fail(EXIT_CODE_USAGE,
                            "unknown or incomplete argument; try --help: ", argv[i]);
    }
    if (out->config == NULL)
        return ctl_fail(EXIT_CODE_USAGE, "--config FILE is required; try --help", "");
    return -1;
}

static void print_map(const struct partition_map *map, bool json)
{
    for (uint32_t i = 0; i < map->count; i++) {
        int64_t from_s = (int64_t)map->steps[i].from_minute * 60;
        char from[CTL_TIME_BYTES];
        ctl_time_text(from_s, from);
        if (json)
            (void)printf("%s{\"from\":%lld,\"partitions\":%u}", i == 0 ? "" : ",",
                         (long long)from_s, map->steps[i].partitions);
        else if (i == 0)
            (void)printf("%u", map->steps[i].partitions);
        else
            (void)printf(", from %s UTC on %u", from, map->steps[i].partitions);
    }
}

static void print_table(const struct ctl_region *t)
{
    (void)printf("%-16s %-9s %s\n", "REPLICA", "PARTITION", "PARTITIONS OF THE REGION");
    for (unsigned r = 0; r < t->roster_count; r++) {
        for (uint32_t p = 0; p < t->rosters[r].part_count; p++) {
            const struct roster_part *part = &t->rosters[r].parts[p];
            (void)printf("%-16s %-9u ", t->rosters[r].replica, part->partition);
            print_map(&part->map, false);
            (void)printf("%s\n", part->stopped ? " (stopped: copy a peer's store)" : "");
        }
    }
}

/* All names are [a-z0-9-]: nothing needs escaping. */
static void print_json(const struct ctl_region *t)
{
    bool first = true;
    (void)printf("{\"region\":\"%s\",\"parts\":[", t->options->region);
    for (unsigned r = 0; r < t->roster_count; r++) {
        for (uint32_t p = 0; p < t->rosters[r].part_count; p++) {
            const struct roster_part *part = &t->rosters[r].parts[p];
            (void)printf("%s{\"replica\":\"%s\",\"partition\":%u,\"stopped\":%s,\"map\":[",
                         first ? "" : ",", t->rosters[r].replica, part->partition,
                         part->stopped ? "true" : "false");
            print_map(&part->map, true);
            (void)printf("]}");
            first = false;
        }
    }
    (void)printf("]}\n");
}

/* The map of partition 0, and its roster; NULL: nobody answers for it. */
static const struct roster_part *part_of(const struct ctl_region *t, uint16_t partition)
{
    for (unsigned r = 0; r < t->roster_count; r++)
        for (uint32_t p = 0; p < t->rosters[r].part_count; p++)
            if (t->rosters[r].parts[p].partition == partition && !t->rosters[r].parts[p].stopped)
                return &t->rosters[r].parts[p];
    return NULL;
}

/* The folds of new partitions must wait for the edges that the old ones wait for. */
static int enrol(struct ctl_region *t, uint16_t had, uint16_t total)
{
    const struct roster_part *old = part_of(t, 0);
    uint32_t count = 0;
    char(*edges)[LIMIT_EDGE_NAME_BYTES + 1] = base_zalloc(old->edge_count, sizeof(*edges));
    for (uint32_t i = 0; i < old->edge_count; i++)
        if (old->edges[i].enrolled)
            memcpy(edges[count++], old->edges[i].name, sizeof(*edges));
    int code = 0;
    for (uint32_t i = 0; i < count && code == 0; i++) {
        struct control_message m = {.kind = CONTROL_ENROL};
        memcpy(m.edge, edges[i], sizeof(m.edge));
        uint16_t failed = ctl_region_apply(t, &m, had, total);
        code = failed == total ? 0 : ctl_region_not_applied(failed);
    }
    free(edges);
    return code;
}

/* Some partition counts that minute already, and refused. */
static int check_agreed(const struct ctl_region *t, const struct control_message *m)
{
    for (unsigned r = 0; r < t->roster_count; r++) {
        for (uint32_t p = 0; p < t->rosters[r].part_count; p++) {
            const struct roster_part *part = &t->rosters[r].parts[p];
            const struct partition_step *last = &part->map.steps[part->map.count - 1];
            /* All steps, not the last alone: replicas tell a map, and edges follow it, only whole.
             */
            if (part->stopped ||
                (last->from_minute == m->from_minute && last->partitions == m->partitions &&
                 partition_map_equal(&part->map, &part_of(t, 0)->map)))
                continue;
            char text[64];
            (void)snprintf(text, sizeof(text), "partition %u of %s", part->partition,
                           t->rosters[r].replica);
            return ctl_fail(CTL_EXIT_NO,
                            "refused: it has clicks of that minute or later, or grew less than "
                            "seven days ago. No edge follows a step that a replica lacks: say "
                            "grow --again with a later --from. Refused by ",
                            text);
        }
    }
    return 0;
}

static int64_t now_s(void)
{
    return (int64_t)(clock_os()->wall_ms(clock_os()) / 1000);
}

/* Partitions that come now have not heard of the steps before theirs. */
static int say_past(struct ctl_region *t, const struct partition_map *map, uint16_t had,
                    uint16_t total)
{
    for (uint32_t s = 1; s < map->count && map->steps[s].partitions <= had; s++) {
        for (uint16_t p = had; p < total; p++) {
            const struct roster_part *part = part_of(t, p);
            struct control_message m = {.kind = CONTROL_MAP,
                                        .from_minute = map->steps[s].from_minute,
                                        .partitions = map->steps[s].partitions};
            if ((part == NULL || part->map.count <= s) && ctl_region_apply(t, &m, p, p + 1) == p)
                return ctl_region_not_applied(p);
        }
    }
    return 0;
}

/* Has some partition refused the last step? Only then no edge can have followed it. A replica that
 * has not read that far has refused nothing. */
static bool is_refused(const struct ctl_region *t, const struct partition_map *map)
{
    for (uint16_t p = 0; p < partition_map_last(map); p++) {
        const struct roster_part *first = NULL;
        for (unsigned r = 0; r < t->roster_count; r++)
            for (uint32_t i = 0; i < t->rosters[r].part_count; i++) {
                const struct roster_part *part = &t->rosters[r].parts[i];
                if (part->partition == p && !part->stopped &&
                    (first == NULL || part->control_floor > first->control_floor))
                    first = part;
            }
        if (first != NULL && !partition_map_equal(&first->map, map))
            return true;
    }
    return false;
}

/* The step that is still to come, said once more where it is lacking: not all had applied it. */
static int say_step_again(struct ctl_region *t, const struct partition_map *map, uint16_t total)
{
    const struct partition_step *last = &map->steps[map->count - 1];
    struct control_message m = {
        .kind = CONTROL_MAP, .from_minute = last->from_minute, .partitions = last->partitions};
    for (uint16_t p = 0; p < total; p++) {
        const struct roster_part *part = part_of(t, p);
        if ((part == NULL || !partition_map_equal(&part->map, map)) &&
            ctl_region_apply(t, &m, p, (uint16_t)(p + 1)) == p)
            return ctl_region_not_applied(p);
    }
    ctl_region_ask(t);
    return check_agreed(t, &m);
}

static int grow(struct ctl_region *t, const struct request *q)
{
    uint16_t total = t->options->partitions_total;
    ctl_region_ask(t);
    const struct roster_part *old = part_of(t, 0);
    if (old == NULL)
        return ctl_fail(EXIT_CODE_TEMPORARY, "no replica answers for partition 0 of region ",
                        t->options->region);
    const struct partition_map map = old->map;
    const struct partition_step *last = &map.steps[map.count - 1];
    uint16_t had = last->partitions;
    if (q->again && map.count > 1)
        had = map.steps[map.count - 2].partitions;
    if (!q->again && map.count > 1 && total == had && now_s() < (int64_t)last->from_minute * 60) {
        int code = enrol(t, map.steps[map.count - 2].partitions, total);
        return code == 0 ? say_step_again(t, &map, total) : code;
    }
    if (total <= had)
        return ctl_fail(EXIT_CODE_USAGE,
                        "partitions_total of the configuration is not more than the map has; with "
                        "a step to come say --again",
                        "");
    if (q->again && !is_refused(t, &map))
        return ctl_fail(CTL_EXIT_NO,
                        "--again: no partition has refused the step, so edges follow it", "");
    if (!q->again && map.count > 1 &&
        now_s() < ((int64_t)last->from_minute + LIMIT_HORIZON_MINUTES) * 60)
        return ctl_fail(CTL_EXIT_NO,
                        "the last step began less than seven days ago, or has not begun", "");
    int code = enrol(t, had, total);
    if (code == 0)
        code = say_past(t, &map, had, total);
    if (code != 0)
        return code;
    /* Only now: with many edges that took a while. */
    int64_t from_s = q->from_s != 0 ? q->from_s : (now_s() + AHEAD_S + 59) / 60 * 60;
    if (from_s <= now_s())
        return ctl_fail(EXIT_CODE_USAGE, "--from: must be in the future", "");
    struct control_message m = {.kind = CONTROL_MAP,
                                .from_minute = (uint32_t)(from_s / 60),
                                .partitions = total,
                                .again = q->again};
    uint16_t failed = ctl_region_apply(t, &m, 0, total);
    if (failed != total)
        return ctl_region_not_applied(failed);
    ctl_region_ask(t);
    return check_agreed(t, &m);
}

static int run(struct ctl_region *t, const struct request *q)
{
    int code = q->grow ? grow(t, q) : 0;
    if (code != 0)
        return code;
    if (!q->grow)
        ctl_region_ask(t);
    if (t->roster_count == 0)
        return ctl_fail(EXIT_CODE_TEMPORARY, "no replica answers in region ", t->options->region);
    if (q->json)
        print_json(t);
    else
        print_table(t);
    return 0;
}

int ctl_partitions(int argc, char **argv)
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
