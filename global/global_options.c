/* SPDX-License-Identifier: Apache-2.0
 * global_options: the configuration of tributary-global. */
#include "global/global_options.h"

#include "common/run/clock_os.h"
#include "common/run/log.h"
#include "common/run/options.h"
#include "global/core/retire.h"
#include "global/global_tokens.h"
#include "proto/subject.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_BYTES         4096
#define STORE_BYTES_MIN    (16ULL * 1024 * 1024)
#define PASSWORD_BYTES_MAX 256
#define STREAMS_MAX        1024u
#define MINUTES_DAYS       35
#define HOURS_DAYS         730

#define TEXT(key, flags, type, member)                                                             \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | (flags), type, member, 1, PATH_BYTES)

static const cyaml_schema_field_t nats_fields[] = {
    TEXT("url", 0, struct global_options_nats, url),
    TEXT("user", CYAML_FLAG_OPTIONAL, struct global_options_nats, user),
    TEXT("password_file", CYAML_FLAG_OPTIONAL, struct global_options_nats, password_file),
    TEXT("domain", CYAML_FLAG_OPTIONAL, struct global_options_nats, domain),
    CYAML_FIELD_UINT("stream_replicas", CYAML_FLAG_OPTIONAL, struct global_options_nats,
                     stream_replicas),
    CYAML_FIELD_END};

static const cyaml_schema_field_t region_fields[] = {
    TEXT("name", 0, struct global_options_region, name),
    CYAML_FIELD_MAPPING("nats", CYAML_FLAG_DEFAULT, struct global_options_region, nats,
                        nats_fields),
    CYAML_FIELD_END};

static const cyaml_schema_value_t region_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct global_options_region, region_fields)};

static const cyaml_schema_field_t tls_fields[] = {
    TEXT("certificate_file", 0, struct global_options_tls, certificate_file),
    TEXT("key_file", 0, struct global_options_tls, key_file),
    TEXT("client_ca_file", CYAML_FLAG_OPTIONAL, struct global_options_tls, client_ca_file),
    CYAML_FIELD_END};

static const cyaml_schema_field_t store_fields[] = {
    TEXT("path", 0, struct global_options_store, path),
    CYAML_FIELD_UINT("bytes", CYAML_FLAG_DEFAULT, struct global_options_store, bytes),
    CYAML_FIELD_END};

static const cyaml_schema_field_t retention_fields[] = {
    CYAML_FIELD_UINT("minutes_days", CYAML_FLAG_OPTIONAL, struct global_options_retention,
                     minutes_days),
    CYAML_FIELD_UINT("hours_days", CYAML_FLAG_OPTIONAL, struct global_options_retention,
                     hours_days),
    CYAML_FIELD_END};

static const cyaml_schema_field_t auth_fields[] = {
    TEXT("tokens_file", 0, struct global_options_auth, tokens_file),
    TEXT("key_file", 0, struct global_options_auth, key_file),
    TEXT("read_log", CYAML_FLAG_OPTIONAL, struct global_options_auth, read_log), CYAML_FIELD_END};

static const cyaml_schema_field_t option_fields[] = {
    TEXT("id", 0, struct global_options, id),
    TEXT("listen", 0, struct global_options, listen),
    TEXT("admin_listen", 0, struct global_options, admin_listen),
    TEXT("ports_file", CYAML_FLAG_OPTIONAL, struct global_options, ports_file),
    TEXT("log_level", CYAML_FLAG_OPTIONAL, struct global_options, log_level),
    TEXT("zoneinfo", CYAML_FLAG_OPTIONAL, struct global_options, zoneinfo),
    CYAML_FIELD_UINT("workers", CYAML_FLAG_OPTIONAL, struct global_options, workers),
    OPTIONS_SWITCH("http1", struct global_options, http1),
    CYAML_FIELD_UINT("streams", CYAML_FLAG_OPTIONAL, struct global_options, streams),
    CYAML_FIELD_UINT("token_streams", CYAML_FLAG_OPTIONAL, struct global_options, token_streams),
    CYAML_FIELD_MAPPING("tls", CYAML_FLAG_DEFAULT, struct global_options, tls, tls_fields),
    CYAML_FIELD_MAPPING("store", CYAML_FLAG_DEFAULT, struct global_options, store, store_fields),
    CYAML_FIELD_MAPPING("retention", CYAML_FLAG_OPTIONAL, struct global_options, retention,
                        retention_fields),
    CYAML_FIELD_MAPPING_PTR("auth", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct global_options,
                            auth, auth_fields),
    CYAML_FIELD_SEQUENCE("regions", CYAML_FLAG_POINTER, struct global_options, regions,
                         &region_schema, 1, LIMIT_REGIONS),
    CYAML_FIELD_END};

