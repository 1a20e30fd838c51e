/* SPDX-License-Identifier: Apache-2.0
 * regional_options: the configuration of tributary-regional. */
#include "regional/regional_options.h"

#include "common/run/log.h"
#include "common/run/options.h"
#include "proto/subject.h"
#include "regional/regional_options_fields.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PATH_BYTES         4096
#define STORE_BYTES_MIN    (16ULL * 1024 * 1024)
#define PASSWORD_BYTES_MAX 256
#define LATENESS_MS_MAX    (3600u * 1000)
#define INTERVAL_MS_MAX    (60u * 1000)
#define BEHIND_MS          (30u * 1000)
#define BEHIND_MS_MAX      (3600u * 1000)
#define STREAM_BYTES_MIN   (16ULL * 1024 * 1024)
#define SETTLE_MS          (60u * 1000)
#define SETTLE_MS_MAX      (3600u * 1000)
#define MEMORY_MIB_MIN     64u
#define MEMORY_PART_MIB    4u /* a partition cannot do with less */

#define TEXT(key, flags, type, member)                                                             \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | (flags), type, member, 1, PATH_BYTES)
#define OPTIONAL CYAML_FLAG_OPTIONAL

const cyaml_schema_field_t regional_options_nats_fields[] = {
    TEXT("url", 0, struct regional_options_nats, url),
    TEXT("user", OPTIONAL, struct regional_options_nats, user),
    TEXT("password_file", OPTIONAL, struct regional_options_nats, password_file),
    TEXT("domain", OPTIONAL, struct regional_options_nats, domain),
    CYAML_FIELD_UINT("stream_replicas", OPTIONAL, struct regional_options_nats, stream_replicas),
    CYAML_FIELD_UINT("stream_bytes", OPTIONAL, struct regional_options_nats, stream_bytes),
    CYAML_FIELD_END};

static const cyaml_schema_field_t store_fields[] = {
    TEXT("path", 0, struct regional_options_store, path),
    CYAML_FIELD_UINT("bytes", CYAML_FLAG_DEFAULT, struct regional_options_store, bytes),
    CYAML_FIELD_END};

static const cyaml_schema_field_t option_fields[] = {
    TEXT("replica", 0, struct regional_options, replica),
    TEXT("region", 0, struct regional_options, region),
    TEXT("admin_listen", 0, struct regional_options, admin_listen),
    TEXT("partitions", OPTIONAL, struct regional_options, partitions),
    TEXT("ports_file", OPTIONAL, struct regional_options, ports_file),
    TEXT("log_level", OPTIONAL, struct regional_options, log_level),
    CYAML_FIELD_UINT("partitions_total", OPTIONAL, struct regional_options, partitions_total),
    CYAML_FIELD_UINT("partitions_first", OPTIONAL, struct regional_options, partitions_first),
    CYAML_FIELD_UINT("allowed_lateness_ms", OPTIONAL, struct regional_options, allowed_lateness_ms),
    CYAML_FIELD_UINT("horizon_hours", OPTIONAL, struct regional_options, horizon_hours),
    CYAML_FIELD_UINT("partial_interval_ms", OPTIONAL, struct regional_options, partial_interval_ms),
    CYAML_FIELD_UINT("behind_ms", OPTIONAL, struct regional_options, behind_ms),
    TEXT("closed_minutes", OPTIONAL, struct regional_options, closed_minutes),
    CYAML_FIELD_UINT("settle_ms", OPTIONAL, struct regional_options, settle_ms),
    CYAML_FIELD_UINT("memory_mib", OPTIONAL, struct regional_options, memory_mib),
    CYAML_FIELD_MAPPING("store", CYAML_FLAG_DEFAULT, struct regional_options, store, store_fields),
    CYAML_FIELD_MAPPING("nats", CYAML_FLAG_DEFAULT, struct regional_options, nats,
                        regional_options_nats_fields),
    CYAML_FIELD_END};

static const cyaml_schema_value_t option_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct regional_options, option_fields)};

