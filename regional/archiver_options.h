/* SPDX-License-Identifier: Apache-2.0
 * archiver_options: the configuration of tributary-archiver.
 * Audience: regional shell, tests. At start-up only. */
#pragma once

#include "regional/core/archive_object.h"
#include "regional/regional_options.h"

struct archiver_options_s3 {
    char *endpoint, *region, *bucket, *access_key_file, *secret_key_file;
    char *prefix, *session_token_file, *storage_class, *ca_file; /* may be NULL */
    bool path_style;
    uint64_t part_bytes; /* 0 in the file, or absent: 16 MiB */
    uint32_t timeout_ms; /* of one request; default 60000 */
};

struct archiver_options_archive {
    char *folder; /* this one or s3, not both: the other is NULL */
    struct archiver_options_s3 *s3;
    char *codec;            /* NULL: snappy */
    uint64_t object_bytes;  /* default 64 MiB */
    uint64_t buffer_bytes;  /* default 256 MiB */
    uint32_t object_age_ms; /* default 300000 */
};

struct archiver_options_privacy {
    char *ip; /* NULL: full */
};

struct archiver_options_file {
    char *archiver, *region, *admin_listen;
    char *partitions, *ports_file, *log_level; /* may be NULL */
    uint16_t partitions_total;
    uint32_t behind_ms;
    struct regional_options_store store;
    struct regional_options_nats nats;
    struct archiver_options_archive archive;
    struct archiver_options_privacy privacy;
    /* What the texts mean; filled in by the load. */
    enum archive_codec codec;
    enum archive_ip ip;
};

/* Loads and checks all of it, secrets and addresses too. On ERR_CONFIG *out_error is one sentence
 * (malloc'ed). */
enum err WARN_UNUSED archiver_options_load(const char *path, struct archiver_options_file **out,
                                           char **out_error);
void archiver_options_free(struct archiver_options_file *options);

extern const char archiver_options_help[];
