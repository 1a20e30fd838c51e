/* SPDX-License-Identifier: Apache-2.0
 * archiver_options: the configuration of tributary-archiver. */
#include "regional/archiver_options.h"

#include "common/run/log.h"
#include "common/run/options.h"
#include "common/run/options_place.h"
#include "proto/subject.h"
#include "regional/regional_options_fields.h"

#include <stdio.h>
#include <stdlib.h>

#define PATH_BYTES       4096
#define STORE_BYTES_MIN  (16ULL << 20)
#define STREAM_BYTES_MIN (16ULL << 20)
#define OBJECT_BYTES     (64ULL << 20)
#define OBJECT_BYTES_MIN (64ULL << 10)
#define OBJECT_BYTES_MAX (1ULL << 30)
#define BUFFER_BYTES     (256ULL << 20)
#define BUFFER_BYTES_MAX (64ULL << 30)
#define OBJECT_AGE_MS    300000u
#define AGE_MS_MIN       1000u
#define AGE_MS_MAX       (24u * 3600 * 1000)
#define PART_BYTES_MIN   (5ULL << 20)
#define PART_BYTES_MAX   (1ULL << 30)
#define TIMEOUT_MS       60000u
#define BEHIND_MS        (10u * 60 * 1000)
#define BEHIND_MS_MAX    (24u * 3600 * 1000)
#define SECRET_BYTES_MAX 4096

#define TEXT(key, flags, type, member)                                                             \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | (flags), type, member, 1, PATH_BYTES)
#define OPTIONAL CYAML_FLAG_OPTIONAL

static const cyaml_schema_field_t store_fields[] = {
    TEXT("path", 0, struct regional_options_store, path),
    CYAML_FIELD_UINT("bytes", OPTIONAL, struct regional_options_store, bytes), CYAML_FIELD_END};

static const cyaml_schema_field_t s3_fields[] = {
    TEXT("endpoint", 0, struct archiver_options_s3, endpoint),
    TEXT("region", 0, struct archiver_options_s3, region),
    TEXT("bucket", 0, struct archiver_options_s3, bucket),
    TEXT("prefix", OPTIONAL, struct archiver_options_s3, prefix),
    TEXT("access_key_file", 0, struct archiver_options_s3, access_key_file),
    TEXT("secret_key_file", 0, struct archiver_options_s3, secret_key_file),
    TEXT("session_token_file", OPTIONAL, struct archiver_options_s3, session_token_file),
    TEXT("storage_class", OPTIONAL, struct archiver_options_s3, storage_class),
    TEXT("ca_file", OPTIONAL, struct archiver_options_s3, ca_file),
    CYAML_FIELD_BOOL("path_style", OPTIONAL, struct archiver_options_s3, path_style),
    CYAML_FIELD_UINT("part_bytes", OPTIONAL, struct archiver_options_s3, part_bytes),
    CYAML_FIELD_UINT("timeout_ms", OPTIONAL, struct archiver_options_s3, timeout_ms),
    CYAML_FIELD_END};

static const cyaml_schema_field_t archive_fields[] = {
    TEXT("folder", OPTIONAL, struct archiver_options_archive, folder),
    CYAML_FIELD_MAPPING_PTR("s3", CYAML_FLAG_POINTER | OPTIONAL, struct archiver_options_archive,
                            s3, s3_fields),
    TEXT("codec", OPTIONAL, struct archiver_options_archive, codec),
    CYAML_FIELD_UINT("object_bytes", OPTIONAL, struct archiver_options_archive, object_bytes),
    CYAML_FIELD_UINT("buffer_bytes", OPTIONAL, struct archiver_options_archive, buffer_bytes),
    CYAML_FIELD_UINT("object_age_ms", OPTIONAL, struct archiver_options_archive, object_age_ms),
    CYAML_FIELD_END};

static const cyaml_schema_field_t privacy_fields[] = {
    TEXT("ip", OPTIONAL, struct archiver_options_privacy, ip), CYAML_FIELD_END};