const char regional_options_help[] =
    "tributary-regional folds the clicks of one region's partitions into exact counts.\n"
    "\n"
    "usage: tributary-regional --config FILE [--check-config | --restore-from URL]\n"
    "       tributary-regional --help | --version\n"
    "\n"
    "  --config FILE    YAML configuration, for example:\n"
    "\n"
    "      replica: us-r1                 # name of this replica; edges wait for its floors\n"
    "      region: us\n"
    "      partitions_total: 4            # of the region (default 4)\n"
    "      partitions_first: 4            # of a new store's map, where it is to grow (default: "
    "all)\n"
    "      partitions: 0-3                # of this process: 0-3 or 0,2 (default all)\n"
    "      admin_listen: 127.0.0.1:9443   # plain HTTP: /metrics, /livez, /readyz, /v1/store-copy\n"
    "      log_level: info                # debug, info, warn, error\n"
    "      ports_file: us-r1.ports        # optional: written when ready, with the real ports\n"
    "      allowed_lateness_ms: 10000     # a minute closes so long after its end (default 10000)\n"
    "      horizon_hours: 24              # repeats are found so long (default 24)\n"
    "      partial_interval_ms: 5000      # how often the globe is told (default 5000)\n"
    "      behind_ms: 30000               # not ready while its last message is older and others "
    "wait (default 30000)\n"
    "      closed_minutes: store          # store: they leave memory; memory: all of the horizon "
    "stays (default store)\n"
    "      settle_ms: 60000               # a closed minute leaves when nothing was new in it for "
    "so long (default 60000)\n"
    "      memory_mib: 4096               # tables above this go to the store, closed or not "
    "(default no bound)\n"
    "      store:\n"
    "        path: /var/lib/tributary/us-r1\n"
    "        bytes: 17179869184           # most that the store may grow to\n"
    "      nats:\n"
    "        url: nats://127.0.0.1:4222\n"
    "        user: regional               # optional, with password_file\n"
    "        password_file: us.password\n"
    "        domain: us                   # JetStream domain of the region\n"
    "        stream_replicas: 3           # where there are three servers (default 1)\n"
    "        stream_bytes: 50000000000    # most that each stream may hold; full: edges spool "
    "(default no limit)\n"
    "\n"
    "  --check-config   reads and checks all of it, then exits\n"
    "  --restore-from http://HOST:PORT\n"
    "                   first copies the store of a peer from its admin port, then runs. For a "
    "new\n"
    "                   replica, or one whose disk was lost; refused while a store is there\n"
    "\n"
    "exit codes: 0 clean, 64 usage, 70 unfit (store damaged or disk error), 75 an address, a peer\n"
    "or the store cannot be had now, 78 configuration\n";

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

static bool number(const char **text, uint32_t below, uint32_t *out)
{
    uint32_t value = 0;
    const char *at = *text;
    for (; *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (uint32_t)(*at - '0');
        if (value >= below)
            return false;
    }
    if (at == *text)
        return false;
    *text = at;
    *out = value;
    return true;
}

uint32_t regional_options_partitions(const char *text, uint16_t partitions_total, uint16_t *out)
{
    uint32_t count = 0;
    if (text == NULL) {
        for (uint16_t p = 0; p < partitions_total; p++)
            out[count++] = p;
        return count;
    }
    for (;;) {
        uint32_t first = 0, last = 0;
        if (!number(&text, partitions_total, &first))
            return 0;
        last = first;
        if (*text == '-') {
            text++;
            if (!number(&text, partitions_total, &last) || last < first)
                return 0;
        }
        if (count > 0 && first <= out[count - 1])
            return 0;
        for (uint32_t p = first; p <= last; p++)
            out[count++] = (uint16_t)p;
        if (*text == '\0')
            return count;
        if (*text++ != ',')
            return 0;
    }
}

static enum err check_name(const char *path, const char *field, const char *name, size_t bytes_max,
                           char **out_error)
{
    if (subject_name_is_valid(name, bytes_max))
        return ERR_OK;
    return refuse(out_error,
                  "%s: %s: must be a-z, 0-9, '-', start with a letter, at most %zu bytes", path,
                  field, bytes_max);
}

static enum err check_nats(const char *path, struct regional_options_nats *nats, char **out_error)
{
    if ((nats->user == NULL) != (nats->password_file == NULL))
        return refuse(out_error, "%s: nats: user and password_file go together", path);
    if (nats->stream_replicas == 0)
        nats->stream_replicas = 1;
    if (nats->stream_replicas > 5)
        return refuse(out_error, "%s: nats.stream_replicas: must be 1 to 5", path);
    if (nats->stream_bytes != 0 && nats->stream_bytes < STREAM_BYTES_MIN)
        return refuse(out_error, "%s: nats.stream_bytes: must be at least %llu", path,
                      (unsigned long long)STREAM_BYTES_MIN);
    if (nats->password_file == NULL)
        return ERR_OK;
    struct buf secret = {0};
    enum err err = options_secret(nats->password_file, PASSWORD_BYTES_MAX, &secret, out_error);
    if (secret.data != NULL)
        explicit_bzero(secret.data, secret.capacity);
    buf_done(&secret);
    return err;
}

