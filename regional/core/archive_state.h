/* SPDX-License-Identifier: Apache-2.0
 * archive_state: what an archive knows of its partition, as one value, written at each cut.
 * Audience: regional/core, tests. Pure. */
#pragma once

#include "regional/core/archive.h"

/* Replaces *out. */
void archive_state_write(struct buf *out, const struct archive *a);
/* Into a new archive; errors as of archive_load. */
enum err WARN_UNUSED archive_state_read(struct archive *a, struct span value);
