/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/edge_options.h"

#include "common/run/log.h"
#include "common/run/options.h"
#include "common/run/options_place.h"
#include "proto/subject.h"

#include <stdio.h>
#include <stdlib.h>

#define SPOOL_BYTES_MIN    (16ULL * 1024 * 1024)
#define SPOOL_BYTES_MAX    (1ULL << 44)
#define PASSWORD_BYTES_MAX 256
#define ORIGINS_MAX        64
#define NETWORKS_MAX       64
#define PATH_BYTES_MAX     4096

#define TEXT(key, structure, member)                                                               \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER, structure, member, 1, PATH_BYTES_MAX)
#define TEXT_OPTIONAL(key, structure, member)                                                      \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure, member, 1,    \
                           PATH_BYTES_MAX)
#define NUMBER_OPTIONAL(key, structure, member)                                                    \
    CYAML_FIELD_UINT(key, CYAML_FLAG_OPTIONAL, structure, member)

static const cyaml_schema_value_t reader_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, PATH_BYTES_MAX)};

static const cyaml_schema_field_t region_fields[] = {
    TEXT("name", struct edge_options_region, name),
    TEXT("nats_url", struct edge_options_region, nats_url),
    TEXT_OPTIONAL("user", struct edge_options_region, user),
    TEXT_OPTIONAL("password_file", struct edge_options_region, password_file),
    TEXT_OPTIONAL("domain", struct edge_options_region, domain),
    NUMBER_OPTIONAL("stream_replicas", struct edge_options_region, stream_replicas),
    CYAML_FIELD_SEQUENCE("readers", CYAML_FLAG_POINTER, struct edge_options_region, readers,
                         &reader_schema, 1, LIMIT_READERS),
    CYAML_FIELD_SEQUENCE("archivers", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                         struct edge_options_region, archivers, &reader_schema, 1,
                         LIMIT_READERS - 1),
    CYAML_FIELD_END};

static const cyaml_schema_value_t region_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct edge_options_region, region_fields)};

static const cyaml_schema_field_t tls_fields[] = {
    TEXT("certificate_file", struct edge_options_tls, certificate_file),
    TEXT("key_file", struct edge_options_tls, key_file),
    TEXT_OPTIONAL("client_ca_file", struct edge_options_tls, client_ca_file),
    TEXT_OPTIONAL("ticket_keys_file", struct edge_options_tls, ticket_keys_file), CYAML_FIELD_END};

static const cyaml_schema_field_t spool_fields[] = {
    TEXT("path", struct edge_options_spool, path),
    CYAML_FIELD_UINT("bytes", CYAML_FLAG_DEFAULT, struct edge_options_spool, bytes),
    NUMBER_OPTIONAL("degraded_percent", struct edge_options_spool, degraded_percent),
    NUMBER_OPTIONAL("reader_silent_s", struct edge_options_spool, reader_silent_s),
    CYAML_FIELD_END};

static const cyaml_schema_field_t limit_fields[] = {
    NUMBER_OPTIONAL("body_bytes", struct edge_options_limits, body_bytes),
    NUMBER_OPTIONAL("body_ratio", struct edge_options_limits, body_ratio),
    NUMBER_OPTIONAL("batch_clicks", struct edge_options_limits, batch_clicks),
    NUMBER_OPTIONAL("connections", struct edge_options_limits, connections),
    NUMBER_OPTIONAL("peer_connections", struct edge_options_limits, peer_connections),
    NUMBER_OPTIONAL("peer_connects_per_s", struct edge_options_limits, peer_connects_per_s),
    NUMBER_OPTIONAL("peer_connects_burst", struct edge_options_limits, peer_connects_burst),
    NUMBER_OPTIONAL("peer_requests_per_s", struct edge_options_limits, peer_requests_per_s),
    NUMBER_OPTIONAL("peer_requests_burst", struct edge_options_limits, peer_requests_burst),
    NUMBER_OPTIONAL("stall_ms", struct edge_options_limits, stall_ms),
    NUMBER_OPTIONAL("idle_ms", struct edge_options_limits, idle_ms),
    NUMBER_OPTIONAL("queue_ms", struct edge_options_limits, queue_ms),
    CYAML_FIELD_END};

static const cyaml_schema_value_t origin_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 256)};

static const cyaml_schema_field_t cors_fields[] = {
    CYAML_FIELD_SEQUENCE("origins", CYAML_FLAG_POINTER, struct edge_options_cors, origins,
                         &origin_schema, 1, ORIGINS_MAX),
    NUMBER_OPTIONAL("max_age_s", struct edge_options_cors, max_age_s), CYAML_FIELD_END};

