/* SPDX-License-Identifier: Apache-2.0
 * archiver_admin: the admin port of an archiver: /metrics, /livez, /readyz.
 * Audience: regional shell, tests. archiver_admin_show is called by the thread of the archiver, the
 * rest at start and end. */
#pragma once

#include "common/base/kv.h"
#include "regional/regional_archiver.h"

struct archiver_admin;

struct archiver_admin_options {
    const char *listen;
    const char *store_path;
    struct kv_port *kv; /* of kv_lmdb */
    const char *archiver, *region;
    uint64_t behind_ms; /* /readyz says no while a partition's lag is more */
};

enum err WARN_UNUSED archiver_admin_start(const struct archiver_admin_options *options,
                                          struct archiver_admin **out);
uint16_t archiver_admin_port(const struct archiver_admin *a);
void archiver_admin_stop(struct archiver_admin *a);

/* Shows the archiver as it is now. Cheap; call after steps. */
void archiver_admin_show(struct archiver_admin *a, const struct archiver *r);
