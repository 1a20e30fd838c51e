/* SPDX-License-Identifier: Apache-2.0
 * global_options: the configuration of tributary-global.
 * Audience: global shell, tests. At start-up only. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/limits.h"

struct global_options_nats {
    char *url, *user, *password_file, *domain; /* but for url: may be NULL */
    uint16_t stream_replicas;                  /* 0: 1 */
};

struct global_options_region {
    char *name;
    struct global_options_nats nats;
};

struct global_options_tls {
    char *certificate_file, *key_file, *client_ca_file; /* the last may be NULL */
};

struct global_options_store {
    char *path;
    uint64_t bytes;
};

struct global_options_retention {
    uint32_t minutes_days, hours_days; /* 0 in the file, or absent: 35 and 730 */
};

struct global_options_auth {
    char *tokens_file, *key_file;
    char *read_log; /* may be NULL */
};

struct global_options {
    char *id, *listen, *admin_listen;
    char *ports_file, *log_level; /* may be NULL */
    char *zoneinfo;               /* folder of the time zone database; may be NULL */
    uint16_t workers;             /* 0 in the file, or absent: 2 */
    bool *http1;                  /* on where not given; never NULL after the load */
    uint16_t streams;             /* 0 in the file, or absent: 64 */
    uint16_t token_streams;       /* 0 in the file, or absent: 8 */
    struct global_options_tls tls;
    struct global_options_store store;
    struct global_options_retention retention;
    struct global_options_auth *auth; /* NULL: open to all who reach the port */
    struct global_options_region *regions;
    unsigned regions_count;
};

/* Loads and checks all of it, secrets and addresses too. On ERR_CONFIG *out_error is one sentence
 * (malloc'ed). */
enum err WARN_UNUSED global_options_load(const char *path, struct global_options **out,
                                         char **out_error);
void global_options_free(struct global_options *options);

extern const char global_options_help[];
