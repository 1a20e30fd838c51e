/* SPDX-License-Identifier: Apache-2.0
 * object_s3_call: one signed request to S3, tried a few times. Audience: common/run/object_s3*. */
#pragma once

#include "common/run/object_s3.h"

#include <curl/curl.h>

struct object_s3 {
    struct object_store port;
    CURL *curl;
    char *origin; /* https://host[:port] or https://bucket.host[:port] */
    char *base;   /* path before names: "/bucket/prefix" or "/prefix", ends with a slash */
    char *bucket_path, *prefix;
    char *user; /* access:secret */
    char *sigv4, *session_token, *storage_class, *ca_file;
    uint64_t part_bytes;
    uint32_t timeout_ms, connect_timeout_ms, tries;
    bool (*stopping)(void *context);
    void *stopping_context;
    struct object_s3_counts counts;
};

struct object_s3_call {
    const char *method; /* "GET", "PUT", "POST", "DELETE" */
    const char *path;   /* after the origin; of [A-Za-z0-9/_.-] */
    const char *query;  /* sorted and escaped; "": none */
    const char *type;   /* of the body; NULL: there is none */
    struct span body;
    const char *storage_class; /* NULL: none */
    size_t answer_bytes_max;
    bool not_found_is_fine; /* 404 is ERR_NOT_FOUND, and no news */
    /* Out: */
    struct buf answer;
    char etag[128];
    long status;
};

/* ERR_OK: status 2xx; the answer is whole. ERR_LIMIT: more than answer_bytes_max. */
enum err WARN_UNUSED object_s3_call(struct object_s3 *s, struct object_s3_call *c);

/* The text between <tag> and </tag>, from *at on, which moves behind it. False: no more. Good
 * enough for answers whose texts we have chosen or do not trust. */
bool object_s3_tag(struct span *at, const char *tag, struct span *out);
