/* SPDX-License-Identifier: Apache-2.0
 * Claims about h2_server's limits: what is too big, too much, too slow, and what that costs its
 * neighbours. */
#include "tests/unit/run/h2_given.h"

Test(h2_limits, a_body_over_the_limit_is_413_and_its_neighbours_go_on)
{
    const struct h2_server_options options = {.body_bytes_max = 100000};
    struct given *g = given_server(&options, false);
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    size_t length = 10 * 1024 * 1024;
    uint8_t *body = base_zalloc(1, length);

    int32_t good[3], bad[3];
    for (unsigned i = 0; i < 3; i++) {
        bad[i] = h2_probe_ask(p, "POST", "/echo", NULL, span_of(body, length), false);
        good[i] = h2_probe_ask(p, "POST", "/echo", NULL, span_of(body, 100000), false);
    }

    cr_assert(h2_probe_until(p, h2_probe_all_closed, NULL));
    for (unsigned i = 0; i < 3; i++) {
        struct h2_probe_answer *a = h2_probe_of(p, bad[i]);
        cr_expect_eq(a->status, 413);
        cr_expect(a->ended && a->error_code == NGHTTP2_NO_ERROR);
        cr_expect(h2_probe_has(a, "content-type: application/problem+json\n"));
        cr_expect(strstr(h2_probe_text(a), "\"urn:tributary:problem:body_too_large\"") != NULL);
        cr_expect_eq(h2_probe_of(p, good[i])->body.length, 100000);
    }
    cr_expect_eq(g->counters.refused_by_server_total, 3);
    cr_expect_eq(g->counters.requests_total, 3);
    cr_expect_eq(h2_probe_one(p, "POST", "/echo", NULL, span_of(body, 100001))->status, 413);
    free(body);
    h2_probe_close(p);
    over(g);
}

Test(h2_limits, a_declared_length_over_the_limit_is_413_before_the_body)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    const char *fields[] = {"content-length", "8388609", NULL};

    int32_t id = h2_probe_ask(p, "POST", "/echo", fields, no_body, true);

    cr_assert(h2_probe_until(p, h2_probe_stream_closed, &id));
    cr_expect_eq(h2_probe_of(p, id)->status, 413);
    cr_expect_eq(h2_probe_one(p, "GET", "/what", NULL, no_body)->status, 200);
    h2_probe_close(p);
    over(g);
}

Test(h2_limits, bodies_beyond_the_common_budget_are_told_to_come_again)
{
    const struct h2_server_options options = {.body_bytes_max = 1000, .buffered_bytes_max = 2500};
    struct given *g = given_server(&options, false);
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    uint8_t body[1000] = {0};
    for (unsigned i = 0; i < 2; i++)
        h2_probe_ask(p, "POST", "/hold", NULL, span_of(body, 1000), false);
    h2_probe_send(p);
    cr_assert(held(g, 2));

    struct h2_probe_answer *third = h2_probe_one(p, "POST", "/echo", NULL, span_of(body, 1000));

    cr_expect_eq(third->status, 503);
    cr_expect(h2_probe_has(third, "retry-after: 1\n"));
    wish(g, WISH_RELEASE);
    cr_assert(h2_probe_until(p, h2_probe_all_closed, NULL));
    cr_expect_eq(h2_probe_one(p, "POST", "/echo", NULL, span_of(body, 1000))->status, 200);
    h2_probe_close(p);
    over(g);
}

Test(h2_limits, sixty_four_fields_pass_and_one_more_is_431)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    const char *fields[2 * 65 + 1];
    for (unsigned i = 0; i < 65; i++) {
        fields[2 * i] = "x-field";
        fields[2 * i + 1] = "v";
    }
    fields[2 * 64] = NULL;
    fields[2 * 65] = NULL;

    cr_expect_eq(h2_probe_one(p, "GET", "/what", fields, no_body)->status, 200);
    fields[2 * 64] = "x-field";
    cr_expect_eq(h2_probe_one(p, "GET", "/what", fields, no_body)->status, 431);

    h2_probe_close(p);
    over(g);
}

