/* SPDX-License-Identifier: Apache-2.0
 * secret_file: who may read a file that holds a secret.
 * Audience: whoever reads secrets. Any thread. */
#pragma once

#include "common/base/base.h"

#include <stdbool.h>
#include <sys/types.h>

/* May nobody but the owner read or write it? The credentials of a service manager
 * (systemd.exec(5), LoadCredential=) pass with a readable group: the reader is named in an access
 * list there, whose mask stat(2) shows in the place of the group. */
bool secret_file_is_private(const char *path, mode_t mode);
