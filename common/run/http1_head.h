/* SPDX-License-Identifier: Apache-2.0
 * http1_head: what the fields of an HTTP/1.1 request mean for it: how long it is, for whom, and
 * whether the connection goes on. Audience: common/run/http1_*.c, tests. Pure. */
#pragma once

#include "common/run/http1_guard.h"

#define HTTP1_FIELDS_MAX     64
#define HTTP1_HEAD_BYTES_MAX 16384

struct http1_field {
    struct span name;  /* lower case */
    struct span value; /* without white space around it */
};

struct http1_head {
    const char *method; /* a constant */
    struct span target;
    struct span host;
    struct http1_field fields[HTTP1_FIELDS_MAX];
    size_t field_count;
    bool chunked, has_length;
    uint64_t content_length;
    bool close;     /* Connection: close */
    bool continues; /* Expect: 100-continue */
};

/* Reads host, lengths, connection and expectation out of method, target and fields. */
enum http1_refusal http1_head_judge(struct http1_head *head);
/* Fields that speak of this connection, or that the request says elsewhere (Host): the application
 * does not see them, as it does not in HTTP/2. */
bool http1_head_is_hop_field(struct span name);
/* Fields that may not stand in trailers (RFC 9110, 6.5.1): of framing, routing, and judging. Names
 * in any case. */
bool http1_head_is_forbidden_trailer(struct span name);