Test(h2_limits, header_bytes_over_16_KiB_are_431)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    static char value[17000];
    memset(value, 'v', sizeof(value) - 1);
    const char *fields[] = {"x-long", value, NULL};

    cr_expect_eq(h2_probe_one(p, "GET", "/what", fields, no_body)->status, 431);
    cr_expect_eq(h2_probe_one(p, "GET", "/what", NULL, no_body)->status, 200);

    h2_probe_close(p);
    over(g);
}

Test(h2_limits, a_control_character_in_a_field_is_400)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    const char *values[] = {"a\x01z", "a\nb", "a\rb", "\x7f"};

    for (unsigned i = 0; i < countof(values); i++) {
        const char *fields[] = {"x-odd", values[i], NULL};
        struct h2_probe_answer *a = h2_probe_one(p, "POST", "/what", fields, span_of_text("x"));
        cr_expect_eq(a->status, 400, "%u gave %u", i, a->status);
    }

    cr_expect_eq(h2_probe_one(p, "GET", "/what", NULL, no_body)->status, 200);
    h2_probe_close(p);
    over(g);
}

Test(h2_limits, a_flood_of_resets_ends_the_connection_and_no_other)
{
    struct given *g = given_plain_server();
    struct h2_probe *good = h2_probe_open(g->port, NULL), *bad = h2_probe_open(g->port, NULL);

    for (unsigned i = 0; i < 4000 && !bad->dead && !bad->goaway; i++) {
        int32_t id = h2_probe_ask(bad, "GET", "/what", NULL, no_body, false);
        h2_probe_send(bad);
        nghttp2_submit_rst_stream(bad->session, 0, id, NGHTTP2_CANCEL);
        h2_probe_send(bad);
    }
    (void)h2_probe_until(bad, h2_probe_is_dead, NULL);

    cr_expect(bad->dead);
    cr_expect_eq(g->counters.abuse_closed_total, 1);
    cr_expect_lt(g->counters.requests_total, 1000);
    cr_expect_eq(h2_probe_one(good, "GET", "/what", NULL, no_body)->status, 200);
    h2_probe_close(good);
    h2_probe_close(bad);
    over(g);
}

static void flood(uint8_t type, uint8_t flags, size_t payload, unsigned count)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    uint8_t frame[9 + 8] = {0, 0, (uint8_t)payload, type, flags};
    cr_assert_eq(h2_probe_one(p, "GET", "/what", NULL, no_body)->status, 200);

    if (type == NGHTTP2_DATA) { /* of a body that never ends */
        frame[8] = (uint8_t)h2_probe_ask(p, "POST", "/echo", NULL, no_body, true);
        h2_probe_send(p);
    }

    for (unsigned i = 0; i < count && h2_probe_write(p, frame, 9 + payload); i++)
        ;

    (void)h2_probe_until(p, h2_probe_is_dead, NULL);
    cr_expect_eq(g->counters.abuse_closed_total, 1);
    if (p->goaway) /* a reset may have overtaken it: we never read while we flooded */
        cr_expect_eq(p->goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    h2_probe_close(p);
    over(g);
}

Test(h2_limits, a_flood_of_pings_is_ended)
{
    flood(NGHTTP2_PING, 0, 8, 110);
}

Test(h2_limits, a_flood_of_settings_is_ended)
{
    flood(NGHTTP2_SETTINGS, 0, 0, 30);
}

Test(h2_limits, a_flood_of_unknown_frames_is_ended)
{
    flood(0xbb, 0, 0, 110);
}

Test(h2_limits, a_flood_of_empty_data_is_ended)
{
    flood(NGHTTP2_DATA, 0, 0, 110);
}

Test(h2_limits, a_header_bomb_is_ended_after_a_quarter_of_a_mebibyte)
{
    struct given *g = given_plain_server();
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    static char value[2500]; /* short enough for the table of HPACK: then a byte a field */
    static const char *fields[2 * 4000 + 1];
    memset(value, 'b', sizeof(value) - 1);
    for (unsigned i = 0; i < 4000; i++) {
        fields[2 * i] = "x-bomb";
        fields[2 * i + 1] = value;
    }

    h2_probe_ask(p, "GET", "/what", fields, no_body, false);
    (void)h2_probe_until(p, h2_probe_is_dead, NULL);

    cr_expect(p->dead);
    cr_expect_eq(g->counters.abuse_closed_total, 1, "goaway %d code %u", p->goaway, p->goaway_code);
    h2_probe_close(p);
    over(g);
}

