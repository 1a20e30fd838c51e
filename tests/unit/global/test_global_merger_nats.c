/* SPDX-License-Identifier: Apache-2.0
 * The merger on a real nats-server, which is killed and rolled back: the count is exact all the
 * same. */
#include "common/run/bus_nats.h"
#include "common/run/clock_os.h"
#include "common/run/log.h"
#include "common/run/wake.h"
#include "globe_given.h"
#include "tests/nats_fixture.h"

#define WAIT_MS 30000u

static struct nats_fixture server;
static struct given_world *w;
static struct given_replica *us;
static struct wake *wake;
static struct bus_port *merger_bus, *replica_bus;
static const char *ad;
static uint64_t clicks;

static struct bus_port *open_bus(const char *name)
{
    static const struct bus_nats_stream streams[] = {{"PARTIALS_us", "partials.us.>", 1, 86400, 0}};
    struct bus_nats_options options = {.url = server.url,
                                       .name = name,
                                       .domain = "us",
                                       .streams = streams,
                                       .stream_count = 1,
                                       .publish_timeout_ms = 1000,
                                       .notify = wake_signal,
                                       .notify_context = wake};
    struct bus_port *bus;
    cr_assert_eq(bus_nats_open(&options, &bus), ERR_OK);
    return bus;
}

static void setup(void)
{
    log_init("test", LOG_ERROR);
    wake = wake_new();
    server.domain = "us";
    nats_fixture_start(&server);
    merger_bus = open_bus("globe");
    replica_bus = open_bus("replica");
    w = given_world();
    merger_free(w->merger);
    w->buses[0] = merger_bus;
    given_start(w);
    us = given_replica(w, 0, 0, "us-r1");
    us->bus = replica_bus;
    ad = given_ad(0, 0);
    clicks = 0;
}

static void teardown(void)
{
    given_replica_free(us);
    given_world_free(w);
    bus_nats_close(merger_bus);
    bus_nats_close(replica_bus);
    nats_fixture_done(&server);
    wake_free(wake);
}

TestSuite(global_merger_nats, .init = setup, .fini = teardown, .timeout = 120);

/* One turn of the merger; its clock follows the real one. */
static void turn(void)
{
    static uint64_t before_ms;
    struct clock_port *clock = clock_os();
    uint64_t now_ms = clock->mono_ms(clock);
    if (before_ms != 0)
        sim_clock_advance(&w->clock, now_ms - before_ms);
    before_ms = now_ms;
    uint32_t idle_ms = 0;
    cr_assert_eq(merger_step(w->merger, &idle_ms), ERR_OK);
    if (idle_ms > 0)
        (void)wake_wait(wake, idle_ms < 20 ? idle_ms : 20);
}

static uint64_t counted(void)
{
    return given_ask(w, ad, MINUTE_WINDOW_1M, GIVEN_MINUTE, GIVEN_MINUTE + 1).points[0].click_count;
}

static void wait_for_all(void)
{
    struct clock_port *clock = clock_os();
    uint64_t deadline_ms = clock->mono_ms(clock) + WAIT_MS;
    while (counted() != clicks) {
        cr_assert_leq(counted(), clicks);
        cr_assert_lt(clock->mono_ms(clock), deadline_ms, "%llu of %llu",
                     (unsigned long long)counted(), (unsigned long long)clicks);
        turn();
    }
}

/* Publishes a cut until the stream has acknowledged one: what a fold's outbox does. */
static void cut_until_acked(void)
{
    struct clock_port *clock = clock_os();
    uint64_t deadline_ms = clock->mono_ms(clock) + WAIT_MS;
    given_click(us, ad, GIVEN_MINUTE, clicks, 1, 0);
    clicks++;
    bool acked = false;
    while (!acked) {
        struct partial p = given_head(us);
        struct buf sketches = {0};
        struct partial_row row = given_sent(us, given_row_of(us, ad, GIVEN_MINUTE), &sketches);
        p.rows = &row;
        p.row_count = 1;
        struct buf message = {0};
        partial_write(&message, &p);
        struct subject to = subject_partial("us", 0, "us-r1");
        enum err err = bus_publish(us->bus, to.text, NULL, buf_span(&message), clicks);
        buf_done(&message);
        buf_done(&sketches);
        bool answered = err != ERR_OK;
        do {
            struct bus_event event;
            while (bus_poll(us->bus, &event)) {
                acked = acked || event.kind == BUS_ACK;
                answered = answered || event.kind == BUS_ACK || event.kind == BUS_NACK;
            }
            turn();
            cr_assert_lt(clock->mono_ms(clock), deadline_ms);
        } while (!answered);
    }
}

Test(global_merger_nats, every_partial_arrives_in_order)
{
    for (unsigned i = 0; i < 100; i++)
        cut_until_acked();
    wait_for_all();

    cr_assert_eq(given_view(w).damaged, 0);
    cr_assert_eq(given_view(w).refused, 0);
    cr_assert_eq(given_view(w).gaps, 0);
    cr_assert_geq(given_view(w).regions[0].position, 100);
}

Test(global_merger_nats, killed_servers_cost_no_click)
{
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 10; i++)
            cut_until_acked();
        wait_for_all();
        nats_fixture_stop(&server, SIGKILL);
        turn();
        nats_fixture_start(&server);
        for (unsigned i = 0; i < 10; i++)
            cut_until_acked();
        wait_for_all();
    }
    cr_assert_geq(given_view(w).proofs, 3);
    cr_assert_eq(given_view(w).damaged, 0);
}

Test(global_merger_nats, a_stream_rolled_back_is_noticed_and_read_again)
{
    for (unsigned i = 0; i < 10; i++)
        cut_until_acked();
    nats_fixture_stop(&server, SIGTERM);
    nats_fixture_copy_store(&server, false);
    nats_fixture_start(&server);
    for (unsigned i = 0; i < 10; i++)
        cut_until_acked();
    wait_for_all();
    nats_fixture_stop(&server, SIGKILL);
    nats_fixture_copy_store(&server, true);
    nats_fixture_start(&server);
    /* Beyond the old position: the numbers are used again by other messages. */
    for (unsigned i = 0; i < 15; i++)
        cut_until_acked();
    wait_for_all();

    cr_assert_geq(given_view(w).proofs_failed, 1);
}
