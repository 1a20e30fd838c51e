/* SPDX-License-Identifier: Apache-2.0
 * ctl_http: one question to a globe over HTTPS. Audience: tributaryctl. */
#pragma once

#include "common/base/bytes.h"

struct ctl_http_globe {
    const char *url;        /* https://host[:port] */
    const char *ca_file;    /* NULL: the system's */
    const char *token_file; /* NULL: none is sent */
};

/* GET `path` (with its query). Returns 0 with the status and the body, else an exit code; why is
 * told on standard error. */
int ctl_http_get(const struct ctl_http_globe *globe, const char *path, long *out_status,
                 struct buf *out_body);

/* Appends name=value, percent-encoded, with ? or & before it. */
void ctl_http_put_parameter(struct buf *path, const char *name, const char *value);
