/* SPDX-License-Identifier: Apache-2.0
 * load_check: asks the globe for every ad of the ledgers and says what is lost, double or phantom.
 */
#pragma once

#include "load_base.h"

struct load_check_options {
    const char *ledgers[64];
    unsigned ledger_count;
    const char *global, *ca_file; /* HOST:PORT */
    const char *counts_file;      /* instead of the network: {"ad": {"minute": count}} */
    double wait_seconds;          /* for the counts to arrive */
    double settle_seconds; /* then asks all of it once more: a late double must not slip by */
    bool json, quiet;
};

/* Exit code: 0 when nothing is lost, double or phantom; 1 when something is; 2 when the globe did
 * not answer. */
int load_check(const struct load_check_options *options);
