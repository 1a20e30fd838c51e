/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/edge_http_body.h"

#include "common/run/h2_server.h"

#include <stdio.h>

static enum body_decode_coding coding_of(const struct edge_job *job)
{
    const char *coding = h2_header(job->request, "content-encoding");
    if (coding == NULL)
        return BODY_DECODE_IDENTITY;
    return h2_header_repeated(job->request, "content-encoding") ? BODY_DECODE_UNKNOWN
                                                                : body_decode_named(coding);
}

bool edge_http_body_coding(struct edge_job *job, const struct edge_http_rules *rules)
{
    enum body_decode_coding coding = coding_of(job);
    if (coding == BODY_DECODE_IDENTITY || (coding != BODY_DECODE_UNKNOWN && rules->decoder != NULL))
        return true;
    edge_answers_problem(
        &job->answer, 415, "content_encoding_unknown", "Content encoding not supported",
        rules->decoder != NULL ? "content-encoding must be identity, gzip or zstd, and only one."
                               : "content-encoding must be identity.",
        0);
    return false;
}

static void refuse(struct edge_job *job, enum body_decode_result result,
                   const struct body_decode_limits *limits)
{
    char detail[160];
    switch (result) {
    case BODY_DECODE_TOO_LARGE:
        (void)snprintf(detail, sizeof(detail),
                       "The body unpacks to more than %zu bytes. Nothing was stored.",
                       limits->bytes_max);
        edge_answers_problem(&job->answer, 413, "body_too_large", "Body too large", detail, 0);
        return;
    case BODY_DECODE_TOO_DENSE:
        (void)snprintf(detail, sizeof(detail),
                       "The body unpacks to more than %u times its size. Nothing was stored.",
                       limits->ratio_max);
        edge_answers_problem(&job->answer, 413, "body_too_dense", "Body too dense", detail, 0);
        return;
    case BODY_DECODE_OK:
    case BODY_DECODE_INVALID:
        break;
    }
    edge_answers_problem(&job->answer, 400, "content_encoding_invalid", "Body not readable",
                         "The body is not of its content-encoding, ends too early, or is followed "
                         "by something else. Nothing was stored.",
                         0);
}

bool edge_http_body_read(struct edge_job *job, const struct edge_http_rules *rules,
                         struct span *out)
{
    enum body_decode_coding coding = coding_of(job);
    CHECK(coding != BODY_DECODE_UNKNOWN);
    if (coding == BODY_DECODE_IDENTITY) {
        *out = job->request->body;
        return true;
    }
    CHECK(rules->decoder != NULL);
    enum body_decode_result result = body_decode_run(rules->decoder, coding, job->request->body,
                                                     &rules->unpacked, &job->unpacked);
    if (result != BODY_DECODE_OK) {
        refuse(job, result, &rules->unpacked);
        return false;
    }
    *out = buf_span(&job->unpacked);
    return true;
}
