/* SPDX-License-Identifier: Apache-2.0
 * ctl_programs: commands that other programs know: each reads its own configuration, and a globe
 * its tokens. Tiers do not include one another, so this becomes them instead. */
#include "regional/ctl/ctl_programs.h"

#include "common/run/options.h"
#include "regional/ctl/ctl_base.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define LINE_BYTES 4096

const char ctl_config_help[] =
    "tributaryctl config check reads a configuration and all files that it names, and changes\n"
    "nothing.\n"
    "\n"
    "usage: tributaryctl config check FILE [--as edge|regional|global]\n"
    "\n"
    "  --as TIER   whose it is; else its keys tell: `replica` is a replica's, `spool` an edge's,\n"
    "              `id` with `store` a globe's\n"
    "\n"
    "Run it as the user of the service: it reads the same keys and passwords.\n"
    "\n"
    "exit codes: 0 good, 64 usage, 78 what is wrong stands on standard error\n";

/* Returns only where it cannot. */
static int become(const char *program, char **argv)
{
    char path[PATH_BYTES];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    char *slash = NULL;
    if (length > 0) {
        path[length] = '\0';
        slash = strrchr(path, '/');
    }
    size_t room = slash == NULL ? 0 : sizeof(path) - (size_t)(slash + 1 - path);
    if (room <= strlen(program))
        return ctl_fail(EXIT_CODE_TEMPORARY, "cannot tell where this program lies", "");
    (void)snprintf(slash + 1, room, "%s", program);
    (void)execv(path, argv);
    (void)fprintf(stderr, "tributaryctl: %s: %s\n", path, strerror(errno));
    return EXIT_CODE_TEMPORARY;
}

/* "spool:" at the start of a line. */
static bool is_key(const char *line, const char *key)
{
    size_t length = strlen(key);
    return strncmp(line, key, length) == 0 && line[length] == ':';
}

/* NULL: told why not. */
static const char *program_of(const char *file)
{
    char line[LINE_BYTES];
    bool replica = false, spool = false, store = false;
    FILE *in = fopen(file, "re");
    if (in == NULL) {
        (void)fprintf(stderr, "tributaryctl: %s: %s\n", file, strerror(errno));
        return NULL;
    }
    while (fgets(line, sizeof(line), in) != NULL) {
        replica = replica || is_key(line, "replica");
        spool = spool || is_key(line, "spool");
        store = store || is_key(line, "store");
    }
    (void)fclose(in);
    if (replica || spool || store)
        return replica ? "tributary-regional" : spool ? "tributary-edge" : "tributary-global";
    (void)ctl_fail(0, file, ": no key tells whose it is; say --as edge, regional or global");
    return NULL;
}

int ctl_config(int argc, char **argv)
{
    static char config[] = "--config", check[] = "--check-config";
    const char *program = NULL;
    char *file = NULL;
    char named[64] = "";
    if (argc < 2 || strcmp(argv[1], "check") != 0)
        return ctl_fail(EXIT_CODE_USAGE, "say config check FILE; try --help", "");
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--as") == 0 && i + 1 < argc &&
            (strcmp(argv[i + 1], "edge") == 0 || strcmp(argv[i + 1], "regional") == 0 ||
             strcmp(argv[i + 1], "global") == 0))
            (void)snprintf(named, sizeof(named), "tributary-%s", argv[++i]);
        else if (argv[i][0] != '-' && file == NULL)
            file = argv[i];
        else
            return ctl_fail(EXIT_CODE_USAGE,
                            "unknown or incomplete argument; try --help: ", argv[i]);
    }
    if (file == NULL)
        return ctl_fail(EXIT_CODE_USAGE, "name a file; try --help", "");
    program = named[0] != '\0' ? named : program_of(file);
    if (program == NULL)
        return EXIT_CODE_CONFIG;
    char name[64];
    (void)snprintf(name, sizeof(name), "%s", program);
    return become(program, (char *[]){name, config, file, check, NULL});
}

int ctl_token(int argc, char **argv)
{
    static char program[] = "tributary-global";
    char **words = base_zalloc((size_t)argc + 2, sizeof(*words));
    words[0] = program;
    for (int i = 0; i < argc; i++)
        words[i + 1] = argv[i];
    int code = become(program, words);
    free(words);
    return code;
}