static const cyaml_schema_value_t network_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 64)};

static const cyaml_schema_field_t proxy_fields[] = {
    CYAML_FIELD_SEQUENCE("proxy_protocol_from", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                         struct edge_options_proxies, proxy_protocol_from, &network_schema, 1,
                         NETWORKS_MAX),
    CYAML_FIELD_SEQUENCE("forwarded_from", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                         struct edge_options_proxies, forwarded_from, &network_schema, 1,
                         NETWORKS_MAX),
    CYAML_FIELD_END};

/* The one table of keys; docs and defaults are in infra's example and fill_defaults. */
static const cyaml_schema_field_t fields[] = {
    TEXT("id", struct edge_options, id),
    TEXT("region", struct edge_options, region),
    TEXT("listen", struct edge_options, listen),
    TEXT("admin_listen", struct edge_options, admin_listen),
    TEXT_OPTIONAL("ports_file", struct edge_options, ports_file),
    TEXT("dedupe_key_file", struct edge_options, dedupe_key_file),
    TEXT_OPTIONAL("log_level", struct edge_options, log_level),
    NUMBER_OPTIONAL("workers", struct edge_options, workers),
    NUMBER_OPTIONAL("partitions", struct edge_options, partitions),
    NUMBER_OPTIONAL("partitions_first", struct edge_options, partitions_first),
    NUMBER_OPTIONAL("horizon_hours", struct edge_options, horizon_hours),
    NUMBER_OPTIONAL("heartbeat_ms", struct edge_options, heartbeat_ms),
    NUMBER_OPTIONAL("publish_timeout_ms", struct edge_options, publish_timeout_ms),
    CYAML_FIELD_UINT_PTR("replication_budget_ms", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                         struct edge_options, replication_budget_ms),
    OPTIONS_SWITCH("http1", struct edge_options, http1),
    CYAML_FIELD_MAPPING("tls", CYAML_FLAG_DEFAULT, struct edge_options, tls, tls_fields),
    CYAML_FIELD_MAPPING("spool", CYAML_FLAG_DEFAULT, struct edge_options, spool, spool_fields),
    CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct edge_options, limits, limit_fields),
    CYAML_FIELD_MAPPING("cors", CYAML_FLAG_OPTIONAL, struct edge_options, cors, cors_fields),
    CYAML_FIELD_MAPPING("proxies", CYAML_FLAG_OPTIONAL, struct edge_options, proxies, proxy_fields),
    CYAML_FIELD_SEQUENCE("regions", CYAML_FLAG_POINTER, struct edge_options, regions,
                         &region_schema, 1, LIMIT_REGIONS),
    CYAML_FIELD_END};

static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct edge_options, fields)};

