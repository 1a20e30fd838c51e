/* SPDX-License-Identifier: Apache-2.0
 * want: the globe asks one replica for whole minutes, or for names.
 * Audience: regional, global, tests. Pure. Drawn in proto/PROTOCOL.md, "Want". Source: design 2.6.
 *
 * A plain message; losing one is harmless: it is asked again while the minute stays incomplete. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/limits.h"

#define WANT_MAGIC     "TRWN"
#define WANT_VERSION   1
#define WANT_NAMES_MAX 4096

struct want_message {
    char region[LIMIT_REGION_NAME_BYTES + 1];
    char replica[LIMIT_READER_NAME_BYTES + 1];
    uint16_t partition;
    uint32_t minute_count, name_count;
    uint32_t minutes[LIMIT_WANT_MINUTES];
    uint64_t names[WANT_NAMES_MAX]; /* ad hashes */
};

void want_write(struct buf *out, const struct want_message *m);
enum err WARN_UNUSED want_read(struct want_message *out, struct span message);
