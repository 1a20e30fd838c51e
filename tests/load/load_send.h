/* SPDX-License-Identifier: Apache-2.0
 * load_send: sends clicks for a while, retries what is unknown, repeats some on purpose, and keeps
 * the ledger. */
#pragma once

#include "load_clicks.h"

#define LOAD_EDGES_MAX 16

struct load_edge {
    char name[64], region[32], address[288];
};

struct load_send_options {
    struct load_edge edges[LOAD_EDGES_MAX];
    unsigned edge_count;
    const char *ca_file, *ledger_file, *latencies_file; /* latencies_file may be NULL */
    double seconds;                                     /* 0: until clicks are sent */
    uint64_t clicks;                                    /* 0: until the time is over */
    double rate;                                        /* clicks a second; 0: as fast as it goes */
    unsigned connections;                               /* for each edge */
    unsigned streams;                                   /* under way on one connection */
    unsigned repeat_permille;     /* of requests answered 202: sent once more */
    unsigned home_permille;       /* of requests: clicks name their home region */
    unsigned replicated_permille; /* of requests: Prefer: durability=replicated */
    uint32_t timeout_ms, reconnect_ms;
    double drain_seconds;
    struct load_mix mix;
    bool json, quiet;
};

/* Exit code: 0 all resolved and nothing refused, 1 something was refused, 3 something stayed
 * unknown. */
int load_send(const struct load_send_options *options);

/* "NAME=REGION@HOST:PORT"; dies with words. */
void load_edge_parse(const char *text, struct load_edge *out);
