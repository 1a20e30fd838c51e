/* SPDX-License-Identifier: Apache-2.0
 * load_probe: how long after it was sent a click shows in the globe's answers. */
#pragma once

#include "load_send.h"

struct load_probe_options {
    struct load_edge edges[LOAD_EDGES_MAX];
    unsigned edge_count;
    const char *global, *ca_file, *ledger_file, *samples_file; /* the files may be NULL */
    unsigned count;
    uint32_t interval_ms; /* between two probes */
    uint32_t poll_ms;     /* between two looks at one of them */
    double wait_seconds;  /* for the last to show */
    uint64_t run;
    bool json;
};

/* Exit code: 0 when every probe showed, and just once; else 1. */
int load_probe(const struct load_probe_options *options);
