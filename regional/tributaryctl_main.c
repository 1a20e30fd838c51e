/* SPDX-License-Identifier: Apache-2.0
 * tributaryctl: the operator's tool. */
#include "common/run/clock_os.h"
#include "common/run/options.h"
#include "common/run/service.h"
#include "regional/ctl/ctl_base.h"
#include "regional/ctl/ctl_edge.h"
#include "regional/ctl/ctl_partitions.h"
#include "regional/ctl/ctl_programs.h"
#include "regional/ctl/ctl_query.h"

#include <stdio.h>

static const char help[] =
    "tributaryctl asks Tributary how it is, and tells it what only a person can know.\n"
    "\n"
    "usage: tributaryctl COMMAND ...      (tributaryctl COMMAND --help teaches each)\n"
    "       tributaryctl --help | --version\n"
    "\n"
    "of a globe, over HTTPS:\n"
    "  stats AD      clicks and unique users of one ad, window by window\n"
    "  top           the ads with the most clicks\n"
    "  ads           the ads that were clicked\n"
    "  balance       where every accepted click is; 1 where the books do not close\n"
    "  watermarks    how far each region is counted; 1 where something is missing\n"
    "on the machine of a globe:\n"
    "  token         create, list, revoke bearer tokens\n"
    "of a region, over its bus:\n"
    "  edge          list, enrol, retire, write off edges\n"
    "  partitions    show the partition map, or let it grow\n"
    "anywhere:\n"
    "  config check  is this configuration good?\n"
    "\n"
    "exit codes: 0 yes, or done; 1 answered, and the answer is no; 64 usage; 75 nobody answers "
    "now,\n"
    "or not all have done it: say it again; 77 not allowed; 78 configuration, CA or token file\n";

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

/* NULL: no such command. */
static const char *help_of(const char *command)
{
    if (strcmp(command, "edge") == 0)
        return ctl_edge_help;
    if (strcmp(command, "partitions") == 0)
        return ctl_partitions_help;
    if (strcmp(command, "config") == 0)
        return ctl_config_help;
    return ctl_query_help(command);
}

int main(int argc, char **argv)
{
    service_guard_memory();
    if (argc > 1 && strcmp(argv[1], "--version") == 0)
        return printf("tributaryctl %s\n", TRIBUTARY_VERSION) < 0;
    if (argc > 1 && strcmp(argv[1], "token") == 0)
        return ctl_token(argc - 1, argv + 1); /* its help too */
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        return fputs(help, stdout) < 0;
    const char *teaches = argc > 1 ? help_of(argv[1]) : NULL;
    if (teaches == NULL)
        return ctl_fail(EXIT_CODE_USAGE, "no such command; try --help: ", argc > 1 ? argv[1] : "");
    if (wants_help(argc - 1, argv + 1))
        return fputs(teaches, stdout) < 0;
    if (strcmp(argv[1], "edge") == 0)
        return ctl_edge(argc - 1, argv + 1);
    if (strcmp(argv[1], "partitions") == 0)
        return ctl_partitions(argc - 1, argv + 1);
    if (strcmp(argv[1], "config") == 0)
        return ctl_config(argc - 1, argv + 1);
    return ctl_query(argc - 1, argv + 1, clock_os());
}