static const cyaml_schema_value_t option_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct global_options, option_fields)};

const char global_options_help[] =
    "tributary-global joins the counts of all regions and answers queries.\n"
    "\n"
    "usage: tributary-global --config FILE [--check-config] | --help | --version\n"
    "       tributary-global token create|list|revoke ...   (see: tributary-global token --help)\n"
    "\n"
    "  --config FILE    YAML configuration, for example:\n"
    "\n"
    "      id: globe-1\n"
    "      listen: 0.0.0.0:8443           # HTTP/2 over TLS: the queries of openapi.yaml\n"
    "      admin_listen: 127.0.0.1:9443   # plain HTTP: /metrics, /livez, /readyz\n"
    "      workers: 2                     # query threads (default 2)\n"
    "      http1: true                    # HTTP/1.1 beside HTTP/2 (default true)\n"
    "      streams: 64                    # of /v1/stream, at once\n"
    "      token_streams: 8               # of one token\n"
    "      log_level: info                # debug, info, warn, error\n"
    "      ports_file: globe-1.ports      # optional: written when ready, with the real ports\n"
    "      zoneinfo: /usr/share/zoneinfo  # optional: the time zones that queries may name\n"
    "      tls:\n"
    "        certificate_file: globe.crt  # PEM chain\n"
    "        key_file: globe.key          # readable by the owner alone\n"
    "        client_ca_file: clients.crt  # optional: ask for client certificates\n"
    "      store:\n"
    "        path: /var/lib/tributary/globe-1\n"
    "        bytes: 68719476736           # most that the store may grow to\n"
    "      retention:                     # optional\n"
    "        minutes_days: 35             # minutes and unique users (default 35; 8 to 36500)\n"
    "        hours_days: 730              # clicks by hour and day (default 730; no fewer)\n"
    "      auth:                          # optional; without it, all who reach the port may ask\n"
    "        tokens_file: globe.tokens    # made by `tributary-global token create`\n"
    "        key_file: globe.tokens.key\n"
    "        read_log: reads.log          # optional: a line for each read for billing\n"
    "      regions:\n"
    "        - name: us\n"
    "          nats:\n"
    "            url: nats://127.0.0.1:4222\n"
    "            user: global             # optional, with password_file\n"
    "            password_file: us.password\n"
    "            domain: us               # JetStream domain of the region\n"
    "\n"
    "  --check-config   reads and checks all of it, then exits\n"
    "\n"
    "exit codes: 0 clean, 64 usage, 70 unfit (store damaged or disk error), 75 an address or the\n"
    "store cannot be had now, 78 configuration\n";

PRINTF_LIKE(2, 3)
static enum err refuse(char **out_error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vasprintf(out_error, format, args);
    va_end(args);
    CHECK(length >= 0);
    return ERR_CONFIG;
}

static enum err check_address(const char *path, const char *field, const char *text,
                              char **out_error)
{
    char host[256];
    uint16_t port;
    if (options_address(text, host, sizeof(host), &port))
        return ERR_OK;
    return refuse(out_error, "%s: %s: must be host:port or [v6]:port", path, field);
}

static enum err check_region(const char *path, const struct global_options *o, unsigned at,
                             char **out_error)
{
    const struct global_options_region *region = &o->regions[at];
    if (!subject_name_is_valid(region->name, LIMIT_REGION_NAME_BYTES))
        return refuse(out_error,
                      "%s: regions[%u].name: must be a-z, 0-9, '-', start with a letter, at most "
                      "%d bytes",
                      path, at, LIMIT_REGION_NAME_BYTES);
    for (unsigned i = 0; i < at; i++)
        if (strcmp(o->regions[i].name, region->name) == 0)
            return refuse(out_error, "%s: regions[%u].name: %s is listed twice", path, at,
                          region->name);
    const struct global_options_nats *nats = &region->nats;
    if ((nats->user == NULL) != (nats->password_file == NULL))
        return refuse(out_error, "%s: regions[%u].nats: user and password_file go together", path,
                      at);
    if (nats->stream_replicas > 5)
        return refuse(out_error, "%s: regions[%u].nats.stream_replicas: must be 1 to 5", path, at);
    if (nats->password_file == NULL)
        return ERR_OK;
    struct buf secret = {0};
    enum err err = options_secret(nats->password_file, PASSWORD_BYTES_MAX, &secret, out_error);
    if (secret.data != NULL)
        explicit_bzero(secret.data, secret.capacity);
    buf_done(&secret);
    return err;
}