static const cyaml_schema_field_t option_fields[] = {
    TEXT("archiver", 0, struct archiver_options_file, archiver),
    TEXT("region", 0, struct archiver_options_file, region),
    TEXT("admin_listen", 0, struct archiver_options_file, admin_listen),
    TEXT("partitions", OPTIONAL, struct archiver_options_file, partitions),
    TEXT("ports_file", OPTIONAL, struct archiver_options_file, ports_file),
    TEXT("log_level", OPTIONAL, struct archiver_options_file, log_level),
    CYAML_FIELD_UINT("partitions_total", OPTIONAL, struct archiver_options_file, partitions_total),
    CYAML_FIELD_UINT("behind_ms", OPTIONAL, struct archiver_options_file, behind_ms),
    CYAML_FIELD_MAPPING("store", CYAML_FLAG_DEFAULT, struct archiver_options_file, store,
                        store_fields),
    CYAML_FIELD_MAPPING("nats", CYAML_FLAG_DEFAULT, struct archiver_options_file, nats,
                        regional_options_nats_fields),
    CYAML_FIELD_MAPPING("archive", CYAML_FLAG_DEFAULT, struct archiver_options_file, archive,
                        archive_fields),
    CYAML_FIELD_MAPPING("privacy", OPTIONAL, struct archiver_options_file, privacy, privacy_fields),
    CYAML_FIELD_END};

static const cyaml_schema_value_t option_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct archiver_options_file, option_fields)};

const char archiver_options_help[] =
    "tributary-archiver keeps every click of one region's partitions, as Avro objects in a folder "
    "or\n"
    "in S3, for years and for the settlement.\n"
    "\n"
    "usage: tributary-archiver --config FILE [--check-config]\n"
    "       tributary-archiver --help | --version\n"
    "\n"
    "  --config FILE    YAML configuration, for example:\n"
    "\n"
    "      archiver: us-a1                # name of this archiver; edges wait for its floors\n"
    "      region: us\n"
    "      partitions_total: 4            # of the region (default 4)\n"
    "      partitions: 0-3                # of this process: 0-3 or 0,2 (default all)\n"
    "      admin_listen: 127.0.0.1:9543   # plain HTTP: /metrics, /livez, /readyz\n"
    "      log_level: info                # debug, info, warn, error\n"
    "      ports_file: us-a1.ports        # optional: written when ready, with the real ports\n"
    "      behind_ms: 600000              # not ready while its last message is older and others "
    "wait (default 600000)\n"
    "      store:                         # a few values: positions and floors\n"
    "        path: /var/lib/tributary/us-a1\n"
    "        bytes: 268435456             # (default 256 MiB)\n"
    "      nats:                          # as of tributary-regional\n"
    "        url: nats://127.0.0.1:4222\n"
    "        user: archiver\n"
    "        password_file: us-archiver.password\n"
    "        domain: us\n"
    "      archive:\n"
    "        folder: /srv/clicks          # a folder, or:\n"
    "        s3:\n"
    "          endpoint: https://s3.eu-central-1.amazonaws.com\n"
    "          region: eu-central-1\n"
    "          bucket: acme-clicks\n"
    "          prefix: tributary/         # optional\n"
    "          access_key_file: s3.access # secrets come from files for their owner alone\n"
    "          secret_key_file: s3.secret\n"
    "          session_token_file: s3.token # optional\n"
    "          path_style: false          # https://host/bucket/... rather than "
    "https://bucket.host/...\n"
    "          storage_class: STANDARD_IA # of objects; manifests stay in the bucket's default\n"
    "          ca_file: ca.pem            # optional\n"
    "          part_bytes: 16777216       # larger objects go up in such parts (default 16 MiB)\n"
    "          timeout_ms: 60000          # of one request (default 60000)\n"
    "        codec: snappy                # or zstandard: smaller, and more work\n"
    "        object_bytes: 67108864       # an object ends when it is so large (default 64 MiB)\n"
    "        object_age_ms: 300000        # or so old; edges hold its clicks until then (default "
    "300000)\n"
    "        buffer_bytes: 268435456      # memory for all objects under way (default 256 MiB)\n"
    "      privacy:\n"
    "        ip: full                     # truncate (to /24, /48) or drop what is archived of "
    "addresses\n"
    "\n"
    "  --check-config   reads and checks all of it, then exits\n"
    "\n"
    "exit codes: 0 clean, 64 usage, 70 unfit (store damaged or disk error), 75 an address or the\n"
    "store cannot be had now, 78 configuration\n";