static enum err check_numbers(const char *path, struct regional_options *o, char **out_error)
{
    static uint16_t partitions[LIMIT_PARTITIONS];
    if (o->partitions_total == 0)
        o->partitions_total = 4;
    if (o->allowed_lateness_ms == 0)
        o->allowed_lateness_ms = 10000;
    if (o->horizon_hours == 0)
        o->horizon_hours = 24;
    if (o->partial_interval_ms == 0)
        o->partial_interval_ms = 5000;
    if (o->behind_ms == 0)
        o->behind_ms = BEHIND_MS;
    if (o->settle_ms == 0)
        o->settle_ms = SETTLE_MS;
    if (o->partitions_total > LIMIT_PARTITIONS)
        return refuse(out_error, "%s: partitions_total: must be 1 to %d", path, LIMIT_PARTITIONS);
    if (o->partitions_first == 0)
        o->partitions_first = o->partitions_total;
    if (o->partitions_first > o->partitions_total)
        return refuse(out_error, "%s: partitions_first: must be 1 to partitions_total (%u)", path,
                      o->partitions_total);
    if (regional_options_partitions(o->partitions, o->partitions_total, partitions) == 0)
        return refuse(out_error,
                      "%s: partitions: must be ascending numbers or ranges below partitions_total "
                      "(%u), such as 0-3 or 0,2",
                      path, o->partitions_total);
    if (o->allowed_lateness_ms > LATENESS_MS_MAX)
        return refuse(out_error, "%s: allowed_lateness_ms: must be 1 to %u", path, LATENESS_MS_MAX);
    if (o->horizon_hours > LIMIT_HORIZON_MINUTES / 60)
        return refuse(out_error, "%s: horizon_hours: must be 1 to %d", path,
                      LIMIT_HORIZON_MINUTES / 60);
    if (o->partial_interval_ms < 1000 || o->partial_interval_ms > INTERVAL_MS_MAX)
        return refuse(out_error, "%s: partial_interval_ms: must be 1000 to %u", path,
                      INTERVAL_MS_MAX);
    if (o->behind_ms < 1000 || o->behind_ms > BEHIND_MS_MAX)
        return refuse(out_error, "%s: behind_ms: must be 1000 to %u", path, BEHIND_MS_MAX);
    uint64_t least_mib = MEMORY_PART_MIB * (uint64_t)regional_options_partitions(
                                               o->partitions, o->partitions_total, partitions);
    least_mib = base_max_u64(least_mib, MEMORY_MIB_MIN);
    uint64_t machine_mib =
        (uint64_t)sysconf(_SC_PHYS_PAGES) * ((uint64_t)sysconf(_SC_PAGESIZE) >> 10) >> 10;
    if (o->memory_mib != 0 && o->memory_mib < least_mib)
        return refuse(out_error, "%s: memory_mib: must be at least %llu for these partitions", path,
                      (unsigned long long)least_mib);
    if (o->memory_mib > machine_mib)
        return refuse(out_error, "%s: memory_mib: this machine has %llu", path,
                      (unsigned long long)machine_mib);
    if (o->settle_ms > SETTLE_MS_MAX)
        return refuse(out_error, "%s: settle_ms: must be 1 to %u", path, SETTLE_MS_MAX);
    if (o->closed_minutes != NULL && strcmp(o->closed_minutes, "store") != 0 &&
        strcmp(o->closed_minutes, "memory") != 0)
        return refuse(out_error, "%s: closed_minutes: must be store or memory", path);
    if (o->store.bytes < STORE_BYTES_MIN)
        return refuse(out_error, "%s: store.bytes: must be at least %llu", path,
                      (unsigned long long)STORE_BYTES_MIN);
    return ERR_OK;
}

static enum err check(const char *path, struct regional_options *o, char **out_error)
{
    enum log_level level;
    char host[256];
    uint16_t port;
    enum err err = check_name(path, "replica", o->replica, LIMIT_READER_NAME_BYTES, out_error);
    if (err == ERR_OK)
        err = check_name(path, "region", o->region, LIMIT_REGION_NAME_BYTES, out_error);
    if (err != ERR_OK)
        return err;
    if (!options_address(o->admin_listen, host, sizeof(host), &port))
        return refuse(out_error, "%s: admin_listen: must be host:port or [v6]:port", path);
    if (o->log_level != NULL && !log_level_parse(o->log_level, &level))
        return refuse(out_error, "%s: log_level: must be debug, info, warn or error", path);
    err = check_numbers(path, o, out_error);
    return err == ERR_OK ? check_nats(path, &o->nats, out_error) : err;
}

enum err regional_options_load(const char *path, struct regional_options **out, char **out_error)
{
    void *loaded = NULL;
    enum err err = options_load(path, &option_schema, &loaded, out_error);
    if (err != ERR_OK)
        return err;
    struct regional_options *options = loaded;
    err = check(path, options, out_error);
    if (err != ERR_OK) {
        regional_options_free(options);
        return err;
    }
    *out = options;
    return ERR_OK;
}

uint32_t regional_options_settle_ms(const struct regional_options *options)
{
    bool in_memory =
        options->closed_minutes != NULL && strcmp(options->closed_minutes, "memory") == 0;
    return in_memory ? 0 : options->settle_ms;
}

void regional_options_free(struct regional_options *options)
{
    options_free(&option_schema, options);
}
