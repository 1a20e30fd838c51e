/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/core/ad_names.h"

#include "common/base/rng.h"

#include <criterion/criterion.h>
#include <stdio.h>

Test(ad_names, a_second_text_with_the_same_hash_shows)
{
    struct ad_names names = {0};

    ad_names_hold(&names, 42, span_of_text("one"));

    const struct ad_name *known = ad_names_find(&names, 42);
    cr_assert_not_null(known);
    cr_assert(!span_equal(ad_names_text(known), span_of_text("two")));
    cr_assert_null(ad_names_find(&names, 43));
    ad_names_done(&names);
}

Test(ad_names, a_name_lives_as_long_as_its_rows)
{
    struct ad_names names = {0};

    ad_names_hold(&names, 42, span_of_text("one"));
    ad_names_hold(&names, 42, span_of_text("one"));
    ad_names_release(&names, 42);
    cr_assert_not_null(ad_names_find(&names, 42));
    ad_names_release(&names, 42);

    cr_assert_null(ad_names_find(&names, 42));
    cr_assert_eq(names.used, 0);
    ad_names_done(&names);
}

Test(ad_names, a_name_is_due_once_a_day)
{
    struct ad_names names = {0};
    struct ad_name *out[4];
    struct ad_name *b = ad_names_hold(&names, 2, span_of_text("b"));
    struct ad_name *a = ad_names_hold(&names, 1, span_of_text("a"));

    ad_names_seen(&names, b, 100);
    ad_names_seen(&names, a, 100);
    ad_names_seen(&names, b, 100);
    cr_assert_eq(names.due, 2);
    ad_names_take_due(&names, out);

    cr_assert_eq(out[0], a, "in order of hash");
    cr_assert_eq(out[1], b);
    ad_names_seen(&names, a, 100);
    cr_assert_eq(names.due, 0);
    ad_names_seen(&names, a, 101);
    cr_assert_eq(names.due, 1);
    ad_names_done(&names);
}

Test(ad_names, random_holds_and_releases_keep_what_is_held)
{
    enum { ADS = 500 };
    struct ad_names names = {0};
    struct rng r = {1};
    unsigned held[ADS] = {0};
    char text[16];

    for (unsigned step = 0; step < 50000; step++) {
        unsigned ad = (unsigned)rng_below(&r, ADS);
        (void)snprintf(text, sizeof(text), "ad-%u", ad);
        /* Few homes, so that runs collide. */
        uint64_t hash = (uint64_t)(ad % 7) << 32 | ad;
        if (rng_chance(&r, 500) && held[ad] < 5) {
            ad_names_hold(&names, hash, span_of_text(text));
            held[ad]++;
        } else if (held[ad] > 0) {
            ad_names_release(&names, hash);
            held[ad]--;
        }
    }

    for (unsigned ad = 0; ad < ADS; ad++) {
        const struct ad_name *name = ad_names_find(&names, (uint64_t)(ad % 7) << 32 | ad);
        cr_assert_eq(name != NULL, held[ad] > 0, "ad %u", ad);
        cr_assert(name == NULL || name->rows == held[ad]);
    }
    ad_names_done(&names);
}
