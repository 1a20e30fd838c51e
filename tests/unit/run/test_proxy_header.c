/* SPDX-License-Identifier: Apache-2.0
 * Claims about proxy_header: whom it believes, and what it refuses. */
#include "common/run/proxy_header.h"

#include "common/base/rng.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct proxy_network ours[2];

static void setup(void)
{
    cr_assert(proxy_header_network_parse("10.0.0.0/8", &ours[0]));
    cr_assert(proxy_header_network_parse("2001:db8::/32", &ours[1]));
}

TestSuite(proxy_header, .init = setup, .timeout = 30);

static const char *text_of(const uint8_t *ip)
{
    static char text[PROXY_HEADER_TEXT_BYTES];
    proxy_header_ip_text(ip, text);
    return text;
}

/* The client that a field names; "" for none. */
static const char *forwarded(const char *value)
{
    uint8_t ip[PROXY_HEADER_IP_BYTES];
    return proxy_header_forwarded(span_of_text(value), ours, 2, ip) ? text_of(ip) : "";
}

static const char *forwarded_for(const char *value)
{
    uint8_t ip[PROXY_HEADER_IP_BYTES];
    return proxy_header_forwarded_for(span_of_text(value), ours, 2, ip) ? text_of(ip) : "";
}

Test(proxy_header, a_network_holds_its_addresses_and_no_other)
{
    static const struct {
        const char *ip;
        bool trusted;
    } rows[] = {{"10.0.0.0", true},        {"10.255.255.255", true}, {"11.0.0.0", false},
                {"9.255.255.255", false},  {"2001:db8::1", true},    {"2001:db9::1", false},
                {"::ffff:10.1.2.3", true}, {"::10.1.2.3", false}};
    for (size_t i = 0; i < countof(rows); i++) {
        uint8_t ip[PROXY_HEADER_IP_BYTES];
        cr_assert(proxy_header_ip_parse(span_of_text(rows[i].ip), ip));
        cr_expect_eq(proxy_header_trusts(ours, 2, ip), rows[i].trusted, "%s", rows[i].ip);
    }
}

Test(proxy_header, what_is_no_network_is_refused)
{
    static const char *const wrong[] = {
        "",  "10.0.0.0/",   "10.0.0.0/33", "10.0.0.1/8",     "10.0.0/8",     "::/129",
        "x", "10.0.0.0/-1", "10.0.0.0/8x", "2001:db8::1/32", "10.0.0.0/0008"};
    struct proxy_network network;
    for (size_t i = 0; i < countof(wrong); i++)
        cr_expect_not(proxy_header_network_parse(wrong[i], &network), "%s", wrong[i]);
    cr_expect(proxy_header_network_parse("0.0.0.0/0", &network) && network.bits == 96);
    cr_expect(proxy_header_network_parse("192.0.2.7", &network) && network.bits == 128);
}

Test(proxy_header, the_last_address_that_is_no_proxy_is_the_client)
{
    cr_expect_str_eq(forwarded_for("203.0.113.9"), "203.0.113.9");
    cr_expect_str_eq(forwarded_for("1.1.1.1, 203.0.113.9 ,10.1.1.1,10.2.2.2"), "203.0.113.9");
    cr_expect_str_eq(forwarded_for("2a00::1, 2001:db8::5"), "2a00::1");
    cr_expect_str_eq(forwarded_for("203.0.113.9:4711"), "203.0.113.9");
    cr_expect_str_eq(forwarded("for=192.0.2.60;proto=http;by=203.0.113.43"), "192.0.2.60");
    cr_expect_str_eq(forwarded("for=1.1.1.1, For=\"[2a00::17]:4711\", by=x;for=10.0.0.1"),
                     "2a00::17");
}

