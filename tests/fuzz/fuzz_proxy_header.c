/* SPDX-License-Identifier: Apache-2.0
 * fuzz_proxy_header: any bytes as the start of a proxied connection, and as the value of Forwarded
 * and X-Forwarded-For: bounded, the same in whatever pieces it comes, and never a proxy of ours. */
#include "common/run/proxy_header.h"
#include "tests/fuzz/fuzz_target.h"

static const char *const trusted[] = {"10.0.0.0/8", "2001:db8::/32", "192.0.2.7"};

/* The verdict on all bytes is the first one on any beginning of them that is not MORE. */
static void read_start(struct span bytes)
{
    uint8_t ip[PROXY_HEADER_IP_BYTES] = {0}, again[PROXY_HEADER_IP_BYTES] = {0};
    size_t length = 0, length_again = 0;
    enum proxy_header_result whole = proxy_header_read(bytes, &length, ip);
    enum proxy_header_result piece = PROXY_HEADER_MORE;

    for (size_t n = 0; n <= bytes.length && piece == PROXY_HEADER_MORE; n++)
        piece = proxy_header_read(span_of(bytes.data, n), &length_again, again);
    CHECK(piece == whole);
    if (whole != PROXY_HEADER_LOCAL && whole != PROXY_HEADER_CLIENT)
        return;
    CHECK(length == length_again && length >= 16 && length <= bytes.length &&
          length <= PROXY_HEADER_BYTES_MAX);
    CHECK(memcmp(ip, again, sizeof(ip)) == 0);
}

static void check_client(const struct proxy_network *networks,
                         const uint8_t ip[PROXY_HEADER_IP_BYTES])
{
    uint8_t again[PROXY_HEADER_IP_BYTES];
    char text[PROXY_HEADER_TEXT_BYTES];

    CHECK(!proxy_header_trusts(networks, countof(trusted), ip));
    proxy_header_ip_text(ip, text);
    CHECK(proxy_header_ip_parse(span_of_text(text), again));
    CHECK(memcmp(ip, again, sizeof(again)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_network networks[countof(trusted)], other;
    uint8_t ip[PROXY_HEADER_IP_BYTES];
    struct span bytes = span_of(data, size);

    for (size_t i = 0; i < countof(trusted); i++)
        CHECK(proxy_header_network_parse(trusted[i], &networks[i]));
    if (size <= 2 * PROXY_HEADER_BYTES_MAX)
        read_start(bytes);
    if (proxy_header_forwarded(bytes, networks, countof(networks), ip))
        check_client(networks, ip);
    if (proxy_header_forwarded_for(bytes, networks, countof(networks), ip))
        check_client(networks, ip);

    struct buf text = {0}; /* networks come from a configuration, as C strings */
    buf_put(&text, data, size);
    buf_put_u8(&text, 0);
    if (proxy_header_network_parse((const char *)text.data, &other))
        CHECK(other.bits <= 128 && proxy_header_trusts(&other, 1, other.ip));
    buf_done(&text);
    return 0;
}
