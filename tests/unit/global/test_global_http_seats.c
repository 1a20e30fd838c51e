/* SPDX-License-Identifier: Apache-2.0
 * Nobody takes a seat that is not there, and each that was left can be taken again. */
#include "global/global_http_seats.h"

#include <criterion/criterion.h>

#define ONE   "0123456789abcdef"
#define OTHER "fedcba9876543210"

Test(global_http_seats, a_token_has_its_share_and_all_have_the_whole)
{
    struct global_http_seats *s = global_http_seats_new(3, 2);

    cr_assert_eq(global_http_seats_take(s, ONE), GLOBAL_HTTP_SEAT_TAKEN);
    cr_assert_eq(global_http_seats_take(s, ONE), GLOBAL_HTTP_SEAT_TAKEN);
    cr_assert_eq(global_http_seats_take(s, ONE), GLOBAL_HTTP_SEAT_TOKEN_NONE);
    cr_assert_eq(global_http_seats_take(s, OTHER), GLOBAL_HTTP_SEAT_TAKEN);
    cr_assert_eq(global_http_seats_take(s, OTHER), GLOBAL_HTTP_SEAT_NONE);
    cr_assert_eq(global_http_seats_taken(s), 3);
    global_http_seats_leave(s, ONE);
    cr_assert_eq(global_http_seats_take(s, OTHER), GLOBAL_HTTP_SEAT_TAKEN);
    cr_assert_eq(global_http_seats_take(s, ONE), GLOBAL_HTTP_SEAT_NONE);

    global_http_seats_leave(s, ONE);
    global_http_seats_leave(s, OTHER);
    global_http_seats_leave(s, OTHER);
    cr_assert_eq(global_http_seats_taken(s), 0);
    global_http_seats_free(s);
    global_http_seats_free(NULL);
}

Test(global_http_seats, without_tokens_only_the_whole_counts)
{
    struct global_http_seats *s = global_http_seats_new(2, 1);
    cr_assert_eq(global_http_seats_take(s, ""), GLOBAL_HTTP_SEAT_TAKEN);
    cr_assert_eq(global_http_seats_take(s, ""), GLOBAL_HTTP_SEAT_TAKEN);
    cr_assert_eq(global_http_seats_take(s, ""), GLOBAL_HTTP_SEAT_NONE);
    global_http_seats_leave(s, "");
    global_http_seats_leave(s, "");
    global_http_seats_free(s);
}
