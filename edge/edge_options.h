/* SPDX-License-Identifier: Apache-2.0
 * edge_options: the configuration of tributary-edge: one YAML file, one table, every value checked.
 * Audience: edge shell, tests. At start-up only. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/limits.h"
#include "common/run/proxy_header.h"
#include "edge/edge_pipeline.h"

/* Keys as in the file; optional ones got their defaults in edge_options_load. */
struct edge_options_region {
    char *name, *nats_url;
    char *user, *password_file, *domain; /* NULL where not given */
    uint32_t stream_replicas;
    char **readers, **archivers;
    uint32_t readers_count, archivers_count;
};

struct edge_options_tls {
    char *certificate_file, *key_file, *client_ca_file, *ticket_keys_file;
};

struct edge_options_spool {
    char *path;
    uint64_t bytes;
    uint32_t degraded_percent, reader_silent_s;
};

/* Small bodies may unpack to any ratio: the text of one click repeats itself a lot. */
#define BODY_RATIO_FREE_BYTES 65536

struct edge_options_limits {
    uint32_t body_bytes, batch_clicks, connections, stall_ms, idle_ms, queue_ms;
    /* by client address; peer_requests_per_s 0: no limit */
    uint32_t peer_connections, peer_connects_per_s, peer_connects_burst;
    uint32_t peer_requests_per_s, peer_requests_burst;
    uint32_t body_ratio; /* unpacked : packed, from 64 KiB up */
};

struct edge_options_cors {
    char **origins;
    uint32_t origins_count;
    uint32_t max_age_s;
};

/* Networks, "10.0.0.0/8"; see h2_server_options. */
struct edge_options_proxies {
    char **proxy_protocol_from, **forwarded_from;
    uint32_t proxy_protocol_from_count, forwarded_from_count;
};

struct edge_options {
    char *id, *region, *listen, *admin_listen, *ports_file, *dedupe_key_file, *log_level;
    uint32_t workers, partitions, partitions_first, horizon_hours, heartbeat_ms, publish_timeout_ms;
    uint32_t *replication_budget_ms; /* 0 has a meaning; never NULL after the load */
    bool *http1;                     /* on where not given; never NULL after the load */
    struct edge_options_tls tls;
    struct edge_options_spool spool;
    struct edge_options_limits limits;
    struct edge_options_cors cors;
    struct edge_options_proxies proxies;
    struct edge_options_region *regions;
    uint32_t regions_count;
    /* made by the load */
    uint32_t own_region;
    uint8_t dedupe_key[HASH_KEY_BYTES];
    struct proxy_network *proxy_networks, *forwarded_networks;
    struct buf *passwords; /* one a region; empty: none */
};

/* Loads, completes and checks; reads the secrets. ERR_CONFIG with one sentence in *out_error
 * (malloc'ed): file:line:column: key: what is wrong. */
enum err WARN_UNUSED edge_options_load(const char *path, struct edge_options **out,
                                       char **out_error);
void edge_options_free(struct edge_options *o);

/* Name and readers of one region, as the driver wants them; its bus is the caller's to add. */
void edge_options_region_fill(const struct edge_options *o, uint32_t index,
                              struct edge_region *out);

/* 16 raw bytes, or 32 hex digits. */
bool edge_options_key_parse(struct span text, uint8_t out_key[HASH_KEY_BYTES]);
