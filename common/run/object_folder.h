/* SPDX-License-Identifier: Apache-2.0
 * object_folder: the object store port on a folder: each object a file, written under another name,
 * flushed, renamed, and its folders flushed. Audience: shells. See common/base/object_store.h.
 *
 * Names sort by their bytes. What a dead process left half-written lies in <path>/.new and is
 * removed at the next open; where another process is writing just then, that put fails and is tried
 * again. */
#pragma once

#include "common/base/object_store.h"

/* The folder is made if missing (mode 0700). ERR_SYSTEM, the reason is logged. `read_only`: puts
 * are refused, nothing is made or removed. */
enum err WARN_UNUSED object_folder_open(const char *path, bool read_only,
                                        struct object_store **out);
void object_folder_close(struct object_store *store);
