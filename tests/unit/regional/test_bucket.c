/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/core/bucket.h"

#include <criterion/criterion.h>

Test(bucket, duplicates_never_touch_the_sketch)
{
    struct bucket b = {.ad_hash = 1, .minute = 2};

    cr_assert_eq(bucket_count(&b, 11, false), ERR_OK);
    b.sketch_sent = true;
    cr_assert_eq(bucket_repeat(&b), ERR_OK);

    cr_assert_eq(b.counted, 1);
    cr_assert_eq(b.duplicate, 1);
    cr_assert(b.sketch_sent, "a duplicate makes no sketch due");
    cr_assert_eq(hll_estimate(&b.users), 1);
    bucket_done(&b);
}

Test(bucket, a_known_user_makes_no_sketch_due)
{
    struct bucket b = {0};

    cr_assert_eq(bucket_count(&b, 11, false), ERR_OK);
    b.sketch_sent = true;
    cr_assert_eq(bucket_count(&b, 11, false), ERR_OK);
    cr_assert(b.sketch_sent);
    cr_assert_eq(bucket_count(&b, 0x123456789abcdefULL, false), ERR_OK);
    cr_assert(!b.sketch_sent);
    bucket_done(&b);
}

Test(bucket, late_clicks_are_counted_and_named)
{
    struct bucket b = {0};

    cr_assert_eq(bucket_count(&b, 1, true), ERR_OK);
    cr_assert_eq(bucket_count(&b, 2, false), ERR_OK);

    cr_assert_eq(b.counted, 2);
    cr_assert_eq(b.late, 1);
    cr_assert_eq(b.uncut_late, 1);
    bucket_done(&b);
}

Test(bucket, a_full_counter_refuses_and_stays)
{
    struct bucket b = {.counted = UINT64_MAX};

    cr_assert(bucket_is_full(&b));
    cr_assert_eq(bucket_count(&b, 1, false), ERR_COUNT_FULL);
    cr_assert_eq(bucket_repeat(&b), ERR_COUNT_FULL);
    cr_assert_eq(b.counted, UINT64_MAX);
    cr_assert_eq(b.duplicate, 0);
    cr_assert(hll_is_empty(&b.users));
}
