/* SPDX-License-Identifier: Apache-2.0 */
#include "common/run/proxy_header.h"

#include <arpa/inet.h>
#include <strings.h>

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* -- addresses ----------------------------------------------------------------------------- */

static void from_v4(const uint8_t v4[4], uint8_t out_ip[PROXY_HEADER_IP_BYTES])
{
    memcpy(out_ip, v4_prefix, sizeof(v4_prefix));
    memcpy(out_ip + sizeof(v4_prefix), v4, 4);
}

bool proxy_header_ip_parse(struct span text, uint8_t out_ip[PROXY_HEADER_IP_BYTES])
{
    char copy[PROXY_HEADER_TEXT_BYTES];
    uint8_t ip[PROXY_HEADER_IP_BYTES];
    if (text.length == 0 || text.length >= sizeof(copy) ||
        memchr(text.data, '\0', text.length) != NULL)
        return false;
    memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    if (inet_pton(AF_INET, copy, ip) == 1)
        from_v4(ip, out_ip);
    else if (inet_pton(AF_INET6, copy, ip) == 1)
        memcpy(out_ip, ip, sizeof(ip));
    else
        return false;
    return true;
}

void proxy_header_ip_text(const uint8_t ip[PROXY_HEADER_IP_BYTES],
                          char out[PROXY_HEADER_TEXT_BYTES])
{
    bool v4 = memcmp(ip, v4_prefix, sizeof(v4_prefix)) == 0;
    CHECK(inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ip + sizeof(v4_prefix) : ip, out,
                    PROXY_HEADER_TEXT_BYTES) != NULL);
}

static bool bit_of(const uint8_t *ip, uint32_t bit)
{
    return (ip[bit / 8] >> (7 - bit % 8) & 1) != 0;
}

bool proxy_header_network_parse(const char *text, struct proxy_network *out)
{
    struct proxy_network network;
    size_t length = strcspn(text, "/");
    bool v4 = memchr(text, ':', length) == NULL;
    uint32_t bits = 0, most = v4 ? 32 : 128;

    if (!proxy_header_ip_parse(span_of(text, length), network.ip))
        return false;
    if (text[length] == '/') {
        const char *at = text + length + 1;
        if (*at == '\0' || strlen(at) > 3)
            return false;
        for (; *at != '\0'; at++) {
            if (*at < '0' || *at > '9')
                return false;
            bits = 10 * bits + (uint32_t)(*at - '0');
        }
        if (bits > most)
            return false;
    } else {
        bits = most;
    }
    network.bits = v4 ? bits + 96 : bits;
    for (uint32_t bit = network.bits; bit < 128; bit++)
        if (bit_of(network.ip, bit))
            return false;
    *out = network;
    return true;
}

bool proxy_header_trusts(const struct proxy_network *networks, size_t count,
                         const uint8_t ip[PROXY_HEADER_IP_BYTES])
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bit = 0;
        while (bit < networks[i].bits && bit_of(ip, bit) == bit_of(networks[i].ip, bit))
            bit++;
        if (bit == networks[i].bits)
            return true;
    }
    return false;
}

/* -- PROXY protocol, version 2 ------------------------------------------------------------- */

#define HEAD_BYTES 16

enum proxy_header_result proxy_header_read(struct span bytes, size_t *out_length,
                                           uint8_t out_ip[PROXY_HEADER_IP_BYTES])
{
    static const uint8_t signature[12] = {13, 10, 13, 10, 0, 13, 10, 'Q', 'U', 'I', 'T', 10};
    const uint8_t *head = bytes.data;

    size_t seen = base_min_u64(bytes.length, sizeof(signature));
    if (seen > 0 && memcmp(head, signature, seen) != 0)
        return PROXY_HEADER_BAD;
    if (bytes.length < HEAD_BYTES)
        return PROXY_HEADER_MORE;
    uint8_t version = head[12] >> 4, command = head[12] & 15, family = head[13];
    size_t length = (size_t)head[14] << 8 | head[15];
    if (version != 2 || command > 1 || HEAD_BYTES + length > PROXY_HEADER_BYTES_MAX)
        return PROXY_HEADER_BAD;
    if (bytes.length < HEAD_BYTES + length)
        return PROXY_HEADER_MORE;
    bool v4 = family == 0x11, v6 = family == 0x21; /* over TCP */
    if (command == 1 && ((v4 && length < 12) || (v6 && length < 36)))
        return PROXY_HEADER_BAD;
    *out_length = HEAD_BYTES + length;
    if (command == 0 || (!v4 && !v6))
        return PROXY_HEADER_LOCAL;
    if (v4)
        from_v4(head + HEAD_BYTES, out_ip);
    else
        memcpy(out_ip, head + HEAD_BYTES, PROXY_HEADER_IP_BYTES);
    return PROXY_HEADER_CLIENT;
}