static void default_u32(uint32_t *value, uint32_t otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

/* Two seconds' worth; a rate beyond its range is refused later. */
static uint32_t peer_burst(uint32_t per_s)
{
    return per_s == 0 ? 1 : (uint32_t)base_min_u64(2ULL * per_s, UINT32_MAX);
}

static void fill_defaults(struct edge_options *o)
{
    default_u32(&o->partitions, 4);
    default_u32(&o->partitions_first, o->partitions);
    default_u32(&o->horizon_hours, 24);
    default_u32(&o->heartbeat_ms, 30000);
    default_u32(&o->publish_timeout_ms, 5000);
    default_u32(&o->spool.degraded_percent, 90);
    default_u32(&o->spool.reader_silent_s, 300);
    default_u32(&o->limits.body_bytes, LIMIT_BODY_BYTES);
    default_u32(&o->limits.body_ratio, 100);
    default_u32(&o->limits.batch_clicks, LIMIT_BATCH_CLICKS);
    default_u32(&o->limits.connections, 4096);
    default_u32(&o->limits.peer_connections, 1024);
    default_u32(&o->limits.peer_connects_per_s, 200);
    default_u32(&o->limits.peer_connects_burst, 2000);
    default_u32(&o->limits.peer_requests_burst, peer_burst(o->limits.peer_requests_per_s));
    default_u32(&o->limits.stall_ms, 8000); /* with the sweep's second, under ten */
    default_u32(&o->limits.idle_ms, 60000);
    default_u32(&o->limits.queue_ms, 15);
    default_u32(&o->cors.max_age_s, 7200); /* the most that browsers keep */
    for (uint32_t i = 0; i < o->regions_count; i++)
        default_u32(&o->regions[i].stream_replicas, 1);
    if (o->replication_budget_ms == NULL) {
        o->replication_budget_ms = base_alloc(sizeof(*o->replication_budget_ms));
        *o->replication_budget_ms = 30;
    }
    options_switch_default(&o->http1, true);
}

struct range {
    const char *key;
    uint64_t value, lowest, highest;
};

static enum err check_ranges(const char *path, const struct edge_options *o, char **out_error)
{
    const struct range ranges[] = {
        {"workers", o->workers, 0, 256},
        {"partitions", o->partitions, 1, LIMIT_PARTITIONS},
        {"partitions_first", o->partitions_first, 1, o->partitions},
        {"horizon_hours", o->horizon_hours, 1, LIMIT_HORIZON_MINUTES / 60},
        {"replication_budget_ms", *o->replication_budget_ms, 0, 10000},
        {"heartbeat_ms", o->heartbeat_ms, 100, LIMIT_SILENT_MS / 2},
        {"publish_timeout_ms", o->publish_timeout_ms, 100, 60000},
        {"spool.bytes", o->spool.bytes, SPOOL_BYTES_MIN, SPOOL_BYTES_MAX},
        {"spool.degraded_percent", o->spool.degraded_percent, 20, 100},
        {"spool.reader_silent_s", o->spool.reader_silent_s, 15, 86400},
        {"limits.body_bytes", o->limits.body_bytes, LIMIT_CLICK_BYTES, LIMIT_BODY_BYTES},
        {"limits.body_ratio", o->limits.body_ratio, 1, 100000},
        {"limits.batch_clicks", o->limits.batch_clicks, 1, LIMIT_BATCH_CLICKS},
        {"limits.connections", o->limits.connections, 1, 1000000},
        {"limits.peer_connections", o->limits.peer_connections, 1, 1000000},
        {"limits.peer_connects_per_s", o->limits.peer_connects_per_s, 1, 1000000},
        {"limits.peer_connects_burst", o->limits.peer_connects_burst, 1, 1000000},
        {"limits.peer_requests_per_s", o->limits.peer_requests_per_s, 0, 1000000},
        {"limits.peer_requests_burst", o->limits.peer_requests_burst, 1, 10000000},
        {"limits.stall_ms", o->limits.stall_ms, 100, 600000},
        {"cors.max_age_s", o->cors.max_age_s, 1, 86400},
        {"limits.idle_ms", o->limits.idle_ms, 100, 3600000},
        {"limits.queue_ms", o->limits.queue_ms, 1, 60000},
    };
    for (size_t i = 0; i < countof(ranges); i++)
        if (ranges[i].value < ranges[i].lowest || ranges[i].value > ranges[i].highest)
            return options_wrong(path, ranges[i].key, out_error, "must be from %llu to %llu",
                                 (unsigned long long)ranges[i].lowest,
                                 (unsigned long long)ranges[i].highest);
    return ERR_OK;
}

#define NAME_RULE "must be a lower-case letter, then at most %d letters, digits or hyphens"

/* Folds, and behind them the archivers. */
static const char *reader_name(const struct edge_options_region *region, uint32_t at)
{
    return at < region->readers_count ? region->readers[at]
                                      : region->archivers[at - region->readers_count];
}

static enum err check_readers(const char *path, const struct edge_options_region *region,
                              uint32_t index, char **out_error)
{
    uint32_t count = region->readers_count + region->archivers_count;
    char key[64];
    for (uint32_t i = 0; i < count; i++) {
        bool folds = i < region->readers_count;
        (void)snprintf(key, sizeof(key), "regions[%u].%s[%u]", index,
                       folds ? "readers" : "archivers", folds ? i : i - region->readers_count);
        if (!subject_name_is_valid(reader_name(region, i), LIMIT_READER_NAME_BYTES))
            return options_wrong(path, key, out_error, NAME_RULE, LIMIT_READER_NAME_BYTES - 1);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(reader_name(region, i), reader_name(region, j)) == 0)
                return options_wrong(path, key, out_error, "is listed twice");
        if (i == LIMIT_READERS)
            return options_wrong(path, key, out_error, "is one too many: %d readers and archivers",
                                 LIMIT_READERS);
    }
    return ERR_OK;
}

