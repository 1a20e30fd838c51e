/* SPDX-License-Identifier: Apache-2.0
 * What is wanted is asked for in time, with growing pauses, of the right replica, until it has
 * come. */
#include "global/core/want_list.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct want_list list;
static struct want_message message;
static uint16_t region;

static void fini(void)
{
    want_list_done(&list);
}

TestSuite(want_list, .fini = fini, .timeout = 30);

static bool add(uint16_t r, uint16_t p, uint64_t what, const char *replica, bool held, uint64_t due)
{
    struct want_list_entry e = {.region = r,
                                .partition = p,
                                .kind = WANT_LIST_MINUTE,
                                .what = what,
                                .held = held,
                                .due_ms = due};
    (void)snprintf(e.replica, sizeof(e.replica), "%s", replica);
    return want_list_add(&list, &e);
}

Test(want_list, pauses_double_up_to_a_minute)
{
    static const uint64_t pauses[] = {2000, 4000, 8000, 16000, 32000, 60000, 60000};
    uint64_t now = 1000;
    cr_assert(add(1, 0, 5, "a", false, now));
    for (unsigned i = 0; i < countof(pauses); i++) {
        cr_assert(want_list_take(&list, now, &region, &message));
        cr_assert_eq(want_list_idle_ms(&list, now), pauses[i]);
        cr_assert_not(want_list_take(&list, now + pauses[i] - 1, &region, &message));
        now += pauses[i];
    }
    cr_assert(want_list_remove(&list, 1, 0, WANT_LIST_MINUTE, 5));
    cr_assert_not(want_list_remove(&list, 1, 0, WANT_LIST_MINUTE, 5));
    cr_assert_eq(want_list_idle_ms(&list, now), UINT32_MAX);
}

Test(want_list, one_message_asks_one_replica_of_one_partition)
{
    (void)add(1, 0, 5, "a", false, 0);
    (void)add(1, 0, 6, "b", false, 0);
    (void)add(1, 0, 7, "a", false, 0);
    (void)add(1, 1, 8, "a", false, 0);
    (void)add(2, 0, 9, "a", false, 0);
    struct want_list_entry name = {.region = 1, .kind = WANT_LIST_NAME, .what = 77};
    (void)snprintf(name.replica, sizeof(name.replica), "%s", "a");
    (void)want_list_add(&list, &name);

    cr_assert(want_list_take(&list, 0, &region, &message));
    cr_assert(region == 1 && message.partition == 0 && strcmp(message.replica, "a") == 0);
    cr_assert(message.minute_count == 2 && message.minutes[0] == 5 && message.minutes[1] == 7);
    cr_assert(message.name_count == 1 && message.names[0] == 77);
    unsigned more = 0;
    while (want_list_take(&list, 0, &region, &message))
        more++;
    cr_assert_eq(more, 3);
}

Test(want_list, a_message_asks_a_bounded_number_of_minutes)
{
    for (uint64_t m = 1000; m > 0; m--)
        (void)add(1, 0, m, "a", false, 0);
    uint32_t minutes = 0;
    while (want_list_take(&list, 0, &region, &message)) {
        cr_assert_leq(message.minute_count, WANT_LIST_ASK_MINUTES);
        minutes += message.minute_count;
    }
    cr_assert_eq(minutes, 1000);
}

Test(want_list, held_entries_wait_until_they_are_released)
{
    (void)add(1, 0, 5, "a", true, 0);
    cr_assert_not(want_list_take(&list, 1000000, &region, &message));
    cr_assert_eq(want_list_idle_ms(&list, 0), UINT32_MAX);
    cr_assert_eq(want_list_count(&list, WANT_LIST_MINUTE, true), 1);
    const struct want_list_entry *held = want_list_held(&list, 1, 0);
    cr_assert(held != NULL && held->what == 5);
    cr_assert_null(want_list_held(&list, 1, 1));

    cr_assert(add(1, 0, 5, "b", false, 500));

    cr_assert_null(want_list_held(&list, 1, 0));
    cr_assert_not(want_list_take(&list, 499, &region, &message));
    cr_assert(want_list_take(&list, 500, &region, &message));
    cr_assert_str_eq(message.replica, "b");
}

Test(want_list, asking_again_for_the_same_changes_nothing)
{
    cr_assert(add(1, 0, 5, "a", false, 100));
    cr_assert_not(add(1, 0, 5, "a", false, 0)); /* does not jump its pause */
    cr_assert_eq(want_list_idle_ms(&list, 0), 100);
    cr_assert(add(1, 0, 5, "b", false, 0));
    cr_assert_eq(list.count, 1);
    cr_assert_str_eq(want_list_find(&list, 1, 0, WANT_LIST_MINUTE, 5)->replica, "b");
    cr_assert_null(want_list_find(&list, 1, 0, WANT_LIST_NAME, 5));
}

Test(want_list, what_is_held_may_be_held_again_by_another_and_what_is_due_is_due_now)
{
    cr_assert_eq(want_list_idle_ms(&list, 0), UINT32_MAX, "nothing is wanted");
    cr_assert(add(1, 0, 5, "a", true, 1000));
    cr_assert(add(1, 0, 5, "b", true, 9000), "of another replica now");
    cr_assert_not(add(1, 0, 5, "b", true, 9000));
    cr_assert_eq(want_list_idle_ms(&list, 5000), UINT32_MAX, "held: not asked");
    cr_assert(add(1, 0, 5, "b", false, 3000));
    cr_assert_eq(want_list_idle_ms(&list, 2000), 1000);
    cr_assert_eq(want_list_idle_ms(&list, 5000), 0, "overdue");
}
