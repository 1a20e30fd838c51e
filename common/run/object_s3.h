/* SPDX-License-Identifier: Apache-2.0
 * object_s3: the object store port on S3 and what speaks like it, over libcurl with AWS Signature
 * Version 4. Audience: shells. See common/base/object_store.h.
 *
 *   - Each payload is signed by its SHA-256, so that the server refuses what was changed on its
 * way.
 *   - Larger objects go up in parts; an upload that fails is aborted, and nothing is under its
 * name.
 *   - No answer, 408, 429 and 5xx are tried again a few times with growing pauses, then
 *     ERR_STORE_AWAY. Every other refusal is ERR_STORE_REFUSED, logged with S3's code and words and
 *     what to look at. Redirects are not followed: they mean a wrong region or bucket.
 *   - Debian 12's libcurl (7.88) signs the query as it stands: it is sorted and escaped here. */
#pragma once

#include "common/base/object_store.h"

struct object_s3_options {
    const char *endpoint;   /* https://s3.eu-central-1.amazonaws.com, http://127.0.0.1:9000 */
    const char *region;     /* of the signature, "eu-central-1" */
    const char *bucket;     /* [a-z0-9.-] */
    const char *prefix;     /* before each name; NULL or "": none; else it ends with a slash */
    const char *access_key; /* the secrets themselves; copied */
    const char *secret_key;
    const char *session_token;   /* may be NULL */
    bool path_style;             /* https://host/bucket/name, else https://bucket.host/name */
    const char *storage_class;   /* of OBJECT_DATA; NULL: the bucket's default */
    const char *ca_file;         /* NULL: the system's */
    uint64_t part_bytes;         /* larger objects go up in such parts; 0: 16 MiB */
    uint32_t timeout_ms;         /* of one request; 0: 60000 */
    uint32_t connect_timeout_ms; /* 0: 5000 */
    uint32_t tries;              /* of one request; 0: 4 */
    /* Asked now and then; true: give up (ERR_STOPPING). May be NULL. */
    bool (*stopping)(void *context);
    void *stopping_context;
};

/* Speaks to nobody yet. ERR_CONFIG (logged): an endpoint that is neither http:// nor https://, a
 * bucket or prefix that is none, parts below 5 MiB. */
enum err WARN_UNUSED object_s3_open(const struct object_s3_options *options,
                                    struct object_store **out);
void object_s3_close(struct object_store *store);

struct object_s3_counts {
    uint64_t requests, retries, refused;
};
struct object_s3_counts object_s3_counts(const struct object_store *store);
