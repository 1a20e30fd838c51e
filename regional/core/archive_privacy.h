/* SPDX-License-Identifier: Apache-2.0
 * archive_privacy: how much of a client's address the archive keeps.
 * Audience: regional/core, regional shell, tests. Pure. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/limits.h"

enum archive_ip {
    ARCHIVE_IP_FULL,     /* as the edge received it */
    ARCHIVE_IP_TRUNCATE, /* the network alone: 24 bits of IPv4, 48 bits of IPv6 */
    ARCHIVE_IP_DROP,     /* empty */
    ARCHIVE_IPS
};

/* "full", "truncate", "drop"; NULL beyond the last. */
const char *archive_ip_name(enum archive_ip ip);
/* False for a text that is none of them. */
bool archive_ip_parse(const char *text, enum archive_ip *out);

/* What the archive keeps of an address. What is no address is nobody's network: empty when
 * truncating. The result lies in `text` or in `storage`. */
struct span archive_privacy_ip(enum archive_ip ip, struct span text,
                               char storage[LIMIT_IP_TEXT_BYTES + 1]);
