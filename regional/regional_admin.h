/* SPDX-License-Identifier: Apache-2.0
 * regional_admin: the admin port of a fold replica: /metrics, /livez, /readyz, /v1/store-copy.
 * Audience: regional shell, tests. regional_admin_show is called by the thread of the replica, the
 * rest at start and end. */
#pragma once

#include "common/base/kv.h"
#include "regional/regional_replica.h"

struct regional_admin;

struct regional_admin_options {
    const char *listen;
    const char *store_path; /* copies are made next to it */
    struct kv_port *kv;     /* of kv_lmdb */
    const char *replica, *region;
    uint64_t behind_ms; /* /readyz says no while a partition's lag is more */
};

enum err WARN_UNUSED regional_admin_start(const struct regional_admin_options *options,
                                          struct regional_admin **out);
uint16_t regional_admin_port(const struct regional_admin *a);
void regional_admin_stop(struct regional_admin *a);

/* Shows the replica as it is now. Cheap; call after steps. */
void regional_admin_show(struct regional_admin *a, const struct replica *r);