void edge_options_region_fill(const struct edge_options *o, uint32_t index, struct edge_region *out)
{
    const struct edge_options_region *region = &o->regions[index];
    (void)snprintf(out->name, sizeof(out->name), "%s", region->name);
    out->reader_count = region->readers_count + region->archivers_count;
    CHECK(out->reader_count <= LIMIT_READERS);
    for (uint32_t i = 0; i < out->reader_count; i++) {
        (void)snprintf(out->readers[i], sizeof(out->readers[i]), "%s", reader_name(region, i));
        out->archivers |= i < region->readers_count ? 0 : 1u << i;
    }
}

static enum err check_region(const char *path, const struct edge_options *o, uint32_t index,
                             char **out_error)
{
    const struct edge_options_region *region = &o->regions[index];
    char key[64];

    (void)snprintf(key, sizeof(key), "regions[%u].name", index);
    if (!subject_name_is_valid(region->name, LIMIT_REGION_NAME_BYTES))
        return options_wrong(path, key, out_error, NAME_RULE, LIMIT_REGION_NAME_BYTES - 1);
    for (uint32_t i = 0; i < index; i++)
        if (strcmp(o->regions[i].name, region->name) == 0)
            return options_wrong(path, key, out_error, "is already the name of regions[%u]", i);
    enum err err = check_readers(path, region, index, out_error);
    if (err != ERR_OK)
        return err;
    (void)snprintf(key, sizeof(key), "regions[%u].stream_replicas", index);
    if (region->stream_replicas > 5)
        return options_wrong(path, key, out_error, "must be from 1 to 5");
    (void)snprintf(key, sizeof(key), "regions[%u].password_file", index);
    if (region->password_file != NULL && region->user == NULL)
        return options_wrong(path, key, out_error, "needs a user beside it");
    return ERR_OK;
}

/* Compared byte by byte with what browsers send: scheme, host, port, nothing behind. */
static enum err check_origins(const char *path, const struct edge_options_cors *cors,
                              char **out_error)
{
    for (uint32_t i = 0; i < cors->origins_count; i++) {
        const char *origin = cors->origins[i], *host = strstr(origin, "://");
        char key[32];
        (void)snprintf(key, sizeof(key), "cors.origins[%u]", i);
        if (strcmp(origin, "*") == 0 && cors->origins_count == 1)
            continue;
        bool good =
            host != NULL && host != origin && host[3] != '\0' && strpbrk(host + 3, "/?#@*") == NULL;
        for (const char *at = origin; good && *at != '\0'; at++)
            good = *at > ' ' && *at < 0x7f && !(*at >= 'A' && *at <= 'Z');
        if (!good)
            return options_wrong(path, key, out_error,
                                 "must be like https://shop.example or https://shop.example:8443, "
                                 "in lower case; or a lone *");
    }
    return ERR_OK;
}

static enum err read_networks(const char *path, const char *key, char *const *texts, uint32_t count,
                              struct proxy_network **out, char **out_error)
{
    *out = base_zalloc(count, sizeof(**out));
    for (uint32_t i = 0; i < count; i++) {
        char name[64];
        (void)snprintf(name, sizeof(name), "proxies.%s[%u]", key, i);
        if (!proxy_header_network_parse(texts[i], &(*out)[i]))
            return options_wrong(path, name, out_error,
                                 "must be a network like 10.0.0.0/8 or 2001:db8::/32, without bits "
                                 "beyond its mask");
    }
    return ERR_OK;
}

static enum err read_proxies(const char *path, struct edge_options *o, char **out_error)
{
    const struct edge_options_proxies *p = &o->proxies;
    enum err err = read_networks(path, "proxy_protocol_from", p->proxy_protocol_from,
                                 p->proxy_protocol_from_count, &o->proxy_networks, out_error);
    if (err != ERR_OK)
        return err;
    return read_networks(path, "forwarded_from", p->forwarded_from, p->forwarded_from_count,
                         &o->forwarded_networks, out_error);
}

static enum err check_names(const char *path, struct edge_options *o, char **out_error)
{
    enum log_level level;
    char host[256];
    uint16_t port;

