/* SPDX-License-Identifier: Apache-2.0
 * err: every code has words and a class. */
#include "common/base/err.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

Test(err, every_code_has_words_and_no_two_share_them)
{
    for (unsigned i = 0; i < ERR_COUNT; i++) {
        cr_assert_gt(strlen(err_words((enum err)i)), 0);
        for (unsigned j = 0; j < i; j++)
            cr_assert_str_neq(err_words((enum err)i), err_words((enum err)j));
    }
}

Test(err, only_ok_has_class_ok)
{
    cr_assert_eq(err_class(ERR_OK), ERR_CLASS_OK);
    for (unsigned i = 1; i < ERR_COUNT; i++)
        cr_assert_neq(err_class((enum err)i), ERR_CLASS_OK);
}

Test(err, the_class_says_what_to_do)
{
    cr_assert_eq(err_class(ERR_KV_FULL), ERR_CLASS_RETRY);
    cr_assert_eq(err_class(ERR_BUS_TIMEOUT), ERR_CLASS_RETRY);
    cr_assert_eq(err_class(ERR_CHECKSUM), ERR_CLASS_REFUSE);
    cr_assert_eq(err_class(ERR_KV_IO), ERR_CLASS_STOP);
    cr_assert_eq(err_class(ERR_BELOW_LOW), ERR_CLASS_STOP);
}

Test(err, a_code_outside_the_table_is_a_mistake, .signal = SIGABRT)
{
    (void)err_words(ERR_COUNT);
}
