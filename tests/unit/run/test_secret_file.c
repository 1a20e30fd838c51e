/* SPDX-License-Identifier: Apache-2.0
 * Claims about secret_file: whose secrets are taken. */
#include "common/run/secret_file.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/stat.h>

TestSuite(secret_file, .timeout = 30);

Test(secret_file, a_secret_is_its_owners_alone)
{
    static const mode_t open_to_others[] = {0640, 0660, 0620, 0604, 0602, 0777};
    (void)unsetenv("CREDENTIALS_DIRECTORY");

    cr_assert(secret_file_is_private("/etc/key", S_IFREG | 0600));
    cr_assert(secret_file_is_private("/etc/key", S_IFREG | 0400));
    for (size_t i = 0; i < countof(open_to_others); i++)
        cr_assert_not(secret_file_is_private("/etc/key", S_IFREG | open_to_others[i]));
}

Test(secret_file, a_credential_may_show_its_access_list_as_a_readable_group)
{
    (void)setenv("CREDENTIALS_DIRECTORY", "/run/credentials/edge.service", 1);

    cr_assert(secret_file_is_private("/run/credentials/edge.service/key", 0440));
    cr_assert_not(secret_file_is_private("/run/credentials/edge.service/key", 0460));
    cr_assert_not(secret_file_is_private("/run/credentials/edge.service/key", 0444));
    cr_assert_not(secret_file_is_private("/run/credentials/edge.service2/key", 0440));
    cr_assert_not(secret_file_is_private("/run/credentials/edge.service/../x/key", 0440));
    cr_assert_not(secret_file_is_private("/run/credentials/edge.service", 0440));
    cr_assert_not(secret_file_is_private("/etc/key", 0440));
}

Test(secret_file, a_folder_that_is_no_path_means_nothing)
{
    (void)setenv("CREDENTIALS_DIRECTORY", "", 1);
    cr_assert_not(secret_file_is_private("/key", 0440));
    (void)setenv("CREDENTIALS_DIRECTORY", "run", 1);
    cr_assert_not(secret_file_is_private("run/key", 0440));
}
