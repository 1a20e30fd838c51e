/* SPDX-License-Identifier: Apache-2.0
 * proxy_header: who a client behind proxies is: PROXY protocol version 2, Forwarded (RFC 7239) and
 * X-Forwarded-For, believed only as far as the proxies are ours.
 * Audience: common/run, shells' options, tests. Pure.
 *
 * Addresses are 16 bytes, IPv4 as ::ffff:a.b.c.d. */
#pragma once

#include "common/base/bytes.h"

#define PROXY_HEADER_IP_BYTES   16
#define PROXY_HEADER_TEXT_BYTES 46   /* INET6_ADDRSTRLEN */
#define PROXY_HEADER_BYTES_MAX  1024 /* with all of its TLVs; ours are some 100 */

struct proxy_network {
    uint8_t ip[PROXY_HEADER_IP_BYTES];
    uint32_t bits; /* of the 128 */
};

/* An address without a port, as text; out of `ip` again. */
bool proxy_header_ip_parse(struct span text, uint8_t out_ip[PROXY_HEADER_IP_BYTES]);
void proxy_header_ip_text(const uint8_t ip[PROXY_HEADER_IP_BYTES],
                          char out[PROXY_HEADER_TEXT_BYTES]);

/* "10.0.0.0/8", "2001:db8::/32", "192.0.2.7"; false where bits beyond the mask are set. */
bool proxy_header_network_parse(const char *text, struct proxy_network *out);
bool proxy_header_trusts(const struct proxy_network *networks, size_t count,
                         const uint8_t ip[PROXY_HEADER_IP_BYTES]);

enum proxy_header_result {
    PROXY_HEADER_MORE,  /* not all of it is there */
    PROXY_HEADER_BAD,   /* not the protocol, or longer than PROXY_HEADER_BYTES_MAX */
    PROXY_HEADER_LOCAL, /* the proxy speaks for itself (health check), or of another family */
    PROXY_HEADER_CLIENT /* for the client at *out_ip */
};

/* Reads the header at the start of a connection; *out_length is its length where it is whole. */
enum proxy_header_result proxy_header_read(struct span bytes, size_t *out_length,
                                           uint8_t out_ip[PROXY_HEADER_IP_BYTES]);

/* The client in one header field's value: the last address that is not a trusted proxy's, read from
 * the right, since whoever wrote the left is not known. False: none, or something that is no
 * address (a name, "unknown") comes first. */
bool proxy_header_forwarded(struct span value, const struct proxy_network *networks, size_t count,
                            uint8_t out_ip[PROXY_HEADER_IP_BYTES]);
bool proxy_header_forwarded_for(struct span value, const struct proxy_network *networks,
                                size_t count, uint8_t out_ip[PROXY_HEADER_IP_BYTES]);