/* -- header fields ------------------------------------------------------------------------- */

static struct span trim(struct span s)
{
    while (s.length > 0 && (s.data[0] == ' ' || s.data[0] == '\t')) {
        s.data++;
        s.length--;
    }
    while (s.length > 0 && (s.data[s.length - 1] == ' ' || s.data[s.length - 1] == '\t'))
        s.length--;
    return s;
}

/* Takes the last element off a comma-separated list; false where nothing is left. No comma can be
 * in what we look for: a quoted string that holds one makes elements that are no addresses. */
static bool take_last(struct span *list, struct span *out)
{
    if (list->data == NULL)
        return false;
    size_t begin = list->length;
    while (begin > 0 && list->data[begin - 1] != ',')
        begin--;
    *out = trim(span_of(list->data + begin, list->length - begin));
    if (begin == 0)
        *list = (struct span){NULL, 0};
    else
        list->length = begin - 1;
    return true;
}

/* "192.0.2.43", "192.0.2.43:47011", "[2001:db8::17]:47011", "2001:db8::17". */
static bool parse_node(struct span node, uint8_t out_ip[PROXY_HEADER_IP_BYTES])
{
    const uint8_t *colon = node.length > 0 ? memchr(node.data, ':', node.length) : NULL;
    const uint8_t *end = node.length > 0 ? node.data + node.length : NULL;

    if (colon == NULL)
        return proxy_header_ip_parse(node, out_ip);
    if (node.data[0] == '[') {
        const uint8_t *bracket = memchr(node.data, ']', node.length);
        if (bracket == NULL || (bracket + 1 != end && bracket[1] != ':'))
            return false;
        return proxy_header_ip_parse(span_of(node.data + 1, (size_t)(bracket - node.data) - 1),
                                     out_ip);
    }
    if (memchr(colon + 1, ':', (size_t)(end - colon) - 1) != NULL)
        return proxy_header_ip_parse(node, out_ip);
    return proxy_header_ip_parse(span_of(node.data, (size_t)(colon - node.data)), out_ip);
}

/* The value of for= in one element of Forwarded, without its quotes. */
static bool find_for(struct span element, struct span *out)
{
    while (element.length > 0) {
        const uint8_t *end = memchr(element.data, ';', element.length);
        size_t length = end == NULL ? element.length : (size_t)(end - element.data);
        struct span pair = trim(span_of(element.data, length));
        if (pair.length >= 4 && strncasecmp((const char *)pair.data, "for=", 4) == 0) {
            *out = span_of(pair.data + 4, pair.length - 4);
            if (out->length >= 2 && out->data[0] == '"' && out->data[out->length - 1] == '"')
                *out = span_of(out->data + 1, out->length - 2);
            return true;
        }
        if (end == NULL)
            return false;
        element = span_of(end + 1, element.length - length - 1);
    }
    return false;
}

static bool find_client(struct span value, bool pairs, const struct proxy_network *networks,
                        size_t count, uint8_t out_ip[PROXY_HEADER_IP_BYTES])
{
    struct span element, node;
    uint8_t ip[PROXY_HEADER_IP_BYTES];

    while (take_last(&value, &element)) {
        node = element;
        if ((pairs && !find_for(element, &node)) || !parse_node(node, ip))
            return false;
        if (!proxy_header_trusts(networks, count, ip)) {
            memcpy(out_ip, ip, sizeof(ip));
            return true;
        }
    }
    return false;
}

bool proxy_header_forwarded(struct span value, const struct proxy_network *networks, size_t count,
                            uint8_t out_ip[PROXY_HEADER_IP_BYTES])
{
    return find_client(value, true, networks, count, out_ip);
}

bool proxy_header_forwarded_for(struct span value, const struct proxy_network *networks,
                                size_t count, uint8_t out_ip[PROXY_HEADER_IP_BYTES])
{
    return find_client(value, false, networks, count, out_ip);
}
