/* SPDX-License-Identifier: Apache-2.0
 * ctl_query: questions to a globe: from words of a command line to a table, or to JSON as it came.
 * What a value may be is the globe's to judge (proto/openapi.yaml): one rule, in one place. */
#include "regional/ctl/ctl_query.h"

#include "common/run/options.h"
#include "regional/ctl/ctl_base.h"
#include "regional/ctl/ctl_http.h"
#include "regional/ctl/ctl_tables.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LAST_DEFAULT 60
#define LAST_MAX     10080 /* as the globe's */

#define COMMON_HELP                                                                                \
    "\n"                                                                                           \
    "  --globe URL        https://host[:port] of the globe; else $TRIBUTARY_GLOBE\n"               \
    "  --ca FILE          PEM of who signed its certificate; else $TRIBUTARY_CA, else the "        \
    "system's\n"                                                                                   \
    "  --token-file FILE  holds the token, for its owner alone; else $TRIBUTARY_TOKEN_FILE\n"      \
    "  --json             the globe's answer as it came, instead of a table\n"                     \
    "\n"                                                                                           \
    "exit codes: 0 answered, 1 the answer is no, 64 usage, 75 no answer now, 77 not allowed,\n"    \
    "78 the CA or token file\n"

#define RANGE_HELP                                                                                 \
    "  --start T, --end T  Unix seconds or RFC 3339, e.g. 2026-11-24T00:00:00Z; end is not "       \
    "included\n"

#define CONSISTENCY_HELP                                                                           \
    "  --consistency C    eventual (default), or complete, final: exit code 1 where it is not so " \
    "yet\n"

static const char stats_help[] =
    "tributaryctl stats tells the clicks and unique users of one ad, window by window.\n"
    "\n"
    "usage: tributaryctl stats AD [--window 1m|5m|1h|1d] [--last N | --start T --end T]\n"
    "                          [--consistency C] [--fill zero|none]\n"
    "\n"
    "  --window W         1m (default), 5m, 1h or 1d\n"
    "  --last N           the N windows before this one (default 60)\n" RANGE_HELP CONSISTENCY_HELP
    "  --fill none        leaves complete windows without clicks out\n" COMMON_HELP;

static const char top_help[] =
    "tributaryctl top tells the ads with the most clicks.\n"
    "\n"
    "usage: tributaryctl top [--last N | --start T --end T] [--limit N] [--consistency C]\n"
    "\n"
    "  --last N           the N minutes before this one (default 60)\n" RANGE_HELP
    "  --limit N          so many ads, 1 to 1000 (default 10)\n" CONSISTENCY_HELP COMMON_HELP;

static const char ads_help[] =
    "tributaryctl ads lists the ads that were clicked.\n"
    "\n"
    "usage: tributaryctl ads [--prefix TEXT] [--limit N] [--cursor C]\n"
    "\n"
    "  --prefix TEXT      only ads that begin so\n"
    "  --limit N          so many of them, 1 to 1000 (default 100)\n"
    "  --cursor C         goes on where a page before said `more`\n" COMMON_HELP;

static const char balance_help[] =
    "tributaryctl balance tells where every accepted click is, and whether the books close.\n"
    "\n"
    "usage: tributaryctl balance\n"
    "\n"
    "Exit code 1: there are clicks that nothing explains. The token needs the scope "
    "admin.\n" COMMON_HELP;

static const char watermarks_help[] =
    "tributaryctl watermarks tells how far each region is counted completely.\n"
    "\n"
    "usage: tributaryctl watermarks\n"
    "\n"
    "Exit code 1: a region has no watermark yet, or goes on without some edge.\n" COMMON_HELP;

enum { TAKES_AD = 1, TAKES_RANGE = 2 };

static const struct command {
    const char *name, *help, *path;
    const char *parameters; /* options that are the globe's parameters of that name */
    unsigned takes;
    enum ctl_table table;
} commands[] = {
    {"stats", stats_help, "/v1/stats", " window start end consistency fill ",
     TAKES_AD | TAKES_RANGE, CTL_TABLE_STATS},
    {"top", top_help, "/v1/top", " start end limit consistency ", TAKES_RANGE, CTL_TABLE_TOP},
    {"ads", ads_help, "/v1/ads", " prefix limit cursor ", 0, CTL_TABLE_ADS},
    {"balance", balance_help, "/v1/balance", " ", 0, CTL_TABLE_BALANCE},
    {"watermarks", watermarks_help, "/v1/watermarks", " ", 0, CTL_TABLE_WATERMARKS},
};

struct question {
    const struct command *command;
    struct ctl_http_globe globe;
    struct buf path;
    const char *ad, *window, *start, *end;
    uint64_t last; /* 0: not said */
    bool json;
};

