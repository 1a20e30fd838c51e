/* SPDX-License-Identifier: Apache-2.0
 * zone: what the clocks of a time zone show: a TZif file (RFC 9636, version 2 and later) read from
 * its bytes. Audience: global core, shell, tests. Pure; any thread once it was read. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "global/core/zone_rule.h"

#define ZONE_BYTES_MAX   65536 /* the largest file of tzdata has 4 KiB */
#define ZONE_NAME_BYTES  48    /* the longest name has 32 */
#define ZONE_CHANGES_MAX 4096
#define ZONE_FOREVER     INT64_MAX

struct zone_change {
    int64_t at_s;   /* Unix seconds */
    int32_t east_s; /* from then on: local time minus UTC */
};

struct zone {
    int32_t first_east_s; /* before all changes */
    uint32_t change_count;
    struct zone_change *changes; /* in order; those that change the offset alone */
    bool has_rule;               /* from last_s on the rule holds */
    int64_t last_s;
    struct zone_rule rule;
};

/* Names of the IANA database as they may become part of a path: parts of A-Z a-z 0-9 - + _, parted
 * by '/', each beginning with a capital. So no "..", no "/etc", nothing hidden; and neither posix/
 * nor right/ (which has leap seconds, and Unix time has not). */
bool zone_name_is_valid(struct span name);

/* Replaces *z, which must be empty; zone_done frees. ERR_MAGIC, ERR_VERSION: not such a file;
 * ERR_LIMIT: more changes than ZONE_CHANGES_MAX; ERR_FORMAT: anything else, leap seconds
 * included. */
enum err WARN_UNUSED zone_read(struct zone *z, struct span bytes);
void zone_done(struct zone *z);

/* Seconds east of UTC at an instant. *out_until_s: the first instant at which they differ, or
 * ZONE_FOREVER. */
int32_t zone_east_at(const struct zone *z, int64_t at_s, int64_t *out_until_s);
