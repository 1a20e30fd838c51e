/* SPDX-License-Identifier: Apache-2.0
 * regional_options: the configuration of tributary-regional, which tributaryctl reads as well.
 * Audience: regional shell, tributaryctl, tests. At start-up only. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/limits.h"

struct regional_options_nats {
    char *url, *user, *password_file, *domain; /* but for url: may be NULL */
    uint16_t stream_replicas;                  /* 0 in the file, or absent: 1 */
    uint64_t stream_bytes;                     /* of each stream; 0: as much as the servers have */
};

struct regional_options_store {
    char *path;
    uint64_t bytes;
};

struct regional_options {
    char *replica, *region, *admin_listen;
    char *partitions, *ports_file, *log_level; /* may be NULL */
    uint16_t partitions_total, partitions_first;
    uint32_t allowed_lateness_ms, horizon_hours, partial_interval_ms;
    uint32_t behind_ms, settle_ms, memory_mib; /* memory_mib 0: no bound */
    char *closed_minutes;                      /* store or memory; may be NULL: store */
    struct regional_options_store store;
    struct regional_options_nats nats;
};

/* Loads and checks all of it, secrets and addresses too. On ERR_CONFIG *out_error is one sentence
 * (malloc'ed). */
enum err WARN_UNUSED regional_options_load(const char *path, struct regional_options **out,
                                           char **out_error);
void regional_options_free(struct regional_options *options);

/* As the fold takes it: 0 when closed minutes stay in memory. */
uint32_t regional_options_settle_ms(const struct regional_options *options);

/* "0-3", "0,2", "1-2,5"; NULL: all. Ascending, without repeats. `out` holds LIMIT_PARTITIONS.
 * Returns how many, 0 for a text that is wrong. */
uint32_t regional_options_partitions(const char *text, uint16_t partitions_total, uint16_t *out);

extern const char regional_options_help[];
