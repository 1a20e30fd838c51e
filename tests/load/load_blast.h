/* SPDX-License-Identifier: Apache-2.0
 * load_blast: requests made beforehand, sent as fast as the answers come or on a fixed schedule;
 * for measuring any HTTP/2 server. Keeps no ledger: every click is distinct and sent once, so
 * counts do.
 *
 * On a schedule (open loop) a latency runs from the instant at which the request should have left,
 * whether or not it could: a server that stalls pays for all who came meanwhile. */
#pragma once

#include "load_clicks.h"

struct load_blast_options {
    const char *address, *ca_file;
    const char *cipher; /* the one TLS 1.3 suite to offer; NULL: the library's */
    uint64_t requests;
    double rate; /* requests a second; 0: as fast as the answers come */
    unsigned connections, streams;
    uint32_t timeout_ms;
    struct load_mix mix;
};

/* Tells on standard output, as JSON. Exit code: 0 every request was answered, 3 not. */
int load_blast(const struct load_blast_options *options);
