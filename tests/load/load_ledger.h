/* SPDX-License-Identifier: Apache-2.0
 * load_ledger: what was asked and what was answered, written down before and after.
 *
 * A text file, one record a line, only ever added to. A line without its newline (the writer died)
 * does not count. T <run>                                            a run begins I <request>
 * <clicks> <ad>@<minute> ...             request invented; first attempt may leave now R <request>
 * <attempt>                              a further attempt may leave now O <request> <attempt>
 * <s|r> [refused index ...]    answered 202; s: spooled, r: replicated F <request> <attempt>
 * <status>                     definitely not stored U <request> <attempt> <why> unknown Requests
 * count from 0 within a run. Lines I and R are on the disk before their bytes leave. */
#pragma once

#include "load_clicks.h"

struct load_ledger;

/* A thread writes and syncs in groups. */
struct load_ledger *load_ledger_open(const char *path, uint64_t run);
void load_ledger_close(struct load_ledger *l); /* everything is durable on return */
/* Adds whole lines; returns the position that load_ledger_durable must reach before they are on the
 * disk. */
uint64_t load_ledger_add(struct load_ledger *l, const struct load_buf *lines);
uint64_t load_ledger_durable(const struct load_ledger *l);
int load_ledger_fd(const struct load_ledger *l); /* readable after durable has moved */
void load_ledger_heard(struct load_ledger *l);   /* makes it unreadable again */
uint64_t load_ledger_syncs(const struct load_ledger *l);

/* What the ledger allows: per (ad, minute) the least and the most that may have been counted. */
struct load_bound {
    char *ad;
    uint32_t minute;
    uint64_t lower, upper;
};
struct load_bounds {
    struct load_bound *rows; /* sorted by (ad, minute) */
    size_t count;
    uint64_t distinct, accepted, unknown, refused, requests, attempts, repeats_answered;
};
/* Adds up one or several files; dies with words on a line it cannot read. */
void load_bounds_read(struct load_bounds *b, const char *const *paths, size_t path_count);
void load_bounds_done(struct load_bounds *b);
