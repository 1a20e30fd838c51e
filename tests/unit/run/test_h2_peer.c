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

Test(h2_peer, a_trusted_proxys_header_names_the_client_of_http1_too)
{
    struct proxy_network loopback;
    cr_assert(proxy_header_network_parse("127.0.0.0/8", &loopback));
    const struct h2_server_options options = {.proxy_networks = &loopback,
                                              .proxy_network_count = 1};
    const struct h2_probe_options http1 = {.alpn = "\10http/1.1", .raw = true};
    static const char ask[] = "GET /what HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    static char text[4096];
    given_http1 = true;
    struct given *g = given_server(&options, false);
    h2_probe_prefix = proxied;

    struct h2_probe *p = h2_probe_open(g->port, &http1);
    cr_assert(h2_probe_write(p, ask, sizeof(ask) - 1));
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    for (size_t length = 0; !p->dead && h2_probe_now() < deadline;) {
        int got = SSL_read(p->ssl, text + length, (int)(sizeof(text) - 1 - length));
        if (got > 0)
            length += (size_t)got;
        else
            (void)h2_probe_step(p, got, deadline);
    }

    cr_expect(strstr(text, " from 203.0.113.9 ") != NULL, "%s", text);
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

/* -- limits by address --------------------------------------------------------------------- */

static struct given *given_gate(struct peer_gate *gate, const struct proxy_network *proxies,
                                const struct proxy_network *forwarders)
{
    const struct h2_server_options options = {.peers = gate,
                                              .proxy_networks = proxies,
                                              .proxy_network_count = proxies != NULL,
                                              .forwarded_networks = forwarders,
                                              .forwarded_network_count = forwarders != NULL};
    return given_server(&options, false);
}

static bool served(struct h2_probe *p)
{
    return !p->dead && h2_probe_one(p, "GET", "/what", NULL, (struct span){NULL, 0})->status == 200;
}

/* A close is only seen by the server a little later. */
static struct h2_probe *served_at_last(uint16_t port)
{
    uint64_t deadline = h2_probe_now() + H2_PROBE_WAIT_MS;
    for (;;) {
        struct h2_probe *p = h2_probe_open(port, NULL);
        if (served(p) || h2_probe_now() > deadline)
            return p;
        h2_probe_close(p);
    }
}

Test(h2_peer, peer_connections_bounds_what_one_address_holds_and_is_given_back)
{
    const struct peer_limits limits = {.connections = 2};
    struct peer_gate *gate = peer_gate_new(&limits);
    struct given *g = given_gate(gate, NULL, NULL);
    struct h2_probe *first = h2_probe_open(g->port, NULL), *second = h2_probe_open(g->port, NULL);
    cr_assert(served(first) && served(second));

    struct h2_probe *third = h2_probe_open(g->port, NULL);

    cr_expect(!served(third));
    cr_expect_eq(g->counters.peer_too_many_total, 1);
    cr_expect_eq(g->counters.connections_total, 2);
    cr_expect(served(first), "others of the address go on");
    h2_probe_close(second);
    struct h2_probe *fourth = served_at_last(g->port);
    cr_expect(served(fourth), "a closed one makes room");
    h2_probe_close(first);
    h2_probe_close(third);
    h2_probe_close(fourth);
    over(g);
    peer_gate_free(gate);
}

Test(h2_peer, peer_connects_bounds_how_fast_one_address_opens)
{
    const struct peer_limits limits = {.connects_per_s = 1, .connects_burst = 3};
    struct peer_gate *gate = peer_gate_new(&limits);
    struct given *g = given_gate(gate, NULL, NULL);

    for (unsigned i = 0; i < 40; i++) /* 40 s worth of them, at once */
        h2_probe_close(h2_probe_open(g->port, NULL));

    cr_expect(counted(&g->counters.peer_too_fast_total, 1));
    cr_expect_geq(g->counters.connections_total, 3);
    cr_expect_eq(g->counters.peer_too_many_total, 0);
    over(g);
    peer_gate_free(gate);
}

Test(h2_peer, peer_requests_over_their_rate_are_429_with_a_time_to_come_again)
{
    const struct peer_limits limits = {.requests_per_s = 1, .requests_burst = 2};
    struct peer_gate *gate = peer_gate_new(&limits);
    struct given *g = given_gate(gate, NULL, NULL);
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    struct h2_probe_answer *refused = NULL;

    for (unsigned i = 0; i < 200 && refused == NULL; i++) {
        struct h2_probe_answer *a = h2_probe_one(p, "GET", "/what", NULL, (struct span){NULL, 0});
        if (a->status != 200)
            refused = a;
    }

    cr_assert(refused != NULL);
    cr_expect_eq(refused->status, 429);
    cr_expect(h2_probe_has(refused, "retry-after: 1\n"));
    cr_expect(strstr(h2_probe_text(refused), "\"urn:tributary:problem:rate_limited\"") != NULL);
    cr_expect(strstr(h2_probe_text(refused), "Nothing was stored.") != NULL);
    cr_expect_eq(g->counters.peer_requests_refused_total, 1);
    over_and_closed(g, p);
    peer_gate_free(gate);
}

Test(h2_peer, behind_a_trusted_proxy_the_limits_are_the_clients_not_the_proxys)
{
    struct proxy_network loopback;
    cr_assert(proxy_header_network_parse("127.0.0.0/8", &loopback));
    const struct peer_limits limits = {.connections = 1};
    struct peer_gate *gate = peer_gate_new(&limits);
    struct given *g = given_gate(gate, &loopback, NULL);
    uint8_t other[sizeof(PROXY_HEADER) - 1];
    memcpy(other, proxied.data, proxied.length);
    other[19]++; /* the client's last byte */
    h2_probe_prefix = proxied;
    struct h2_probe *first = h2_probe_open(g->port, NULL);
    cr_assert(served(first));

    struct h2_probe *second = h2_probe_open(g->port, NULL);
    h2_probe_prefix = span_of(other, sizeof(other));
    struct h2_probe *third = h2_probe_open(g->port, NULL);

    cr_expect(!served(second), "the same client");
    cr_expect(served(third), "another client of the same proxy");
    cr_expect_eq(g->counters.peer_too_many_total, 1);
    h2_probe_close(second);
    h2_probe_close(third);
    over_and_closed(g, first);
    peer_gate_free(gate);
}

Test(h2_peer, a_forwarding_proxy_is_exempt_and_the_client_that_it_names_is_not)
{
    struct proxy_network loopback;
    cr_assert(proxy_header_network_parse("127.0.0.0/8", &loopback));
    const struct peer_limits limits = {.connections = 1, .requests_per_s = 1, .requests_burst = 1};
    struct peer_gate *gate = peer_gate_new(&limits);
    struct given *g = given_gate(gate, NULL, &loopback);
    struct h2_probe *first = h2_probe_open(g->port, NULL), *second = h2_probe_open(g->port, NULL);

    for (unsigned i = 0; i < 50; i++)
        cr_assert(served(first) && served(second));
    cr_expect_str_eq(from(first, "x-forwarded-for", "198.51.100.1"), "198.51.100.1");
    cr_expect_str_eq(from(first, "x-forwarded-for", "198.51.100.2"), "198.51.100.2");
    unsigned refused = 0;
    for (unsigned i = 0; i < 50; i++)
        refused += from(first, "x-forwarded-for", "198.51.100.1")[0] == '\0';

    cr_expect_gt(refused, 0);
    cr_expect_eq(g->counters.peer_requests_refused_total, refused);
    h2_probe_close(second);
    over_and_closed(g, first);
    peer_gate_free(gate);
}