struct check {
    const char *path;
    struct archiver_options_file *o;
    char **out_error;
};

#define WRONG(check, place, ...)                                                                   \
    options_wrong((check)->path, place, (check)->out_error, __VA_ARGS__)

static enum err check_number(const struct check *c, const char *place, uint64_t value,
                             uint64_t least, uint64_t most)
{
    if (value >= least && value <= most)
        return ERR_OK;
    return WRONG(c, place, "must be %llu to %llu", (unsigned long long)least,
                 (unsigned long long)most);
}

static enum err check_secret(const struct check *c, const char *path)
{
    struct buf secret = {0};
    if (path == NULL)
        return ERR_OK;
    enum err err = options_secret(path, SECRET_BYTES_MAX, &secret, c->out_error);
    if (secret.data != NULL)
        explicit_bzero(secret.data, secret.capacity);
    buf_done(&secret);
    return err;
}

static enum err check_names(const struct check *c)
{
    char host[256];
    uint16_t port;
    enum log_level level;
    static uint16_t partitions[LIMIT_PARTITIONS];
    struct archiver_options_file *o = c->o;
    if (!subject_name_is_valid(o->archiver, LIMIT_READER_NAME_BYTES))
        return WRONG(c, "archiver", "must be a-z, 0-9, '-', start with a letter, at most %d bytes",
                     LIMIT_READER_NAME_BYTES);
    if (!subject_name_is_valid(o->region, LIMIT_REGION_NAME_BYTES))
        return WRONG(c, "region", "must be a-z, 0-9, '-', start with a letter, at most %d bytes",
                     LIMIT_REGION_NAME_BYTES);
    if (!options_address(o->admin_listen, host, sizeof(host), &port))
        return WRONG(c, "admin_listen", "must be host:port or [v6]:port");
    if (o->log_level != NULL && !log_level_parse(o->log_level, &level))
        return WRONG(c, "log_level", "must be debug, info, warn or error");
    if (o->partitions_total == 0)
        o->partitions_total = 4;
    if (o->partitions_total > LIMIT_PARTITIONS)
        return WRONG(c, "partitions_total", "must be 1 to %d", LIMIT_PARTITIONS);
    if (regional_options_partitions(o->partitions, o->partitions_total, partitions) == 0)
        return WRONG(c, "partitions",
                     "must be ascending numbers or ranges below partitions_total (%u), such as 0-3 "
                     "or 0,2",
                     o->partitions_total);
    if (o->behind_ms == 0)
        o->behind_ms = BEHIND_MS;
    return check_number(c, "behind_ms", o->behind_ms, 1000, BEHIND_MS_MAX);
}

static enum err check_nats(const struct check *c)
{
    struct regional_options_nats *nats = &c->o->nats;
    if ((nats->user == NULL) != (nats->password_file == NULL))
        return WRONG(c, "nats", "user and password_file go together");
    if (nats->stream_replicas == 0)
        nats->stream_replicas = 1;
    enum err err = check_number(c, "nats.stream_replicas", nats->stream_replicas, 1, 5);
    if (err == ERR_OK && nats->stream_bytes != 0)
        err =
            check_number(c, "nats.stream_bytes", nats->stream_bytes, STREAM_BYTES_MIN, UINT64_MAX);
    return err == ERR_OK ? check_secret(c, nats->password_file) : err;
}

