/* SPDX-License-Identifier: Apache-2.0
 * Claims about options_place. */
#include "common/run/options_place.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char text[] = "id: a\n"
                           "tls:\n"
                           "  key_file: k\n"
                           "regions:\n"
                           "  - name: us\n"
                           "    readers: [r1, r2]\n"
                           "  - name: eu\n";

static void expect_place(const char *path, const char *place)
{
    char file[] = "/tmp/options_place.XXXXXX", expected[128];
    char *error = NULL;
    int handle = mkstemp(file);
    cr_assert(handle >= 0 && write(handle, text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1);
    close(handle);

    cr_expect_eq(options_wrong(file, path, &error, "is %d", 5), ERR_CONFIG);

    snprintf(expected, sizeof(expected), "%s:%s: %s: is 5", file, place, path);
    cr_expect_str_eq(error, expected);
    unlink(file);
    free(error);
}

Test(options_place, a_value_is_found_by_its_path)
{
    expect_place("id", "1:5");
    expect_place("tls.key_file", "3:13");
    expect_place("regions[0].name", "5:11");
    expect_place("regions[0].readers[1]", "6:19");
    expect_place("regions[1].name", "7:11");
}

Test(options_place, what_is_not_there_gets_the_place_of_what_should_hold_it)
{
    expect_place("tls.certificate_file", "3:3");
    expect_place("regions[1].readers", "7:5");
    expect_place("regions[9].name", "5:3");
    expect_place("limits.body_bytes", "1:1");
}

Test(options_place, a_file_that_is_gone_has_a_first_line_still)
{
    char *error = NULL;

    cr_expect_eq(options_wrong("/nonexistent/x.yaml", "id", &error, "is gone"), ERR_CONFIG);

    cr_expect_str_eq(error, "/nonexistent/x.yaml:1:1: id: is gone");
    free(error);
}
