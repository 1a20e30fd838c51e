/* SPDX-License-Identifier: Apache-2.0
 * object_name: which names an object may have; see common/base/object_store.h.
 * Audience: common/run/object_*, shells. Any thread. */
#pragma once

#include "common/base/object_store.h"

bool object_name_is_valid(const char *name);
