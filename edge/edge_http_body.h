/* SPDX-License-Identifier: Apache-2.0
 * edge_http_body: the content coding of a request's body. Audience: edge_http, tests. */
#pragma once

#include "edge/edge_http.h"

/* False where the coding is unknown, or packed while rules->decoder is NULL: job->answer is set. */
bool edge_http_body_coding(struct edge_job *job, const struct edge_http_rules *rules);

/* The body as it was before any coding, borrowed from the request or held by the job. False: the
 * answer is set. To be asked after edge_http_body_coding. */
bool edge_http_body_read(struct edge_job *job, const struct edge_http_rules *rules,
                         struct span *out);
