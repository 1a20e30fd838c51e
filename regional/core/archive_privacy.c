/* SPDX-License-Identifier: Apache-2.0
 * archive_privacy: see archive_privacy.h. inet_pton and inet_ntop compute; they touch nothing. */
#include "regional/core/archive_privacy.h"

#include <arpa/inet.h>

#define IPV4_KEPT_BYTES 3
#define IPV6_KEPT_BYTES 6

static const char *const names[ARCHIVE_IPS] = {"full", "truncate", "drop"};

const char *archive_ip_name(enum archive_ip ip)
{
    return ip < ARCHIVE_IPS ? names[ip] : NULL;
}

bool archive_ip_parse(const char *text, enum archive_ip *out)
{
    for (unsigned i = 0; i < ARCHIVE_IPS; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum archive_ip)i;
            return true;
        }
    }
    return false;
}

/* ::ffff:192.0.2.1 is an IPv4 address in IPv6's clothes: its first 48 bits are all zero. */
static unsigned kept_of_ipv6(const uint8_t address[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(address, mapped, sizeof(mapped)) == 0 ? 12 + IPV4_KEPT_BYTES : IPV6_KEPT_BYTES;
}

struct span archive_privacy_ip(enum archive_ip ip, struct span text,
                               char storage[LIMIT_IP_TEXT_BYTES + 1])
{
    uint8_t address[16] = {0};
    if (ip == ARCHIVE_IP_FULL)
        return text;
    if (ip == ARCHIVE_IP_DROP || text.length == 0 || text.length > LIMIT_IP_TEXT_BYTES)
        return (struct span){0};
    memcpy(storage, text.data, text.length);
    storage[text.length] = '\0';
    int family = memchr(storage, ':', text.length) == NULL ? AF_INET : AF_INET6;
    if (inet_pton(family, storage, address) != 1)
        return (struct span){0};
    unsigned kept = family == AF_INET ? IPV4_KEPT_BYTES : kept_of_ipv6(address);
    memset(address + kept, 0, sizeof(address) - kept);
    CHECK(inet_ntop(family, address, storage, LIMIT_IP_TEXT_BYTES + 1) != NULL);
    return span_of_text(storage);
}