static enum err check_s3(const struct check *c, struct archiver_options_s3 *s3)
{
    if (s3->timeout_ms == 0)
        s3->timeout_ms = TIMEOUT_MS;
    if (strncmp(s3->endpoint, "http://", 7) != 0 && strncmp(s3->endpoint, "https://", 8) != 0)
        return WRONG(c, "archive.s3.endpoint", "must be http://host[:port] or https://host[:port]");
    if (s3->prefix != NULL && s3->prefix[strlen(s3->prefix) - 1] != '/')
        return WRONG(c, "archive.s3.prefix", "must end with a slash");
    if (s3->part_bytes != 0) {
        enum err err = check_number(c, "archive.s3.part_bytes", s3->part_bytes, PART_BYTES_MIN,
                                    PART_BYTES_MAX);
        if (err != ERR_OK)
            return err;
    }
    enum err err = check_number(c, "archive.s3.timeout_ms", s3->timeout_ms, 1000, 3600000);
    if (err == ERR_OK)
        err = check_secret(c, s3->access_key_file);
    if (err == ERR_OK)
        err = check_secret(c, s3->secret_key_file);
    return err == ERR_OK ? check_secret(c, s3->session_token_file) : err;
}

static bool parse_codec(const char *text, enum archive_codec *out)
{
    for (unsigned i = 0; i < ARCHIVE_CODECS; i++) {
        if (strcmp(text, archive_codec_name((enum archive_codec)i)) == 0) {
            *out = (enum archive_codec)i;
            return true;
        }
    }
    return false;
}

static enum err check_archive(const struct check *c)
{
    struct archiver_options_archive *a = &c->o->archive;
    if ((a->folder == NULL) == (a->s3 == NULL))
        return WRONG(c, "archive", "needs folder or s3, and not both");
    if (a->codec != NULL && !parse_codec(a->codec, &c->o->codec))
        return WRONG(c, "archive.codec", "must be snappy or zstandard");
    if (c->o->privacy.ip != NULL && !archive_ip_parse(c->o->privacy.ip, &c->o->ip))
        return WRONG(c, "privacy.ip", "must be full, truncate or drop");
    a->object_bytes = a->object_bytes == 0 ? OBJECT_BYTES : a->object_bytes;
    a->buffer_bytes = a->buffer_bytes == 0 ? BUFFER_BYTES : a->buffer_bytes;
    a->object_age_ms = a->object_age_ms == 0 ? OBJECT_AGE_MS : a->object_age_ms;
    enum err err = check_number(c, "archive.object_bytes", a->object_bytes, OBJECT_BYTES_MIN,
                                OBJECT_BYTES_MAX);
    if (err == ERR_OK)
        err = check_number(c, "archive.buffer_bytes", a->buffer_bytes, a->object_bytes,
                           BUFFER_BYTES_MAX);
    if (err == ERR_OK)
        err = check_number(c, "archive.object_age_ms", a->object_age_ms, AGE_MS_MIN, AGE_MS_MAX);
    return err == ERR_OK && a->s3 != NULL ? check_s3(c, a->s3) : err;
}

static enum err check_all(const struct check *c)
{
    struct archiver_options_file *o = c->o;
    enum err err = check_names(c);
    if (o->store.bytes == 0)
        o->store.bytes = 256ULL << 20;
    if (err == ERR_OK)
        err = check_number(c, "store.bytes", o->store.bytes, STORE_BYTES_MIN, 1ULL << 44);
    if (err == ERR_OK)
        err = check_nats(c);
    return err == ERR_OK ? check_archive(c) : err;
}

enum err archiver_options_load(const char *path, struct archiver_options_file **out,
                               char **out_error)
{
    void *loaded = NULL;
    enum err err = options_load(path, &option_schema, &loaded, out_error);
    if (err != ERR_OK)
        return err;
    struct check c = {path, loaded, out_error};
    err = check_all(&c);
    if (err != ERR_OK) {
        archiver_options_free(loaded);
        return err;
    }
    *out = loaded;
    return ERR_OK;
}

void archiver_options_free(struct archiver_options_file *options)
{
    options_free(&option_schema, options);
}
