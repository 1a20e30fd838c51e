/* SPDX-License-Identifier: Apache-2.0 */
#include "common/run/object_digest.h"

#include "common/base/hash.h"

#include <criterion/criterion.h>

Test(object_digest, it_is_the_digest_of_the_ground_floor)
{
    char here[65], there[65];
    uint8_t data[300];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    for (size_t length = 0; length <= sizeof(data); length++) {
        object_digest(span_of(length == 0 ? NULL : data, length), here);
        hash_sha256(span_of(length == 0 ? NULL : data, length), there);
        cr_assert_str_eq(here, there);
    }
}
