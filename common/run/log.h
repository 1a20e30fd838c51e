/* SPDX-License-Identifier: Apache-2.0
 * log: one line an event, logfmt, to standard error; values are quoted and escaped, so that no
 * input can forge a line. Audience: drivers' callers and shells; cores never log. Any thread.
 *
 *   log_info("edge", "listening", "addr", "%s", text, NULL) would be unsafe to type; hence fields
 * as structs: log_write(LOG_INFO, "listening", (struct log_field[]){log_text("addr", addr),
 * log_u64("port", port)}, 2); */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
    const char *name;
    enum { LOG_TEXT, LOG_NUMBER, LOG_SPAN } kind;
    const char *text;
    uint64_t number;
    struct span bytes;
};

static inline struct log_field log_text(const char *name, const char *text)
{
    return (struct log_field){.name = name, .kind = LOG_TEXT, .text = text};
}
static inline struct log_field log_u64(const char *name, uint64_t number)
{
    return (struct log_field){.name = name, .kind = LOG_NUMBER, .number = number};
}
static inline struct log_field log_bytes(const char *name, struct span bytes)
{
    return (struct log_field){.name = name, .kind = LOG_SPAN, .bytes = bytes};
}
static inline struct log_field log_err(enum err err)
{
    return log_text("err", err_words(err));
}

/* Before threads start. `program` is printed as prog=. */
void log_init(const char *program, enum log_level lowest);
/* Another level from now on; any thread. */
void log_lowest(enum log_level lowest);
/* "debug", "info", "warn", "error"; false for anything else. */
bool log_level_parse(const char *text, enum log_level *out);
void log_write(enum log_level level, const char *message, const struct log_field *fields,
               size_t count);

#define log_debug(message, ...) LOG_CALL(LOG_DEBUG, message, __VA_ARGS__)
#define log_info(message, ...)  LOG_CALL(LOG_INFO, message, __VA_ARGS__)
#define log_warn(message, ...)  LOG_CALL(LOG_WARN, message, __VA_ARGS__)
#define log_error(message, ...) LOG_CALL(LOG_ERROR, message, __VA_ARGS__)
/* log_info("started", log_u64("port", p)); at least one field. */
#define LOG_CALL(level, message, ...)                                                              \
    log_write((level), (message), (const struct log_field[]){__VA_ARGS__},                         \
              sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))
