/* SPDX-License-Identifier: Apache-2.0
 * h2_peer: who is at the other end of a connection, where proxies of ours stand before it.
 * Audience: see h2_conn.h. */
#include "common/run/h2_conn.h"

#include "common/run/log.h"

/* A proxy of ours stands for many clients, whom it names: its own address has no limits. */
static bool is_ours(const struct h2_server_options *o, const uint8_t *ip)
{
    return proxy_header_trusts(o->proxy_networks, o->proxy_network_count, ip) ||
           proxy_header_trusts(o->forwarded_networks, o->forwarded_network_count, ip);
}

static bool admit(struct h2_conn *c, const uint8_t *ip)
{
    const struct h2_server_options *o = &c->server->options;
    if (o->peers == NULL || is_ours(o, ip))
        return true;
    CHECK(!c->peer_counted); /* a proxy is exempt: only its client is counted */
    switch (peer_gate_connect(o->peers, ip, uv_now(o->loop), &c->peer_entry)) {
    case PEER_TOO_MANY:
        H2_COUNT(c->server, peer_too_many_total, 1);
        return false;
    case PEER_TOO_FAST:
        H2_COUNT(c->server, peer_too_fast_total, 1);
        return false;
    default:
        c->peer_counted = true;
        return true;
    }
}

bool h2_peer_begin(struct h2_conn *c)
{
    const struct h2_server_options *o = &c->server->options;
    uint8_t ip[PROXY_HEADER_IP_BYTES];
    if (!proxy_header_ip_parse(span_of_text(c->peer_ip), ip))
        return true; /* no address: a local socket */
    if (proxy_header_trusts(o->proxy_networks, o->proxy_network_count, ip))
        c->state = H2_CONN_PROXIED;
    return admit(c, ip);
}

void h2_peer_end(struct h2_conn *c)
{
    if (c->peer_counted)
        peer_gate_disconnect(c->server->options.peers, c->peer_entry);
    c->peer_counted = false;
}

bool h2_peer_take(struct h2_conn *c, struct span *bytes)
{
    uint8_t ip[PROXY_HEADER_IP_BYTES];
    size_t before = c->written.length, length = 0;

    /* Nothing was written yet, so the buffer for it is free to gather the header. */
    buf_put(&c->written, bytes->data, base_min_u64(bytes->length, PROXY_HEADER_BYTES_MAX - before));
    enum proxy_header_result result = proxy_header_read(buf_span(&c->written), &length, ip);
    if (result == PROXY_HEADER_MORE && c->written.length < PROXY_HEADER_BYTES_MAX)
        return false;
    if (result != PROXY_HEADER_LOCAL && result != PROXY_HEADER_CLIENT) {
        H2_COUNT(c->server, proxy_header_failures_total, 1);
        log_warn("proxy sent no PROXY header of version 2", log_text("proxy", c->peer_ip));
        h2_conn_close(c);
        return false;
    }
    if (result == PROXY_HEADER_CLIENT) {
        proxy_header_ip_text(ip, c->peer_ip);
        if (!admit(c, ip)) {
            h2_conn_close(c);
            return false;
        }
    }
    buf_clear(&c->written);
    CHECK(length > before && length - before <= bytes->length);
    *bytes = span_of(bytes->data + (length - before), bytes->length - (length - before));
    c->state = H2_CONN_NEW;
    return true;
}

/* The last field of a name is the nearest proxy's; the lists of earlier ones stand left of it. */
static bool find_client(const struct h2_stream *stream, const char *name, bool pairs, uint8_t *ip)
{
    const struct h2_server_options *o = &stream->server->options;
    for (size_t i = stream->request.header_count; i > 0; i--) {
        const struct h2_header *field = &stream->headers[i - 1];
        if (strcmp(field->name, name) != 0)
            continue;
        struct span value = span_of_text(field->value);
        return pairs ? proxy_header_forwarded(value, o->forwarded_networks,
                                              o->forwarded_network_count, ip)
                     : proxy_header_forwarded_for(value, o->forwarded_networks,
                                                  o->forwarded_network_count, ip);
    }
    return false;
}

void h2_peer_forwarded(struct h2_stream *stream)
{
    const struct h2_server_options *o = &stream->server->options;
    uint8_t ip[PROXY_HEADER_IP_BYTES];

    if (o->forwarded_network_count == 0 ||
        !proxy_header_ip_parse(span_of_text(stream->peer_ip), ip) ||
        !proxy_header_trusts(o->forwarded_networks, o->forwarded_network_count, ip))
        return;
    if (find_client(stream, "forwarded", true, ip) ||
        (h2_header(&stream->request, "forwarded") == NULL &&
         find_client(stream, "x-forwarded-for", false, ip)))
        proxy_header_ip_text(ip, stream->peer_ip);
}

bool h2_peer_may_ask(struct h2_stream *stream)
{
    const struct h2_server_options *o = &stream->server->options;
    uint8_t ip[PROXY_HEADER_IP_BYTES];

    if (o->peers == NULL || !peer_gate_limits_requests(o->peers) ||
        !proxy_header_ip_parse(span_of_text(stream->peer_ip), ip) || is_ours(o, ip) ||
        peer_gate_request(o->peers, ip, uv_now(o->loop), &stream->retry_after_s) == PEER_FINE)
        return true;
    H2_COUNT(stream->server, peer_requests_refused_total, 1);
    return false;
}
