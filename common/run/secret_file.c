/* SPDX-License-Identifier: Apache-2.0
 * secret_file: judges modes.
 * Audience: see secret_file.h. */
#include "common/run/secret_file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Right below $CREDENTIALS_DIRECTORY, which the service manager alone can write. */
static bool is_credential(const char *path)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    if (folder == NULL || folder[0] != '/')
        return false;
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && path[length] == '/' &&
           strchr(path + length + 1, '/') == NULL;
}

bool secret_file_is_private(const char *path, mode_t mode)
{
    if ((mode & (S_IWGRP | S_IROTH | S_IWOTH)) != 0)
        return false;
    return (mode & S_IRGRP) == 0 || is_credential(path);
}
