/* SPDX-License-Identifier: Apache-2.0
 * options: loads one YAML file by a libcyaml schema, with errors that name line and column.
 * Audience: shells. At start-up only. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"

#include <cyaml/cyaml.h>

/* On ERR_CONFIG, *out_error holds one sentence for a person: file:line:column: field: what is wrong
 * (malloc'ed text). Unknown keys, missing files and unreadable files are errors as well. */
enum err WARN_UNUSED options_load(const char *path, const cyaml_schema_value_t *schema,
                                  void **out_config, char **out_error);
void options_free(const cyaml_schema_value_t *schema, void *config);

/* A field `bool *member`: true or false and no other word (libcyaml's own takes "off" for true).
 * NULL where it is not given, until options_switch_default. */
#define OPTIONS_SWITCH(key, structure, member)                                                     \
    CYAML_FIELD_ENUM_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT,        \
                         structure, member, options_switch_words, 2)
extern const cyaml_strval_t options_switch_words[2];
void options_switch_default(bool **member, bool otherwise);

/* Reads a secret from a file: trailing newline cut. ERR_CONFIG if it is missing, empty, longer than
 * max, or may be read by group or others; *out_error as above. */
enum err WARN_UNUSED options_secret(const char *path, size_t length_max, struct buf *out,
                                    char **out_error);

/* "host:port", "[v6]:port" -> parts. */
bool options_address(const char *text, char *out_host, size_t host_size, uint16_t *out_port);

/* Common command line of all programs: --config FILE, --check-config, --help, --version. Prints
 * help and version itself. Returns true when the program should go on with *out; else exit with
 * *out_exit (0 or 64 = usage). */
struct options_line {
    const char *config;
    bool check_only;
};
bool options_command_line(int argc, char **argv, const char *help, struct options_line *out,
                          int *out_exit);
/* Exit codes that mean something: 0 clean, 64 usage, 78 configuration, 70 stopped because unfit, 75
 * cannot bind or open now. */
enum {
    EXIT_CODE_USAGE = 64,
    EXIT_CODE_UNFIT = 70,
    EXIT_CODE_TEMPORARY = 75,
    EXIT_CODE_CONFIG = 78
};
