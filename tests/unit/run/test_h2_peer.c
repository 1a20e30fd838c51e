/* SPDX-License-Identifier: Apache-2.0
 * Claims about h2_peer: who a request is said to come from, with proxies of ours and without. */
#include "tests/unit/run/h2_given.h"

TestSuite(h2_peer, .timeout = 60);

#define PROXY_HEADER                                                                               \
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x09\x0a\x00\x00\x01\x12\x34\x01\xbb"

static const struct span proxied = {(const uint8_t *)PROXY_HEADER, sizeof(PROXY_HEADER) - 1};

static void over_and_closed(struct given *g, struct h2_probe *p)
{
    h2_probe_close(p);
    h2_probe_prefix = (struct span){NULL, 0};
    over(g);
}

static const char *from(struct h2_probe *p, const char *name, const char *value)
{
    static char text[64];
    const char *fields[] = {name, value, NULL};
    struct h2_probe_answer *a = h2_probe_one(p, "GET", "/what", fields, (struct span){NULL, 0});
    text[0] = '\0';
    if (a->status == 200)
        (void)sscanf(strstr(h2_probe_text(a), " from "), " from %63s", text);
    return text;
}

Test(h2_peer, a_trusted_proxys_header_names_the_client)
{
    struct proxy_network loopback;
    cr_assert(proxy_header_network_parse("127.0.0.0/8", &loopback));
    const struct h2_server_options options = {.proxy_networks = &loopback,
                                              .proxy_network_count = 1};
    struct given *g = given_server(&options, false);
    h2_probe_prefix = proxied;

    struct h2_probe *p = h2_probe_open(g->port, NULL);

    cr_expect_str_eq(from(p, "x-forwarded-for", "198.51.100.1"), "203.0.113.9");
    over_and_closed(g, p);
}

Test(h2_peer, a_trusted_proxy_that_sends_no_header_is_not_served)
{
    struct proxy_network loopback;
    cr_assert(proxy_header_network_parse("127.0.0.0/8", &loopback));
    const struct h2_server_options options = {.proxy_networks = &loopback,
                                              .proxy_network_count = 1};
    struct given *g = given_server(&options, false);

    struct h2_probe *p = h2_probe_open(g->port, NULL);

    cr_expect(p->dead || from(p, "x", "y")[0] == '\0');
    cr_expect(counted(&g->counters.proxy_header_failures_total, 1));
    over_and_closed(g, p);
}

Test(h2_peer, from_anyone_else_the_header_is_no_tls)
{
    struct proxy_network elsewhere;
    cr_assert(proxy_header_network_parse("10.0.0.0/8", &elsewhere));
    const struct h2_server_options options = {.proxy_networks = &elsewhere,
                                              .proxy_network_count = 1};
    struct given *g = given_server(&options, false);
    h2_probe_prefix = proxied;

    struct h2_probe *p = h2_probe_open(g->port, NULL);

    cr_expect(p->dead || from(p, "x", "y")[0] == '\0');
    cr_expect(counted(&g->counters.handshake_failures_total, 1));
    cr_expect_eq(g->counters.requests_total, 0);
    over_and_closed(g, p);
}

Test(h2_peer, forwarded_is_believed_from_trusted_networks_alone)
{
    struct proxy_network networks[2];
    cr_assert(proxy_header_network_parse("127.0.0.0/8", &networks[0]));
    cr_assert(proxy_header_network_parse("10.0.0.0/8", &networks[1]));
    const struct h2_server_options trusting = {.forwarded_networks = networks,
                                               .forwarded_network_count = 2};
    const struct h2_server_options strict = {.forwarded_networks = networks + 1,
                                             .forwarded_network_count = 1};
    struct given *g = given_server(&trusting, false);
    struct h2_probe *p = h2_probe_open(g->port, NULL);

    cr_expect_str_eq(from(p, "forwarded", "for=1.1.1.1, for=203.0.113.7, for=10.0.0.3"),
                     "203.0.113.7");
    cr_expect_str_eq(from(p, "x-forwarded-for", "2a00::9, 10.0.0.3"), "2a00::9");
    cr_expect_str_eq(from(p, "x-forwarded-for", "nonsense"), "127.0.0.1");
    over_and_closed(g, p);

    g = given_server(&strict, false);
    p = h2_probe_open(g->port, NULL);
    cr_expect_str_eq(from(p, "forwarded", "for=203.0.113.7"), "127.0.0.1");
    over_and_closed(g, p);
}
