/* SPDX-License-Identifier: Apache-2.0
 * ctl_region: one region over its bus, as an operator sees it: what its replicas answer, and
 * control messages said until all of them have applied them. Audience: tributaryctl. One thread. */
#pragma once

#include "common/base/bus.h"
#include "common/run/wake.h"
#include "proto/control.h"
#include "regional/core/roster.h"
#include "regional/regional_options.h"

#define CTL_REGION_REPLICAS_MAX 16u

/* Zero-initialised is closed. */
struct ctl_region {
    struct regional_options *options;
    struct bus_port *bus;
    struct wake *wake;
    struct roster rosters[CTL_REGION_REPLICAS_MAX]; /* by name, of those that answered last */
    unsigned roster_count;
};

/* By the configuration of any replica of the region. 0, or the exit code, the reason said. Waits
 * some seconds for the bus. */
int ctl_region_open(struct ctl_region *t, const char *config_path);
void ctl_region_close(struct ctl_region *t);

/* Asks all replicas anew. */
void ctl_region_ask(struct ctl_region *t);

/* Says the message (but for number and nonce) in the partitions [first, last) until every replica
 * that answers has applied it, at most half a minute. Returns the first partition that is not known
 * to have it, or `last`. */
uint16_t ctl_region_apply(struct ctl_region *t, const struct control_message *message,
                          uint16_t first, uint16_t last);
/* Says that, and what to do; returns the exit code. */
int ctl_region_not_applied(uint16_t partition);
