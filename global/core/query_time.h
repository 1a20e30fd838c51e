/* SPDX-License-Identifier: Apache-2.0
 * query_time: an RFC 3339 time to Unix seconds. Audience: global core, tests. Pure. */
#pragma once

#include "common/base/bytes.h"

/* Whole seconds from 1970 to the end of the year 9999, UTC. A fraction is refused unless it is
 * zero; so is a leap second (:60), which Unix time does not have. False: *out_s is untouched. */
bool query_time_rfc3339(struct span text, uint64_t *out_s);