Test(proxy_header, what_a_client_may_have_forged_is_not_believed)
{
    cr_expect_str_eq(forwarded_for("10.1.1.1"), "", "nobody but proxies");
    cr_expect_str_eq(forwarded_for("1.1.1.1, unknown, 10.0.0.1"), "", "not past what is unknown");
    cr_expect_str_eq(forwarded_for("1.1.1.1,"), "");
    cr_expect_str_eq(forwarded_for(""), "");
    cr_expect_str_eq(forwarded_for("1.1.1.1 2.2.2.2"), "");
    cr_expect_str_eq(forwarded("for=_hidden"), "");
    cr_expect_str_eq(forwarded("by=1.1.1.1"), "");
    cr_expect_str_eq(forwarded("for=\"[2a00::17\""), "");
    cr_expect_str_eq(forwarded("for=\"[2a00::17]x\""), "");
    cr_expect_str_eq(forwarded("for=1.1.1.1, for=\"a,b\""), "");
}

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static const uint8_t v4_header[] = SIGNATURE "\x21\x11\x00\x0f\xcb\x00\x71\x09\x0a\x00\x00\x01"
                                             "\x12\x34\x01\xbb\x04\x00\x00";
#define V4_BYTES (sizeof(v4_header) - 1)

Test(proxy_header, a_header_is_read_whole_however_it_comes)
{
    uint8_t ip[PROXY_HEADER_IP_BYTES];
    size_t length = 0;
    for (size_t seen = 0; seen < V4_BYTES; seen++)
        cr_expect_eq(proxy_header_read(span_of(v4_header, seen), &length, ip), PROXY_HEADER_MORE);

    cr_assert_eq(proxy_header_read(span_of(v4_header, V4_BYTES), &length, ip), PROXY_HEADER_CLIENT);

    cr_expect_eq(length, V4_BYTES);
    cr_expect_str_eq(text_of(ip), "203.0.113.9");
}

static enum proxy_header_result read_changed(size_t at, uint8_t value)
{
    uint8_t copy[V4_BYTES], ip[PROXY_HEADER_IP_BYTES];
    size_t length = 0;
    memcpy(copy, v4_header, V4_BYTES);
    copy[at] = value;
    return proxy_header_read(span_of(copy, V4_BYTES), &length, ip);
}

Test(proxy_header, anything_else_is_bad_or_local)
{
    cr_expect_eq(read_changed(12, 0x20), PROXY_HEADER_LOCAL, "LOCAL");
    cr_expect_eq(read_changed(13, 0x00), PROXY_HEADER_LOCAL, "no family");
    cr_expect_eq(read_changed(13, 0x31), PROXY_HEADER_LOCAL, "UNIX");
    cr_expect_eq(read_changed(12, 0x11), PROXY_HEADER_BAD, "version 1");
    cr_expect_eq(read_changed(12, 0x22), PROXY_HEADER_BAD, "unknown command");
    cr_expect_eq(read_changed(15, 11), PROXY_HEADER_BAD, "too short for its family");
    cr_expect_eq(read_changed(14, 0x40), PROXY_HEADER_BAD, "too long");
    for (size_t i = 0; i < 12; i++)
        cr_expect_eq(read_changed(i, 'x'), PROXY_HEADER_BAD, "byte %zu of the signature", i);
    uint8_t ip[PROXY_HEADER_IP_BYTES];
    size_t length = 0;
    cr_expect_eq(proxy_header_read(span_of_text("GET"), &length, ip), PROXY_HEADER_BAD);
}

/* Bounds are for the sanitizers to judge; here: nothing is believed that was not all there. */
Test(proxy_header, any_bytes_are_survived)
{
    static const char alphabet[] = "for=\"[]:.,; 0123456789abcdef";
    struct rng rng = {1};
    for (unsigned round = 0; round < 200000; round++) {
        uint8_t bytes[64], ip[PROXY_HEADER_IP_BYTES];
        size_t size = rng_below(&rng, sizeof(bytes)), length = 0;
        bool binary = rng_below(&rng, 2) == 0;
        for (size_t i = 0; i < size; i++)
            bytes[i] = binary ? (uint8_t)rng_below(&rng, 256)
                              : (uint8_t)alphabet[rng_below(&rng, sizeof(alphabet) - 1)];
        if (binary && size >= 13)
            memcpy(bytes, v4_header, 13);
        uint8_t *exact = base_alloc(size);
        memcpy(exact, bytes, size);
        struct span span = span_of(exact, size);
        if (proxy_header_read(span, &length, ip) >= PROXY_HEADER_LOCAL)
            cr_assert_leq(length, size);
        (void)proxy_header_forwarded(span, ours, 2, ip);
        (void)proxy_header_forwarded_for(span, ours, 2, ip);
        free(exact);
    }
}