Test(h2_limits, a_body_that_stops_is_408_and_a_silent_connection_is_closed)
{
    const struct h2_server_options options = {.idle_timeout_ms = 300, .stall_timeout_ms = 150};
    struct given *g = given_server(&options, false);
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    int silent = h2_probe_socket(g->port);
    char byte;

    int32_t id = h2_probe_ask(p, "POST", "/echo", NULL, span_of_text("half"), true);
    cr_assert(h2_probe_until(p, h2_probe_stream_closed, &id));

    cr_expect_eq(h2_probe_of(p, id)->status, 408);
    cr_expect(h2_probe_until(p, h2_probe_is_dead, NULL));
    cr_expect_eq(p->goaway_code, NGHTTP2_NO_ERROR);
    cr_expect_eq(read(silent, &byte, 1), 0);
    cr_expect(counted(&g->counters.stalled_total, 2));
    close(silent);
    h2_probe_close(p);
    over(g);
}

Test(h2_limits, an_answer_that_nobody_takes_is_dropped)
{
    const struct h2_server_options options = {.stall_timeout_ms = 150};
    struct given *g = given_server(&options, false);
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    nghttp2_settings_entry none = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0};
    nghttp2_submit_settings(p->session, 0, &none, 1);

    int32_t id = h2_probe_ask(p, "GET", "/big?100000", NULL, no_body, false);
    cr_assert(h2_probe_until(p, h2_probe_stream_closed, &id));

    cr_expect_eq(h2_probe_of(p, id)->error_code, NGHTTP2_CANCEL);
    h2_probe_close(p);
    over(g);
}

Test(h2_limits, connections_over_the_limit_are_refused_and_counted)
{
    const struct h2_server_options options = {.connections_max = 1};
    struct given *g = given_server(&options, false);
    struct h2_probe *first = h2_probe_open(g->port, NULL);
    cr_assert_eq(h2_probe_one(first, "GET", "/what", NULL, no_body)->status, 200);

    struct h2_probe *second = h2_probe_open(g->port, NULL);

    cr_expect(second->dead);
    cr_expect_eq(g->counters.connections_refused_total, 1);
    h2_probe_close(second);
    h2_probe_close(first);
    over(g);
}

Test(h2_limits, out_of_descriptors_clients_are_turned_away_without_a_spin)
{
    struct given *g = given_plain_server();
    int waiting[4];
    struct rlimit limit, low;
    struct rusage before, after;
    getrlimit(RLIMIT_NOFILE, &limit);
    for (unsigned i = 0; i < countof(waiting); i++)
        waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(g->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    low = limit;
    low.rlim_cur = (rlim_t)waiting[3] + 1; /* all that is open stays; nothing new */
    setrlimit(RLIMIT_NOFILE, &low);

    getrusage(RUSAGE_SELF, &before);
    for (unsigned i = 0; i < countof(waiting); i++)
        cr_assert_eq(connect(waiting[i], (struct sockaddr *)&address, sizeof(address)), 0);
    poll(NULL, 0, 250); /* the time in which a spinning server would burn */
    getrusage(RUSAGE_SELF, &after);
    setrlimit(RLIMIT_NOFILE, &limit);

    long burnt_ms = (after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec -
                     before.ru_stime.tv_sec) *
                        1000 +
                    (after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec -
                     before.ru_stime.tv_usec) /
                        1000;
    cr_expect_lt(burnt_ms, 100);
    cr_expect(counted(&g->counters.descriptors_out_total, countof(waiting)));
    cr_expect_eq(g->counters.connections_total, 0);
    for (unsigned i = 0; i < countof(waiting); i++) {
        struct pollfd polled = {.fd = waiting[i], .events = POLLIN};
        char byte;
        cr_expect_eq(poll(&polled, 1, H2_PROBE_WAIT_MS), 1);
        cr_expect_leq(recv(waiting[i], &byte, 1, 0), 0);
        close(waiting[i]);
    }
    struct h2_probe *p = h2_probe_open(g->port, NULL);
    cr_expect_eq(h2_probe_one(p, "GET", "/what", NULL, no_body)->status, 200);
    h2_probe_close(p);
    over(g);
}
