/* SPDX-License-Identifier: Apache-2.0
 * regional_admin_restore: a new replica begins with a copy of a peer's store (design 4.3).
 * Audience: regional shell, tests. At start-up only; blocks. */
#pragma once

#include "common/base/err.h"

#include <stdint.h>

/* Fetches `url` (http://host:port, the peer's admin port) and puts its store at `store_path`, which
 * must not hold one yet. The store is marked as copied: whoever opens it makes a new store id.
 * Nothing is left behind on failure. ERR_CONFIG: bad URL, or a store is there; ERR_SYSTEM: peer or
 * disk; ERR_KV_*: what came is no store. Reasons are logged. */
enum err WARN_UNUSED regional_admin_restore(const char *url, const char *store_path,
                                            uint64_t store_bytes);

/* The same from an open, readable copy of a store. */
enum err WARN_UNUSED regional_admin_restore_file(const char *copy_path, const char *store_path,
                                                 uint64_t store_bytes);