static const struct command *find(const char *name)
{
    for (unsigned i = 0; i < countof(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

const char *ctl_query_help(const char *command)
{
    const struct command *found = find(command);
    return found == NULL ? NULL : found->help;
}

static bool is_parameter(const struct command *command, const char *name)
{
    char padded[32];
    int length = snprintf(padded, sizeof(padded), " %s ", name);
    return length > 2 && (size_t)length < sizeof(padded) &&
           strstr(command->parameters, padded) != NULL;
}

static bool refuse(const char *words, const char *detail)
{
    (void)ctl_fail(EXIT_CODE_USAGE, words, detail);
    return false;
}

/* One option with its value; false: not ours. */
static bool take_option(struct question *q, const char *name, const char *value)
{
    if (strcmp(name, "globe") == 0)
        q->globe.url = value;
    else if (strcmp(name, "ca") == 0)
        q->globe.ca_file = value;
    else if (strcmp(name, "token-file") == 0)
        q->globe.token_file = value;
    else if (strcmp(name, "last") == 0 && (q->command->takes & TAKES_RANGE) != 0)
        return ctl_parse_count(value, LAST_MAX, &q->last);
    else if (!is_parameter(q->command, name))
        return false;
    else if (strcmp(name, "window") == 0)
        q->window = value;
    else if (strcmp(name, "start") == 0)
        q->start = value;
    else if (strcmp(name, "end") == 0)
        q->end = value;
    else
        ctl_http_put_parameter(&q->path, name, value);
    return true;
}

static bool take_words(struct question *q, int argc, char **argv)
{
    bool plain = false; /* after "--", for ads that begin with '-' */
    for (int i = 1; i < argc; i++) {
        if (!plain && strcmp(argv[i], "--") == 0)
            plain = true;
        else if (!plain && strcmp(argv[i], "--json") == 0)
            q->json = true;
        else if (!plain && strncmp(argv[i], "--", 2) == 0 && i + 1 < argc &&
                 take_option(q, argv[i] + 2, argv[i + 1]))
            i++;
        else if ((plain || argv[i][0] != '-') && q->ad == NULL &&
                 (q->command->takes & TAKES_AD) != 0)
            q->ad = argv[i];
        else
            return refuse("unknown or incomplete argument; try --help: ", argv[i]);
    }
    return true;
}

static uint64_t window_seconds(const char *window)
{
    static const struct {
        const char *name;
        uint64_t seconds;
    } known[] = {{"1m", 60}, {"5m", 300}, {"1h", 3600}, {"1d", 86400}};
    for (unsigned i = 0; i < countof(known); i++)
        if (strcmp(known[i].name, window) == 0)
            return known[i].seconds;
    return 0;
}

/* The last whole windows, where no range was said. */
static bool put_range(struct question *q, struct clock_port *clock)
{
    char start[24], end[24];
    uint64_t seconds = window_seconds(q->window == NULL ? "1m" : q->window);
    if (q->start != NULL || q->end != NULL) {
        if (q->start == NULL || q->end == NULL || q->last != 0)
            return refuse("say --start and --end, or --last", "");
        ctl_http_put_parameter(&q->path, "start", q->start);
        ctl_http_put_parameter(&q->path, "end", q->end);
        return true;
    }
    if (seconds == 0)
        return refuse("--window must be 1m, 5m, 1h or 1d, not ", q->window);
    uint64_t upto = clock->wall_ms(clock) / 1000 / seconds * seconds;
    uint64_t length = base_min_u64((q->last == 0 ? LAST_DEFAULT : q->last) * seconds, upto);
    (void)snprintf(start, sizeof(start), "%" PRIu64, upto - length);
    (void)snprintf(end, sizeof(end), "%" PRIu64, upto);
    ctl_http_put_parameter(&q->path, "start", start);
    ctl_http_put_parameter(&q->path, "end", end);
    return true;
}

static bool complete(struct question *q, struct clock_port *clock)
{
    if (q->globe.url == NULL)
        return refuse("name a globe: --globe https://host:port", "");
    if ((q->command->takes & TAKES_AD) != 0) {
        if (q->ad == NULL)
            return refuse("name an ad; try --help", "");
        ctl_http_put_parameter(&q->path, "ad_id", q->ad);
        ctl_http_put_parameter(&q->path, "window", q->window == NULL ? "1m" : q->window);
    }
    return (q->command->takes & TAKES_RANGE) == 0 || put_range(q, clock);
}

static int ask(struct question *q)
{
    struct buf body = {0};
    long status = 0;
    buf_put_u8(&q->path, '\0');
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    int code = ctl_http_get(&q->globe, (const char *)q->path.data, &status, &body);
    if (code == 0 && status != 200) {
        code = ctl_tables_problem(status, buf_span(&body));
    } else if (code == 0) {
        code = ctl_tables_show(q->command->table, buf_span(&body), q->json);
        if (q->json)
            (void)printf("%.*s\n", (int)body.length, (const char *)body.data);
    }
    if (fflush(stdout) != 0)
        code = ctl_fail(EXIT_CODE_TEMPORARY, "the answer could not be written", "");
    buf_done(&body);
    curl_global_cleanup();
    return code;
}

int ctl_query(int argc, char **argv, struct clock_port *clock)
{
    struct question q = {
        .command = find(argv[0]),
        .globe = {getenv("TRIBUTARY_GLOBE"), getenv("TRIBUTARY_CA"),
                  getenv("TRIBUTARY_TOKEN_FILE")},
    };
    if (q.command == NULL)
        return -1;
    buf_put(&q.path, q.command->path, strlen(q.command->path));
    bool good = take_words(&q, argc, argv) && complete(&q, clock);
    int code = good ? ask(&q) : EXIT_CODE_USAGE;
    buf_done(&q.path);
    return code;
}
