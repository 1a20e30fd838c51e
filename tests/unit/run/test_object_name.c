/* SPDX-License-Identifier: Apache-2.0 */
#include "common/run/object_name.h"

#include <criterion/criterion.h>

Test(object_name, plain_paths_are_valid)
{
    cr_assert(object_name_is_valid("a"));
    cr_assert(object_name_is_valid("objects/us/p0001/2026-11-24/0-1_x.avro"));
    cr_assert(object_name_is_valid("..a/.b"));
}

Test(object_name, what_reaches_elsewhere_or_needs_escapes_is_not)
{
    static const char *const bad[] = {"",      "/a",  "a/",  "a//b", ".",        "..",  "a/../b",
                                      "a/./b", "a b", "a%b", "a\\b", "\xc3\xa9", "a+b", "a/.."};
    for (unsigned i = 0; i < countof(bad); i++)
        cr_assert(!object_name_is_valid(bad[i]), "%s", bad[i]);
    char text[OBJECT_NAME_BYTES_MAX + 2];
    memset(text, 'a', sizeof(text));
    text[OBJECT_NAME_BYTES_MAX + 1] = '\0';
    cr_assert(!object_name_is_valid(text));
    text[OBJECT_NAME_BYTES_MAX] = '\0';
    cr_assert(object_name_is_valid(text));
}