static enum err check_retention(const char *path, struct global_options_retention *r,
                                char **out_error)
{
    if (r->minutes_days == 0)
        r->minutes_days = MINUTES_DAYS;
    if (r->hours_days == 0)
        r->hours_days = r->minutes_days > HOURS_DAYS ? r->minutes_days : HOURS_DAYS;
    if (r->minutes_days < RETIRE_DAYS_MIN || r->minutes_days > RETIRE_DAYS_MAX)
        return refuse(out_error, "%s: retention.minutes_days: must be %u to %u", path,
                      RETIRE_DAYS_MIN, RETIRE_DAYS_MAX);
    if (r->hours_days < r->minutes_days || r->hours_days > RETIRE_DAYS_MAX)
        return refuse(out_error, "%s: retention.hours_days: must be minutes_days (%u) to %u", path,
                      r->minutes_days, RETIRE_DAYS_MAX);
    return ERR_OK;
}

static enum err check(const char *path, struct global_options *o, char **out_error)
{
    enum log_level level;
    if (!subject_name_is_valid(o->id, LIMIT_READER_NAME_BYTES))
        return refuse(out_error,
                      "%s: id: must be a-z, 0-9, '-', start with a letter, at most %d bytes", path,
                      LIMIT_READER_NAME_BYTES);
    enum err err = check_address(path, "listen", o->listen, out_error);
    if (err == ERR_OK)
        err = check_address(path, "admin_listen", o->admin_listen, out_error);
    if (err != ERR_OK)
        return err;
    if (o->log_level != NULL && !log_level_parse(o->log_level, &level))
        return refuse(out_error, "%s: log_level: must be debug, info, warn or error", path);
    if (o->workers > 256)
        return refuse(out_error, "%s: workers: must be 1 to 256", path);
    if (o->streams > STREAMS_MAX)
        return refuse(out_error, "%s: streams: must be 1 to %u", path, STREAMS_MAX);
    if (o->token_streams > STREAMS_MAX)
        return refuse(out_error, "%s: token_streams: must be 1 to %u", path, STREAMS_MAX);
    if (o->streams == 0)
        o->streams = 64;
    if (o->token_streams == 0)
        o->token_streams = 8;
    if (o->workers == 0)
        o->workers = 2;
    err = check_retention(path, &o->retention, out_error);
    if (err != ERR_OK)
        return err;
    if (o->auth != NULL) {
        struct global_tokens *tokens = NULL;
        err = global_tokens_open(o->auth->tokens_file, o->auth->key_file, clock_os(), &tokens,
                                 out_error);
        global_tokens_free(tokens);
        if (err != ERR_OK)
            return err;
    }
    if (o->store.bytes < STORE_BYTES_MIN)
        return refuse(out_error, "%s: store.bytes: must be at least %llu", path,
                      (unsigned long long)STORE_BYTES_MIN);
    for (unsigned i = 0; err == ERR_OK && i < o->regions_count; i++) {
        err = check_region(path, o, i, out_error);
        if (o->regions[i].nats.stream_replicas == 0)
            o->regions[i].nats.stream_replicas = 1;
    }
    return err;
}

enum err global_options_load(const char *path, struct global_options **out, char **out_error)
{
    void *loaded = NULL;
    enum err err = options_load(path, &option_schema, &loaded, out_error);
    if (err != ERR_OK)
        return err;
    struct global_options *options = loaded;
    options_switch_default(&options->http1, true);
    err = check(path, options, out_error);
    if (err != ERR_OK) {
        global_options_free(options);
        return err;
    }
    *out = options;
    return ERR_OK;
}

void global_options_free(struct global_options *options)
{
    options_free(&option_schema, options);
}
