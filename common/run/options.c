/* SPDX-License-Identifier: Apache-2.0
 * options: configuration file, secret files, addresses and the command line.
 * Audience: see options.h. */
#include "common/run/options.h"

#include "common/run/options_check.h"
#include "common/run/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (1024 * 1024)

PRINTF_LIKE(2, 3)
static enum err refuse(char **out_error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(out_error, format, arguments);
    va_end(arguments);
    CHECK(length >= 0);
    return ERR_CONFIG;
}

/* Reads a whole regular file; `private`: refuses one that group or others may read or write. */
static enum err read_file(const char *path, bool private, size_t length_max, struct buf *out,
                          char **out_error)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file < 0)
        return refuse(out_error, "%s: cannot be opened: %s", path, strerror(errno));
    struct stat stat;
    enum err err = ERR_OK;
    if (fstat(file, &stat) != 0 || !S_ISREG(stat.st_mode))
        err = refuse(out_error, "%s: is not a regular file", path);
    else if (private && !secret_file_is_private(path, stat.st_mode))
        err = refuse(out_error,
                     "%s: holds a secret, but group or others may access it (mode %04o): chmod 600",
                     path, (unsigned)stat.st_mode & 07777U);
    while (err == ERR_OK && out->length <= length_max) {
        buf_reserve(out, 4096);
        ssize_t got = read(file, out->data + out->length, 4096);
        if (got == 0)
            break;
        if (got > 0)
            out->length += (size_t)got;
        else if (errno != EINTR)
            err = refuse(out_error, "%s: cannot be read: %s", path, strerror(errno));
    }
    (void)close(file);
    if (err == ERR_OK && out->length > length_max)
        err = refuse(out_error, "%s: is longer than %zu bytes", path, length_max);
    return err;
}

/* libcyaml says what is wrong in its first line, then where: only the first line is news,
 * options_check has passed. */
static void collect(cyaml_log_t level, void *context, const char *format, va_list arguments)
{
    char *first = context;
    if (level >= CYAML_LOG_ERROR && first[0] == '\0')
        (void)vsnprintf(first, 256, format, arguments);
}

static cyaml_config_t loader(char first_words[256])
{
    return (cyaml_config_t){.log_fn = collect,
                            .log_ctx = first_words,
                            .mem_fn = cyaml_mem,
                            .log_level = CYAML_LOG_ERROR,
                            .flags = CYAML_CFG_NO_ALIAS};
}

enum err options_load(const char *path, const cyaml_schema_value_t *schema, void **out_config,
                      char **out_error)
{
    struct buf text = {0};
    char *wrong = NULL;
    char words[256] = "";
    const cyaml_config_t config = loader(words);
    cyaml_data_t *loaded = NULL;
    enum err err = read_file(path, false, FILE_BYTES_MAX, &text, out_error);
    if (err == ERR_OK && !options_check(schema, buf_span(&text), &wrong))
        err = refuse(out_error, "%s:%s", path, wrong);
    if (err == ERR_OK) {
        cyaml_err_t code = cyaml_load_data(text.data, text.length, &config, schema, &loaded, NULL);
        words[strcspn(words, "\n")] = '\0';
        if (code != CYAML_OK || loaded == NULL)
            err = refuse(out_error, "%s: %s: %s", path, cyaml_strerror(code), words);
    }
    free(wrong);
    buf_done(&text);
    if (err == ERR_OK)
        *out_config = loaded;
    return err;
}

const cyaml_strval_t options_switch_words[2] = {{"false", false}, {"true", true}};

void options_switch_default(bool **member, bool otherwise)
{
    if (*member != NULL)
        return;
    *member = base_alloc(sizeof(**member));
    **member = otherwise;
}

void options_free(const cyaml_schema_value_t *schema, void *config)
{
    char words[256] = "";
    const cyaml_config_t how = loader(words);
    if (config != NULL)
        CHECK(cyaml_free(&how, schema, config, 0) == CYAML_OK);
}

enum err options_secret(const char *path, size_t length_max, struct buf *out, char **out_error)
{
    struct buf secret = {0};
    /* Two more: the newline that is cut may be CR LF. */
    enum err err = read_file(path, true, length_max + 2, &secret, out_error);
    if (err == ERR_OK) {
        if (secret.length > 0 && secret.data[secret.length - 1] == '\n')
            secret.length--;
        if (secret.length > 0 && secret.data[secret.length - 1] == '\r')
            secret.length--;
        if (secret.length == 0)
            err = refuse(out_error, "%s: is empty", path);
        else if (secret.length > length_max)
            err = refuse(out_error, "%s: is longer than %zu bytes", path, length_max);
    }
    if (err == ERR_OK)
        buf_put(out, secret.data, secret.length);
    if (secret.data != NULL)
        explicit_bzero(secret.data, secret.capacity);
    buf_done(&secret);
    return err;
}

bool options_address(const char *text, char *out_host, size_t host_size, uint16_t *out_port)
{
    const char *host = text;
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return false;
    size_t length = (size_t)(colon - text);
    if (text[0] == '[') {
        if (length < 3 || colon[-1] != ']')
            return false;
        host++;
        length -= 2;
    } else if (memchr(text, ':', length) != NULL) {
        return false; /* an IPv6 address without brackets */
    }
    const size_t digits = strspn(colon + 1, "0123456789");
    if (length == 0 || length >= host_size || digits == 0 || digits > 5 ||
        colon[1 + digits] != '\0')
        return false;
    if (memchr(host, '[', length) != NULL || memchr(host, ']', length) != NULL)
        return false;
    const unsigned long port = strtoul(colon + 1, NULL, 10);
    if (port > UINT16_MAX)
        return false;
    memcpy(out_host, host, length);
    out_host[length] = '\0';
    *out_port = (uint16_t)port;
    return true;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static bool usage(const char *program, const char *what, const char *argument, int *out_exit)
{
    (void)fprintf(stderr, "%s: %s%s%s; try --help\n", program, what, argument[0] == '\0' ? "" : " ",
                  argument);
    *out_exit = EXIT_CODE_USAGE;
    return false;
}

bool options_command_line(int argc, char **argv, const char *help, struct options_line *out,
                          int *out_exit)
{
    CHECK(argc >= 1);
    const char *program = base_name(argv[0]);
    struct options_line line = {0};
    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i];
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
            (void)fputs(help, stdout);
            *out_exit = 0;
            return false;
        }
        if (strcmp(argument, "--version") == 0) {
            (void)printf("%s %s\n", program, TRIBUTARY_VERSION);
            *out_exit = 0;
            return false;
        }
        if (strcmp(argument, "--check-config") == 0) {
            line.check_only = true;
        } else if (strcmp(argument, "--config") == 0) {
            if (++i == argc)
                return usage(program, "--config needs a file", "", out_exit);
            line.config = argv[i];
        } else if (strncmp(argument, "--config=", 9) == 0) {
            line.config = argument + 9;
        } else {
            return usage(program, "unknown argument", argument, out_exit);
        }
    }
    if (line.config == NULL || line.config[0] == '\0')
        return usage(program, "--config FILE is required", "", out_exit);
    *out = line;
    return true;
}