    if (!subject_name_is_valid(o->id, LIMIT_EDGE_NAME_BYTES))
        return options_wrong(path, "id", out_error, NAME_RULE, LIMIT_EDGE_NAME_BYTES - 1);
    if (!options_address(o->listen, host, sizeof(host), &port))
        return options_wrong(path, "listen", out_error, "must be host:port or [v6]:port");
    if (!options_address(o->admin_listen, host, sizeof(host), &port))
        return options_wrong(path, "admin_listen", out_error, "must be host:port or [v6]:port");
    if (o->log_level != NULL && !log_level_parse(o->log_level, &level))
        return options_wrong(path, "log_level", out_error, "must be debug, info, warn or error");
    enum err err = check_origins(path, &o->cors, out_error);
    if (err != ERR_OK)
        return err;
    for (uint32_t i = 0; i < o->regions_count; i++) {
        err = check_region(path, o, i, out_error);
        if (err != ERR_OK)
            return err;
    }
    for (uint32_t i = 0; i < o->regions_count; i++)
        if (strcmp(o->regions[i].name, o->region) == 0) {
            o->own_region = i;
            return ERR_OK;
        }
    return options_wrong(path, "region", out_error, "is not the name of one of the regions below");
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool edge_options_key_parse(struct span text, uint8_t out_key[HASH_KEY_BYTES])
{
    if (text.length == HASH_KEY_BYTES) {
        memcpy(out_key, text.data, HASH_KEY_BYTES);
        return true;
    }
    if (text.length != 2 * HASH_KEY_BYTES)
        return false;
    for (size_t i = 0; i < HASH_KEY_BYTES; i++) {
        int high = hex_digit(text.data[2 * i]), low = hex_digit(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out_key[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static void wipe(struct buf *secret)
{
    if (secret->data != NULL)
        explicit_bzero(secret->data, secret->capacity);
    buf_done(secret);
}

/* A secret's own error names its file; here it gets the key that named it. */
static enum err secret_wrong(const char *path, const char *key, char *why, char **out_error)
{
    enum err err = options_wrong(path, key, out_error, "%s", why);
    free(why);
    return err;
}

/* One raw key in 256 ends with what options_secret cuts as a newline. */
static void read_raw_key(const char *path, struct buf *key)
{
    uint8_t bytes[HASH_KEY_BYTES + 1];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    size_t length = fread(bytes, 1, sizeof(bytes), file);
    (void)fclose(file);
    if (length == HASH_KEY_BYTES) {
        buf_clear(key);
        buf_put(key, bytes, length);
    }
    explicit_bzero(bytes, sizeof(bytes));
}

static enum err read_secrets(const char *path, struct edge_options *o, char **out_error)
{
    struct buf key = {0};
    char *why = NULL;
    enum err err = options_secret(o->dedupe_key_file, 2 * HASH_KEY_BYTES, &key, &why);
    if (err != ERR_OK)
        return secret_wrong(path, "dedupe_key_file", why, out_error);
    if (key.length < HASH_KEY_BYTES)
        read_raw_key(o->dedupe_key_file, &key);
    if (!edge_options_key_parse(buf_span(&key), o->dedupe_key))
        err = options_wrong(path, "dedupe_key_file", out_error,
                            "%s: must hold 16 raw bytes or 32 hex digits", o->dedupe_key_file);
    wipe(&key);

    o->passwords = base_zalloc(o->regions_count, sizeof(*o->passwords));
    for (uint32_t i = 0; err == ERR_OK && i < o->regions_count; i++) {
        char name[64];
        if (o->regions[i].password_file == NULL)
            continue;
        (void)snprintf(name, sizeof(name), "regions[%u].password_file", i);
        if (options_secret(o->regions[i].password_file, PASSWORD_BYTES_MAX, &o->passwords[i],
                           &why) != ERR_OK)
            err = secret_wrong(path, name, why, out_error);
        else
            buf_put_u8(&o->passwords[i], 0); /* the client library wants a C string */
    }
    return err;
}

enum err edge_options_load(const char *path, struct edge_options **out, char **out_error)
{
    void *loaded = NULL;
    enum err err = options_load(path, &schema, &loaded, out_error);
    if (err != ERR_OK)
        return err;

    struct edge_options *o = loaded;
    fill_defaults(o);
    err = check_ranges(path, o, out_error);
    if (err == ERR_OK)
        err = check_names(path, o, out_error);
    if (err == ERR_OK)
        err = read_proxies(path, o, out_error);
    if (err == ERR_OK)
        err = read_secrets(path, o, out_error);
    if (err != ERR_OK) {
        edge_options_free(o);
        return err;
    }
    *out = o;
    return ERR_OK;
}

void edge_options_free(struct edge_options *o)
{
    if (o == NULL)
        return;
    for (uint32_t i = 0; o->passwords != NULL && i < o->regions_count; i++)
        wipe(&o->passwords[i]);
    free(o->passwords);
    free(o->proxy_networks);
    free(o->forwarded_networks);
    explicit_bzero(o->dedupe_key, sizeof(o->dedupe_key));
    options_free(&schema, o);
}
