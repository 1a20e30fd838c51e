/* SPDX-License-Identifier: Apache-2.0
 * A wake-up is never lost, many are one, and without one the wait ends by itself. */
#include "common/run/wake.h"

#include "common/run/clock_os.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>

TestSuite(wake, .timeout = 30);

Test(wake, without_a_signal_the_wait_ends_at_its_time)
{
    struct wake *w = wake_new();
    struct clock_port *clock = clock_os();
    uint64_t before = clock->mono_ms(clock);

    bool signalled = wake_wait(w, 20);

    cr_assert_not(signalled);
    cr_assert_geq(clock->mono_ms(clock) - before, 19);
    cr_assert_not(wake_wait(w, 0));
    wake_free(w);
}

Test(wake, a_signal_before_the_wait_is_kept_and_many_count_as_one)
{
    struct wake *w = wake_new();

    wake_signal(w);
    wake_signal(w);

    cr_assert(wake_wait(w, 10000));
    cr_assert_not(wake_wait(w, 0));
    wake_free(w);
    wake_free(NULL);
}

struct ping {
    struct wake *here, *there;
    atomic_uint turn;
};

static void *answer(void *context)
{
    struct ping *p = context;
    for (unsigned i = 0; i < 500; i++) {
        if (!wake_wait(p->there, 10000))
            return NULL;
        atomic_fetch_add(&p->turn, 1);
        wake_signal(p->here);
    }
    return p;
}

Test(wake, another_thread_wakes_and_no_signal_is_lost)
{
    struct ping p = {.here = wake_new(), .there = wake_new()};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, answer, &p), 0);

    for (unsigned i = 0; i < 500; i++) {
        wake_signal(p.there);
        cr_assert(wake_wait(p.here, 10000), "turn %u", i);
        cr_assert_eq(atomic_load(&p.turn), i + 1);
    }

    void *done;
    cr_assert_eq(pthread_join(thread, &done), 0);
    cr_assert_not_null(done);
    wake_free(p.here);
    wake_free(p.there);
}

Test(wake, the_clock_of_the_system_is_plausible)
{
    struct clock_port *clock = clock_os();
    uint8_t one[32] = {0}, two[32] = {0};

    clock->random(clock, one, sizeof(one));
    clock->random(clock, two, sizeof(two));

    cr_assert_gt(clock->wall_ms(clock), 1700000000000ULL);
    cr_assert_leq(clock->mono_ms(clock), clock->mono_ms(clock));
    cr_assert_arr_neq(one, two, sizeof(one));
}
